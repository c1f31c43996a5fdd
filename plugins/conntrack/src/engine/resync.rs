//! A resync: this node reports every flow in the shortest form, and the peer drops the flows that were not reported.

use super::kernel_events::differs_as_a_whole;
use super::merge::is_ending;
use super::table::{Entry, NOT_WAITING, ROUNDING_S, digest, flag, status_bits, status_byte};
use super::walk_queue::{Due, Walk};
use super::{Action, Engine, How, SECOND_NS, Source, seconds};
use crate::flow::{Flow, status};
use crate::wire::{self, Kind, Message, Why};

impl Engine {
    pub(super) fn begin_resync(&mut self, now_ns: u64, number: u8) {
        self.counters.resyncs += 1;
        self.table.age();
        let next_ns = now_ns.saturating_add(self.resync_interval_ns());
        self.channel.resyncs.schedule(Some(next_ns));
        let resync = Message::Resync {
            number,
            lease_s: self.lease_there_s(),
            serial: self.peer.as_ref().map_or(0, |peer| peer.serial),
        };
        self.push_message(now_ns, &resync);
    }

    /// Reports one flow of the kernel's table. A flow that lives by the peer's report alone is not sent back.
    pub(super) fn resync(&mut self, now_ns: u64, flow: Flow) {
        let hash = self.table.hash(&flow);
        let Some(slot) = self.table.find(hash).or_else(|| self.recall(hash, &flow)) else {
            return self.resync_unknown(now_ns, hash, flow);
        };
        let before = *self.table.get(slot);
        let is_fresh = before.has(flag::FRESH);
        self.table.set_flag(slot, flag::FRESH, false);
        self.table.set_flag(slot, flag::PRESENT, true);
        if before.has(flag::DROPPED_HERE) {
            return; // the dump is older
        }
        if !is_fresh {
            self.observe(now_ns, slot, &before, &flow);
            self.extend_to_peer_end(now_ns, slot, &flow);
            self.loosen_shared(&flow);
        }
        let entry = *self.table.get(slot);
        // an event is newer than the dump
        let admitted = is_fresh || self.filter.admits(&flow);
        if entry.waiting() != NOT_WAITING {
            if !admitted {
                self.counters.local.excluded += 1;
                return self.end_and_report(now_ns, slot, flow, Why::Ended);
            }
            if !is_fresh {
                self.renew_waiting(&entry, flow);
            }
            // its record goes first; a young flow has no record yet
            if self.channel.outbox.is_ready(entry.waiting()) {
                // if it ends before its record leaves, the peer has to hear that: its hash may be on the way
                self.table.set_flag(slot, flag::KNOWN_TO_PEER, true);
                self.tell_alive(now_ns, hash);
            }
            return;
        }
        // flows that are no longer admitted are not reported, so that the peer drops them
        if !admitted || !entry.is_own(seconds(now_ns)) {
            return;
        }
        if !entry.has(flag::KNOWN_TO_PEER) {
            return self.push_whole(now_ns, slot, flow);
        }
        self.assume_told(now_ns, slot, &flow);
        let newer = !is_fresh && differs_as_a_whole(&entry, &flow);
        if newer {
            return self.push_whole(now_ns, slot, flow);
        }
        if self.is_short(now_ns, self.table.get(slot)) {
            return self.push_refresh(now_ns, slot, flow);
        }
        self.tell_alive(now_ns, hash);
    }

    /// Gives a flow that would end here before the resync after the next one the later end by the peer's report: it is
    /// kept as long as the peer reports it. A connection that closes keeps the time of its state, which the report may
    /// not know yet.
    fn extend_to_peer_end(&mut self, now_ns: u64, slot: u32, flow: &Flow) {
        let two_resyncs_s = self.two_resyncs_s();
        let entry = self.table.get(slot);
        let Some(left_s) = flow.timeout_s.filter(|left_s| *left_s < two_resyncs_s) else {
            return;
        };
        let expires_s = seconds(now_ns).saturating_add(left_s);
        let is_fixed = flow.status & status::FIXED_TIMEOUT != 0;
        let is_ending = is_ending(flow.original.protocol, flow.state().unwrap_or(0));
        if is_fixed
            || is_ending
            || entry.has(flag::ENDED_AT_PEER)
            || entry.peer_expiry_s < expires_s.saturating_add(ROUNDING_S)
        {
            return;
        }
        let wanted_s = entry.peer_expiry_s - seconds(now_ns);
        self.write(How::Refresh, flow.clone(), wanted_s);
    }

    /// Puts what the dump shows into a change that waits and is older: the event of it may have been lost.
    fn renew_waiting(&mut self, entry: &Entry, flow: Flow) {
        let Some(waiting) = self.channel.outbox.change_mut(entry.waiting()) else {
            return;
        };
        let known = &waiting.flow;
        let is_known = (known.mark, status_byte(known.status))
            == (flow.mark, status_byte(flow.status))
            && known.state() == flow.state();
        let is_whole = match waiting.kind {
            Kind::Whole => digest(known) == digest(&flow),
            _ => entry.digest == digest(&flow),
        };
        if !(is_known && is_whole) {
            (waiting.kind, waiting.flow) = (Kind::Whole, flow);
        }
    }

    fn resync_unknown(&mut self, now_ns: u64, hash: u64, flow: Flow) {
        if self.walks.is_destroyed(hash) {
            return;
        }
        if !self.filter.admits(&flow) {
            self.counters.local.excluded += 1;
            return;
        }
        if self.reports.hides {
            self.actions.push_back(Action::Probe(flow))
        } else {
            self.insert_found(now_ns, hash, flow)
        }
    }

    fn push_whole(&mut self, now_ns: u64, slot: u32, flow: Flow) {
        self.push(now_ns, slot, flow, Kind::Whole);
    }

    /// Queues a record with the time alone. Every record has a mark and a status, too: those of the entry, as the dump
    /// may be older.
    fn push_refresh(&mut self, now_ns: u64, slot: u32, mut flow: Flow) {
        let entry = self.table.get(slot);
        (flow.mark, flow.status) = (entry.mark, status_bits(entry.status()));
        flow.tcp = None;
        flow.extra = Vec::new();
        self.push(now_ns, slot, flow, Kind::Part);
    }

    /// Returns true if the peer's copy would expire before the resync after the next one.
    fn is_short(&self, now_ns: u64, entry: &Entry) -> bool {
        entry.told_expiry_s().saturating_sub(seconds(now_ns)) < self.two_resyncs_s()
    }

    /// Assumes an end for the peer's copy: it has the time that the last packet there gave it, and an idle connection
    /// has at least this part of it left. If less is left, the peer requests the flow again.
    fn assume_told(&mut self, now_ns: u64, slot: u32, flow: &Flow) {
        const PART: u32 = 8;
        if self.table.get(slot).told_expiry_s() == 0 {
            let expires_s = seconds(now_ns).saturating_add(self.whole_timeout_s(flow) / PART);
            self.table.get_mut(slot).note_told(expires_s);
        }
    }

    /// Length of two resyncs in s, less the amounts by which a lease is shorter than three and by rounding.
    pub(super) fn two_resyncs_s(&self) -> u32 {
        let seconds = (2 * self.resync_interval_ns()).div_ceil(SECOND_NS);
        let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
        seconds - 2 * self.lease_lacks_s()
    }

    pub(super) fn tell_alive(&mut self, now_ns: u64, hash: u64) {
        self.counters.sent.alive += 1;
        if self.walks.push_alive(hash) {
            self.send_alive(now_ns);
        }
    }

    fn send_alive(&mut self, now_ns: u64) {
        let (mut hashes, has_gone) = self.walks.take_alive();
        if has_gone {
            // the peer was informed of their end, and would count them as missing
            let is_known = |hash: &u64| self.table.find(*hash).is_some();
            let known = wire::hashes(&hashes).filter(is_known);
            hashes = known.flat_map(u64::to_be_bytes).collect();
        }
        if !hashes.is_empty() {
            self.push_message(now_ns, &Message::Alive(&hashes));
        }
    }

    /// Ends the walk of a resync; a dump of expectations may follow.
    pub(super) fn end_resync(&mut self, now_ns: u64, number: u8, walk: Walk, complete: bool) {
        let is_of_flows = walk.source == Source::Flows;
        // after a failed dump of expectations the resync still counts; the next one retries them
        if !complete && is_of_flows {
            // the sent part is right but incomplete: repeat
            self.walks.request(Due::Resync);
            return;
        }
        self.walks.resume(walk);
        if is_of_flows {
            self.tell_dropped_flows_alive(now_ns);
        }
        self.send_alive(now_ns);
        let Some(mut walk) = self.walks.take_walk() else {
            return;
        };
        if is_of_flows && self.settings.expectations {
            walk.source = Source::Expectations;
            self.walks.resume(walk);
            self.actions.push_back(Action::Dump(Source::Expectations));
            return;
        }
        self.conclude_resync(now_ns, number, &walk);
    }

    /// Reports the end of a resync: all flows were named.
    fn conclude_resync(&mut self, now_ns: u64, number: u8, walk: &Walk) {
        let took_ns = now_ns.saturating_sub(walk.began_ns);
        self.channel.resyncs.handle_end(took_ns);
        let next_ns = walk.began_ns.saturating_add(self.resync_interval_ns());
        self.channel.resyncs.schedule(Some(next_ns));
        if walk.repeats {
            self.resync_soon(now_ns);
        }
        self.drop_absent(now_ns, |_| false);
        let has_lost_events = self.counters.local.overruns > walk.overruns;
        self.channel.resyncs.set_lost_events(has_lost_events);
        if has_lost_events {
            self.walks.request(Due::Resync);
        }
        self.push_pulse(now_ns);
        let flows = self.table.len() as u32;
        self.push_message(now_ns, &Message::Resynced { number, flows });
        self.channel.outbox.end_report();
        self.table.forget_former();
        self.note_walked(walk.began_ns);
        self.roles.note_reported();
        self.end_lingering(now_ns);
    }
}
