//! Sends messages to the peer: changes in batches, in order. Computes the lifetime of the peer's copies.

use super::queue::OutgoingChange;
use super::table::{APART_S, digest, flag};
use super::{Engine, SECOND_NS, seconds};
use crate::flow::{Flow, status};
use crate::wire::{self, Kind, MESSAGE_BYTES, Message, RECORD_BYTES_MAX};

/// Lifetime of the peer's copy without a report, in resync intervals.
const RESYNCS_PER_LEASE: u64 = 3;
/// Shortest lease. Two links that fail are given up one after the other, 5 s each; only then the peer is known to be
/// gone, and its flows are kept.
const LEASE_LEAST_S: u32 = 15;
const LACKING_NS: u64 = 10 * SECOND_NS;

impl Engine {
    /// Returns the next message, the session's first. It stays until [`message_sent`](Self::message_sent).
    pub fn poll_message(&mut self, now_ns: u64) -> Option<&[u8]> {
        while self.channel.outbox.outgoing().is_none() {
            if !self.channel.outbox.is_ahead() && self.replica.poll_message(now_ns).is_some() {
                return self.replica.poll_message(now_ns);
            }
            if self.channel.outbox.is_due(now_ns) {
                let message = self.next_message(now_ns);
                self.channel.outbox.set_outgoing(message);
            } else if !self.ask_whether_drained() {
                return None;
            }
        }
        self.channel.outbox.outgoing()
    }

    /// Takes note that the channel accepted the message.
    pub fn message_sent(&mut self, now_ns: u64) {
        match self.channel.outbox.take_outgoing() {
            Some(message) => {
                self.counters.sent.bytes += message.len() as u64;
                self.channel.outbox.put_pulse_off(now_ns);
                // if the session is lost, an active node reports everything anyway; any other one waits for the answer
                if self.roles.is_active() && !self.channel.outbox.has_report() {
                    self.roles.note_peer_has_all();
                }
            }
            None => self.replica.message_sent(),
        }
    }

    /// Returns true if the outbox is full: events and dumps stay in the kernel.
    pub fn is_congested(&self) -> bool {
        self.channel.outbox.is_congested()
    }

    /// Returns the next message; None if later changes replaced all waiting ones.
    fn next_message(&mut self, now_ns: u64) -> Option<Vec<u8>> {
        let oldest_ns = self.channel.outbox.oldest_ns().unwrap_or(now_ns);
        let age_us = u32::try_from(now_ns.saturating_sub(oldest_ns) / 1000).unwrap_or(u32::MAX);
        let is_ahead = self.channel.outbox.is_ahead();
        if let Some(message) = self.channel.outbox.pop_message(is_ahead) {
            return Some(message);
        }
        let mut message = Vec::new();
        while message.len() + RECORD_BYTES_MAX <= MESSAGE_BYTES {
            let Some(change) = self.channel.outbox.pop_change(is_ahead) else {
                break;
            };
            if message.is_empty() {
                message.reserve_exact(MESSAGE_BYTES);
                wire::begin_changes(&mut message, age_us);
            }
            self.encode(&mut message, now_ns, change);
        }
        self.counters.sent.flow_bytes += message.len() as u64;
        Some(message).filter(|message| !message.is_empty())
    }

    fn encode(&mut self, message: &mut Vec<u8>, now_ns: u64, change: OutgoingChange) {
        if let Kind::Gone(_) = change.kind {
            wire::record(message, change.kind, &change.flow);
            self.counters.sent.deletes += 1;
            return;
        }
        let slot = self.table.find(change.hash);
        // the time that is sent is the one by packets that passed here
        let mut change = change;
        if let Some(entry) = slot.map(|slot| self.table.get(slot)) {
            change.flow.incarnation = entry.incarnation();
            let left_s = entry.own_expiry_s.saturating_sub(seconds(now_ns));
            change.flow.timeout_s = Some(left_s);
            change.flow.policy_timeout_s =
                if self.channel.outbox.wire() >= wire::WITH_POLICY_TIMEOUTS {
                    self.table.policy_timeout_s(change.hash)
                } else {
                    0
                };
        }
        wire::record(message, change.kind, &change.flow);
        self.counters.sent.flows += 1;
        let Some(slot) = slot else { return };
        let lease_s = self.lease_there_s();
        let entry = self.table.get_mut(slot);
        entry.stop_waiting();
        entry.flags = entry.flags & !flag::NEEDS_WHOLE | flag::KNOWN_TO_PEER;
        match change.kind {
            Kind::Whole => entry.digest = digest(&change.flow),
            // an event names the present attributes, but not the earlier ones
            _ if !change.flow.extra.is_empty() => entry.flags |= flag::NEEDS_WHOLE,
            _ => {}
        }
        entry.learn(&change.flow);
        let left_s = change.flow.timeout_s.unwrap_or(0).max(lease_s);
        let fixed = change.flow.status & status::FIXED_TIMEOUT != 0;
        entry.note_told(if fixed {
            // it expires there when it expires here
            u32::MAX
        } else {
            seconds(now_ns).saturating_add(left_s)
        });
    }

    /// Queues a record. Returns the number under which it waits.
    pub(super) fn push(&mut self, now_ns: u64, slot: u32, flow: Flow, kind: Kind) -> u32 {
        let hash = self.table.get(slot).hash;
        let change = OutgoingChange {
            kind,
            hash,
            flow,
            since_ns: now_ns,
        };
        let number = self.push_ready(now_ns, change);
        self.table.get_mut(slot).wait(number);
        number
    }

    pub(super) fn push_ready(&mut self, now_ns: u64, change: OutgoingChange) -> u32 {
        self.roles.note_change_told();
        self.flush_soon(now_ns);
        self.channel.outbox.push_change(change)
    }

    pub(super) fn push_message(&mut self, now_ns: u64, message: &Message<'_>) {
        self.push_bytes(now_ns, message.encode());
    }

    pub(super) fn push_bytes(&mut self, now_ns: u64, message: Vec<u8>) {
        self.flush_soon(now_ns);
        self.channel.outbox.push_message(message);
    }

    fn flush_soon(&mut self, now_ns: u64) {
        let batch_ns = if self.gathers() {
            self.settings.batch_ns
        } else {
            0
        };
        self.channel.outbox.flush_soon(now_ns, batch_ns);
    }

    /// Returns true if changes are gathered. With both nodes active they are not: the answer to a new flow's first
    /// packet may arrive at the other node at once.
    pub fn gathers(&self) -> bool {
        self.settings.batch_ns > 0 && !self.channel.outbox.is_draining() && !self.is_shared()
    }

    /// Returns the lifetime of a flow at the peer without a report, in seconds.
    pub(super) fn lease_there_s(&self) -> u32 {
        let resyncs_ns = self.resync_interval_ns().saturating_mul(RESYNCS_PER_LEASE);
        let resyncs_s = u32::try_from(resyncs_ns.div_ceil(SECOND_NS)).unwrap_or(u32::MAX);
        (resyncs_s - self.lease_lacks_s()).max(LEASE_LEAST_S)
    }

    /// Returns the seconds by which a copy's lifetime is shorter than three resyncs, so that no packet sets the same
    /// time: by default both are 120 s. Short resyncs leave no room for it.
    pub(super) fn lease_lacks_s(&self) -> u32 {
        match self.resync_interval_ns() {
            ..LACKING_NS => 0,
            _ => APART_S,
        }
    }

    /// Sends a pulse if no other message was sent for a second.
    pub(super) fn pulse(&mut self, now_ns: u64) {
        if now_ns < self.channel.outbox.pulse_at_ns() {
            return;
        }
        self.channel.outbox.put_pulse_off(now_ns);
        // they would pile up behind a channel that accepts nothing
        if self.peer.is_some() && self.channel.outbox.outgoing().is_none() {
            self.push_pulse(now_ns);
        }
    }

    pub(super) fn push_pulse(&mut self, now_ns: u64) {
        let pulse = Message::Pulse {
            flows: self.table.len() as u32,
            has_lost_events: self.channel.resyncs.has_lost_events(),
        };
        self.push_message(now_ns, &pulse);
    }

    /// Requests a flow that is missing here; one message requests many. If the channel is full, the next resync finds
    /// it missing again.
    pub(super) fn request_missing(&mut self, now_ns: u64, hash: u64) {
        self.note_missing(now_ns, hash);
        self.request_flow(now_ns, hash);
    }

    pub(super) fn request_flow(&mut self, now_ns: u64, hash: u64) {
        // there is no room for it either: a later resync may find some
        if self.is_congested() || self.kernel_room.is_full(now_ns) {
            return;
        }
        if self.channel.outbox.push_request(hash) {
            self.send_requests(now_ns);
        }
    }

    pub(super) fn send_requests(&mut self, now_ns: u64) {
        let requests = self.channel.outbox.take_requests().into_iter();
        let bytes: Vec<u8> = requests.flat_map(u64::to_be_bytes).collect();
        if !bytes.is_empty() {
            self.push_message(now_ns, &Message::Missing(&bytes));
        }
    }

    pub(super) fn tell_addresses(&mut self) {
        let heard = self.peer.as_ref().is_some_and(|peer| peer.active.is_some());
        // an empty list is a message too: there were some before
        if heard {
            let addresses = self.addresses.dynamic().collect();
            self.channel
                .outbox
                .push_message(Message::Addresses(addresses).encode());
        }
    }
}
