//! Limits of a history: a month, and bytes for each kind of entry.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::past::{SpanOrder, later, time};
use super::{History, HistoryEntry, KeptEntry, Past, PastQuery, WHOLE};

/// Age at which an entry leaves.
const AGE_MAX: SignedDuration = SignedDuration::from_hours(31 * 24);

/// Kind of an entry. Each has its own bytes, so that findings that come and go leave the role changes alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum EntryKind {
    Change,
    Finding,
    Run,
    Whole,
}

impl EntryKind {
    const ALL: [Self; 3] = [Self::Change, Self::Finding, Self::Run];

    fn of(entry: &HistoryEntry) -> Self {
        match entry {
            HistoryEntry::Change(_) => Self::Change,
            HistoryEntry::Finding(_) => Self::Finding,
            HistoryEntry::Run(_) => Self::Run,
            HistoryEntry::Whole(_) => Self::Whole,
        }
    }

    /// Maximum bytes of all entries of the kind.
    fn bytes_max(self) -> usize {
        match self {
            Self::Change => 1_000_000,
            Self::Finding => 800_000,
            Self::Run | Self::Whole => 100_000,
        }
    }
}

/// Times before which entries made room for others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WholeSince {
    changes: Option<String>,
    findings: Option<String>,
}

impl HistoryEntry {
    /// Time at which the entry ends, in RFC 3339; None while it lasts.
    fn ended(&self) -> Option<&str> {
        match self {
            Self::Change(change) => Some(&change.at),
            Self::Finding(finding) => finding.ended.as_deref(),
            Self::Run(run) => run.ended.as_deref(),
            Self::Whole(_) => None,
        }
    }
}

impl History {
    /// Adds an entry. Returns its number.
    pub(super) fn add(&mut self, entry: HistoryEntry) -> u64 {
        let newest = self.entries.keys().next_back().copied();
        let number = newest.unwrap_or(WHOLE).saturating_add(1);
        self.put(number, entry);
        number
    }

    /// Adds or replaces the entry with this number.
    pub(super) fn put(&mut self, number: u64, entry: HistoryEntry) {
        self.remove(number);
        let size = serde_json::to_string(&entry).map_or(0, |text| text.len());
        *self.bytes.entry(EntryKind::of(&entry)).or_default() += size;
        if let HistoryEntry::Change(change) = &entry {
            let last = self.last.entry(change.group.clone()).or_default();
            *last = number.max(*last);
        }
        self.entries.insert(number, KeptEntry { entry, size });
    }

    /// Drops what is too old and what is too much, oldest first.
    pub(super) fn trim(&mut self, now: Timestamp) {
        let oldest = now.checked_sub(AGE_MAX).unwrap_or(Timestamp::MIN);
        for kind in EntryKind::ALL {
            while let Some(number) = self.first_to_leave(kind, oldest) {
                self.leave(number, oldest);
            }
        }
        self.forget_recent();
    }

    /// Returns the part that a query asks for, at most about this many bytes as JSON. `now` is the present time.
    pub fn past(&self, query: &PastQuery, now: &str, bytes_max: usize) -> Past {
        let found = self.find(query);
        let last = self.last_of_groups(query);
        let left = bytes_max.saturating_sub(self.size_of(&last));
        let fitting = fitting(&found, query.limit, left);
        let cut = found
            .get(fitting)
            .map(|cut| (cut.span, cut.kept.entry.ended()));
        // entries of the same moment are in the part before
        let chosen = found.iter().take(fitting);
        let chosen = chosen.filter(|it| cut.is_none_or(|(span, _)| it.span != span));
        let chosen: BTreeSet<u64> = chosen.map(|it| it.number).chain(last).collect();
        let cut_at = cut.map(|(_, ended)| ended.unwrap_or(now).to_owned());
        let since = [query.since.clone(), cut_at, self.whole_since(query, now)];
        Past {
            is_cut: cut.is_some(),
            since: since.into_iter().fold(None, later),
            ..self.listed(&chosen)
        }
    }

    fn remove(&mut self, number: u64) {
        self.changed.insert(number);
        if let Some(kept) = self.entries.remove(&number) {
            let bytes = self.bytes.entry(EntryKind::of(&kept.entry)).or_default();
            *bytes = bytes.saturating_sub(kept.size);
        }
    }

    /// Returns the oldest entry of a kind if it is too old, or if the kind has too many bytes.
    fn first_to_leave(&self, kind: EntryKind, oldest: Timestamp) -> Option<u64> {
        let bytes = self.bytes.get(&kind).copied().unwrap_or_default();
        let is_full = bytes > kind.bytes_max();
        let mut entries = self.entries.iter();
        let first = entries.find(|(number, kept)| {
            EntryKind::of(&kept.entry) == kind && !self.stays(**number, &kept.entry)
        });
        let (number, kept) = match first {
            Some(first) => first,
            // there are more groups than any router has
            None if is_full => {
                let mut entries = self.entries.iter();
                entries.find(|(_, kept)| EntryKind::of(&kept.entry) == kind)?
            }
            None => return None,
        };
        let is_old = kept.entry.ended().is_some_and(|at| time(at) < oldest);
        (is_full || is_old).then_some(*number)
    }

    /// True for the last change of a group, a finding that lasts, and the present run.
    fn stays(&self, number: u64, entry: &HistoryEntry) -> bool {
        match entry {
            HistoryEntry::Change(change) => self.last.get(&change.group) == Some(&number),
            HistoryEntry::Finding(finding) => finding.ended.is_none(),
            HistoryEntry::Run(_) => number == self.run,
            HistoryEntry::Whole(_) => true,
        }
    }

    /// Removes an entry. One that is not too old makes room, which is noted.
    fn leave(&mut self, number: u64, oldest: Timestamp) {
        let Some(entry) = self.entry(number).cloned() else {
            return;
        };
        self.remove(number);
        let at = entry.ended().map(str::to_owned);
        let mut whole = match self.entry(WHOLE) {
            Some(HistoryEntry::Whole(whole)) => whole.clone(),
            _ => WholeSince::default(),
        };
        let since = match &entry {
            HistoryEntry::Change(change) => {
                if self.last.get(&change.group) == Some(&number) {
                    self.last.remove(&change.group);
                }
                &mut whole.changes
            }
            HistoryEntry::Finding(_) => &mut whole.findings,
            HistoryEntry::Run(_) | HistoryEntry::Whole(_) => return,
        };
        if at.as_deref().is_some_and(|at| time(at) >= oldest) {
            *since = later(since.take(), at);
            self.put(WHOLE, HistoryEntry::Whole(whole));
        }
    }

    /// Returns the entries that a query asks for, newest first.
    fn find(&self, query: &PastQuery) -> Vec<Found<'_>> {
        let [since, until] = [&query.since, &query.until].map(|it| it.as_deref().map(time));
        let wanted = self.entries.iter();
        let wanted = wanted.filter(|(_, kept)| query.wants(&kept.entry));
        let found = wanted.map(|(number, kept)| Found {
            span: self.span(*number, &kept.entry),
            number: *number,
            kept,
        });
        let found = found.filter(|it| {
            let (end, _) = it.span;
            since.is_none_or(|since| end >= since) && until.is_none_or(|until| end <= until)
        });
        let mut found: Vec<Found<'_>> = found.collect();
        found.sort_by_key(|it| Reverse((it.span, it.number)));
        found
    }

    fn span(&self, number: u64, entry: &HistoryEntry) -> SpanOrder {
        match entry {
            HistoryEntry::Change(change) => change.span(),
            HistoryEntry::Finding(finding) => finding.span(),
            HistoryEntry::Run(run) => {
                let ended = run.ended.as_deref().filter(|_| number != self.run);
                (ended.map_or(Timestamp::MAX, time), time(&run.began))
            }
            HistoryEntry::Whole(_) => (Timestamp::MIN, Timestamp::MIN),
        }
    }

    /// Numbers of the last change of each group that a query wants.
    fn last_of_groups(&self, query: &PastQuery) -> BTreeSet<u64> {
        if query.until.is_some() {
            return BTreeSet::new();
        }
        let last = self.last.values().copied();
        last.filter(|number| self.entry(*number).is_some_and(|it| query.wants(it)))
            .collect()
    }

    fn size_of(&self, numbers: &BTreeSet<u64>) -> usize {
        let kept = numbers.iter().filter_map(|it| self.entries.get(it));
        kept.map(|kept| kept.size).sum()
    }

    fn listed(&self, numbers: &BTreeSet<u64>) -> Past {
        let mut past = Past::default();
        for number in numbers {
            match self.entry(*number).cloned() {
                Some(HistoryEntry::Change(change)) => past.changes.push(*change),
                Some(HistoryEntry::Finding(finding)) => past.findings.push(finding),
                Some(HistoryEntry::Run(run)) => {
                    let ended = run.ended.filter(|_| *number != self.run);
                    let boot = String::new();
                    past.runs.push(super::PastRun { ended, boot, ..run });
                }
                Some(HistoryEntry::Whole(_)) | None => {}
            }
        }
        past.findings.sort_by_key(|it| time(&it.began));
        past
    }

    /// Time from which on the history is whole.
    fn whole_since(&self, query: &PastQuery, now: &str) -> Option<String> {
        let mut entries = self.entries.values();
        let began = entries.find_map(|kept| match &kept.entry {
            HistoryEntry::Run(run) => Some(run.began.clone()),
            _ => None,
        });
        let mut since = later(began, month_before(now));
        if let Some(HistoryEntry::Whole(whole)) = self.entry(WHOLE) {
            since = later(since, whole.changes.clone());
            if !query.roles_only {
                since = later(since, whole.findings.clone());
            }
        }
        since
    }
}

/// Entry that a query asks for.
struct Found<'h> {
    span: SpanOrder,
    number: u64,
    kept: &'h KeptEntry,
}

/// Returns how many of the newest entries fit into the limit of a query and into so many bytes.
fn fitting(found: &[Found<'_>], limit: Option<usize>, bytes_max: usize) -> usize {
    let (mut bytes, mut count) = (0, 0);
    let fits = |it: &&Found<'_>| {
        bytes += it.kept.size;
        count += usize::from(!matches!(it.kept.entry, HistoryEntry::Run(_)));
        bytes <= bytes_max && limit.is_none_or(|limit| count <= limit)
    };
    found.iter().take_while(fits).count()
}

/// Returns the time a month before another one, with its offset; None if that is not a time.
fn month_before(now: &str) -> Option<String> {
    const FORM: &str = "%Y-%m-%dT%H:%M:%S%.f%:z";
    let offset = jiff::fmt::strtime::parse(FORM, now).ok()?.offset()?;
    let then = time(now).checked_sub(AGE_MAX).ok()?;
    Some(then.display_with_offset(offset).to_string())
}

impl PastQuery {
    fn wants(&self, entry: &HistoryEntry) -> bool {
        match entry {
            HistoryEntry::Change(change) => {
                self.group.as_ref().is_none_or(|it| *it == change.group)
            }
            HistoryEntry::Finding(_) => !self.roles_only,
            HistoryEntry::Run(_) => true,
            HistoryEntry::Whole(_) => false,
        }
    }
}
