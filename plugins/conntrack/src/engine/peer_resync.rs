//! The peer's resync: flows that it did not name have ended there. Its records are applied by `peer_reports.rs`.

use super::walk_queue::Due;
use super::{Engine, seconds};

impl Engine {
    /// Handles the begin of the peer's resync, which names all flows that it carries.
    pub(super) fn begin_peer_resync(&mut self, lease_s: u32) {
        self.channel.missing.begin_resync();
        self.table.begin_round();
        self.renewal.set_lease(lease_s);
    }

    /// Handles the end of the peer's resync: it has reported all flows that it carries.
    pub(super) fn handle_resynced(&mut self, now_ns: u64, answered_serial: u32) {
        // every master that comes has come
        self.retry_orphans();
        if Some(answered_serial) != self.replica.replica().serial() {
            return; // it began before the peer knew this node's present role: another one follows
        }
        let carries = self.informs_peer(now_ns);
        if !carries {
            // the role that the peer answers was sent after everything else
            self.roles.note_peer_has_all();
        }
        self.send_requests(now_ns);
        if !self.peer_is_active() {
            return;
        }
        self.channel.missing.end_resync();
        self.forget_unnamed_refused();
        let has_all_events = self.peer.as_ref().is_some_and(|peer| !peer.has_lost_events);
        self.channel.synchrony.set_complete(has_all_events);
        self.channel.synchrony.set_split(false);
        self.end_renewal();
        if !carries {
            self.table.give_all();
            self.table.forget_former();
        }
        let doomed = self.table.end_unnamed(seconds(now_ns));
        if doomed || self.walks.is_due(Due::Strays) && !carries {
            self.walks.request(Due::Prune);
        }
        self.update_synchrony(now_ns);
    }
}
