//! Replication of tunnels, sans I/O: reports to the peer, records kept for a failover, and changes
//! of the kernel.
//!
//! The records of both nodes are in `store.rs`, and a [`Replica`] keeps them equal;
//! here is what the plugin alone knows: exposure and pace of numbers, proofs, failovers, what an IKE
//! daemon's deletions mean.
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

mod apart;
mod apply;
mod blocks;
mod claimed;
mod connections;
mod daemon;
mod doubts;
mod drain;
mod foreign;
mod ike;
mod inherit;
mod install;
mod installed;
mod local;
mod names;
mod outbox;
mod policies;
mod proofs;
mod read;
mod readiness;
mod replicate;
mod reqids;
mod resume;
mod retire;
mod role;
mod roles;
mod routes;
mod runner;
mod session;
mod silence;
mod status;
mod stop;
mod switchover;
#[cfg(test)]
mod tests;
mod tunnels;
mod unadopted;
mod wanted;
mod window;
mod withheld;

use std::collections::BTreeSet;
use std::net::IpAddr;

use spared_replica::{Config, Replica};

use crate::SECOND;
use crate::codec::hold::Ways;
use crate::config::Settings;
use crate::sa::{Life, Policy, PolicyId, Replay, Sa, SaId};
use crate::store::Tunnels;
use apart::Apart;
use ike::IkeDaemon;
use install::Failover;
use installed::Installed;
use outbox::Outbox;
use read::Reads;
use readiness::Readiness;
use roles::Roles;
use session::Session;
use switchover::Switchover;

pub use crate::sa::ChildName;
pub use daemon::{DaemonWord, Deleter};
pub use routes::TunnelRoute;

/// Interval of measuring rates, and of periodic work.
const TICK_NS: u64 = SECOND;
/// A plugin that begins anew hears of its peer within this.
const FRESH_NS: u64 = 60 * SECOND;

/// A report of the kernel, by notification or in a reading.
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
    /// All SAs or policies were deleted in one go; a reading tells which are there now.
    Flushed(Deleter),
    /// Only a reading tells what is so now.
    Unsure,
}

/// A change of the kernel's tables, one request each.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// With these numbers, this age and a notification each so many packets from its first moment on. EEXIST where
    /// it is there.
    AddSa(Box<Sa>, u32),
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

/// An IKE daemon's name of the SAs with this SPI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    pub spi: u32,
    pub name: ChildName,
    /// The daemon calls its child up.
    pub is_up: bool,
}

/// Actions for the driver.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Read all SAs and policies: each to `handle_seen`, then `handle_read`.
    Read,
    /// In this order; then `handle_applied`, with what was refused.
    Apply(Vec<Change>),
    Warn(String),
    /// A week later somebody may ask.
    Event(String),
    /// The IKE daemon here is to establish these anew, beside the SAs with these SPIs.
    Adopt(Vec<ChildName>, BTreeSet<u32>),
    /// Nothing is to be adopted any more.
    Forget,
    /// The IKE daemon here must not assign these, and may assign all others.
    Withhold(BTreeSet<IpAddr>),
    /// Whether the IKE daemon here still answers: `handle_daemon`.
    Greet,
    /// From these addresses, and no others, no request of IKE leaves that could end a tunnel.
    Silence(BTreeSet<IpAddr>),
    /// Deletes these, of which something may be sent until then: `handle_stopped_sas` with the last numbers.
    Stop(Vec<SaId>),
    /// `handle_forwarded` with the packets that this node has forwarded so far.
    CountForwarded,
    /// Packets whose policy finds no SA wait for one: up to 100 of each policy, and many more on these ways.
    Hold(Ways),
    /// Those that are passed on go on now, and what comes after them waits.
    LetGo,
    /// Packets whose policy finds no SA are dropped again, when all that waited has gone on: `handle_still_held` until then.
    EndHold,
    /// These routes, and no others of this plugin's.
    Routes(BTreeSet<TunnelRoute>),
    /// The next run of this plugin is to know this: `handle_kept`.
    Keep(Vec<u8>),
    /// The next run is to know this as well: `handle_left`.
    Leave(Vec<u8>),
    /// And this: `handle_parted`.
    Part(Vec<u8>),
    /// Nothing: there is more to do, and others may have their turn before it.
    Pause,
}

/// What a kernel may have been built without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lacks {
    /// There is no netlink of it: nothing can be read.
    Ipsec,
    /// Policies are followed, SAs cannot be.
    Esp,
}

impl Lacks {
    pub fn words(self) -> &'static str {
        match self {
            Self::Ipsec => "this kernel has no IPsec: no tunnels are replicated",
            Self::Esp => "this kernel has no ESP: no tunnels are replicated to it",
        }
    }
}

/// The plugin's logic. README.md tells how long each part lives.
pub struct Engine {
    settings: Settings,
    roles: Roles,
    store: Tunnels,
    replica: Replica<Tunnels>,
    /// None while the peer is not there.
    session: Option<Session>,
    apart: Apart,
    installed: Installed,
    failover: Failover,
    switchover: Switchover,
    ike: IkeDaemon,
    reads: Reads,
    counters: Counters,
    outbox: Outbox,
    readiness: Readiness,
    /// Time of the next periodic work.
    tick_ns: u64,
}

/// For `sparectl ipsec`.
#[derive(Debug, Default)]
struct Counters {
    /// Counters that a reading found further on than notifications may leave them.
    unheard: u64,
    /// The kernel's notifications were lost.
    overruns: u64,
    installed: u64,
    refused: u64,
    superseded: u64,
    /// Deleted by an IKE daemon, and put back.
    restored: u64,
    /// Read back after a failover, and not as they were installed.
    differing: u64,
}

impl Engine {
    /// An engine that knows nothing yet; `config` names the store's [`TABLES`](crate::wire::TABLES).
    pub fn new(now_ns: u64, settings: Settings, config: Config) -> Self {
        let mut store = Tunnels::new(config.run, &settings);
        store.run.begin(now_ns + FRESH_NS);
        Self {
            store,
            replica: Replica::new(config),
            ike: IkeDaemon::new(&settings),
            settings,
            roles: Roles::default(),
            session: None,
            apart: Apart::new(now_ns),
            installed: Installed::default(),
            failover: Failover::default(),
            switchover: Switchover::default(),
            reads: Reads::new(now_ns),
            counters: Counters::default(),
            outbox: Outbox::default(),
            readiness: Readiness::new(),
            tick_ns: now_ns + TICK_NS,
        }
    }

    pub fn configure(&mut self, now_ns: u64, settings: Settings) {
        self.store.ends.configure(&settings);
        self.settings = settings;
        self.sort_ends(now_ns);
    }

    /// What [`Action::Keep`] of an earlier run had.
    pub fn handle_kept(&mut self, now_ns: u64, kept: &[u8]) {
        self.store.ended.recall(now_ns, kept);
    }

    /// Handles a report of the kernel or of a reading.
    pub fn handle_seen(&mut self, now_ns: u64, seen: XfrmEvent) {
        match seen {
            XfrmEvent::Sa(sa) => self.see_sa(now_ns, sa),
            XfrmEvent::SaGone(id, by) => self.lose_sa(now_ns, &id, by),
            XfrmEvent::Counters(id, replay, life) => self.see_counters(now_ns, &id, replay, life),
            XfrmEvent::Policy(policy) => {
                let (id, takes_place) = (policy.id, self.takes_place(&policy));
                self.see_policy(now_ns, policy);
                if takes_place {
                    self.store.put.forget(&id);
                }
            }
            XfrmEvent::PolicyGone(id, by) => self.lose_policy(now_ns, &id, by),
            XfrmEvent::Flushed(by) => {
                self.ike.presence.note_flush(by);
                self.doubt(now_ns);
            }
            XfrmEvent::Unsure => self.doubt(now_ns),
        }
    }

    /// Handles notifications of what others do.
    pub fn handle_told(&mut self, now_ns: u64, told: Vec<XfrmEvent>) {
        for told in told {
            match &told {
                XfrmEvent::Sa(sa) => self.trust_sa(&sa.id),
                XfrmEvent::Policy(policy) => self.end_doubt(policy),
                _ => {}
            }
            self.handle_seen(now_ns, told);
        }
    }

    /// Handles entries of a reading.
    pub fn handle_all(&mut self, now_ns: u64, seen: Vec<XfrmEvent>) {
        for seen in seen {
            self.handle_seen(now_ns, seen);
        }
    }

    pub fn poll_action(&mut self) -> Option<Action> {
        self.install_next(self.store.now_ns);
        if let Some(changes) = self.outbox.poll_changes() {
            return Some(Action::Apply(changes));
        }
        self.failover.free_taken();
        if self.find_readiness() {
            if let Some(kept) = self.store.ended.poll_kept(!self.is_complete()) {
                self.act(Action::Keep(kept));
            }
            self.leave_unadopted();
        }
        let action = self.outbox.poll_action();
        action.or_else(|| self.note_added(self.store.now_ns).then_some(Action::Pause))
    }

    pub fn next_timeout(&self, now_ns: u64) -> u64 {
        let is_empty = self.store.sas.is_empty() && self.store.policies.is_empty();
        let has_tunnels = !is_empty || !self.store.put.blocks.is_empty();
        let has_work = has_tunnels || self.ike.has_orders();
        let tick = match self.is_active() && has_work {
            true => self.tick_ns,
            false => u64::MAX,
        };
        let times = [
            tick,
            self.reads.next_ns(),
            self.store.ends.next_ns(),
            self.failover.give_up_ns(),
            self.apart.next_ns(),
            self.store.held.next_ns(),
            self.switchover.next_ns(),
            self.store.put.next_ns(),
            self.store.proofs.next_ns(),
            self.ike.next_ns(),
            self.next_wrong_ns(),
            self.replica_ns(now_ns),
        ];
        times.into_iter().min().unwrap_or(u64::MAX)
    }

    pub fn handle_timeout(&mut self, now_ns: u64) {
        if self.reads.is_due(now_ns) {
            self.begin_reading();
        }
        if self.store.ends.expire(now_ns) {
            self.leave_lost(now_ns);
        }
        self.end_drain(now_ns);
        if self.failover.give_up_ns() <= now_ns {
            self.take_back(now_ns);
        }
        self.time_resume(now_ns);
        self.time_stop(now_ns);
        self.time_doubts(now_ns);
        self.put_back(now_ns);
        self.make_room(now_ns);
        self.prove_again(now_ns);
        self.time_silence(now_ns);
        self.time_apart(now_ns);
        self.time_connections(now_ns);
        self.time_retiring(now_ns);
        if self.tick_ns <= now_ns {
            self.tick_ns = now_ns + TICK_NS;
            self.tick(now_ns);
        }
        self.time_replica(now_ns);
    }

    /// Touches memory for a failover, while no snapshot of the peer is under way.
    fn make_room(&mut self, now_ns: u64) {
        let waits = self.is_up() && !self.is_complete();
        let is_put = |id: &SaId| self.installed.has(id);
        self.store.held.make_room(now_ns, waits, is_put);
    }

    fn tick(&mut self, now_ns: u64) {
        if self.is_active() {
            self.measure(now_ns);
            self.supersede(now_ns);
            self.look_for_claimed(now_ns);
            self.look_for_tunnels();
            self.route();
            self.withhold();
        }
        self.confirm_ends(now_ns);
    }

    fn is_active(&self) -> bool {
        self.store.is_active
    }
}
