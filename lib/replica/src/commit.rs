//! Whole states: the records sent for a table count when their COMMIT has arrived, all at once.
//!
//! A COMMIT has a digest of all records. A list is put in force only if it has that digest. So neither two lists that
//! were made at the same time, nor records that refer to a list that is missing here, become a mixture.

use crate::inbox::Slot;
use crate::outbox::InFlight;
use crate::session::Replica;
use crate::store::{Commit, Store, Table, Token};
use crate::table::{Phase, TableState};
use crate::wire::{CommitTable, Malformed, commit, kind};

/// Maximum number of records that are requested one by one when a backup's list is undone.
const STRAYS_MAX: usize = if cfg!(test) { 2 } else { 1_000 };

/// Progress of the request for the decider's whole list, because the decider's records refer to another list than this
/// node's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ListRequest {
    #[default]
    Idle,
    Requested,
    Receiving,
}

/// State of the transfer of whole states, of both halves of a table. A pair's end resets all but the two flags of the
/// list.
#[derive(Debug, Default)]
pub(crate) struct Transfer {
    /// True if the table is one list as a whole; the second flag is true if HELLO has said so.
    pub is_list: bool,
    pub is_list_announced: bool,
    /// True if something was sent that no COMMIT has ended yet.
    pub uncommitted: bool,
    /// True if the present walk has sent records by value: until it ends, the common records may be parts of two states.
    pub walk_sent_values: bool,
    /// True if a list replaced another here, and no COMMIT has said so.
    has_new_list: bool,
    /// Ordinal of the last COMMIT that reported a replaced list.
    list_commit_ordinal: u64,
    /// Number of this node's records that the peer had handled when it began its present state.
    pub handled_at_begin: Option<u64>,
    pub list_request: ListRequest,
    /// State of the peer that waits for the deletions of the snapshot before it.
    held_commit: Option<ReceivedCommit>,
}

/// One table of a COMMIT of the peer: the description of the state that it ends.
#[derive(Clone, Copy, Debug)]
struct ReceivedCommit {
    ordinal: u64,
    handled_at_begin: u64,
    generation: u32,
    flags: u8,
    digest: u64,
}

/// Decision on a state of the peer.
enum CommitVerdict {
    Take,
    /// Records are still to arrive: the next COMMIT decides.
    Wait,
    Drop,
}

impl ReceivedCommit {
    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

impl Transfer {
    /// Handles the end of a pair.
    pub fn end_pair(&mut self) {
        *self = Self {
            is_list: self.is_list,
            is_list_announced: self.is_list_announced,
            ..Self::default()
        };
    }

    /// True if this node has a list that the peer may not have.
    fn has_unacknowledged_list(&self, acked: u64) -> bool {
        self.has_new_list || acked < self.list_commit_ordinal
    }

    /// True if a state of the peer waits for deletions.
    pub fn is_held(&self) -> bool {
        self.held_commit.is_some()
    }
}

impl<S: Store> Replica<S> {
    /// True if a part of a table was sent, or is pending, that no COMMIT has ended. The owner holds back its next state
    /// until then, so that a state becomes whole.
    pub fn is_uncommitted(&self, table: Table) -> bool {
        let table = self.tables.get(table).filter(|_| self.serial_pair.is_on());
        table.is_some_and(|it| {
            it.is_common() && (it.transfer.uncommitted || !it.changes.queue.is_empty())
        })
    }

    /// True if this node decides on the table and the peer has everything that was sent of it.
    pub fn is_acknowledged(&self, table: Table) -> bool {
        let is_acked = self.outbox.in_flight.is_empty() && !self.is_uncommitted(table);
        let table = self
            .tables
            .get(table)
            .filter(|_| self.serial_pair.is_on() && is_acked);
        table.is_some_and(|it| it.role.is_decider && it.is_common() && it.is_at_end())
    }

    /// Ends the sent records with a COMMIT: of all tables together, so that records that changed together count
    /// together.
    pub(crate) fn make_commit(&mut self, store: &mut S) -> bool {
        let is_cramped = !self.outbox.has_room(self.config.window);
        let waits = |it: &TableState<S>| it.may_send_changes() && !it.changes.queue.is_empty();
        if !is_cramped && self.tables.iter().any(waits) {
            return false;
        }
        let is_end =
            |it: &TableState<S>, index: Table| it.is_at_end() && store.is_complete_state(index);
        let tables = self.tables.iter().enumerate();
        let due = tables.filter(|(index, it)| {
            let is_due = is_cramped || is_end(it, *index);
            it.transfer.uncommitted && store.takes_whole_states(*index) && is_due
        });
        let due = due.map(|(index, it)| (index, is_end(it, index)));
        let due: Vec<(Table, bool)> = due.collect();
        if due.is_empty() {
            return false;
        }
        self.begin(kind::COMMIT, 0);
        self.out.put(&store.generation().to_be_bytes());
        for (index, is_end) in due {
            let transfer = &mut self.tables[index].transfer;
            transfer.uncommitted = false;
            let mut flags = if is_end { 0 } else { commit::PART };
            flags |= if transfer.is_list { commit::LIST } else { 0 };
            flags |= match transfer.list_request {
                ListRequest::Idle => 0,
                ListRequest::Requested | ListRequest::Receiving => commit::ASKING,
            };
            if is_end && std::mem::take(&mut transfer.has_new_list) {
                flags |= commit::REPLACED;
                transfer.list_commit_ordinal = self.outbox.next();
            }
            self.out.put(&[index as u8, flags]);
            self.out.put(&store.state_digest(index).to_be_bytes());
            self.out.count();
            self.outbox
                .in_flight
                .push_back(InFlight::Commit { table: index });
        }
        true
    }

    pub(crate) fn handle_commit(
        &mut self,
        now_ns: u64,
        store: &mut S,
        applied: u64,
        generation: u32,
        tables: &[CommitTable],
    ) -> Result<(), Malformed> {
        let mut received_commits = Vec::new();
        for it in tables {
            let index = TableState::index_at_peer(&self.tables, it.table);
            let index = index.ok_or(Malformed::Table(it.table))?;
            let table = &mut self.tables[index];
            if !table.is_common() || !store.takes_whole_states(index) {
                self.inbox.push(Slot::Done);
                continue;
            }
            if it.flags & commit::LIST != 0 {
                store.set_list(index);
                table.transfer.is_list = true;
            }
            let received = ReceivedCommit {
                ordinal: self.inbox.next(),
                handled_at_begin: table.transfer.handled_at_begin.take().unwrap_or(applied),
                generation,
                flags: it.flags,
                digest: it.digest,
            };
            self.inbox.push(Slot::Commit { table: index });
            match table.pair.phase {
                Phase::Pruning(_) => {
                    if let Some(before) = table.transfer.held_commit.replace(received) {
                        self.inbox.resolve(before.ordinal, Slot::Done);
                    }
                }
                _ => received_commits.push((index, received)),
            }
        }
        self.decide_states(now_ns, store, received_commits);
        Ok(())
    }

    /// Decides on the state that waited for a snapshot's deletions, which are done.
    pub(crate) fn decide_held(&mut self, now_ns: u64, store: &mut S, index: Table) {
        if let Some(received) = self.tables[index].transfer.held_commit.take() {
            self.decide_states(now_ns, store, vec![(index, received)]);
        }
    }

    /// Puts states of the peer in force, all at once, or drops them.
    fn decide_states(
        &mut self,
        now_ns: u64,
        store: &mut S,
        received_commits: Vec<(Table, ReceivedCommit)>,
    ) {
        let mut due = Vec::new();
        for (index, received) in received_commits {
            let verdict = self.judge_commit(store, index, &received);
            let table = &mut self.tables[index];
            match verdict {
                CommitVerdict::Take => {
                    let is_list = table.expects_list(&received);
                    table.note_in_force();
                    due.push(Commit {
                        table: index,
                        token: Token {
                            pair: self.serial_pair.number(),
                            ordinal: received.ordinal,
                        },
                        generation: received.generation,
                        is_list,
                    });
                    continue;
                }
                // retries later, because an answer may never come
                CommitVerdict::Wait => table.retry.arm(now_ns),
                CommitVerdict::Drop => self.drop_state(now_ns, store, index),
            }
            self.inbox.resolve(received.ordinal, Slot::Done);
        }
        if !due.is_empty() {
            store.commit(&due);
        }
        self.inbox.settle();
        self.begin_prune();
        self.answer_drain();
    }

    fn judge_commit(&self, store: &S, index: Table, received: &ReceivedCommit) -> CommitVerdict {
        let table = &self.tables[index];
        let transfer = &table.transfer;
        if transfer.list_request == ListRequest::Requested {
            // the snapshot brings all records
            return CommitVerdict::Drop;
        }
        if table.is_made_for_another_list(received) {
            return CommitVerdict::Drop;
        }
        if !table.expects_list(received) {
            return CommitVerdict::Take;
        }
        if received.has(commit::PART) {
            return CommitVerdict::Wait;
        }
        // the peer does not know this node's list: records outside the digest may differ
        let is_blind =
            transfer.has_new_list || received.handled_at_begin < transfer.list_commit_ordinal;
        let is_blind = is_blind || received.has(commit::ASKING);
        if received.has(commit::REPLACED) && is_blind {
            return CommitVerdict::Drop;
        }
        let is_compared = transfer.list_request == ListRequest::Receiving;
        let is_compared = is_compared && matches!(table.pair.phase, Phase::Receiving);
        if is_compared || !table.pair.requests.is_empty() {
            return CommitVerdict::Wait;
        }
        let is_known = store.has_all_changes(index);
        if is_known && received.digest == store.staged_digest(index) {
            return CommitVerdict::Take;
        }
        // this node has just changed single records: the decider may not have had them yet
        let has_changes = !table.changes.pending.is_empty();
        let has_changes = has_changes && !transfer.has_unacknowledged_list(self.outbox.acked);
        if !table.role.is_decider && (has_changes || !is_known) {
            CommitVerdict::Wait
        } else {
            CommitVerdict::Drop
        }
    }

    /// Drops the peer's state. The decider's list holds: the decider announces it with its next COMMIT, and the
    /// follower requests all of it.
    fn drop_state(&mut self, now_ns: u64, store: &mut S, index: Table) {
        let tokens = store.abandon(index, false);
        self.settle_dropped(now_ns, store, index, &tokens);
        let acked = self.outbox.acked;
        let table = &mut self.tables[index];
        if table.role.is_decider {
            // an offer of equal records costs nothing
            if !tokens.is_empty() {
                table.conflicts.count();
            }
            table.transfer.uncommitted = true;
            return;
        }
        let gives_up = table.transfer.has_unacknowledged_list(acked);
        match table.transfer.list_request {
            ListRequest::Requested => {}
            list_request => {
                if gives_up {
                    table.conflicts.count();
                }
                table.request_snapshot(now_ns, gives_up, list_request == ListRequest::Receiving);
            }
        }
    }

    /// Settles records that waited for the end of a state, and that the store has dropped.
    fn settle_dropped(&mut self, now_ns: u64, store: &mut S, index: Table, tokens: &[Token]) {
        for token in tokens {
            let slot = self.inbox.get(token.ordinal);
            if let Some(Slot::Staged { key, .. }) = slot {
                let key = key.clone();
                let table = &mut self.tables[index];
                // a change of the decider's own waited for this one
                if table.end_write(&key) && table.role.is_decider {
                    table.repair(now_ns, store, index, &key);
                }
            }
            self.inbox.resolve(token.ordinal, Slot::Done);
        }
        self.inbox.settle();
        self.begin_prune();
        self.answer_drain();
    }

    /// Puts the decider's deletions in force that follow a deletion on the follower: no COMMIT ends a REQUEST.
    pub(crate) fn commit_deletions(&mut self, store: &mut S, index: Table) {
        let token = Token {
            pair: self.serial_pair.number(),
            // no record: nobody waits for the verdict
            ordinal: 0,
        };
        store.commit(&[Commit {
            table: index,
            token,
            generation: store.generation(),
            is_list: false,
        }]);
    }

    /// Reports that whole states of the peer were not put in force, because others changed this node's store meanwhile
    /// in a way that the states do not expect. `tokens` are all tokens that waited for these states.
    pub fn states_outdated(&mut self, now_ns: u64, store: &mut S, index: Table, tokens: &[Token]) {
        let is_present = |it: &&Token| self.serial_pair.is_current(it.pair);
        let present: Vec<Token> = tokens.iter().filter(is_present).copied().collect();
        for token in tokens {
            self.earlier_writes.remove(token);
        }
        if present.is_empty() {
            return self.begin_pair_if_due();
        }
        self.settle_dropped(now_ns, store, index, &present);
        self.drop_state(now_ns, store, index);
    }

    /// Handles the verdict on a whole state: in force, or refused.
    pub(crate) fn handle_commit_verdict(&mut self, index: Table, ordinal: u64, is_applied: bool) {
        let verdict = if is_applied {
            Slot::Done
        } else {
            Slot::Refused
        };
        self.inbox.resolve(ordinal, verdict);
        let table = &mut self.tables[index];
        if !is_applied {
            // its records have been counted, but a state may consist of deletions alone
            table.counters.refused_here = table.counters.refused_here.max(1);
        }
        if table.counters.refused_here == 0 && table.transfer.list_request == ListRequest::Idle {
            table.retry.reset();
        }
        self.inbox.settle();
        self.begin_prune();
        self.answer_drain();
    }

    /// Reports that one list replaced another at this node, after the changes of its single records. A backup's list is
    /// undone: record by record, or as a whole if there are many.
    pub fn list_replaced(&mut self, now_ns: u64, store: &mut S, index: Table) {
        let undoes_changes = self.undoes_changes(store, index);
        let Some(table) = self.tables.get_mut(index) else {
            return;
        };
        table.transfer.is_list = true;
        if !self.serial_pair.is_on() || !table.is_common() {
            return;
        }
        if !undoes_changes {
            table.transfer.has_new_list = true;
        } else if table.pair.requests.is_more_than(STRAYS_MAX) {
            table.request_snapshot(now_ns, false, false);
        }
    }

    /// Drops the records that wait for their COMMIT when a pair ends: the last whole state stays.
    pub(crate) fn abandon(&mut self, store: &mut S) {
        if !self.serial_pair.take_ended() {
            return;
        }
        for index in 0..self.tables.len() {
            for token in store.abandon(index, true) {
                self.earlier_writes.remove(&token);
            }
        }
        self.begin_pair_if_due();
    }
}

impl<S: Store> TableState<S> {
    /// Requests all of the decider's records by value, at once or after a pause. The follower puts nothing in force
    /// until they have arrived. With `gives_up` its own list does not hold.
    fn request_snapshot(&mut self, now_ns: u64, gives_up: bool, pauses: bool) {
        if gives_up {
            self.changes.clear();
            // the part that was sent must not become a state: its COMMIT gets a digest that no state has
            self.transfer.has_new_list = self.transfer.uncommitted;
            self.transfer.list_commit_ordinal = 0;
        }
        self.pair.requests.clear();
        self.transfer.list_request = ListRequest::Requested;
        if pauses {
            self.retry.arm(now_ns)
        } else {
            self.pair.requests.all = true
        }
    }

    /// True if a state is a list: the decider's always is, the follower's only if it replaced another.
    fn expects_list(&self, received: &ReceivedCommit) -> bool {
        received.has(commit::REPLACED) || (self.transfer.is_list && !self.role.is_decider)
    }

    /// True if a follower's single records do not refer to this decider's list: they are an offer that began before this
    /// node knew of its list, or come from a node that still waits for it.
    fn is_made_for_another_list(&self, received: &ReceivedCommit) -> bool {
        let is_early = matches!(self.pair.phase, Phase::AwaitingOffer | Phase::BeginDue);
        let is_early = is_early || received.has(commit::ASKING);
        self.role.is_decider && self.transfer.is_list && !received.has(commit::REPLACED) && is_early
    }

    /// Notes that the peer's records are in force.
    fn note_in_force(&mut self) {
        let is_compared = matches!(self.pair.phase, Phase::Following);
        if self.transfer.list_request == ListRequest::Receiving && is_compared {
            self.transfer.list_request = ListRequest::Idle;
        }
    }

    /// True if the sent records are a state of the table when nothing is pending: not within an offer, nor within a
    /// snapshot that has put records.
    fn is_at_end(&self) -> bool {
        match self.pair.phase {
            Phase::Walking(_) | Phase::EndDue => {
                self.pair.had_snapshot && !self.transfer.walk_sent_values
            }
            Phase::Offering(_) | Phase::OfferDue | Phase::Idle => false,
            _ => true,
        }
    }
}
