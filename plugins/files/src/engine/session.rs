//! Session with the peer: messages that wait for the channel, and the time for its first report.

use std::collections::VecDeque;

use crate::wire::{Message, encode};

/// Time in ns that the peer has for the first scan of its trees.
const TOLD_NS: u64 = 30_000_000_000;
/// Number of waiting messages beyond which no more is read for the peer.
const OUTBOX_MAX: usize = 4;
pub(super) const OUTBOX_LIMIT: usize = 512;

#[derive(Debug)]
pub(super) struct Session {
    outbox: VecDeque<Vec<u8>>,
    /// Time until which the peer should have sent the state of its trees; None: that time is over.
    told_due_ns: Option<u64>,
}

impl Session {
    pub fn new(now_ns: u64) -> Self {
        Self {
            outbox: VecDeque::new(),
            told_due_ns: Some(now_ns.saturating_add(TOLD_NS)),
        }
    }

    pub fn send(&mut self, message: &Message) {
        // a peer that requests without reading gets no further answers
        if self.outbox.len() < OUTBOX_LIMIT {
            self.outbox.push_back(encode(message));
        }
    }

    pub fn next_message(&self) -> Option<&[u8]> {
        self.outbox.front().map(Vec::as_slice)
    }

    pub fn handle_sent(&mut self) {
        self.outbox.pop_front();
    }

    pub fn handle_timeout(&mut self, now_ns: u64) {
        self.told_due_ns = self.told_due_ns.filter(|it| *it > now_ns);
    }

    pub fn told_due_ns(&self) -> Option<u64> {
        self.told_due_ns
    }

    /// True if the peer should have sent the state of its trees.
    pub fn is_told_due(&self) -> bool {
        self.told_due_ns.is_none()
    }

    /// True if more may be read for the peer.
    pub fn has_room(&self) -> bool {
        self.outbox.len() < OUTBOX_MAX
    }

    #[cfg(test)]
    pub fn waiting(&self) -> usize {
        self.outbox.len()
    }
}
