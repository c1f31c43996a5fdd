//! Answers of the peer to requests that were passed on.

use serde_json::Value;
use spared_control::Answer;
use spared_message::clean;

/// An answer of the peer, with cleaned texts.
///
/// # Errors
/// The line is no answer that this version knows.
pub fn answer(line: &str) -> Result<Answer, String> {
    let mut value: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
    clean::value(&mut value);
    serde_json::from_value(value).map_err(|error| error.to_string())
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
            proptest::prop_assert!(!clean::text(&line).contains(char::is_control));
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
