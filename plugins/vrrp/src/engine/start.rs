//! E8 and E12: times before which a node does not take over, because the peer or another run of this node may be
//! active.

use spared_sdk::CauseKind;

use super::Context;
use super::group::{Group, State};
use crate::election::RoleReason;
use crate::wire::heartbeat::{Heartbeat, HeartbeatRole};

/// E8: time for which a start waits for the peer's first heartbeat.
const LINK_WAIT_NS: u64 = 5_000_000_000;

#[derive(Clone, Debug, Default)]
pub(super) struct Start {
    /// End of the start delay.
    delay_until_ns: u64,
    /// The group was in the election since the plugin started.
    was_started: bool,
    /// End of the first start's wait for the peer's first heartbeat.
    link_wait_until_ns: Option<u64>,
    /// Something that the peer may have sent was heard before its first heartbeat.
    is_peer_suspected: bool,
    /// Time until which another run may be active (E12): a run of the peer whose key does not count yet, or one of this
    /// node on another machine that the peer hears.
    other_run_until_ns: u64,
}

impl Start {
    pub fn new(delay_until_ns: u64) -> Start {
        Start {
            delay_until_ns,
            ..Self::default()
        }
    }

    pub fn delay_until_ns(&self) -> u64 {
        self.delay_until_ns
    }

    /// True if another run may be active.
    pub fn waits_for_other_run(&self, now_ns: u64) -> bool {
        now_ns < self.other_run_until_ns
    }

    /// Begins the wait for the link, only the first time that the group is in the election.
    fn begin(&mut self, now_ns: u64, may_wait: bool) {
        let first = !std::mem::replace(&mut self.was_started, true);
        if first && may_wait {
            self.link_wait_until_ns = Some(now_ns.saturating_add(LINK_WAIT_NS));
        }
    }

    /// Time before which the group does not take over. `failover_ns`: the wait for the link, if it is as short as a
    /// failover.
    fn not_before_ns(&self, failover_ns: Option<u64>) -> u64 {
        let wait_ns = self.link_wait_until_ns.map(|until_ns| match failover_ns {
            Some(failover_ns) => until_ns.saturating_sub(LINK_WAIT_NS) + failover_ns,
            None => until_ns,
        });
        let started_ns = self.delay_until_ns.max(wait_ns.unwrap_or(0));
        started_ns.max(self.other_run_until_ns)
    }
}

impl Group {
    /// Begins the wait for the link, at the first start: the peer's state is better than silence.
    pub(super) fn begin_link_wait(&mut self, cx: &Context<'_>) {
        let may_wait = !cx.links.is_empty() && self.living_peer(cx.now_ns).is_none();
        self.start.begin(cx.now_ns, may_wait);
    }

    pub(super) fn end_link_wait(&mut self, cx: &Context<'_>) {
        if self.start.link_wait_until_ns.take().is_none() {
            return;
        }
        let down_ns = cx.now_ns.saturating_add(self.active_down_ns());
        self.rearm_down(down_ns);
    }

    /// Shortens the wait for the link: the host has said that the group was active here, so a start listens for one
    /// failover time from now.
    pub(super) fn shorten_link_wait(&mut self, cx: &Context<'_>) {
        if self.start.link_wait_until_ns.is_some() && self.is_link_wait_short() {
            let down_ns = cx.now_ns.saturating_add(self.active_down_ns());
            self.rearm_down(down_ns);
        }
    }

    /// Notes a message that no key of this run opens and that the peer may have sent: the wait for its first heartbeat
    /// is not cut short.
    pub(super) fn note_possible_peer(&mut self) {
        self.start.is_peer_suspected = true;
        if let State::Backup { down_ns, .. } = self.state {
            self.rearm_down(down_ns);
        }
    }

    /// True if the wait for the link is short: the group was active here until the previous elector ended, so its
    /// networks carry. A living peer is heard within one failover time: under a key of the previous run, by an advert,
    /// or by what begins another key.
    fn is_link_wait_short(&self) -> bool {
        self.candidacy.directive().held && !self.start.is_peer_suspected
    }

    /// E8: time before which this node does not take over, even if it is forced active, and however short the interval
    /// is that another router advertises.
    pub(super) fn not_before_ns(&self) -> u64 {
        let interval_ns = self.watch.interval_ns().max(self.config.interval_ns);
        let failover_ns = self.active_down_of(self.candidacy.priority(), interval_ns);
        self.start
            .not_before_ns(self.is_link_wait_short().then_some(failover_ns))
    }

    /// E12: handles a run of the peer whose key does not count yet, since the previous run was heard lately. What the
    /// previous run sent may have waited in a socket while this node was stopped, so the newer run may be active.
    pub(super) fn handle_second_run(&mut self, cx: &mut Context<'_>, heartbeat: &Heartbeat) {
        if heartbeat.role != HeartbeatRole::Active {
            return;
        }
        self.start.other_run_until_ns = cx.now_ns.saturating_add(self.active_down_ns());
        match self.state {
            _ if self.lease.is_lapsed() => self.step_down_after_lapse(cx),
            State::Backup { .. } | State::Promoting { .. } => {
                self.restart_active_down(cx);
                self.republish_backup(cx);
            }
            State::Initialize { .. } | State::Lapsed { .. } | State::Active { .. } => {}
        }
    }

    /// E12: begins another run, as backup. The peer's heartbeats to the previous run prove nothing any more, so that its
    /// adverts count, and the group is left to it until the new key is confirmed.
    pub(super) fn handle_cloned(&mut self, cx: &mut Context<'_>) {
        self.peer.handle_new_run();
        for port in self.networks.ports_mut() {
            port.reception.end_heartbeats();
        }
        if let State::Active { .. } | State::Lapsed { .. } | State::Promoting { .. } = self.state {
            self.listen_again(cx, RoleReason::of(CauseKind::Cloned));
        }
        self.update_contact(cx);
    }

    /// E12: stands behind another run of this node that the peer hears, and whose adverts look like this node's own.
    /// This run does not serve until the other one has been silent for the failover time.
    pub(super) fn wait_for_other_run(&mut self, cx: &mut Context<'_>) {
        let until_ns = cx.now_ns.saturating_add(self.active_down_ns());
        self.start.other_run_until_ns = until_ns;
        match self.state {
            State::Active { .. } | State::Lapsed { .. } | State::Promoting { .. } => {
                self.listen_again(cx, RoleReason::of(CauseKind::Second));
            }
            State::Backup { .. } => self.rearm_down(until_ns),
            State::Initialize { .. } => {}
        }
    }
}
