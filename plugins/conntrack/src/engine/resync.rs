//! Resyncs: this node reports every flow in the shortest form, and the peer drops the flows that were not reported.

use super::local::{differs_as_a_whole, seconds};
use super::queue::OutgoingChange;
use super::table::{Entry, NOT_WAITING, digest, flag, status_byte};
use super::walks::{Due, Walk};
use super::{Action, Engine, SECOND_NS, Source};
use crate::flow::Flow;
use crate::wire::{self, Kind, Message, Why};

impl Engine {
    pub(super) fn begin_resync(&mut self, now_ns: u64, number: u8) {
        self.counters.resyncs += 1;
        self.table.age();
        let next_ns = now_ns.saturating_add(self.resync_interval_ns());
        self.session.resyncs.schedule(Some(next_ns));
        let resync = Message::Resync {
            number,
            lease_s: self.lease_s(),
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
                return self.forget_flow(now_ns, slot, flow, Why::Ended);
            }
            if !is_fresh {
                self.renew_waiting(&entry, flow);
            }
            // its record goes first; a young flow has no record yet
            if self.session.outbox.is_ready(entry.waiting()) {
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

    /// Puts what the dump shows into a change that waits and is older: the event of it may have been lost.
    fn renew_waiting(&mut self, entry: &Entry, flow: Flow) {
        let Some(waiting) = self.session.outbox.change_mut(entry.waiting()) else {
            return;
        };
        let known = &waiting.flow;
        let is_known = (known.mark, status_byte(known.status))
            == (flow.mark, status_byte(flow.status))
            && known.state() == flow.state();
        let is_whole = match waiting.kind {
            Kind::Whole => digest(known) == digest(&flow),
            _ => entry.extra == digest(&flow),
        };
        if !(is_known && is_whole) {
            (waiting.kind, waiting.flow) = (Kind::Whole, flow);
        }
    }

    /// Makes TCP tracking liberal while both nodes are active, since packets may take the other router at any time.
    fn loosen_shared(&mut self, flow: &Flow) {
        if self.is_shared() {
            self.loosen(flow);
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

    /// Queues a record with the time alone, which every record has.
    fn push_refresh(&mut self, now_ns: u64, slot: u32, mut flow: Flow) {
        flow.tcp = None;
        flow.extra = Vec::new();
        self.push(now_ns, slot, flow, Kind::Part);
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

    /// Returns true if the peer's copy would expire before the resync after the next one.
    fn is_short(&self, now_ns: u64, entry: &Entry) -> bool {
        entry.told_s().saturating_sub(seconds(now_ns)) < self.two_resyncs_s()
    }

    /// Assumes an end for the peer's copy: it has the time that the last packet there gave it, and an idle connection
    /// has at least this part of it left. If less is left, the peer requests the flow again.
    fn assume_told(&mut self, now_ns: u64, slot: u32, flow: &Flow) {
        const PART: u32 = 8;
        if self.table.get(slot).told_s() == 0 {
            let ends_s = seconds(now_ns).saturating_add(self.full_s(flow) / PART);
            self.table.get_mut(slot).tell(ends_s);
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
        let first = walk.source == Source::Flows;
        // after a failed dump of expectations the resync still counts; the next one retries them
        if !complete && first {
            // the sent part is right but incomplete: repeat
            self.walks.request(Due::Resync);
            return;
        }
        self.walks.resume(walk);
        if first {
            self.tell_endings_alive(now_ns);
        }
        self.send_alive(now_ns);
        let Some(mut walk) = self.walks.take_walk() else {
            return;
        };
        if first && self.settings.expectations {
            walk.source = Source::Expectations;
            self.walks.resume(walk);
            self.actions.push_back(Action::Dump(Source::Expectations));
            return;
        }
        let took_ns = now_ns.saturating_sub(walk.began_ns);
        self.session.resyncs.handle_end(took_ns);
        let next_ns = walk.began_ns.saturating_add(self.resync_interval_ns());
        self.session.resyncs.schedule(Some(next_ns));
        if walk.repeats {
            self.resync_soon(now_ns);
        }
        self.drop_absent(now_ns, |_| false);
        let is_unsettled = self.counters.local.overruns > walk.overruns;
        self.session.resyncs.set_unsettled(is_unsettled);
        if is_unsettled {
            self.walks.request(Due::Resync);
        }
        self.push_pulse(now_ns);
        let flows = self.table.len() as u32;
        self.push_message(now_ns, &Message::Resynced { number, flows });
        self.session.outbox.end_report();
        self.table.forget_former();
        self.note_walked(walk.began_ns);
        self.roles.note_reported();
        self.end_offering(now_ns);
    }

    /// Drops flows that a walk did not find: they have ended without an event. Those that live at the peer are
    /// requested.
    fn drop_absent(&mut self, now_ns: u64, is_known: impl Fn(&Entry) -> bool) {
        let present = flag::PRESENT | flag::DROPPED_HERE;
        let absent = self.table.iter().filter(|(_, entry)| !entry.has(present));
        let absent: Vec<Entry> = absent.map(|(_, entry)| *entry).collect();
        let now_s = seconds(now_ns);
        for entry in absent {
            self.drop_entry(entry.hash);
            if entry.is_peers(now_s) && !is_known(&entry) {
                self.counters.lost += 1;
                self.request_missing(now_ns, entry.hash);
                if !self.roles.is_active() {
                    self.session.synchrony.set_complete(false);
                }
            }
        }
    }

    // ---- at the peer

    /// Handles the end of the peer's resync: it has reported all flows that it carries.
    pub(super) fn handle_resynced(&mut self, now_ns: u64, number: u8) {
        let Some(peer) = &mut self.peer else { return };
        if number != peer.resync || !std::mem::take(&mut peer.resync_begun) {
            return; // it began before this node listened
        }
        peer.has_resynced = true;
        // every master that comes has come
        self.retry_orphans();
        let Some(peer) = &self.peer else { return };
        if Some(peer.answered_serial) != self.replica.replica().serial() {
            return; // or before the peer knew this node's present role: another one follows
        }
        let carries = self.informs_peer(now_ns);
        if !carries {
            // the role that the peer answers was sent after everything else
            self.roles.note_heard();
        }
        self.send_lost(now_ns);
        if !self.peer_is_active() {
            return;
        }
        self.forget_unnamed_refused();
        let is_settled = self.peer.as_ref().is_some_and(|peer| !peer.unsettled);
        let is_complete = self.session.missing.count() == 0 && is_settled;
        self.session.synchrony.set_complete(is_complete);
        self.session.synchrony.set_split(false);
        self.keeping.end();
        if !carries {
            self.table.give_all();
            self.table.forget_former();
        }
        let doomed = self.table.end_unnamed(seconds(now_ns));
        if doomed || self.walks.is_due(Due::Strays) && !carries {
            self.walks.request(Due::Prune);
        }
        self.tell_synchrony(now_ns);
    }

    /// Marks one flow of the kernel's table as present, or deletes it.
    pub(super) fn tidy(&mut self, now_ns: u64, flow: Flow, prune: bool, strays: bool) {
        let hash = self.table.hash(&flow);
        let Some(slot) = self.table.find(hash) else {
            if strays && !self.informs_peer(now_ns) && self.filter.admits(&flow) {
                self.write(super::How::Delete, flow, 0);
            }
            return;
        };
        let before = *self.table.get(slot);
        self.table.set_flag(slot, flag::PRESENT, true);
        if !prune || !before.is_doomed(seconds(now_ns)) || before.has(flag::DROPPED_HERE) {
            return;
        }
        if self.informs_peer(now_ns) {
            self.observe(now_ns, slot, &before, &flow);
            if self.table.get(slot).is_own(seconds(now_ns)) {
                self.counters.applied.kept += 1;
                self.table.set_flag(slot, flag::KNOWN_TO_PEER, false);
                return self.tell_again(now_ns, slot, flow, Kind::Whole);
            }
        }
        self.drop_entry(hash);
        self.write(super::How::Delete, flow, 0);
    }

    pub(super) fn end_tidy(&mut self, now_ns: u64, prune: bool, verify: bool) {
        let now_s = seconds(now_ns);
        if verify {
            self.drop_absent(now_ns, |entry| entry.is_doomed(now_s));
        } else if prune {
            self.table.drop_doomed(now_s);
        }
        self.tell_synchrony(now_ns);
    }
}
