//! How tunnels follow, without I/O: what is told to the peer, what is kept for a failover, and what
//! the kernel is to be made of both.
//!
//! Fed by [`configure`](Engine::configure), [`handle_role`](Engine::handle_role),
//! [`handle_settle`](Engine::handle_settle), [`handle_drain`](Engine::handle_drain),
//! [`handle_endpoints`](Engine::handle_endpoints), by what the kernel says
//! ([`handle_seen`](Engine::handle_seen), [`handle_read`](Engine::handle_read),
//! [`handle_applied`](Engine::handle_applied)), by the IKE daemon's words
//! ([`handle_names`](Engine::handle_names), [`handle_adopted`](Engine::handle_adopted),
//! [`handle_daemon`](Engine::handle_daemon)), by the peer's
//! ([`handle_up`](Engine::handle_up), [`handle_down`](Engine::handle_down),
//! [`handle_message`](Engine::handle_message)) and by [`handle_timeout`](Engine::handle_timeout), at
//! the time that [`next_timeout`](Engine::next_timeout) says; drained by
//! [`poll_action`](Engine::poll_action) and, while the channel takes messages, by
//! [`poll_message`](Engine::poll_message).

mod adopt;
mod apply;
mod ends;
mod farewell;
mod held;
mod install;
mod local;
mod pace;
mod peer;
mod policies;
mod proofs;
mod read;
mod receiver;
mod reqids;
mod retire;
mod sender;
mod status;
#[cfg(test)]
mod tests;
mod window;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

use crate::config::Settings;
use crate::sa::{Life, Policy, PolicyId, Replay, Sa, SaId};
use apply::Work;
use ends::Ends;
use farewell::Farewell;
use held::Held;
use install::{Failover, Installed};
use local::{LocalPolicy, LocalSa};
use policies::Put;
use proofs::Proofs;
use read::Reads;
use receiver::Receiver;
use reqids::Served;
use retire::{Merge, Retiring};
use sender::Sender;

pub use crate::sa::ChildName;
pub use farewell::{DaemonWord, Deleter};

/// How often rates are measured, and what lies in between is looked at.
const TICK_MS: u64 = 1_000;

/// What the kernel tells, by notification or in a reading.
#[derive(Clone, Debug, PartialEq)]
pub enum XfrmEvent {
    /// New, changed, or found by a reading.
    Sa(Sa),
    /// Deleted, or expired for good.
    SaGone(SaId, Deleter),
    /// An SA's numbers moved on.
    Counters(SaId, Replay, Option<Life>),
    Policy(Policy),
    PolicyGone(PolicyId, Deleter),
    /// Only a reading tells what is so now.
    Unsure,
}

/// A change of the kernel's tables, one request each.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// With these numbers and this age from its first moment on. EEXIST where it is there.
    AddSa(Box<Sa>),
    DeleteSa(SaId),
    /// EEXIST where one with its id is there.
    AddPolicy(Policy),
    /// Also where one is there.
    PutPolicy(Policy),
    DeletePolicy(PolicyId),
    /// The replay state of an SA that is there.
    SetReplay(SaId, Replay),
    /// A notification each so many packets.
    SetThreshold(SaId, u32),
    /// Whether the kernel could take such an SA: adds one like it with other keys and another
    /// identity, and deletes it.
    Probe(Box<Sa>),
}

/// What an IKE daemon calls the SAs with this SPI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    pub spi: u32,
    pub name: ChildName,
}

/// What the engine wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Read all SAs and policies: each to `handle_seen`, then `handle_read`.
    Read,
    /// In this order; then `handle_applied`, with what was refused.
    Apply(Vec<Change>),
    InSync {
        yes: bool,
        why: String,
    },
    Warn(String),
    /// A week later somebody may ask.
    Event(String),
    /// The IKE daemon here is to establish these anew, beside the SAs with these SPIs.
    Adopt(Vec<ChildName>, BTreeSet<u32>),
    /// Nothing is to be adopted any more.
    Forget,
    /// Whether the IKE daemon here still answers: `handle_daemon`.
    Greet,
}

/// The plugin's logic.
#[derive(Debug)]
pub struct Engine {
    settings: Settings,
    ends: Ends,
    active_groups: BTreeSet<String>,
    up: bool,
    /// Whether the peer is active, once it has said so.
    peer: Option<bool>,
    /// Since when the two may not have the same.
    apart_since_ms: Option<u64>,
    /// The peer's kernel lays out its bytes in another way.
    alien: bool,
    /// What the kernel here has.
    sas: BTreeMap<SaId, LocalSa>,
    policies: BTreeMap<PolicyId, LocalPolicy>,
    /// Of them, what was put there from the peer's words.
    installed: BTreeMap<SaId, Installed>,
    put: Put,
    /// What the peer's has, for a failover.
    held: Held,
    sender: Sender,
    receiver: Receiver,
    proofs: Proofs,
    failover: Failover,
    served: Served,
    farewell: Farewell,
    retiring: Option<Retiring>,
    merge: Merge,
    reads: Reads,
    work: Work,
    names: BTreeMap<u32, ChildName>,
    counters: Counters,
    actions: VecDeque<Action>,
    /// What was made and is still to be said; its length is never the peer's choice.
    out: VecDeque<Vec<u8>>,
    /// The peer is to hear this node's role: the one that it has then.
    role_due: bool,
    said: Option<(bool, String)>,
    /// Something changed that people or the host may have to know.
    dirty: bool,
    tick_ms: u64,
    /// A message that is none was spoken of since the peer is there.
    warned: bool,
}

/// For `sparectl ipsec`.
#[derive(Debug, Default)]
struct Counters {
    malformed: u64,
    /// Counters that a reading found further on than notifications may leave them.
    unheard: u64,
    /// The kernel's notifications were lost.
    overruns: u64,
    installed: u64,
    refused: u64,
    superseded: u64,
    /// Deleted by an IKE daemon's farewell, and put back.
    restored: u64,
    /// Read back after a failover, and not as they were installed.
    differing: u64,
}

impl Engine {
    pub fn new(now_ms: u64, settings: Settings) -> Self {
        Self {
            ends: Ends::new(&settings),
            settings,
            active_groups: BTreeSet::new(),
            up: false,
            peer: None,
            apart_since_ms: Some(now_ms),
            alien: false,
            sas: BTreeMap::new(),
            policies: BTreeMap::new(),
            installed: BTreeMap::new(),
            put: Put::default(),
            held: Held::default(),
            sender: Sender::default(),
            receiver: Receiver::default(),
            proofs: Proofs::default(),
            failover: Failover::default(),
            served: Served::default(),
            farewell: Farewell::default(),
            retiring: None,
            merge: Merge::default(),
            reads: Reads::new(now_ms),
            work: Work::default(),
            names: BTreeMap::new(),
            counters: Counters::default(),
            actions: VecDeque::new(),
            out: VecDeque::new(),
            role_due: false,
            said: None,
            dirty: true,
            tick_ms: now_ms + TICK_MS,
            warned: false,
        }
    }

    pub fn configure(&mut self, now_ms: u64, settings: Settings) {
        self.ends.configure(&settings);
        self.settings = settings;
        self.sort_ends(now_ms);
    }

    pub fn handle_role(&mut self, now_ms: u64, group: &str, active: bool) {
        let before = self.is_active();
        if active {
            self.active_groups.insert(group.to_owned());
        } else {
            self.active_groups.remove(group);
        }
        if before == self.is_active() {
            return;
        }
        self.sender = Sender::default();
        self.farewell.begin(now_ms);
        if active {
            self.become_active(now_ms);
        } else {
            self.become_backup(now_ms);
        }
        self.receiver = Receiver::after(&self.receiver);
        self.tell_role();
        self.follow();
        self.said = None;
        self.dirty = true;
    }

    /// The addresses that spared put on interfaces of this node.
    pub fn handle_endpoints(&mut self, now_ms: u64, endpoints: BTreeSet<IpAddr>) {
        self.ends.set(now_ms, endpoints, self.is_active());
        self.sort_ends(now_ms);
    }

    /// What the kernel told, or a reading found.
    pub fn handle_seen(&mut self, now_ms: u64, seen: XfrmEvent) {
        match seen {
            XfrmEvent::Sa(sa) => self.see_sa(now_ms, sa),
            XfrmEvent::SaGone(id, by) => self.lose_sa(now_ms, &id, by),
            XfrmEvent::Counters(id, replay, life) => self.see_counters(now_ms, &id, replay, life),
            XfrmEvent::Policy(policy) => self.see_policy(now_ms, policy),
            XfrmEvent::PolicyGone(id, by) => self.lose_policy(now_ms, &id, by),
            XfrmEvent::Unsure => self.doubt(now_ms),
        }
    }

    pub fn poll_action(&mut self) -> Option<Action> {
        if let Some(changes) = self.work.next_batch() {
            return Some(Action::Apply(changes));
        }
        if self.actions.is_empty() && std::mem::take(&mut self.dirty) {
            self.review();
        }
        self.actions.pop_front()
    }

    pub fn next_timeout(&self) -> u64 {
        let tick = match self.is_active() && !self.sas.is_empty() {
            true => self.tick_ms,
            false => u64::MAX,
        };
        let times = [
            tick,
            self.reads.next_ms(),
            self.ends.next_ms(),
            self.sender.deadline_ms(),
            self.failover.give_up_ms(),
            self.put.next_ms(),
            self.proofs.next_ms(),
            self.receiver.missed_ms.unwrap_or(u64::MAX),
            self.retiring.as_ref().map_or(u64::MAX, |it| it.until_ms),
        ];
        times.into_iter().min().unwrap_or(u64::MAX)
    }

    pub fn handle_timeout(&mut self, now_ms: u64) {
        if self.reads.is_due(now_ms) {
            self.begin_reading();
        }
        if self.ends.expire(now_ms) {
            self.sort_ends(now_ms);
        }
        self.sender.give_up(now_ms);
        if self.failover.give_up_ms() <= now_ms {
            self.take_back();
        }
        self.put_back(now_ms);
        self.ask_again(now_ms);
        self.prove_again(now_ms);
        if self
            .retiring
            .as_ref()
            .is_some_and(|it| it.until_ms <= now_ms)
        {
            self.finish_retiring(now_ms);
        }
        if self.tick_ms <= now_ms {
            self.tick_ms = now_ms + TICK_MS;
            self.tick(now_ms);
        }
    }

    fn tick(&mut self, now_ms: u64) {
        if self.is_active() {
            self.measure(now_ms);
            self.supersede(now_ms);
        }
    }

    fn is_active(&self) -> bool {
        !self.active_groups.is_empty()
    }

    fn is_sender(&self) -> bool {
        self.is_active() && self.up && !self.alien && self.sender.subscribed
    }

    fn is_receiver(&self) -> bool {
        !self.is_active() && self.up && !self.alien && self.peer == Some(true)
    }

    fn event(&mut self, text: String) {
        self.actions.push_back(Action::Event(text));
    }

    fn warn(&mut self, text: String) {
        self.actions.push_back(Action::Warn(text));
    }
}
