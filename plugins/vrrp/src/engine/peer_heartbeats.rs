//! Handles heartbeats of the peer: E1, E4, E7 and E8.

use std::sync::Arc;

use super::contact::Contact;
use super::group::{Group, State};
use super::peer::Peer;
use super::{Action, Context};
use crate::config::Election;
use crate::election::{OtherRouter, class};
use crate::wire::heartbeat::Heartbeat;

impl Group {
    pub fn handle_heartbeat(&mut self, cx: &mut Context<'_>, heartbeat: &Heartbeat) {
        let before = self.peer.last().map(|peer| peer.heartbeat.term);
        let was_alone = self.counts_as_alone(cx.now_ns);
        let releases = self.note_heartbeat(cx.now_ns, heartbeat);
        self.end_link_wait(cx);
        self.update_contact(cx);
        if !self.networks.can_send() && self.counts_as_alone(cx.now_ns) != was_alone {
            // before this node takes a group that the peer releases
            self.refresh(cx);
        }
        self.compare_modes(cx);
        match self.state {
            _ if self.lease.is_lapsed() => self.heartbeat_while_lapsed(cx),
            State::Initialize { .. } | State::Lapsed { .. } => {}
            State::Backup { .. } | State::Promoting { .. } => {
                self.heartbeat_while_backup(cx, releases);
            }
            State::Active { .. } => {
                if self.history.handle_rival(before, heartbeat) {
                    self.handle_unheard_conflict(cx);
                }
                self.heartbeat_while_active(cx);
            }
        }
    }

    /// Checks whether the peer was found or lost.
    pub(super) fn update_contact(&mut self, cx: &mut Context<'_>) {
        let contact = self.contact(cx.now_ns);
        if self.peer.handle_contact(cx.now_ns, contact) {
            self.refresh(cx);
            if contact == Contact::None && !matches!(self.state, State::Backup { .. }) {
                self.forget_unheard(cx);
            } else if contact != Contact::Mutual {
                self.probe_again(cx);
            }
        }
    }

    /// Time at which [`Group::update_contact`] finds the peer lost: adverts do not show it.
    pub(super) fn contact_timeout(&self) -> Option<u64> {
        let peer = self
            .peer
            .last()
            .filter(|_| self.peer.last_contact() != Contact::None);
        peer.map(|peer| self.peer_silent_at_ns(peer))
    }

    pub(super) fn heartbeat_while_backup(&mut self, cx: &mut Context<'_>, releases: bool) {
        let Some(peer) = self.peer.last() else { return };
        if peer.is_active() {
            let interval_ns = peer.heartbeat.advert_interval_ns;
            self.own_heartbeat.end_release();
            self.watch.end_waits();
            // a node that hears in one direction only still preempts by adverts
            if self.peer.was_mutual() || !self.watch.is_lower_active() {
                self.wait_for_active_peer(cx, interval_ns);
            }
            return self.republish_backup(cx);
        }
        if releases {
            self.handle_peer_release(cx);
        }
    }

    /// Restarts Active_Down: the active peer lives, on whatever path.
    fn wait_for_active_peer(&mut self, cx: &mut Context<'_>, interval_ns: u64) {
        self.watch.handle_active_peer(interval_ns);
        if self.peer.was_mutual() {
            self.watch.end_preemption();
            self.drop_claim(cx);
        }
        self.restart_active_down(cx);
    }

    /// Restarts Active_Down: another router is active, and its silence begins now.
    pub(super) fn restart_active_down(&mut self, cx: &Context<'_>) {
        let down_ns = cx.now_ns.saturating_add(self.active_down_ns());
        if matches!(self.state, State::Promoting { .. }) {
            self.state = State::Backup {
                down_ns,
                since_ns: cx.now_ns,
            };
        }
        self.rearm_down(down_ns);
    }

    /// Handles the peer's release of the group, whose fence is blocking: the successor becomes active at once, another
    /// backup within its skew.
    pub(super) fn handle_peer_release(&mut self, cx: &mut Context<'_>) {
        let State::Backup { .. } = self.state else {
            return;
        };
        self.watch.handle_resignation();
        self.peer.handle_release(cx.now_ns);
        if self.candidacy.directive().prepared && !self.start.waits_for_other_run(cx.now_ns) {
            return self.take_released_group(cx);
        }
        let wait_ns = self.after_resignation_ns();
        self.rearm_down(cx.now_ns.saturating_add(wait_ns));
    }

    // ---- nobody is active --------------------------------------------------------------

    /// Returns true if the peer goes first: Active_Down has expired, but the peer lives.
    pub(super) fn waits_for_fitter_peer(&mut self, cx: &mut Context<'_>) -> bool {
        let now_ns = cx.now_ns;
        let Some(peer) = self.living_peer(now_ns) else {
            return false;
        };
        let again_ns = now_ns.saturating_add(self.active_down_ns());
        // without an interface there is nothing to take from one that has some
        if peer.is_active() || !self.networks.can_send() && peer.has_interface() {
            self.rearm_down(again_ns);
            return true;
        }
        if self.watch.has_resigned() && class(self.candidacy.directive()) >= peer.heartbeat.class {
            return false;
        }
        let fitter = self.outscores(cx, peer) && self.peer.was_mutual();
        // the peer has just started to listen: it hears this node before its own time ends
        let loss = u64::from(self.config.advert_loss);
        let earliest_ns = peer
            .idle_since_ns
            .saturating_add(peer.heartbeat.advert_interval_ns.saturating_mul(loss));
        let late = earliest_ns >= now_ns.saturating_add(peer.heartbeat.advert_interval_ns);
        if fitter || late || !self.watch.grant_wait() {
            return false;
        }
        self.rearm_down(again_ns);
        true
    }

    /// E0 and E7: true if this node should be active, of both.
    pub(super) fn outscores(&self, cx: &Context<'_>, peer: &Peer) -> bool {
        let by_priority = self.by_priority(cx.now_ns);
        let first = cx.peer.is_none_or(|name| cx.node < &**name);
        let own = self.rank(cx.now_ns).score(by_priority, first);
        own > peer.rank().score(by_priority, !first)
    }

    /// True if one of both nodes elects by priority: then both do.
    pub(super) fn by_priority(&self, now_ns: u64) -> bool {
        let own = matches!(self.config.election, Election::Priority { .. });
        own || self
            .living_peer(now_ns)
            .is_some_and(|peer| peer.heartbeat.by_priority)
    }

    fn compare_modes(&mut self, cx: &mut Context<'_>) {
        let Some(peer) = self.peer.last() else { return };
        let own = matches!(self.config.election, Election::Priority { .. });
        let differs = own != peer.heartbeat.by_priority;
        if self.peer.handle_modes(differs) {
            let (name, who) = (&self.name, self.peer_name(cx));
            let text = format!(
                "{name}: {who} elects by {}, this node by {}: both use priority",
                if own { "quality" } else { "priority" },
                if own { "priority" } else { "quality" }
            );
            cx.push(Action::Event(text));
        }
    }

    pub(super) fn peer_name(&self, cx: &Context<'_>) -> OtherRouter {
        OtherRouter::Node(cx.peer.map_or_else(|| Arc::from("the peer"), Arc::clone))
    }
}
