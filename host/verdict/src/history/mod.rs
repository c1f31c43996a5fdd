//! Keeps the history of a month across restarts: role changes, findings, and runs of the daemon.
//!
//! [`History`] has an entry for each. An entry may change: a finding ends, the other node reports why it is less fit. So
//! [`History::take_changed`] returns whole entries by their numbers, and of two with one number the later one counts:
//! [`History::restore`]. The journal writes them.

mod change;
mod findings;
mod limits;
mod past;
mod spans;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::cause::Sentence as _;
use crate::cause::{Cause, CauseKind};
use crate::change_numbers::ChangeNumbers;
use crate::facts::Role;

pub use change::{Fitness, RoleChange, last_of_each_node};
use findings::OpenFindings;
use limits::EntryKind;
pub use limits::WholeSince;
pub use past::{Past, PastQuery};
use past::{later, time};
pub use spans::{Gap, PastFinding, PastRun, gaps};

/// Time in s after a role change within which the other node may still report why it is less fit.
const LATE_S: i64 = 2;
/// Number of the entry that says from when on the history is whole.
const WHOLE: u64 = 0;

/// Entry of a history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HistoryEntry {
    /// Role change of this node.
    Change(Box<RoleChange>),
    /// Finding about the pair.
    Finding(PastFinding),
    /// Run of this node's daemon. In the file its end is the last time at which it is known to have run.
    Run(PastRun),
    /// Times before which entries made room for others.
    Whole(WholeSince),
}

/// Entry with its size in bytes as JSON.
#[derive(Clone, Debug)]
struct KeptEntry {
    entry: HistoryEntry,
    size: usize,
}

/// How soon a change has to be on the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Nothing has changed.
    #[default]
    None,
    /// Within a minute: a finding that comes and goes.
    Late,
    /// Now.
    Now,
}

/// History that a node keeps: entries by their numbers, in the order of their begin.
#[derive(Clone, Debug, Default)]
pub struct History {
    entries: BTreeMap<u64, KeptEntry>,
    /// Bytes of the entries of each kind.
    bytes: BTreeMap<EntryKind, usize>,
    /// Number of the last change of each group.
    last: BTreeMap<String, u64>,
    findings: OpenFindings,
    /// Number of the present run.
    run: u64,
    /// Numbers of entries that changed or were removed.
    changed: BTreeSet<u64>,
}

impl History {
    /// Makes a history of the entries of earlier runs, in the order in which they were written.
    pub fn restore(entries: impl IntoIterator<Item = (u64, HistoryEntry)>) -> Self {
        let mut history = Self::default();
        for (number, entry) in entries {
            history.put(number, entry);
        }
        history.changed.clear();
        // the lines of what made room are still in the file
        history.trim(jiff::Timestamp::MIN);
        history
    }

    /// Begins a run, with every group as backup, in the boot with this id of the kernel. `own` is this node's state, and
    /// `seen` the last time at which the previous run is known to have run, if something else than the history tells.
    ///
    /// Adds a change for each group that was active at the end of the previous run. Returns these groups if that run was
    /// in the same boot.
    pub fn handle_start(
        &mut self,
        at: &str,
        seen: Option<&str>,
        own: &Fitness,
        boot: &str,
    ) -> BTreeSet<String> {
        let is_same_boot = self.end_run(at, seen, boot);
        let ended = self.end_roles(at, own);
        self.run = self.add(HistoryEntry::Run(PastRun {
            node: own.node.clone(),
            began: at.to_owned(),
            ended: Some(at.to_owned()),
            boot: boot.to_owned(),
        }));
        self.trim(time(at));
        if is_same_boot { ended } else { BTreeSet::new() }
    }

    /// Adds a change.
    pub fn push(&mut self, change: RoleChange) {
        let at = time(&change.at);
        self.add(HistoryEntry::Change(Box::new(change)));
        self.trim(at);
    }

    /// Adds the checks of the other node's report at `now` to changes shortly before it that have the same quality and
    /// no checks. Returns true if there were any.
    pub fn handle_peer_fitness(&mut self, now: &str, peer: &Fitness) -> bool {
        let now = time(now);
        let is_late = |it: &RoleChange| now.duration_since(time(&it.at)).as_secs() < LATE_S;
        let newest = self.entries.iter().rev();
        let newest = newest.filter_map(|(number, kept)| match &kept.entry {
            HistoryEntry::Change(change) => Some((*number, change)),
            _ => None,
        });
        let late = newest.take_while(|(_, change)| is_late(change));
        let late = late.filter_map(|(number, change)| Some((number, explained(change, peer)?)));
        let late: Vec<(u64, RoleChange)> = late.collect();
        let is_new = !late.is_empty();
        for (number, change) in late {
            self.put(number, HistoryEntry::Change(Box::new(change)));
        }
        is_new
    }

    /// Returns all changes, oldest first.
    pub fn changes(&self) -> impl DoubleEndedIterator<Item = &RoleChange> {
        let entries = self.entries.values();
        entries.filter_map(|kept| match &kept.entry {
            HistoryEntry::Change(change) => Some(&**change),
            _ => None,
        })
    }

    /// Numbers of this node's last changes by group.
    pub fn numbers(&self) -> BTreeMap<String, ChangeNumbers> {
        let mut all: BTreeMap<String, ChangeNumbers> = BTreeMap::new();
        for change in self.changes() {
            if let Some(number) = change.number {
                let numbers = all.entry(change.group.clone()).or_default();
                numbers.note(number, change.to);
            }
        }
        all
    }

    /// Returns the entries that changed since the last call, with the present run, which is known to run at this time.
    /// None is an entry that made room for others.
    pub fn take_changed(&mut self, at: &str) -> Vec<(u64, Option<HistoryEntry>)> {
        if let Some(HistoryEntry::Run(run)) = self.entry(self.run).cloned() {
            let ended = later(run.ended, Some(at.to_owned()));
            self.put(self.run, HistoryEntry::Run(PastRun { ended, ..run }));
        }
        let changed = std::mem::take(&mut self.changed).into_iter();
        changed
            .map(|number| (number, self.entry(number).cloned()))
            .collect()
    }

    fn entry(&self, number: u64) -> Option<&HistoryEntry> {
        self.entries.get(&number).map(|kept| &kept.entry)
    }

    /// Ends the previous run and the findings that it knew. Returns true if it was in this boot.
    fn end_run(&mut self, at: &str, seen: Option<&str>, boot: &str) -> bool {
        let runs = self.entries.iter().rev();
        let run = runs
            .into_iter()
            .find_map(|(number, kept)| match &kept.entry {
                HistoryEntry::Run(run) => Some((*number, run.clone())),
                _ => None,
            });
        let Some((number, run)) = run else {
            return false;
        };
        let seen = seen.filter(|seen| time(seen) <= time(at));
        let ended = later(run.ended.clone(), seen.map(str::to_owned));
        self.end_findings(ended.as_deref().unwrap_or(at));
        let is_same_boot = !boot.is_empty() && run.boot == boot;
        self.put(number, HistoryEntry::Run(PastRun { ended, ..run }));
        is_same_boot
    }

    /// Adds a change for each group that was active. Returns these groups.
    fn end_roles(&mut self, at: &str, own: &Fitness) -> BTreeSet<String> {
        let why = "spared was started; its previous run ended abnormally";
        let cause = Cause::new(CauseKind::Started, why);
        let numbers = self.numbers();
        let number = |last: &RoleChange| {
            let own = numbers.get(&last.group).copied().unwrap_or_default();
            own.next(ChangeNumbers::default(), last.to, Role::Backup)
        };
        let last = self.last.values();
        let left = last.filter_map(|number| match self.entry(*number) {
            Some(HistoryEntry::Change(last)) => Some(&**last),
            _ => None,
        });
        let left = left.filter(|it| it.to == Role::Active && it.own.node == own.node);
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

/// Returns a change with the checks of the other node's report; None if it has them or is not about that report.
fn explained(change: &RoleChange, peer: &Fitness) -> Option<RoleChange> {
    let known = change.peer.as_ref()?;
    let is_known = (&known.node, known.quality) == (&peer.node, peer.quality);
    if !is_known || !known.failing.is_empty() || peer.failing.is_empty() {
        return None;
    }
    let cause = &change.cause;
    Some(RoleChange {
        why: cause.sentence(change.to, &change.own, Some(peer)),
        peer: Some(peer.clone()),
        ..change.clone()
    })
}
