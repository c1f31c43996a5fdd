//! Part of a history that is asked for, and the history of a pair, which is made of those of both nodes.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::change::RoleChange;
use super::spans::{PastFinding, PastRun};

/// Difference of times of the two nodes about one finding. Facts arrive within 2 s, and the clocks differ.
const APART: SignedDuration = SignedDuration::from_secs(5);

/// Part of a history that is wanted. By default it is all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PastQuery {
    /// Begin, in RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Time after which nothing is wanted, in RFC 3339. Then the last change of each group is not added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Group whose role changes are wanted. Findings are about nodes: all are wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// True if no findings are wanted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub roles_only: bool,
    /// Maximum number of role changes and findings: the newest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

impl PastQuery {
    /// Makes the query for the last role change of a group, or of each group.
    pub fn last(group: Option<&str>) -> Self {
        Self {
            group: group.map(str::to_owned),
            roles_only: true,
            limit: Some(0),
            ..Self::default()
        }
    }

    /// Makes the query for what is before a part; None if nothing of it was left out.
    #[must_use]
    pub fn before(&self, part: &Past) -> Option<Self> {
        let until = part.since.clone().filter(|_| part.is_cut)?;
        let is_enough = self.limit.is_some_and(|limit| part.len() >= limit);
        (!is_enough && self.until.as_ref() != Some(&until)).then(|| Self {
            until: Some(until),
            ..self.clone()
        })
    }
}

/// Role changes, findings and runs of a node, or of both. The last change of each group is there however old it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Past {
    /// Role changes, oldest first.
    pub changes: Vec<RoleChange>,
    /// Findings, by their begin.
    pub findings: Vec<PastFinding>,
    /// Runs of the daemon, by their begin.
    pub runs: Vec<PastRun>,
    /// Time from which on all is listed that was asked for, in RFC 3339.
    pub since: Option<String>,
    /// True if older role changes or findings were left out, as there are too many.
    pub is_cut: bool,
    /// Name of the other node, if it did not answer.
    pub silent: Option<String>,
}

impl Past {
    /// Adds the part before this one, of the same node.
    pub fn add_older(&mut self, mut older: Self) {
        // the last change of a group came with the newest part, and both parts may have entries of one moment
        older.changes.retain(|it| !self.changes.contains(it));
        older.findings.retain(|it| !self.findings.contains(it));
        older.runs.retain(|it| !self.runs.contains(it));
        self.changes.splice(..0, older.changes);
        self.changes.sort_by_key(|it| time(&it.at));
        self.findings.splice(..0, older.findings);
        self.findings.sort_by_key(|it| time(&it.began));
        self.runs.splice(..0, older.runs);
        self.runs.sort_by_key(|it| time(&it.began));
        self.since = older.since;
        self.is_cut = older.is_cut;
    }

    /// Merges the histories of both nodes. If their clocks differ, the order is wrong by the difference.
    #[must_use]
    pub fn merge(mut self, peer: Self) -> Self {
        self.changes.extend(peer.changes);
        self.changes.sort_by_key(|it| time(&it.at));
        self.findings = join(self.findings, peer.findings);
        self.runs.extend(peer.runs);
        self.runs.sort_by_key(|it| time(&it.began));
        self.since = later(self.since, peer.since);
        self.is_cut |= peer.is_cut;
        self
    }

    /// Keeps the newest role changes and findings, at most this many, and the last change of each group on each node.
    pub fn keep(&mut self, limit: usize) {
        let changes = self.changes.iter().map(|it| (it.span(), it.at.as_str()));
        let findings = self.findings.iter();
        let findings = findings.map(|it| (it.span(), it.ended.as_deref().unwrap_or(&it.began)));
        let mut spans: Vec<(SpanOrder, &str)> = changes.chain(findings).collect();
        spans.sort_by(|a, b| b.cmp(a));
        let Some((cut, since)) = spans.get(limit).copied() else {
            return;
        };
        let since = later(self.since.take(), Some(since.to_owned()));
        let mut known = BTreeSet::new();
        let newest = self.changes.iter().rev();
        let newest = newest.map(|it| known.insert((&it.own.node, &it.group)));
        let mut stays: Vec<bool> = newest.collect();
        self.changes
            .retain(|it| stays.pop().unwrap_or_default() || it.span() > cut);
        self.findings.retain(|it| it.span() > cut);
        self.since = since;
        self.is_cut = true;
    }

    /// Leaves out the older half.
    pub fn halve(&mut self) {
        let before = self.len();
        self.keep(before / 2);
        if self.len() == before {
            // only the last change of each group
            self.changes.drain(..self.changes.len().div_ceil(2));
            self.is_cut = true;
        }
    }

    /// True if there is neither a role change nor a finding.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn len(&self) -> usize {
        self.changes.len() + self.findings.len()
    }
}

/// End and begin. The end is the latest time of all while something lasts.
pub(super) type SpanOrder = (Timestamp, Timestamp);

impl RoleChange {
    pub(super) fn span(&self) -> SpanOrder {
        let at = time(&self.at);
        (at, at)
    }
}

impl PastFinding {
    pub(super) fn span(&self) -> SpanOrder {
        (self.end(), time(&self.began))
    }

    fn end(&self) -> Timestamp {
        self.ended.as_deref().map_or(Timestamp::MAX, time)
    }

    fn is_near(&self, other: &Self) -> bool {
        let meets = |one: &Self, other: &Self| {
            let end = one.end().checked_add(APART).unwrap_or(Timestamp::MAX);
            time(&other.began) <= end
        };
        meets(self, other) && meets(other, self)
    }

    /// Adds what the other node knows of the finding.
    fn join(&mut self, other: Self) {
        if other.end() > self.end() {
            (self.ended, self.is_end_unknown) = (other.ended, other.is_end_unknown);
        }
        if time(&other.began) < time(&self.began) {
            self.began = other.began;
        }
        self.times = self.times.max(other.times);
    }
}

/// Findings of both nodes. One that both know at the same time is one.
fn join(mut own: Vec<PastFinding>, peer: Vec<PastFinding>) -> Vec<PastFinding> {
    own.sort_by_key(|it| time(&it.began));
    let mut known: BTreeMap<[String; 3], Vec<usize>> = BTreeMap::new();
    for (at, it) in own.iter().enumerate() {
        known.entry(it.key()).or_default().push(at);
    }
    for it in peer {
        let like = known.get(&it.key()).map_or(&[][..], Vec::as_slice);
        let after = like.partition_point(|at| time(&own[*at].began) <= time(&it.began));
        let near = [after.checked_sub(1), Some(after)].into_iter().flatten();
        let near = near.filter_map(|place| like.get(place));
        let same = near.copied().find(|at| own[*at].is_near(&it));
        match same {
            Some(at) => own[at].join(it),
            None => own.push(it),
        }
    }
    own.sort_by_key(|it| time(&it.began));
    own
}

/// Parses a time. An invalid one is the earliest.
pub(super) fn time(rfc3339: &str) -> Timestamp {
    rfc3339.parse().unwrap_or(Timestamp::MIN)
}

/// Returns the later one of two times.
pub(super) fn later(one: Option<String>, other: Option<String>) -> Option<String> {
    let times = [one, other].into_iter().flatten();
    times.max_by_key(|it| time(it))
}
