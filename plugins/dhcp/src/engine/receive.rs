//! Handles a lease from the peer: whether it is the later one, and what becomes of it here.

use spared_replica::Applied;

use super::book::{is_living, is_same};
use super::conflict::{self, Conflict};
use super::leases::Leases;
use super::status::client;
use crate::codec;
use crate::lease::Lease;

impl Leases {
    /// Returns true if the peer's lease of an address is the later one.
    pub fn prefers(&mut self, now_ns: u64, theirs: &Lease, given: bool) -> bool {
        let key = theirs.key;
        let Some(entry) = self.book.entry(&key) else {
            let gone_ns = self.book.gone_ns(&key);
            let is_gone = gone_ns.is_some_and(|it| it >= theirs.committed_ns);
            return is_living(now_ns, theirs) && !is_gone;
        };
        let peer_won = conflict::is_later(theirs, &entry.lease);
        if given && entry.given {
            let ours = entry.lease.clone();
            self.note_rivals(now_ns, &ours, theirs, peer_won);
        }
        self.preferred = peer_won.then_some(key);
        peer_won
    }

    /// Puts a lease of the peer. `serves` is true if servers of this node grant leases, too.
    pub fn take(&mut self, now_ns: u64, lease: Lease, given: bool, serves: bool) -> Applied {
        self.counters.received += 1;
        let was_preferred = self.preferred.take() == Some(lease.key);
        if let Some(entry) = self.book.entry(&lease.key) {
            if is_same(&entry.lease, &lease) {
                return Applied::Same;
            }
            if serves && given && entry.given && !was_preferred {
                let ours = entry.lease.clone();
                self.note_rivals(now_ns, &ours, &lease, true);
            }
        }
        self.adopt(lease)
    }

    pub fn take_identity(&mut self, identity: &[u8]) -> Applied {
        if !codec::is_identity(identity) {
            let why = "an invalid identity of a server".to_owned();
            self.refusals.note(why);
            return Applied::Refused;
        }
        if self.book.set_identity(Some(identity.to_vec())) {
            self.book.identity_not_in_file = true;
            Applied::Done
        } else {
            Applied::Same
        }
    }

    /// Stores a lease from another source than the server; it has to be written to the server.
    fn adopt(&mut self, lease: Lease) -> Applied {
        let key = lease.key;
        if !self.admits(&lease) {
            return Applied::Refused;
        }
        self.book.put(lease, false);
        self.mark_not_in_file(key);
        Applied::Done
    }

    fn note_rivals(&mut self, now_ns: u64, ours: &Lease, theirs: &Lease, peer_won: bool) {
        if !conflict::are_rivals(now_ns, ours, theirs) {
            return;
        }
        let (kept, lost) = if peer_won {
            (theirs, ours)
        } else {
            (ours, theirs)
        };
        self.news.push_twice(format!(
            "{}: {} was given twice: {} keeps it, {} has lost it",
            self.settings.name,
            ours.key,
            client(kept),
            client(lost)
        ));
        self.conflicts.note(Conflict {
            at_ns: now_ns,
            key: ours.key,
            kept: kept.clone(),
            lost: lost.clone(),
            peer_won,
        });
    }
}
