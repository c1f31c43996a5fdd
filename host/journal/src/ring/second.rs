//! The record of a second, and how it is printed.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::{Deserialize, Serialize};
use spared_message::control::Value;

use super::frame::TEXT_MAX;

/// Maximum number of groups and of checks that a record names.
const NAMED_MAX: usize = 24;
const WORDS_MAX: usize = 80;

/// Record of one second of this node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SecondRecord {
    /// Wall time, with milliseconds.
    pub at: String,
    /// Process id of the daemon.
    pub pid: u32,
    /// Delay in µs with which the loop handled this second.
    pub late_us: u64,
    /// Longest turn of the loop in µs, and the number of turns.
    pub longest_us: u64,
    pub turns: u64,
    /// Role of each group; if there are many groups, the number with each role.
    pub groups: BTreeMap<String, String>,
    /// Active groups whose fence lease has expired.
    pub lapsed: Vec<String>,
    pub quality: u8,
    /// Checks that lower the quality of this node.
    pub failing: Vec<String>,
    /// State of each link by its interface: "up 0.3 ms" or "down".
    pub links: BTreeMap<String, String>,
    /// Rows of the elector: adverts and heartbeats since it was started.
    pub elector: BTreeMap<String, Value>,
    /// Reason why there are no rows of the elector.
    pub elector_silent: String,
}

impl SecondRecord {
    /// Sets the groups from their names and roles.
    pub fn set_groups(&mut self, roles: &[(&str, &str)]) {
        if roles.len() <= NAMED_MAX {
            let roles = roles.iter();
            self.groups = roles
                .map(|(name, role)| (words(name), (*role).to_owned()))
                .collect();
            return;
        }
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for (_, role) in roles {
            *counts.entry(role).or_default() += 1;
        }
        let counts = counts.into_iter();
        self.groups = counts
            .map(|(role, count)| (format!("{count} groups"), role.to_owned()))
            .collect();
    }

    /// Text of a frame. If it is too long, names are left out: they matter less than the times.
    pub(super) fn to_text(&self) -> String {
        let text = serde_json::to_string(&self.bounded()).unwrap_or_default();
        if text.len() <= TEXT_MAX {
            return text;
        }
        let short = Self {
            groups: BTreeMap::new(),
            lapsed: Vec::new(),
            failing: Vec::new(),
            links: BTreeMap::new(),
            elector: BTreeMap::new(),
            ..self.bounded()
        };
        serde_json::to_string(&short).unwrap_or_default()
    }

    fn bounded(&self) -> Self {
        let list = |list: &[String]| list.iter().take(NAMED_MAX).map(|it| words(it)).collect();
        Self {
            lapsed: list(&self.lapsed),
            failing: list(&self.failing),
            elector_silent: words(&self.elector_silent),
            ..self.clone()
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    // The record as text. `before` is the previous second of the same process.
    fn line(&self, before: Option<&Self>) -> String {
        let ms = |us: u64| us as f64 / 1000.0;
        let mut line = format!(
            "{}  pid {}  loop: {:.1} ms late, longest of {} turns {:.1} ms; quality {}",
            self.at,
            self.pid,
            ms(self.late_us),
            self.turns,
            ms(self.longest_us),
            self.quality
        );
        let mut add = |name: &str, entries: Vec<String>| {
            if !entries.is_empty() {
                let _ = write!(line, "; {name}: {}", entries.join(", "));
            }
        };
        let pair = |(name, state): (&String, &String)| format!("{name} {state}");
        add("failing", self.failing.clone());
        add("groups", self.groups.iter().map(pair).collect());
        add("lapsed", self.lapsed.clone());
        add("links", self.links.iter().map(pair).collect());
        let elector = self.elector.iter();
        let old = |key: &String| before.and_then(|it| it.elector.get(key));
        add(
            "elector",
            elector
                .map(|(key, value)| row(key, value, old(key)))
                .collect(),
        );
        if !self.elector_silent.is_empty() {
            add("elector", vec![self.elector_silent.clone()]);
        }
        line.replace(char::is_control, " ")
    }
}

// A row such as "adverts_sent 1234 (+10)". Times have no difference.
fn row(key: &str, value: &Value, before: Option<&Value>) -> String {
    let is_time = key.ends_with("_ms") || key.ends_with("_us");
    match (value, before) {
        (Value::Number(now), Some(Value::Number(before))) if now > before && !is_time => {
            format!("{key} {now} (+{})", now - before)
        }
        (Value::Number(now), _) => format!("{key} {now}"),
        (Value::Text(text), _) => format!("{key} {text}"),
        (Value::Signed(now), _) => format!("{key} {now}"),
        (Value::Flag(now), _) => format!("{key} {now}"),
    }
}

fn words(text: &str) -> String {
    text.chars().take(WORDS_MAX).collect()
}

/// Text with a line for each second, and an empty line between two runs of the daemon.
pub fn table(seconds: &[SecondRecord]) -> String {
    let mut text = String::new();
    let mut before: Option<&SecondRecord> = None;
    for second in seconds {
        let same = before.filter(|before| before.pid == second.pid);
        if before.is_some() && same.is_none() {
            text.push('\n');
        }
        text += &second.line(same);
        text.push('\n');
        before = Some(second);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(pid: u32, sent: u64) -> SecondRecord {
        SecondRecord {
            at: "2026-11-22T09:00:00.000+00:00".to_owned(),
            pid,
            late_us: 1234,
            turns: 7,
            longest_us: 560,
            quality: 73,
            failing: vec!["check \"internet\"".to_owned()],
            groups: BTreeMap::from([("office".to_owned(), "active".to_owned())]),
            links: BTreeMap::from([("lan9".to_owned(), "up 0.3 ms".to_owned())]),
            elector: BTreeMap::from([("adverts_sent".to_owned(), Value::Number(sent))]),
            ..SecondRecord::default()
        }
    }

    #[test]
    fn a_second_is_a_line_with_what_was_counted_since_the_one_before() {
        let text = table(&[second(1, 5), second(1, 15), second(2, 3)]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[1],
            "2026-11-22T09:00:00.000+00:00  pid 1  loop: 1.2 ms late, longest of 7 turns 0.6 ms; quality 73; \
             failing: check \"internet\"; groups: office active; links: lan9 up 0.3 ms; \
             elector: adverts_sent 15 (+10)"
        );
        assert_eq!(lines[2], "", "another run");
        assert!(lines[3].ends_with("adverts_sent 3"));
    }

    #[test]
    fn what_is_written_is_read_and_is_never_too_long() {
        let one = second(1, 5);
        assert_eq!(SecondRecord::parse(&one.to_text()), Some(one));
        let names: Vec<String> = (0..300).map(|n| format!("group-{n}")).collect();
        let mut many = SecondRecord {
            failing: vec!["\"\u{1}".repeat(5000); 300],
            elector_silent: "\u{1}".repeat(5000),
            ..SecondRecord::default()
        };
        let roles: Vec<(&str, &str)> = names.iter().map(|it| (it.as_str(), "backup")).collect();
        many.set_groups(&roles);
        assert_eq!(many.groups["300 groups"], "backup");
        assert!(many.to_text().len() <= TEXT_MAX);
        assert!(SecondRecord::parse(&many.to_text()).is_some());
    }

    #[test]
    fn what_is_no_record_is_none_and_draws_nothing() {
        for text in ["", "7", "{\"pid\":-1}", "\u{0}"] {
            assert_eq!(SecondRecord::parse(text), None, "{text}");
        }
        let drawn = table(&[SecondRecord {
            at: "\u{1b}[2J\n".to_owned(),
            ..SecondRecord::default()
        }]);
        assert_eq!(drawn.matches(char::is_control).count(), 1);
    }
}
