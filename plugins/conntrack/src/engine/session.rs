//! Session with the peer: its identity, its active groups, the drain, requests to resend. lib/replica implements it,
//! without tables here: both nodes report the flows that they saw, and no node decides (`merge.rs`).
//!
//! The session's messages go before those of flows. But a role is sent after everything that was sent under the earlier
//! one, and a drain after everything.

use spared_replica::Malformed;
use spared_replica::wire::OWN;
use spared_sdk::Role;

use super::table::flag;
use super::walk_queue::Work;
use super::{Action, Engine};
use crate::wire::Message;

impl Engine {
    /// Handles one message of the peer: untrusted bytes.
    ///
    /// # Errors
    /// A part of it is malformed; it is requested again.
    pub fn handle_message(&mut self, now_ns: u64, bytes: &[u8]) -> Result<(), Malformed> {
        let Some(peer) = &mut self.peer else {
            return Ok(());
        };
        peer.heard_ns = now_ns;
        let heard = match bytes.first() {
            Some(OWN..) => self.handle_own(now_ns, bytes),
            _ => self.replica.handle_message(now_ns, bytes),
        };
        // flows in it may be missing here
        if heard.is_err() {
            self.note_incomplete(now_ns);
        }
        self.follow_session(now_ns);
        heard
    }

    fn handle_own(&mut self, now_ns: u64, bytes: &[u8]) -> Result<(), Malformed> {
        let heard = match self.replica.replica().peer_role() {
            Some(_) => {
                Message::decode(bytes).and_then(|message| self.apply_message(now_ns, message))
            }
            None => Err(Malformed::Order("of flows")),
        };
        heard.inspect_err(|why| self.replica.split().0.reject(now_ns, *why))
    }

    /// Handles changes of the session.
    fn follow_session(&mut self, now_ns: u64) {
        let (session, _) = self.replica.split();
        while let Some(text) = session.poll_event() {
            self.actions.push_back(Action::Warn(text));
        }
        if session.take_repeat_request() {
            // its role follows, and the resync that answers it
            self.table.clear_flag(flag::KNOWN_TO_PEER);
            self.roles.note_peer_may_lack();
            // a resync under way has passed flows that the peer lacks, and its end would report these as gone
            self.stop_walk_if(|work| matches!(work, Work::Resync { .. }));
        }
        let role = self.replica.replica().peer_role();
        if let (Some(peer), Some((serial, groups))) = (&mut self.peer, role) {
            if peer.active.is_none() || peer.serial != serial {
                peer.serial = serial;
                let active = !groups.is_empty();
                let before = peer.active.replace(active);
                self.handle_peer_role(now_ns, before, active);
            }
        }
        self.update_synchrony(now_ns);
    }

    pub(super) fn tell_role(&mut self, group: &str, active: bool) {
        let role = if active { Role::Active } else { Role::Backup };
        self.replica.handle_role(group, role);
        self.channel.outbox.go_ahead();
    }

    /// Renews the session after everything was sent that waited when the last group was given up: only a resync that
    /// begins after the peer has received this reports which flows the peer has.
    pub(super) fn renew_session(&mut self) {
        self.replica.split().0.renew_serial();
        self.channel.outbox.go_ahead();
    }

    // ---- drain

    /// Begins a drain: everything is sent, young flows included, and the peer confirms that it has it. Returns true if
    /// nothing is to be drained; else the drain lasts until [`is_draining`](Self::is_draining) is false.
    pub fn drain(&mut self, now_ns: u64) -> bool {
        if self.peer.is_none() || !self.roles.is_active() {
            return true;
        }
        self.channel.outbox.start_drain();
        self.queue_aged(now_ns);
        self.report_dropped_flows(now_ns);
        false
    }

    pub fn is_draining(&self) -> bool {
        self.channel.outbox.is_draining() || !self.replica.is_drained()
    }

    /// Takes note that no notification waits in the kernel.
    pub fn handle_heard_all(&mut self) {
        self.walks.handle_heard_all();
        self.channel.outbox.handle_heard_all();
    }

    /// Asks the peer if it has everything, once nothing waits here any more.
    pub(super) fn ask_whether_drained(&mut self) -> bool {
        let is_due = self.channel.unknown.is_empty()
            && !self.channel.resyncs.has_lost_events()
            && self.channel.outbox.end_drain();
        if is_due {
            self.replica.start_drain();
        }
        is_due
    }
}
