//! Keeps the records of a plugin equal on both nodes: the protocol, never the values.
//!
//! Sans I/O. A plugin implements [`Store`] where its values live (a kernel's table, a server's
//! file) and moves messages between a [`Replica`] and the channel to the peer. All else is here:
//! who decides, what differs, snapshots and changes, what was deleted and what was lost,
//! acknowledgements, back-pressure, and the sentences that people read.
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
//! *Incarnation*: one life of a store ([`Store::incarnation`]). A record that is absent was deleted
//! only if it was there in the same life; a set that was made anew has lost it, and gets it back.
//!
//! *Decider*: for each table one node's order counts. It is the node that is active alone for the
//! table's group; with both or none active, the one with the greater key. The other follows.
//!
//! # Order of calls
//!
//! 1. [`Replica::new`] with a [`Config`]; [`handle_groups`](Replica::handle_groups) with each change
//!    of the roles, at any time.
//! 2. [`handle_up`](Replica::handle_up), [`handle_message`](Replica::handle_message) for each
//!    message while [`wants`](Replica::wants) says so, [`handle_down`](Replica::handle_down).
//! 3. [`changed`](Replica::changed) for each record that others changed at this store, after the
//!    store has it. [`verdict`](Replica::verdict) once for each [`Applied::Later`], in any order,
//!    unless the table began another life; writes take effect in the order of the calls.
//! 4. After each of these, and when [`next_timeout`](Replica::next_timeout) says
//!    ([`handle_timeout`](Replica::handle_timeout)): while the channel takes messages,
//!    [`poll_message`](Replica::poll_message) and [`sent`](Replica::sent); then
//!    [`poll_event`](Replica::poll_event), [`in_sync`](Replica::in_sync) for people and
//!    [`ready`](Replica::ready) for the host.
//!
//! Times, `now_ns`, are nanoseconds of a monotonic clock; no two nodes have the same.
//!
//! Every call does a bounded part of the work and none blocks. One message waits at most; what
//! waits to be said is remembered by key and said as it is when the channel takes it.
//!
//! A table whose records live nowhere else needs no store of its own: [`map::Map`] is one.
//!
//! A switchover: [`start_drain`](Replica::start_drain) on the node that leaves until
//! [`drained`](Replica::drained) says [`Drain::Done`], [`is_settled`](Replica::is_settled) on the
//! other before addresses move. That one hears of it by [`drain_heard`](Replica::drain_heard), and by
//! [`peer_groups`](Replica::peer_groups) that the other's role has gone: all that it said before is
//! here then.
//!
//! # Messages of one's own
//!
//! A plugin may send messages of its own in the same channel: their first byte is
//! [`wire::OWN`] or greater, and they are not given to the replica. They belong to no pair, and none
//! is dropped when a role moves. One that makes no sense is reported by [`reject`](Replica::reject).
//! They arrive in the order in which they were sent: a plugin that holds back
//! [`poll_message`](Replica::poll_message) until they have gone tells its ROLE behind all that it told
//! under the last one, and drains behind everything.
//!
//! A plugin whose records are put together by rules of its own needs no table at all. Its replica is
//! the session: who the peer is and what is active there, the drain, and AGAIN.
//!
//! ```
//! use spared_replica::map::Map;
//! use spared_replica::{Config, Drain, Replica};
//!
//! // a map that no table is of is never asked for anything
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
//! // what a message of its own names, so that the peer knows which of its roles is answered
//! let (serial, groups) = nodes[1].peer_role().unwrap();
//! assert_eq!(Some(serial), nodes[0].serial());
//! assert!(groups.contains("office"));
//!
//! nodes[0].start_drain();
//! exchange(&mut nodes);
//! assert_eq!(nodes[0].drained(), Drain::Done);
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
//! There is one, [`Malformed`]: the peer's bytes, or a value in them, are none. It is the peer's
//! fault or the channel's, never the caller's. The message is dropped and counted, the pair of roles
//! ends, and after a second, doubled to 30, a new one begins with AGAIN. [`Applied::Refused`] is no
//! error: refused records are counted, keep "in sync" false, and are tried again, after a second
//! doubled to 60.
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
//! decider    awaiting -> due -> walking -> serving
//!                         ^---- REQUEST ------'
//! ```
//!
//! A record's [`Tag`] has a stamp and four flags. SHARED: the peer has acknowledged it, or it came
//! from there. CHANGED: changed here since both had the same. STRAY: changed by a backup, to be
//! undone. REFUSED: the peer has no room for it.
//!
//! The pair of serials is in each message, and a message of another pair is dropped: what was said
//! before a role moved is never taken for what was said after it. Counted records have ordinals in
//! their pair. ACK tells up to which ordinal every record has its verdict and which were refused;
//! the head of each message tells how many were handled. A follower does not apply what the decider
//! said before it had handled the follower's own change to that key, and a decider says nothing of a
//! key while a write of the follower's value is on its way into its store.
//!
//! | on the decider's SAME or PUT | the follower |
//! |---|---|
//! | has a change of its own that the decider had not applied | stamps the record, keeps its value |
//! | SAME, and the digest fits | stamps it |
//! | SAME, and the digest differs | stamps it, asks for the value (REQUEST) |
//! | SAME, and the record is not here | it was deleted here: REQUEST says so, and the decider deletes it unless it changed it; if it ran out, or a backup deleted it, the value is asked for |
//! | PUT | applies and stamps it |
//! | nothing until END | deletes it, unless it is its own alone, or its change waits, or the decider refused it |
//!
//! # Whole states
//!
//! A table may take whole states only ([`Store::is_whole`]). The sender ends what it has sent by a
//! COMMIT: after a snapshot or an offer, and after changes, once none of any table waits and its store
//! says that its records are a state that others made ([`Store::is_exact`]). What was received until then
//! waits at the receiver's store, which puts it in force at once with [`Store::commit`]; a pair that ends
//! before it drops it ([`Store::abandon`]). Deletions of a snapshot's end belong to the same state.
//! Nothing waits for a state without an end: neither [`is_settled`](Replica::is_settled) nor the answer to a
//! drain.
//!
//! A table may be one list as a whole ([`Store::is_list`]): COMMIT says so, and HELLO. A COMMIT has a digest of
//! all records ([`Store::state`]), and of a list nothing is put in force that does not have it:
//!
//! | on a COMMIT with another digest | what was received |
//! |---|---|
//! | the decider, of a list that took the place of another | is dropped: the next COMMIT has the decider's digest |
//! | the decider, of single records | is put in force |
//! | the follower, that has asked for records, changed single ones, or reads its store | waits for the next COMMIT |
//! | the follower | is dropped, with a list of its own that the decider may not have; all is asked for by value |
//!
//! So of two lists that took the place of the last one at the same time on both nodes, the decider's holds. Records
//! that end by themselves are in no digest, as the nodes would never agree on the moment: for lists of these the
//! decider looks whether the follower knew of the decider's list when it made its own.
//!
//! # Bounds
//!
//! One message waits; `window` records (65 536) are on their way without a verdict; `changes_max` changes of a
//! table wait, beyond which both nodes compare all of it; 65 536 keys are remembered of each kind
//! (asked for, ended, changed while apart), beyond which the safe answer is given: an absence is no
//! deletion, an age is unknown. Ten thousand records are looked at in one call.
//!
//! # Where this differs from the first design
//!
//! - *Every* message carries the pair of serials, not OFFER and BEGIN alone; counts begin anew with
//!   each pair. An ACK that waited while the store began another life would else say of records
//!   of the new life that they are there.
//! - PUT, DEL and SAME are records of one message with flags: a deletion and an addition that
//!   replace each other (intervals of a set) keep their order, and snapshots mix freely.
//! - SAME names the key, not its hash: of the stores only one finds records by hash, most keys are
//!   shorter than one, and a collision would keep a stale record.
//! - "The follower deleted it" is found by the follower: a SAME of what it lacks. The decider need
//!   not know which unchanged records the follower has, and an offer stays small.
//! - REQUEST may name keys. A single record is fixed without a snapshot, also a backup's stray.
//! - ACK lists the refused ordinals. With a number alone the decider would take a refused record for
//!   one that is there, and later its absence for a deletion.
//! - END is counted: its verdict is that everything unnamed is deleted.
//! - After garbage the pair ends at once, since nobody knows which records were in it; AGAIN goes
//!   with the new HELLO and ROLE instead of asking for a snapshot.
//! - HELLO has the preface itself, so that the sentence can say what differs. It does not tell which
//!   life of the peer is known: each node uses that knowledge itself.
//! - The decider begins a snapshot when all that was offered has its verdict, and no pair begins
//!   before the writes of the last one have theirs: nobody can compare what is about to change.
//! - A key that ran out on the follower is remembered until the next snapshot; else its absence
//!   would delete the decider's record, which traffic may have refreshed.
//! - What the decider has no room for stays on the follower: both are short, nothing is lost.
//! - A backup's change counts as a stray only while the active node is there to ask; made while the
//!   nodes are apart it is merged.
//! - What the decider deleted while the nodes were apart is remembered by key until a snapshot is
//!   complete: a follower that was started again offers it as if it were new.
//! - What the decider changed while the nodes were apart (65 536 keys of it) is sent as changes, before
//!   the snapshot comes to it: with a million records that takes minutes on a busy machine, and a channel
//!   that never lasts so long would keep it back for ever.
//! - A store whose values tell which of two is later says so itself (`prefers`): an age that the
//!   values carry outlives a restart, the replica's do not.
//! - A follower whose records outlive its process may say so (`recall`): it offers nothing then, and
//!   what the decider deleted meanwhile is not brought back by it. It takes that back (`forget`) if
//!   others changed those records while there was no process.
//! - Stores have `tag`, `digest`, `holds` and a cursor of their own; the crate keeps the flags.
//! - Values that a plugin has only at the moment of a change (conntrack) are not kept here, nor those
//!   that no node decides: its table stays its own, and its replica has none.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod ack;
mod buffer;
mod commit;
mod drain;
mod fault;
mod garbage;
mod inbox;
mod local;
pub mod map;
mod merge;
mod offer;
mod outbox;
mod own;
mod pairing;
mod recall;
mod receiver;
mod sender;
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

pub use buffer::Value;
pub use session::Replica;
pub use sink::Sink;
pub use status::{CopyState, TableStatus};
pub use store::{
    Applied, Authority, Change, Commit, Key, Mark, Step, Store, Strays, Table, Tag, Token,
};
pub use table::Conflict;
pub use wire::{Malformed, Reader};

pub(crate) const SECOND: u64 = 1_000_000_000;

/// Configuration of a replica.
#[derive(Clone, Debug)]
pub struct Config {
    /// Run of this process: random, new at each start.
    pub run: u64,
    /// Key of this node, unique: the greater one decides where the roles do not.
    pub node: u64,
    /// Tables, at most 255, in the order in which they are filled.
    pub tables: Vec<TableConfig>,
    /// Limit of waiting changes of a table, beyond which both nodes compare the whole table. 262144
    /// is a good number: some 30 MB if all of them wait.
    pub changes_max: usize,
    /// Limit of records on their way without a verdict. A table that takes whole states only
    /// ([`Store::is_whole`]) is told in parts beyond it.
    pub window: usize,
}

impl Config {
    /// Tables that belong to no group, with the usual bound.
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

/// One table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableConfig {
    /// Name, the same on both nodes, up to 255 bytes.
    pub name: String,
    /// Group whose active node decides; None: the node that is active for any group.
    pub group: Option<String>,
}

/// State of a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drain {
    /// No drain was started.
    Idle,
    /// Records are still waiting.
    Pending,
    /// The peer has everything.
    Done,
    /// The channel went down.
    Failed,
}
