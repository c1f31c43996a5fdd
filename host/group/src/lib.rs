//! Decides the steps of failovers, resignations and switchovers of each group. Does no input or output.
//!
//! The `handle_*` methods take facts, each with the time. [`Groups::poll_action`] returns actions, which must be
//! performed in that order. The result of an action is given to the method that the action's comment names.
//! [`Groups::next_timeout`] tells when to call `handle_timeout`. Times are CLOCK_MONOTONIC nanoseconds.
//!
//! An elector waits for the answer to its call, and cannot send adverts meanwhile. So a call is answered as soon as it
//! is decided, before any slower work in the kernel.
//!
//! A failover (`activate.rs`): publish ACTIVE, grant the lease, answer, settle the followers, install, roles.
//! A resignation (`leaving.rs`): publish BACKUP, revoke the lease, answer, roles in reverse, remove.
//! A switchover: `refusal.rs` judges it, `switchover.rs` performs it on the active node, `successor.rs` on the
//! successor.

#![forbid(unsafe_code)]

mod actions;
mod activate;
mod batch;
mod calls;
mod directive;
mod eligibility;
mod follow;
mod inherited;
mod leaving;
mod orders;
mod refusal;
mod role_changes;
mod session;
mod state;
pub mod stop;
mod successor;
mod switch_requests;
mod switchover;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use spared_contract::{CALL_TIMEOUT_MS, Cause, Claims, Role};
use spared_message::Natural;
use spared_message::notice::{Kind, Notice};

pub use actions::{Action, KernelStep, Order, Ticket};
pub use batch::count_of;
pub use follow::Follower;
pub use refusal::{Candidate, Giver, Insistence, Refusal, StandingOrder, judge};

use directive::Condition;
use eligibility::Eligibility;
use follow::Delivery;
use inherited::Inherited;
use orders::GroupOrders;
use role_changes::RoleChanges;
use session::PeerSession;
use successor::Successor;
use switch_requests::PeerRequest;
use switchover::{EndedSwitchovers, Offer};

const CALL_TIMEOUT_NS: u64 = CALL_TIMEOUT_MS * 1_000_000;
/// Time that a follower may take for a role before the host continues without it.
pub const ROLE_DEADLINE_NS: u64 = 10_000_000_000;

const ENOENT: i32 = -libc::ENOENT;
const EBUSY: i32 = -libc::EBUSY;
const EIO: i32 = -libc::EIO;
const ETIMEDOUT: i32 = -libc::ETIMEDOUT;
const ECANCELED: i32 = -libc::ECANCELED;

/// Function that returns the local time. No decision depends on it.
pub type Clock = fn() -> String;

/// State of all groups and followers.
#[derive(Debug)]
pub struct Groups {
    clock: Clock,
    groups: BTreeMap<String, Group>,
    /// Running plugins.
    followers: BTreeMap<String, Follower>,
    /// Plugins that were given up and whose file says `on_failure = "resign"`, with the reasons.
    unfit: BTreeMap<String, String>,
    actions: VecDeque<Action>,
    settle_ns: u64,
    fenced: bool,
    /// Number of the latest request to a plugin. It distinguishes the answer from those to earlier requests.
    epoch: u64,
    closing: bool,
    /// True while this node is being stopped: it switches its groups over and accepts none.
    leaving: bool,
    condition: Condition,
    session: PeerSession,
    /// Id of the latest switchover.
    switchover: u64,
    /// Groups that the peer was asked to switch over.
    peer_requests: BTreeMap<String, PeerRequest>,
    /// Groups that were active here when the previous daemon ended, and are not claimed yet.
    inherited: Inherited,
}

/// State of one group.
#[derive(Debug)]
pub struct Group {
    /// Elector of the group: the plugin that claimed it.
    pub owner: String,
    pub claims: Claims,
    pub role: Role,
    changes: RoleChanges,
    pub cause: Cause,
    orders: GroupOrders,
    /// True if the elector died. The claims stay, behind the blocking fence, until a new elector has claimed.
    stale: bool,
    phase: Phase,
    /// True if the addresses are in the kernel.
    installed: bool,
    eligibility: Eligibility,
    deliveries: BTreeMap<String, Delivery>,
    /// Time at which the elector decided to become active.
    pub decided_ns: u64,
    /// Switchover to the peer that is in progress.
    offer: Option<Offer>,
    /// Switchover from the peer that is in progress.
    successor: Option<Successor>,
    /// Remains of earlier switchovers, in either direction.
    ended: EndedSwitchovers,
}

/// State of a group in the kernel.
#[derive(Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing is installed, and the fence is blocking.
    Idle,
    /// The lease is granted. Followers apply all received records.
    Settling {
        epoch: u64,
        waiting: BTreeSet<String>,
        until_ns: u64,
    },
    /// The lease is granted and the addresses are installed.
    Installed,
    /// The group was released in a switchover: the lease is revoked, packets that still arrive are carried, and
    /// followers stay active.
    Carrying { until_ns: u64 },
    /// The lease is revoked. Followers become backup, then the addresses are removed.
    Leaving { until_ns: u64 },
}

impl Groups {
    pub fn new(settle_ns: u64, clock: Clock) -> Self {
        Self {
            clock,
            groups: BTreeMap::new(),
            followers: BTreeMap::new(),
            unfit: BTreeMap::new(),
            actions: VecDeque::new(),
            settle_ns,
            fenced: true,
            epoch: 0,
            closing: false,
            leaving: false,
            condition: Condition::default(),
            session: PeerSession::default(),
            switchover: 0,
            peer_requests: BTreeMap::new(),
            inherited: Inherited::default(),
        }
    }

    /// Sets if there is a fence. Without one, no event mentions leases.
    pub fn set_fenced(&mut self, fenced: bool) {
        self.fenced = fenced;
    }

    /// Sets the time that followers may take to settle.
    pub fn set_settle(&mut self, settle_ns: u64) {
        self.settle_ns = settle_ns;
    }

    /// Sets the groups that were active here when the previous daemon ended in the same boot of the machine. Their
    /// elector need not wait as after a boot, unless it starts so late that the networks may have changed since.
    pub fn set_inherited(&mut self, now_ns: u64, groups: BTreeSet<String>) {
        self.inherited = Inherited::new(now_ns, groups);
    }

    /// Returns the time limit of followers that begin to settle now.
    fn settle_until(&self, now_ns: u64) -> u64 {
        now_ns.saturating_add(self.settle_ns)
    }

    fn is_closing(&self) -> bool {
        self.closing
    }

    /// Allows no group to become active from now on.
    pub fn close(&mut self) {
        self.closing = true;
        self.refuse_successions("it is being stopped");
    }

    /// Returns the next action.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    pub fn next_timeout(&self) -> Option<u64> {
        let groups = self.groups.values().filter_map(Group::next_timeout);
        let peer_requests = self
            .peer_requests
            .values()
            .map(|requested| requested.until_ns);
        groups.chain(peer_requests).min()
    }

    /// All groups, g2 before g10.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Group)> {
        let mut groups: Vec<(&str, &Group)> = self
            .groups
            .iter()
            .map(|(name, group)| (name.as_str(), group))
            .collect();
        groups.sort_by_key(|(name, _)| Natural(name));
        groups.into_iter()
    }

    pub fn get(&self, group: &str) -> Option<&Group> {
        self.groups.get(group)
    }

    /// Returns true if no group is active and no follower is still leaving.
    pub fn is_quiet(&self) -> bool {
        self.groups
            .values()
            .all(|group| group.phase == Phase::Idle && group.is_delivered())
    }

    /// Returns true if no group changes its role, and every follower has taken its role.
    pub fn is_calm(&self) -> bool {
        self.groups.values().all(|group| {
            let is_stable = matches!(group.phase, Phase::Idle | Phase::Installed);
            is_stable && group.is_delivered() && group.offer.is_none()
        })
    }

    // ---- time

    /// Ends everything that has waited too long. A late follower does not stop a failover.
    pub fn handle_timeout(&mut self, now_ns: u64) {
        self.sort_timeout_actions(|groups| {
            for name in &groups.names() {
                groups.end_settling(now_ns, name);
                groups.end_offer(now_ns, name);
                groups.end_successor(now_ns, name);
                groups.end_carrying(now_ns, name);
                groups.end_leaving(now_ns, name);
                groups.end_blocks(now_ns, name);
            }
            groups.end_late_requests(now_ns);
            groups.end_late_roles(now_ns);
            groups.deliver_roles(now_ns);
        });
    }

    fn answer(&mut self, ticket: Ticket, status: i32) {
        self.actions.push_back(Action::Answer { ticket, status });
    }

    fn note_change(&mut self, group: &str, from: Role, to: Role, cause: Cause) {
        let group = group.to_owned();
        self.actions.push_back(Action::Changed {
            group,
            from,
            to,
            cause,
        });
    }

    fn kernel_step(&mut self, group: &str, step: KernelStep) {
        self.actions
            .push_back(Action::Kernel(group.to_owned(), step));
    }

    fn tell(&mut self, news: Notice) {
        self.actions.push_back(Action::Tell(news));
    }

    fn warn(&mut self, kind: Kind, group: &str, reason: &str, text: impl Into<String>) {
        self.tell(Notice::warn(kind, text).of_group(group).because(reason));
    }
}

fn is_late(now_ns: u64, sent_ns: u64) -> bool {
    now_ns.saturating_sub(sent_ns) >= CALL_TIMEOUT_NS
}

/// Returns "active", "backup" or "fault".
pub fn name_of(role: Role) -> &'static str {
    match role {
        Role::Active => "active",
        Role::Backup => "backup",
        Role::Fault => "fault",
    }
}
