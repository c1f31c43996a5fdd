//! Carries the messages of one plugin to its peer plugin, by fragments, credit and marks.

use std::collections::VecDeque;
use std::rc::Rc;

use spared_contract::channel::{DOWN, MESSAGE, RECORD_MAX, UP, message_kind};

use super::sequence::Piece;
use crate::frame::{FRAGMENT_MAX, Numbered};
use crate::message::ChannelState;

/// Maximum size of data that the peer holds for a worker that does not read, in bytes.
pub const WINDOW: u64 = 1 << 20;
/// Maximum size of data that is read from a worker ahead of transmission, in bytes.
const AHEAD_MAX: usize = 256 << 10;
/// Share of the window after which a credit is sent.
const CREDIT_STEP: u64 = WINDOW / 4;

/// Cost of a message in addition to its size, in bytes, so that empty messages are limited too.
const MESSAGE_COST: usize = 64;
/// Maximum number of marks that wait for a worker that does not read.
const MARKS_MAX: usize = 1024;

/// Versions of a plugin's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wire {
    pub min: u32,
    pub max: u32,
}

impl Delivery {
    fn is(&self, kind: u8) -> bool {
        matches!(self, Self::Record(record) if record.first() == Some(&kind))
    }
}

impl Wire {
    /// Returns the highest version that both support.
    pub fn common(self, other: Self) -> Option<u32> {
        let highest = self.max.min(other.max);
        (highest >= self.min.max(other.min)).then_some(highest)
    }
}

/// The worker on the other node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Number of the channel on the peer.
    pub channel: u16,
    pub epoch: u32,
    pub wire: Wire,
}

#[derive(Debug)]
enum Queued {
    /// A record as the worker wrote it: its kind, then the message.
    Message(Rc<Vec<u8>>),
    Mark(u64),
}

/// Item of the queue for the worker's socket.
#[derive(Debug, PartialEq, Eq)]
pub enum Delivery {
    Record(Vec<u8>),
    /// A mark, which the worker does not get: everything before it is in the worker's socket.
    Mark(u64),
}

#[derive(Debug)]
pub struct Channel {
    pub id: u16,
    /// Epoch of this node's worker: the number of its starts.
    pub epoch: u32,
    pub own: Option<Wire>,
    pub peer: Option<Peer>,
    /// Common version, while both workers exist.
    pub wire: Option<u32>,
    queue: VecDeque<Queued>,
    queue_bytes: usize,
    /// Number of bytes of the first queued message that were sent.
    sent_of_first: usize,
    out: Flow,
    credited: Flow,
    /// Received message that is still incomplete.
    partial: Vec<u8>,
    inbox: VecDeque<Delivery>,
    marks: usize,
    /// Number of times that the worker was told that its peer is up.
    ups: u8,
    received_bytes: u64,
    delivered: Flow,
    credit_sent: Flow,
    total_out: Flow,
    total_in: Flow,
}

/// Amount of data since the channel is up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    pub bytes: u64,
    pub messages: u64,
}

impl Flow {
    fn add(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        self.messages += 1;
    }
}

impl Channel {
    pub fn new(id: u16) -> Self {
        Self {
            id,
            epoch: 0,
            own: None,
            peer: None,
            wire: None,
            queue: VecDeque::new(),
            queue_bytes: 0,
            sent_of_first: 0,
            out: Flow::default(),
            credited: Flow::default(),
            partial: Vec::new(),
            inbox: VecDeque::new(),
            marks: 0,
            ups: 0,
            received_bytes: 0,
            delivered: Flow::default(),
            credit_sent: Flow::default(),
            total_out: Flow::default(),
            total_in: Flow::default(),
        }
    }

    // ---- up and down

    /// Sets the common version when both workers exist. A new pair of workers starts with empty
    /// counters.
    pub fn go_up(&mut self, wire: u32) {
        self.go_down();
        self.wire = Some(wire);
        let record = [&[UP][..], &wire.to_be_bytes()].concat();
        self.inbox.push_back(Delivery::Record(record));
    }

    /// Takes the channel down. Queued messages of both directions are lost.
    pub fn go_down(&mut self) {
        self.queue.clear();
        self.partial = Vec::new();
        (
            self.queue_bytes,
            self.sent_of_first,
            self.received_bytes,
            self.marks,
        ) = (0, 0, 0, 0);
        self.out = Flow::default();
        self.credited = Flow::default();
        self.delivered = Flow::default();
        self.credit_sent = Flow::default();
        if self.wire.take().is_some() {
            let unheard = self.inbox.iter().any(|delivery| delivery.is(UP));
            self.inbox.retain(|delivery| delivery.is(DOWN));
            if !unheard {
                self.inbox.push_back(Delivery::Record(vec![DOWN]));
            }
        }
    }

    /// Handles a new worker, which has received nothing yet.
    pub fn forget_deliveries(&mut self) {
        self.inbox.clear();
        self.ups = 0;
    }

    // ---- out

    /// Returns true if a message of the worker may be queued.
    pub fn wants(&self) -> bool {
        self.queue_bytes < AHEAD_MAX
    }

    /// Queues a record with a message of the worker. A message for an earlier peer worker is
    /// dropped.
    pub fn push(&mut self, record: Vec<u8>) {
        let told = !self.inbox.iter().any(|delivery| delivery.is(UP));
        let fits = record.first() == Some(&message_kind(self.ups)) && record.len() <= RECORD_MAX;
        if self.wire.is_none() || !told || !fits {
            return;
        }
        self.total_out.add(record.len() - 1);
        self.queue_bytes += record.len() + MESSAGE_COST;
        self.queue.push_back(Queued::Message(Rc::new(record)));
    }

    pub fn push_mark(&mut self, id: u64) {
        if self.wire.is_some() {
            self.queue.push_back(Queued::Mark(id));
        }
    }

    pub fn queued_bytes(&self) -> usize {
        self.queue_bytes
    }

    /// Returns true if [`poll`](Self::poll) has a frame.
    pub fn is_ready(&self) -> bool {
        match self.queue.front() {
            Some(Queued::Message(_)) => self.out.bytes.saturating_sub(self.credited.bytes) < WINDOW,
            Some(Queued::Mark(_)) => true,
            None => false,
        }
    }

    /// Returns the next frame: one piece of a message, or a mark.
    pub fn poll(&mut self) -> Option<(Numbered<'static>, Option<Piece>)> {
        let (channel, epoch) = (self.id, self.peer?.epoch);
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
                self.out.bytes += (end - start) as u64;
                self.sent_of_first = end;
                if last {
                    self.out.messages += 1;
                    self.out.bytes += MESSAGE_COST as u64;
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
    pub fn handle_credit(
        &mut self,
        epochs: (u32, u32),
        delivered: Flow,
    ) -> Result<(), &'static str> {
        if self.wire.is_none() || Some(epochs.1) != self.peer.map(|peer| peer.epoch) {
            return Ok(()); // for an earlier pair of workers
        }
        if epochs.0 != self.epoch {
            return Ok(());
        }
        if delivered.bytes > self.out.bytes || delivered.messages > self.out.messages {
            return Err("the peer acknowledged more of a channel than it was sent");
        }
        // Credits may arrive over two paths in any order.
        self.credited.bytes = self.credited.bytes.max(delivered.bytes);
        self.credited.messages = self.credited.messages.max(delivered.messages);
        Ok(())
    }

    // ---- in

    /// # Errors
    /// The peer sends more than it has credit for, or a message that is too long.
    pub fn handle_data(
        &mut self,
        epoch: u32,
        last: bool,
        piece: &[u8],
    ) -> Result<(), &'static str> {
        if epoch != self.epoch || self.wire.is_none() {
            return Ok(()); // for a worker that is gone
        }
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
        if last {
            let record = std::mem::take(&mut self.partial);
            self.inbox.push_back(Delivery::Record(record));
        }
        Ok(())
    }

    /// # Errors
    /// Too many marks.
    pub fn handle_mark(&mut self, epoch: u32, id: u64) -> Result<(), &'static str> {
        if epoch != self.epoch || self.wire.is_none() {
            return Ok(());
        }
        if self.marks >= MARKS_MAX {
            return Err("the peer sends too many marks");
        }
        self.marks += 1;
        self.inbox.push_back(Delivery::Mark(id));
        Ok(())
    }

    /// Returns the next record for the worker.
    pub fn delivery(&self) -> Option<&Delivery> {
        self.inbox.front()
    }

    /// Removes the record that the worker has taken. Returns true if a credit should be sent soon.
    pub fn handle_delivered(&mut self) -> bool {
        let done = self.inbox.pop_front();
        if matches!(done, Some(Delivery::Mark(_))) {
            self.marks = self.marks.saturating_sub(1);
        }
        if let Some(Delivery::Record(record)) = done {
            match record.first() {
                Some(&MESSAGE) => {
                    self.delivered.add(record.len() - 1 + MESSAGE_COST);
                    self.total_in.add(record.len() - 1);
                }
                Some(&UP) => self.ups = self.ups.wrapping_add(1),
                _ => {}
            }
        }
        self.delivered.bytes - self.credit_sent.bytes >= CREDIT_STEP
    }

    /// Returns the credit to send now. With `again` it is sent even if unchanged.
    pub fn poll_credit(&mut self, again: bool) -> Option<(Peer, Flow)> {
        let (peer, _) = (self.peer?, self.wire?);
        if self.delivered == self.credit_sent && !again {
            return None;
        }
        self.credit_sent = self.delivered;
        Some((peer, self.delivered))
    }

    pub fn state(&self) -> ChannelState {
        ChannelState {
            wire: self.wire,
            sent: self.total_out.messages,
            received: self.total_in.messages,
            sent_bytes: self.total_out.bytes,
            received_bytes: self.total_in.bytes,
            queued: self.queue.len() as u64
                + self.out.messages.saturating_sub(self.credited.messages),
        }
    }
}
