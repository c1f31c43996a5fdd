//! What the peer says, and what the kernel answers to it.

use spared_netlink::{attributes, constants as c};

use super::local::{differs, differs_as_a_whole, seconds};
use super::table::{Entry, digest, flag};
use super::{Action, Change, Engine, How, SECOND_NS};
use crate::flow::{Flow, status};
use crate::wire::{self, Kind, Message};

const ENOENT: i32 = 2;
const EPERM: i32 = 1;
const ENOMEM: i32 = 12;
const EBUSY: i32 = 16;
const EEXIST: i32 = 17;
const EINVAL: i32 = 22;
const EOPNOTSUPP: i32 = 95;

/// A request is tried otherwise so often.
const TRIES_MAX: u8 = 3;
/// Flows whose master has not come yet.
const ORPHANS_MAX: usize = 4096;
/// Flows that the kernel refuses whatever is tried; of more, this node says that it misses them.
const REFUSED_MAX: usize = 4096;
/// They are tried again by every so many resyncs.
const RESYNCS_PER_TRY: u8 = 8;
const WARN_EVERY_NS: u64 = 60 * SECOND_NS;

impl Engine {
    /// One message of the peer's: untrusted bytes.
    pub fn handle_message(&mut self, now_ns: u64, bytes: &[u8]) {
        if self.peer.is_none() {
            return;
        }
        match Message::decode(bytes) {
            Some(message) => self.take(now_ns, message),
            None => self.malformed("a message"),
        }
    }

    fn take(&mut self, now_ns: u64, message: Message<'_>) {
        let Some(peer) = &mut self.peer else { return };
        peer.heard_ns = now_ns;
        if let Message::Hello {
            active,
            serial,
            key,
        } = message
        {
            return self.handle_hello(now_ns, active, serial, key);
        }
        if peer.active.is_none() {
            return self.malformed("a message before its hello");
        }
        match message {
            Message::Hello { .. } => {}
            Message::Changes {
                age_us, records, ..
            } => {
                peer.behind_us = age_us;
                self.take_records(now_ns, records);
                self.adopt();
            }
            Message::Resync {
                number,
                lease_s,
                hello,
            } => {
                self.short = 0;
                peer.resync = number;
                peer.answers = hello;
                peer.resync_begun = true;
                peer.lease_s = lease_s;
                self.last_floor_s = lease_s;
            }
            Message::Alive(hashes) => wire::hashes(hashes).for_each(|hash| self.see(now_ns, hash)),
            Message::Resynced { number, flows } => self.handle_resynced(now_ns, number, flows),
            Message::Lost(hashes) => self.resend(now_ns, wire::hashes(hashes)),
            Message::RequestResync => {
                self.table.clear_flag(flag::SENT);
                self.wanted.resync = true;
            }
            Message::Expect { yes, request } => self.expect_here(yes, request),
            Message::Addresses(addresses) => self.lost_addresses = addresses,
            Message::Pulse { flows, .. } => {
                peer.flows = flows;
                peer.behind_us = 0;
                self.adopt();
                self.tell_synchrony();
            }
            Message::Compare { id } => self.wanted.answer = Some(id),
            Message::Compared { id, records } => self.handle_compared(id, records),
            Message::End { id } => self.handle_compared_end(now_ns, id),
        }
    }

    pub(super) fn malformed(&mut self, what: &str) {
        self.counters.malformed += 1;
        if self.counters.malformed.is_power_of_two() {
            let text = format!(
                "the peer sent {what} that is not understood: dropped ({} so far)",
                self.counters.malformed
            );
            self.actions.push_back(Action::Warn(text));
        }
    }

    fn take_records(&mut self, now_ns: u64, records: &[u8]) {
        for record in wire::records(records) {
            match record {
                Ok((kind, flow)) => self.take_record(now_ns, kind, flow),
                Err(wire::Malformed) => self.malformed("a record"),
            }
        }
    }

    fn take_record(&mut self, now_ns: u64, kind: Kind, flow: Flow) {
        let hash = self.table.hash(&flow);
        let slot = self.table.find(hash);
        // Where this node answers for the flow, the peer's word is older or a loser's.
        let ours = slot.is_some_and(|slot| !self.table.get(slot).has(flag::REMOTE));
        if let Some(slot) = slot.filter(|_| self.active && ours) {
            self.counters.merged += 1;
            // but it does have the flow, or has it no longer
            self.table.set_flag(slot, flag::SENT, kind != Kind::Gone);
            if kind == Kind::Gone {
                self.look_up(flow);
            }
            return;
        }
        match (kind, slot) {
            (Kind::Gone, Some(slot)) => {
                let before = *self.table.get(slot);
                self.table.remove(slot);
                self.write_unless_alive(&before, How::Delete, flow, 0, false);
            }
            (Kind::Gone, None) => drop(self.refused.remove(&hash)),
            (Kind::Part, None) if self.refused.contains(&hash) => {}
            (_, Some(slot)) => {
                let before = *self.table.get(slot);
                self.know(now_ns, slot, &flow);
                let (timeout_s, whole) = (self.lease_of(&flow), kind == Kind::Whole);
                if whole {
                    self.table.get_mut(slot).extra = digest(&flow.extra);
                }
                let update = How::Update { with_status: true };
                let says_more = match whole {
                    true => differs_as_a_whole(&before, &flow),
                    false => differs(&before, &flow),
                };
                match says_more {
                    true => self.write_record(update, flow, timeout_s, whole),
                    false => self.write_unless_alive(&before, update, flow, timeout_s, whole),
                }
            }
            (Kind::Part, None) => self.lose(now_ns, hash),
            (Kind::Whole, None) => self.take_new(now_ns, hash, flow),
        }
    }

    fn take_new(&mut self, now_ns: u64, hash: u64, flow: Flow) {
        if !self.refused.is_empty() {
            self.refused.remove(&hash);
        }
        let slot = self.table.insert(Entry {
            hash,
            ..Entry::default()
        });
        self.know(now_ns, slot, &flow);
        self.table.get_mut(slot).extra = digest(&flow.extra);
        let timeout_s = self.lease_of(&flow);
        let exclusive = self.active;
        self.write_record(How::Create { exclusive }, flow, timeout_s, true);
    }

    fn know(&mut self, now_ns: u64, slot: u32, flow: &Flow) {
        // What a loser offers is this node's from now on.
        let remote = self.peer_is_active() || !self.active;
        self.table.set_flag(slot, flag::REMOTE, remote);
        let (resync, own_resync) = (self.peer_resync(), self.resync_number);
        // a walk may have passed its place before it was written
        let present = if self.is_tidying() { flag::PRESENT } else { 0 };
        // or may find it as it was before
        let fresh = match self.resyncing() || self.is_restoring() {
            true => flag::FRESH,
            false => 0,
        };
        let written_s = flow.timeout_s.map(|_| self.lease_of(flow));
        let entry = self.table.get_mut(slot);
        entry.flags |= flag::SENT | present | fresh;
        if let Some(written_s) = written_s {
            entry.flags &= !flag::RESTORED;
            entry.written_until_s = seconds(now_ns).saturating_add(written_s);
        }
        // what the peer's own copy has left, should this node answer for it one day
        entry.lease_until_s = seconds(now_ns).saturating_add(flow.timeout_s.unwrap_or(0));
        entry.learn(flow);
        entry.resync = if remote { resync } else { own_resync };
    }

    /// It lives at least until it is refreshed; a fixed time is what it is.
    fn lease_of(&self, flow: &Flow) -> u32 {
        let left_s = flow.timeout_s.unwrap_or(0);
        match flow.status & status::FIXED_TIMEOUT {
            0 => left_s.max(self.floor_s()),
            _ => left_s,
        }
    }

    pub(super) fn floor_s(&self) -> u32 {
        self.peer.as_ref().map_or(0, |peer| peer.lease_s)
    }

    pub(super) fn peer_resync(&self) -> u8 {
        self.peer.as_ref().map_or(0, |peer| peer.resync)
    }

    fn see(&mut self, now_ns: u64, hash: u64) {
        let resync = self.peer_resync();
        match self.table.find(hash) {
            Some(slot) if self.table.get(slot).has(flag::REMOTE) => {
                self.table.get_mut(slot).resync = resync;
            }
            Some(slot) if !self.active => {
                self.table.set_flag(slot, flag::REMOTE, true);
                self.table.get_mut(slot).resync = resync;
                // offered by this node, and from now on nothing here tells whether it is still in
                // the kernel: one look, which a walk under way is
                self.wanted.verify |= !self.is_tidying();
            }
            Some(_) => {}
            // tried again now and then, and nobody waits for it
            None if self.refused.contains(&hash) => {
                if resync % RESYNCS_PER_TRY == 0 {
                    self.ask_for(now_ns, hash);
                }
            }
            None => self.lose(now_ns, hash),
        }
    }

    /// The peer's kernel dropped them: they are sent again by the next resync, which is due.
    fn resend(&mut self, now_ns: u64, hashes: impl Iterator<Item = u64>) {
        for hash in hashes {
            self.counters.lost_there += 1;
            match self.table.find(hash) {
                Some(slot) => {
                    self.table.set_flag(slot, flag::SENT, false);
                    self.wanted.resync = true;
                }
                // it has gone: the peer waits for it until a resync has ended without it
                None => self.resync_soon(now_ns),
            }
        }
    }

    fn expect_here(&mut self, yes: bool, request: &[u8]) {
        if self.settings.expectations && (!self.active || self.peer_is_active()) {
            self.counters.expectations += 1;
            self.write(How::Expect(yes, request.to_vec()), Flow::default(), 0);
        }
    }

    // ---- verdicts

    /// The kernel took a batch of so many, less those that it refused.
    pub fn handle_written(&mut self, change: &Change) {
        let counters = &mut self.counters;
        match change.how {
            How::Create { .. } => counters.created += 1,
            How::Update { .. } => counters.updated += 1,
            How::Delete | How::DeleteReply => counters.deleted += 1,
            How::Refresh => counters.restored += 1,
            How::Loosen | How::Expect(..) => {}
        }
    }

    /// The kernel refused a change: often it can be had in another way.
    pub fn handle_refused(&mut self, now_ns: u64, change: Change, errno: i32) {
        if change.tries >= TRIES_MAX {
            return self.give_up(now_ns, &change, errno);
        }
        match (&change.how, errno) {
            (How::Expect(true, _), ENOENT) => self.adopt_later(change),
            (How::Delete | How::DeleteReply | How::Refresh | How::Loosen | How::Expect(..), _) => {}
            // What came later in the batch has removed it.
            _ if self.table.find(self.table.hash(&change.flow)).is_none() => {}
            (How::Create { exclusive: true }, EEXIST) => self.leave_alone(&change),
            (How::Create { .. }, EEXIST) => self.replace(change, How::DeleteReply),
            (How::Create { .. }, EOPNOTSUPP) if change.tries == 0 && !change.flow.is_plain() => {
                self.replace(change, How::Delete);
            }
            (How::Create { .. }, EOPNOTSUPP) if has(&change.flow, c::CTA_HELP) => {
                self.counters.refused_helper += 1;
                self.without(change, c::CTA_HELP);
            }
            (How::Create { .. }, ENOENT) if has(&change.flow, c::CTA_TUPLE_MASTER) => {
                self.adopt_later(change);
            }
            (How::Create { .. } | How::Update { with_status: true }, EBUSY) => {
                self.again(change, How::Update { with_status: false });
            }
            (How::Update { .. }, ENOENT) if change.whole => {
                self.again(change, How::Create { exclusive: false });
            }
            (How::Update { .. }, ENOENT) => self.miss(now_ns, &change),
            (How::Update { .. }, EPERM) => self.with_fixed_time(change),
            _ => self.give_up(now_ns, &change, errno),
        }
    }

    fn again(&mut self, mut change: Change, how: How) {
        change.how = how;
        change.tries += 1;
        self.actions.push_back(Action::Write(change));
    }

    /// Another flow is in its place: the peer's counts.
    fn replace(&mut self, change: Change, delete: How) {
        self.write(delete, change.flow.clone(), 0);
        self.again(change, How::Create { exclusive: false });
    }

    /// The kernel has a flow of this node's own by that name.
    fn leave_alone(&mut self, change: &Change) {
        self.counters.merged += 1;
        if let Some(slot) = self.table.find(self.table.hash(&change.flow)) {
            self.table.remove(slot);
        }
    }

    fn without(&mut self, mut change: Change, unwanted: u16) {
        change.flow.drop_attributes(|kind| kind == unwanted);
        let how = change.how.clone();
        self.again(change, how);
    }

    fn with_fixed_time(&mut self, mut change: Change) {
        change.flow.status |= status::FIXED_TIMEOUT;
        self.again(change, How::Update { with_status: true });
    }

    /// The kernel dropped it, and a part is too little to make it again.
    fn miss(&mut self, now_ns: u64, change: &Change) {
        let hash = self.table.hash(&change.flow);
        if let Some(slot) = self.table.find(hash) {
            self.table.remove(slot);
            self.counters.lost += 1;
            self.lose(now_ns, hash);
        }
    }

    /// Its master comes with later records, or not at all.
    fn adopt_later(&mut self, change: Change) {
        if self.orphans.len() < ORPHANS_MAX {
            self.orphans.push(change);
        } else {
            self.without(change, c::CTA_TUPLE_MASTER);
        }
    }

    /// While a resync goes on, the master may still come.
    pub(super) fn adopt(&mut self) {
        if self.peer.as_ref().is_some_and(|peer| peer.resync_begun) {
            return;
        }
        for change in std::mem::take(&mut self.orphans) {
            match (&change.how, change.tries) {
                // nobody's expectation is none
                (How::Expect(..), TRIES_MAX..) => {}
                (How::Expect(..), _) | (_, 0) => {
                    let how = change.how.clone();
                    self.again(change, how);
                }
                // a second refusal takes it without its master
                _ => self.without(change, c::CTA_TUPLE_MASTER),
            }
        }
    }

    fn give_up(&mut self, now_ns: u64, change: &Change, errno: i32) {
        let counters = &mut self.counters;
        match errno {
            ENOMEM => counters.refused_full += 1,
            EEXIST => counters.refused_exists += 1,
            EINVAL => counters.refused_invalid += 1,
            _ => counters.refused_other += 1,
        }
        let hash = self.table.hash(&change.flow);
        if let Some(slot) = self.table.find(hash) {
            self.table.remove(slot);
            if errno != ENOMEM && self.refused.len() < REFUSED_MAX {
                self.refused.insert(hash);
            }
        }
        if errno == ENOMEM {
            self.short += 1;
            self.complete &= self.active;
            self.warn_of_full_table(now_ns);
            self.tell_synchrony();
        } else {
            log::debug!("{}: {:?}: errno {errno}", change.flow.original, change.how);
        }
    }

    fn warn_of_full_table(&mut self, now_ns: u64) {
        if self
            .warned_full_ns
            .is_some_and(|at| now_ns < at + WARN_EVERY_NS)
        {
            return;
        }
        self.warned_full_ns = Some(now_ns);
        let text = format!(
            "the kernel's table is full: {} flows of the other node are not here; raise \
             net.netfilter.nf_conntrack_max",
            self.counters.refused_full
        );
        self.actions.push_back(Action::Warn(text));
    }
}

fn has(flow: &Flow, kind: u16) -> bool {
    attributes(&flow.extra).any(|(known, _)| known == kind)
}
