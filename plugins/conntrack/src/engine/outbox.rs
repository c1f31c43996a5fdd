//! Messages to the peer: changes gathered into batches, in order.

use super::local::seconds;
use super::queue::{Change, Item};
use super::table::{APART_S, digest, flag};
use super::{Engine, SECOND_NS};
use crate::flow::status;
use crate::wire::{self, Kind, MESSAGE_BYTES, Message, RECORD_BYTES_MAX};

/// With so many waiting, the kernel's own buffers hold what comes.
pub const WAITING_MAX: usize = 16_384;
/// The same of messages that were made already: hashes of a resync, flows of a comparison.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Full batches go at once.
const BATCH_FULL: usize = 2000;
pub(super) const PULSE_NS: u64 = SECOND_NS;
/// Time by which the peer's copy outlives the resyncs that refresh it.
const RESYNCS_PER_LEASE: u64 = 3;
/// Two links that fall silent are given up one after the other, 5 s each; only then is the peer known to be
/// gone, and what it carried is kept.
const LEASE_LEAST_S: u32 = 15;
const LACKING_NS: u64 = 10 * SECOND_NS;

impl Engine {
    /// The next message, the session's first. It stays until [`message_sent`](Self::message_sent).
    pub fn poll_message(&mut self, now_ns: u64) -> Option<&[u8]> {
        while self.outgoing.is_none() {
            if !self.ready.is_ahead() && self.session.poll_message(now_ns).is_some() {
                return self.session.poll_message(now_ns);
            }
            let due = now_ns >= self.flush_at_ns || self.ready.len() >= BATCH_FULL || self.draining;
            if due && !self.ready.is_empty() {
                self.outgoing = self.next_message(now_ns);
            } else if !self.ask_whether_drained() {
                return None;
            }
        }
        self.outgoing.as_deref()
    }

    /// The channel took it.
    pub fn message_sent(&mut self, now_ns: u64) {
        match self.outgoing.take() {
            Some(message) => {
                self.counters.sent_bytes += message.len() as u64;
                self.pulse_at_ns = now_ns + PULSE_NS;
            }
            None => self.session.message_sent(),
        }
    }

    /// Whether as much waits as may: events and dumps stay where they are.
    pub fn is_congested(&self) -> bool {
        self.ready.len() >= WAITING_MAX || self.ready.message_bytes() >= MESSAGE_BYTES_MAX
    }

    /// None if a later change replaced it.
    fn next_message(&mut self, now_ns: u64) -> Option<Vec<u8>> {
        let age_ns = self
            .ready
            .oldest_ns()
            .map_or(0, |since| now_ns.saturating_sub(since));
        let age_us = u32::try_from(age_ns / 1000).unwrap_or(u32::MAX);
        let mut message = Vec::new();
        let is_ahead = self.ready.is_ahead();
        while let Some(item) = self.ready.front() {
            if is_ahead != self.ready.is_ahead() {
                break; // the session has its turn
            }
            match item {
                Item::Nothing => {}
                Item::Message(_) if message.is_empty() => {
                    if let Some(Item::Message(message)) = self.ready.pop() {
                        return Some(message);
                    }
                    continue;
                }
                Item::Message(_) => break,
                Item::Change(_) if message.is_empty() => {
                    message.reserve_exact(MESSAGE_BYTES);
                    wire::begin_changes(&mut message, age_us);
                    continue;
                }
                Item::Change(_) if message.len() + RECORD_BYTES_MAX > MESSAGE_BYTES => break,
                Item::Change(_) => {}
            }
            if let Some(Item::Change(change)) = self.ready.pop() {
                self.encode(&mut message, now_ns, change);
            }
        }
        self.counters.sent_flow_bytes += message.len() as u64;
        Some(message).filter(|message| !message.is_empty())
    }

    fn encode(&mut self, message: &mut Vec<u8>, now_ns: u64, change: Change) {
        if let Kind::Gone(_) = change.kind {
            wire::record(message, change.kind, &change.flow);
            self.counters.sent_deletes += 1;
            return;
        }
        let slot = self.table.find(change.hash);
        // the time that is told is that of the packets that passed here
        let mut change = change;
        if let Some(entry) = slot.map(|slot| self.table.get(slot)) {
            change.flow.incarnation = entry.incarnation();
            let left_s = entry.own_s.saturating_sub(seconds(now_ns));
            change.flow.timeout_s = Some(left_s);
            change.flow.given_s = match self.wire >= wire::WITH_GIVEN {
                true => self.table.given(change.hash),
                false => 0,
            };
        }
        wire::record(message, change.kind, &change.flow);
        self.counters.sent_flows += 1;
        let Some(slot) = slot else { return };
        let lease_s = self.lease_s();
        let entry = self.table.get_mut(slot);
        entry.stop_waiting();
        entry.flags = entry.flags & !flag::STALE | flag::SENT;
        match change.kind {
            Kind::Whole => entry.extra = digest(&change.flow),
            // an event says which attributes there are now, but not which there were
            _ if !change.flow.extra.is_empty() => entry.flags |= flag::STALE,
            _ => {}
        }
        entry.learn(&change.flow);
        let left_s = change.flow.timeout_s.unwrap_or(0).max(lease_s);
        let fixed = change.flow.status & status::FIXED_TIMEOUT != 0;
        entry.tell(match fixed {
            // its time ends there when it ends here
            true => u32::MAX,
            false => seconds(now_ns).saturating_add(left_s),
        });
    }

    pub(super) fn push_ready(&mut self, now_ns: u64, change: Change) -> u32 {
        self.offered |= !self.active;
        self.flush_soon(now_ns);
        self.ready.push(change)
    }

    pub(super) fn push_message(&mut self, now_ns: u64, message: &Message<'_>) {
        self.push_bytes(now_ns, message.encode());
    }

    pub(super) fn push_bytes(&mut self, now_ns: u64, message: Vec<u8>) {
        self.flush_soon(now_ns);
        self.ready.push_message(message);
    }

    // The first of a batch says when the batch goes.
    fn flush_soon(&mut self, now_ns: u64) {
        if !self.gathers() {
            self.flush_at_ns = now_ns;
        } else if self.ready.is_empty() {
            let after_last = self.flush_at_ns.saturating_add(self.settings.batch_ns);
            self.flush_at_ns = after_last.clamp(now_ns, now_ns + self.settings.batch_ns);
        }
    }

    /// Whether changes wait for others. With both nodes active the answer to a new flow's first packet
    /// may come to the other node, at once.
    pub fn gathers(&self) -> bool {
        self.settings.batch_ns > 0 && !self.draining && !self.is_shared()
    }

    /// Lifetime of a flow at the peer without a report, in seconds.
    pub fn lease_s(&self) -> u32 {
        let resyncs_ns = self.resync_interval_ns().saturating_mul(RESYNCS_PER_LEASE);
        let resyncs_s = u32::try_from(resyncs_ns.div_ceil(SECOND_NS)).unwrap_or(u32::MAX);
        (resyncs_s - self.lease_lacks_s()).max(LEASE_LEAST_S)
    }

    /// Amount by which a copy's lifetime is shorter than three resyncs, so that no packet results
    /// in the same time: by default both are 120 s. Short resyncs leave no room for it.
    pub(super) fn lease_lacks_s(&self) -> u32 {
        match self.resync_interval_ns() {
            ..LACKING_NS => 0,
            _ => APART_S,
        }
    }

    pub(super) fn pulse(&mut self, now_ns: u64) {
        if now_ns < self.pulse_at_ns {
            return;
        }
        self.counters.measure(now_ns);
        self.pulse_at_ns = now_ns + PULSE_NS;
        self.tell_synchrony(now_ns);
        self.warn_of_full_table(now_ns);
        self.tell_translated(now_ns);
        // they would pile up behind a channel that takes nothing
        if self.peer.is_some() && self.outgoing.is_none() {
            self.push_pulse(now_ns);
        }
    }

    pub(super) fn push_pulse(&mut self, now_ns: u64) {
        let pulse = Message::Pulse {
            flows: self.table.len() as u32,
            unsettled: self.unsettled,
        };
        self.push_message(now_ns, &pulse);
    }

    /// A flow is missing here; the peer hears of many at once. What a full channel keeps from it
    /// is missed again by the next resync.
    pub(super) fn lose(&mut self, now_ns: u64, hash: u64) {
        self.missing.insert(hash);
        self.ask_for(now_ns, hash);
    }

    pub(super) fn ask_for(&mut self, now_ns: u64, hash: u64) {
        // there is no room for it either: the resync after the next one may find some
        if self.is_congested() || now_ns < self.full_until_ns {
            return;
        }
        self.lost.push(hash);
        if self.lost.len() >= wire::HASHES_MAX {
            self.send_lost(now_ns);
        }
    }

    pub(super) fn send_lost(&mut self, now_ns: u64) {
        if self.lost.is_empty() {
            return;
        }
        let bytes: Vec<u8> = self.lost.drain(..).flat_map(u64::to_be_bytes).collect();
        self.push_message(now_ns, &Message::Lost(&bytes));
    }

    pub(super) fn expect_there(&mut self, now_ns: u64, yes: bool, request: &[u8]) {
        if self.settings.expectations {
            self.counters.expectations += 1;
            self.push_message(now_ns, &Message::Expect { yes, request });
        }
    }

    pub(super) fn tell_addresses(&mut self) {
        let heard = self.peer.as_ref().is_some_and(|peer| peer.active.is_some());
        // none is a word, too: there were some before
        if heard {
            let addresses = self.dynamic.values().flatten().copied().collect();
            self.ready
                .push_message(Message::Addresses(addresses).encode());
        }
    }
}
