//! Parses answers of the peer, and shortens answers to it.

use spared_message::clean;
use spared_message::control::{Answer, ErrorCode, refusal};
use spared_message::word::{WORD_MAX, Word};

/// Parses an answer of the peer, and cleans its texts.
///
/// # Errors
/// The line is not an answer that this version knows.
pub fn answer(line: &str) -> Result<Answer, String> {
    let mut value: serde_json::Value =
        serde_json::from_str(line).map_err(|error| error.to_string())?;
    clean::value(&mut value);
    serde_json::from_value(value).map_err(|error| error.to_string())
}

/// Returns an answer as a line that fits into a word. The newest events and changes are kept.
pub fn answer_line(id: u64, mut answer: Answer) -> String {
    loop {
        let line = serde_json::to_string(&answer).unwrap_or_default();
        let word = Word::Answer {
            id,
            answer: line.clone(),
        };
        let length = serde_json::to_string(&word).map_or(usize::MAX, |word| word.len());
        if length <= WORD_MAX {
            return line;
        }
        match &mut answer {
            Answer::Events { events } if !events.is_empty() => {
                events.drain(..events.len().div_ceil(2));
            }
            Answer::History(past) if !past.is_empty() => past.halve(),
            // The least important parts are dropped first.
            Answer::Status(status) if !status.rows.is_empty() => status.rows.clear(),
            Answer::Status(status) if !status.interfaces.is_empty() => status.interfaces.clear(),
            Answer::Status(status) if status.groups.iter().any(|it| !it.details.is_empty()) => {
                let groups = status.groups.iter_mut();
                groups.for_each(|group| group.details.clear());
            }
            _ => answer = refusal(ErrorCode::Failed, "the answer is too long for the link"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use spared_message::control::{Event, GroupStatus, Past, PastFinding, Status, Value};

    use super::*;

    #[test]
    fn a_long_list_of_events_is_cut_at_its_beginning() {
        let event = |number: u32| Event {
            text: format!("{number} \"{}\"", "x".repeat(300)),
            ..Event::default()
        };
        let events: Vec<Event> = (0..1000).map(event).collect();
        let last = events.last().cloned();
        let line = answer_line(1, Answer::Events { events });
        assert!(line.len() < WORD_MAX);
        match answer(&line) {
            Ok(Answer::Events { events }) => {
                assert!(events.len() >= 100);
                assert_eq!(events.last().cloned(), last);
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_long_history_loses_its_older_half_and_says_so() {
        let finding = |number: u32| PastFinding {
            began: format!("2026-11-20T10:{:02}:{:02}Z", number / 60, number % 60),
            ended: Some(format!(
                "2026-11-20T11:{:02}:{:02}Z",
                number / 60,
                number % 60
            )),
            text: "\"".repeat(300),
            ..PastFinding::default()
        };
        let findings: Vec<PastFinding> = (0..1000).map(finding).collect();
        let past = Past {
            findings: findings.clone(),
            ..Past::default()
        };
        let line = answer_line(1, Answer::History(Box::new(past)));
        match answer(&line) {
            Ok(Answer::History(past)) => {
                let kept = past.findings.len();
                assert!(kept > 50, "{kept}");
                assert_eq!(past.findings, findings[1000 - kept..]);
                assert!(past.is_cut);
                assert_eq!(past.since, findings[1000 - kept - 1].ended);
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_long_status_loses_its_rows_and_keeps_its_groups() {
        let long = BTreeMap::from([("flows".to_owned(), Value::Text("x".repeat(WORD_MAX)))]);
        let status = Status {
            groups: vec![GroupStatus::default()],
            rows: BTreeMap::from([("conntrack".to_owned(), long)]),
            ..Status::default()
        };
        let line = answer_line(1, Answer::Status(Box::new(status)));
        match answer(&line) {
            Ok(Answer::Status(status)) => {
                assert_eq!((status.groups.len(), status.rows.len()), (1, 0));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_answer_that_is_too_long_is_refused_and_not_sent() {
        let lines = vec!["x".repeat(WORD_MAX)];
        let line = answer_line(1, Answer::Done { lines });
        assert!(line.contains("too long"), "{line:.100}");
    }

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
