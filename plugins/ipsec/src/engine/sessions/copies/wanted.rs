//! Policies that are to have a copy: those that lead to SAs of children that charon is to get, also if charon has put its
//! trap in their place before.

use std::collections::{BTreeMap, BTreeSet};

use super::{Target, target_of, targets_of};
use crate::engine::Engine;
use crate::sa::{Policy, PolicyId, SaId};
use crate::sessions::IkeSpis;

impl Engine {
    /// Notes a policy in whose place charon puts one before its copy is there.
    pub(in crate::engine) fn note_replaced_policy(&mut self, id: &PolicyId) {
        let known = self.store.policies.get(id);
        let known = known.filter(|_| id.is_outbound() && self.are_sessions_waiting());
        if let Some(known) = known {
            let replaced = self.ike.copies.replaced.entry(*id);
            replaced.or_insert_with(|| known.policy.clone());
        }
    }

    /// Forgets replaced policies: charon has what it is to get.
    pub(in crate::engine::sessions) fn forget_replaced_policies(&mut self) {
        self.ike.copies.replaced.clear();
    }

    /// Trap that charon has put in the place of a policy before its copy was there.
    pub(super) fn trap_in_the_place_of(
        &self,
        id: &PolicyId,
        replaced: &BTreeMap<PolicyId, Policy>,
    ) -> Option<Policy> {
        let present = &self.store.policies.get(id)?.policy;
        (replaced.get(id)? != present).then(|| present.clone())
    }

    /// Children that charon is still to get. A charon that is older than this run gets none.
    fn children_to_get(&self) -> BTreeSet<u32> {
        let sessions = &self.store.sessions.own;
        let charon = self.ike.feed.charon();
        let superseded = sessions.predecessors(charon.ikes().map(|(spis, _)| *spis));
        let is_lacking = |ike: &IkeSpis| !charon.has(ike) && !superseded.contains(ike);
        let all = sessions.children.iter();
        let lacking = all
            .filter(|(_, it)| is_lacking(&it.ike))
            .map(|(spi, _)| *spi);
        let to_get = lacking.chain(self.ike.feed.planned_children());
        to_get
            .filter(|_| !self.ike.feed.is_charon_older())
            .collect()
    }

    /// Policies with a blocking one below that lead to SAs of children which charon is to get. Clients with a virtual
    /// address are left out: no trap leads to them.
    pub(super) fn wanted_copies(
        &self,
        replaced: &BTreeMap<PolicyId, Policy>,
    ) -> BTreeMap<PolicyId, (Policy, BTreeSet<SaId>)> {
        let sessions = &self.store.sessions.own;
        let is_client = |spi: &u32| {
            let child = sessions.children.get(spi);
            let ike = child.and_then(|it| sessions.ikes.get(&it.ike));
            ike.is_none_or(|it| !it.vips.is_empty())
        };
        let spis = self.children_to_get().into_iter();
        let spis = spis.filter(|it| !is_client(it));
        // SAs of a batch may be missing
        let sas = spis.filter_map(|spi| self.sas_of_child(spi)[1]);
        let sas = sas.filter(|it| !self.is_awaited_sa(it));
        let mut targets: BTreeMap<Target, BTreeSet<SaId>> = BTreeMap::new();
        for id in sas {
            if let Some(known) = self.store.sas.get(&id) {
                for target in targets_of(&known.sa) {
                    targets.entry(target).or_default().insert(id);
                }
            }
        }
        let mut wanted = BTreeMap::new();
        if targets.is_empty() {
            return wanted;
        }
        for (id, known) in &self.store.policies {
            let has_block = id.is_outbound() && self.store.installed_policies.blocks.has(id);
            let is_led = || {
                let mut templates = known.policy.templates.iter();
                templates.any(|it| self.leads_to_other_sa(it))
            };
            let replaced = replaced.get(id).filter(|_| !is_led());
            let policy = replaced.unwrap_or(&known.policy);
            let templates = policy.templates.iter().filter(|_| has_block);
            let sas = templates.filter_map(|it| targets.get(&target_of(it)));
            let sas: BTreeSet<SaId> = sas.flatten().copied().collect();
            if !sas.is_empty() {
                wanted.insert(*id, (policy.clone(), sas));
            }
        }
        wanted
    }
}
