//! Keeps role changes across restarts: the newest of all, and the last of each group.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::cause::Sentence as _;
use crate::cause::{Cause, CauseKind};
use crate::change_numbers::ChangeNumbers;
use crate::facts::Role;

/// Number of newest changes that are kept, of any group.
const KEPT_MAX: usize = 100;
/// Maximum number of changes, including the last change of each group: more than any router has groups.
const ALL_MAX: usize = 1024;
/// Maximum number of failing checks that are kept with a change, for each node.
const FAILING_MAX: usize = 3;
/// Time in s after a role change within which the other node may still report why it is less fit.
const LATE_S: i64 = 2;

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

/// Changes that a node keeps, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    changes: Vec<RoleChange>,
    /// Kernel's id of the boot in which the last run began.
    #[serde(default)]
    boot: String,
}

impl History {
    /// Returns all changes, oldest first.
    pub fn changes(&self) -> &[RoleChange] {
        &self.changes
    }

    /// Numbers of this node's last changes by group.
    pub fn numbers(&self) -> BTreeMap<String, ChangeNumbers> {
        let mut all: BTreeMap<String, ChangeNumbers> = BTreeMap::new();
        for change in &self.changes {
            if let Some(number) = change.number {
                let numbers = all.entry(change.group.clone()).or_default();
                numbers.note(number, change.to);
            }
        }
        all
    }

    /// Adds a change, and drops the oldest one if there are too many. The last change of each group stays, unless there
    /// are too many groups.
    pub fn push(&mut self, change: RoleChange) {
        self.changes.push(change);
        let Some(leaves) = self.changes.len().checked_sub(KEPT_MAX + 1) else {
            return;
        };
        for index in self.superseded(leaves).into_iter().rev() {
            self.changes.remove(index);
        }
        let excess = self.changes.len().saturating_sub(ALL_MAX);
        self.changes.drain(..excess);
    }

    /// Returns the indices of changes to drop. The change at `leaves` is no longer among the newest. Until the latest
    /// change was added, each change before it was the last of its group.
    fn superseded(&self, leaves: usize) -> Vec<usize> {
        let (older, newest) = self.changes.split_at(leaves + 1);
        let latest = newest.last().map(|it| &it.group);
        let is_told = |it: &RoleChange| newest.iter().any(|newer| newer.group == it.group);
        let gone = older
            .iter()
            .enumerate()
            .filter(|(index, it)| latest == Some(&it.group) || *index == leaves && is_told(it));
        gone.map(|(index, _)| index).collect()
    }

    /// Adds the checks of the other node's report at `now` to changes shortly before it that have the same quality and
    /// no checks. Returns true if there were any.
    pub fn handle_peer_fitness(&mut self, now: &str, peer: &Fitness) -> bool {
        let time = |text: &str| text.parse::<Timestamp>().ok();
        let is_late = |it: &RoleChange| match (time(now), time(&it.at)) {
            (Some(now), Some(at)) => now.duration_since(at).as_secs() < LATE_S,
            _ => false,
        };
        let mut is_new = false;
        for change in self.changes.iter_mut().rev().take_while(|it| is_late(it)) {
            let known = change.peer.as_mut().filter(|it| {
                (&it.node, it.quality) == (&peer.node, peer.quality) && it.failing.is_empty()
            });
            let Some(known) = known.filter(|_| !peer.failing.is_empty()) else {
                continue;
            };
            *known = peer.clone();
            let own = &change.own;
            change.why = change.cause.sentence(change.to, own, change.peer.as_ref());
            is_new = true;
        }
        is_new
    }

    /// Begins a run in the boot with this id of the kernel. Returns false if the previous run was in another boot.
    pub fn handle_boot(&mut self, boot: &str) -> bool {
        let before = std::mem::replace(&mut self.boot, boot.to_owned());
        before == boot && !boot.is_empty()
    }

    /// Starts a run, with every group as backup. Adds a change for each group that was active at the end of the
    /// previous run, and returns these groups. `own` is this node's state.
    pub fn handle_start(&mut self, at: &str, own: &Fitness) -> BTreeSet<String> {
        let left = newest_of_each(&self.changes);
        let left = left.filter(|it| it.to == Role::Active && it.own.node == own.node);
        let why = "spared was started; its previous run ended abnormally";
        let cause = Cause::new(CauseKind::Started, why);
        let numbers = self.numbers();
        let number = |last: &RoleChange| {
            let own = numbers.get(&last.group).copied().unwrap_or_default();
            own.next(ChangeNumbers::default(), last.to, Role::Backup)
        };
        let ended = left.map(|last| RoleChange {
            at: at.to_owned(),
            group: last.group.clone(),
            number: number(last),
            from: last.to,
            ..RoleChange::new(Role::Backup, cause.clone(), own.clone(), None)
        });
        let ended: Vec<RoleChange> = ended.collect();
        let groups = ended.iter().map(|it| it.group.clone()).collect();
        for change in ended {
            self.push(change);
        }
        groups
    }
}

/// Merges the changes of both nodes, oldest first: the newest `limit`, or all if that is None. If the clocks of the
/// nodes differ, the order is wrong by the difference.
pub fn merge(own: &[RoleChange], peer: Vec<RoleChange>, limit: Option<usize>) -> Vec<RoleChange> {
    let mut all: Vec<RoleChange> = own.iter().cloned().chain(peer).collect();
    all.sort_by(by_time);
    let beyond = limit.map_or(0, |limit| all.len().saturating_sub(limit));
    all.drain(..beyond);
    all
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

/// Returns the last change of each group, in the order of `changes`.
fn newest_of_each(changes: &[RoleChange]) -> impl Iterator<Item = &RoleChange> {
    let newest = changes.iter().zip(is_newest_of_its_group(changes));
    newest.filter_map(|(it, is_newest)| is_newest.then_some(it))
}

fn is_newest_of_its_group(changes: &[RoleChange]) -> Vec<bool> {
    let mut known = BTreeSet::new();
    let newest = changes.iter().rev();
    let mut newest: Vec<bool> = newest.map(|it| known.insert(&it.group)).collect();
    newest.reverse();
    newest
}

// Compares the times of two changes. An invalid time sorts first.
fn by_time(one: &RoleChange, other: &RoleChange) -> Ordering {
    let time = |it: &RoleChange| it.at.parse::<Timestamp>().ok();
    time(one).cmp(&time(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(at: &str, node: &str, group: &str, to: Role) -> RoleChange {
        RoleChange {
            at: at.to_owned(),
            group: group.to_owned(),
            to,
            own: fit(node),
            ..RoleChange::default()
        }
    }

    fn fit(node: &str) -> Fitness {
        Fitness {
            node: node.to_owned(),
            quality: 100,
            ..Fitness::default()
        }
    }

    fn times(changes: &[RoleChange]) -> Vec<&str> {
        changes.iter().map(|it| it.at.as_str()).collect()
    }

    #[test]
    fn the_oldest_makes_room_and_the_last_of_a_group_stays() {
        let mut history = History::default();
        history.push(change("0", "r1", "attic", Role::Active));
        for number in 1..=KEPT_MAX + 3 {
            history.push(change(&number.to_string(), "r1", "office", Role::Active));
        }
        let kept = times(history.changes());
        assert_eq!((kept.len(), &kept[..2]), (KEPT_MAX + 1, &["0", "4"][..]));
    }

    #[test]
    fn many_groups_have_their_last_change_each_and_no_more_than_a_bound() {
        let mut history = History::default();
        for number in 0..300 {
            let group = format!("g{number}");
            history.push(change("1", "r1", &group, Role::Active));
        }
        history.push(change("2", "r1", "g7", Role::Backup));
        assert_eq!(history.changes().len(), 300);
        assert_eq!(newest_of_each(history.changes()).count(), 300);
        for number in 0..ALL_MAX {
            let group = format!("h{number}");
            history.push(change("3", "r1", &group, Role::Active));
        }
        assert_eq!(history.changes().len(), ALL_MAX);
    }

    #[test]
    fn the_end_of_a_run_that_was_active_is_the_next_change() {
        let mut history = History::default();
        history.push(RoleChange {
            number: Some(4),
            ..change("0", "r1", "office", Role::Active)
        });
        history.handle_start("1", &fit("r1"));
        let numbers = history.numbers().remove("office").unwrap();
        assert_eq!((numbers.began, numbers.left), (4, 5));
        // a file of an earlier version has no numbers
        let mut old = History::default();
        old.push(change("0", "r1", "office", Role::Active));
        old.handle_start("1", &fit("r1"));
        assert_eq!(old.numbers().remove("office").unwrap().left, 1);
    }

    #[test]
    fn what_was_compared_is_remembered_and_its_checks_once_they_are_known() {
        let cause = Cause {
            own: 100,
            theirs: 73,
            peer: "r2".to_owned(),
            ..Cause::new(CauseKind::Quality, "")
        };
        let hurt = Fitness {
            quality: 73,
            failing: vec!["lan1 has no carrier".to_owned()],
            said: Some("10:00:00".to_owned()),
            ..fit("r2")
        };
        let bare = "r1 is active because its quality is 100 and r2's is 73";
        let mut history = History::default();
        for at in ["2026-11-20T10:00:00.000Z", "2026-11-20T10:00:05.010Z"] {
            history.push(RoleChange {
                at: at.to_owned(),
                ..RoleChange::new(Role::Active, cause.clone(), fit("r1"), Some(fit("r2")))
            });
        }
        let known = |history: &History, number: usize| {
            let change = &history.changes()[number];
            (change.why.clone(), change.peer.clone().expect("known"))
        };
        let lost = Fitness {
            quality: 73,
            ..fit("r2")
        };
        assert_eq!(known(&history, 1), (bare.to_owned(), lost.clone()));
        let now = "2026-11-20T10:00:05.200Z";
        assert!(!history.handle_peer_fitness(now, &fit("r2")), "of before");
        assert!(history.handle_peer_fitness(now, &hurt));
        assert!(!history.handle_peer_fitness(now, &hurt), "twice");
        let explained = format!("{bare} (lan1 has no carrier)");
        assert_eq!(known(&history, 1), (explained, hurt.clone()));
        assert_eq!(known(&history, 0), (bare.to_owned(), lost), "long ago");

        // the elector detects a lost interface before any check does
        let seen = Cause {
            own: 73,
            theirs: 100,
            text: "lan1 has no carrier".to_owned(),
            ..cause
        };
        let change = RoleChange::new(Role::Backup, seen, fit("r1"), Some(fit("r2")));
        assert_eq!(
            (change.own.quality, &change.own.failing),
            (73, &hurt.failing)
        );
    }

    #[test]
    fn a_start_ends_what_the_run_before_left() {
        let mut history = History::default();
        history.push(change("1", "r1", "ended", Role::Active));
        history.push(change("2", "r1", "ended", Role::Backup));
        history.push(change("3", "r1", "cut", Role::Active));
        history.push(change("4", "before", "renamed", Role::Active));
        let ended = history.handle_start("5", &fit("r1"));
        assert_eq!(ended, BTreeSet::from(["cut".to_owned()]));
        let last = history.changes().last().unwrap();
        assert_eq!((last.at.as_str(), last.group.as_str()), ("5", "cut"));
        assert_eq!((last.from, last.to), (Role::Active, Role::Backup));
        assert_eq!(history.changes().len(), 5);
        assert!(history.handle_start("6", &fit("r1")).is_empty());
        assert_eq!(history.changes().len(), 5);
    }

    #[test]
    fn a_boot_is_the_same_if_the_last_run_knew_it() {
        let mut history = History::default();
        assert!(!history.handle_boot("one"), "of a version that kept none");
        assert!(history.handle_boot("one"));
        assert!(!history.handle_boot("two"));
        assert!(!history.handle_boot(""));
        assert!(!history.handle_boot(""), "not known");
    }

    #[test]
    fn both_nodes_are_merged_by_time_whatever_their_offsets() {
        let own = [
            change(
                "2026-11-20T09:41:07.715+01:00",
                "r1",
                "office",
                Role::Backup,
            ),
            change(
                "2026-11-20T10:00:00.000+01:00",
                "r1",
                "office",
                Role::Active,
            ),
        ];
        let peer = vec![
            change("2026-11-20T08:41:07.716Z", "r2", "office", Role::Active),
            change("never", "r2", "office", Role::Active),
        ];
        let nodes = |limit| -> Vec<String> {
            let all = merge(&own, peer.clone(), limit).into_iter();
            all.map(|it| it.own.node).collect()
        };
        assert_eq!(nodes(None), ["r2", "r1", "r2", "r1"]);
        assert_eq!(nodes(Some(2)), ["r2", "r1"]);
    }
}
