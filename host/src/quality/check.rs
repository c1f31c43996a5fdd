//! One check.

use spared_control::CheckStatus;

use super::WEIGHT_MAX;

const NAME_MAX: usize = 64;
const WHY_MAX: usize = 200;

/// What a plugin last said about one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    name: String,
    /// 0-9999.
    pub(super) weight: u32,
    /// 0-100.
    pub(super) state: u32,
    why: String,
    since: String,
    /// Its plugin was started again and has not repeated it.
    pub(super) stale: bool,
}

impl Check {
    pub(super) fn new(name: &str, weight: u32, state: u32, why: &str, at: String) -> Self {
        let printable = why.chars().filter(|c| !c.is_control());
        Self {
            name: name.to_owned(),
            weight: weight.min(WEIGHT_MAX),
            state: state.min(100),
            why: printable.take(WHY_MAX).collect(),
            since: at,
            stale: false,
        }
    }

    /// The same state lasts since it was first said.
    pub(super) fn keep_since(&mut self, known: &Self) {
        if known.state == self.state {
            self.since.clone_from(&known.since);
        }
    }

    /// How much it takes away.
    pub(super) fn cost(&self) -> u32 {
        self.weight * (100 - self.state)
    }

    /// `interface "in" has no carrier`, `check "internet" fails (3 of 3 lost)`.
    pub fn sentence(&self) -> String {
        let (name, why) = (&self.name, &self.why);
        if name.starts_with("plugin ") {
            return match self.state {
                100 => format!("{name} runs"),
                _ => format!("{name} does not run"),
            };
        }
        match (why.as_str(), self.state) {
            ("no carrier", _) => format!("interface \"{name}\" has no carrier"),
            ("down" | "absent", _) => format!("interface \"{name}\" is {why}"),
            ("up", 100) => format!("interface \"{name}\" is up"),
            ("", 100) => format!("check \"{name}\" is good"),
            ("", 0) => format!("check \"{name}\" fails"),
            ("", state) => format!("check \"{name}\" is at {state} of 100"),
            (why, 100) => format!("check \"{name}\" is good ({why})"),
            (why, 0) => format!("check \"{name}\" fails ({why})"),
            (why, state) => format!("check \"{name}\" is at {state} of 100 ({why})"),
        }
    }

    pub(super) fn status(&self, plugin: &str) -> CheckStatus {
        CheckStatus {
            plugin: plugin.to_owned(),
            name: self.name.clone(),
            weight: self.weight,
            state: self.state,
            why: self.why.clone(),
            since: self.since.clone(),
        }
    }
}

pub(super) fn is_name(name: &str) -> bool {
    (1..=NAME_MAX).contains(&name.len()) && !name.chars().any(char::is_control)
}
