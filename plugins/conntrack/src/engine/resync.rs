//! Resyncs: the peer is told of every flow, in the shortest way, and drops what it is not told of.

use super::local::{differs_as_a_whole, seconds};
use super::pass::Pass;
use super::queue::Change;
use super::table::{Entry, NOT_WAITING, flag};
use super::{Action, Engine, SECOND_NS, Source};
use crate::flow::Flow;
use crate::wire::{self, HASHES_MAX, Kind, Message};

impl Engine {
    pub(super) fn begin_resync(&mut self, now_ns: u64) {
        self.counters.resyncs += 1;
        self.resync_at_ns = now_ns.saturating_add(self.resync_interval_ns());
        let resync = Message::Resync {
            number: self.resync_number,
            lease_s: self.lease_s(),
            hello: self.peer.as_ref().map_or(0, |peer| peer.serial),
        };
        self.push_message(now_ns, &resync);
    }

    /// One flow of the kernel's table.
    pub(super) fn resync(&mut self, now_ns: u64, number: u8, flow: Flow) {
        let hash = self.table.hash(&flow);
        let Some(slot) = self.table.find(hash) else {
            return self.resync_unknown(now_ns, hash, flow);
        };
        let entry = *self.table.get(slot);
        if entry.has(flag::REMOTE) {
            return self.resync_remote(now_ns, slot, flow);
        }
        let known = self.table.get_mut(slot);
        known.resync = number;
        known.flags &= !flag::FRESH;
        // what an event told is newer than the dump
        let admitted = entry.has(flag::FRESH) || self.filter.admits(&flow);
        if entry.waiting != NOT_WAITING {
            if !admitted {
                self.counters.excluded += 1;
                return self.forget_flow(now_ns, slot, flow);
            }
            // its record goes before this word; a young flow has none yet
            if self.ready.get_mut(entry.waiting).is_some() {
                self.tell_alive(now_ns, hash);
            }
            return;
        }
        if !admitted {
            return; // the peer is not told of it any more, and drops it
        }
        if !entry.has(flag::SENT) {
            return self.push_whole(now_ns, slot, flow);
        }
        let newer = !entry.has(flag::FRESH) && differs_as_a_whole(&entry, &flow);
        if newer {
            return self.push_whole(now_ns, slot, flow);
        }
        if self.is_short(now_ns, &entry) {
            return self.push_refresh(now_ns, slot, flow);
        }
        self.tell_alive(now_ns, hash);
    }

    fn resync_unknown(&mut self, now_ns: u64, hash: u64, flow: Flow) {
        if self.destroyed.contains(&hash) {
            return;
        }
        if !self.filter.admits(&flow) {
            self.counters.excluded += 1;
            return;
        }
        match self.hides {
            true => self.actions.push_back(Action::Probe(flow)),
            false => self.insert_found(now_ns, hash, flow),
        }
    }

    fn push_whole(&mut self, now_ns: u64, slot: u32, flow: Flow) {
        self.push(now_ns, slot, flow, Kind::Whole);
    }

    /// The time alone, which is in every record.
    fn push_refresh(&mut self, now_ns: u64, slot: u32, mut flow: Flow) {
        flow.tcp = None;
        flow.extra = Vec::new();
        self.push(now_ns, slot, flow, Kind::Part);
    }

    fn push(&mut self, now_ns: u64, slot: u32, flow: Flow, kind: Kind) {
        let hash = self.table.get(slot).hash;
        let change = Change {
            kind,
            hash,
            flow,
            since_ns: now_ns,
        };
        let number = self.push_ready(now_ns, change);
        self.table.get_mut(slot).waiting = number;
    }

    /// The peer's copy would not live until the resync after the next one.
    fn is_short(&self, now_ns: u64, entry: &Entry) -> bool {
        let two_resyncs_s = (2 * self.resync_interval_ns()).div_ceil(SECOND_NS);
        let left_s = entry.lease_until_s.saturating_sub(seconds(now_ns));
        u64::from(left_s) < two_resyncs_s
    }

    fn tell_alive(&mut self, now_ns: u64, hash: u64) {
        self.counters.sent_alive += 1;
        let Some(pass) = &mut self.pass else { return };
        pass.alive.extend(hash.to_be_bytes());
        if pass.alive.len() >= HASHES_MAX * 8 {
            self.send_alive(now_ns);
        }
    }

    fn send_alive(&mut self, now_ns: u64) {
        let Some(pass) = &mut self.pass else { return };
        let mut hashes = std::mem::take(&mut pass.alive);
        if std::mem::take(&mut pass.has_gone) {
            // the peer was told so, and would miss them
            let is_known = |hash: &u64| self.table.find(*hash).is_some();
            let known = wire::hashes(&hashes).filter(is_known);
            hashes = known.flat_map(u64::to_be_bytes).collect();
        }
        if !hashes.is_empty() {
            self.push_message(now_ns, &Message::Alive(&hashes));
        }
    }

    /// The dump has ended; that of expectations may follow.
    pub(super) fn end_resync(&mut self, now_ns: u64, number: u8, pass: Pass, complete: bool) {
        let first = pass.source == Source::Flows;
        // without expectations all flows have been told: the next resync tries them again
        if !complete && first {
            // what it told is right, but not all: again
            self.wanted.resync = true;
            return;
        }
        self.pass = Some(pass);
        self.send_alive(now_ns);
        if first && self.settings.expectations {
            if let Some(pass) = &mut self.pass {
                pass.source = Source::Expectations;
            }
            self.actions.push_back(Action::Dump(Source::Expectations));
            return;
        }
        let Some(pass) = self.pass.take() else { return };
        self.first_resync = false;
        self.resync_took_ns = now_ns.saturating_sub(pass.began_ns);
        self.resync_at_ns = pass.began_ns.saturating_add(self.resync_interval_ns());
        // What went in an overrun is nowhere.
        let gone: Vec<u32> = self
            .table
            .iter()
            .filter(|(_, entry)| !entry.has(flag::REMOTE) && entry.resync != number)
            .map(|(slot, _)| slot)
            .collect();
        for slot in gone {
            let waiting = self.table.get(slot).waiting;
            let _ = self
                .ready
                .take(waiting)
                .or_else(|| self.young.take(waiting));
            self.table.remove(slot);
        }
        let flows = (self.table.len() - self.table.remote()) as u32;
        self.push_message(now_ns, &Message::Resynced { number, flows });
        self.end_offer();
        self.unsettled = self.counters.overruns > pass.overruns;
        self.wanted.resync |= self.unsettled;
    }

    /// What this node alone knew was told.
    fn end_offer(&mut self) {
        self.owes = false;
        if !self.active {
            let resync = self.peer_resync();
            self.table.set_resync_of_own(resync);
        }
    }

    // ---- at the peer

    /// All that the peer has was told.
    pub(super) fn handle_resynced(&mut self, now_ns: u64, number: u8, _flows: u32) {
        let Some(peer) = &mut self.peer else { return };
        if number != peer.resync || !std::mem::take(&mut peer.resync_begun) {
            return; // it began before this node listened
        }
        if peer.answers != self.serial {
            return; // or before the peer knew what this node is now: another one follows
        }
        self.send_lost(now_ns);
        if !self.active && self.peer_is_active() {
            self.complete = self.short == 0;
        }
        let doomed = self
            .table
            .iter()
            .any(|(_, entry)| self.is_doomed(entry, number));
        let strays = self.wanted.strays && !self.active && !self.owes;
        if doomed || strays {
            self.wanted.prune = Some(number);
        }
        self.tell_synchrony();
    }

    /// The peer did not tell of it in this resync, nor since.
    fn is_doomed(&self, entry: &Entry, resync: u8) -> bool {
        let missed = resync.wrapping_sub(entry.resync) as i8;
        match entry.has(flag::REMOTE) {
            true => missed > 0,
            false if self.active || self.owes || !self.peer_is_active() => false,
            // a resync that had begun may not have known what this node offered
            false => missed > 1,
        }
    }

    /// One flow of the kernel's table: it may have to go, and it is there.
    pub(super) fn tidy(&mut self, now_ns: u64, flow: Flow, resync: Option<u8>, strays: bool) {
        let hash = self.table.hash(&flow);
        let doomed =
            |slot| resync.is_some_and(|resync| self.is_doomed(self.table.get(slot), resync));
        match self.table.find(hash) {
            Some(slot) if doomed(slot) && self.outlives(now_ns, self.table.get(slot), &flow) => {
                return self.keep(now_ns, flow);
            }
            Some(slot) if doomed(slot) => self.table.remove(slot),
            Some(slot) => return self.table.set_flag(slot, flag::PRESENT, true),
            None if strays && self.filter.admits(&flow) && !self.active => {}
            None => return,
        }
        self.write(super::How::Delete, flow, 0);
    }

    pub(super) fn end_tidy(
        &mut self,
        now_ns: u64,
        resync: Option<u8>,
        verify: bool,
        complete: bool,
    ) {
        if !complete {
            self.wanted.prune = self.wanted.prune.or(resync);
            self.wanted.verify |= verify;
            return;
        }
        let doomed = |entry: &Entry| resync.is_some_and(|resync| self.is_doomed(entry, resync));
        let lost = |entry: &Entry| verify && entry.has(flag::REMOTE) && !entry.has(flag::PRESENT);
        let all = self.table.iter();
        let gone: Vec<(u32, u64, bool)> = all
            .filter(|(_, entry)| doomed(entry) || lost(entry))
            .map(|(slot, entry)| (slot, entry.hash, doomed(entry)))
            .collect();
        for (slot, hash, doomed) in gone {
            self.table.remove(slot);
            if !doomed {
                self.counters.lost += 1;
                self.lose(now_ns, hash);
                self.complete &= self.active;
            }
        }
        self.tell_synchrony();
    }
}
