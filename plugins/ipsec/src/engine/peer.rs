//! What the twins say to each other.

use super::Engine;
use super::give::Give;
use crate::error::Malformed;
use crate::wire::{Layout, Message};

impl Engine {
    /// The twin is there.
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
        (self.up, self.twin, self.alien) = (up, None, false);
        self.out.clear();
        self.give = Give::default();
        self.take.restart();
        self.warned = false;
        self.said = None;
        self.stirred = true;
    }

    pub(super) fn tell_role(&mut self) {
        if self.up {
            let role = Message::Role {
                active: self.is_active(),
                layout: Layout::HERE,
            };
            self.out.push_back(role.emit());
        }
    }

    /// The twin's bytes.
    ///
    /// # Errors
    /// They are no message.
    pub fn handle_message(&mut self, now_ms: u64, bytes: &[u8]) -> Result<(), Malformed> {
        let message =
            Message::parse(bytes).inspect_err(|why| self.count_malformed(now_ms, *why))?;
        match message {
            Message::Role { active, layout } => self.handle_twin_role(active, layout),
            _ if self.alien => {}
            Message::Want => self.handle_want(now_ms),
            Message::Synced { .. } => {
                self.give.synced = self.is_active();
                self.apart_since_ms = None;
                self.stirred = true;
            }
            Message::Refused { count, first } => {
                self.give.refused_count = count;
                self.give.refused = first.into_iter().collect();
                self.stirred = true;
            }
            Message::Last(counted) => self.handle_last(now_ms, counted),
            // a node that is active believes nobody
            gift if self.takes() => self.handle_gift(now_ms, gift),
            _ => {}
        }
        Ok(())
    }

    fn handle_twin_role(&mut self, active: bool, layout: Layout) {
        self.twin = Some(active);
        self.alien = layout != Layout::HERE;
        self.give = Give::default();
        self.take.restart();
        self.follow();
        self.stirred = true;
    }

    fn count_malformed(&mut self, now_ms: u64, why: Malformed) {
        self.counters.malformed += 1;
        self.stirred = true;
        if !std::mem::replace(&mut self.warned, true) {
            self.warn(format!(
                "the twin's message is not understood: {why}; more are counted"
            ));
        }
        self.miss(now_ms);
    }

    /// The next message for the twin, where there is one; keys are in it.
    pub fn poll_message(&mut self, now_ms: u64) -> Option<Vec<u8>> {
        if !self.up {
            return None;
        }
        if let Some(message) = self.out.pop_front() {
            return Some(message);
        }
        self.next_gift(now_ms)
    }
}
