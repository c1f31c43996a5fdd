//! A group's state machine: RFC 9568 section 6.4, for all its virtual routers at once.
//!
//! A group stays backup while any of its routers hears the peer; its Active_Down is silence on all interfaces.

use std::slice;
use std::sync::Arc;

use spared_sdk::{CauseKind, Role};

use super::Context;
use super::active_router::ActiveRouterWatch;
use super::candidacy::Candidacy;
use super::conflict::Conflicts;
use super::contact::PeerContact;
use super::counters::GroupCounters;
use super::fence_lease::Lease;
use super::interface::Interface;
use super::muting::MUTE_SOON_NS;
use super::networks::Networks;
use super::own_heartbeat::GroupHeartbeat;
use super::port::Port;
use super::publication::Publication;
use super::router::VirtualRouter;
use super::start::Start;
use super::switchover::Switchover;
use super::term::RoleHistory;
use crate::config;
use crate::election::{OWNER, RoleReason};

/// Time for which a start waits for source addresses: duplicate address detection takes a second or
/// two.
const SOURCES_WAIT_NS: u64 = 3_000_000_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Waiting for interfaces, or not allowed to be active.
    Initialize {
        wait_until_ns: Option<u64>,
    },
    Backup {
        down_ns: u64,
        since_ns: u64,
    },
    /// Waiting for the host to let the fence pass.
    Promoting {
        asked_ns: u64,
        why: RoleReason,
    },
    Active {
        advert_ns: u64,
        since_ns: u64,
    },
    /// The role is active and the fence is blocking; see `lapse`.
    Lapsed {
        reopen_ns: u64,
    },
}

impl State {
    pub(super) const WAITING: Self = Self::Initialize {
        wait_until_ns: None,
    };
}

#[cfg_attr(test, derive(Clone))]
pub(super) struct Group {
    pub name: Arc<str>,
    pub config: config::Group,
    pub networks: Networks,
    pub state: State,
    pub candidacy: Candidacy,
    pub start: Start,
    pub watch: ActiveRouterWatch,
    /// Other routers that are active too (E7).
    pub conflicts: Conflicts,
    pub lease: Lease,
    pub history: RoleHistory,
    pub publication: Publication,
    pub counters: GroupCounters,
    pub peer: PeerContact,
    pub own_heartbeat: GroupHeartbeat,
    /// Switchover to a fitter peer (E1, E6).
    pub switchover: Switchover,
}

impl Group {
    pub fn new(config: config::Group, now_ns: u64) -> Group {
        let interval_ns = config.interval_ns;
        let own_heartbeat = GroupHeartbeat::new(&config.name);
        Group {
            name: config.name.as_str().into(),
            start: Start::new(now_ns.saturating_add(config.start_delay_ns)),
            config,
            networks: Networks::default(),
            state: State::WAITING,
            candidacy: Candidacy::default(),
            watch: ActiveRouterWatch::new(interval_ns),
            conflicts: Conflicts::default(),
            lease: Lease::new(interval_ns),
            history: RoleHistory::new(),
            publication: Publication::default(),
            counters: GroupCounters::default(),
            peer: PeerContact::default(),
            own_heartbeat,
            switchover: Switchover::default(),
        }
    }

    pub fn uses(&self, interface: usize) -> bool {
        self.networks.port_on(interface).is_some() || self.tracks(interface).is_some()
    }

    /// True if the group waits for answers of stations on an interface.
    pub fn listens(&self, interface: usize) -> bool {
        let mut here = self.ports().filter(|it| it.interface == interface);
        here.any(Port::listens)
    }

    pub fn is_active(&self) -> bool {
        matches!(self.state, State::Active { .. })
    }

    pub fn next_timeout(&self) -> Option<u64> {
        let others_ns = self.contact_timeout();
        match self.state {
            State::Initialize { wait_until_ns } => {
                earliest([wait_until_ns, others_ns, self.source_timeout()])
            }
            State::Backup { down_ns, .. } => {
                let unheard_timeout_ns = self.unheard_timeout();
                earliest([
                    Some(down_ns),
                    unheard_timeout_ns,
                    others_ns,
                    self.muting_timeout(),
                    self.source_timeout(),
                ])
            }
            State::Promoting { .. } => None,
            State::Lapsed { reopen_ns } => earliest([Some(reopen_ns), self.source_timeout()]),
            State::Active { advert_ns, .. } => {
                let unheard_timeout_ns = self.unheard_timeout();
                earliest([
                    Some(advert_ns),
                    unheard_timeout_ns,
                    self.switchover_timeout(),
                    self.source_timeout(),
                ])
            }
        }
    }

    pub fn ports(&self) -> slice::Iter<'_, Port> {
        self.networks.ports().iter()
    }

    /// Ports of the group, each with its interface.
    pub fn ports_with<'a>(
        &'a self,
        interfaces: &'a [Interface],
    ) -> impl Iterator<Item = (&'a Port, &'a Interface)> {
        self.ports()
            .filter_map(|port| Some((port, interfaces.get(port.interface)?)))
    }

    /// Updates each port by what the group finds about it.
    pub(super) fn review_ports<F>(
        &mut self,
        find: impl Fn(&Group, &Port) -> F,
        mut update: impl FnMut(&mut Port, F),
    ) {
        for index in 0..self.networks.ports().len() {
            let found = self.networks.port(index).map(|port| find(self, port));
            if let Some((port, found)) = self.networks.port_mut(index).zip(found) {
                update(port, found);
            }
        }
    }

    pub fn routers(&self) -> slice::Iter<'_, VirtualRouter> {
        self.networks.routers().iter()
    }

    // ---- transitions -------------------------------------------------------------------

    fn start(&mut self, cx: &mut Context<'_>) {
        self.watch.learn_interval(self.config.interval_ns);
        let horizon_ns = cx.now_ns.saturating_sub(self.active_down_ns());
        self.watch.forget_before(horizon_ns);
        // a delay counts from the end of the fault
        self.watch.end_preemption();
        self.begin_link_wait(cx);
        if self.candidacy.priority() == OWNER && cx.now_ns >= self.not_before_ns() {
            return self.promote(cx, RoleReason::of(CauseKind::Owner));
        }
        self.back_to_backup(cx);
        self.probe_unicast_peers(cx);
        let why = self.backup_reason(cx);
        self.publish(cx, Role::Backup, why);
    }

    pub(super) fn back_to_backup(&mut self, cx: &mut Context<'_>) {
        let now_ns = cx.now_ns;
        let down_ns = now_ns
            .saturating_add(self.active_down_ns())
            .max(self.not_before_ns());
        self.watch.end_waits();
        self.state = State::Backup {
            down_ns,
            since_ns: now_ns,
        };
    }

    /// E3: the cause of this node's claim has ended.
    pub(super) fn drop_claim(&mut self, cx: &mut Context<'_>) {
        if self.candidacy.end_claim() {
            self.update_priority(cx);
        }
    }

    /// Returns the state of a backup that listens for one failover time.
    pub(super) fn listening(&self, now_ns: u64) -> State {
        State::Backup {
            down_ns: now_ns.saturating_add(self.active_down_ns()),
            since_ns: now_ns,
        }
    }

    /// Gives the group up and listens for one failover time.
    pub(super) fn listen_again(&mut self, cx: &mut Context<'_>, why: RoleReason) {
        self.watch.learn_interval(self.config.interval_ns);
        let state = self.listening(cx.now_ns);
        self.step_down(cx, Role::Backup, why, state);
    }

    /// The fence blocks first, then priority 0 is sent on every working network.
    pub(super) fn step_down(
        &mut self,
        cx: &mut Context<'_>,
        role: Role,
        why: RoleReason,
        state: State,
    ) {
        // a waiting heartbeat would say so before the fence is blocking, and without its heartbeat no advert may renew
        // a lease
        self.own_heartbeat.handle_given_up();
        cx.actions.drop_adverts(cx.group);
        self.publish(cx, role, why);
        self.transmit(cx, true);
        if self.is_active() {
            // this node no longer answers, so the peer may go ahead
            let until_ns = cx.now_ns.saturating_add(self.active_down_ns());
            self.own_heartbeat.release_until(until_ns);
        }
        self.end_unheard(cx);
        self.lease.end_lapse();
        self.switchover.cancel();
        self.counters.became_backup += 1;
        self.history.handle_backup(cx.now_ns);
        self.conflicts.end_term();
        self.watch.handle_role_change();
        self.state = state;
        self.drop_claim(cx);
    }

    /// Checks all inputs except adverts: interfaces, sources, directive.
    pub fn refresh(&mut self, cx: &mut Context<'_>) {
        if !self.is_active() {
            self.unmute(cx.now_ns);
        }
        let changed = self.update_sources(cx);
        self.update_priority(cx);
        let barred = self.barred(cx);
        match (&self.state, barred) {
            (State::Initialize { .. }, Some(why)) => {
                self.wait_for_change(cx.now_ns);
                let known = |port: &Port| cx.interface(port.interface).is_some_and(|i| i.known);
                let told = self.publication.is_last(&why);
                if !told && self.ports().all(known) {
                    self.publish(cx, Role::Fault, why);
                }
            }
            (State::Initialize { wait_until_ns }, None) => {
                let wait_until_ns = *wait_until_ns;
                self.start_when_ready(cx, wait_until_ns);
            }
            (State::Active { .. } | State::Promoting { .. } | State::Lapsed { .. }, Some(why)) => {
                self.step_down(cx, Role::Fault, why, State::WAITING);
                self.wait_for_change(cx.now_ns);
            }
            (State::Backup { .. }, Some(why)) => {
                self.end_unheard(cx);
                self.wait_for_change(cx.now_ns);
                self.publish(cx, Role::Fault, why);
            }
            (State::Active { .. }, None) => {
                let beside_peer = self.mutual_peer(cx.now_ns).is_some();
                let stays = beside_peer || self.candidacy.directive().is_forced_active();
                if let Some(what) = changed.hurt.filter(|_| !stays) {
                    // E2: another router gets the chance; if there is none, this node resumes
                    let why = RoleReason::of(CauseKind::InterfaceHurt).saying(what);
                    self.listen_again(cx, why);
                } else if changed.returned {
                    self.resume_routers(cx);
                }
            }
            (State::Backup { .. } | State::Promoting { .. } | State::Lapsed { .. }, None) => {}
        }
    }

    /// Waits for a change, or until a muted router may be tried again.
    fn wait_for_change(&mut self, now_ns: u64) {
        let served = self.is_served(now_ns);
        let unmute_ns = |router: &VirtualRouter| router.muting.unmute_at_ns(served);
        let unmute_ns = self.routers().filter_map(unmute_ns).min();
        // the serving router may stop
        let wait_until_ns = unmute_ns.map(|at_ns| at_ns.min(now_ns.saturating_add(MUTE_SOON_NS)));
        self.state = State::Initialize { wait_until_ns };
    }

    /// Starts the election once the host has reported every interface: it reports them one after the other, and the
    /// first must not start the election alone.
    fn start_when_ready(&mut self, cx: &mut Context<'_>, wait_until_ns: Option<u64>) {
        let known = |port: &Port| cx.interface(port.interface).is_some_and(|i| i.known);
        if !self.ports().all(known) {
            return;
        }
        let lacks_source = self.routers().any(|router| {
            let port = self.networks.port(router.port);
            let interface = port.and_then(|port| cx.interface(port.interface));
            router.source.is_none() && interface.is_some_and(|i| i.fault().is_none())
        });
        let until_ns = wait_until_ns.unwrap_or(cx.now_ns.saturating_add(SOURCES_WAIT_NS));
        if lacks_source && cx.now_ns < until_ns {
            self.state = State::Initialize {
                wait_until_ns: Some(until_ns),
            };
            return;
        }
        self.start(cx);
    }

    // ---- small things ------------------------------------------------------------------

    pub(super) fn rearm_advert(&mut self, at_ns: u64) {
        if let State::Active { advert_ns, .. } = &mut self.state {
            *advert_ns = at_ns;
        }
    }
}

fn earliest<const N: usize>(times: [Option<u64>; N]) -> Option<u64> {
    times.into_iter().flatten().min()
}
