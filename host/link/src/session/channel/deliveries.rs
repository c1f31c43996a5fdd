//! Queues the records for the worker's socket. Lives as long as this node's worker, also while its peer is down.

use std::collections::VecDeque;

use spared_contract::channel::{DOWN, UP, message_kind};

/// Item of the queue for the worker's socket.
#[derive(Debug, PartialEq, Eq)]
pub enum Delivery {
    Record(Vec<u8>),
    /// A mark, which the worker does not get: everything before it is in the worker's socket.
    Mark(u64),
}

impl Delivery {
    fn is(&self, kind: u8) -> bool {
        matches!(self, Self::Record(record) if record.first() == Some(&kind))
    }
}

#[derive(Debug, Default)]
pub struct Deliveries {
    queue: VecDeque<Delivery>,
    /// Number of times that the worker was told that its peer is up.
    ups: u8,
}

impl Deliveries {
    pub fn push(&mut self, delivery: Delivery) {
        self.queue.push_back(delivery);
    }

    /// Tells the worker that its peer is up, with the common version.
    pub fn push_up(&mut self, wire: u32) {
        let record = [&[UP][..], &wire.to_be_bytes()].concat();
        self.push(Delivery::Record(record));
    }

    /// Drops what the worker has not taken, and tells it that its peer is down, unless it does not know that the peer was
    /// up.
    pub fn push_down(&mut self) {
        let knows_up = self.knows_up();
        self.queue.retain(|delivery| delivery.is(DOWN));
        if knows_up {
            self.push(Delivery::Record(vec![DOWN]));
        }
    }

    pub fn first(&self) -> Option<&Delivery> {
        self.queue.front()
    }

    /// Removes the item that the worker has taken, and returns it.
    pub fn handle_delivered(&mut self) -> Option<Delivery> {
        let taken = self.queue.pop_front();
        if taken.as_ref().is_some_and(|it| it.is(UP)) {
            self.ups = self.ups.wrapping_add(1);
        }
        taken
    }

    /// Returns true if the worker has been told that its peer is up.
    pub fn knows_up(&self) -> bool {
        !self.queue.iter().any(|delivery| delivery.is(UP))
    }

    /// Returns the kind of a message to the peer that the worker was last told about.
    pub fn message_kind(&self) -> u8 {
        message_kind(self.ups)
    }
}
