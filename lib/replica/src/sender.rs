//! Makes the next message to the peer from the present state.

use crate::SECOND;
use crate::commit::ListRequest;
use crate::outbox::{InFlight, SendReason};
use crate::session::Replica;
use crate::sink::{Sink, Walk};
use crate::store::{Authority, Key, Step, Store};
use crate::table::{Phase, TableState};
use crate::wire::{Head, RECORDS_MAX, VERSION, flag, how, kind};

/// Time between looks at the numbers of records while nothing happens that would change them.
const REST_NS: u64 = 10 * SECOND;
/// Maximum number of keys in one REQUEST.
const KEYS_MAX: usize = if cfg!(test) { 2 } else { 200 };
/// Maximum number of refused ordinals in one ACK.
const ORDINALS_MAX: usize = if cfg!(test) { 2 } else { 4_096 };
/// Maximum number of changes in one message.
const CHANGES_MAX: usize = if cfg!(test) { 2 } else { RECORDS_MAX };

impl<S: Store> Replica<S> {
    /// Returns the message that waits for the channel: the same one until [`sent`](Self::sent) is called. None: there
    /// is nothing to send now.
    pub fn poll_message(&mut self, now_ns: u64, store: &mut S) -> Option<&[u8]> {
        if !self.channel.is_up {
            return None;
        }
        self.refresh(store);
        if self.out.is_empty() {
            self.sending.is_busy = false;
            self.prune(now_ns, store);
            self.make(now_ns, store);
        }
        (!self.out.is_empty()).then(|| self.out.bytes())
    }

    /// Reports that the channel has taken the message of the last `poll_message`; its bytes are wiped.
    pub fn sent(&mut self) {
        self.out.clear();
    }

    fn make(&mut self, now_ns: u64, store: &mut S) {
        if std::mem::take(&mut self.channel.hello_due) {
            return self.make_hello(store);
        }
        if self.garbage.take_again_due() {
            self.begin(kind::AGAIN, 0);
            return self.out.put(&self.garbage.counts().0.to_be_bytes());
        }
        if let Some(pair) = self.role_due() {
            return self.make_role(pair);
        }
        if !self.serial_pair.is_on() {
            return;
        }
        if self.inbox.ack_due {
            return self.make_ack();
        }
        if let Some(id) = self.drains.take_answer() {
            self.begin(kind::DRAINED, 0);
            return self.out.put(&id.to_be_bytes());
        }
        // a request may concern a state that this COMMIT ends
        let made = self.make_commit(store) || self.make_request();
        let made = made || self.make_in_turn(now_ns, store);
        let made = made || self.make_drain();
        if !made {
            self.make_count(now_ns, store);
        }
    }

    pub(crate) fn begin(&mut self, kind: u8, table: usize) {
        let head = Head {
            table: table as u8,
            serial: self.serial,
            answers: self.peer.as_ref().map_or(0, |peer| peer.serial),
            applied: self.inbox.processed,
        };
        self.out.begin(kind, head);
    }

    fn make_hello(&mut self, store: &mut S) {
        self.begin(kind::HELLO, 0);
        self.out.put(&VERSION.to_be_bytes());
        self.out.put(&self.config.run.to_be_bytes());
        self.out.put(&self.config.node.to_be_bytes());
        for (index, table) in self.tables.iter_mut().enumerate() {
            let Some(incarnation) = table.incarnation else {
                continue;
            };
            let offset = self.out.offset();
            table.transfer.is_list_announced = table.transfer.is_list;
            self.out.put(&[index as u8]);
            self.out.put(&incarnation.to_be_bytes());
            self.out.put_short(table.config.name.as_bytes());
            let fits = self.out.put_value(|out| store.preface(index, out));
            if fits {
                self.out.count()
            } else {
                self.out.truncate(offset)
            }
        }
    }

    fn make_role(&mut self, pair: (u32, u32)) {
        self.channel.role_sent = Some(pair);
        self.begin(kind::ROLE, 0);
        for group in &self.active {
            self.out.put_short(group.as_bytes());
            self.out.count();
        }
    }

    fn make_ack(&mut self) {
        // an ACK without all ordinals up to its number would say that those records are there
        let limit = self.inbox.refused.len().min(ORDINALS_MAX);
        let rest = self.inbox.refused.split_off(limit);
        let refused = std::mem::replace(&mut self.inbox.refused, rest);
        let next = self.inbox.refused.first();
        let settled = next.map_or(self.inbox.settled, |ordinal| ordinal - 1);
        self.inbox.ack_due = next.is_some();
        self.begin(kind::ACK, 0);
        self.out.put(&settled.to_be_bytes());
        for ordinal in refused {
            self.out.put(&ordinal.to_be_bytes());
            self.out.count();
        }
    }

    fn make_request(&mut self) -> bool {
        let asks = |it: &TableState<S>| {
            let ready =
                !it.role.is_decider && it.is_common() && !matches!(it.pair.phase, Phase::Idle);
            ready && (it.pair.requests.all || !it.pair.requests.keys.is_empty())
        };
        let Some(index) = self.tables.iter().position(asks) else {
            return false;
        };
        self.begin(kind::REQUEST, index);
        let table = &mut self.tables[index];
        let requests = &mut table.pair.requests;
        if std::mem::take(&mut requests.all) {
            if table.transfer.list_request == ListRequest::Requested {
                self.out.put(&[how::VALUES, 0]);
                self.out.count();
            }
            return true;
        }
        let count = requests.keys.len().min(KEYS_MAX);
        for (how, key) in requests.keys.drain(..count) {
            self.out.put(&[how]);
            self.out.put_key(|out| key.write(out));
            self.out.count();
        }
        true
    }

    /// Makes a message of changes, of a walk, or of newest values, in turn.
    fn make_in_turn(&mut self, now_ns: u64, store: &mut S) -> bool {
        for _ in 0..3 {
            self.sending.turn = (self.sending.turn + 1) % 3;
            let made = match self.sending.turn {
                0 => self.make_changes(now_ns, store),
                1 => self.make_walk(now_ns, store),
                _ => self.make_latest(store),
            };
            if made {
                return true;
            }
        }
        false
    }

    fn make_changes(&mut self, now_ns: u64, store: &mut S) -> bool {
        if !self.outbox.has_room(self.config.window) {
            return false;
        }
        for index in 0..self.tables.len() {
            if !self.tables[index].may_send_changes() || self.tables[index].changes.queue.is_empty()
            {
                continue;
            }
            self.begin(kind::RECORDS, index);
            let mut count = 0;
            while count < CHANGES_MAX && self.out.fits_record() {
                let Some(key) = self.tables[index].changes.queue.pop_front() else {
                    break;
                };
                count += usize::from(self.put_change(now_ns, store, index, key));
            }
            if count > 0 {
                return true;
            }
            self.out.clear();
        }
        false
    }

    /// Puts one change into the message; false if it is no longer needed.
    fn put_change(&mut self, now_ns: u64, store: &mut S, index: usize, key: S::Key) -> bool {
        let table = &mut self.tables[index];
        let Some(pending) = table.changes.pending.get_mut(&key) else {
            return false;
        };
        if !pending.dirty {
            return false;
        }
        if table.role.is_decider {
            if let Some(write) = table.pair.pending_writes.get_mut(&key) {
                // the peer's value is being written: the change is sent after that verdict
                (pending.dirty, pending.ordinal, write.is_touched) = (false, u64::MAX, true);
                return false;
            }
        }
        let is_here = store.tag(index, &key).is_some();
        let is_correction = pending.why == SendReason::Correction;
        if is_correction && store.authority(index, &key) != Authority::Ours {
            // the role that it was for has left
            table.changes.pending.remove(&key);
            return false;
        }
        if pending.why == SendReason::Put && !is_here {
            // the record expired, or belonged to the store's last incarnation
            table.changes.pending.remove(&key);
            return false;
        }
        let gone = pending.why == SendReason::Deleted || !is_here;
        let mut flags = if gone { flag::GONE } else { 0 };
        if is_correction {
            flags |= flag::CORRECTION;
        }
        let offset = self.out.offset();
        self.out.put_flags(flags, None);
        let mut fits = self.out.put_key(|out| key.write(out));
        if !gone {
            let mut known = true;
            fits &= self
                .out
                .put_value(|out| known = store.encode(index, &key, out));
            fits &= known;
        }
        if !fits {
            self.out.truncate(offset);
            table.counters.too_long += 1;
            table.changes.pending.remove(&key);
            return false;
        }
        self.out.count();
        table.transfer.uncommitted = true;
        (pending.dirty, pending.ordinal) = (false, self.outbox.next());
        self.outbox.in_flight.push_back(InFlight::Record {
            table: index,
            key,
            since_ns: now_ns.min(pending.since_ns),
        });
        true
    }

    fn make_walk(&mut self, now_ns: u64, store: &mut S) -> bool {
        for index in 0..self.tables.len() {
            let table = &mut self.tables[index];
            let made = match table.pair.phase {
                // offered records without a verdict would be missing in the snapshot
                Phase::BeginDue if self.inbox.settled < table.pair.last_offered => false,
                Phase::BeginDue => self.make_begin(store, index),
                Phase::EndDue => self.make_end(index),
                Phase::OfferDue => self.make_offered(index),
                Phase::Walking(_) | Phase::Offering(_) => self.make_portion(now_ns, store, index),
                _ => false,
            };
            if made || self.tables[index].has_walk() {
                return made;
            }
        }
        false
    }

    fn make_begin(&mut self, store: &mut S, index: usize) -> bool {
        let table = &mut self.tables[index];
        table.number = table.number.wrapping_add(1);
        table.pair.phase = Phase::Walking(S::Cursor::default());
        (
            table.pair.is_snapshot_acked,
            table.transfer.walk_sent_values,
        ) = (false, false);
        table.offline.begin_snapshot();
        if std::mem::take(&mut table.pair.sends_values_next) {
            table.next_stamp();
            table.shared_flags.are_outdated = true;
        }
        let lacks = table.counters.refused_there > 0 || table.counters.too_long > 0;
        table.pair.had_snapshot &= !lacks;
        // the walk counts them again
        (table.counters.refused_there, table.counters.too_long) = (0, 0);
        table.counters.resyncs += 1;
        let number = table.number;
        self.begin(kind::BEGIN, index);
        self.out.put(&number.to_be_bytes());
        self.out.put(&(store.len(index) as u64).to_be_bytes());
        true
    }

    fn make_end(&mut self, index: usize) -> bool {
        let table = &mut self.tables[index];
        let number = table.number;
        table.pair.phase = Phase::Serving;
        // the peer deletes the records that were not named
        table.transfer.uncommitted = true;
        if table.pair.queued_snapshots > 0 {
            table.pair.queued_snapshots -= 1;
            table.pair.phase = Phase::BeginDue;
        }
        self.outbox.in_flight.push_back(InFlight::End {
            table: index,
            number,
        });
        self.begin(kind::END, index);
        self.out.put(&number.to_be_bytes());
        true
    }

    /// Puts a portion of an offer or a snapshot into the message; false if it is empty.
    fn make_portion(&mut self, now_ns: u64, store: &mut S, index: usize) -> bool {
        if !self.outbox.has_room(self.config.window) {
            return false;
        }
        let phase = std::mem::replace(&mut self.tables[index].pair.phase, Phase::Idle);
        let (walk, mut cursor) = match phase {
            Phase::Walking(cursor) => (Walk::Snapshot, cursor),
            Phase::Offering(cursor) => (Walk::Offer, cursor),
            phase => {
                self.tables[index].pair.phase = phase;
                return false;
            }
        };
        self.begin(
            match walk {
                Walk::Snapshot => kind::RECORDS,
                Walk::Offer => kind::OFFER,
            },
            index,
        );
        let table = &mut self.tables[index];
        let mut sink = Sink {
            walk,
            now_ns,
            table: index,
            first_ordinal: self.outbox.next(),
            out: &mut self.out,
            in_flight: &mut self.outbox.in_flight,
            pending: &mut table.changes.pending,
            offline: &table.offline,
            pending_writes: &table.pair.pending_writes,
            are_flags_outdated: table.shared_flags.are_outdated,
            stamp: table.stamp,
            seen: 0,
            puts: 0,
            too_long: &mut table.counters.too_long,
        };
        let step = store.snapshot(index, &mut cursor, &mut sink);
        let has_puts = sink.puts > 0;
        table.transfer.uncommitted |= has_puts;
        table.transfer.walk_sent_values |= has_puts;
        if step == Step::Done {
            table.note_flags_current();
        }
        table.pair.phase = match (walk, step) {
            (Walk::Snapshot, Step::Done) => Phase::EndDue,
            (Walk::Snapshot, _) => Phase::Walking(cursor),
            (Walk::Offer, Step::Done) => Phase::OfferDue,
            (Walk::Offer, _) => Phase::Offering(cursor),
        };
        if !self.out.has_only_head() {
            return true;
        }
        self.out.clear();
        match (walk, step) {
            (Walk::Snapshot, Step::Done) => self.make_end(index),
            (Walk::Offer, Step::Done) => self.make_offered(index),
            (_, Step::More) => {
                self.sending.is_busy = true;
                false
            }
            (_, Step::Pending) => false,
        }
    }

    fn make_offered(&mut self, index: usize) -> bool {
        self.tables[index].pair.phase = Phase::Offered;
        self.begin(kind::OFFERED, index);
        true
    }

    fn make_latest(&mut self, store: &mut S) -> bool {
        for index in 0..self.tables.len() {
            if !self.tables[index].may_send_changes() || self.tables[index].latest.queue.is_empty()
            {
                continue;
            }
            self.begin(kind::LATEST, index);
            while self.out.fits_record() {
                let Some(key) = self.tables[index].latest.pop() else {
                    break;
                };
                let offset = self.out.offset();
                self.out.put_flags(0, None);
                let mut fits = self.out.put_key(|out| key.write(out));
                let mut known = true;
                fits &= self
                    .out
                    .put_value(|out| known = store.encode_latest(index, &key, out));
                if fits && known {
                    self.out.count()
                } else {
                    self.out.truncate(offset)
                }
            }
            if !self.out.has_only_head() {
                return true;
            }
            self.out.clear();
        }
        false
    }

    /// Makes a COUNT due within a second of a change, although the channel may take none for a long time, and otherwise
    /// each [`REST_NS`]: a look at a replica at rest wakes its process for nothing.
    pub(crate) fn update_count_due(&mut self, now_ns: u64) {
        if now_ns >= self.sending.count_due_ns {
            self.sending.count_looked_ns = now_ns;
            self.sending.count_due_ns = now_ns.saturating_add(REST_NS);
            self.sending.count_due = true;
        }
    }

    /// Reports the numbers of records and refusals to the peer within a second. The owner calls it when something changes
    /// that only its store knows ([`Store::refused`]).
    pub fn report_counts_soon(&mut self) {
        let due_ns = self.sending.count_looked_ns.saturating_add(SECOND);
        self.sending.count_due_ns = self.sending.count_due_ns.min(due_ns);
    }

    fn make_count(&mut self, now_ns: u64, store: &mut S) {
        self.update_count_due(now_ns);
        if !std::mem::take(&mut self.sending.count_due) {
            return;
        }
        for index in 0..self.tables.len() {
            let table = &mut self.tables[index];
            let count = (store.len(index) as u64, table.refused_here(store, index));
            if table.is_common() && table.counters.sent_counts != Some(count) {
                table.counters.sent_counts = Some(count);
                self.begin(kind::COUNT, index);
                self.out.put(&count.0.to_be_bytes());
                self.out.put(&count.1.to_be_bytes());
                // the next table's turn comes at once
                self.sending.count_due = true;
                return;
            }
        }
    }

    /// Puts a key on the lane of newest values: one value waits, however often it changes, also while the roles are
    /// agreed again. Values already sent are lost then, as with the channel: each pair begins with a walk of the store,
    /// which may put its keys here again.
    pub fn latest(&mut self, index: usize, key: S::Key) {
        let sends_changes = self.sends_changes(index);
        if let Some(table) = self.tables.get_mut(index).filter(|_| sends_changes) {
            table.latest.note(key);
        }
    }

    /// Number of snapshots that wait behind the present ones.
    #[cfg(test)]
    pub(crate) fn snapshots_waiting(&self) -> u32 {
        self.tables
            .iter()
            .map(|it| it.pair.queued_snapshots)
            .max()
            .unwrap_or(0)
    }
}

impl<S: Store> TableState<S> {
    /// Notes that a walk has passed all flags: they refer to the peer's present incarnation.
    fn note_flags_current(&mut self) {
        self.shared_flags.peer_incarnation = self.peer.as_ref().map(|peer| peer.incarnation);
        self.shared_flags.are_outdated = false;
    }
}
