//! The lane of numbers: newest values, of which an older one is not sent any more.

use std::collections::{BTreeMap, BTreeSet};

use crate::sa::SaId;
use crate::wire::{AllNumbers, Numbers};

#[derive(Debug, Default)]
pub struct NumbersLane {
    /// SAs whose numbers are to be put on the lane.
    due: BTreeSet<SaId>,
    all_due: bool,
    /// State common to all numbers that are sent.
    all: AllNumbers,
    /// Numbers that this node received last, sent again with each pair of roles for a while.
    last_received: BTreeMap<SaId, Numbers>,
    last_received_until_ns: u64,
    /// Numbers that this node sent last in its former role, without a switchover in which the peer learned of them.
    last_sent: BTreeMap<SaId, Numbers>,
}

impl NumbersLane {
    /// Another role begins: numbers are exact no longer.
    pub fn handle_role(&mut self) {
        self.all.exact = false;
    }

    /// The peer has gone.
    pub fn handle_down(&mut self) {
        self.due.clear();
        self.last_received.clear();
        self.all.exact = false;
    }

    /// A snapshot has no numbers of its own: all of them are reported again.
    pub fn begin_snapshot(&mut self) {
        self.all_due = true;
        self.due.extend(self.last_received.keys());
        self.due.extend(self.last_sent.keys());
    }

    pub fn put(&mut self, id: SaId) {
        self.due.insert(id);
    }

    /// The numbers of these SAs, which are all that this node carries, are exact.
    pub fn put_exact(&mut self, ids: BTreeSet<SaId>) {
        self.due = ids;
        self.all.exact = true;
        self.all_due = true;
    }

    /// The numbers move on again.
    pub fn end_exact(&mut self) {
        self.all_due |= std::mem::take(&mut self.all.exact);
    }

    /// Reports of the kernel were lost, and numbers may be older than their bound.
    pub fn begin_unsure(&mut self) {
        self.all.unsure = true;
        self.all_due = true;
    }

    /// A reading found what was lost.
    pub fn end_unsure(&mut self) {
        self.all_due |= std::mem::take(&mut self.all.unsure);
    }

    /// The numbers that this node received last follow; they are reported until then, and so are those whose time is not over.
    pub fn begin_last_received(&mut self, now_ns: u64, until_ns: u64) {
        if self.last_received_until_ns <= now_ns {
            self.last_received.clear();
        }
        self.last_received_until_ns = until_ns;
    }

    pub fn put_last_received(&mut self, id: SaId, numbers: Numbers) {
        self.last_received.insert(id, numbers);
        self.due.insert(id);
    }

    pub fn put_last_sent(&mut self, id: SaId, numbers: Numbers) {
        self.last_sent.insert(id, numbers);
        self.due.insert(id);
    }

    /// Forgets SAs that have ended.
    pub fn retain_last_sent(&mut self, is_there: impl Fn(&SaId) -> bool) {
        self.last_sent.retain(|id, _| is_there(id));
    }

    pub fn take_due(&mut self) -> BTreeSet<SaId> {
        std::mem::take(&mut self.due)
    }

    /// Returns true once if the state common to all numbers is to be sent; it goes behind the numbers that it is about.
    pub fn take_all_due(&mut self) -> bool {
        std::mem::take(&mut self.all_due)
    }

    pub fn all(&self) -> AllNumbers {
        self.all
    }

    /// Last numbers of an SA of this node's former role.
    pub fn former(&self, now_ns: u64, id: &SaId) -> Option<Numbers> {
        let received = self.last_received.get(id);
        let received = received.filter(|_| now_ns < self.last_received_until_ns);
        received.or_else(|| self.last_sent.get(id)).cloned()
    }
}

/// Reports of the peer about all its numbers.
#[derive(Debug, Default)]
pub struct PeerNumbers {
    is_unsure: bool,
    /// Time since which they are exact. Records that come later are as exact: a gateway with thousands of tunnels has a
    /// new or renamed child at most times, also in the moment of a switchover.
    exact_ns: Option<u64>,
}

impl PeerNumbers {
    pub fn handle_report(&mut self, now_ns: u64, all: AllNumbers) {
        self.is_unsure = all.unsure;
        self.exact_ns = all.exact.then_some(now_ns);
    }

    pub fn is_unsure(&self) -> bool {
        self.is_unsure
    }

    pub fn exact_ns(&self) -> Option<u64> {
        self.exact_ns
    }
}
