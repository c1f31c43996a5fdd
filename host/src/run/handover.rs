//! E6 in the loop: what the link tells of a handover.

use std::time::Instant;

use super::core::Core;

impl Core {
    /// The peer's mark has come in a channel, and all before it lies in the worker's socket.
    pub(super) fn handle_marked(&mut self, now: Instant, id: u64, channel: &str) {
        let _ = (now, id, channel);
    }
}
