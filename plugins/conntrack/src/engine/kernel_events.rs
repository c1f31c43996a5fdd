//! Handles events of flows in the kernel here, and reports them to the peer.

use super::merge::is_ending;
use super::queue::OutgoingChange;
use super::table::{Entry, digest, flag, status_byte};
use super::walk_queue::Due;
use super::{Engine, How, seconds};
use crate::codec::only_at_creation;
use crate::flow::{Flow, TCP, status};
use crate::wire::{Kind, Why};

/// Limit of flows that are queried one by one. For more, a resync is cheaper.
const UNKNOWN_MAX: usize = 4096;

/// A notification of the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    New(Flow),
    Changed(Flow),
    Gone(Flow),
    /// An expectation came (true) or went, with the request that does the same at the peer.
    Expected(bool, Vec<u8>),
}

/// Origin of an event. The kernel names the port of the process that requested a change, and no port for packets and
/// expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    Traffic,
    Request,
}

impl Engine {
    pub fn handle_event(&mut self, now_ns: u64, event: Event, by: By) {
        self.counters.local.events += 1;
        match event {
            Event::Gone(flow) => self.handle_gone(now_ns, flow, by),
            Event::Changed(flow) if !self.informs_peer(now_ns) => {
                self.handle_meddling(now_ns, flow, by)
            }
            _ if !self.informs_peer(now_ns) => {}
            Event::Expected(yes, request) => self.handle_expected(now_ns, yes, &request),
            Event::New(flow) => self.handle_new(now_ns, flow, by),
            Event::Changed(flow) => self.handle_changed(now_ns, flow, by),
        }
    }

    /// Requests a copy again that a program changed here: the peer has the right one.
    fn handle_meddling(&mut self, now_ns: u64, flow: Flow, by: By) {
        let slot = self.table.find(self.table.hash(&flow));
        let entry = slot.map(|slot| *self.table.get(slot));
        let entry = entry.filter(|it| by == By::Request && !it.has(flag::DROPPED_HERE));
        let Some(entry) = entry.filter(|_| self.peer_is_active()) else {
            return;
        };
        if entry.digest != digest(&flow) {
            // a report takes no attribute away, so the copy is created again
            self.forget_entry(entry.hash);
            self.write(How::Delete, flow, 0);
            self.request_missing(now_ns, entry.hash);
        } else if differs_beside_attributes(&entry, &flow) {
            self.request_flow(now_ns, entry.hash);
        }
    }

    /// Handles lost notifications: a resync finds the changes.
    pub fn handle_overrun(&mut self, now_ns: u64) {
        self.counters.local.overruns += 1;
        self.channel.resyncs.handle_overrun(now_ns);
        if self.informs_peer(now_ns) {
            self.walks.request(Due::Resync);
            if !self.channel.resyncs.set_lost_events(true) {
                self.push_pulse(now_ns);
            }
        }
        // a resync of this node also finds flows that the kernel dropped
        if !self.informs_peer(now_ns) && !self.table.is_empty() {
            self.walks.request(Due::Verify);
        }
    }

    fn handle_new(&mut self, now_ns: u64, flow: Flow, by: By) {
        if flow.original.protocol == TCP && flow.tcp.is_none() {
            return self.look_up(flow);
        }
        if !self.filter.admits(&flow) {
            self.counters.local.excluded += 1;
            return;
        }
        let hash = self.table.hash(&flow);
        self.walks.note_created(hash);
        let packet = self.packet_of(now_ns, &flow, by);
        match self.table.find(hash).or_else(|| self.recall(hash, &flow)) {
            Some(slot) => self.begin_again(now_ns, slot, flow),
            None => {
                self.insert_new(now_ns, hash, flow, self.waits_for_min_age());
            }
        }
        if let Some(slot) = self.table.find(hash) {
            self.note_newer(now_ns, slot, by);
            self.note_packet(slot, packet);
        }
    }

    /// Takes note that more is known of a flow than the dump may still show: to a resync all of it, to a walk that
    /// restores times only the time that a packet has set.
    fn note_newer(&mut self, now_ns: u64, slot: u32, by: By) {
        let is_timed = by == By::Traffic && self.walks.is_restoring();
        let entry = *self.table.get(slot);
        if self.walks.is_resync() || is_timed {
            self.table.get_mut(slot).flags |= flag::FRESH | flag::PRESENT;
            if !entry.has(flag::FRESH) {
                self.name_waiting(now_ns, slot, &entry);
            }
        }
    }

    /// Names a flow whose record was queued before the resync under way. If the dump does not show it, because it ended
    /// unheard and began again, the peer would take it for ended.
    fn name_waiting(&mut self, now_ns: u64, slot: u32, entry: &Entry) {
        let number = entry.waiting();
        let waiting = self.channel.outbox.change_mut(number);
        let is_older = waiting.is_some_and(|it| self.walks.is_resync_since(it.since_ns));
        if is_older && self.channel.outbox.is_ready(number) {
            self.table.set_flag(slot, flag::KNOWN_TO_PEER, true);
            self.tell_alive(now_ns, entry.hash);
        }
    }

    /// Handles the begin of a known flow: the earlier one has ended, or the other router carries it as well.
    fn begin_again(&mut self, now_ns: u64, slot: u32, flow: Flow) {
        let entry = self.table.get_mut(slot);
        if entry.has(flag::DROPPED_HERE) || is_ending(flow.original.protocol, entry.state()) {
            entry.set_incarnation(entry.incarnation() + 1);
            (entry.peer_expiry_s, entry.state_and_status) = (0, 0);
            entry.set(flag::DROPPED_HERE, false);
        }
        self.witness(now_ns, slot, &flow);
        self.tell_again(now_ns, slot, flow, Kind::Whole);
    }

    /// Adds a flow that the peer does not know. Returns its slot.
    fn insert_new(&mut self, now_ns: u64, hash: u64, flow: Flow, is_young: bool) -> u32 {
        let slot = self.table.insert(Entry::new(hash, flag::PRESENT));
        self.witness(now_ns, slot, &flow);
        let change = OutgoingChange {
            kind: Kind::Whole,
            hash,
            flow,
            since_ns: now_ns,
        };
        let number = if is_young {
            self.channel.outbox.push_young(&mut self.table, change)
        } else {
            self.push_ready(now_ns, change)
        };
        self.table.get_mut(slot).wait(number);
        slot
    }

    /// Returns true if flows wait until they have the minimum age. With both nodes active they do not, since answers
    /// arrive at the other node earlier.
    fn waits_for_min_age(&self) -> bool {
        self.settings.min_age_ns > 0 && !self.channel.outbox.is_draining() && !self.is_shared()
    }

    fn handle_changed(&mut self, now_ns: u64, mut flow: Flow, by: By) {
        // an event of a flow with a helper always has it, so it is not news
        flow.drop_attributes(only_at_creation);
        let hash = self.table.hash(&flow);
        let Some(slot) = self.table.find(hash) else {
            // the change may be what includes a flow that was excluded
            return self.look_up(flow);
        };
        self.note_newer(now_ns, slot, by);
        if !self.roles.is_active() && !self.table.get(slot).is_own(seconds(now_ns)) {
            return; // packets that still pass after a switchover: the peer sees them as well
        }
        if by == By::Traffic {
            let packet = self.packet_of(now_ns, &flow, by);
            self.witness(now_ns, slot, &flow);
            self.note_packet(slot, packet);
            self.loosen_early(&flow);
        }
        self.tell_again(now_ns, slot, flow, Kind::Part);
    }

    /// Queues changes of a flow that the peer knows, or will know, if they are worth a record.
    pub(super) fn tell_again(&mut self, now_ns: u64, slot: u32, flow: Flow, kind: Kind) {
        let entry = *self.table.get(slot);
        if !entry.is_own(seconds(now_ns)) {
            return; // it lives by the peer's report alone, which is not sent back
        }
        if let Some(waiting) = self.channel.outbox.change_mut(entry.waiting()) {
            if kind == Kind::Whole {
                waiting.kind = Kind::Whole;
                waiting.flow.reply = flow.reply;
            }
            waiting.flow.apply_event(&flow);
            return self.check_admission(now_ns, slot, entry.waiting());
        }
        let kind = if entry.has(flag::KNOWN_TO_PEER) {
            kind
        } else {
            Kind::Whole
        };
        if kind == Kind::Part && !differs(&entry, &flow) {
            return;
        }
        if kind == Kind::Whole && flow.original.protocol == TCP && flow.tcp.is_none() {
            return self.look_up(flow);
        }
        let number = self.push(now_ns, slot, flow, kind);
        self.check_admission(now_ns, slot, number);
    }

    /// Excludes the flow if a mark, a label or a state no longer matches.
    fn check_admission(&mut self, now_ns: u64, slot: u32, number: u32) {
        let state = self.table.get(slot).state();
        let waiting = self.channel.outbox.change_mut(number);
        let Some(waiting) = waiting.filter(|it| !self.filter.still_admits(&it.flow, state)) else {
            return;
        };
        let flow = waiting.flow.clone();
        self.counters.local.excluded += 1;
        self.end_and_report(now_ns, slot, flow, Why::Ended);
    }

    /// Removes a flow that has ended or is no longer replicated, and reports it.
    pub(super) fn end_and_report(&mut self, now_ns: u64, slot: u32, mut flow: Flow, why: Why) {
        let entry = *self.table.get(slot);
        self.forget_entry(entry.hash);
        self.walks.note_gone();
        if !entry.has(flag::KNOWN_TO_PEER) {
            return; // it began and ended between two messages
        }
        flow.incarnation = entry.incarnation();
        let change = OutgoingChange {
            kind: Kind::Gone(why),
            hash: entry.hash,
            flow,
            since_ns: now_ns,
        };
        self.push_ready(now_ns, change);
    }

    /// Reports a flow as ended that is no longer replicated.
    pub(super) fn exclude(&mut self, now_ns: u64, flow: Flow) {
        let slot = self.table.find(self.table.hash(&flow));
        if let Some(slot) = slot.filter(|slot| self.table.get(*slot).is_own(seconds(now_ns))) {
            self.counters.local.excluded += 1;
            self.end_and_report(now_ns, slot, flow, Why::Ended);
        }
    }

    pub(super) fn look_up(&mut self, flow: Flow) {
        if self.channel.unknown.len() < UNKNOWN_MAX {
            self.channel.unknown.push(flow);
        } else {
            self.channel.unknown.clear();
            self.walks.request(Due::Resync);
        }
    }

    /// Handles the kernel's state of a queried flow.
    pub fn handle_found(&mut self, now_ns: u64, flow: Flow) {
        if flow.status & status::DYING != 0 || !self.informs_peer(now_ns) {
            return;
        }
        if !self.filter.admits(&flow) {
            self.counters.local.excluded += 1;
            return;
        }
        let hash = self.table.hash(&flow);
        match self.table.find(hash).or_else(|| self.recall(hash, &flow)) {
            Some(slot) => {
                let before = *self.table.get(slot);
                self.observe(now_ns, slot, &before, &flow);
                self.tell_again(now_ns, slot, flow, Kind::Whole);
            }
            None => self.insert_found(now_ns, hash, flow),
        }
        if let Some(slot) = self.table.find(hash) {
            // it may have the time that this node wrote
            self.note_newer(now_ns, slot, By::Request);
        }
    }

    /// Adds a flow that a walk found. Those of the first resync count as old enough.
    pub(super) fn insert_found(&mut self, now_ns: u64, hash: u64, flow: Flow) {
        let is_young = self.waits_for_min_age() && !self.channel.resyncs.is_first();
        let slot = self.insert_new(now_ns, hash, flow, is_young);
        if self.channel.resyncs.is_first() {
            // it is unknown which packet set its time
            self.table.set_flag(slot, flag::PACKET_THIS_RESYNC, false);
        }
    }

    /// Counts a flow for which the kernel sends no events.
    pub fn handle_silent(&mut self) {
        self.counters.local.hidden += 1;
    }

    /// Removes a waiting change.
    pub(super) fn unqueue(&mut self, number: u32) {
        self.channel.outbox.remove(number);
    }

    // ---- flows that are too young

    pub(super) fn next_ripe_ns(&self) -> Option<u64> {
        self.channel.outbox.next_ripe_ns(self.settings.min_age_ns)
    }

    /// Queues young flows that have the minimum age, or all of them if none has to wait any more.
    pub(super) fn queue_aged(&mut self, now_ns: u64) {
        let min_age_ns = if self.waits_for_min_age() {
            self.settings.min_age_ns
        } else {
            0
        };
        while let Some(change) = self.channel.outbox.pop_ripe(now_ns, min_age_ns) {
            let hash = change.hash;
            let number = self.push_ready(now_ns, change);
            if let Some(slot) = self.table.find(hash) {
                self.table.get_mut(slot).wait(number);
            }
        }
    }
}

/// Returns true if the change is worth a record. A change of the time alone is not.
pub(super) fn differs(entry: &Entry, flow: &Flow) -> bool {
    !flow.extra.is_empty() || differs_beside_attributes(entry, flow)
}

/// Returns true if a whole flow, with attributes and translation, differs from the entry.
pub(super) fn differs_as_a_whole(entry: &Entry, flow: &Flow) -> bool {
    entry.digest != digest(flow) || differs_beside_attributes(entry, flow)
}

fn differs_beside_attributes(entry: &Entry, flow: &Flow) -> bool {
    let state = flow.state();
    entry.has(flag::NEEDS_WHOLE)
        || entry.mark != flow.mark
        || entry.status() != status_byte(flow.status)
        || state.is_some_and(|state| state != entry.state())
}
