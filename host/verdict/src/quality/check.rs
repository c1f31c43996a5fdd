//! Stores a check as it was last reported.

use spared_contract::check::{POINTS_MAX, STATE_MAX, WEIGHT_MAX, check_name};

use crate::{CheckStatus, STATE_LOSES, STATE_UNKNOWN};

const WHY_MAX: usize = 200;

/// Object of a check, which decides how its sentence is worded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The interface of the same name.
    Interface,
    /// A plugin that was given up or refused.
    Plugin,
    /// Every other check.
    Other,
}

/// A check of a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    kind: Kind,
    name: String,
    /// Weight, 0-9999.
    pub(super) weight: u32,
    /// State: 0-100, [`STATE_UNKNOWN`] or [`STATE_LOSES`].
    pub(super) state: u32,
    why: String,
    /// Points that it takes off the quality, 0-253.
    pub(super) points: u32,
    since: String,
    /// True if the worker has ended and the next one has not reported the check again.
    pub(super) stale: bool,
}

/// A plugin's report of a check.
#[derive(Clone, Copy, Debug)]
pub struct CheckReport<'s> {
    /// Name, unique within the plugin.
    pub name: &'s str,
    /// Weight, 0 to [`WEIGHT_MAX`](super::WEIGHT_MAX).
    pub weight: u32,
    /// State: 0 to 100, [`STATE_UNKNOWN`](crate::STATE_UNKNOWN) or
    /// [`STATE_LOSES`](crate::STATE_LOSES).
    pub state: u32,
    /// Sentence about the state.
    pub why: &'s str,
    /// Points that it takes off the quality now, besides its weight.
    pub points: u32,
}

impl Check {
    pub(super) fn new(kind: Kind, said: CheckReport<'_>, at: String) -> Self {
        let CheckReport {
            name,
            weight,
            state,
            why,
            points,
        } = said;
        let printable = why.chars().filter(|c| !c.is_control());
        Self {
            kind,
            name: name.to_owned(),
            weight: weight.min(WEIGHT_MAX),
            state: match state {
                STATE_LOSES | STATE_UNKNOWN => state,
                state => state.min(STATE_MAX),
            },
            why: printable.take(WHY_MAX).collect(),
            points: match state {
                STATE_LOSES | STATE_UNKNOWN => 0,
                _ => points.min(POINTS_MAX),
            },
            since: at,
            stale: false,
        }
    }

    /// Keeps the time of the first report while the state is the same.
    pub(super) fn keep_since(&mut self, known: &Self) {
        if known.state == self.state {
            self.since.clone_from(&known.since);
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the state as it counts. A state that is not known yet counts as good, so that it
    /// changes no role; so does one that a failover would lose.
    pub(super) fn counted(&self) -> u32 {
        self.state.min(100)
    }

    /// Returns the cost of the check, for an order: its weight times the difference between 100 and its state. Points
    /// cost more, as they do not depend on the other checks.
    pub(super) fn cost(&self) -> u32 {
        self.weight * (100 - self.counted()) + self.points * 100 * WEIGHT_MAX
    }

    /// Returns a sentence such as `interface "in" has no carrier` or `check "internet" fails: 3 of
    /// 3 lost`. It names the plugin if there is one: another plugin has a check of the same name.
    pub fn sentence(&self, plugin: Option<&str>) -> String {
        let (name, why) = (&self.name, &self.why);
        let of = plugin.map_or_else(String::new, |plugin| format!(" of {plugin}"));
        match self.kind {
            Kind::Plugin => format!("{name} does not run"),
            Kind::Interface if is_predicate(why) => format!("interface \"{name}\" {why}"),
            Kind::Interface if why.is_empty() => self.verdict("interface", ""),
            Kind::Interface => format!("interface \"{name}\": {why}"),
            Kind::Other if why.is_empty() => self.verdict("check", &of),
            Kind::Other => format!("{}: {why}", self.verdict("check", &of)),
        }
    }

    fn verdict(&self, noun: &str, of: &str) -> String {
        let name = &self.name;
        match self.state {
            STATE_UNKNOWN => format!("{noun} \"{name}\"{of} is not known yet"),
            100 | STATE_LOSES => format!("{noun} \"{name}\"{of} is good"),
            0 => format!("{noun} \"{name}\"{of} fails"),
            state => format!("{noun} \"{name}\"{of} is at {state} of 100"),
        }
    }

    pub(super) fn status(&self, plugin: &str, is_shared: bool) -> CheckStatus {
        CheckStatus {
            plugin: plugin.to_owned(),
            name: self.name.clone(),
            weight: self.weight,
            state: self.state,
            why: self.why.clone(),
            points: self.points,
            since: self.since.clone(),
            is_shared,
        }
    }
}

pub(super) fn is_name(name: &str) -> bool {
    check_name(name).is_ok()
}

// True if name and `why` form a sentence, such as "has no carrier".
fn is_predicate(why: &str) -> bool {
    let verb = why.split(' ').next().unwrap_or(why);
    ["has", "is", "does", "lets", "reaches"].contains(&verb)
}
