//! One alarm, and the forms in which it is sent.

use serde::Serialize;

use crate::finding::{Key, Texts};
use crate::severity::Severity;

/// Reason for an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// A finding began.
    Begin,
    /// A finding is over.
    End,
    /// A finding lasts.
    Reminder,
    /// `sparectl alarm test`.
    Test,
}

/// Alarm to one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    pub event: Event,
    pub key: Key,
    pub texts: Texts,
    /// Time of the event in ms since 1970, which is also its number: two alarms of a finding have different ones.
    pub at_ms: u64,
    /// Node that sends it.
    pub sender: String,
}

/// Alarm as JSON. `text` is what chat systems print.
#[derive(Serialize)]
struct Json<'n> {
    text: &'n str,
    event: Event,
    severity: &'static str,
    id: &'n str,
    node: &'n str,
    thing: &'n str,
    finding: &'n str,
    todo: &'n str,
    since: &'n str,
    at: &'n str,
    sender: &'n str,
    number: u64,
}

impl Event {
    pub fn word(self) -> &'static str {
        match self {
            Self::Begin => "begin",
            Self::End => "end",
            Self::Reminder => "reminder",
            Self::Test => "test",
        }
    }
}

impl Notification {
    /// Alarm of `sparectl alarm test`.
    pub fn test(sender: &str, at_ms: u64) -> Self {
        Self {
            event: Event::Test,
            key: Key {
                id: "test".to_owned(),
                node: sender.to_owned(),
                thing: "alarm".to_owned(),
            },
            texts: Texts {
                text: format!("this is a test of spared's alarms on {sender}"),
                todo: "Nothing is wrong.".to_owned(),
                since: String::new(),
            },
            at_ms,
            sender: sender.to_owned(),
        }
    }

    /// Severity; that of a test is notice.
    pub fn severity(&self) -> Severity {
        match self.event {
            Event::Test => Severity::Notice,
            _ => self.key.severity(),
        }
    }

    /// Time of the event, as in RFC 3339.
    pub fn at(&self) -> String {
        let at_ms = i64::try_from(self.at_ms).unwrap_or(i64::MAX);
        let at = jiff::Timestamp::from_millisecond(at_ms);
        at.map_or_else(|_| String::new(), |it| format!("{it:.3}"))
    }

    /// One line: `critical: r1: r2 is not heard (SP-0101)`.
    pub fn subject(&self) -> String {
        let (text, id) = (&self.texts.text, &self.key.id);
        let before = match self.event {
            Event::Begin => self.severity().word(),
            Event::End => "over",
            Event::Reminder => "still",
            Event::Test => return one_line(text),
        };
        one_line(&format!("{before}: {text} ({id})"))
    }

    /// The sentence, what to type, and the facts, in lines.
    pub fn body(&self) -> String {
        let Self { key, texts, .. } = self;
        let mut lines = vec![format!("{}.", self.subject())];
        if self.event != Event::End && !texts.todo.is_empty() {
            lines.push(one_line(&texts.todo));
        }
        lines.push(String::new());
        let facts = [
            ("event", self.event.word()),
            ("severity", self.severity().word()),
            ("node", &key.node),
            ("since", &texts.since),
            ("at", &self.at()),
            ("sent by", &self.sender),
        ];
        let facts = facts.iter().filter(|(_, value)| !value.is_empty());
        lines.extend(facts.map(|(name, value)| format!("{name}: {}", one_line(value))));
        lines.join("\n") + "\n"
    }

    pub fn json(&self) -> String {
        let Self { key, texts, .. } = self;
        let mut text = self.subject();
        if self.event != Event::End && !texts.todo.is_empty() {
            text = format!("{text}. {}", one_line(&texts.todo));
        }
        let json = Json {
            text: &text,
            event: self.event,
            severity: self.severity().word(),
            id: &key.id,
            node: &key.node,
            thing: &key.thing,
            finding: &texts.text,
            todo: &texts.todo,
            since: &texts.since,
            at: &self.at(),
            sender: &self.sender,
            number: self.at_ms,
        };
        // texts and a number: there is nothing that could fail
        serde_json::to_string(&json).unwrap_or_default()
    }

    /// Environment of a program.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let Self { key, texts, .. } = self;
        vec![
            ("SPARED_EVENT", self.event.word().to_owned()),
            ("SPARED_SEVERITY", self.severity().word().to_owned()),
            ("SPARED_ID", one_line(&key.id)),
            ("SPARED_FINDING_NODE", one_line(&key.node)),
            ("SPARED_THING", one_line(&key.thing)),
            ("SPARED_TEXT", one_line(&texts.text)),
            ("SPARED_TODO", one_line(&texts.todo)),
            ("SPARED_SINCE", one_line(&texts.since)),
            ("SPARED_AT", self.at()),
            ("SPARED_NODE", one_line(&self.sender)),
        ]
    }
}

/// Text without line feeds and other control characters, which would begin a header of a mail, or break a line of syslog.
pub fn one_line(text: &str) -> String {
    let plain = |letter: char| if letter.is_control() { ' ' } else { letter };
    text.chars().map(plain).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub fn sample(event: Event) -> Notification {
        Notification {
            event,
            key: Key {
                id: "SP-0401".to_owned(),
                node: "r1".to_owned(),
                thing: "disk".to_owned(),
            },
            texts: Texts {
                text: "r1: check \"disk\" fails".to_owned(),
                todo: "See `sparectl health`.".to_owned(),
                since: "2026-11-29 15:00:00".to_owned(),
            },
            at_ms: 1_795_968_000_123,
            sender: "r2".to_owned(),
        }
    }

    #[test]
    fn a_mail_has_the_sentence_what_to_type_and_the_facts() {
        let text = sample(Event::Begin).body();
        assert_eq!(
            text,
            "warning: r1: check \"disk\" fails (SP-0401).\nSee `sparectl health`.\n\n\
             event: begin\nseverity: warning\nnode: r1\nsince: 2026-11-29 15:00:00\n\
             at: 2026-11-29T16:00:00.123Z\nsent by: r2\n"
        );
    }

    #[test]
    fn the_end_has_no_remedy() {
        let over = sample(Event::End);
        assert_eq!(over.subject(), "over: r1: check \"disk\" fails (SP-0401)");
        assert!(!over.body().contains("See"));
    }

    #[test]
    fn a_chat_gets_the_sentence_and_the_remedy_as_one_text() {
        let json: serde_json::Value =
            serde_json::from_str(&sample(Event::Reminder).json()).expect("JSON");
        let text = "still: r1: check \"disk\" fails (SP-0401). See `sparectl health`.";
        assert_eq!(json["text"], text);
        assert_eq!(
            (&json["event"], &json["sender"]),
            (&"reminder".into(), &"r2".into())
        );
    }

    #[test]
    fn no_text_begins_another_line() {
        let mut evil = sample(Event::Begin);
        evil.texts.text = "a\r\nBcc: everybody@example.net".to_owned();
        assert!(!evil.subject().contains(['\r', '\n']));
    }
}
