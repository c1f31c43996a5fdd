//! Changes of findings, and which of them each recipient has been told: the queue of alarms, which both nodes have.
//!
//! A change has a number, the time in ms at which it was noticed; a later one has a greater number. Of each finding the
//! book keeps its last change, and those before it that a recipient is still to be told. For each recipient it notes the
//! last change that was told, and when. Numbers and these times only grow, also if the clock is set back, so that the books
//! of two nodes that did not hear each other are merged by taking the greater of each.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config::Recipient;
use crate::finding::{Key, Texts};

/// Maximum number of findings. The oldest one that is over makes room.
pub const FINDINGS_MAX: usize = 256;
/// Maximum number of changes of one finding: of one that comes and goes while nobody can be told, the newest are kept.
pub const CHANGES_MAX: usize = 8;
/// Maximum number of recipients of a history of the peer.
const TOLD_MAX: usize = 64;
/// Time in ms for which a finding that is over is kept. The other node may have been off for that long, without being
/// told the same again.
pub const KEPT_MS: u64 = 24 * 3600 * 1000;

/// Begin or end of a finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    pub number: u64,
    pub begun: bool,
    pub texts: Texts,
}

/// Last change that a recipient was told. The order is that of the times: of two nodes that did not hear each other, the
/// one that told last is the one whom the recipient believes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ToldChange {
    /// Time in ms at which it was told; after the one before, whatever the clock says.
    pub at_ms: u64,
    pub number: u64,
    pub begun: bool,
}

/// History of one finding.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingHistory {
    /// Changes in the order of their numbers.
    changes: Vec<Change>,
    /// Last change told to each recipient, by its name.
    told: BTreeMap<String, ToldChange>,
}

/// Findings and their histories.
#[derive(Debug, Default)]
pub struct Book {
    histories: BTreeMap<Key, FindingHistory>,
    /// Greatest number so far.
    number: u64,
    /// Number of changes that found no room.
    dropped: u64,
}

impl FindingHistory {
    /// History of its parts, for tests.
    pub fn of<const C: usize, const T: usize>(
        changes: [Change; C],
        told: [(String, ToldChange); T],
    ) -> Self {
        Self {
            changes: changes.into(),
            told: told.into(),
        }
    }

    pub fn begun(&self) -> bool {
        self.changes.last().is_some_and(|last| last.begun)
    }

    /// Texts of the last change.
    pub fn texts(&self) -> Option<&Texts> {
        self.changes.last().map(|last| &last.texts)
    }

    /// Texts of a change; those of the last one if it is not kept.
    pub fn texts_of(&self, number: u64) -> Option<&Texts> {
        let place = self.changes.iter().find(|it| it.number == number);
        place.map(|it| &it.texts).or_else(|| self.texts())
    }

    /// Last change told to a recipient.
    pub fn told(&self, recipient: &str) -> ToldChange {
        self.told.get(recipient).copied().unwrap_or_default()
    }

    /// Next change for a recipient: the first one after the last one told that differs from it. Both nodes may have noticed
    /// a change, each with a number of its own.
    pub fn next(&self, recipient: &str) -> Option<&Change> {
        let told = self.told(recipient);
        let mut later = self.changes.iter().filter(|it| it.number > told.number);
        later.find(|it| it.begun != told.begun)
    }

    /// True if the history is one that a peer may send.
    pub fn fits(&self) -> bool {
        let is_ordered = self.changes.is_sorted_by(|a, b| a.number < b.number);
        let fits = self.changes.iter().all(|it| it.texts.fits());
        let counts = (1..=CHANGES_MAX).contains(&self.changes.len()) && self.told.len() <= TOLD_MAX;
        is_ordered && fits && counts && self.told.keys().all(|it| it.len() <= 64)
    }

    fn last_number(&self) -> u64 {
        self.changes.last().map_or(0, |last| last.number)
    }

    fn is_old(&self, now_ms: u64) -> bool {
        !self.begun() && self.last_number().saturating_add(KEPT_MS) < now_ms
    }

    fn merge(&mut self, other: Self) {
        for change in other.changes {
            let place = self
                .changes
                .binary_search_by_key(&change.number, |it| it.number);
            if let Err(place) = place {
                self.changes.insert(place, change);
            }
        }
        for (recipient, told) in other.told {
            let known = self.told.entry(recipient).or_default();
            *known = told.max(*known);
        }
    }

    /// Removes changes that nobody has to be told. Returns the number of others that found no room.
    fn prune(&mut self, recipients: &[Recipient], key: &Key) -> u64 {
        let wanting = recipients.iter().filter(|it| it.wants(key));
        let next = wanting.filter_map(|it| self.next(&it.name).map(|next| next.number));
        let first = next.min().unwrap_or(u64::MAX).min(self.last_number());
        self.changes.retain(|it| it.number >= first);
        let mut dropped = 0;
        while self.changes.len() > CHANGES_MAX {
            // a begin and its end, so that the next one is a begin again
            self.changes.drain(..2);
            dropped += 2;
        }
        dropped
    }
}

impl Book {
    /// Reads a saved book.
    pub fn load(bytes: &[u8]) -> Result<Self, String> {
        let histories: Vec<(Key, FindingHistory)> =
            serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let mut book = Self::default();
        let histories = histories.into_iter().take(FINDINGS_MAX);
        for (key, history) in histories.filter(|(_, history)| history.fits()) {
            book.number = book.number.max(history.last_number());
            book.histories.insert(key, history);
        }
        Ok(book)
    }

    pub fn save(&self) -> Vec<u8> {
        let histories: Vec<_> = self.histories.iter().collect();
        // texts and numbers: there is nothing that could fail
        serde_json::to_vec(&histories).unwrap_or_default()
    }

    pub fn history(&self, key: &Key) -> Option<&FindingHistory> {
        self.histories.get(key)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Key, &FindingHistory)> {
        self.histories.iter()
    }

    pub fn begun(&self, key: &Key) -> bool {
        self.histories.get(key).is_some_and(FindingHistory::begun)
    }

    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Notes that a finding began, or is over. False if there is no room for it.
    pub fn change(&mut self, now_ms: u64, key: &Key, begun: bool, texts: Texts) -> bool {
        if !self.histories.contains_key(key) && !self.make_room(now_ms) {
            return false;
        }
        self.number = now_ms.max(self.number.saturating_add(1));
        let history = self.histories.entry(key.clone()).or_default();
        history.changes.push(Change {
            number: self.number,
            begun,
            texts,
        });
        true
    }

    /// Takes what the other node knows of a finding. Returns true if this node did not know all of it.
    pub fn merge(&mut self, now_ms: u64, key: Key, other: FindingHistory) -> bool {
        if other.is_old(now_ms) && !self.histories.contains_key(&key) {
            return false;
        }
        if !self.histories.contains_key(&key) && !self.make_room(now_ms) {
            return false;
        }
        self.number = self.number.max(other.last_number());
        let history = self.histories.entry(key).or_default();
        let before = history.clone();
        history.merge(other);
        *history != before
    }

    /// Notes that a recipient was told a change. The time of the one before may be that of a clock that was ahead, of this
    /// node or of the other one: this one would then never count as told, and be told again and again.
    pub fn tell(&mut self, key: &Key, recipient: &str, told: ToldChange) {
        if let Some(history) = self.histories.get_mut(key) {
            let known = history.told.entry(recipient.to_owned()).or_default();
            let at_ms = told.at_ms.max(known.at_ms.saturating_add(1));
            *known = ToldChange { at_ms, ..told };
        }
    }

    /// Oldest change that a recipient has to be told.
    pub fn next(&self, recipient: &Recipient) -> Option<(&Key, &Change)> {
        let wanted = self
            .histories
            .iter()
            .filter(|(key, _)| recipient.wants(key));
        let next = wanted.filter_map(|(key, it)| Some((key, it.next(&recipient.name)?)));
        next.min_by_key(|(_, change)| change.number)
    }

    /// Number of findings with a change that a recipient has to be told.
    pub fn waiting(&self, recipient: &Recipient) -> u64 {
        let wanted = self
            .histories
            .iter()
            .filter(|(key, _)| recipient.wants(key));
        wanted
            .filter(|(_, it)| it.next(&recipient.name).is_some())
            .count() as u64
    }

    /// Removes what nobody needs any more of one finding.
    pub fn tidy(&mut self, now_ms: u64, key: &Key, recipients: &[Recipient]) {
        if let Some(history) = self.histories.get_mut(key) {
            self.dropped += history.prune(recipients, key);
        }
        self.histories.retain(|_, it| !it.is_old(now_ms));
    }

    /// Makes room for another finding, if need be. The oldest one that is over is removed.
    fn make_room(&mut self, now_ms: u64) -> bool {
        self.histories.retain(|_, it| !it.is_old(now_ms));
        if self.histories.len() < FINDINGS_MAX {
            return true;
        }
        self.dropped += 1;
        let over = self.histories.iter().filter(|(_, it)| !it.begun());
        let oldest = over.min_by_key(|(_, it)| it.last_number());
        match oldest.map(|(key, _)| key.clone()) {
            Some(key) => self.histories.remove(&key).is_some(),
            None => false,
        }
    }
}
