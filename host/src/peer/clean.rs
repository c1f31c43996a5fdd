//! Cleans texts of the peer, which are shown on terminals and in logs: removes control characters and
//! bounds their length.

use serde_json::Value;
use spared_control::Answer;
use spared_pair::NodeFacts;

const TEXT_MAX: usize = 2048;
const LIST_MAX: usize = 256;

/// A text without control characters, of at most `TEXT_MAX` characters.
pub fn text(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(TEXT_MAX)
        .collect()
}

/// Facts of the peer, with bounded lists and cleaned texts.
pub fn facts(said: NodeFacts) -> NodeFacts {
    let mut value = serde_json::to_value(said).unwrap_or_default();
    clean(&mut value);
    bound(&mut value);
    let facts: NodeFacts = serde_json::from_value(value).unwrap_or_default();
    NodeFacts {
        quality: facts.quality.min(100),
        ..facts
    }
}

fn bound(value: &mut Value) {
    match value {
        Value::Array(values) => {
            values.truncate(LIST_MAX);
            values.iter_mut().for_each(bound);
        }
        Value::Object(map) => {
            let beyond: Vec<String> = map.keys().skip(LIST_MAX).cloned().collect();
            for key in beyond {
                map.remove(&key);
            }
            map.values_mut().for_each(bound);
        }
        _ => {}
    }
}

/// An answer of the peer, with cleaned texts.
///
/// # Errors
/// The line is no answer that this version knows.
pub fn answer(line: &str) -> Result<Answer, String> {
    let mut value: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
    clean(&mut value);
    serde_json::from_value(value).map_err(|error| error.to_string())
}

// The recursion is bounded: serde_json reads no deeper than 128 levels.
fn clean(value: &mut Value) {
    match value {
        Value::String(said) => *said = text(said),
        Value::Array(values) => values.iter_mut().for_each(clean),
        Value::Object(map) => {
            for (key, mut value) in std::mem::take(map) {
                clean(&mut value);
                map.insert(text(&key), value);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_cannot_draw_on_a_terminal() {
        let line = "{\"answer\":\"done\",\"lines\":[\"a\\u001b[2Jb\\nc\"]}";
        let lines = vec!["a[2Jbc".to_owned()];
        assert_eq!(answer(line), Ok(Answer::Done { lines }));
    }

    proptest::proptest! {
        #[test]
        fn no_word_of_the_other_node_does_harm(line in ".*", depth in 0_usize..300) {
            let _ = answer(&line);
            let nested = "{\"answer\":".repeat(depth) + &line;
            let _ = answer(&nested);
            proptest::prop_assert!(!text(&line).contains(char::is_control));
        }
    }

    #[test]
    fn garbage_is_no_answer() {
        for garbage in [
            "",
            "{}",
            "[1]",
            "{\"answer\":\"never\"}",
            &"[".repeat(100_000),
        ] {
            assert!(answer(garbage).is_err(), "{garbage:.20}");
        }
    }
}
