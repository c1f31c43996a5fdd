//! Deletes SAs and policies in the kernel here for tunnels that the active peer has: two nodes that send with one key
//! use a number twice.

use super::{Change, Engine};
use crate::sa::{Direction, Sa, SaId};

impl Engine {
    /// Handles an SA record of the peer; returns true if the SA is of this node's ends and an earlier run of this
    /// plugin carried it.
    pub(super) fn handle_held(&mut self, id: SaId) -> bool {
        let Some(held) = self.store.held.sas().get(&id) else {
            return false;
        };
        let end = held.local_end();
        self.store.held.reserve_later(self.store.now_ns, id);
        let is_other_end = self.store.held.ends.insert(end);
        let is_ours = self.is_active() && self.store.ends.owns(&end);
        if !self.is_complete() || !self.is_peer_active() {
            // if both are active, both would send with it
            return is_ours && !self.is_peer_active();
        }
        if is_other_end {
            self.delete_foreign_sas();
        } else if self.store.sas.contains_key(&id) {
            self.delete_unless_used(id);
        }
        false
    }

    pub(super) fn delete_foreign_sas(&mut self) {
        let foreign = self.store.sas.values().map(|it| &it.sa);
        let foreign = foreign.filter(|sa| self.is_foreign(sa));
        let mut foreign: Vec<(bool, SaId)> = foreign.map(|sa| (!self.sends(sa), sa.id)).collect();
        foreign.sort_unstable();
        for (_, id) in foreign {
            self.delete_unless_used(id);
        }
    }

    pub(super) fn delete_if_foreign(&mut self, sa: &Sa) {
        if self.is_complete() && self.is_peer_active() && self.is_foreign(sa) {
            self.delete_unless_used(sa.id);
        }
    }

    /// Deletes an SA unless it belongs to a failover, or receives the last packets of an earlier role.
    fn delete_unless_used(&mut self, id: SaId) {
        let retires = self.switchover.last_received.is_retiring(&id);
        if !self.installed.has(&id) && !retires {
            self.push_change(Change::DeleteSa(id));
        }
    }

    /// True if an SA is of a tunnel that the active peer has.
    fn is_foreign(&self, sa: &Sa) -> bool {
        let store = &self.store;
        let is_there = |end| store.held.ends.contains(end) && !store.ends.is_here(end);
        let is_carried = store.index.sas.get(&sa.id).is_some_and(|it| it.is_local);
        let is_known = store.held.sas().contains_key(&sa.id);
        !is_carried && (is_known || is_there(&sa.source) || is_there(&sa.id.destination))
    }

    fn sends(&self, sa: &Sa) -> bool {
        match sa.direction {
            Some(direction) => direction == Direction::Out,
            None => self.store.held.ends.contains(&sa.source),
        }
    }

    /// Deletes policies that an earlier run left here, for tunnels that the peer has now.
    pub(super) fn delete_foreign_policies(&mut self) {
        let store = &self.store;
        let is_there = |end: &_| store.held.ends.contains(end) && !store.ends.is_here(end);
        let left = store.policies.iter();
        let left = left.filter(|(id, _)| !store.held.policies.contains_key(id));
        let left = left.filter(|(_, it)| it.policy.end.as_ref().is_some_and(is_there));
        for id in left.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.store.installed_policies.forget(&id);
            self.push_change(Change::DeletePolicy(id));
        }
    }
}
