//! Whole states: the records sent for a table count when their COMMIT has arrived, all at once.
//!
//! A COMMIT has a digest of all records. A list is put in force only if it has that digest. So neither two lists that
//! were made at the same time, nor records that refer to a list that is missing here, become a mixture.

use crate::inbox::Slot;
use crate::outbox::Flight;
use crate::session::Replica;
use crate::store::{Commit, Store, Table, Token};
use crate::table::{Phase, TableState};
use crate::wire::{CommitTable, Malformed, commit, kind};

/// Maximum number of records that are requested one by one when a backup's list is undone.
const STRAYS_MAX: usize = if cfg!(test) { 2 } else { 1_000 };

/// Progress of a comparison that was requested because the decider's records refer to another list than this node's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Awaited {
    #[default]
    Nothing,
    Asked,
    Begun,
}

/// State of the transfer of whole states, of both halves of a table. A pair's end resets all but the two flags of the
/// list.
#[derive(Debug, Default)]
pub(crate) struct Transfer {
    /// True if the table is one list as a whole; the second flag is true if HELLO has said so.
    pub is_list: bool,
    pub is_list_told: bool,
    /// True if something was sent that no COMMIT has ended yet.
    pub uncommitted: bool,
    /// True if the present walk has put records: until it ends, the common records may be parts of two states.
    pub walk_puts: bool,
    /// True if a list replaced another, and no COMMIT has said so.
    replaces: bool,
    /// Ordinal of the last COMMIT that reported a replaced list.
    replaced_at: u64,
    /// Number of this node's records that the peer had handled when it began its present state.
    pub begun_at: Option<u64>,
    pub awaited: Awaited,
    /// State of the peer that waits for the deletions of the snapshot before it.
    held: Option<Claim>,
}

/// Description of a sent state, from the peer's COMMIT.
#[derive(Clone, Copy, Debug)]
struct Claim {
    ordinal: u64,
    begun_at: u64,
    generation: u32,
    flags: u8,
    digest: u64,
}

/// Decision on a state of the peer.
enum Verdict {
    Take,
    /// Records are still to arrive: the next COMMIT decides.
    Wait,
    Drop,
}

impl Claim {
    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

impl Transfer {
    /// Handles the end of a pair.
    pub fn halt(&mut self) {
        *self = Self {
            is_list: self.is_list,
            is_list_told: self.is_list_told,
            ..Self::default()
        };
    }

    /// True if this node has a list that the peer may not have.
    fn has_list(&self, acked: u64) -> bool {
        self.replaces || acked < self.replaced_at
    }

    /// True if a state of the peer waits for deletions.
    pub fn is_held(&self) -> bool {
        self.held.is_some()
    }
}

impl<S: Store> Replica<S> {
    /// True if a part of a table was sent, or is pending, that no COMMIT has ended. The owner holds back its next state
    /// until then, so that a state becomes whole.
    pub fn is_uncommitted(&self, table: Table) -> bool {
        let table = self.tables.get(table).filter(|_| self.pairing.is_on());
        table.is_some_and(|it| {
            it.is_common() && (it.transfer.uncommitted || !it.changes.queue.is_empty())
        })
    }

    /// True if this node decides on the table and the peer has everything that was sent of it.
    pub fn is_told(&self, table: Table) -> bool {
        let is_acked = self.outbox.flight.is_empty() && !self.is_uncommitted(table);
        let table = self
            .tables
            .get(table)
            .filter(|_| self.pairing.is_on() && is_acked);
        table.is_some_and(|it| it.role.is_decider && it.is_common() && it.is_at_end())
    }

    /// Ends the sent records with a COMMIT: of all tables together, so that records that changed together count
    /// together.
    pub(crate) fn make_commit(&mut self, store: &mut S) -> bool {
        let is_cramped = !self.outbox.has_room(self.config.window);
        let waits = |it: &TableState<S>| it.is_open() && !it.changes.queue.is_empty();
        if !is_cramped && self.tables.iter().any(waits) {
            return false;
        }
        let is_end = |it: &TableState<S>, index: Table| it.is_at_end() && store.is_exact(index);
        let tables = self.tables.iter().enumerate();
        let due = tables.filter(|(index, it)| {
            let is_due = is_cramped || is_end(it, *index);
            it.transfer.uncommitted && store.is_whole(*index) && is_due
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
            flags |= match transfer.awaited {
                Awaited::Nothing => 0,
                Awaited::Asked | Awaited::Begun => commit::ASKING,
            };
            if is_end && std::mem::take(&mut transfer.replaces) {
                flags |= commit::REPLACED;
                transfer.replaced_at = self.outbox.next();
            }
            self.out.put(&[index as u8, flags]);
            self.out.put(&store.state(index).to_be_bytes());
            self.out.count();
            self.outbox.flight.push_back(Flight::Commit);
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
        let mut claims = Vec::new();
        for it in tables {
            let index = TableState::index(&self.tables, it.table);
            let index = index.ok_or(Malformed::Table(it.table))?;
            let table = &mut self.tables[index];
            if !table.is_common() || !store.is_whole(index) {
                self.inbox.push(Slot::Done);
                continue;
            }
            if it.flags & commit::LIST != 0 {
                store.take_list(index);
                table.transfer.is_list = true;
            }
            let claim = Claim {
                ordinal: self.inbox.next(),
                begun_at: table.transfer.begun_at.take().unwrap_or(applied),
                generation,
                flags: it.flags,
                digest: it.digest,
            };
            self.inbox.push(Slot::Commit { table: index });
            match table.pair.phase {
                Phase::Pruning(_) => {
                    if let Some(before) = table.transfer.held.replace(claim) {
                        self.inbox.resolve(before.ordinal, Slot::Done);
                    }
                }
                _ => claims.push((index, claim)),
            }
        }
        self.end_states(now_ns, store, claims);
        Ok(())
    }

    /// Decides on the state that waited for a snapshot's deletions, which are done.
    pub(crate) fn end_held(&mut self, now_ns: u64, store: &mut S, index: Table) {
        if let Some(claim) = self.tables[index].transfer.held.take() {
            self.end_states(now_ns, store, vec![(index, claim)]);
        }
    }

    /// Puts states of the peer in force, all at once, or drops them.
    fn end_states(&mut self, now_ns: u64, store: &mut S, claims: Vec<(Table, Claim)>) {
        let mut due = Vec::new();
        for (index, claim) in claims {
            let verdict = self.judge(store, index, &claim);
            let table = &mut self.tables[index];
            match verdict {
                Verdict::Take => {
                    let is_list = table.expects_list(&claim);
                    table.take_state();
                    due.push(Commit {
                        table: index,
                        token: Token {
                            pair: self.pairing.number(),
                            ordinal: claim.ordinal,
                        },
                        generation: claim.generation,
                        is_list,
                    });
                    continue;
                }
                // retries later, because an answer may never come
                Verdict::Wait => table.retry.arm(now_ns),
                Verdict::Drop => self.drop_state(now_ns, store, index),
            }
            self.inbox.resolve(claim.ordinal, Slot::Done);
        }
        if !due.is_empty() {
            store.commit(&due);
        }
        self.inbox.settle();
        self.begin_prune();
        self.answer_drain();
    }

    fn judge(&self, store: &S, index: Table, claim: &Claim) -> Verdict {
        let table = &self.tables[index];
        let transfer = &table.transfer;
        if transfer.awaited == Awaited::Asked {
            // the snapshot brings all records
            return Verdict::Drop;
        }
        if claim.has(commit::PART) || !table.expects_list(claim) {
            return Verdict::Take;
        }
        // the peer does not know this node's list: records outside the digest may differ
        let is_blind = transfer.replaces || claim.begun_at < transfer.replaced_at;
        let is_blind = is_blind || claim.has(commit::ASKING);
        if claim.has(commit::REPLACED) && is_blind {
            return Verdict::Drop;
        }
        let is_compared = transfer.awaited == Awaited::Begun;
        let is_compared = is_compared && matches!(table.pair.phase, Phase::Receiving);
        if is_compared || !table.pair.wants.is_empty() {
            return Verdict::Wait;
        }
        let is_known = store.is_known(index);
        if is_known && claim.digest == store.staged_state(index) {
            return Verdict::Take;
        }
        // this node has just changed single records: the decider may not have had them yet
        let has_changes = !table.changes.pending.is_empty();
        let has_changes = has_changes && !transfer.has_list(self.outbox.acked);
        if !table.role.is_decider && (has_changes || !is_known) {
            Verdict::Wait
        } else {
            Verdict::Drop
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
            table.conflicts.count();
            table.transfer.uncommitted = true;
            return;
        }
        let gives_up = table.transfer.has_list(acked);
        match table.transfer.awaited {
            Awaited::Asked => {}
            awaited => {
                if gives_up {
                    table.conflicts.count();
                }
                table.await_snapshot(now_ns, gives_up, awaited == Awaited::Begun);
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
                if table.close(&key) && table.role.is_decider {
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
    pub(crate) fn commit_own(&mut self, store: &mut S, index: Table) {
        let token = Token {
            pair: self.pairing.number(),
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
    pub fn outdated(&mut self, now_ns: u64, store: &mut S, index: Table, tokens: &[Token]) {
        let is_present = |it: &&Token| self.pairing.is_current(it.pair);
        let present: Vec<Token> = tokens.iter().filter(is_present).copied().collect();
        for token in tokens {
            self.orphans.remove(token);
        }
        if present.is_empty() {
            return self.begin_pair_if_due();
        }
        self.settle_dropped(now_ns, store, index, &present);
        self.drop_state(now_ns, store, index);
    }

    /// Handles the verdict on a whole state: in force, or refused.
    pub(crate) fn end_commit(&mut self, index: Table, ordinal: u64) {
        self.inbox.resolve(ordinal, Slot::Done);
        let table = &mut self.tables[index];
        if table.counters.refused_here == 0 && table.transfer.awaited == Awaited::Nothing {
            table.retry.reset();
        }
        self.inbox.settle();
        self.begin_prune();
        self.answer_drain();
    }

    /// Reports that one list replaced another at this node, after the changes of its single records. A backup's list is
    /// undone: record by record, or as a whole if there are many.
    pub fn replaced(&mut self, now_ns: u64, store: &mut S, index: Table) {
        let undoes = self.undoes(store, index);
        let Some(table) = self.tables.get_mut(index) else {
            return;
        };
        table.transfer.is_list = true;
        if !self.pairing.is_on() || !table.is_common() {
            return;
        }
        match undoes {
            true if table.pair.wants.is_more_than(STRAYS_MAX) => {
                table.await_snapshot(now_ns, false, false);
            }
            true => {}
            false => table.transfer.replaces = true,
        }
    }

    /// Drops the records that wait for their COMMIT when a pair ends: the last whole state stays.
    pub(crate) fn abandon(&mut self, store: &mut S) {
        if !self.pairing.take_abandons() {
            return;
        }
        for index in 0..self.tables.len() {
            for token in store.abandon(index, true) {
                self.orphans.remove(&token);
            }
        }
        self.begin_pair_if_due();
    }
}

impl<S: Store> TableState<S> {
    /// Requests all of the decider's records by value, at once or after a pause. The follower puts nothing in force
    /// until they have arrived. With `gives_up` its own list does not hold.
    fn await_snapshot(&mut self, now_ns: u64, gives_up: bool, pauses: bool) {
        if gives_up {
            self.changes.clear();
            // the part that was sent must not become a state: its COMMIT gets a digest that no state has
            self.transfer.replaces = self.transfer.uncommitted;
            self.transfer.replaced_at = 0;
        }
        self.pair.wants.clear();
        self.transfer.awaited = Awaited::Asked;
        if pauses {
            self.retry.arm(now_ns)
        } else {
            self.pair.wants.all = true
        }
    }

    /// True if a state is a list: the decider's always is, the follower's only if it replaced another.
    fn expects_list(&self, claim: &Claim) -> bool {
        claim.has(commit::REPLACED) || (self.transfer.is_list && !self.role.is_decider)
    }

    /// Notes that the peer's records are in force.
    fn take_state(&mut self) {
        let is_compared = matches!(self.pair.phase, Phase::Following);
        if self.transfer.awaited == Awaited::Begun && is_compared {
            self.transfer.awaited = Awaited::Nothing;
        }
    }

    /// True if the sent records are a state of the table when nothing is pending: not within an offer, nor within a
    /// snapshot that has put records.
    fn is_at_end(&self) -> bool {
        match self.pair.phase {
            Phase::Walking(_) | Phase::EndDue => self.pair.is_whole && !self.transfer.walk_puts,
            Phase::Offering(_) | Phase::OfferDue | Phase::Idle => false,
            _ => true,
        }
    }
}
