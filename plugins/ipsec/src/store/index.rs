//! Index of records: one for each replicated SA and policy of either node, with the replica's tag.

use std::collections::BTreeMap;
use std::hash::Hasher;
use std::ops::Bound;

use siphasher::sip::SipHasher13;
use spared_replica::{Stamp, Tag, stale_of};

use crate::codec::body::{own_reqid, policy_with_own_reqids, split_at_reqid};
use crate::sa::{ChildName, Policy, PolicyId, Sa, SaId};
use crate::wire::TunnelKey;

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub key: TunnelKey,
    pub tag: Tag,
    /// Digest of everything that does not age.
    pub digest: u64,
    /// The record is of the kernel here, and this node reports it; else it is held for a failover.
    pub is_local: bool,
}

/// Records of one table.
#[derive(Debug)]
pub struct Records<Id>(BTreeMap<Id, Record>);

#[derive(Debug, Default)]
pub struct Index {
    pub sas: Records<SaId>,
    pub policies: Records<PolicyId>,
}

impl<Id> Default for Records<Id> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<Id: Ord + Copy> Records<Id> {
    pub fn get(&self, id: &Id) -> Option<&Record> {
        self.0.get(id)
    }

    pub fn get_mut(&mut self, id: &Id) -> Option<&mut Record> {
        self.0.get_mut(id)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn records(&self) -> impl Iterator<Item = (&Id, &Record)> {
        self.0.iter()
    }

    pub fn remove(&mut self, id: &Id) -> Option<Record> {
        self.0.remove(id)
    }

    /// Adds or replaces a record; one with the same key keeps its tag.
    pub fn put(&mut self, id: Id, mut record: Record) {
        if let Some(before) = self.0.get(&id).filter(|it| it.key == record.key) {
            record.tag = before.tag;
        }
        self.0.insert(id, record);
    }

    /// Returns the records after an id.
    pub fn after(&mut self, id: Option<Id>) -> impl Iterator<Item = (&Id, &mut Record)> {
        let begin = id.map_or(Bound::Unbounded, Bound::Excluded);
        self.0.range_mut((begin, Bound::Unbounded))
    }

    /// Adds keys of records with another stamp, after an id, and moves the cursor; returns true at the end of all.
    pub fn stale(
        &mut self,
        stamp: Stamp,
        after: Option<Id>,
        at: &mut Option<TunnelKey>,
        limit: usize,
        keys: &mut Vec<TunnelKey>,
    ) -> bool {
        let records = self.after(after);
        let records = records.map(|(_, it)| (it.key, it.tag.stamp() != stamp));
        stale_of(records, at, limit, keys)
    }
}

/// Returns a digest that is equal on both nodes and independent of the SA's reqid: the reqid from an earlier failover
/// is no change.
pub fn sa_digest(sa: &Sa, name: Option<&ChildName>) -> u64 {
    let mut hash = SipHasher13::new();
    let (head, tail) = split_at_reqid(&sa.body);
    hash.write(head);
    hash.write(&own_reqid(sa.reqid).to_ne_bytes());
    hash.write(tail);
    let offload = sa.interfaces.offload.as_ref();
    let texts = [
        sa.interfaces.selector.as_deref(),
        offload.map(|(name, _)| name.as_str()),
        name.map(|it| it.ike.as_str()),
        name.map(|it| it.child.as_str()),
    ];
    for text in texts {
        let text = text.unwrap_or_default();
        hash.write(&(text.len() as u32).to_be_bytes());
        hash.write(text.as_bytes());
    }
    hash.write(&[offload.map_or(0, |(_, flags)| *flags)]);
    hash.write(&sa.replay.window.to_be_bytes());
    hash.write(&sa.replay.form.capacity().to_be_bytes());
    hash.finish()
}

/// Returns true if the digests are equal, by comparing the bytes from which they are computed.
pub fn is_same_sa(
    (one, name): (&Sa, Option<&ChildName>),
    (other, other_name): (&Sa, Option<&ChildName>),
) -> bool {
    one.body == other.body
        && own_reqid(one.reqid) == own_reqid(other.reqid)
        && one.interfaces == other.interfaces
        && name == other_name
        && one.replay.window == other.replay.window
        && one.replay.form.capacity() == other.replay.form.capacity()
}

/// Returns a digest that is equal on both nodes and independent of reqids.
pub fn policy_digest(policy: &Policy) -> u64 {
    let mut hash = SipHasher13::new();
    hash.write(policy_with_own_reqids(policy).body.bytes());
    hash.finish()
}
