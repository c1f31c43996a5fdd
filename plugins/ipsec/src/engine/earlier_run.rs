//! Takes over SAs that an earlier run of this plugin installed.
//!
//! If the IKE daemon replaced their policies while no run looked, no policy leads to them any more, and packets that
//! they receive would be dropped. The tunnel tells which policy is meant, and the child's name if several children are
//! between the same ends.

use std::collections::{BTreeMap, BTreeSet};

use super::Engine;
use super::installed::InstalledSa;
use super::reqids::Tunnel;
use crate::codec::body::FIRST_OWN_REQID;
use crate::sa::{ChildName, Direction, PolicyId, SaId};
use crate::store::LocalSa;

/// Policies and reqids of the daemon's own, by the values that tell which of them carry on an older SA.
#[derive(Default)]
struct OwnPolicies<'a> {
    policies: BTreeMap<(Tunnel, Direction), Vec<(PolicyId, u32)>>,
    reqids: BTreeMap<(Tunnel, Direction, &'a ChildName), BTreeSet<u32>>,
}

impl Engine {
    /// Takes over SAs that were read before: a role is here, or the daemon has listed more names.
    pub(super) fn take_earlier_sas_if_read(&mut self) {
        if self.store.run.is_read() {
            self.take_earlier_sas();
            self.change_reqids_later();
        }
    }

    /// Takes over SAs of an earlier run after a reading.
    pub(super) fn take_earlier_sas(&mut self) {
        if !self.is_active() {
            return;
        }
        let replicated = self.store.replicated_sas();
        // those of a batch are charon's soon
        let new = replicated.filter(|(id, _)| !self.installed.has(id) && !self.is_awaited_sa(id));
        let new = new.filter_map(|(id, known)| Some((*id, InstalledSa::of_earlier_run(known)?)));
        let new: Vec<_> = new.collect();
        // a reading after a failover returns here, as this run has installed the SAs
        if new.is_empty() && !self.installed.policy_reqids.is_unsure {
            return;
        }
        for (id, sa) in new {
            self.installed.put(id, sa);
        }
        self.add_policy_reqids();
        let sas_without_policy = self.sas_without_policy();
        self.installed.policy_reqids.is_unsure = !self.link_own_policies(&sas_without_policy);
    }

    /// Replicated SAs to which no policy leads.
    fn sas_without_policy(&self) -> Vec<SaId> {
        let referenced = self.referenced_reqids();
        let replicated = self.store.replicated_sas();
        let sas_without_policy = replicated.filter(|(_, it)| {
            let side = it.side.map(|side| (side, it.sa.reqid));
            side.is_some_and(|it| !referenced.contains(&it))
        });
        sas_without_policy.map(|(id, _)| *id).collect()
    }

    /// Directions and reqids to which the policies lead.
    fn referenced_reqids(&self) -> BTreeSet<(Direction, u32)> {
        let policies = self.store.policies.iter();
        let reqids = policies.flat_map(|(id, known)| {
            let templates = known.policy.templates.iter();
            templates.map(|it| (direction_of(id), it.reqid))
        });
        reqids
            .filter(|(_, reqid)| *reqid >= FIRST_OWN_REQID)
            .collect()
    }

    /// Leads the daemon's own policies to the SAs whose policies they replaced; returns true if these policies are
    /// known for each SA.
    fn link_own_policies(&mut self, sas_without_policy: &[SaId]) -> bool {
        if sas_without_policy.is_empty() {
            return true;
        }
        let own = self.own_policies();
        let links = sas_without_policy.iter().filter_map(|id| {
            let known = self.store.sas.get(id)?;
            Some((*id, known.side?, known.sa.reqid, own.successors(known)?))
        });
        let links: Vec<_> = links.collect();
        let is_all = links.len() == sas_without_policy.len();
        for (id, side, old, (new, policies)) in links {
            self.installed.policy_reqids.add_all(old, policies);
            if side == Direction::In {
                self.installed.policy_reqids.set_new_reqid(id, new);
            }
        }
        is_all
    }

    fn own_policies(&self) -> OwnPolicies<'_> {
        let mut own = OwnPolicies::default();
        for (id, known) in &self.store.policies {
            let templates = known.policy.templates.iter();
            for template in templates.filter(|it| (1..FIRST_OWN_REQID).contains(&it.reqid)) {
                let key = (Tunnel::of_template(id, template), direction_of(id));
                let policies = own.policies.entry(key).or_default();
                policies.push((*id, template.reqid));
            }
        }
        for known in self
            .store
            .sas
            .values()
            .filter(|it| it.sa.reqid < FIRST_OWN_REQID)
        {
            if let (Some(tunnel), Some(side), Some(name)) =
                (Tunnel::of(known), known.side, &known.name)
            {
                let reqids = own.reqids.entry((tunnel, side, name)).or_default();
                reqids.insert(known.sa.reqid);
            }
        }
        own
    }
}

impl OwnPolicies<'_> {
    /// Policies that carry an SA on, and their reqid; None if several reqids are possible.
    fn successors(&self, known: &LocalSa) -> Option<(u32, Vec<PolicyId>)> {
        let (tunnel, side) = (Tunnel::of(known)?, known.side?);
        let policies = self.policies.get(&(tunnel, side))?;
        let mut reqids: BTreeSet<u32> = policies.iter().map(|(_, reqid)| *reqid).collect();
        if reqids.len() > 1 {
            let named = self.reqids.get(&(tunnel, side, known.name.as_ref()?))?;
            reqids.retain(|it| named.contains(it));
        }
        let new = reqids.pop_first().filter(|_| reqids.is_empty())?;
        let policies = policies.iter().filter(|(_, reqid)| *reqid == new);
        Some((new, policies.map(|(id, _)| *id).collect()))
    }
}

fn direction_of(policy: &PolicyId) -> Direction {
    if policy.is_outbound() {
        Direction::Out
    } else {
        Direction::In
    }
}
