//! Memory for a failover, touched while there is time for it.

use super::Engine;
use crate::sa::SaId;
use crate::{MS, SECOND};

/// Delay after the first SA that came, and once more while a snapshot of the peer is under way.
const WAIT_NS: u64 = SECOND;
/// Interval of steps, and SAs of each.
const STEP_NS: u64 = 10 * MS;
const STEP: usize = 100;

/// SAs that are kept and have no room yet.
#[derive(Debug, Default)]
pub struct Rooms {
    ids: Vec<SaId>,
    due_ns: u64,
}

impl Rooms {
    pub fn want(&mut self, now_ns: u64, id: SaId) {
        if self.ids.is_empty() {
            self.due_ns = now_ns + WAIT_NS;
        }
        self.ids.push(id);
    }

    pub fn next_ns(&self) -> u64 {
        match self.ids.is_empty() {
            true => u64::MAX,
            false => self.due_ns,
        }
    }
}

impl Engine {
    /// Touches the memory of the next ones.
    pub(super) fn make_room(&mut self, now_ns: u64) {
        if self.rooms.next_ns() > now_ns {
            return;
        }
        if self.is_up() && !self.is_complete() {
            self.rooms.due_ns = now_ns + WAIT_NS;
            return;
        }
        let rest = self.rooms.ids.len().saturating_sub(STEP);
        for id in self.rooms.ids.drain(rest..) {
            let held = self.store.held.sas.get_mut(&id);
            if let Some(held) = held.filter(|_| !self.installed.has(&id)) {
                held.room.touch();
            }
        }
        self.rooms.due_ns = now_ns + STEP_NS;
    }
}
