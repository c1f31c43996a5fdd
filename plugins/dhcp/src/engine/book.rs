//! Book of one server: the leases known here, and those that the server may lack.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use spared_replica::Tag;

use crate::SECOND;
use crate::lease::{Key, Lease, Set, State, signed};

/// Limit of leases of a server; smaller in tests.
pub const LEASES_MAX: usize = if cfg!(test) { 20_480 } else { 262_144 };
/// Smallest difference of times that counts, since servers use whole seconds.
const SAME_NS: u64 = 2 * SECOND;
/// Time for which a deleted lease is remembered.
const GONE_NS: i64 = signed(3_600 * SECOND);

#[derive(Debug, Default)]
pub struct Book {
    leases: BTreeMap<Key, Entry>,
    /// Times of deletion.
    gone: BTreeMap<Key, i64>,
    identity: Option<Vec<u8>>,
    /// Tag of the identity for the replica.
    pub identity_tag: Tag,
    /// Keys of leases that differ from the server's file.
    pub not_in_file: BTreeSet<Key>,
    /// The identity differs from the server's.
    pub identity_not_in_file: bool,
}

#[derive(Debug)]
pub struct Entry {
    pub lease: Lease,
    /// A server of this node granted the lease. A lease from the peer does not count as granted
    /// here.
    pub given: bool,
    /// Tag for the replica.
    pub tag: Tag,
}

impl Book {
    pub fn len(&self) -> usize {
        self.leases.len()
    }

    pub fn get(&self, key: &Key) -> Option<&Lease> {
        self.leases.get(key).map(|entry| &entry.lease)
    }

    /// Returns true if the same lease is in the book, whenever it was committed.
    pub fn has_same(&self, lease: &Lease) -> bool {
        self.get(&lease.key).is_some_and(|it| is_same(it, lease))
    }

    pub fn entry(&self, key: &Key) -> Option<&Entry> {
        self.leases.get(key)
    }

    pub fn tag(&mut self, key: &Key) -> Option<&mut Tag> {
        self.leases.get_mut(key).map(|entry| &mut entry.tag)
    }

    pub fn gone_ns(&self, key: &Key) -> Option<i64> {
        self.gone.get(key).copied()
    }

    pub fn identity(&self) -> Option<&Vec<u8>> {
        self.identity.as_ref()
    }

    pub fn has_room(&self) -> bool {
        self.leases.len() < LEASES_MAX
    }

    pub fn has_room_for(&self, key: &Key) -> bool {
        self.has_room() || self.leases.contains_key(key)
    }

    pub fn has_living(&self, now_ns: u64) -> bool {
        let mut leases = self.leases.values();
        leases.any(|entry| is_living(now_ns, &entry.lease))
    }

    /// Returns the leases after a key, in order.
    pub fn entries_after(&self, after: Option<Key>) -> impl Iterator<Item = (&Key, &Entry)> {
        self.leases.range((bound(after), Bound::Unbounded))
    }

    pub fn entries_after_mut(
        &mut self,
        after: Option<Key>,
    ) -> impl Iterator<Item = (&Key, &mut Entry)> {
        self.leases.range_mut((bound(after), Bound::Unbounded))
    }

    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.leases.keys()
    }

    pub fn set(&self) -> Set {
        let leases = self.leases.iter();
        Set {
            leases: leases
                .map(|(key, entry)| (*key, entry.lease.clone()))
                .collect(),
            identity: self.identity.clone(),
        }
    }

    /// Adds or replaces a lease, and keeps the tag.
    pub fn put(&mut self, lease: Lease, given: bool) {
        let key = lease.key;
        self.gone.remove(&key);
        let tag = self.leases.get(&key).map_or(Tag::default(), |it| it.tag);
        self.leases.insert(key, Entry { lease, given, tag });
    }

    /// Updates the commit time, after the same lease was committed again.
    pub fn touch(&mut self, key: &Key, committed_ns: i64) {
        if let Some(entry) = self.leases.get_mut(key) {
            entry.lease.committed_ns = entry.lease.committed_ns.max(committed_ns);
        }
    }

    /// Removes a lease. Returns false if there was none.
    pub fn remove(&mut self, key: &Key, gone_ns: i64) -> bool {
        let was = self.leases.remove(key).is_some();
        if self.gone.len() < LEASES_MAX || self.gone.contains_key(key) {
            self.gone.insert(*key, gone_ns);
        }
        was
    }

    /// Marks all entries as known to both nodes since before this process was started.
    pub fn recall(&mut self) {
        self.identity_tag = Tag::recalled();
        for entry in self.leases.values_mut() {
            (entry.tag, entry.given) = (Tag::recalled(), false);
        }
    }

    /// Sets the identity. Returns true if it changed.
    pub fn set_identity(&mut self, identity: Option<Vec<u8>>) -> bool {
        let differs = self.identity != identity;
        self.identity = identity;
        differs
    }

    pub fn forget_old(&mut self, now_ns: u64) {
        let since_ns = signed(now_ns).saturating_sub(GONE_NS);
        self.gone.retain(|_, gone_ns| *gone_ns > since_ns);
    }
}

fn bound(after: Option<Key>) -> Bound<Key> {
    after.map_or(Bound::Unbounded, Bound::Excluded)
}

/// Returns true if a client may use the lease.
pub fn is_living(now_ns: u64, lease: &Lease) -> bool {
    lease.state != State::Free && lease.expires_ns.is_none_or(|it| it > signed(now_ns))
}

/// Returns true if two leases differ at most in their commit.
pub fn is_same(one: &Lease, other: &Lease) -> bool {
    let ends = match (one.expires_ns, other.expires_ns) {
        (Some(one), Some(other)) => one.abs_diff(other) < SAME_NS,
        (one, other) => one == other,
    };
    ends && one.key == other.key
        && one.client == other.client
        && one.hostname == other.hostname
        && one.state == other.state
        && one.valid_s == other.valid_s
        && one.preferred_s == other.preferred_s
        && one.extra == other.extra
}
