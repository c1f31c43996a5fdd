//! What the peers say to each other.

use super::Engine;
use super::sender::Sender;
use crate::error::Malformed;
use crate::wire::{Layout, Message};

impl Engine {
    /// The peer is there.
    pub fn handle_up(&mut self, _now_ms: u64) {
        self.link(true);
        self.tell_role();
    }

    /// It has gone.
    pub fn handle_down(&mut self, now_ms: u64) {
        self.apart_since_ms.get_or_insert(now_ms);
        self.link(false);
        self.finish_retiring(now_ms);
    }

    fn link(&mut self, up: bool) {
        (self.up, self.peer, self.alien) = (up, None, false);
        self.out.clear();
        self.role_due = false;
        self.sender = Sender::default();
        self.receiver.restart();
        self.warned = false;
        self.said = None;
        self.dirty = true;
    }

    pub(super) fn tell_role(&mut self) {
        self.role_due = self.up;
    }

    /// The peer's bytes.
    ///
    /// # Errors
    /// They are no message.
    pub fn handle_message(&mut self, now_ms: u64, bytes: &[u8]) -> Result<(), Malformed> {
        let message =
            Message::parse(bytes).inspect_err(|why| self.count_malformed(now_ms, *why))?;
        match message {
            Message::Role { active, layout } => self.handle_peer_role(active, layout),
            _ if self.alien => {}
            Message::Request => self.handle_request(now_ms),
            Message::InSync { .. } => {
                self.sender.peer_in_sync = self.is_active();
                self.apart_since_ms = None;
                self.dirty = true;
            }
            Message::Refused { count, first } => {
                self.sender.refused_count = count;
                self.sender.refused = first.into_iter().collect();
                self.dirty = true;
            }
            Message::Last(counted) => self.handle_last(now_ms, counted),
            // a node that is active believes nobody
            gift if self.is_receiver() => self.handle_gift(now_ms, gift),
            _ => {}
        }
        Ok(())
    }

    fn handle_peer_role(&mut self, active: bool, layout: Layout) {
        self.peer = Some(active);
        self.alien = layout != Layout::HERE;
        self.sender = Sender::default();
        self.receiver.restart();
        self.follow();
        self.dirty = true;
    }

    fn count_malformed(&mut self, now_ms: u64, why: Malformed) {
        self.counters.malformed += 1;
        self.dirty = true;
        if !std::mem::replace(&mut self.warned, true) {
            self.warn(format!(
                "the peer's message is not understood: {why}; more are counted"
            ));
        }
        self.miss(now_ms);
    }

    /// The next message for the peer, where there is one; keys are in it.
    pub fn poll_message(&mut self, now_ms: u64) -> Option<Vec<u8>> {
        if !self.up {
            return None;
        }
        if let Some(message) = self.out.pop_front() {
            return Some(message);
        }
        if std::mem::take(&mut self.role_due) {
            let (active, layout) = (self.is_active(), Layout::HERE);
            return Some(Message::Role { active, layout }.emit());
        }
        let wish = self.receiver.next_wish().map(|wish| wish.emit());
        wish.or_else(|| self.next_gift(now_ms))
    }
}
