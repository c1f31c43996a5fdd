//! Applies the peer's reports about flows.

use spared_replica::Malformed;

use super::merge::{self, IncarnationOrder};
use super::table::{APART_S, Entry, digest, flag};
use super::walk_queue::Due;
use super::{Action, Engine, How, KernelChange, seconds};
use crate::flow::{Flow, status};
use crate::wire::{self, Kind, Message, Why};

/// Number of resyncs after which refused flows are retried.
const RESYNCS_PER_TRY: u8 = 8;

impl Engine {
    /// Applies a message of the peer about flows.
    pub(super) fn apply_message(
        &mut self,
        now_ns: u64,
        message: Message<'_>,
    ) -> Result<(), Malformed> {
        let Some(peer) = &mut self.peer else {
            return Ok(());
        };
        match message {
            Message::Changes { age_us, records } => {
                peer.behind_us = age_us;
                for record in wire::records(records) {
                    let (kind, flow) = record?;
                    self.apply_record(now_ns, kind, flow);
                }
                self.retry_orphans();
            }
            Message::Resync {
                number,
                lease_s,
                serial,
            } => {
                peer.resync = number;
                peer.answered_serial = serial;
                peer.resync_begun = true;
                self.begin_peer_resync(lease_s);
            }
            Message::Alive(hashes) => {
                wire::hashes(hashes).for_each(|hash| self.handle_unchanged(now_ns, hash))
            }
            Message::Resynced { number, .. } => {
                // else it began before this node listened
                if number == peer.resync && std::mem::take(&mut peer.resync_begun) {
                    peer.has_resynced = true;
                    let answered_serial = peer.answered_serial;
                    self.handle_resynced(now_ns, answered_serial);
                }
            }
            Message::Missing(hashes) => self.resend(now_ns, wire::hashes(hashes)),
            Message::Expect { yes, request } => self.expect_here(yes, request),
            Message::Addresses(addresses) => self.addresses.set_dynamic_there(addresses),
            Message::Pulse {
                flows,
                has_lost_events,
            } => {
                peer.flows = flows;
                peer.behind_us = 0;
                peer.has_lost_events = has_lost_events;
                if has_lost_events {
                    self.note_incomplete(now_ns);
                }
                self.retry_orphans();
            }
            Message::Compare { id } => self.walks.request_answer(id),
            Message::Compared { id, records } => self.handle_compared(id, records),
            Message::End { id } => self.handle_compared_end(now_ns, id),
            Message::Holds(addresses) => {
                let before = std::mem::replace(&mut peer.holds, addresses.into_iter().collect());
                if before != peer.holds {
                    self.note_move(now_ns);
                }
            }
        }
        Ok(())
    }

    fn apply_record(&mut self, now_ns: u64, kind: Kind, flow: Flow) {
        let hash = self.table.hash(&flow);
        let slot = self.table.find(hash).or_else(|| self.recall(hash, &flow));
        if matches!(kind, Kind::Gone(_)) {
            self.kernel_room.handle_gone(&flow);
            self.channel.missing.remove(hash);
        }
        match (kind, slot) {
            (Kind::Gone(why), Some(slot)) => self.apply_gone(slot, why, flow),
            (Kind::Gone(_), None) => {}
            (_, Some(slot)) if self.table.get(slot).has(flag::DROPPED_HERE) => {
                // the kernel here has dropped it, and the peer's kernel has not
                self.forget_entry(hash);
                self.apply_unknown(now_ns, hash, kind, flow);
            }
            (_, Some(slot)) => self.apply_known(now_ns, slot, kind, flow),
            (_, None) => self.apply_unknown(now_ns, hash, kind, flow),
        }
    }

    fn apply_unknown(&mut self, now_ns: u64, hash: u64, kind: Kind, flow: Flow) {
        match kind {
            Kind::Whole => self.create_copy(now_ns, hash, flow),
            _ if self.channel.missing.is_refused(hash) => {}
            _ => self.request_missing(now_ns, hash),
        }
    }

    pub(super) fn create_copy(&mut self, now_ns: u64, hash: u64, flow: Flow) {
        self.channel.missing.remove(hash);
        let slot = self.table.insert(Entry::new(hash, 0));
        self.store_report(now_ns, slot, &flow);
        self.table.get_mut(slot).digest = digest(&flow);
        let timeout_s = self.copy_time_s(&flow);
        let exclusive = self.roles.is_active();
        self.write_record(How::Create { exclusive }, flow, timeout_s, true);
    }

    fn apply_known(&mut self, now_ns: u64, slot: u32, kind: Kind, flow: Flow) {
        let before = *self.table.get(slot);
        match merge::relate(&before, kind, &flow) {
            IncarnationOrder::Same => {}
            // only the peer reports it, or its incarnation count began again after a restart
            IncarnationOrder::Older if !before.is_own(seconds(now_ns)) => {}
            IncarnationOrder::Older => return self.resend_whole(slot, flow),
            IncarnationOrder::InUse => {
                self.table.get_mut(slot).set_incarnation(flow.incarnation);
                return self.resend_whole(slot, flow);
            }
            // a peer that carries nothing sees no new connection
            IncarnationOrder::Newer if self.is_sole() => return self.resend_whole(slot, flow),
            IncarnationOrder::Newer => return self.begin_anew(now_ns, slot, kind, flow),
        }
        let whole = kind == Kind::Whole;
        if self.informs_peer(now_ns) {
            self.hear_times(now_ns, slot, &flow);
            let change = self.change(How::Update { with_status: true }, flow, whole);
            return self.question(change, before, None);
        }
        self.store_report(now_ns, slot, &flow);
        let change = self.change(How::Update { with_status: true }, flow, whole);
        if whole && self.may_be_another(&before, &change.flow) {
            self.table.get_mut(slot).digest = digest(&change.flow);
            return self.question(change, before, None);
        }
        self.actions.push_back(Action::Write(change));
    }

    /// Returns true if the flow may have ended and begun again with another translation, unreported.
    fn may_be_another(&self, before: &Entry, flow: &Flow) -> bool {
        let has_resynced = self.peer.as_ref().is_some_and(|peer| peer.has_resynced);
        before.digest != digest(flow) || !has_resynced && !flow.is_plain()
    }

    /// Sends the whole flow to the peer, which knows less of it.
    fn resend_whole(&mut self, slot: u32, flow: Flow) {
        self.counters.applied.merged += 1;
        self.table.set_flag(slot, flag::KNOWN_TO_PEER, false);
        self.look_up(flow);
    }

    /// Replaces a flow whose tuple is used again: the entry in the kernel belongs to the earlier one.
    pub(super) fn begin_anew(&mut self, now_ns: u64, slot: u32, kind: Kind, flow: Flow) {
        let hash = self.table.get(slot).hash;
        self.forget_entry(hash);
        if kind != Kind::Whole {
            return self.request_missing(now_ns, hash);
        }
        self.write(How::Delete, flow.clone(), 0);
        self.create_copy(now_ns, hash, flow);
    }

    fn apply_gone(&mut self, slot: u32, why: Why, flow: Flow) {
        let before = *self.table.get(slot);
        if merge::relate(&before, Kind::Gone(why), &flow) == IncarnationOrder::Older {
            return; // the flow here has begun since
        }
        let is_dropped_here = before.has(flag::DROPPED_HERE);
        if self.is_sole() && !is_dropped_here {
            return self.resend_whole(slot, flow); // a peer that carries nothing cannot end a flow
        }
        if !self.roles.is_active() || why == Why::Deleted || is_dropped_here {
            self.forget_entry(before.hash);
            if !is_dropped_here {
                self.write(How::Delete, flow, 0);
            }
            return;
        }
        let entry = self.table.get_mut(slot);
        entry.set(flag::KNOWN_TO_PEER, false);
        entry.set(flag::ENDED_AT_PEER, true);
        let change = self.change(How::Delete, flow, false);
        self.question(change, before, Some(why));
    }

    fn change(&self, how: How, flow: Flow, whole: bool) -> KernelChange {
        let timeout_s = self.copy_time_s(&flow);
        KernelChange {
            how,
            flow,
            timeout_s,
            whole,
            tries: 0,
        }
    }

    /// Stores the peer's report unchanged, since the peer alone decides.
    fn store_report(&mut self, now_ns: u64, slot: u32, flow: &Flow) {
        self.hear_times(now_ns, slot, flow);
        let entry = self.table.get_mut(slot);
        entry.set_incarnation(flow.incarnation);
        entry.learn(flow);
        self.own_if_sole(slot);
    }

    /// Stores the time at which the flow ends at the peer.
    fn hear_times(&mut self, now_ns: u64, slot: u32, flow: &Flow) {
        // a walk may have passed its place before the flow is written, or may find its earlier state
        let is_timed = self.walks.is_restoring() && flow.timeout_s.is_some();
        let read = if self.walks.is_resync() || is_timed {
            flag::FRESH
        } else {
            0
        };
        let (now_s, written_s, round) =
            (seconds(now_ns), self.copy_time_s(flow), self.table.round());
        let entry = self.table.get_mut(slot);
        entry.flags |= flag::KNOWN_TO_PEER | flag::PRESENT | read;
        entry.flags &= !flag::ENDED_AT_PEER;
        entry.set_round(round);
        if let Some(left_s) = flow.timeout_s {
            entry.peer_expiry_s = now_s.saturating_add(written_s);
            entry.note_told(entry.told_expiry_s().max(now_s.saturating_add(left_s)));
        }
        self.store_policy_timeout(now_ns, slot, flow.policy_timeout_s);
    }

    /// Takes over a flow's time, if this node alone carries flows: a flow offered by the peer then belongs to this
    /// node.
    pub(super) fn own_if_sole(&mut self, slot: u32) {
        if self.is_sole() {
            let entry = self.table.get_mut(slot);
            entry.own_expiry_s = entry.expires_s();
            entry.peer_expiry_s = 0;
        }
    }

    /// Returns the time to write in s: at least until the next refresh. A fixed time is not changed.
    fn copy_time_s(&self, flow: &Flow) -> u32 {
        let left_s = flow.timeout_s.unwrap_or(0);
        match flow.status & status::FIXED_TIMEOUT {
            0 => left_s
                .saturating_sub(self.apart_s())
                .max(self.renewal.lease_s()),
            _ => left_s,
        }
    }

    /// Seconds by which a flow's time is written shorter, because its packets may pass here, too.
    pub(super) fn apart_s(&self) -> u32 {
        if self.roles.is_active() { APART_S } else { 0 }
    }

    /// Handles a hash in the peer's resync: the flow has not changed.
    fn handle_unchanged(&mut self, now_ns: u64, hash: u64) {
        let (round, peer_carries) = (self.table.round(), self.peer_is_active());
        let looks = self.roles.is_active() || self.walks.is_verifying();
        let slot = self.table.find(hash);
        match slot.filter(|slot| !self.table.get(*slot).has(flag::DROPPED_HERE)) {
            Some(slot) => {
                let entry = self.table.get_mut(slot);
                entry.set_round(round);
                entry.flags &= !flag::ENDED_AT_PEER;
                if entry.peer_expiry_s == 0 && peer_carries {
                    // The flow ends at this time at the earliest, or the peer would have sent more. Nothing is written:
                    // with any other time, a packet that sets the same one would not be noticed.
                    entry.peer_expiry_s = entry.own_expiry_s.max(1);
                    // This node offered it, and from now on no event may report its end here. A walk verifies that it
                    // is still in the kernel, unless one is under way.
                    if !looks {
                        self.walks.request(Due::Verify);
                    }
                }
            }
            // retried now and then, without delaying the sync state
            None if self.channel.missing.is_refused(hash) => {
                let number = self.peer.as_ref().map_or(0, |peer| peer.resync);
                if number % RESYNCS_PER_TRY == 0 {
                    self.request_flow(now_ns, hash);
                }
            }
            None => self.request_missing(now_ns, hash),
        }
    }

    /// Sends flows again that the peer's kernel dropped, by the next resync, which is due.
    fn resend(&mut self, now_ns: u64, hashes: impl Iterator<Item = u64>) {
        for hash in hashes {
            self.counters.lost_there += 1;
            match self.table.find(hash) {
                Some(slot) => {
                    self.table.set_flag(slot, flag::KNOWN_TO_PEER, false);
                    self.walks.request(Due::Resync);
                }
                // it has ended: the peer waits for it until a resync has ended without it
                None => self.resync_soon(now_ns),
            }
        }
    }
}
