//! Replication of tunnels, sans I/O: reports to the peer, records kept for a failover, and changes
//! of the kernel.
//!
//! The records of both nodes are in `store.rs`, and a [`Replica`] keeps them equal. This module holds what only the
//! plugin knows: exposure and pace of numbers, proofs, failovers, and the meaning of an IKE daemon's deletions.
//!
//! Feed it with [`configure`](Engine::configure), [`handle_role`](Engine::handle_role),
//! [`handle_settle`](Engine::handle_settle), [`handle_drain`](Engine::handle_drain),
//! [`handle_endpoints`](Engine::handle_endpoints), the kernel's reports ([`handle_event`](Engine::handle_event),
//! [`handle_read`](Engine::handle_read), [`handle_applied`](Engine::handle_applied)), the IKE daemon's
//! ([`handle_names`](Engine::handle_names), [`handle_adopted`](Engine::handle_adopted),
//! [`handle_presence`](Engine::handle_presence)), the peer's ([`handle_up`](Engine::handle_up),
//! [`handle_down`](Engine::handle_down), [`handle_message`](Engine::handle_message)), and
//! [`handle_timeout`](Engine::handle_timeout) at the time of [`next_timeout`](Engine::next_timeout). Drain
//! [`poll_action`](Engine::poll_action) and, while the channel takes messages, [`poll_message`](Engine::poll_message).

mod adoption;
mod apply;
mod blocks;
mod connections;
mod daemon;
mod drain;
mod earlier_run;
mod foreign;
mod group_roles;
mod ike;
mod install;
mod installed;
mod kernel_events;
mod names;
mod outbox;
mod pending_deletions;
mod policies;
mod proofs;
mod read;
mod readiness;
mod replicate;
mod reqids;
mod resume;
mod retire;
mod role;
mod routes;
mod runner;
mod separation;
mod session;
mod sessions;
mod silence;
mod status;
mod stop;
mod switchover;
#[cfg(test)]
mod tests;
mod tunnels;
mod tunnels_without_sa;
mod unadopted;
mod window;
mod withheld;

use std::collections::BTreeSet;
use std::net::IpAddr;

use spared_replica::{Config, Replica};

use crate::SECOND;
use crate::codec::hold::{HeldTraffic, NewSas};
use crate::config::Settings;
use crate::sa::{Body, Life, Policy, PolicyId, Replay, Sa, SaId};
use crate::store::Tunnels;
use group_roles::Roles;
use ike::IkeDaemon;
use install::Failover;
use installed::Installed;
use outbox::Outbox;
use read::Reads;
use readiness::Readiness;
use separation::Separation;
use session::Session;
use switchover::Switchover;

pub use crate::sa::ChildName;
pub use daemon::{DaemonEvent, Deleter};
pub use routes::TunnelRoute;
pub use sessions::NotTold;

/// Interval of periodic work, such as measuring rates.
const TICK_NS: u64 = SECOND;
/// Time within which a plugin that starts again hears of its peer.
const FRESH_NS: u64 = 60 * SECOND;

/// A report of the kernel, by notification or in a reading.
#[derive(Clone, Debug, PartialEq)]
pub enum XfrmEvent {
    /// An SA is new, changed, or found by a reading.
    Sa(Sa),
    /// An SA was deleted, or expired for good.
    SaGone(SaId, Deleter),
    /// An SA's numbers moved on.
    Counters(SaId, Replay, Option<Life>),
    Policy(Policy),
    PolicyGone(PolicyId, Deleter),
    /// All SAs or policies were deleted in one go; a reading tells which are there now.
    Flushed(Deleter),
    /// The present state is unknown until a reading.
    Unsure,
}

/// A change of the kernel's tables, one request each.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Adds an SA with these numbers, this age and a notification every so many packets from its first moment on.
    /// EEXIST if the SA exists.
    AddSa(Box<Sa>, u32),
    DeleteSa(SaId),
    /// Adds a policy. EEXIST if a policy with its id exists.
    AddPolicy(Policy),
    /// Adds a policy, or replaces an existing one.
    PutPolicy(Policy),
    /// Replaces a policy by one that leads to no SA, until an IKE daemon replaces it.
    ParkPolicy(Policy),
    DeletePolicy(PolicyId),
    /// Sets the replay state of an existing SA.
    SetReplay(SaId, Replay),
    /// Sets a notification of an SA every so many packets.
    SetThreshold(SaId, u32),
    /// Tries whether the kernel could take such an SA: adds one like it with other keys and another identity, and
    /// deletes it.
    Probe(Box<Sa>),
}

/// Name that the IKE daemon gives to the SAs with this SPI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedSpi {
    pub spi: u32,
    pub name: ChildName,
    /// The daemon calls its child up.
    pub is_up: bool,
}

/// Actions for the driver.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Read all SAs and policies; pass each to `handle_event`, then call `handle_read`.
    Read,
    /// Apply the changes in this order; then call `handle_applied`, with the refused ones.
    Apply(Vec<Change>),
    Warn(String),
    /// Record an event, which an administrator may look up a week later.
    Event(String),
    /// Have the IKE daemon here establish these again, in addition to the SAs with these SPIs.
    Adopt(Vec<ChildName>, BTreeSet<u32>),
    /// Cancel all orders to establish children.
    CancelAdoption,
    /// Have the IKE daemon here assign none of these addresses; it may assign all others.
    Withhold(BTreeSet<IpAddr>),
    /// Ask whether the IKE daemon here still answers; the answer goes to `handle_presence`.
    Ping,
    /// Block requests of IKE that could end a tunnel, from these addresses and no others.
    Silence(BTreeSet<IpAddr>),
    /// Block requests of IKE that begin an IKE SA from one of these addresses to the far end beside it, and no others.
    BlockOpenings(BTreeSet<(IpAddr, IpAddr)>),
    /// Have charon give up IKE SAs of these connections that it has begun and that have no keys yet; call
    /// `handle_given_up`.
    GiveUp(BTreeSet<String>),
    /// Delete these SAs, with which packets may be sent until then; call `handle_stopped_sas` with the last numbers.
    Stop(Vec<SaId>),
    /// Delete these SAs, which charon is to add again, and drop what is sent with its own until [`Action::EndHold`]; call
    /// `handle_detached` with the last numbers.
    Detach(Vec<SaId>, NewSas),
    /// Tell charon whether it is to answer for its IKE SAs, in this version; call `handle_segment`.
    Segment(bool, u8),
    /// Notice the IKE daemon soon after its start.
    ExpectDaemon,
    /// Call `handle_loaded` when charon has these connections.
    AwaitConnections(BTreeSet<String>),
    /// Pass these messages on to charon's plugin `ha`; call `handle_told` with them.
    Tell(Vec<Body>),
    /// Call `handle_messages_read` with whether charon has read all of its messages.
    AwaitRead,
    /// Count the packets that this node has forwarded so far; call `handle_forwarded` with them.
    CountForwarded,
    /// Hold packets whose policy finds no SA until there is one: up to 100 for each policy, and many more of this
    /// traffic.
    Hold(HeldTraffic),
    /// Release the held packets that are forwarded, and hold later ones.
    ReleaseForwarded,
    /// Drop packets whose policy finds no SA again, once all held ones have been released; call `handle_still_held`
    /// until then.
    EndHold,
    /// Set these routes, and no others of this plugin.
    Routes(BTreeSet<TunnelRoute>),
    /// Save these bytes for the next run of this plugin, which gets them by `handle_saved_ended`.
    SaveEnded(Vec<u8>),
    /// Save these bytes for the next run, which gets them by `handle_saved_unadopted`.
    SaveUnadopted(Vec<u8>),
    /// Save these bytes for the next run, which gets them by `handle_saved_separation`.
    SaveSeparation(Vec<u8>),
    /// Do nothing: there is more to do, and others may have their turn before it.
    Pause,
}

/// Feature that a kernel may have been built without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingFeature {
    /// IPsec: there is no netlink for it, and nothing can be read.
    Ipsec,
    /// ESP: policies can be replicated, SAs cannot.
    Esp,
}

impl MissingFeature {
    pub fn text(self) -> &'static str {
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
    /// Session with the peer; None without a channel.
    session: Option<Session>,
    separation: Separation,
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

/// Counters for `sparectl ipsec`.
#[derive(Debug, Default)]
struct Counters {
    /// Number of SAs that a reading found further on than notifications allow.
    unheard: u64,
    /// Number of times that notifications of the kernel were lost.
    overruns: u64,
    installed: u64,
    refused: u64,
    superseded: u64,
    /// Number of SAs and policies that an IKE daemon deleted and that were put back.
    restored: u64,
    /// Number of SAs that a failover's reading found different from how they were installed.
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
            separation: Separation::new(now_ns),
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
        self.update_sides_and_records(now_ns);
        if self.is_active() {
            self.update_quiet(now_ns);
        }
    }

    /// Handles the bytes of [`Action::SaveEnded`] of an earlier run.
    pub fn handle_saved_ended(&mut self, now_ns: u64, bytes: &[u8]) {
        self.store.ended.load(now_ns, bytes);
    }

    /// Handles a report of the kernel or of a reading.
    pub fn handle_event(&mut self, now_ns: u64, event: XfrmEvent) {
        match event {
            XfrmEvent::Sa(sa) => self.handle_sa(now_ns, sa),
            XfrmEvent::SaGone(id, by) => self.handle_sa_gone(now_ns, &id, by),
            // charon's new SA has no numbers yet
            XfrmEvent::Counters(id, ..) if self.is_awaited_sa(&id) => {}
            XfrmEvent::Counters(id, replay, life) => {
                self.handle_counters(now_ns, &id, replay, life)
            }
            XfrmEvent::Policy(policy) => {
                let (id, is_replaced) = (policy.id, self.replaced_policy(&policy).is_some());
                if is_replaced {
                    self.note_replaced_policy(&id);
                }
                self.handle_policy(now_ns, policy);
                if is_replaced {
                    self.store.installed_policies.forget(&id);
                }
            }
            XfrmEvent::PolicyGone(id, by) => self.handle_policy_gone(now_ns, &id, by),
            XfrmEvent::Flushed(by) => {
                self.ike.presence.note_flush(by);
                self.handle_overrun();
            }
            XfrmEvent::Unsure => self.handle_overrun(),
        }
    }

    /// Handles notifications of other programs' changes.
    pub fn handle_notifications(&mut self, now_ns: u64, events: Vec<XfrmEvent>) {
        for event in events {
            match &event {
                XfrmEvent::Sa(sa) => self.cancel_pending_sa(&sa.id),
                XfrmEvent::Policy(policy) => self.cancel_pending_policy(policy),
                _ => {}
            }
            self.handle_event(now_ns, event);
        }
    }

    /// Handles entries of a reading.
    pub fn handle_entries(&mut self, now_ns: u64, entries: Vec<XfrmEvent>) {
        for entry in entries {
            if !self.is_former_sa(&entry) {
                self.handle_event(now_ns, entry);
            }
        }
    }

    /// Changes before the plugin stops, until there are none: charon's policies lead from then on, and nothing leaves in
    /// clear text.
    pub fn poll_last_changes(&mut self, now_ns: u64) -> Option<Vec<Change>> {
        self.put_batch_back(now_ns);
        self.drop_copies();
        self.outbox.poll_changes()
    }

    pub fn poll_action(&mut self) -> Option<Action> {
        self.install_next(self.store.now_ns);
        self.block_due_openings();
        self.put_due_copies();
        if let Some(changes) = self.outbox.poll_changes() {
            return Some(Action::Apply(changes));
        }
        self.failover.free_released_policies();
        if self.update_readiness() {
            if let Some(kept) = self.store.ended.poll_saved(!self.is_complete()) {
                self.push_action(Action::SaveEnded(kept));
            }
            self.save_unadopted();
        }
        let action = self.outbox.poll_action();
        action.or_else(|| self.note_added(self.store.now_ns).then_some(Action::Pause))
    }

    pub fn next_timeout(&self, now_ns: u64) -> u64 {
        let is_empty = self.store.sas.is_empty() && self.store.policies.is_empty();
        let has_tunnels = !is_empty || !self.store.installed_policies.blocks.is_empty();
        let has_work = has_tunnels || self.ike.has_orders();
        let tick = if self.is_active() && has_work {
            self.tick_ns
        } else {
            u64::MAX
        };
        let times = [
            tick,
            self.reads.next_ns(),
            self.store.ends.next_ns(),
            self.failover.settling_until_ns(),
            self.failover.retry_ns(),
            self.separation.next_ns(),
            self.store.held.next_ns(),
            self.switchover.next_ns(),
            self.store.installed_policies.next_ns(),
            self.store.proofs.next_ns(),
            self.ike.next_ns(),
            self.next_fault_ns(),
            self.replica_ns(now_ns),
        ];
        times.into_iter().min().unwrap_or(u64::MAX)
    }

    pub fn handle_timeout(&mut self, now_ns: u64) {
        if self.reads.is_due(now_ns) {
            self.begin_reading();
        }
        if self.store.ends.expire(now_ns) {
            self.give_up_lingering(now_ns);
        }
        self.end_drain(now_ns);
        if self.failover.settling_until_ns() <= now_ns {
            self.end_settling(now_ns);
        }
        self.handle_resume_timeout(now_ns);
        self.handle_stop_timeout(now_ns);
        self.handle_pending_deletions_timeout(now_ns);
        self.restore_policies(now_ns);
        self.reserve_due(now_ns);
        self.retry_proofs(now_ns);
        self.handle_silence_timeout(now_ns);
        self.handle_feed_timeout(now_ns);
        self.handle_separation_timeout(now_ns);
        self.handle_connections_timeout(now_ns);
        self.handle_retiring_timeout(now_ns);
        self.handle_refused_timeout(now_ns);
        if self.tick_ns <= now_ns {
            self.tick_ns = now_ns + TICK_NS;
            self.tick(now_ns);
        }
        self.handle_replica_timeout(now_ns);
    }

    /// Touches memory for a failover, while no snapshot of the peer is under way.
    fn reserve_due(&mut self, now_ns: u64) {
        let waits = self.is_up() && !self.is_complete();
        let is_installed = |id: &SaId| self.installed.has(id);
        self.store.held.reserve_due(now_ns, waits, is_installed);
    }

    fn tick(&mut self, now_ns: u64) {
        if self.is_active() {
            self.measure(now_ns);
            self.supersede(now_ns);
            self.find_tunnels_without_sa(now_ns);
            self.update_tunnels_fault();
            self.set_routes();
            self.withhold();
        }
        self.confirm_ended(now_ns);
    }

    fn is_active(&self) -> bool {
        self.store.is_active
    }
}
