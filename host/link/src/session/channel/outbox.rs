//! Queues the messages of a worker until they are numbered for the peer, which must have room for them.

use std::collections::VecDeque;
use std::rc::Rc;

use super::{Flow, MESSAGE_COST, WINDOW};
use crate::frame::{FRAGMENT_MAX, Numbered};
use crate::session::sequence::Piece;

/// Maximum size of data that is read from a worker ahead of transmission, in bytes.
const AHEAD_MAX: usize = 256 << 10;

/// Messages and marks to the peer's worker. Lives as long as both workers.
#[derive(Debug, Default)]
pub struct Outbox {
    queue: VecDeque<Queued>,
    queue_bytes: usize,
    /// Number of bytes of the first queued message that were sent.
    sent_of_first: usize,
    sent: Flow,
    /// Part of `sent` that the peer's worker has taken.
    credited: Flow,
}

#[derive(Debug)]
enum Queued {
    /// A record as the worker wrote it: its kind, then the message.
    Message(Rc<Vec<u8>>),
    Mark(u64),
}

impl Outbox {
    pub fn push(&mut self, record: Vec<u8>) {
        self.queue_bytes += record.len() + MESSAGE_COST;
        self.queue.push_back(Queued::Message(Rc::new(record)));
    }

    pub fn push_mark(&mut self, id: u64) {
        self.queue.push_back(Queued::Mark(id));
    }

    /// Returns the next frame of a channel, for the peer's worker of this epoch: one piece of a message, or a mark.
    pub fn poll(&mut self, channel: u16, epoch: u32) -> Option<(Numbered<'static>, Option<Piece>)> {
        if !self.is_ready() {
            return None;
        }
        match self.queue.front()? {
            Queued::Mark(id) => {
                let frame = Numbered::Mark {
                    channel,
                    epoch,
                    id: *id,
                };
                self.queue.pop_front();
                Some((frame, None))
            }
            Queued::Message(record) => {
                let bytes = Rc::clone(record);
                let start = self.sent_of_first.max(1);
                let end = (start + FRAGMENT_MAX).min(bytes.len());
                let last = end == bytes.len();
                self.sent.bytes += (end - start) as u64;
                self.sent_of_first = end;
                if last {
                    self.sent.messages += 1;
                    self.sent.bytes += MESSAGE_COST as u64;
                    self.queue_bytes -= bytes.len() + MESSAGE_COST;
                    self.sent_of_first = 0;
                    self.queue.pop_front();
                }
                let frame = Numbered::Data {
                    channel,
                    epoch,
                    last,
                    piece: &[],
                };
                let range = start..end;
                Some((frame, Some(Piece { bytes, range })))
            }
        }
    }

    /// # Errors
    /// The peer acknowledged more than it was sent.
    pub fn handle_credit(&mut self, delivered: Flow) -> Result<(), &'static str> {
        if delivered.bytes > self.sent.bytes || delivered.messages > self.sent.messages {
            return Err("the peer acknowledged more of a channel than it was sent");
        }
        // Credits may arrive over two paths in any order.
        self.credited.bytes = self.credited.bytes.max(delivered.bytes);
        self.credited.messages = self.credited.messages.max(delivered.messages);
        Ok(())
    }

    /// Returns true if a message of the worker may be queued.
    pub fn has_room(&self) -> bool {
        self.queue_bytes < AHEAD_MAX
    }

    /// Returns true if [`poll`](Self::poll) has a frame.
    pub fn is_ready(&self) -> bool {
        match self.queue.front() {
            Some(Queued::Message(_)) => {
                self.sent.bytes.saturating_sub(self.credited.bytes) < WINDOW
            }
            Some(Queued::Mark(_)) => true,
            None => false,
        }
    }

    pub fn bytes(&self) -> usize {
        self.queue_bytes
    }

    /// Returns the number of messages and marks that the peer's worker has not taken.
    pub fn waiting(&self) -> u64 {
        let on_the_way = self.sent.messages.saturating_sub(self.credited.messages);
        self.queue.len() as u64 + on_the_way
    }
}
