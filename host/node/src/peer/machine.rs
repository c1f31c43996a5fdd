//! Compares what must be equal on both machines although spared does not set it. A difference is reported only after it
//! has lasted for a while, as an administrator changes one node after the other.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use spared_message::clean;
use spared_verdict::{MachineDifference, MachineFacts, RuleDigests, machine_differences};

/// Maximum length of a name and of a value, in characters.
const TEXT_MAX: usize = 300;
/// Maximum numbers of tables and parts, of settings, and of rules of policy routing, that are taken from the peer.
const ENTRIES_MAX: usize = 2000;
const SETTINGS_MAX: usize = 256;
const ROUTING_RULES_MAX: usize = 256;
const DIFFERENCES_MAX: usize = 32;

/// Values of both machines, and their differences.
#[derive(Debug, Default)]
pub struct Machines {
    own: Option<MachineFacts>,
    theirs: Option<MachineFacts>,
    /// Differences that are ignored.
    ignored: Vec<String>,
    found: Vec<MachineDifference>,
    /// Time since which each object differs.
    since: BTreeMap<String, Instant>,
}

impl Machines {
    /// Sets the values of this machine. Returns true if they must be sent to the peer.
    pub fn set_own(&mut self, now: Instant, own: MachineFacts) -> bool {
        let is_new = self.own.as_ref() != Some(&own);
        if is_new {
            self.own = Some(own);
            self.compare(now);
        }
        is_new
    }

    /// Sets the names of objects that may differ.
    pub fn set_ignored(&mut self, now: Instant, ignored: Vec<String>) {
        if self.ignored != ignored {
            self.ignored = ignored;
            self.compare(now);
        }
    }

    /// Returns the values of this machine, once they are known.
    pub fn own(&self) -> Option<&MachineFacts> {
        self.own.as_ref()
    }

    /// Handles the values of the peer's machine.
    pub fn handle_theirs(&mut self, now: Instant, theirs: MachineFacts) {
        self.theirs = Some(cleaned(theirs));
        self.compare(now);
    }

    /// Forgets the values of the peer's machine. A difference that still exists when the peer is heard again keeps its
    /// begin.
    pub fn handle_down(&mut self) {
        self.theirs = None;
        self.found.clear();
    }

    /// Returns the differences that have lasted for `after`.
    pub fn lasting(&self, now: Instant, after: Duration) -> Vec<MachineDifference> {
        let lasts = |it: &&MachineDifference| {
            let since = self.since.get(&it.object());
            since.is_some_and(|since| now.saturating_duration_since(*since) >= after)
        };
        self.found.iter().filter(lasts).cloned().collect()
    }

    fn compare(&mut self, now: Instant) {
        let (Some(own), Some(theirs)) = (&self.own, &self.theirs) else {
            return;
        };
        self.found = machine_differences(own, theirs, &self.ignored);
        self.found.truncate(DIFFERENCES_MAX);
        let objects: BTreeSet<String> = self.found.iter().map(MachineDifference::object).collect();
        self.since.retain(|object, _| objects.contains(object));
        for object in objects {
            self.since.entry(object).or_insert(now);
        }
    }
}

fn cleaned(said: MachineFacts) -> MachineFacts {
    let text = |text: String| clean::short(&text, TEXT_MAX);
    let settings = said.settings.into_iter().take(SETTINGS_MAX);
    let rules = |it: BTreeSet<String>| it.into_iter().take(ROUTING_RULES_MAX).map(text).collect();
    let families = |it: BTreeSet<String>| it.into_iter().take(2).map(text).collect();
    MachineFacts {
        rules_by: text(said.rules_by),
        rules: said.rules.map(cleaned_rules),
        elements: cleaned_rules(said.elements),
        settings: settings
            .map(|(key, value)| (text(key), text(value)))
            .collect(),
        default_routes: said.default_routes.map(families),
        routing_rules: said.routing_rules.map(rules),
    }
}

fn cleaned_rules(said: RuleDigests) -> RuleDigests {
    let mut rules = RuleDigests::new();
    let mut left = ENTRIES_MAX;
    for (table, parts) in said {
        if left == 0 {
            break;
        }
        left -= 1;
        let parts: Vec<_> = parts.into_iter().take(left).collect();
        left -= parts.len();
        let parts = parts.into_iter();
        let parts = parts.map(|(part, digests)| (clean::short(&part, TEXT_MAX), digests));
        rules.insert(clean::short(&table, TEXT_MAX), parts.collect());
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER: Duration = Duration::from_secs(60);

    fn facts(value: &str) -> MachineFacts {
        let settings = [("net.a".to_owned(), value.to_owned())];
        MachineFacts {
            settings: settings.into(),
            ..MachineFacts::default()
        }
    }

    #[test]
    fn a_difference_is_told_once_it_has_lasted_and_no_more_when_it_ends() {
        let start = Instant::now();
        let mut machines = Machines::default();
        assert!(machines.set_own(start, facts("1")));
        machines.handle_theirs(start, facts("2"));
        let told = |machines: &Machines, after_s| {
            let now = start + Duration::from_secs(after_s);
            machines.lasting(now, AFTER).len()
        };
        assert_eq!((told(&machines, 59), told(&machines, 60)), (0, 1));
        // another value is the same difference
        machines.handle_theirs(start + AFTER, facts("3"));
        assert_eq!(told(&machines, 60), 1);
        machines.handle_down();
        assert_eq!(told(&machines, 70), 0, "not heard");
        machines.handle_theirs(start + AFTER * 2, facts("3"));
        assert_eq!(told(&machines, 120), 1, "it was there before");
        machines.handle_theirs(start + AFTER * 2, facts("1"));
        assert_eq!(told(&machines, 200), 0);
        assert!(
            !machines.set_own(start + AFTER * 4, facts("1")),
            "nothing new"
        );
        machines.set_own(start + AFTER * 4, facts("2"));
        assert_eq!(
            (told(&machines, 299), told(&machines, 300)),
            (0, 1),
            "begun again"
        );
        machines.set_ignored(start, vec!["sysctl net.a".to_owned()]);
        assert_eq!(told(&machines, 300), 0, "ignored by a reload");
    }

    #[test]
    fn what_the_peer_says_is_bounded_and_clean() {
        let parts = (0..5000).map(|n| (format!("chain \u{1b}{n}"), [0, 0]));
        let said = MachineFacts {
            rules: Some([("inet\nfilter".to_owned(), parts.collect())].into()),
            ..MachineFacts::default()
        };
        let rules = cleaned(said).rules.unwrap_or_default();
        let (table, parts) = rules.first_key_value().expect("a table");
        assert_eq!(table, "inetfilter");
        assert!(parts.len() < ENTRIES_MAX && parts.keys().all(|it| !it.contains('\u{1b}')));
    }
}
