//! Keeps the records of a plugin equal on both nodes: the protocol, without the values.
//!
//! Sans I/O. A plugin implements [`Store`] for the place of its values (a kernel's table, a server's
//! file) and moves messages between a [`Replica`] and the channel to the peer. Everything else is in this
//! crate: which node decides, differences, snapshots and changes, deletions and losses, acknowledgements,
//! back-pressure, and the sentences that people read.
//!
//! ```text
//!        node 1, decider                                       node 2, follower
//!  +-------------------------+                            +-------------------------+
//!  | Store: values and Tags  |                            | Store: values and Tags  |
//!  +-------------------------+                            +-------------------------+
//!     | snapshot   ^ apply         HELLO, ROLE               | snapshot   ^ apply
//!     | encode     | delete   <------------------------->    | encode     | delete, stale
//!     v            |               OFFER .. OFFERED          v            |
//!  +-------------------------+  <-------------------------  +-------------------------+
//!  | Replica                 |   BEGIN, RECORDS .. END      | Replica                 |
//!  |  session  pair of roles |  ------------------------->  |  session                |
//!  |  merge    decisions     |          RECORDS             |                         |
//!  |  sender   walk, changes |  <------------------------>  |  sender   offer, changes|
//!  |  receiver verdicts      |        ACK, REQUEST          |  receiver snapshot      |
//!  +-------------------------+  <------------------------>  +-------------------------+
//! ```
//!
//! # Two terms
//!
//! *Incarnation*: one life of a store ([`Store::incarnation`]). The absence of a record means that it was
//! deleted only if the record existed in the same incarnation. A set that was created again has lost its
//! records, and the peer sends them again.
//!
//! *Decider*: for each table, the node whose changes count if both nodes differ. It is the node that is active
//! alone for the table's group; if both or none are active, the one with the greater key. The other node is the
//! *follower*.
//!
//! # Order of calls
//!
//! 1. [`Replica::new`] with a [`Config`]; [`handle_groups`](Replica::handle_groups) with each change
//!    of the roles, at any time.
//! 2. [`handle_up`](Replica::handle_up), [`handle_message`](Replica::handle_message) for each
//!    message while [`can_receive`](Replica::can_receive) says so, [`handle_down`](Replica::handle_down).
//! 3. [`changed`](Replica::changed) for each record that others changed at this store, after the
//!    store has it. [`verdict`](Replica::verdict) once for each [`Applied::Later`], in any order,
//!    unless the table began another incarnation; writes take effect in the order of the calls.
//! 4. After each of these, and at the time of [`next_timeout`](Replica::next_timeout)
//!    ([`handle_timeout`](Replica::handle_timeout)): while the channel takes messages,
//!    [`poll_message`](Replica::poll_message) and [`sent`](Replica::sent); then
//!    [`poll_event`](Replica::poll_event), [`in_sync`](Replica::in_sync) for people and
//!    [`ready`](Replica::ready) for the daemon.
//!
//! Times, `now_ns`, are nanoseconds of a monotonic clock, which differs between the nodes.
//!
//! Every call does a bounded part of the work, and none blocks. At most one message waits for the channel. Other
//! pending records are remembered by key, and their present value is sent when the channel takes a message.
//!
//! A table whose records live nowhere else needs no store of its own: [`map::Map`] is one.
//!
//! A switchover: call [`start_drain`](Replica::start_drain) on the node that becomes backup until
//! [`drain_state`](Replica::drain_state) returns [`Drain::Done`], and [`is_settled`](Replica::is_settled) on the other node
//! before addresses move. The other node learns of the drain from [`peer_drain_ns`](Replica::peer_drain_ns), and of the
//! end of its peer's role from [`peer_groups`](Replica::peer_groups). Everything that the peer sent before has
//! arrived by then.
//!
//! # Messages of the plugin's own
//!
//! A plugin may send messages of its own in the same channel. Their first byte is [`wire::OWN`] or greater, and they
//! are not passed to the replica. They belong to no pair of roles, so none is dropped when a role moves. The plugin
//! reports an invalid one with [`reject`](Replica::reject). Messages arrive in the order in which they were sent. A
//! plugin that calls [`poll_message`](Replica::poll_message) only after its own messages have gone sends its ROLE
//! after everything that it sent under the last role, and its DRAIN after all of its messages.
//!
//! A plugin that merges its records by rules of its own needs no table. Its replica is the session: the peer's
//! identity, the peer's active groups, the drain, and AGAIN.
//!
//! ```
//! use spared_replica::map::Map;
//! use spared_replica::{Config, Drain, Replica};
//!
//! // without tables the replica never uses the store
//! let mut nowhere: Map = Map::new(0);
//! let mut nodes = [1, 2].map(|node| Replica::<Map>::new(Config::new(70 + node, node, [])));
//! nodes[0].handle_groups(["office".to_owned()].into());
//! nodes.iter_mut().for_each(|node| node.handle_up(&mut nowhere));
//! # let mut exchange = |nodes: &mut [Replica<Map>; 2]| {
//! #     let mut quiet = false;
//! #     while !quiet {
//! #         quiet = true;
//! #         for (from, to) in [(0, 1), (1, 0)] {
//! #             while let Some(message) = nodes[from].poll_message(1, &mut nowhere) {
//! #                 let message = message.to_vec();
//! #                 nodes[from].sent();
//! #                 nodes[to].handle_message(1, &mut nowhere, &message).unwrap();
//! #                 quiet = false;
//! #             }
//! #         }
//! #     }
//! # };
//! exchange(&mut nodes);
//!
//! // a message of its own names this serial, so that the peer knows which of its roles is answered
//! let (serial, groups) = nodes[1].peer_role().unwrap();
//! assert_eq!(Some(serial), nodes[0].serial());
//! assert!(groups.contains("office"));
//!
//! nodes[0].start_drain();
//! exchange(&mut nodes);
//! assert_eq!(nodes[0].drain_state(), Drain::Done);
//! ```
//!
//! ```
//! use spared_replica::toy::{Number, Toy};
//! use spared_replica::{Change, Config, Replica};
//!
//! // two nodes, each with a store of one table
//! let mut stores = [Toy::new(1), Toy::new(1)];
//! let mut nodes = [1, 2].map(|node| Replica::new(Config::new(77, node, ["bans"])));
//! nodes[0].handle_groups(["office".to_owned()].into());
//!
//! // a record that somebody puts at the active node
//! let now_ns = 1_000_000_000;
//! stores[0].put(0, 42, 7);
//! nodes[0].changed(now_ns, &mut stores[0], 0, &Number(42), Change::Put);
//!
//! // the channel comes, and carries whatever the nodes have to say
//! for (node, store) in nodes.iter_mut().zip(&mut stores) {
//!     node.handle_up(store);
//! }
//! let mut quiet = false;
//! while !quiet {
//!     quiet = true;
//!     for (from, to) in [(0, 1), (1, 0)] {
//!         while let Some(message) = nodes[from].poll_message(now_ns, &mut stores[from]) {
//!             let message = message.to_vec();
//!             nodes[from].sent();
//!             nodes[to].handle_message(now_ns, &mut stores[to], &message).unwrap();
//!             quiet = false;
//!         }
//!     }
//! }
//! assert_eq!(stores[1].get(0, 42), Some(7));
//! assert_eq!(nodes[1].in_sync(&stores[1]), Ok(()));
//! ```
//!
//! # Errors
//!
//! There is one error, [`Malformed`]: the peer's bytes are not a message, or a value in them is invalid. It is the
//! fault of the peer or the channel, never of the caller. The message is dropped and counted, and the pair of roles
//! ends. After a pause of 1 s, doubled each time up to 30 s, a new pair begins with AGAIN. [`Applied::Refused`] is not
//! an error: refused records are counted, keep the table out of sync, and are retried after 1 s, doubled each time up
//! to 60 s. So is a whole state that the store could not put in force, although it only deletes.
//!
//! # State machines
//!
//! ```text
//! session    up -> HELLO, ROLE -> peer's HELLO, ROLE that answers ours -> paired
//!            a ROLE, a HELLO (a store's new life), garbage, or too many changes end the pair:
//!            machines are idle, numbers begin at 1, stamps and flags stay
//!
//! follower   offering -> offered -> receiving -> pruning -> following
//!                                       ^------ BEGIN --------'
//! decider    awaiting offer -> begin due -> walking -> serving
//!                               ^----- REQUEST ---------'
//! ```
//!
//! The tables are offered and walked one after another, in the order of the owner's list. A table that waits for the
//! peer keeps none of the others back, as the peer may have another order.
//!
//! A record's [`Tag`] has a stamp and four flags. SHARED: the peer has acknowledged the record, or sent it.
//! CHANGED: this node changed the record since both nodes had the same value. STRAY: a backup changed the record,
//! and the change is to be undone. REFUSED: the peer has no room for the record.
//!
//! Each message carries the pair of serials. A message of another pair is dropped, so messages from before a change
//! of roles are never mistaken for later ones. Counted records have ordinals within their pair. ACK states the ordinal
//! up to which every record has its verdict, and which records were refused. The head of each message states how
//! many records were handled. A follower ignores the decider's value of a key if the decider sent it before it
//! handled the follower's own change of that key. A decider sends nothing about a key while a write of the follower's
//! value to its store is pending.
//!
//! | the decider sends | the follower |
//! |---|---|
//! | anything, before it applied the follower's own change | stamps the record, keeps its own value |
//! | SAME, and the digest matches | stamps the record |
//! | SAME, and the digest differs | stamps the record, requests the value (REQUEST) |
//! | SAME, and the record does not exist here | REQUEST says that it was deleted here, and the decider deletes it unless the decider changed it; if the record expired, or a backup deleted it, the value is requested |
//! | PUT | applies and stamps the record |
//! | nothing until END | deletes the record, unless only this node may change it, its change is pending, or the decider refused it |
//!
//! # Whole states
//!
//! A table may accept whole states only ([`Store::takes_whole_states`]). The sender ends the records of a state with a COMMIT:
//! after a snapshot or an offer, and after changes, once no table has pending changes and the store says that its
//! records are a complete state ([`Store::is_complete_state`]). Until the COMMIT, received records wait in the receiver's
//! store, which then puts them in force at once with [`Store::commit`]. If the pair ends before, the store drops them
//! ([`Store::abandon`]). Deletions at the end of a snapshot belong to the same state. A state whose end has not
//! arrived delays neither [`is_settled`](Replica::is_settled) nor the answer to a drain.
//!
//! A table may be one list as a whole ([`Store::is_list`]); COMMIT and the preface in HELLO say so. A COMMIT has a
//! digest of all records ([`Store::state_digest`]). A received list is put in force only if it has that digest:
//!
//! | COMMIT with a different digest, received by | the received records |
//! |---|---|
//! | the decider, for a list that replaced another | are dropped: the decider's next COMMIT has the decider's digest |
//! | the decider, for single records | are put in force |
//! | the decider, for single records that were offered before it knew of its list, or sent while the follower waits for it | are dropped |
//! | the follower, while it waits for requested records, has changed single records, or reads its store | wait for the next COMMIT |
//! | the follower otherwise | are dropped, and so is a list of its own that the decider may not have; it requests everything by value |
//!
//! So if both nodes replace a list at the same time, the decider's list holds. Records that expire are in no digest,
//! because the nodes would never agree on the moment. For lists of such records the decider checks instead whether the
//! follower knew the decider's list when it made its own.
//!
//! # Bounds
//!
//! One message waits for the channel. `window` records (65 536) may be sent without a verdict. `changes_max` changes of
//! a table may be pending; beyond it, both nodes compare the whole table. 65 536 keys of each kind are remembered
//! (requested, expired, changed while apart); beyond it, the safe answer is assumed: an absence is not a deletion,
//! and an age is unknown. One call examines at most 10 000 records.
//!
//! # Where this differs from the first design
//!
//! - *Every* message carries the pair of serials, not OFFER and BEGIN alone, and counts start again with
//!   each pair. Otherwise an ACK that waited while the store began another incarnation would acknowledge
//!   records of the new incarnation.
//! - PUT, DEL and SAME are records of one message with flags: a deletion and an addition that
//!   replace each other (intervals of a set) keep their order, and snapshots mix freely.
//! - SAME names the key, not its hash: only one of the stores finds records by hash, most keys are
//!   shorter than a hash, and a collision would keep a stale record.
//! - The follower detects its own deletions: a SAME names a record that it lacks. The decider need not
//!   know which unchanged records the follower has, and an offer stays small.
//! - REQUEST may name keys, so that a single record is repaired without a snapshot, also a backup's stray.
//! - ACK lists the refused ordinals. With only a number the decider would take a refused record for an
//!   existing one, and later its absence for a deletion.
//! - END is counted: its verdict is that everything unnamed is deleted.
//! - After garbage the pair ends at once, because its records are unknown. AGAIN is sent with the new HELLO
//!   and ROLE instead of a request for a snapshot.
//! - HELLO has the preface itself, so that the sentence can say what differs. It does not say which
//!   incarnation of the peer is known: each node uses that knowledge itself.
//! - The decider begins a snapshot when every offered record has its verdict, and a pair begins only after
//!   the writes of the last one have theirs: records that are about to change cannot be compared.
//! - A key that expired on the follower is remembered until a snapshot is complete that began later;
//!   otherwise its absence would delete the decider's record, which traffic may have refreshed.
//! - A record that the decider has no room for stays on the follower: both miss records, nothing is lost.
//! - A backup's change counts as a stray only while the active node can be asked. A change made while the
//!   nodes are apart is merged.
//! - Nothing says that the peer does not accept a table. The decider concludes it from the offer of a later
//!   one, and its drain does not wait for the table that was left out.
//! - Keys that the decider deleted while the nodes were apart are remembered until a snapshot is
//!   complete: a restarted follower offers their records as if they were new. So are deletions that are
//!   still to be sent.
//! - Up to 65 536 keys that the decider changed while the nodes were apart are sent as changes, before
//!   the snapshot reaches them. A snapshot of a million records takes minutes on a busy machine, and a
//!   channel that is lost each time before its end would delay these changes forever.
//! - A store whose values tell which of two is later decides itself (`prefers`): an age in the values
//!   outlives a restart, the replica's ages do not.
//! - A follower whose records outlive its process may declare this (`recall`). It then offers nothing, so
//!   records that the decider deleted meanwhile do not come back. It revokes this (`forget`) if
//!   others changed those records while no process ran.
//! - Stores have `tag`, `digest`, `holds` and a cursor of their own; the crate keeps the flags.
//! - Two kinds of values are not kept here: those that a plugin has only at the moment of a change
//!   (conntrack), and those that no node decides. Such a plugin keeps its table, and its replica has none.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod ack;
mod buffer;
mod commit;
mod conflicts;
mod drain;
mod garbage;
mod inbox;
mod local;
pub mod map;
mod merge;
mod offer;
mod offline;
mod outbox;
mod own_messages;
mod planted_fault;
mod recall;
mod receiver;
mod sender;
mod serial_pair;
mod session;
mod sink;
mod snapshot;
mod status;
mod store;
mod table;
mod timer;
pub mod toy;
pub mod wire;

#[cfg(test)]
mod tests;

pub use buffer::ValueWriter;
pub use conflicts::Conflict;
pub use session::Replica;
pub use sink::Sink;
pub use status::{CopyState, TableStatus};
pub use store::{
    Applied, Authority, Change, Commit, Key, Stamp, Step, Store, Strays, Table, Tag, Token,
    stale_of,
};
pub use wire::{Malformed, Reader};

pub(crate) const SECOND: u64 = 1_000_000_000;

/// Configuration of a replica.
#[derive(Clone, Debug)]
pub struct Config {
    /// Run of this process: random, new at each start.
    pub run: u64,
    /// Key of this node, unique: the greater one decides if the roles do not.
    pub node: u64,
    /// Tables, at most 255, in the order in which they are filled.
    pub tables: Vec<TableConfig>,
    /// Limit of pending changes of a table, beyond which both nodes compare the whole table. 262144 is a good value:
    /// about 30 MB if all are pending.
    pub changes_max: usize,
    /// Limit of sent records without a verdict. A table that accepts whole states only ([`Store::takes_whole_states`]) is sent in
    /// parts beyond it.
    pub window: usize,
}

impl Config {
    /// Configuration of tables that belong to no group, with the usual limits.
    pub fn new<'n>(run: u64, node: u64, tables: impl IntoIterator<Item = &'n str>) -> Self {
        let tables = tables.into_iter().map(|name| TableConfig {
            name: name.to_owned(),
            group: None,
        });
        Self {
            run,
            node,
            tables: tables.collect(),
            changes_max: 262_144,
            window: 65_536,
        }
    }
}

/// Configuration of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableConfig {
    /// Name, the same on both nodes, up to 255 bytes.
    pub name: String,
    /// Group whose active node decides; None: the node that is active for any group decides.
    pub group: Option<String>,
}

/// State of a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drain {
    /// No drain was started.
    Idle,
    /// Records are still pending.
    Pending,
    /// The peer has confirmed everything.
    Done,
    /// The channel went down.
    Failed,
}
