//! Checks whether all tunnels are up that this node has to have.

use std::collections::BTreeSet;

use super::Engine;
use super::status::counted;
use crate::codec::body::FIRST_OWN_REQID;
use crate::sa::{ChildName, Direction, Policy};

impl Engine {
    /// Notes why not all tunnels are up that this node has to have.
    pub(super) fn update_tunnels_fault(&mut self) {
        let why = match self.is_active() {
            true if !self.is_settled_role() => return,
            true => self.tunnels_fault(),
            false => None,
        };
        self.readiness.note_tunnels(why);
    }

    /// True if the SAs of this role are all in the kernel.
    pub(super) fn is_settled_role(&self) -> bool {
        self.is_installed() && !self.switchover.moves()
    }

    fn tunnels_fault(&self) -> Option<String> {
        let sas = self.store.sas.iter();
        let sas =
            sas.filter(|(id, it)| it.side == Some(Direction::Out) && !self.is_deletion_pending(id));
        let (mut up, mut reqids) = (BTreeSet::new(), BTreeSet::new());
        for (_, known) in sas {
            up.extend(&known.name);
            reqids.insert(known.sa.reqid);
        }
        let names = self.ike.wanted_children.names();
        let down: Vec<&ChildName> = names.filter(|it| !up.contains(it)).collect();
        if let Some(ChildName { ike, child }) = down.iter().min() {
            let all = counted(self.ike.wanted_children.names().count(), "tunnel");
            let count = down.len();
            return Some(format!("{count} of {all} down, first {ike}/{child}"));
        }
        match self.blocking_policies(&reqids) {
            0 => self
                .blocked_tunnels_text()
                .or_else(|| self.tunnels_without_sa()),
            1 => Some("1 replicated policy blocks because it has no SA".to_owned()),
            count => Some(format!(
                "{count} replicated policies block because they have no SA"
            )),
        }
    }

    /// Text about policies of which only the blocking one is left: the daemon deleted them while no plugin ran, and the
    /// peer does not have them.
    fn blocked_tunnels_text(&self) -> Option<String> {
        match self.blocks_below_nothing().count() {
            0 => None,
            1 => Some("1 policy is gone, and its traffic is blocked".to_owned()),
            count => Some(format!(
                "{count} policies are gone, and their traffic is blocked"
            )),
        }
    }

    /// Number of replicated policies of this node's ends that lead to no SA of these reqids, and to none that only a far
    /// end can establish: a road warrior may come back with another address, or never.
    fn blocking_policies(&self, reqids: &BTreeSet<u32>) -> usize {
        let store = &self.store;
        let policies = store.policies.iter();
        let policies = policies.filter(|(id, _)| !store.held.policies.contains_key(id));
        let policies = policies.map(|(_, it)| &it.policy);
        let is_here = |end| store.ends.owns(&end);
        let policies = policies.filter(|it| it.id.is_outbound() && it.end.is_some_and(is_here));
        let blocks = |it: &&Policy| {
            let mut ours = it.templates.iter().map(|it| it.reqid);
            ours.any(|it| {
                it >= FIRST_OWN_REQID && !reqids.contains(&it) && !self.awaits_far_end(it)
            })
        };
        policies.filter(blocks).count()
    }
}
