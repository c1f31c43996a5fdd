//! Memory for a failover, touched while there is time for it.

use super::Engine;
use crate::sa::SaId;

/// Delay after the first SA that came, and once more while a snapshot of the peer is under way.
const WAIT_MS: u64 = 1_000;
/// Interval of steps, and SAs of each.
const STEP_MS: u64 = 10;
const STEP: usize = 100;

/// SAs that are kept and have no room yet.
#[derive(Debug, Default)]
pub struct Rooms {
    ids: Vec<SaId>,
    due_ms: u64,
}

impl Rooms {
    pub fn want(&mut self, now_ms: u64, id: SaId) {
        if self.ids.is_empty() {
            self.due_ms = now_ms + WAIT_MS;
        }
        self.ids.push(id);
    }

    pub fn next_ms(&self) -> u64 {
        match self.ids.is_empty() {
            true => u64::MAX,
            false => self.due_ms,
        }
    }
}

impl Engine {
    /// Touches the memory of the next ones.
    pub(super) fn make_room(&mut self, now_ms: u64) {
        if self.rooms.next_ms() > now_ms {
            return;
        }
        if self.up && !self.is_complete {
            self.rooms.due_ms = now_ms + WAIT_MS;
            return;
        }
        let rest = self.rooms.ids.len().saturating_sub(STEP);
        for id in self.rooms.ids.drain(rest..) {
            let held = self.store.held.sas.get_mut(&id);
            if let Some(held) = held.filter(|_| !self.installed.contains_key(&id)) {
                held.room.touch();
            }
        }
        self.rooms.due_ms = now_ms + STEP_MS;
    }
}
