//! Whole states: what was sent of a table counts when its COMMIT has come, and all of it at once.
//!
//! A COMMIT has a digest of all records. Of a list only what has that digest is put in force: two lists that
//! were made at the same time, and records that refer to a list that is not here, never make a mixture.

use crate::inbox::Slot;
use crate::outbox::Flight;
use crate::session::Replica;
use crate::store::{Commit, Store, Table, Token};
use crate::table::{Phase, TableState};
use crate::wire::{CommitTable, Malformed, commit, kind};

/// Records that are asked for one by one when a backup's list is undone.
const STRAYS_MAX: usize = if cfg!(test) { 2 } else { 1_000 };

/// A comparison that was asked for because what the decider sends refers to another list than this node has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Awaited {
    #[default]
    Nothing,
    Asked,
    Begun,
}

/// What both halves of a table know of whole states. All but the list's two flags belongs to a pair.
#[derive(Debug, Default)]
pub(crate) struct Transfer {
    /// The table is one list as a whole, and HELLO has said so.
    pub is_list: bool,
    pub is_list_told: bool,
    /// Something was sent that no COMMIT has ended yet.
    pub uncommitted: bool,
    /// The present walk has put records: what both nodes have may be half of two states until it ends.
    pub walk_puts: bool,
    /// A list took the place of another, and no COMMIT has said so.
    replaces: bool,
    /// Ordinal of the last COMMIT that did.
    replaced_at: u64,
    /// Number of this node's records that the peer had handled when it began its present state.
    pub begun_at: Option<u64>,
    pub awaited: Awaited,
    /// The peer's state waits for the deletions of the snapshot before it.
    held: Option<Claim>,
}

/// What the peer says of the state that it has sent.
#[derive(Clone, Copy, Debug)]
struct Claim {
    ordinal: u64,
    begun_at: u64,
    generation: u32,
    flags: u8,
    digest: u64,
}

/// What becomes of a state of the peer.
enum Verdict {
    Take,
    /// Records are still on their way: the next COMMIT decides.
    Wait,
    Drop,
}

impl Claim {
    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

impl Transfer {
    /// A pair has ended.
    pub fn halt(&mut self) {
        *self = Self {
            is_list: self.is_list,
            is_list_told: self.is_list_told,
            ..Self::default()
        };
    }

    /// Whether the peer may not have a list of this node's.
    fn has_list(&self, acked: u64) -> bool {
        self.replaces || acked < self.replaced_at
    }

    /// Whether a state of the peer waits for deletions.
    pub fn is_held(&self) -> bool {
        self.held.is_some()
    }
}

impl<S: Store> Replica<S> {
    /// Whether something was told of a table, or waits to be, that no COMMIT has ended. The owner
    /// keeps its next state back until then, so that one is whole at last.
    pub fn is_uncommitted(&self, table: Table) -> bool {
        let table = self.tables.get(table).filter(|_| self.pairing.is_on());
        table.is_some_and(|it| {
            it.is_common() && (it.transfer.uncommitted || !it.changes.queue.is_empty())
        })
    }

    /// Whether the peer has all that this node has told of a table, which decides what counts.
    pub fn is_told(&self, table: Table) -> bool {
        let is_acked = self.outbox.flight.is_empty() && !self.is_uncommitted(table);
        let table = self
            .tables
            .get(table)
            .filter(|_| self.pairing.is_on() && is_acked);
        table.is_some_and(|it| it.is_decider && it.is_common() && it.is_at_end())
    }

    /// Ends what was sent: of all tables together, so that what changed together counts together.
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
            match table.phase {
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

    /// A snapshot's deletions are done: what waited for them is looked at.
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
                // an answer that never comes is no reason to wait for ever
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
            // all of it comes with the snapshot
            return Verdict::Drop;
        }
        if claim.has(commit::PART) || !table.expects_list(claim) {
            return Verdict::Take;
        }
        // the peer does not know of this node's list: what no digest counts may differ
        let is_blind = transfer.replaces || claim.begun_at < transfer.replaced_at;
        let is_blind = is_blind || claim.has(commit::ASKING);
        if claim.has(commit::REPLACED) && is_blind {
            return Verdict::Drop;
        }
        let is_compared = transfer.awaited == Awaited::Begun;
        let is_compared = is_compared && matches!(table.phase, Phase::Receiving);
        if is_compared || !table.wants.is_empty() {
            return Verdict::Wait;
        }
        let is_known = store.is_known(index);
        if is_known && claim.digest == store.staged_state(index) {
            return Verdict::Take;
        }
        // single records that this node has just changed: the decider may not have had them yet
        let has_changes = !table.changes.pending.is_empty();
        let has_changes = has_changes && !transfer.has_list(self.outbox.acked);
        match !table.is_decider && (has_changes || !is_known) {
            true => Verdict::Wait,
            false => Verdict::Drop,
        }
    }

    /// The peer's state is not taken. The decider's list holds: it says which that is by its next COMMIT,
    /// and the follower asks for all of it.
    fn drop_state(&mut self, now_ns: u64, store: &mut S, index: Table) {
        let tokens = store.abandon(index, false);
        self.settle_dropped(now_ns, store, index, &tokens);
        let acked = self.outbox.acked;
        let table = &mut self.tables[index];
        if table.is_decider {
            table.counters.conflicts += 1;
            table.transfer.uncommitted = true;
            return;
        }
        let gives_up = table.transfer.has_list(acked);
        match table.transfer.awaited {
            Awaited::Asked => {}
            awaited => {
                table.counters.conflicts += u64::from(gives_up);
                table.await_snapshot(now_ns, gives_up, awaited == Awaited::Begun);
            }
        }
    }

    /// Records that waited for the end of a state get none: the store has dropped them.
    fn settle_dropped(&mut self, now_ns: u64, store: &mut S, index: Table, tokens: &[Token]) {
        for token in tokens {
            let slot = self.inbox.get(token.ordinal);
            if let Some(Slot::Staged { key, .. }) = slot {
                let key = key.clone();
                let table = &mut self.tables[index];
                // a change of the decider's own waited for this one
                if table.close(&key) && table.is_decider {
                    table.repair(now_ns, store, index, &key);
                }
            }
            self.inbox.resolve(token.ordinal, Slot::Done);
        }
        self.inbox.settle();
        self.begin_prune();
        self.answer_drain();
    }

    /// Puts in force what the decider has deleted because the follower has: a request is no state that could
    /// be ended.
    pub(crate) fn commit_own(&mut self, store: &mut S, index: Table) {
        let token = Token {
            pair: self.pairing.number(),
            // of no record: nobody waits for the verdict
            ordinal: 0,
        };
        store.commit(&[Commit {
            table: index,
            token,
            generation: store.generation(),
            is_list: false,
        }]);
    }

    /// Reports that whole states of the peer were not put in force, because this node's store changed
    /// meanwhile and not as they expect. `tokens` are all that waited for them.
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

    /// A whole state is in force, or was refused.
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

    /// Reports, after the changes of single records, that one list took the place of another at this
    /// node. A backup's is undone: record by record, or as a whole if there are many.
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
            true if table.wants.is_more_than(STRAYS_MAX) => {
                table.await_snapshot(now_ns, false, false);
            }
            true => {}
            false => table.transfer.replaces = true,
        }
    }

    /// What waits for its end when a pair ends is dropped: the last whole state stays.
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
    /// The follower asks for all of the decider's records by value, and puts nothing in force before they are
    /// here: at once, or after a pause. With `gives_up` its own list does not hold.
    fn await_snapshot(&mut self, now_ns: u64, gives_up: bool, pauses: bool) {
        if gives_up {
            self.changes.clear();
            // what was told of it in part must not become a state: its COMMIT has a digest that nothing has
            self.transfer.replaces = self.transfer.uncommitted;
            self.transfer.replaced_at = 0;
        }
        self.wants.clear();
        self.transfer.awaited = Awaited::Asked;
        match pauses {
            true => self.retry.arm(now_ns),
            false => self.wants.all = true,
        }
    }

    /// Whether a state is a list: the decider's always is, the follower's only if it took the place of another.
    fn expects_list(&self, claim: &Claim) -> bool {
        claim.has(commit::REPLACED) || (self.transfer.is_list && !self.is_decider)
    }

    /// What the peer told is in force from now on.
    fn take_state(&mut self) {
        let is_compared = matches!(self.phase, Phase::Following);
        if self.transfer.awaited == Awaited::Begun && is_compared {
            self.transfer.awaited = Awaited::Nothing;
        }
    }

    /// Whether all that was sent is a state of the table, if nothing waits: not within an offer, nor
    /// within a snapshot that had something to say.
    fn is_at_end(&self) -> bool {
        match self.phase {
            Phase::Walking(_) | Phase::EndDue => self.is_whole && !self.transfer.walk_puts,
            Phase::Offering(_) | Phase::OfferDue | Phase::Idle => false,
            _ => true,
        }
    }
}
