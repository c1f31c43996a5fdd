//! Verdicts of the peer on sent records, and the drain, which waits for all of them.

use crate::Drain;
use crate::outbox::InFlight;
use crate::session::Replica;
use crate::store::{Store, Tag};
use crate::table::{Phase, TableState};
use crate::wire::{Malformed, Ordinals, RECORDS_MAX, kind};

impl<S: Store> Replica<S> {
    pub(crate) fn handle_ack(
        &mut self,
        store: &mut S,
        applied: u64,
        ordinals: Ordinals<'_>,
    ) -> Result<(), Malformed> {
        if applied >= self.outbox.next() {
            return Err(Malformed::Field("ACK"));
        }
        let mut refused = ordinals.peekable();
        while self.outbox.acked < applied {
            let Some(in_flight) = self.outbox.in_flight.pop_front() else {
                break;
            };
            self.outbox.acked += 1;
            let ordinal = self.outbox.acked;
            let is_refused = refused.next_if_eq(&ordinal).is_some();
            match in_flight {
                InFlight::Record { table, key, .. } => {
                    self.tables[table].acknowledge(store, table, &key, ordinal, is_refused);
                }
                InFlight::Commit { table } => {
                    let refused = &mut self.tables[table].counters.refused_there;
                    *refused = (*refused).max(u32::from(is_refused));
                }
                InFlight::End { table, number } => {
                    let table = &mut self.tables[table];
                    if number == table.number && matches!(table.pair.phase, Phase::Serving) {
                        table.pair.is_snapshot_acked = true;
                        table.pair.had_snapshot = true;
                        table.offline.end_snapshot();
                        if table.counters.refused_here == 0 {
                            table.retry.reset();
                        }
                        self.garbage.handle_success();
                    }
                }
            }
        }
        Ok(())
    }

    /// Sends everything that is pending and asks the peer to confirm it; [`drain_state`](Self::drain_state) returns the answer.
    pub fn start_drain(&mut self) {
        self.drains.start(self.channel.is_up);
    }

    /// State of the last drain.
    pub fn drain_state(&self) -> Drain {
        self.drains.state()
    }

    /// Time of the peer's last drain in this channel: the peer's role is about to end.
    pub fn peer_drain_ns(&self) -> Option<u64> {
        self.drains.peer_drain_ns()
    }

    pub(crate) fn make_drain(&mut self) -> bool {
        let waits = |it: &TableState<S>| {
            it.is_common()
                && !self.is_left_out(it)
                && (it.is_walking()
                    || matches!(it.pair.phase, Phase::Idle)
                    || !it.changes.queue.is_empty()
                    || !it.latest.queue.is_empty())
        };
        if !self.drains.is_due() || self.tables.iter().any(waits) {
            return false;
        }
        let id = self.drains.take_request();
        self.begin(kind::DRAIN, 0);
        self.out.put(&id.to_be_bytes());
        true
    }

    /// True if the peer has passed over a table, whose preface it does not accept: it offers its tables in their order,
    /// and has offered a later one.
    fn is_left_out(&self, table: &TableState<S>) -> bool {
        let place = |it: &TableState<S>| it.peer.as_ref().map(|peer| peer.id);
        let was_offered = |it: &TableState<S>| {
            it.is_common()
                && it.role.is_decider
                && !matches!(it.pair.phase, Phase::Idle | Phase::AwaitingOffer)
        };
        let is_later = |it: &&TableState<S>| place(it) > place(table);
        matches!(table.pair.phase, Phase::AwaitingOffer)
            && self.tables.iter().filter(is_later).any(was_offered)
    }

    /// Answers the peer's drain once every record before it has its verdict.
    pub(crate) fn answer_drain(&mut self) {
        if let Some((id, ordinal)) = self.inbox.drain {
            if self.inbox.settled >= ordinal || self.inbox.is_settled_except_staged() {
                self.inbox.drain = None;
                self.drains.answer(id);
            }
        }
    }

    /// True if every received record has its verdict, as required before addresses move here. Records of a whole state
    /// whose end has not arrived do not count.
    pub fn is_settled(&self) -> bool {
        self.inbox.is_settled_except_staged()
    }

    /// True if the owner may pass the next message. Otherwise the owner leaves it in the channel, which fills up, so
    /// that the peer waits.
    pub fn can_receive(&self, store: &S) -> bool {
        // messages after a whole state are not part of it
        let is_held = self.tables.iter().any(|it| it.transfer.is_held());
        let has_room = store.room() >= RECORDS_MAX && !self.inbox.is_full(self.config.window);
        has_room && !is_held
    }
}

impl<S: Store> TableState<S> {
    fn acknowledge(
        &mut self,
        store: &mut S,
        index: usize,
        key: &S::Key,
        ordinal: u64,
        is_refused: bool,
    ) {
        let is_last = if self.changes.pending.is_empty() {
            true
        } else {
            match self.changes.pending.get(key) {
                None => true,
                Some(it) => !it.dirty && it.ordinal == ordinal,
            }
        };
        if is_last {
            self.changes.remove(key);
        }
        let refused = self.counters.refused_there;
        self.counters.refused_there = refused.saturating_add(u32::from(is_refused));
        let is_decider = self.role.is_decider;
        let Some(tag) = store.tag(index, key) else {
            return;
        };
        if is_decider {
            // a record sent by the decider is no longer a stray
            tag.clear(Tag::STRAY);
            if !is_refused {
                tag.stamp = self.stamp;
            }
        }
        let stray = tag.flags & Tag::STRAY;
        match (is_refused, is_last) {
            (true, _) => {
                tag.clear(Tag::SHARED);
                tag.set(Tag::REFUSED);
            }
            (false, true) => tag.flags = Tag::SHARED | stray,
            (false, false) => tag.set(Tag::SHARED),
        }
    }
}
