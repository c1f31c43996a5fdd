//! Joins the pieces that the peer sends to messages, and gives it credit for those that the worker has taken.

use spared_contract::channel::{MESSAGE, RECORD_MAX};

use super::{Flow, MESSAGE_COST, WINDOW};

/// Share of the window after which a credit is sent.
const CREDIT_STEP: u64 = WINDOW / 4;
/// Maximum number of marks that wait for a worker that does not read.
const MARKS_MAX: usize = 1024;

/// Data from the peer's worker. Lives as long as both workers.
#[derive(Debug, Default)]
pub struct Incoming {
    /// Received message that is still incomplete.
    partial: Vec<u8>,
    received_bytes: u64,
    /// Marks that wait for the worker.
    marks: usize,
    delivered: Flow,
    credit_sent: Flow,
}

impl Incoming {
    /// Handles a piece of a message. Returns the record that it completes.
    ///
    /// # Errors
    /// The peer sends more than it has credit for, or a message that is too long.
    pub fn handle_piece(
        &mut self,
        last: bool,
        piece: &[u8],
    ) -> Result<Option<Vec<u8>>, &'static str> {
        let cost = if last { MESSAGE_COST } else { 0 };
        self.received_bytes += (piece.len() + cost) as u64;
        if self.received_bytes.saturating_sub(self.delivered.bytes) > WINDOW + RECORD_MAX as u64 {
            return Err("the peer sends more than it has credit for");
        }
        if self.partial.is_empty() {
            let room = if last { 1 + piece.len() } else { RECORD_MAX };
            self.partial = Vec::with_capacity(room);
            self.partial.push(MESSAGE);
        }
        if self.partial.len() + piece.len() > RECORD_MAX {
            return Err("the peer sends a message that is too long");
        }
        self.partial.extend_from_slice(piece);
        Ok(last.then(|| std::mem::take(&mut self.partial)))
    }

    /// # Errors
    /// Too many marks.
    pub fn handle_mark(&mut self) -> Result<(), &'static str> {
        if self.marks >= MARKS_MAX {
            return Err("the peer sends too many marks");
        }
        self.marks += 1;
        Ok(())
    }

    /// Handles that the worker has taken a message of this size.
    pub fn handle_delivered(&mut self, bytes: usize) {
        self.delivered.add(bytes + MESSAGE_COST);
    }

    /// Handles that everything before a mark was taken.
    pub fn handle_mark_delivered(&mut self) {
        self.marks = self.marks.saturating_sub(1);
    }

    /// Returns the credit to send now. With `again` it is sent even if unchanged.
    pub fn poll_credit(&mut self, again: bool) -> Option<Flow> {
        if self.delivered == self.credit_sent && !again {
            return None;
        }
        self.credit_sent = self.delivered;
        Some(self.delivered)
    }

    /// Returns true if a credit should be sent soon.
    pub fn is_credit_due(&self) -> bool {
        self.delivered.bytes - self.credit_sent.bytes >= CREDIT_STEP
    }
}
