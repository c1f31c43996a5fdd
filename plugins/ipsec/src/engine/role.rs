//! Roles and addresses: which tunnels are this node's.
//!
//! With one group, all of them come and go with the role. While other groups stay active, those go
//! whose address went, and those come whose address is here when a role comes.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::Engine;
use crate::MS;

/// Addresses that went to a peer that is active linger no longer: by then it has asked for last numbers, or does so
/// no more.
const GIVEN_NS: u64 = 500 * MS;

impl Engine {
    pub fn handle_role(&mut self, now_ns: u64, group: &str, active: bool) {
        if !self.roles.handle_role(now_ns, group, active) {
            return self.route();
        }
        let was_active = self.is_active();
        self.store.is_active = self.roles.is_active();
        self.switchover.drain.cancel();
        self.drop_question();
        self.store.lane.handle_role();
        self.ike.handle_role(now_ns, self.store.is_active);
        self.enter(now_ns);
        self.replica.handle_groups(self.roles.active().clone());
        if was_active != self.is_active() {
            if let Some(session) = &mut self.session {
                session.note_complete(false);
            }
        }
        if active {
            self.store.ends.confirm();
            self.switchover.stopping.handle_back(group);
            self.take_over(now_ns, !was_active);
            self.want_left(now_ns);
        } else {
            let is_active = self.is_active();
            let stopping = &mut self.switchover.stopping;
            stopping.handle_left(now_ns, group, is_active);
            self.retire(now_ns, !self.is_active());
            self.silence_daemon(now_ns);
        }
        self.sort_ends(now_ns);
        self.leave(now_ns);
        if active {
            self.inherit_what_was_read();
        }
        self.route();
        self.withhold();
        self.report_connections(now_ns);
    }

    /// The addresses that spared put on interfaces of this node.
    pub fn handle_endpoints(&mut self, now_ns: u64, endpoints: BTreeSet<IpAddr>) {
        let is_leaving = self.roles.are_leaving(now_ns);
        let is_active = self.is_active();
        let prepares = is_active && self.failover.is_settling();
        let lingers = is_active && !is_leaving;
        self.store.ends.set(now_ns, endpoints, prepares, lingers);
        self.give_lost(now_ns);
        if is_active && is_leaving {
            self.retire(now_ns, false);
        } else if self.store.ends.next_ns() < u64::MAX {
            self.silence_daemon(now_ns);
        }
        if is_active && !prepares && !self.is_moving() {
            // an address that comes later than its role
            self.take_over(now_ns, false);
        }
        if is_active {
            self.sort_ends(now_ns);
        } else {
            // the peer's records, whatever addresses come: in a failover they come before the role, one by one
            self.take_sides(now_ns);
        }
        self.route();
        self.report_connections(now_ns);
    }

    /// The peer is active for a group of this node's: addresses that went are there. What is negotiated there is
    /// to follow, whenever the host's word comes.
    pub(super) fn give_lost(&mut self, now_ns: u64) {
        if self.is_moving() {
            self.store.ends.hurry(now_ns + GIVEN_NS);
        }
    }

    /// Whether both nodes have a group: it moves.
    pub(super) fn is_moving(&self) -> bool {
        let theirs = self.replica.peer_groups().filter(|_| self.is_up());
        theirs.is_some_and(|it| !it.is_disjoint(self.roles.active()))
    }

    /// Addresses went, and the host's word for it has not come: it waits for a plugin that stops something.
    pub(super) fn leave_lost(&mut self, now_ns: u64) {
        self.retire(now_ns, false);
        self.sort_ends(now_ns);
        if self.is_moving() {
            // until now this node took no word of what is new there
            self.replica.renew();
        }
    }

    /// Other ends, other SAs and policies that follow.
    pub(super) fn sort_ends(&mut self, now_ns: u64) {
        self.take_sides(now_ns);
        self.sort_records(now_ns);
    }

    fn take_sides(&mut self, now_ns: u64) {
        for (id, known) in &mut self.store.sas {
            let installed = self.installed.side(id);
            let side = installed.or_else(|| self.store.ends.side(&known.sa));
            if side != known.side {
                known.set_side(now_ns, side);
            }
        }
        for (id, known) in &mut self.store.policies {
            known.ours = self.store.ends.has_policy(&known.policy) || self.store.put.has(id);
        }
        self.mark_dirty();
    }

    fn sort_records(&mut self, now_ns: u64) {
        self.enter(now_ns);
        for id in self.store.unsorted_policies() {
            self.sort_policy(now_ns, &id);
        }
        for id in self.store.unsorted_sas() {
            self.sort_sa(now_ns, &id);
        }
    }
}
