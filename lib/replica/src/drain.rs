//! The drain: one node asks the other to confirm everything that was sent.

use crate::Drain;

/// Drains of both nodes.
#[derive(Debug)]
pub(crate) struct Drains {
    /// State and number of this node's last drain.
    state: Drain,
    id: u32,
    is_sent: bool,
    /// Number of the peer's drain whose records all have their verdicts.
    answer_due: Option<u32>,
    /// Time of the peer's last drain.
    peer_drain_ns: Option<u64>,
}

impl Drains {
    pub(crate) fn new() -> Self {
        Self {
            state: Drain::Idle,
            id: 0,
            is_sent: false,
            answer_due: None,
            peer_drain_ns: None,
        }
    }

    // ---- of this node

    pub(crate) fn start(&mut self, up: bool) {
        self.state = if up { Drain::Pending } else { Drain::Failed };
        self.id = self.id.wrapping_add(1);
        self.is_sent = false;
    }

    pub(crate) fn state(&self) -> Drain {
        self.state
    }

    /// True if the peer has not been asked yet.
    pub(crate) fn is_due(&self) -> bool {
        self.state == Drain::Pending && !self.is_sent
    }

    /// Returns the number to send; the peer is asked once in a pair.
    pub(crate) fn take_request(&mut self) -> u32 {
        self.is_sent = true;
        self.id
    }

    pub(crate) fn handle_drained(&mut self, id: u32) {
        if self.state == Drain::Pending && id == self.id {
            self.state = Drain::Done;
        }
    }

    // ---- of the peer

    pub(crate) fn handle_peer_drain(&mut self, now_ns: u64) {
        self.peer_drain_ns = Some(now_ns);
    }

    pub(crate) fn peer_drain_ns(&self) -> Option<u64> {
        self.peer_drain_ns
    }

    pub(crate) fn answer(&mut self, id: u32) {
        self.answer_due = Some(id);
    }

    pub(crate) fn take_answer(&mut self) -> Option<u32> {
        self.answer_due.take()
    }

    // ---- of both

    /// Handles the end of the pair: the peer is asked again in the next one.
    pub(crate) fn handle_pair_end(&mut self) {
        self.is_sent = false;
        self.answer_due = None;
    }

    pub(crate) fn handle_down(&mut self) {
        self.peer_drain_ns = None;
        if self.state == Drain::Pending {
            self.state = Drain::Failed;
        }
    }
}
