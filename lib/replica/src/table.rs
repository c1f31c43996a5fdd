//! The protocol's state of one table.

use std::collections::{HashMap, HashSet};

use crate::commit::Transfer;
use crate::conflicts::Conflicts;
use crate::offline::OfflineChanges;
use crate::outbox::{Changes, KeyOf, Latest};
use crate::store::{Stamp, Store, Table};
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
    AwaitingOffer,
    /// Decider: a snapshot is due.
    BeginDue,
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
    pub preface_fault: Option<String>,
}

pub(crate) struct TableState<S: Store> {
    pub config: TableConfig,
    /// Incarnation as last read from the store.
    pub incarnation: Option<u64>,
    pub peer: Option<PeerTable>,
    pub role: TableRole,
    pub shared_flags: SharedFlags,
    pub changes: Changes<KeyOf<S>>,
    pub latest: Latest<KeyOf<S>>,
    pub offline: OfflineChanges<KeyOf<S>>,
    pub pair: PairState<S>,
    pub transfer: Transfer,
    pub stamp: Stamp,
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
    pub requests: Requests<KeyOf<S>>,
    /// True if the next snapshot is sent by value, because the peer lacks what the flags say.
    pub sends_values_next: bool,
    /// Keys to which values of the peer are being written.
    pub pending_writes: HashMap<KeyOf<S>, PendingWrite>,
    /// Ordinal of the last record offered by the peer.
    pub last_offered: u64,
    /// Number of snapshots that wait behind the present one; at most one.
    pub queued_snapshots: u32,
    /// True if the peer has the complete last snapshot.
    pub is_snapshot_acked: bool,
    /// True if a snapshot of this pair was complete, at the follower with all changes since. The next snapshot is then
    /// a comparison, and nothing counts as missing until it finds a difference.
    pub had_snapshot: bool,
}

/// Writes of the peer's values to one key whose verdicts are pending.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PendingWrite {
    pub count: u32,
    /// True if this node changed the record meanwhile.
    pub is_touched: bool,
}

impl<S: Store> PairState<S> {
    pub fn new() -> Self {
        Self {
            phase: Phase::Idle,
            requests: Requests::new(),
            sends_values_next: false,
            pending_writes: HashMap::new(),
            last_offered: 0,
            queued_snapshots: 0,
            is_snapshot_acked: false,
            had_snapshot: false,
        }
    }

    /// Handles a new incarnation of the store here.
    fn renew(&mut self) {
        self.phase = Phase::Idle;
        self.requests.clear();
        self.had_snapshot = false;
    }
}

/// Meaning of the SHARED flags of records.
#[derive(Debug)]
pub(crate) struct SharedFlags {
    /// The peer's incarnation to which all of them refer.
    pub peer_incarnation: Option<u64>,
    /// True if they refer to another incarnation, until a walk has passed them.
    pub are_outdated: bool,
}

impl SharedFlags {
    fn new() -> Self {
        Self {
            peer_incarnation: None,
            are_outdated: true,
        }
    }
}

/// The follower's requests to the decider.
#[derive(Debug)]
pub(crate) struct Requests<K> {
    /// Keys to request.
    pub keys: Vec<(u8, K)>,
    /// Keys that were requested, or are to be requested, and have no answer yet.
    pub unanswered: HashSet<K>,
    pub all: bool,
}

impl<K: crate::Key> Requests<K> {
    pub fn new() -> Self {
        Self {
            keys: Vec::new(),
            unanswered: HashSet::new(),
            all: false,
        }
    }

    pub fn clear(&mut self) {
        *self = Self::new();
    }

    pub fn note(&mut self, how: u8, key: &K) {
        if self.unanswered.len() >= REQUESTED_MAX {
            self.all = true;
        } else if self.unanswered.insert(key.clone()) || how == crate::wire::how::SEND {
            self.keys.push((how, key.clone()));
        }
        if self.keys.len() > 2 * REQUESTED_MAX {
            (self.all, self.keys) = (true, Vec::new());
        }
    }

    pub fn answer(&mut self, key: &K) {
        if !self.unanswered.is_empty() {
            self.unanswered.remove(key);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.unanswered.is_empty() && !self.all
    }

    pub fn is_more_than(&self, count: usize) -> bool {
        self.all || self.unanswered.len() > count
    }
}

/// Counters of a table, for people.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub resyncs: u64,
    pub denied: u64,
    /// Numbers since the last snapshot.
    pub too_long: u64,
    pub refused_here: u32,
    pub refused_there: u32,
    pub expected: u64,
    pub received: u64,
    pub peer_counts: Option<(u64, u32)>,
    /// Records here and refused here, as last sent.
    pub sent_counts: Option<(u64, u32)>,
}

impl Counters {
    /// The channel is down.
    pub fn handle_down(&mut self) {
        (self.peer_counts, self.sent_counts) = (None, None);
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
    pub fn take_due(&mut self, now_ns: u64) -> bool {
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
            shared_flags: SharedFlags::new(),
            changes: Changes::new(),
            latest: Latest::new(),
            offline: OfflineChanges::new(),
            pair: PairState::new(),
            transfer: Transfer::default(),
            stamp: 0,
            number: 0,
            counters: Counters::default(),
            retry: Backoff::new(60),
            conflicts: Conflicts::default(),
        }
    }

    /// True if both nodes have the table and it fits.
    pub fn is_common(&self) -> bool {
        let peer = self.peer.as_ref();
        self.incarnation.is_some() && peer.is_some_and(|peer| peer.preface_fault.is_none())
    }

    /// Number of the peer's records that are missing here, or that only the store has.
    pub fn refused_here(&self, store: &S, index: Table) -> u32 {
        let refused = store.refused(index);
        self.counters.refused_here.saturating_add(refused)
    }

    /// True if changes may be sent: the decider must first know which records the follower has.
    pub fn may_send_changes(&self) -> bool {
        !matches!(
            self.pair.phase,
            Phase::Idle
                | Phase::Offering(_)
                | Phase::OfferDue
                | Phase::AwaitingOffer
                | Phase::BeginDue
        )
    }

    /// True if a later table has to wait with its walk. A table that waits for the peer keeps none back: the peer may
    /// have the tables in another order, and wait for a later one.
    pub fn has_walk(&self) -> bool {
        matches!(
            self.pair.phase,
            Phase::Offering(_)
                | Phase::OfferDue
                | Phase::BeginDue
                | Phase::Walking(_)
                | Phase::EndDue
        )
    }

    /// True if a drain has to wait for the table: its offer or its snapshot is not over. After the offer the peer has
    /// all that this node has; a decider that does not accept the table answers with no snapshot.
    pub fn is_walking(&self) -> bool {
        let waits = matches!(self.pair.phase, Phase::Receiving | Phase::AwaitingOffer);
        waits || self.has_walk()
    }

    /// Sets the stamp of the next snapshot; never 0, the stamp of a new record.
    pub fn next_stamp(&mut self) {
        self.stamp = self.stamp.checked_add(1).unwrap_or(1);
    }

    /// True if a record that the follower offers was deleted here since both had it. A follower that
    /// was started again does not know what the decider has acknowledged.
    pub fn was_deleted(&self, key: &KeyOf<S>) -> bool {
        !self.shared_flags.are_outdated && self.offline.has_deleted(key)
    }

    pub fn note_conflict(&mut self, key: &KeyOf<S>, peer_won: bool) {
        self.conflicts.note(key, peer_won);
    }

    /// Begins a new incarnation of the store.
    pub fn renew(&mut self, incarnation: Option<u64>) {
        self.incarnation = incarnation;
        self.changes.clear();
        self.latest.clear();
        self.offline = OfflineChanges::new();
        self.pair.renew();
    }

    /// Handles the end of a pair.
    pub fn end_pair(&mut self) {
        self.pair = PairState::new();
        self.transfer.end_pair();
        // a COUNT may be lost with its pair
        self.counters.sent_counts = None;
    }

    /// Index of the table that has this id at the peer, if there is one.
    pub fn index_at_peer(tables: &[Self], table: u8) -> Option<Table> {
        let found = |it: &Self| it.peer.as_ref().is_some_and(|peer| peer.id == table);
        tables.iter().position(found)
    }
}
