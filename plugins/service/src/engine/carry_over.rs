//! Record that is carried over to the next worker: roles, and work that must not be repeated after a crash.

use std::collections::BTreeMap;

/// Last work by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CarryOver {
    done: BTreeMap<String, String>,
    changed: bool,
}

impl CarryOver {
    /// Parses lines of a name, a tab and the work; other lines are skipped.
    pub(super) fn parse(text: &str) -> Self {
        let entries = text.lines().filter_map(|line| line.split_once('\t'));
        Self {
            done: entries
                .map(|(name, done)| (name.to_owned(), done.to_owned()))
                .collect(),
            changed: false,
        }
    }

    pub(super) fn has(&self, name: &str, done: &str) -> bool {
        self.get(name).is_some_and(|known| known == done)
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.done.get(name).map(String::as_str)
    }

    /// Names whose last work was this one.
    pub(super) fn names<'m>(&'m self, done: &'m str) -> impl Iterator<Item = &'m str> {
        let done = self.done.iter().filter(move |(_, it)| *it == done);
        done.map(|(name, _)| name.as_str())
    }

    /// Entries whose names begin with the prefix: the rest of the name, and the work.
    pub(super) fn of_prefix(&self, prefix: &str) -> Vec<(String, String)> {
        let rest = |(name, done): (&String, &String)| {
            let name = name.strip_prefix(prefix)?;
            Some((name.to_owned(), done.clone()))
        };
        self.done.iter().filter_map(rest).collect()
    }

    pub(super) fn set(&mut self, name: &str, done: String) {
        if !self.has(name, &done) {
            self.done.insert(name.to_owned(), done);
            self.changed = true;
        }
    }

    pub(super) fn forget(&mut self, name: &str) {
        self.changed |= self.done.remove(name).is_some();
    }

    /// Text to save, if it has changed.
    pub(super) fn poll_text(&mut self) -> Option<String> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        let lines = self.done.iter();
        Some(
            lines
                .map(|(name, done)| format!("{name}\t{done}\n"))
                .collect(),
        )
    }
}
