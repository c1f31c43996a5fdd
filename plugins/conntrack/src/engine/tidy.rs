//! Walks that compare the kernel's table with what both nodes know. They delete flows that no node reports as alive,
//! and find those that the kernel dropped without an event.

use super::table::{Entry, flag};
use super::{Engine, How, seconds};
use crate::flow::Flow;
use crate::wire::Kind;

impl Engine {
    /// Marks one flow of the kernel's table as present, or deletes it.
    pub(super) fn tidy(&mut self, now_ns: u64, flow: Flow, prune: bool, strays: bool) {
        let hash = self.table.hash(&flow);
        let Some(slot) = self.table.find(hash) else {
            if strays && !self.informs_peer(now_ns) && self.filter.admits(&flow) {
                self.write(How::Delete, flow, 0);
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
        self.delete_here(flow);
    }

    pub(super) fn end_tidy(&mut self, now_ns: u64, prune: bool, verify: bool) {
        let now_s = seconds(now_ns);
        if verify {
            self.drop_absent(now_ns, |entry| entry.is_doomed(now_s));
        } else if prune {
            let mut ended = self.table.absent();
            ended.retain(|entry| entry.is_doomed(now_s));
            ended.iter().for_each(|entry| self.forget_entry(entry.hash));
        }
        self.update_synchrony(now_ns);
    }

    /// Drops flows that a walk did not find: they have ended without an event. Those that live at the peer are
    /// requested.
    pub(super) fn drop_absent(&mut self, now_ns: u64, is_known: impl Fn(&Entry) -> bool) {
        let now_s = seconds(now_ns);
        for entry in self.table.absent() {
            self.forget_entry(entry.hash);
            if entry.is_peers(now_s) && !is_known(&entry) {
                self.counters.lost += 1;
                self.request_missing(now_ns, entry.hash);
            }
        }
    }
}
