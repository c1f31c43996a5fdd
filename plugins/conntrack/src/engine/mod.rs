//! Decides what is sent to the peer and what is applied here, without I/O and without a clock.
//!
//! Methods that feed it, all named `handle_*`:
//!
//! - the peer and the roles: [`Engine::handle_up`], [`handle_down`](Engine::handle_down),
//!   [`handle_message`](Engine::handle_message), [`handle_role`](Engine::handle_role),
//!   [`handle_group_gone`](Engine::handle_group_gone);
//! - events of the kernel: [`handle_event`](Engine::handle_event), [`handle_overrun`](Engine::handle_overrun),
//!   [`handle_heard_all`](Engine::handle_heard_all) when none is left, [`handle_deaf`](Engine::handle_deaf) and
//!   [`handle_hearing`](Engine::handle_hearing) if it sends none;
//! - its answers to each [`Action`], which names those that follow it;
//! - this node's addresses: [`handle_own_addresses`](Engine::handle_own_addresses),
//!   [`handle_node_addresses`](Engine::handle_node_addresses),
//!   [`handle_dynamic_addresses`](Engine::handle_dynamic_addresses); connections of proxies,
//!   [`handle_taken`](Engine::handle_taken); ways of packets, [`handle_egress`](Engine::handle_egress), for those that
//!   [`take_destinations`](Engine::take_destinations) returns;
//! - time: [`handle_timeout`](Engine::handle_timeout) at [`next_timeout`](Engine::next_timeout).
//!
//! Administrators' requests are [`configure`](Engine::configure), [`request_resync`](Engine::request_resync),
//! [`compare`](Engine::compare) and [`list`](Engine::list); a switchover begins with [`drain`](Engine::drain).
//!
//! Methods that drain it: [`poll_action`](Engine::poll_action) until there is none, then [`go_on`](Engine::go_on), which
//! begins what is due, and [`poll_message`](Engine::poll_message) until the channel is full.
//!
//! Both nodes identify a flow by a hash, and neither owns it. Each flow has two expiry times: one by the packets that passed
//! here (`evidence.rs`), which is sent to the peer, and one by the peer's reports (`peer_reports.rs`), which is never
//! sent back. A flow is kept until both have passed. With one node active, its reports alone count on the other.
//!
//! `../../README.md` explains the design, and lists the parts of the engine with their lifetimes: read it first.

mod addresses;
mod apply;
mod ask_kernel;
mod compare;
mod conflict;
mod counters;
mod evidence;
mod expectations;
mod failover_walk;
mod full_table;
mod gone;
mod group_roles;
pub mod kernel_events;
mod listing;
mod loosen;
mod merge;
mod missing;
mod orphans;
mod outbox;
mod own_address_counts;
mod packet;
mod peer_address_counts;
mod peer_reports;
mod peer_resync;
pub mod queue;
mod renew_copies;
mod resync;
mod resync_schedule;
mod role;
mod runner;
mod send;
mod session;
mod status;
mod synchrony;
pub mod table;
#[cfg(test)]
mod tests;
mod tidy;
pub mod timeouts;
mod walk;
mod walk_pause;
mod walk_queue;

use std::collections::{HashSet, VecDeque};

pub use ask_kernel::Question;
pub use compare::{Fault, Rows};
pub use counters::Counters;
pub use listing::{ListKind, Listed};
pub use own_address_counts::{NodeAddresses, Translation};
pub use peer_address_counts::EgressCounts;
pub use timeouts::Timeouts;

use spared_replica::Config;
use spared_sdk::replicated::{Map, Replicated};

use crate::config::Settings;
use crate::filter::Filter;
use crate::flow::{Flow, Key, Tuple};
use crate::wire::{self, Address};
use addresses::Addresses;
use compare::Comparisons;
use expectations::PeerExpectations;
use full_table::FullTable;
use gone::DroppedFlows;
use group_roles::Roles;
use listing::Listing;
use missing::Missing;
use orphans::Orphans;
use outbox::Outbox;
use renew_copies::CopyRenewal;
use resync_schedule::ResyncSchedule;
use synchrony::Synchrony;
use table::Table;
use walk_queue::{Due, WalkQueue};

pub const SECOND_NS: u64 = 1_000_000_000;

/// Time of the engine's clock in s, as entries of the table store it.
fn seconds(now_ns: u64) -> u32 {
    (now_ns / SECOND_NS) as u32
}

/// Actions for the driver, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Changes the set of notifications that are subscribed to.
    Subscribe(Subscription),
    /// Changes the kernel's table; `handle_written`, `handle_refused` or `handle_unwritten` follows.
    Write(KernelChange),
    /// Queries flows in the kernel; `handle_found` follows for each that exists.
    Find(Vec<Flow>),
    /// Tests if the kernel sends events for this flow; `handle_found` or `handle_silent` follows.
    Probe(Flow),
    /// Queries flows in the kernel, in this order; `handle_asked` follows for each and returns the change to make, or
    /// `handle_unasked` for those without an answer.
    Ask(Vec<Question>),
    /// Reads a table; `handle_hiding` follows, then for each piece `handle_dumped` or `handle_dumped_expectation` and
    /// `handle_dump_piece`, at last `handle_dump_end`.
    Dump(Source),
    StopDump,
    /// Reads the kernel's timeouts; `handle_kernel_timeouts` follows.
    ReadTimeouts,
    /// Ends a comparison, with a row for each difference.
    Compared(Result<Rows, Fault>),
    /// Ends a list.
    Listed(Listed),
    Warn(String),
    Info(String),
    Event(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Flows,
    Expectations,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Subscription {
    #[default]
    Nothing,
    /// Deletions and changes of copies.
    Copies,
    All,
}

/// One request to the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelChange {
    pub how: How,
    pub flow: Flow,
    pub timeout_s: u32,
    /// The flow has all attributes.
    pub whole: bool,
    /// Number of alternative forms tried.
    pub tries: u8,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// Creates the flow. If it exists, it is left alone (`exclusive`) or changed.
    Create {
        exclusive: bool,
    },
    Update {
        with_status: bool,
    },
    /// Changes the time only.
    Refresh,
    /// Makes TCP tracking liberal: windows are no longer checked.
    Loosen,
    Delete,
    /// Deletes the flow with this reply tuple, whatever its original tuple is.
    DeleteReply,
    /// Adds (true) or removes an expectation.
    Expect(bool, Vec<u8>),
}

/// State of the peer plugin.
#[derive(Clone, Debug, Default)]
struct Peer {
    /// True if a group is active there; None until the peer has reported its roles.
    active: Option<bool>,
    flows: u32,
    /// The peer's kernel lost notifications, and no resync has found their changes yet.
    has_lost_events: bool,
    /// Number of the peer's latest resync.
    resync: u8,
    resync_begun: bool,
    /// A resync of the peer has ended.
    has_resynced: bool,
    /// Serial of the peer's roles, and the serial of this node's roles that the peer had received when it began its
    /// resync.
    serial: u32,
    answered_serial: u32,
    /// Addresses of the peer's interfaces.
    holds: HashSet<Address>,
    heard_ns: u64,
    /// Age of the peer's oldest change when it was sent.
    behind_us: u32,
}

/// State of the kernel's reports about its flows.
#[derive(Debug, Default)]
struct Reports {
    subscription: Subscription,
    /// Reason why the kernel does not report changes of flows.
    unreported: Option<String>,
    /// A ruleset hides flows by `ct event`.
    hides: bool,
    timeouts: Timeouts,
}

/// State that lives as long as the channel to the peer.
#[derive(Debug)]
struct ChannelState {
    outbox: Outbox,
    resyncs: ResyncSchedule,
    synchrony: Synchrony,
    /// Flows that the peer has and this kernel lacks.
    missing: Missing,
    dropped_flows: DroppedFlows,
    /// Changed flows of which too little is known: the kernel is queried.
    unknown: Vec<Flow>,
    orphans: Orphans,
    peer_expectations: PeerExpectations,
    comparisons: Comparisons,
}

impl ChannelState {
    fn new(now_ns: u64, wire: u32, resyncs: ResyncSchedule) -> Self {
        Self {
            outbox: Outbox::new(now_ns, wire),
            resyncs,
            synchrony: Synchrony::default(),
            missing: Missing::default(),
            dropped_flows: DroppedFlows::default(),
            unknown: Vec::new(),
            orphans: Orphans::default(),
            peer_expectations: PeerExpectations::default(),
            comparisons: Comparisons::default(),
        }
    }

    /// Returns the state for the next channel.
    fn next(&self, now_ns: u64, wire: u32) -> Self {
        Self::new(now_ns, wire, self.resyncs.for_new_peer())
    }
}

pub struct Engine {
    settings: Settings,
    filter: Filter,
    roles: Roles,
    /// Roles and keys of both nodes. Its tables are not used here.
    replica: Replicated<Map>,
    peer: Option<Peer>,
    channel: ChannelState,
    table: Table,
    walks: WalkQueue,
    renewal: CopyRenewal,
    /// Room in the kernel's table.
    kernel_room: FullTable,
    reports: Reports,
    addresses: Addresses,
    listing: Option<Listing>,
    actions: VecDeque<Action>,
    pub counters: Counters,
}

impl Engine {
    /// `own_key` is random. Both nodes hash with the combination of their keys.
    pub fn new(own_key: Key) -> Self {
        let [run, node] = own_key;
        Self {
            settings: Settings::default(),
            filter: Filter::default(),
            roles: Roles::default(),
            replica: Replicated::with(Config::new(run, node, []), Map::new(0)),
            peer: None,
            channel: ChannelState::new(0, wire::VERSION, ResyncSchedule::default()),
            table: Table::new(own_key),
            walks: WalkQueue::default(),
            renewal: CopyRenewal::default(),
            kernel_room: FullTable::default(),
            reports: Reports::default(),
            addresses: Addresses::default(),
            listing: None,
            actions: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    /// Applies new settings. A resync finds the flows that they include or exclude.
    pub fn configure(&mut self, now_ns: u64, settings: Settings) {
        let own = std::mem::take(&mut self.filter.own);
        let removed_addresses = std::mem::take(&mut self.filter.removed_addresses);
        let taken = std::mem::take(&mut self.filter.taken);
        self.filter = Filter {
            own,
            removed_addresses,
            taken,
            ..settings.filter.clone()
        };
        self.settings = settings;
        self.addresses.retain_dynamic(&self.settings.dynamic_nat);
        self.request_resync(now_ns);
        self.tell_addresses();
    }

    /// Takes the connections of transparent proxies here, which are not replicated.
    pub fn handle_taken(&mut self, now_ns: u64, taken: HashSet<Tuple>) {
        let before = std::mem::replace(&mut self.filter.taken, taken);
        let new: Vec<Tuple> = self.filter.taken.difference(&before).copied().collect();
        for original in new {
            let flow = Flow {
                original,
                ..Flow::default()
            };
            self.exclude(now_ns, flow);
        }
    }

    /// Sets whether a rule hides flows by `ct event`.
    pub fn handle_hiding(&mut self, hides: bool) {
        self.reports.hides = hides;
    }

    /// Does what is due. It is called at the time of [`next_timeout`](Self::next_timeout), and about once a second
    /// besides.
    pub fn handle_timeout(&mut self, now_ns: u64) {
        self.replica.handle_timeout(now_ns);
        self.expire_removed_addresses(now_ns);
        self.do_each_second(now_ns);
        self.pulse(now_ns);
        self.queue_aged(now_ns);
        self.report_dropped_flows(now_ns);
        self.renew_if_due(now_ns);
        self.walks.handle_timeout(now_ns);
        self.try_for_room(now_ns);
        if self.channel.resyncs.is_due(now_ns) {
            let informs_peer = self.request_resync(now_ns);
            let next_ns = now_ns.saturating_add(self.resync_interval_ns());
            self.channel
                .resyncs
                .schedule(informs_peer.then_some(next_ns));
            if !informs_peer {
                self.walks.cancel(Due::Resync);
            }
        }
        self.subscribe(now_ns);
    }

    /// Returns the time of the next [`handle_timeout`](Self::handle_timeout).
    pub fn next_timeout(&self, now_ns: u64) -> Option<u64> {
        if self.peer.is_none() {
            let times = [self.next_renewal_ns(), self.walks.next_ns(now_ns)];
            return times.into_iter().flatten().min();
        }
        let linger_end_ns = self.roles.linger_end_ns();
        let linger_end_ns =
            linger_end_ns.filter(|_| self.reports.subscription == Subscription::All);
        [
            self.channel.outbox.next_flush_ns(now_ns),
            linger_end_ns,
            self.channel.resyncs.next_ns(),
            self.replica.next_timeout(now_ns),
            self.next_ripe_ns(),
            self.channel.dropped_flows.next_ns(),
            self.next_try_ns(now_ns),
            self.walks.next_ns(now_ns),
            Some(self.channel.outbox.pulse_at_ns()),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Does what is due once a second, however many messages are sent meanwhile.
    fn do_each_second(&mut self, now_ns: u64) {
        if !self.counters.take_second(now_ns) {
            return;
        }
        self.counters.measure(now_ns);
        self.update_synchrony(now_ns);
        self.warn_of_full_table(now_ns);
        self.tell_translated(now_ns);
    }

    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Returns true if events of all flows are received.
    pub fn listens(&self) -> bool {
        self.reports.subscription == Subscription::All
    }

    pub fn has_actions(&self) -> bool {
        !self.actions.is_empty()
    }

    fn log(&mut self, text: String) {
        self.actions.push_back(Action::Info(text));
    }

    fn write(&mut self, how: How, flow: Flow, timeout_s: u32) {
        self.write_record(how, flow, timeout_s, false);
    }

    fn write_record(&mut self, how: How, flow: Flow, timeout_s: u32, whole: bool) {
        // the dump that is being read may still have it
        if how == How::Delete && self.walks.is_resync() {
            self.walks.note_destroyed(self.table.hash(&flow));
        }
        self.actions.push_back(Action::Write(KernelChange {
            how,
            flow,
            timeout_s,
            whole,
            tries: 0,
        }));
    }

    fn peer_is_active(&self) -> bool {
        self.peer
            .as_ref()
            .is_some_and(|peer| peer.active == Some(true))
    }

    /// Returns true if the peer is informed of changes here.
    fn informs_peer(&self, now_ns: u64) -> bool {
        let heard = self.peer.as_ref().is_some_and(|peer| peer.active.is_some());
        heard && self.roles.has_to_report(now_ns)
    }
}
