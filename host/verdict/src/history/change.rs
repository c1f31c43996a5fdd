//! Role changes of groups, with the fitness of both nodes at that time.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::cause::Sentence as _;
use crate::cause::{Cause, CauseKind};
use crate::facts::Role;

/// Maximum number of failing checks that are kept with a change, for each node.
const FAILING_MAX: usize = 3;

/// Quality of a node at a role change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Fitness {
    /// Name of the node.
    pub node: String,
    /// Quality, 0 to 100.
    pub quality: u8,
    /// Checks that lowered the quality, one sentence each, worst first.
    pub failing: Vec<String>,
    /// Time of the report; only set for the other node.
    pub said: Option<String>,
}

impl Fitness {
    /// Keeps only the worst checks, as they are stored with a change.
    #[must_use]
    pub fn brief(mut self) -> Self {
        self.failing.truncate(FAILING_MAX);
        self
    }

    fn correct(&mut self, quality: u32, seen: Option<&String>) {
        let Some(quality) = u8::try_from(quality).ok().filter(|it| *it != self.quality) else {
            return;
        };
        (self.quality, self.said) = (quality, None);
        self.failing = seen.into_iter().cloned().collect();
    }
}

/// A role change of a group on a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RoleChange {
    /// Time, with milliseconds.
    pub at: String,
    /// Name of the group, as configured.
    pub group: String,
    /// Number of the change, which is the same on both nodes; None for one between backup and fault.
    pub number: Option<u64>,
    /// Old role.
    pub from: Role,
    /// New role.
    pub to: Role,
    /// Cause of the change.
    pub cause: Cause,
    /// Cause as a word for programs: "peer-silent".
    pub reason: String,
    /// Cause as a sentence, made at that time.
    pub why: String,
    /// Node whose role has changed.
    pub own: Fitness,
    /// Other node as known then; None if it had not been heard.
    pub peer: Option<Fitness>,
}

impl RoleChange {
    /// Makes a role change with its cause. `own` and `peer` are the last known state of both nodes. The numbers in the
    /// cause are newer: with short intervals the elector is ahead of checks and link.
    pub fn new(to: Role, cause: Cause, mut own: Fitness, mut peer: Option<Fitness>) -> Self {
        if cause.kind == CauseKind::Quality {
            let seen = Some(&cause.text).filter(|text| !text.is_empty());
            own.correct(cause.own, seen);
            if let Some(peer) = peer.as_mut().filter(|it| it.node == cause.peer) {
                peer.correct(cause.theirs, None);
            }
        }
        Self {
            to,
            reason: cause.reason(to).to_owned(),
            why: cause.sentence(to, &own, peer.as_ref()),
            cause,
            own,
            peer,
            ..Self::default()
        }
    }
}

/// Returns the last change of a group on each node, in the order of `changes`.
pub fn last_of_each_node(changes: &[RoleChange], group: &str) -> Vec<RoleChange> {
    let mut known = BTreeSet::new();
    let newest = changes.iter().rev().filter(|it| it.group == group);
    let newest = newest.filter(|it| known.insert(&it.own.node));
    let mut last: Vec<RoleChange> = newest.cloned().collect();
    last.reverse();
    last
}
