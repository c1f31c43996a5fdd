//! The protocol's state of one table.

use std::collections::{HashMap, HashSet};

use crate::apart::Apart;
use crate::commit::Transfer;
use crate::conflicts::Conflicts;
use crate::outbox::{Changes, KeyOf, Latest};
use crate::store::{Mark, Store, Table};
use crate::{SECOND, TableConfig};

/// Limit of keys that are requested one by one, beyond which all of the table is.
const REQUESTED_MAX: usize = 65_536;

/// State machine of a table.
#[derive(Debug)]
pub(crate) enum Phase<C> {
    /// No pair, or the peer has no such table.
    Idle,
    /// Follower: offering records that the decider may not know.
    Offering(C),
    /// Follower: all records were offered, the end was not sent.
    OfferDue,
    /// Follower: waiting for the snapshot after the offer.
    Offered,
    /// Follower: receiving a snapshot.
    Receiving,
    /// Follower: the snapshot has ended; stale records are being deleted.
    Pruning(C),
    /// Follower: the snapshot was applied completely.
    Following,
    /// Decider: receiving the offer.
    Awaiting,
    /// Decider: a snapshot is due.
    Due,
    /// Decider: sending a snapshot.
    Walking(C),
    /// Decider: the snapshot was sent except its end.
    EndDue,
    /// Decider: the last snapshot was sent.
    Serving,
}

/// The peer's table of the same name.
#[derive(Debug)]
pub(crate) struct PeerTable {
    pub id: u8,
    pub incarnation: u64,
    /// Data that has to match: checked again when the table here begins another incarnation.
    pub preface: Vec<u8>,
    pub misfit: Option<String>,
}

pub(crate) struct TableState<S: Store> {
    pub config: TableConfig,
    /// Incarnation as last read from the store.
    pub incarnation: Option<u64>,
    pub peer: Option<PeerTable>,
    pub role: TableRole,
    pub flags: Flags,
    pub changes: Changes<KeyOf<S>>,
    pub latest: Latest<KeyOf<S>>,
    pub apart: Apart<KeyOf<S>>,
    pub pair: PairState<S>,
    pub transfer: Transfer,
    pub mark: Mark,
    /// Number of the last snapshot sent.
    pub number: u32,
    pub counters: Counters,
    pub retry: Backoff,
    pub conflicts: Conflicts,
}

/// Role of a node for a table in the last pair of roles.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TableRole {
    /// True if this node decides which records are right.
    pub is_decider: bool,
    /// True if one node alone is active.
    pub one_active: bool,
}

/// State of a table that lives as long as a pair of roles.
pub(crate) struct PairState<S: Store> {
    pub phase: Phase<S::Cursor>,
    pub wants: Wants<KeyOf<S>>,
    /// True if the next snapshot is sent by value, because the peer lacks what the flags say.
    pub is_void_next: bool,
    /// Keys with pending verdicts: number of verdicts, and whether this node changed the record meanwhile.
    pub open: HashMap<KeyOf<S>, (u32, bool)>,
    /// Ordinal of the last record offered by the peer.
    pub offered: u64,
    /// Number of snapshots that wait behind the present one; at most one.
    pub again: u32,
    /// True if the peer has the complete last snapshot.
    pub is_acked: bool,
    /// True if a snapshot of this pair was complete, at the follower with all changes since. The next snapshot is then
    /// a comparison, and nothing counts as missing until it finds a difference.
    pub is_whole: bool,
}

impl<S: Store> PairState<S> {
    pub fn new() -> Self {
        Self {
            phase: Phase::Idle,
            wants: Wants::new(),
            is_void_next: false,
            open: HashMap::new(),
            offered: 0,
            again: 0,
            is_acked: false,
            is_whole: false,
        }
    }

    /// Handles a new incarnation of the store here.
    fn renew(&mut self) {
        self.phase = Phase::Idle;
        self.wants.clear();
        self.is_whole = false;
    }
}

/// Meaning of the SHARED flags of records.
#[derive(Debug)]
pub(crate) struct Flags {
    /// The peer's incarnation to which all of them refer.
    pub shared_under: Option<u64>,
    /// True if they refer to another incarnation until a walk has passed them.
    pub is_void: bool,
}

impl Flags {
    fn new() -> Self {
        Self {
            shared_under: None,
            is_void: true,
        }
    }
}

/// The follower's requests to the decider.
#[derive(Debug)]
pub(crate) struct Wants<K> {
    /// Keys to request.
    pub keys: Vec<(u8, K)>,
    /// Keys that were requested, or are to be requested, and have no answer yet.
    pub open: HashSet<K>,
    pub all: bool,
}

impl<K: crate::Key> Wants<K> {
    pub fn new() -> Self {
        Self {
            keys: Vec::new(),
            open: HashSet::new(),
            all: false,
        }
    }

    pub fn clear(&mut self) {
        *self = Self::new();
    }

    pub fn note(&mut self, how: u8, key: &K) {
        if self.open.len() >= REQUESTED_MAX {
            self.all = true;
        } else if self.open.insert(key.clone()) || how == crate::wire::how::SEND {
            self.keys.push((how, key.clone()));
        }
        if self.keys.len() > 2 * REQUESTED_MAX {
            (self.all, self.keys) = (true, Vec::new());
        }
    }

    pub fn answer(&mut self, key: &K) {
        if !self.open.is_empty() {
            self.open.remove(key);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.open.is_empty() && !self.all
    }

    pub fn is_more_than(&self, count: usize) -> bool {
        self.all || self.open.len() > count
    }
}

/// Counters of a table, for people.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub resyncs: u64,
    pub denied: u64,
    pub too_long: u64,
    /// Numbers since the last snapshot.
    pub refused_here: u32,
    pub refused_there: u32,
    pub expected: u64,
    pub got: u64,
    pub at_peer: Option<(u64, u32)>,
    /// Records here and refused here, as last sent.
    pub told: Option<(u64, u32)>,
}

impl Counters {
    /// The channel is down.
    pub fn handle_down(&mut self) {
        (self.at_peer, self.told) = (None, None);
    }
}

/// Time until the next retry: 1 s, doubled each time.
#[derive(Debug)]
pub(crate) struct Backoff {
    pause_ns: u64,
    longest_ns: u64,
    pub due_ns: Option<u64>,
}

impl Backoff {
    const FIRST_NS: u64 = SECOND;

    pub fn new(longest_s: u64) -> Self {
        Self {
            pause_ns: Self::FIRST_NS,
            longest_ns: longest_s * SECOND,
            due_ns: None,
        }
    }

    /// Sets the next retry, if none is set.
    pub fn arm(&mut self, now_ns: u64) {
        if self.due_ns.is_none() {
            self.due_ns = Some(now_ns.saturating_add(self.pause_ns));
            self.pause_ns = (self.pause_ns * 2).min(self.longest_ns);
        }
    }

    /// Returns true if the retry is due, and unsets it.
    pub fn fire(&mut self, now_ns: u64) -> bool {
        let due = self.due_ns.is_some_and(|due_ns| due_ns <= now_ns);
        if due {
            self.due_ns = None;
        }
        due
    }

    pub fn reset(&mut self) {
        (self.pause_ns, self.due_ns) = (Self::FIRST_NS, None);
    }
}

impl<S: Store> TableState<S> {
    pub fn new(config: TableConfig) -> Self {
        Self {
            config,
            incarnation: None,
            peer: None,
            role: TableRole::default(),
            flags: Flags::new(),
            changes: Changes::new(),
            latest: Latest::new(),
            apart: Apart::new(),
            pair: PairState::new(),
            transfer: Transfer::default(),
            mark: 0,
            number: 0,
            counters: Counters::default(),
            retry: Backoff::new(60),
            conflicts: Conflicts::default(),
        }
    }

    /// True if both nodes have the table and it fits.
    pub fn is_common(&self) -> bool {
        let peer = self.peer.as_ref();
        self.incarnation.is_some() && peer.is_some_and(|peer| peer.misfit.is_none())
    }

    /// Number of the peer's records that are missing here, or that only the store has.
    pub fn refused_here(&self, store: &S, index: Table) -> u32 {
        let refused = store.refused(index);
        self.counters.refused_here.saturating_add(refused)
    }

    /// True if changes may be sent: the decider must first know which records the follower has.
    pub fn is_open(&self) -> bool {
        !matches!(
            self.pair.phase,
            Phase::Idle | Phase::Offering(_) | Phase::OfferDue | Phase::Awaiting | Phase::Due
        )
    }

    /// True if a later table has to wait with its walk.
    pub fn is_walking(&self) -> bool {
        matches!(
            self.pair.phase,
            Phase::Offering(_)
                | Phase::OfferDue
                | Phase::Offered
                | Phase::Receiving
                | Phase::Awaiting
                | Phase::Due
                | Phase::Walking(_)
                | Phase::EndDue
        )
    }

    /// Sets the mark of the next snapshot; never 0, the mark of a new record.
    pub fn next_mark(&mut self) {
        self.mark = self.mark.checked_add(1).unwrap_or(1);
    }

    /// True if a record that the follower offers was deleted here since both had it. A follower that
    /// was started again does not know what the decider has acknowledged.
    pub fn was_deleted(&self, key: &KeyOf<S>) -> bool {
        !self.flags.is_void && self.apart.has_deleted(key)
    }

    pub fn note_conflict(&mut self, key: &KeyOf<S>, peer_won: bool) {
        self.conflicts.note(key, peer_won);
    }

    /// Begins a new incarnation of the store.
    pub fn renew(&mut self, incarnation: Option<u64>) {
        self.incarnation = incarnation;
        self.changes.clear();
        self.latest.clear();
        self.apart = Apart::new();
        self.pair.renew();
    }

    /// Handles the end of a pair.
    pub fn halt(&mut self) {
        self.pair = PairState::new();
        self.transfer.halt();
    }

    /// Index of the table that has this id at the peer, if there is one.
    pub fn index(tables: &[Self], table: u8) -> Option<Table> {
        let found = |it: &Self| it.peer.as_ref().is_some_and(|peer| peer.id == table);
        tables.iter().position(found)
    }
}
