//! Updates the records after local ends changed. In a failover all records are examined, and nearly all stay unchanged.
//! So each map is walked once in parallel with the others, and digests are only computed for changes.
//!
//! This requires that every other change of a record's source updates its record at once.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::iter::Peekable;

use super::index::{Records, is_same_sa};
use super::{LocalPolicy, LocalSa, Record, Tunnels};
use crate::sa::{Policy, PolicyId, SaId};
use crate::wire::TunnelKey;

/// Iterator over a map's entries in the order of ids, in parallel with other maps.
struct ParallelIter<I: Iterator>(Peekable<I>);

impl<'a, Id, V, I> ParallelIter<I>
where
    Id: Ord + 'a,
    I: Iterator<Item = (&'a Id, V)>,
{
    fn new(entries: impl IntoIterator<IntoIter = I, Item = I::Item>) -> Self {
        Self(entries.into_iter().peekable())
    }

    fn id(&mut self) -> Option<&'a Id> {
        self.0.peek().map(|(id, _)| *id)
    }

    /// Returns the entry with this id, which must be greater than all earlier ones.
    fn at(&mut self, id: &Id) -> Option<V> {
        loop {
            match self.id()?.cmp(id) {
                Ordering::Less => drop(self.0.next()),
                Ordering::Equal => return self.0.next().map(|(_, it)| it),
                Ordering::Greater => return None,
            }
        }
    }
}

impl Tunnels {
    /// Returns the key of an SA in the kernel, if this node carries it.
    pub fn carried_sa(&self, known: &LocalSa) -> Option<TunnelKey> {
        let side = known.side.filter(|_| self.is_active)?;
        let is_here = self.ends.owns(&known.sa.local_end(side));
        is_here.then(|| TunnelKey::sa(&known.sa, side))
    }

    /// Returns the key of a policy in the kernel, if this node carries it.
    pub fn carried_policy(&self, known: &LocalPolicy) -> Option<TunnelKey> {
        let is_here = self.is_active && self.ends.owns_policy(&known.policy);
        is_here.then(|| TunnelKey::policy(&known.policy))
    }

    /// Returns the SAs whose record differs from its source.
    pub fn sas_to_update(&self) -> Vec<SaId> {
        let (known, held) = (&self.sas, self.held.sas());
        to_update(&self.index.sas, known, held, |it| self.carried_sa(it))
    }

    /// Returns the policies whose record differs from its source.
    pub fn policies_to_update(&self) -> Vec<PolicyId> {
        let (known, held) = (&self.policies, &self.held.policies);
        let carried = |it: &LocalPolicy| self.carried_policy(it);
        to_update(&self.index.policies, known, held, carried)
    }

    /// Releases held SAs of this node's ends that the kernel has or refused. If the kernel has one as it was held, its
    /// record stays, and now belongs to this node.
    pub fn take_sas(&mut self, is_refused: impl Fn(&SaId) -> bool) {
        let Self { ends, sas, .. } = self;
        let mut records = ParallelIter::new(self.index.sas.after(None));
        let mut known = ParallelIter::new(&*sas);
        self.held.retain_sas(|id, kept| {
            let known = known.at(id);
            let is_done = known.is_some() || is_refused(id);
            let stays = !is_done || !ends.owns(&kept.local_end());
            if let (Some(known), false) = (known, stays) {
                let key = known.side.map(|side| TunnelKey::sa(&known.sa, side));
                let kept = (&kept.sa, kept.name.as_ref());
                let is_same = is_same_sa((&known.sa, known.name.as_ref()), kept);
                mark_local(records.at(id).filter(|it| is_same && key == Some(it.key)));
            }
            stays
        });
    }

    /// Releases held policies of this node's ends, whether the kernel has them or not; returns the released ones.
    pub fn take_policies(&mut self) -> BTreeMap<PolicyId, Policy> {
        let Self { ends, policies, .. } = self;
        let mut records = ParallelIter::new(self.index.policies.after(None));
        let mut known = ParallelIter::new(&*policies);
        let (mut goes_any, mut stays_any) = (false, false);
        for (id, kept) in &self.held.policies {
            let goes = ends.owns_policy(kept);
            (goes_any, stays_any) = (goes_any | goes, stays_any | !goes);
            // all of a policy except its id is parsed from its body
            let body = known.at(id).map(|it| &it.policy.body);
            if goes && body == Some(&kept.body) {
                mark_local(records.at(id));
            }
        }
        if !goes_any {
            return BTreeMap::new();
        }
        let held = std::mem::take(&mut self.held.policies);
        if !stays_any {
            return held;
        }
        let (gone, kept) = held.into_iter().partition(|(_, it)| ends.owns_policy(it));
        self.held.policies = kept;
        gone
    }
}

fn mark_local(record: Option<&mut Record>) {
    if let Some(record) = record {
        record.is_local = true;
    }
}

/// Returns the ids whose record has another source or key than the present one, has no source, or is missing.
fn to_update<Id: Ord + Copy, L, H>(
    records: &Records<Id>,
    known: &BTreeMap<Id, L>,
    held: &BTreeMap<Id, H>,
    carried: impl Fn(&L) -> Option<TunnelKey>,
) -> Vec<Id> {
    let (mut records, mut known, mut held) = (
        ParallelIter::new(records.records()),
        ParallelIter::new(known),
        ParallelIter::new(held),
    );
    let mut to_update = Vec::new();
    while let Some(id) = [records.id(), known.id(), held.id()]
        .into_iter()
        .flatten()
        .min()
    {
        let record = records.at(id);
        let carried = known.at(id).and_then(&carried);
        let is_held = held.at(id).is_some();
        let is_current = match (record, carried) {
            (Some(record), Some(key)) => record.is_local && record.key == key,
            (Some(record), None) => !record.is_local && is_held,
            (None, carried) => carried.is_none() && !is_held,
        };
        if !is_current {
            to_update.push(*id);
        }
    }
    to_update
}
