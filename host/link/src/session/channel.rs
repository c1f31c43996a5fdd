//! Carries the messages of one plugin to its peer plugin, by fragments, credit and marks.

mod deliveries;
mod incoming;
mod outbox;

use spared_contract::channel::{MESSAGE, RECORD_MAX};

pub use deliveries::Delivery;

use super::sequence::Piece;
use crate::frame::Numbered;
use crate::message::ChannelState;
use deliveries::Deliveries;
use incoming::Incoming;
use outbox::Outbox;

/// Maximum size of data that the peer holds for a worker that does not read, in bytes.
pub const WINDOW: u64 = 1 << 20;
/// Cost of a message in addition to its size, in bytes, so that empty messages are limited too.
const MESSAGE_COST: usize = 64;

/// Versions of a plugin's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wire {
    pub min: u32,
    pub max: u32,
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

#[derive(Debug, Default)]
pub struct Channel {
    pub id: u16,
    /// Epoch of this node's worker: the number of its starts.
    pub epoch: u32,
    pub own: Option<Wire>,
    pub peer: Option<Peer>,
    /// Common version, while both workers exist.
    pub wire: Option<u32>,
    outbox: Outbox,
    incoming: Incoming,
    deliveries: Deliveries,
    /// All data that workers of this node have sent.
    sent: Flow,
    /// All data that workers of this node have received.
    received: Flow,
}

/// Amount of data.
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
            ..Self::default()
        }
    }

    // ---- up and down

    /// Sets the common version when both workers exist. A new pair of workers starts with empty
    /// counters.
    pub fn go_up(&mut self, wire: u32) {
        self.go_down();
        self.wire = Some(wire);
        self.deliveries.push_up(wire);
    }

    /// Takes the channel down. Queued messages of both directions are lost.
    pub fn go_down(&mut self) {
        self.outbox = Outbox::default();
        self.incoming = Incoming::default();
        if self.wire.take().is_some() {
            self.deliveries.push_down();
        }
    }

    /// Handles a new worker, which has received nothing yet.
    pub fn forget_deliveries(&mut self) {
        self.deliveries = Deliveries::default();
    }

    // ---- out

    /// Returns true if a message of the worker may be queued.
    pub fn wants(&self) -> bool {
        self.outbox.has_room()
    }

    /// Queues a record with a message of the worker. A message for an earlier peer worker is
    /// dropped.
    pub fn push(&mut self, record: Vec<u8>) {
        let is_of_peer = record.first() == Some(&self.deliveries.message_kind());
        let fits = is_of_peer && record.len() <= RECORD_MAX;
        if self.wire.is_none() || !self.deliveries.knows_up() || !fits {
            return;
        }
        self.sent.add(record.len() - 1);
        self.outbox.push(record);
    }

    pub fn push_mark(&mut self, id: u64) {
        if self.wire.is_some() {
            self.outbox.push_mark(id);
        }
    }

    pub fn queued_bytes(&self) -> usize {
        self.outbox.bytes()
    }

    /// Returns true if [`poll`](Self::poll) has a frame.
    pub fn is_ready(&self) -> bool {
        self.outbox.is_ready()
    }

    /// Returns the next frame: one piece of a message, or a mark.
    pub fn poll(&mut self) -> Option<(Numbered<'static>, Option<Piece>)> {
        self.outbox.poll(self.id, self.peer?.epoch)
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
        self.outbox.handle_credit(delivered)
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
        if let Some(record) = self.incoming.handle_piece(last, piece)? {
            self.deliveries.push(Delivery::Record(record));
        }
        Ok(())
    }

    /// # Errors
    /// Too many marks.
    pub fn handle_mark(&mut self, epoch: u32, id: u64) -> Result<(), &'static str> {
        if epoch != self.epoch || self.wire.is_none() {
            return Ok(());
        }
        self.incoming.handle_mark()?;
        self.deliveries.push(Delivery::Mark(id));
        Ok(())
    }

    /// Returns the next record for the worker.
    pub fn delivery(&self) -> Option<&Delivery> {
        self.deliveries.first()
    }

    /// Removes the record that the worker has taken. Returns true if a credit should be sent soon.
    pub fn handle_delivered(&mut self) -> bool {
        match self.deliveries.handle_delivered() {
            Some(Delivery::Mark(_)) => self.incoming.handle_mark_delivered(),
            Some(Delivery::Record(record)) if record.first() == Some(&MESSAGE) => {
                self.incoming.handle_delivered(record.len() - 1);
                self.received.add(record.len() - 1);
            }
            Some(Delivery::Record(_)) | None => {}
        }
        self.incoming.is_credit_due()
    }

    /// Returns the credit to send now. With `again` it is sent even if unchanged.
    pub fn poll_credit(&mut self, again: bool) -> Option<(Peer, Flow)> {
        let (peer, _) = (self.peer?, self.wire?);
        Some((peer, self.incoming.poll_credit(again)?))
    }

    pub fn state(&self) -> ChannelState {
        ChannelState {
            wire: self.wire,
            sent: self.sent.messages,
            received: self.received.messages,
            sent_bytes: self.sent.bytes,
            received_bytes: self.received.bytes,
            queued: self.outbox.waiting(),
        }
    }
}
