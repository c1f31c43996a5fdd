//! Holds everything that waits to be sent to the peer: changes and messages in order, and flows below the minimum age.
//! It lives as long as the channel.

use super::SECOND_NS;
use super::queue::{Item, OutgoingChange, Queue};
use super::table::Table;
use crate::wire::HASHES_MAX;

/// Limit of waiting items. Beyond it, events stay in the kernel's buffer.
pub const WAITING_MAX: usize = 16_384;
/// Limit of encoded messages in bytes: hashes of a resync, flows of a comparison.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Number of changes at which a batch is sent at once.
const BATCH_FULL: usize = 2000;
pub(super) const PULSE_NS: u64 = SECOND_NS;

#[derive(Debug)]
pub(super) struct Outbox {
    ready: Queue,
    young: Queue,
    /// Message that the channel has not accepted yet.
    outgoing: Option<Vec<u8>>,
    /// Hashes of flows that the peer has to send again.
    requests: Vec<u64>,
    flush_at_ns: u64,
    pulse_at_ns: u64,
    is_draining: bool,
    /// All notifications that waited in the kernel when the drain began have been read.
    heard_all: bool,
    /// Version of the messages, which both nodes know.
    wire: u32,
}

impl Outbox {
    pub(super) fn new(now_ns: u64, wire: u32) -> Self {
        Self {
            ready: Queue::new(0),
            young: Queue::new(1),
            outgoing: None,
            requests: Vec::new(),
            flush_at_ns: 0,
            pulse_at_ns: now_ns + PULSE_NS,
            is_draining: false,
            heard_all: false,
            wire,
        }
    }

    pub(super) fn wire(&self) -> u32 {
        self.wire
    }

    /// Returns the number of changes and messages, young flows included.
    pub(super) fn len(&self) -> usize {
        self.ready.len() + self.young.len()
    }

    /// Returns the time since which the oldest change is due.
    pub(super) fn oldest_ns(&self) -> Option<u64> {
        self.ready.oldest_ns()
    }

    pub(super) fn is_congested(&self) -> bool {
        self.ready.len() >= WAITING_MAX || self.ready.message_bytes() >= MESSAGE_BYTES_MAX
    }

    // ---- in

    /// Adds a change. Returns the number by which it is found until it is encoded.
    pub(super) fn push_change(&mut self, change: OutgoingChange) -> u32 {
        self.ready.push(change)
    }

    pub(super) fn push_message(&mut self, message: Vec<u8>) {
        self.ready.push_message(message);
    }

    /// Adds a flow below the minimum age. A flow that ends leaves a gap; gaps must not outnumber flows.
    pub(super) fn push_young(&mut self, table: &mut Table, change: OutgoingChange) -> u32 {
        if self.young.is_sparse() {
            for change in self.young.take_all() {
                let hash = change.hash;
                let number = self.young.push(change);
                if let Some(slot) = table.find(hash) {
                    table.get_mut(slot).wait(number);
                }
            }
        }
        self.young.push(change)
    }

    /// Adds a hash. Returns true if there are as many as a message holds.
    pub(super) fn push_request(&mut self, hash: u64) -> bool {
        self.requests.push(hash);
        self.requests.len() >= HASHES_MAX
    }

    pub(super) fn take_requests(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.requests)
    }

    /// Sends everything in the outbox before further messages of the session.
    pub(super) fn go_ahead(&mut self) {
        self.ready.go_ahead();
        self.flush_now();
    }

    /// Takes note that the last message ends a resync of this node.
    pub(super) fn end_report(&mut self) {
        self.ready.end_report();
    }

    /// Returns true if a part of this node's last resync waits.
    pub(super) fn has_report(&self) -> bool {
        self.ready.has_report()
    }

    pub(super) fn flush_now(&mut self) {
        self.flush_at_ns = 0;
    }

    /// Schedules a batch by its first change; with `batch_ns` 0 changes are not gathered.
    pub(super) fn flush_soon(&mut self, now_ns: u64, batch_ns: u64) {
        if batch_ns == 0 {
            self.flush_at_ns = now_ns;
        } else if self.ready.is_empty() {
            let after_last = self.flush_at_ns.saturating_add(batch_ns);
            self.flush_at_ns = after_last.clamp(now_ns, now_ns + batch_ns);
        }
    }

    // ---- by number

    /// Returns the change with this number, young or not.
    pub(super) fn change_mut(&mut self, number: u32) -> Option<&mut OutgoingChange> {
        let young = &mut self.young;
        self.ready.get_mut(number).or_else(|| young.get_mut(number))
    }

    pub(super) fn is_ready(&mut self, number: u32) -> bool {
        self.ready.get_mut(number).is_some()
    }

    pub(super) fn is_young(&mut self, number: u32) -> bool {
        self.young.get_mut(number).is_some()
    }

    pub(super) fn remove(&mut self, number: u32) {
        let _ = self.ready.take(number).or_else(|| self.young.take(number));
    }

    // ---- out

    pub(super) fn outgoing(&self) -> Option<&[u8]> {
        self.outgoing.as_deref()
    }

    pub(super) fn set_outgoing(&mut self, message: Option<Vec<u8>>) {
        self.outgoing = message;
    }

    pub(super) fn take_outgoing(&mut self) -> Option<Vec<u8>> {
        self.outgoing.take()
    }

    pub(super) fn is_ahead(&self) -> bool {
        self.ready.is_ahead()
    }

    pub(super) fn is_due(&self, now_ns: u64) -> bool {
        let is_full = self.ready.len() >= BATCH_FULL;
        let is_due = now_ns >= self.flush_at_ns || is_full || self.is_draining;
        is_due && !self.ready.is_empty()
    }

    /// Returns the time at which a batch is sent. A batch that was due before waits for the channel.
    pub(super) fn next_flush_ns(&self, now_ns: u64) -> Option<u64> {
        let waits = self.outgoing.is_none() && !self.ready.is_empty();
        (waits && self.flush_at_ns > now_ns).then_some(self.flush_at_ns)
    }

    /// Removes the first item, if it is an encoded message and it is the turn of `is_ahead`.
    pub(super) fn pop_message(&mut self, is_ahead: bool) -> Option<Vec<u8>> {
        if !matches!(self.front(is_ahead)?, Item::Message(_)) {
            return None;
        }
        match self.ready.pop()? {
            Item::Message(message) => Some(message),
            _ => None,
        }
    }

    /// Removes the first item, if it is a change and it is the turn of `is_ahead`.
    pub(super) fn pop_change(&mut self, is_ahead: bool) -> Option<OutgoingChange> {
        if !matches!(self.front(is_ahead)?, Item::Change(_)) {
            return None;
        }
        match self.ready.pop()? {
            Item::Change(change) => Some(change),
            _ => None,
        }
    }

    /// Returns the first item that no later change has replaced.
    fn front(&mut self, is_ahead: bool) -> Option<&Item> {
        while let Some(Item::Nothing) = self.ready.front() {
            self.ready.pop();
        }
        let is_turn = is_ahead == self.ready.is_ahead();
        self.ready.front().filter(|_| is_turn)
    }

    /// Removes the next young flow that is at least `min_age_ns` old.
    pub(super) fn pop_ripe(&mut self, now_ns: u64, min_age_ns: u64) -> Option<OutgoingChange> {
        while let Some(item) = self.young.front() {
            if let Item::Change(change) = item {
                if now_ns < change.since_ns.saturating_add(min_age_ns) {
                    return None;
                }
            }
            if let Some(Item::Change(change)) = self.young.pop() {
                return Some(change);
            }
        }
        None
    }

    pub(super) fn next_ripe_ns(&self, min_age_ns: u64) -> Option<u64> {
        let since_ns = self.young.oldest_ns()?;
        Some(since_ns.saturating_add(min_age_ns))
    }

    // ---- pulse

    pub(super) fn pulse_at_ns(&self) -> u64 {
        self.pulse_at_ns
    }

    /// Postpones the pulse, since a message of any kind proves that this node works.
    pub(super) fn put_pulse_off(&mut self, now_ns: u64) {
        self.pulse_at_ns = now_ns + PULSE_NS;
    }

    // ---- drain

    pub(super) fn start_drain(&mut self) {
        self.is_draining = true;
        self.heard_all = false;
    }

    pub(super) fn is_draining(&self) -> bool {
        self.is_draining
    }

    pub(super) fn handle_heard_all(&mut self) {
        self.heard_all = true;
    }

    /// Ends a drain if everything was sent; returns true if so.
    pub(super) fn end_drain(&mut self) -> bool {
        let is_sent = self.is_draining && self.heard_all && self.ready.is_empty();
        self.is_draining &= !is_sent;
        is_sent
    }
}

#[cfg(test)]
impl Outbox {
    pub(super) fn flush_at(&mut self, at_ns: u64) {
        self.flush_at_ns = at_ns;
    }

    pub(super) fn young_mut(&mut self) -> &mut Queue {
        &mut self.young
    }
}
