//! Decides by roles and addresses which tunnels are this node's.
//!
//! With one group, all tunnels come and go with the role. While other groups stay active, the tunnels leave whose
//! address left, and those come whose address is here when a role comes.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::Engine;
use crate::MS;

/// Time for which addresses linger that left while the peer is active: after it the peer has asked for last numbers, or
/// no longer does.
const MOVED_LINGER_NS: u64 = 500 * MS;

impl Engine {
    pub fn handle_role(&mut self, now_ns: u64, group: &str, active: bool) {
        if !self.roles.handle_role(now_ns, group, active) {
            self.settle_older_charon(now_ns);
            return self.set_routes();
        }
        let was_active = self.is_active();
        if !active {
            // before its SAs are the peer's
            self.put_batch_back(now_ns);
        }
        self.store.is_active = self.roles.is_active();
        self.switchover.drain.cancel();
        self.refuse_question();
        self.store.lane.handle_role();
        self.ike.handle_role(now_ns, self.store.is_active);
        self.set_now(now_ns);
        self.replica.handle_groups(self.roles.active().clone());
        if was_active != self.is_active() {
            if let Some(session) = &mut self.session {
                session.note_complete(false);
            }
        }
        if active {
            self.store.ends.confirm();
            self.switchover.stopping.handle_return(group);
            self.take_over(now_ns, !was_active);
            self.want_unadopted(now_ns);
        } else {
            let is_active = self.is_active();
            let stopping = &mut self.switchover.stopping;
            stopping.handle_left(now_ns, group, is_active);
            if !is_active {
                self.forget_daemon_tunnels();
            }
            self.retire(now_ns, !is_active);
            self.silence_daemon(now_ns);
            self.release_sessions(now_ns);
        }
        self.update_sides_and_records(now_ns);
        self.handle_effects(now_ns);
        if active {
            self.take_earlier_sas_if_read();
            self.begin_feed(now_ns);
            self.update_quiet(now_ns);
        }
        self.set_routes();
        self.withhold();
        self.report_connections(now_ns);
    }

    /// Handles the addresses that spared has set on interfaces of this node.
    pub fn handle_endpoints(&mut self, now_ns: u64, endpoints: BTreeSet<IpAddr>) {
        let is_leaving = self.roles.are_leaving(now_ns);
        let is_active = self.is_active();
        let prepares = is_active && self.failover.is_settling();
        let lingers = is_active && !is_leaving;
        self.store.ends.set(now_ns, endpoints, prepares, lingers);
        self.shorten_lingering(now_ns);
        if is_active && is_leaving {
            self.retire(now_ns, false);
        } else if self.store.ends.next_ns() < u64::MAX {
            self.silence_daemon(now_ns);
        }
        if is_active && !prepares && !self.is_moving() {
            // an address may come later than its role
            self.take_over(now_ns, false);
        }
        if is_active {
            self.update_sides_and_records(now_ns);
        } else {
            // the records stay the peer's, whatever addresses come: in a failover they come before the role, one by one
            self.update_sides(now_ns);
            self.note_left_sessions();
        }
        if is_active {
            self.update_quiet(now_ns);
        }
        self.set_routes();
        self.report_connections(now_ns);
    }

    /// Hurries the release of lost addresses if the peer is active for a group of this node: those addresses are on the
    /// peer. Tunnels that are negotiated there are to be replicated here, even before the host reports the role.
    pub(super) fn shorten_lingering(&mut self, now_ns: u64) {
        if self.is_moving() {
            self.store.ends.shorten_lingering(now_ns + MOVED_LINGER_NS);
        }
    }

    /// True if both nodes have a group: it moves.
    pub(super) fn is_moving(&self) -> bool {
        let theirs = self.replica.peer_groups().filter(|_| self.is_up());
        theirs.is_some_and(|it| !it.is_disjoint(self.roles.active()))
    }

    /// Gives up tunnels of addresses that left before the host has reported the role: the host waits for a plugin that
    /// stops something.
    pub(super) fn give_up_lingering(&mut self, now_ns: u64) {
        self.retire(now_ns, false);
        self.update_sides_and_records(now_ns);
        if self.is_moving() {
            // until now this node took no new records of that node
            self.replica.renew_serial();
        }
    }

    /// Sorts the SAs and policies again after their ends have changed.
    pub(super) fn update_sides_and_records(&mut self, now_ns: u64) {
        self.update_sides(now_ns);
        self.update_records(now_ns);
    }

    fn update_sides(&mut self, now_ns: u64) {
        for (id, known) in &mut self.store.sas {
            let installed = self.installed.side(id);
            let side = installed.or_else(|| self.store.ends.side(&known.sa));
            if side != known.side {
                known.set_side(now_ns, side);
            }
        }
        for (id, known) in &mut self.store.policies {
            known.ours =
                self.store.ends.owns_policy(&known.policy) || self.store.installed_policies.has(id);
        }
        self.mark_dirty();
    }

    pub(super) fn update_records(&mut self, now_ns: u64) {
        self.set_now(now_ns);
        for id in self.store.policies_to_update() {
            self.update_policy_record(now_ns, &id);
        }
        for id in self.store.sas_to_update() {
            self.update_sa_record(now_ns, &id);
        }
        self.sort_sessions(now_ns);
    }
}
