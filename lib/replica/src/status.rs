//! Status for people and the daemon: in sync or why not, and the same rows for every plugin.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::commit::ListRequest;
use crate::conflicts::Conflict;
use crate::outbox::InFlight;
use crate::session::Replica;
use crate::store::Store;
use crate::table::{Phase, TableState};
use crate::wire::VERSION;

const MS: u64 = 1_000_000;

/// Status of a table, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableStatus {
    /// Name of the table.
    pub name: String,
    /// True if this node decides; None: the roles are not agreed.
    pub is_decider: Option<bool>,
    /// Number of records here.
    pub here: usize,
    /// Number of records at the peer, as last reported.
    pub there: Option<u64>,
    /// Milliseconds that the oldest change waits for its verdict, 0 if none waits.
    pub behind_ms: u64,
    /// Number of records whose changes wait to be sent.
    pub backlog: usize,
    /// Number of snapshots begun since the start.
    pub resyncs: u64,
    /// Numbers of records that the store here, and the peer's, refused since the last snapshot.
    pub refused: (u32, u32),
    /// Number of the peer's changes to records that only this node may change.
    pub denied: u64,
    /// Number of records too long to be sent, since the last snapshot.
    pub too_long: u64,
    /// Number of decisions by which a node lost its value.
    pub conflicts: u64,
    /// Reason why the table is not in sync.
    pub out_of_sync_reason: Option<String>,
}

impl TableStatus {
    /// Rows that every plugin prints, each with name and value.
    pub fn rows(&self) -> Vec<(&'static str, String)> {
        let there = self.there.map_or("-".to_owned(), |count| count.to_string());
        let state = self
            .out_of_sync_reason
            .clone()
            .unwrap_or_else(|| "in sync".to_owned());
        vec![
            ("table", self.name.clone()),
            ("state", state),
            ("records here", self.here.to_string()),
            ("records there", there),
            ("behind ms", self.behind_ms.to_string()),
            ("resyncs", self.resyncs.to_string()),
            ("refused here", self.refused.0.to_string()),
            ("refused there", self.refused.1.to_string()),
            ("conflicts", self.conflicts.to_string()),
        ]
    }
}

/// State of a follower's copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyState {
    /// The copy is being compared: records that the decider may not know are offered.
    Offered,
    /// A snapshot is being received.
    Received,
    /// A snapshot was received, and changes are being applied.
    Complete,
}

impl<S: Store> Replica<S> {
    /// Groups that are active at the peer; None before it has reported them.
    pub fn peer_groups(&self) -> Option<&BTreeSet<String>> {
        self.peer.as_ref()?.active.as_ref()
    }

    /// Names of tables that only the peer has.
    pub fn peer_only_tables(&self) -> &[String] {
        self.peer
            .as_ref()
            .map_or(&[], |peer| &peer.peer_only_tables)
    }

    /// True if both nodes have the table and it fits.
    pub fn is_common(&self, table: usize) -> bool {
        self.tables.get(table).is_some_and(TableState::is_common)
    }

    /// State of a table whose decider is the peer; None: this node decides, or there is no pair.
    pub fn copy_state(&self, table: usize) -> Option<CopyState> {
        let table = self.tables.get(table).filter(|it| !it.role.is_decider)?;
        match table.pair.phase {
            Phase::Offering(_) | Phase::OfferDue | Phase::Offered => Some(CopyState::Offered),
            Phase::Receiving | Phase::Pruning(_) => Some(CopyState::Received),
            Phase::Following => Some(CopyState::Complete),
            _ => None,
        }
    }

    /// Incarnation of the peer's table of which this one is a complete copy. Owners whose records
    /// outlive the process save it for [`recall`](Self::recall).
    pub fn copied_incarnation(&self, table: usize) -> Option<u64> {
        self.copy_state(table)
            .filter(|copy| *copy == CopyState::Complete)?;
        self.tables.get(table)?.shared_flags.peer_incarnation
    }

    /// Reason why a table is not in sync; None: it is in sync.
    pub fn out_of_sync_reason(&self, store: &S, table: usize) -> Option<String> {
        let state = self.tables.get(table)?;
        let unpaired = self.unpaired_reason();
        unpaired.or_else(|| self.table_reason(store, table, state))
    }

    /// Succeeds if both nodes have the same records in every table, as far as this node knows.
    ///
    /// # Errors
    /// The reason as a sentence, for the daemon and `sparectl`.
    pub fn in_sync(&self, store: &S) -> Result<(), String> {
        self.unpaired_reason().map_or(Ok(()), Err)?;
        for (index, table) in self.tables.iter().enumerate() {
            if let Some(reason) = self.table_reason(store, index, table) {
                return Err(format!("{}: {reason}", table.config.name));
            }
        }
        Ok(())
    }

    /// Succeeds if a failover to this node would lose nothing, as far as it knows: it has every record of the
    /// peer. [`in_sync`](Self::in_sync) also counts records that the peer lacks. Report the result of this
    /// method to the daemon.
    ///
    /// # Errors
    /// The reason as a sentence.
    pub fn ready(&self, store: &S) -> Result<(), String> {
        self.unpaired_reason().map_or(Ok(()), Err)?;
        for (index, table) in self.tables.iter().enumerate() {
            if let Some(reason) = self.missing_here(store, index, table) {
                return Err(format!("{}: {reason}", table.config.name));
            }
        }
        Ok(())
    }

    fn unpaired_reason(&self) -> Option<String> {
        if !self.channel.is_up {
            return Some("the peer is not connected".to_owned());
        }
        match &self.peer {
            None => Some("the peer has not answered yet".to_owned()),
            Some(peer) if peer.version != VERSION => {
                let version = peer.version;
                Some(format!(
                    "the peer speaks version {version}, this node {VERSION}"
                ))
            }
            Some(_) if self.garbage.retry_ns().is_some() => {
                Some("a message of the peer was not understood; asking again".to_owned())
            }
            Some(_) if self.has_earlier_writes() => {
                Some("writes of the last session are not confirmed yet".to_owned())
            }
            Some(_) if !self.serial_pair.is_on() => Some("the roles are not agreed yet".to_owned()),
            Some(_) => None,
        }
    }

    fn table_reason(&self, store: &S, index: usize, table: &TableState<S>) -> Option<String> {
        let here = self.missing_here(store, index, table);
        here.or_else(|| self.missing_at_peer(table))
    }

    /// Reason why this node may lack records, as far as it knows.
    fn missing_here(&self, store: &S, index: usize, table: &TableState<S>) -> Option<String> {
        if table.incarnation.is_none() {
            let why = store.out_of_sync_reason(index);
            return Some(why.unwrap_or_else(|| "is not read yet".to_owned()));
        }
        if store.incarnation(index) != table.incarnation {
            return Some("was created again".to_owned());
        }
        match &table.peer {
            None => return Some("the peer does not have it, or has not read it yet".to_owned()),
            Some(peer) if peer.preface_fault.is_some() => return peer.preface_fault.clone(),
            Some(_) => {}
        }
        let counters = &table.counters;
        match &table.pair.phase {
            Phase::Following | Phase::Walking(_) | Phase::EndDue | Phase::Serving => {}
            Phase::Receiving | Phase::Pruning(_) if table.pair.had_snapshot => {}
            Phase::Receiving | Phase::Pruning(_) => {
                let percent = counters.received.saturating_mul(100) / counters.expected.max(1);
                // in steps, so that the sentence does not change all the time
                return Some(format!("received to {} %", percent.min(99) / 10 * 10));
            }
            _ => return Some("the nodes compare their records".to_owned()),
        }
        if table.transfer.list_request != ListRequest::Idle {
            return Some("the whole list is being requested".to_owned());
        }
        if !table.pair.requests.is_empty() {
            return Some("different records are being requested".to_owned());
        }
        if counters.refused_here > 0 {
            // the store may know the reason
            let why = store.out_of_sync_reason(index);
            return Some(why.unwrap_or_else(|| "records of the peer are refused here".to_owned()));
        }
        if !self.inbox.is_settled() {
            return Some("changes are not confirmed yet".to_owned());
        }
        store.out_of_sync_reason(index)
    }

    /// Reason why the peer may lack records, as far as this node knows.
    fn missing_at_peer(&self, table: &TableState<S>) -> Option<String> {
        match &table.pair.phase {
            Phase::Following => {}
            Phase::Serving if table.pair.is_snapshot_acked => {}
            _ if table.pair.had_snapshot => {}
            _ => return Some("the peer is receiving all records".to_owned()),
        }
        let counters = &table.counters;
        if counters.refused_there > 0 || counters.peer_counts.is_some_and(|it| it.1 > 0) {
            return Some("the peer refuses records".to_owned());
        }
        if counters.too_long > 0 {
            return Some("records are too long to be sent".to_owned());
        }
        if !table.changes.pending.is_empty() {
            return Some("changes are on their way".to_owned());
        }
        if !self.outbox.in_flight.is_empty() {
            return Some("changes are not confirmed yet".to_owned());
        }
        None
    }

    /// Milliseconds that the oldest change waits for its verdict, 0 if none waits.
    pub fn behind_ms(&self, now_ns: u64) -> u64 {
        let tables = 0..self.tables.len();
        let waits = tables.map(|table| self.table_behind_ms(now_ns, table));
        waits.max().unwrap_or(0)
    }

    fn table_behind_ms(&self, now_ns: u64, index: usize) -> u64 {
        let flights = self.outbox.in_flight.iter();
        let mut flights = flights.filter_map(|it| match it {
            InFlight::Record {
                table, since_ns, ..
            } if *table == index => Some(*since_ns),
            _ => None,
        });
        let in_flight = flights.next();
        let waiting = self.tables.get(index).and_then(|it| it.changes.oldest_ns());
        let oldest_ns = in_flight.into_iter().chain(waiting).min();
        oldest_ns.map_or(0, |since_ns| now_ns.saturating_sub(since_ns) / MS)
    }

    /// Status of every table, for people.
    pub fn status(&self, now_ns: u64, store: &S) -> Vec<TableStatus> {
        let unpaired = self.unpaired_reason();
        let tables = self.tables.iter().enumerate();
        tables
            .map(|(index, table)| TableStatus {
                name: table.config.name.clone(),
                is_decider: self.serial_pair.is_on().then_some(table.role.is_decider),
                here: store.len(index),
                there: table.counters.peer_counts.map(|(records, _)| records),
                behind_ms: self.table_behind_ms(now_ns, index),
                backlog: table.changes.pending.len(),
                resyncs: table.counters.resyncs,
                refused: (
                    table.refused_here(store, index),
                    table.counters.refused_there,
                ),
                denied: table.counters.denied,
                too_long: table.counters.too_long,
                conflicts: table.conflicts.total(),
                out_of_sync_reason: unpaired
                    .clone()
                    .or_else(|| self.table_reason(store, index, table)),
            })
            .collect()
    }

    /// True if the last snapshot of a table was completely received: here if this node follows, at the peer if this
    /// node decides. Changes and refusals do not count.
    pub fn is_complete(&self, table: usize) -> bool {
        match self.tables.get(table) {
            Some(table) => match &table.pair.phase {
                Phase::Following => true,
                Phase::Serving => table.pair.is_snapshot_acked,
                _ => false,
            },
            None => false,
        }
    }

    /// The first 64 decisions of a table by which a node lost its value.
    pub fn conflicts(&self, table: usize) -> &[Conflict] {
        self.tables
            .get(table)
            .map_or(&[], |it| it.conflicts.named())
    }

    /// Numbers of messages dropped since the channel is up: here, and at the peer as reported.
    pub fn garbage(&self) -> (u32, u32) {
        self.garbage.counts()
    }

    /// The session in one line, for a log.
    pub fn summary(&self) -> String {
        let mut line = self
            .unpaired_reason()
            .unwrap_or_else(|| "paired".to_owned());
        for table in &self.tables {
            let (name, counters) = (&table.config.name, &table.counters);
            let _ = write!(line, ", {name}: {} resyncs", counters.resyncs);
        }
        line
    }
}
