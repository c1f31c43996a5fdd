//! IKE sessions of charon here: its messages become records, and a charon that starts on a node that has become active
//! gets what the other node's charon told (`feed.rs`, in the order of `plan.rs`), with the SAs that are in the kernel
//! already (`batch.rs`). Before it has them it begins no others (`openings.rs`) and its policies do not take packets
//! (`copies.rs`). Before its sessions leave it is quiet (`quiet.rs`), and when they have left it forgets them (`left.rs`).

mod batch;
mod charon;
mod copies;
mod feed;
mod left;
mod messages;
mod openings;
mod plan;
mod quiet;

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::Engine;
use crate::sessions::RunningIke;
use crate::sessions::message::{Kind, Message};
use crate::sessions::{IkeSpis, SessionId};
use crate::store::Tunnels;
use crate::wire::SESSIONS;

pub use copies::Copies;
pub use feed::{Feed, NotTold};
pub use openings::Openings;

impl Engine {
    /// Handles a message of charon's plugin `ha`.
    pub fn handle_charon_message(&mut self, now_ns: u64, bytes: &[u8]) {
        let Ok(message) = Message::read(bytes) else {
            return self.ike.feed.note_malformed();
        };
        let (kind, ike) = (message.kind, message.ike);
        self.ike.feed.note_message(&message);
        // what charon says of sessions that it must not go on with is of no use to the peer
        if !self.is_active() {
            return;
        }
        for id in self.store.sessions.own.handle(now_ns, message) {
            self.update_session_record(now_ns, id);
            if let SessionId::Child(spi) = id {
                self.name_child(now_ns, spi);
            }
        }
        if let (Kind::MidInitiator | Kind::MidResponder, Some(ike)) = (kind, ike) {
            self.queue_message_ids(ike);
        }
    }

    /// Handles charon's list of its IKE SAs, which comes before charon is said to run.
    pub fn handle_running(&mut self, ikes: BTreeMap<IkeSpis, RunningIke>) {
        if !ikes.is_empty() && self.ike.presence.is_unknown() {
            self.ike.feed.note_older_charon();
        }
        self.ike.feed.charon_mut().note_running(ikes);
    }

    /// Has new message IDs of an IKE SA reported.
    fn queue_message_ids(&mut self, ike: IkeSpis) {
        let record = self.store.sessions.records.get(&SessionId::Ike(ike));
        if let Some(record) = record.filter(|it| it.is_local) {
            self.replica.latest(SESSIONS, record.key);
        }
    }

    /// Brings the record of an IKE SA or a child up to date.
    fn update_session_record(&mut self, now_ns: u64, id: SessionId) {
        self.set_now(now_ns);
        let Tunnels {
            sessions,
            ends,
            is_active,
            ..
        } = &mut self.store;
        let (before, present) = sessions.update(id, |end| *is_active && ends.owns(end));
        self.report_record(now_ns, SESSIONS, before, present);
    }

    /// Sorts sessions again after roles or addresses changed: those that came are for charon here.
    pub(super) fn sort_sessions(&mut self, now_ns: u64) {
        let Tunnels {
            sessions,
            ends,
            is_active,
            ..
        } = &mut self.store;
        let [gone, come] = sessions.sort(|end: &IpAddr| *is_active && ends.owns(end));
        let has_come = !come.is_empty();
        self.note_left_sessions();
        for id in gone.into_iter().chain(come) {
            self.update_session_record(now_ns, id);
        }
        // a charon whose sessions have gone must not be told to answer
        if has_come {
            self.copy_policies();
            self.feed_more(now_ns);
        }
    }
}
