//! Handles roles, and the connection to the peer.
//!
//! No node owns a flow. But the only active node carries all flows, and a node without an active group carries none
//! once the other one has reported all flows.

use super::compare::Fault;
use super::group_roles::Move;
use super::table::flag;
use super::walk_queue::{Due, Work};
use super::{Action, Engine, Peer, Subscription, seconds};
use crate::flow::Flow;
use crate::wire;

impl Engine {
    /// Handles a new channel to the peer, which knows this version of the messages. Neither node knows the other's
    /// flows yet.
    pub fn handle_up(&mut self, now_ns: u64, wire: u32) {
        self.peer = Some(Peer {
            heard_ns: now_ns,
            ..Peer::default()
        });
        self.table.disconnect();
        self.channel = self.channel.next(now_ns, wire);
        self.roles.forget_lingering();
        self.kernel_room.handle_session();
        self.roles.note_peer_may_lack();
        self.stop_walk_if(Work::needs_peer);
        self.walks.cancel_those_for_the_peer();
        self.channel.synchrony.set_complete(self.roles.is_active());
        self.replica.handle_up();
        self.update_synchrony(now_ns);
    }

    /// Handles the loss of the channel. The peer's flows stay: they may be needed now.
    pub fn handle_down(&mut self, now_ns: u64) {
        self.forget_dropped_flows();
        self.end_comparison(Fault::Gone);
        self.table.disconnect();
        let was_active = self.peer_is_active();
        self.replica.handle_down();
        self.peer = None;
        self.channel = self.channel.next(now_ns, wire::VERSION);
        self.walks.end_pause();
        if was_active {
            self.handle_peer_lost(now_ns)
        } else {
            self.continue_renewal(now_ns)
        }
        self.roles.note_peer_may_lack();
        self.stop_walk_if(Work::needs_peer);
        self.walks.cancel_those_for_the_peer();
        self.subscribe(now_ns);
    }

    pub fn handle_role(&mut self, now_ns: u64, group: &str, active: bool) {
        let (is_changed, change) = self.roles.set(group, active);
        if is_changed {
            self.tell_role(group, active);
        }
        match change {
            Some(Move::First) => self.take_over(now_ns),
            Some(Move::Last) => self.step_down(now_ns),
            Some(Move::More) => self.take_over_flows(now_ns),
            Some(Move::Fewer) => {
                // its flows may return, and their windows will be outdated
                self.roles.set_restore_requested(false);
                self.hold_dropped_flows_of_moved_group(now_ns);
                self.begin_loosening();
            }
            None => {}
        }
        if is_changed {
            self.note_move(now_ns);
        }
        self.update_synchrony(now_ns);
    }

    /// Removes a group that is no longer configured, after its last role: no node is active for it.
    pub fn handle_group_gone(&mut self, group: &str) {
        self.roles.remove(group);
    }

    /// Returns true if this node alone is active.
    pub(super) fn is_sole(&self) -> bool {
        self.roles.is_active() && !self.peer_is_active()
    }

    /// Returns true if both nodes are active, so that packets of one flow may pass either.
    pub fn is_shared(&self) -> bool {
        self.roles.is_active() && self.peer_is_active()
    }

    /// Takes over all flows that the peer carried, if this node alone is active. They get the full timeout of their
    /// protocol once, because packets that passed there since the last resync are not known here.
    fn take_over_flows(&mut self, now_ns: u64) {
        if self.is_sole() {
            self.table.take_all(seconds(now_ns));
            // no copies are left
            self.end_renewal();
            self.channel.missing.clear();
            // a switchover restores them once, although both the role and the peer's report arrive
            if !self.roles.set_restore_requested(true) {
                self.request_restore();
                self.walks.end_pause();
            }
        }
    }

    /// Handles the loss of an active peer. If all groups are active here, their roles came before that; else the peer
    /// may still carry the flows that are kept here for a failover.
    fn handle_peer_lost(&mut self, now_ns: u64) {
        if self.roles.has_all() {
            self.take_over_flows(now_ns)
        } else {
            self.begin_renewal(now_ns)
        }
    }

    fn request_restore(&mut self) {
        if !self.table.is_empty() {
            self.walks.request(Due::Restore);
        }
    }

    fn take_over(&mut self, now_ns: u64) {
        self.stop_walk();
        self.walks.end_pause();
        for due in [Due::Loosen, Due::Prune, Due::Verify] {
            self.walks.cancel(due);
        }
        self.request_restore();
        let flows = self.table.count_peer_only(seconds(now_ns));
        if flows > 0 {
            let heard = self
                .peer
                .as_ref()
                .map(|peer| (now_ns - peer.heard_ns) / 1_000_000);
            let heard = heard.map_or(String::new(), |ms| {
                format!(", its last message {ms} ms ago")
            });
            self.log(format!(
                "{flows} flows of the other node are in the kernel{heard}"
            ));
        }
        if self.peer.is_none() {
            self.roles.note_peer_may_lack();
        }
        // flows that another active node carries may still be in transit
        if !self.peer_is_active() {
            self.channel.synchrony.set_complete(true);
        }
        self.roles.set_restore_requested(self.roles.has_all());
        self.take_over_flows(now_ns);
        self.subscribe(now_ns);
        self.request_resync(now_ns);
    }

    fn step_down(&mut self, now_ns: u64) {
        self.stop_walk();
        self.walks.cancel(Due::Restore);
        self.roles.set_restore_requested(false);
        // The other node carries all flows: those that it does not know do not exist any more.
        self.walks.request(Due::Strays);
        self.begin_loosening();
        if self.peer.is_some() {
            self.roles.begin_lingering(now_ns);
            if self.channel.synchrony.set_split(false) {
                self.note_incomplete(now_ns);
            }
        }
        self.request_dropped_flows(now_ns);
        self.request_kept(now_ns);
        if self.channel.resyncs.set_lost_events(false) {
            // this kernel's flows are not those that the peer was informed of
            self.replica.split().0.request_repeat();
        }
        self.subscribe(now_ns);
    }

    /// Requests the flows that were kept unchanged, once the peer turns out to be the node that carries them.
    fn request_kept(&mut self, now_ns: u64) {
        let now_s = seconds(now_ns);
        let kept = self.table.iter().map(|(_, entry)| entry);
        let kept = kept.filter(|entry| entry.has(flag::NEEDS_WHOLE) && !entry.is_own(now_s));
        let kept: Vec<u64> = kept.map(|entry| entry.hash).collect();
        kept.into_iter()
            .for_each(|hash| self.request_flow(now_ns, hash));
    }

    /// Handles the peer's roles, or its report that everything was sent under its earlier ones. `before` is None if
    /// these are its first ones.
    pub(super) fn handle_peer_role(&mut self, now_ns: u64, before: Option<bool>, active: bool) {
        let is_first = before.is_none();
        let ended = before == Some(true) && !active;
        self.addresses.peer_address_counts.changed_ns = now_ns;
        if !active {
            self.end_renewal();
        }
        if active {
            self.roles.set_restore_requested(false);
        }
        if is_first {
            self.channel
                .synchrony
                .set_split(active && self.roles.is_active());
            let is_complete = self.roles.is_active() && !active;
            self.channel.synchrony.set_complete(is_complete);
            let peer_key = self.replica.replica().peer_key();
            self.table.meet(peer_key.unwrap_or_default());
            self.walks.request(Due::Strays);
            self.tell_addresses();
            self.tell_held_addresses();
        }
        if ended {
            self.stop_walk_if(|work| matches!(work, Work::Resync { .. }));
            // packets there set other ends than this node reported
            self.table.forget_told_expiry();
        }
        // Changes that this node made alone may be what the peer needs, whichever node wins. And a resync is useful to
        // a peer only if it knows the peer's role.
        self.request_resync(now_ns);
        if is_first || ended {
            self.take_over_flows(now_ns);
        }
        self.subscribe(now_ns);
    }

    /// Returns the slot of a flow that was known before the peer's restart.
    pub(super) fn recall(&mut self, hash: u64, flow: &Flow) -> Option<u32> {
        let slot = self.table.recall(hash, flow)?;
        self.own_if_sole(slot);
        Some(slot)
    }

    /// Subscribes to the events that the present role needs. A lingering time that is over ends first, and the session
    /// with it.
    pub(super) fn subscribe(&mut self, now_ns: u64) {
        self.end_lingering(now_ns);
        let heard = self.peer.as_ref().is_some_and(|peer| peer.active.is_some());
        let wanted = match heard {
            false => Subscription::Nothing,
            true if self.roles.is_active() || self.roles.is_lingering(now_ns) => Subscription::All,
            true => Subscription::Copies,
        };
        if wanted != self.reports.subscription {
            self.reports.subscription = wanted;
            self.actions.push_back(Action::Subscribe(wanted));
        }
    }

    /// Ends the time after stepping down, when everything was sent.
    pub(super) fn end_lingering(&mut self, now_ns: u64) {
        if self.roles.end_lingering(now_ns) {
            self.renew_session();
        }
    }
}
