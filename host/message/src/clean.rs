//! Cleans texts of the peer and of other processes, which appear on terminals and in logs. Removes control characters
//! and bounds the length.

use serde_json::Value;
use spared_verdict::NodeFacts;

const TEXT_MAX: usize = 2048;
const LIST_MAX: usize = 256;

/// Returns the text without control characters, and at most `TEXT_MAX` characters of it.
pub fn text(text: &str) -> String {
    short(text, TEXT_MAX)
}

/// Returns the text without control characters, and at most `limit` characters of it.
pub fn short(text: &str, limit: usize) -> String {
    let text = text.chars().filter(|c| !c.is_control());
    text.take(limit).collect()
}

/// Returns a text of any length as one line, without characters that move the cursor of a terminal.
pub fn line(text: &str) -> String {
    text.trim_end().replace(char::is_control, " ")
}

/// Returns facts of the peer with bounded lists and cleaned texts.
pub fn facts(said: NodeFacts) -> NodeFacts {
    let mut value = serde_json::to_value(said).unwrap_or_default();
    self::value(&mut value);
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

/// Cleans every text of a value. The recursion is bounded: serde_json reads no deeper than 128 levels.
pub fn value(value: &mut Value) {
    match value {
        Value::String(said) => *said = text(said),
        Value::Array(values) => values.iter_mut().for_each(self::value),
        Value::Object(map) => {
            for (key, mut entry) in std::mem::take(map) {
                self::value(&mut entry);
                map.insert(text(&key), entry);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_others_is_one_line_and_bounded() {
        assert_eq!(line("a\nb\u{1b}[2J\t\n"), "a b [2J");
        assert_eq!(short("a\nb\u{1b}[2J", 3), "ab[");
        assert_eq!(text(&"é".repeat(TEXT_MAX + 1)).chars().count(), TEXT_MAX);
    }
}
