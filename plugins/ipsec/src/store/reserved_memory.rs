//! Memory for a failover, touched while there is time for it.

use std::collections::BTreeMap;

use super::HeldSa;
use crate::sa::{Sa, SaId};
use crate::{MS, SECOND};

/// Delay after the first SA that came, and once more while a snapshot of the peer is under way.
const WAIT_NS: u64 = SECOND;
/// Interval of steps, and SAs of each.
const STEP_NS: u64 = 10 * MS;
const STEP: usize = 100;

/// Memory that installing an SA takes: written to while there is time for it, and free for that when the SA is
/// installed. A page costs most when it is touched first, and thousands of SAs take hundreds of pages.
#[derive(Debug, Default)]
pub struct ReservedMemory(Vec<u8>);

impl ReservedMemory {
    /// An SA, and its entries in the lists of what was put.
    const BYTES: usize = size_of::<Sa>() + 384;

    fn touch(&mut self) {
        // zeros might come as pages that nobody has touched yet
        self.0 = vec![1; Self::BYTES];
    }

    /// Gives the memory back to the allocator, from which the next objects take it.
    pub fn free(&mut self) {
        self.0 = Vec::new();
    }

    #[cfg(test)]
    pub fn is_free(&self) -> bool {
        self.0.is_empty()
    }
}

/// SAs that are kept and have no memory reserved yet.
#[derive(Debug, Default)]
pub struct PendingReservations {
    ids: Vec<SaId>,
    due_ns: u64,
}

impl PendingReservations {
    pub fn want(&mut self, now_ns: u64, id: SaId) {
        if self.ids.is_empty() {
            self.due_ns = now_ns + WAIT_NS;
        }
        self.ids.push(id);
    }

    /// A snapshot of the peer is under way.
    pub fn wait(&mut self, now_ns: u64) {
        self.due_ns = now_ns + WAIT_NS;
    }

    /// Touches the memory of the next ones, but of those that are put already.
    pub fn touch_next(
        &mut self,
        now_ns: u64,
        sas: &mut BTreeMap<SaId, HeldSa>,
        is_installed: impl Fn(&SaId) -> bool,
    ) {
        let rest = self.ids.len().saturating_sub(STEP);
        for id in self.ids.drain(rest..) {
            let held = sas.get_mut(&id);
            if let Some(held) = held.filter(|_| !is_installed(&id)) {
                held.reserved.touch();
            }
        }
        self.due_ns = now_ns + STEP_NS;
    }

    pub fn next_ns(&self) -> u64 {
        if self.ids.is_empty() {
            u64::MAX
        } else {
            self.due_ns
        }
    }
}
