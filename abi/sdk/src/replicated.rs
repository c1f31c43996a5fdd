//! State on both nodes: tables of a plugin, kept equal by `spared-replica`.
//!
//! [`Replicated`] is a replica together with the store whose records it keeps equal. With a [`Map`] it
//! is a complete [`Engine`]; the plugin only puts records and shows them:
//!
//! ```
//! use spared_sdk::config::Config;
//! use spared_sdk::replicated::{Map, Replicated, life};
//! use spared_sdk::*;
//!
//! struct Notes;
//!
//! impl Io for Notes {
//!     type Settings = ();
//!     type Engine = Replicated<Map>;
//!
//!     fn read(_config: &Config) -> Result<(), Error> {
//!         Ok(())
//!     }
//!
//!     fn start(host: Host, _settings: &()) -> Result<(Self, Self::Engine), Error> {
//!         Ok((Self, Replicated::new(host, ["notes"], Map::new(life()))))
//!     }
//! }
//!
//! impl Commands for Notes {
//!     const VERBS: &'static [Verb] = &[
//!         Verb::ROWS,
//!         Verb::STATUS,
//!         Verb::changes(c"put", c"KEY TEXT", c"adds a note"),
//!     ];
//!
//!     fn query(
//!         &mut self,
//!         notes: &mut Self::Engine,
//!         now_ns: u64,
//!         argv: &[&str],
//!         answer: &mut Answer,
//!     ) -> Result<Progress, Error> {
//!         match argv {
//!             [] | ["status"] => answer.rows(notes.rows(now_ns))?,
//!             ["put", key, text] => notes.put(now_ns, (*key).to_owned(), (*text).to_owned())?,
//!             _ => return Err(Verb::usage("notes", Self::VERBS)),
//!         }
//!         Ok(Progress::Done)
//!     }
//! }
//!
//! spared_sdk::plugin!(Runner<Notes> {
//!     name: "notes",
//!     summary: "notes that both nodes have",
//!     wire: (1, 1),
//!     parts: [roles, transfer, query, peer],
//! });
//! ```
//!
//! An engine that has more to decide contains a `Replicated` with its own [`Store`]. It passes on the calls of
//! [`Engine`]'s methods of the same names.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState};

/// The protocol, for stores other than [`Map`].
pub use spared_replica as replica;
pub use spared_replica::map::{Map, MapValue, PutError};
use spared_replica::{Change, Drain, Key, Malformed, Replica, Store, Table, TableStatus};

use crate::{Engine, Error, Host, Role, Value};

/// Creates the configuration of a plugin's replica, with a random run and a key made from this node's name.
///
/// If the roles do not decide which node's records count, the node with the greater key decides. The nodes' names
/// differ, and after a restart the same node decides. If the host has no name for this node, the key is random.
pub fn config<'n>(host: Host, tables: impl IntoIterator<Item = &'n str>) -> replica::Config {
    let node = host.node().map_or_else(life, |name| {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        hasher.finish()
    });
    replica::Config::new(life(), node, tables)
}

/// Random number for the run of a process, or for the incarnation of a store that lives as long as the process.
pub fn life() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Rows that `sparectl` shows for a replicated table of any plugin: "NAME.state" and so on.
pub fn rows(status: &TableStatus) -> Vec<(String, Value)> {
    let state = status.out_of_sync_reason.as_deref().unwrap_or("in sync");
    let numbers = [
        ("records_here", Some(status.here as u64)),
        ("records_there", status.there),
        ("behind_ms", Some(status.behind_ms)),
        ("backlog", Some(status.backlog as u64)),
        ("resyncs", Some(status.resyncs)),
        ("refused_here", Some(status.refused.0.into())),
        ("refused_there", Some(status.refused.1.into())),
        ("conflicts", Some(status.conflicts)),
    ];
    let name = &status.name;
    let state = (format!("{name}.state"), Value::Text(state.to_owned()));
    let numbers = numbers
        .into_iter()
        .filter_map(|(key, number)| Some((format!("{name}.{key}"), Value::Number(number?))));
    std::iter::once(state).chain(numbers).collect()
}

/// A replica with the store whose records it keeps equal on both nodes.
pub struct Replicated<S: Store> {
    replica: Replica<S>,
    store: S,
    active: BTreeSet<String>,
}

impl<S: Store> Replicated<S> {
    /// Creates tables with these names, whose records are in the store. They belong to no group.
    pub fn new<'n>(host: Host, tables: impl IntoIterator<Item = &'n str>, store: S) -> Self {
        Self::with(config(host, tables), store)
    }

    /// Creates it with another configuration, such as a test's, or one whose tables belong to groups.
    pub fn with(config: replica::Config, store: S) -> Self {
        Self {
            replica: Replica::new(config),
            store,
            active: BTreeSet::new(),
        }
    }

    /// Returns the store.
    pub fn store(&self) -> &S {
        &self.store
    }

    /// Returns the replica, for reading.
    pub fn replica(&self) -> &Replica<S> {
        &self.replica
    }

    /// Returns both, for everything else. Tell the replica if you change records in the store.
    pub fn split(&mut self) -> (&mut Replica<S>, &mut S) {
        (&mut self.replica, &mut self.store)
    }

    /// Tells the replica that a record in the store was changed, but not by the replica.
    pub fn changed(&mut self, now_ns: u64, table: Table, key: &S::Key, change: Change) {
        let (replica, store) = self.split();
        replica.changed(now_ns, store, table, key, change);
    }

    /// Returns true if this node is active for any group.
    pub fn is_active(&self) -> bool {
        !self.active.is_empty()
    }

    /// Like [`Engine::handle_role`].
    pub fn handle_role(&mut self, group: &str, role: Role) {
        match role {
            Role::Active => self.active.insert(group.to_owned()),
            _ => self.active.remove(group),
        };
        self.replica.handle_groups(self.active.clone());
    }

    /// Like [`Engine::handle_up`].
    pub fn handle_up(&mut self) {
        self.replica.handle_up(&mut self.store);
    }

    /// Like [`Engine::handle_down`].
    pub fn handle_down(&mut self) {
        self.replica.handle_down(&mut self.store);
    }

    /// Like [`Engine::handle_message`].
    ///
    /// # Errors
    /// The message is malformed: it is dropped and counted.
    pub fn handle_message(&mut self, now_ns: u64, message: &[u8]) -> Result<(), Malformed> {
        let (replica, store) = self.split();
        replica.handle_message(now_ns, store, message)
    }

    /// Like [`Engine::wants_message`].
    pub fn wants_message(&self) -> bool {
        self.replica.can_receive(&self.store)
    }

    /// Like [`Engine::poll_message`].
    pub fn poll_message(&mut self, now_ns: u64) -> Option<&[u8]> {
        self.replica.poll_message(now_ns, &mut self.store)
    }

    /// Like [`Engine::message_sent`].
    pub fn message_sent(&mut self) {
        self.replica.sent();
    }

    /// Like [`Engine::handle_timeout`].
    pub fn handle_timeout(&mut self, now_ns: u64) {
        self.replica.handle_timeout(now_ns, &mut self.store);
    }

    /// Like [`Engine::next_timeout`].
    pub fn next_timeout(&self, now_ns: u64) -> Option<u64> {
        self.replica.next_timeout(now_ns)
    }

    /// Like [`Engine::in_sync`]: a failover to this node, not to the peer, would lose nothing.
    ///
    /// # Errors
    /// A sentence about what this node lacks.
    pub fn in_sync(&self) -> Result<(), String> {
        self.replica.ready(&self.store)
    }

    /// Like [`Engine::start_drain`]. If the peer has not reported its roles, no drain begins, because the peer takes
    /// nothing.
    pub fn start_drain(&mut self) {
        if self.replica.peer_groups().is_some() {
            self.replica.start_drain();
        }
    }

    /// Like [`Engine::is_drained`].
    pub fn is_drained(&self) -> bool {
        self.replica.drain_state() != Drain::Pending
    }

    /// Like [`Engine::is_settled`].
    pub fn is_settled(&self) -> bool {
        self.replica.is_settled()
    }

    /// Rows of all tables.
    pub fn rows(&self, now_ns: u64) -> Vec<(String, Value)> {
        let status = self.replica.status(now_ns, &self.store);
        status.iter().flat_map(rows).collect()
    }

    /// "in sync" if both nodes have the same records, otherwise the difference.
    pub fn summary(&self) -> String {
        let in_sync = self.replica.in_sync(&self.store);
        in_sync.map_or_else(|reason| reason, |()| "in sync".to_owned())
    }
}

impl<K: Key + Ord, V: MapValue> Replicated<Map<K, V>> {
    /// Puts a record into the store of both nodes. A backup's own change is undone by the active node's records: refuse
    /// what a user asks of a backup.
    ///
    /// # Errors
    /// [`PutError`]; the record is put on neither node.
    pub fn put(&mut self, now_ns: u64, key: K, value: V) -> Result<(), PutError> {
        self.store.put(key.clone(), value)?;
        self.changed(now_ns, 0, &key, Change::Put);
        Ok(())
    }

    /// Removes a record on both nodes. Returns false if it does not exist.
    pub fn remove(&mut self, now_ns: u64, key: &K) -> bool {
        let was_there = self.store.remove(key);
        if was_there {
            self.changed(now_ns, 0, key, Change::Deleted);
        }
        was_there
    }
}

/// The actions are keys of records that the peer changed, for an [`Io`](crate::Io) that acts on them. The store
/// contains the present record.
impl<K: Key + Ord, V: MapValue> Engine for Replicated<Map<K, V>> {
    type Action = K;

    fn handle_timeout(&mut self, now_ns: u64) {
        self.handle_timeout(now_ns);
    }

    fn next_timeout(&self, now_ns: u64) -> Option<u64> {
        self.next_timeout(now_ns)
    }

    fn poll_action(&mut self, _now_ns: u64) -> Option<K> {
        while let Some(text) = self.replica.poll_event() {
            log::warn!("{text}");
        }
        self.store.poll_update()
    }

    fn handle_role(&mut self, _now_ns: u64, group: &str, role: Role) {
        self.handle_role(group, role);
    }

    fn handle_up(&mut self, _now_ns: u64, _wire: u32) {
        self.handle_up();
    }

    fn handle_down(&mut self, _now_ns: u64) {
        self.handle_down();
    }

    fn handle_message(&mut self, now_ns: u64, message: &[u8]) -> Result<(), String> {
        let done = self.handle_message(now_ns, message);
        done.map_err(|why| why.to_string())
    }

    fn wants_message(&self) -> bool {
        self.wants_message()
    }

    fn poll_message(&mut self, now_ns: u64) -> Option<&[u8]> {
        self.poll_message(now_ns)
    }

    fn message_sent(&mut self, _now_ns: u64) {
        self.message_sent();
    }

    fn in_sync(&self) -> Option<Result<(), String>> {
        Some(self.in_sync())
    }

    fn start_drain(&mut self, _now_ns: u64, _deadline_ns: u64) {
        self.start_drain();
    }

    fn is_drained(&self) -> bool {
        self.is_drained()
    }

    fn is_settled(&self) -> bool {
        self.is_settled()
    }
}

impl From<PutError> for Error {
    fn from(error: PutError) -> Self {
        Self::Plugin(error.to_string())
    }
}
