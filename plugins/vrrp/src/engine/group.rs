//! A group's state machine: RFC 9568 section 6.4, for all its virtual routers at once.
//!
//! Any router that hears the peer keeps the whole group in backup; Active_Down of a group is
//! silence on all its interfaces.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use spared_sdk::{Forced, Role};

use super::conflict::Conflict;
use super::counters::GroupCounters;
use super::port::{Peer, Port};
use super::router::{Router, Speech};
use super::timers::{active_down_ns, skew_ns};
use super::{Action, Context, PacketId};
use crate::config;
use crate::election::{self, OWNER, Stance, Why};
use crate::wire::frame::Advert;

/// How long a start waits for source addresses: duplicate address detection takes a second or two.
const SOURCES_WAIT_NS: u64 = 3_000_000_000;
/// A router whose adverts are refused is given up at most that often.
const MUTE_PAUSE_NS: u64 = 60_000_000_000;
/// E9: how long a change of role counts.
const CHANGES_WINDOW_NS: u64 = 300_000_000_000;
/// Sentences are republished at most that often for a backup.
const REPUBLISH_NS: u64 = 1_000_000_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Waits for interfaces, or may not be active.
    Initialize {
        wait_until_ns: Option<u64>,
    },
    Backup {
        down_ns: u64,
        since_ns: u64,
    },
    /// Asked the host to open the fence.
    Promoting {
        asked_ns: u64,
        why: Why,
    },
    Active {
        advert_ns: u64,
        since_ns: u64,
    },
}

pub(super) struct Group {
    pub name: Arc<str>,
    pub config: config::Group,
    pub ports: Vec<Port>,
    pub routers: Vec<Router>,
    pub state: State,
    pub stance: Stance,
    pub priority: u8,
    /// Active_Adver_Interval: the active router's.
    pub learned_ns: u64,
    /// E8: the end of the start delay.
    pub not_before_ns: u64,
    pub peer: Option<Peer>,
    /// The peer's last word was priority 0.
    pub peer_resigned: bool,
    /// Since when a lower active router has been suffered.
    pub lower_since_ns: Option<u64>,
    pub conflict: Option<Conflict>,
    /// Since when an equal rival is heard on other routers than the one that decides.
    pub tie_since_ns: Option<u64>,
    /// E3: this node claims the group at priority 254.
    pub claims: bool,
    /// How long the last adverts keep the fence open.
    pub lease_until_ns: u64,
    /// The interval in force; a longer one takes effect after the peer has learned it.
    pub spacing_ns: u64,
    pub old_spacing_left: u32,
    pub changes: VecDeque<u64>,
    pub published: Option<(Role, Why)>,
    pub published_ns: u64,
    pub counters: GroupCounters,
}

impl Group {
    pub fn new(config: config::Group, now_ns: u64) -> Group {
        let interval_ns = config.interval_ns;
        Group {
            name: config.name.as_str().into(),
            not_before_ns: now_ns.saturating_add(config.start_delay_ns),
            config,
            ports: Vec::new(),
            routers: Vec::new(),
            state: State::Initialize {
                wait_until_ns: None,
            },
            stance: Stance::default(),
            priority: 0,
            learned_ns: interval_ns,
            peer: None,
            peer_resigned: false,
            lower_since_ns: None,
            conflict: None,
            tie_since_ns: None,
            claims: false,
            lease_until_ns: 0,
            spacing_ns: interval_ns,
            old_spacing_left: 0,
            changes: VecDeque::with_capacity(8),
            published: None,
            published_ns: 0,
            counters: GroupCounters::default(),
        }
    }

    pub fn uses(&self, interface: usize) -> bool {
        self.ports.iter().any(|port| port.interface == interface)
    }

    pub fn is_active(&self) -> bool {
        matches!(self.state, State::Active { .. })
    }

    pub fn next_timeout(&self) -> Option<u64> {
        match self.state {
            State::Initialize { wait_until_ns } => wait_until_ns,
            State::Backup { down_ns, .. } => {
                Some(self.dispute_timeout().map_or(down_ns, |at| at.min(down_ns)))
            }
            State::Promoting { .. } => None,
            State::Active { advert_ns, .. } => Some(advert_ns),
        }
    }

    // ---- events ------------------------------------------------------------------------

    /// An Active whose advert would go out later than its lease must not send it: the peer may be
    /// active already, and the fence is closed.
    pub fn check_late(&mut self, cx: &mut Context<'_>) {
        let State::Active { advert_ns, .. } = self.state else {
            return;
        };
        if cx.now_ns > self.lease_until_ns {
            self.counters.late_step_downs += 1;
            let by_ns = cx.now_ns.saturating_sub(advert_ns);
            self.counters.lateness.record(by_ns);
            self.listen_again(cx, Why::Late { by_ns });
        }
    }

    pub fn handle_advert(&mut self, cx: &mut Context<'_>, router: usize, advert: &Advert<'_>) {
        if !self.note_advert(cx, router, advert) {
            return;
        }
        match self.state {
            State::Active { .. } => self.advert_while_active(cx, router, advert),
            State::Initialize { .. } => self.note_peer(cx, advert),
            State::Backup { .. } | State::Promoting { .. } => {
                self.advert_while_backup(cx, router, advert);
            }
        }
    }

    pub fn handle_stance(&mut self, cx: &mut Context<'_>, stance: &Stance) {
        let aside = stance.stands_aside() && !self.stance.stands_aside();
        let forced = stance.forced == Forced::Active && self.stance.forced != Forced::Active;
        self.stance = stance.clone();
        let was_active = self.is_active();
        self.refresh(cx);
        let why = stance.why.clone();
        if aside && was_active && self.is_active() {
            self.listen_again(cx, Why::StandsAside { why });
        } else if forced && self.beats_peer(cx.now_ns) {
            self.promote(cx, Why::ForcedActive { why });
        }
    }

    pub fn handle_published(&mut self, cx: &mut Context<'_>, role: Role, done: bool) {
        let now_ns = cx.now_ns;
        match (&self.state, role) {
            (State::Promoting { asked_ns, .. }, Role::Active) => {
                let slow = now_ns.saturating_sub(*asked_ns) > self.config.lease_ns;
                if done && !slow {
                    return self.become_active(cx);
                }
                self.counters.publish_failed += 1;
                self.claims = false;
                self.back_to_backup(cx);
                self.update_priority(cx);
                if done {
                    self.publish(cx, Role::Backup, Why::PublishFailed);
                } else {
                    self.published = Some((Role::Backup, Why::PublishFailed));
                }
            }
            // an answer to what was taken back meanwhile
            (State::Backup { .. } | State::Initialize { .. }, Role::Active) if done => {
                let why = self.backup_sentence();
                self.publish(cx, Role::Backup, why);
            }
            (State::Active { .. }, Role::Active) if !done => {
                self.counters.publish_failed += 1;
                self.listen_again(cx, Why::PublishFailed);
            }
            _ => {}
        }
    }

    pub fn handle_unsent(&mut self, cx: &mut Context<'_>, index: usize) {
        let lease_ns = self.config.lease_ns;
        let Some(router) = self.routers.get_mut(index) else {
            return;
        };
        router.counters.send_errors += 1;
        router.sent_ns = router.sent_before_ns;
        let lapsed = cx.now_ns.saturating_sub(router.sent_ns) > lease_ns;
        let again = router
            .muted_at_ns
            .is_some_and(|at| cx.now_ns.saturating_sub(at) < MUTE_PAUSE_NS);
        if !self.is_active() || !lapsed || again {
            return;
        }
        let Some(router) = self.routers.get_mut(index) else {
            return;
        };
        router.muted = true;
        router.muted_at_ns = Some(cx.now_ns);
        let interface = router.config.interface.clone();
        self.update_priority(cx);
        self.listen_again(cx, Why::Muted { interface });
    }

    pub fn handle_timeout(&mut self, cx: &mut Context<'_>) {
        match self.state {
            State::Initialize {
                wait_until_ns: Some(at),
            } if cx.now_ns >= at => self.refresh(cx),
            State::Backup { down_ns, .. } if cx.now_ns >= down_ns => self.take_over(cx),
            State::Backup { .. } => self.check_disputes(cx),
            State::Active { advert_ns, .. } if cx.now_ns >= advert_ns => {
                self.counters.lateness.record(cx.now_ns - advert_ns);
                self.expire_conflict(cx);
                self.advertise(cx);
                // from the due time, so that lateness does not add up
                let missed = (cx.now_ns - advert_ns) / self.spacing_ns.max(1);
                let later_ns = self.spacing_ns.saturating_mul(missed.saturating_add(1));
                self.rearm_advert(advert_ns.saturating_add(later_ns));
            }
            _ => {}
        }
    }

    pub fn shut_down(&mut self, cx: &mut Context<'_>) {
        if self.is_active() || matches!(self.state, State::Promoting { .. }) {
            let wait = State::Initialize {
                wait_until_ns: None,
            };
            self.step_down(cx, Role::Backup, Why::Withdrawn, wait);
        }
        self.state = State::Initialize {
            wait_until_ns: None,
        };
    }

    // ---- adverts -----------------------------------------------------------------------

    fn advert_while_backup(&mut self, cx: &mut Context<'_>, router: usize, advert: &Advert<'_>) {
        let now_ns = cx.now_ns;
        if advert.priority == 0 {
            // a router that lost to the active one says 0 as well: nobody takes over for that
            let loss = self.config.advert_loss;
            let router = self.routers.get(router);
            if router.is_some_and(|r| !r.others_talk(now_ns, advert.source, loss)) {
                self.peer_resigned = true;
                let skew_ns = skew_ns(self.config.version, self.priority, self.learned_ns);
                self.rearm_down(now_ns.saturating_add(skew_ns));
            }
            return;
        }
        let preempts = self.preempts(now_ns, advert);
        self.note_peer(cx, advert);
        if preempts {
            return;
        }
        self.learned_ns = advert.interval_ns;
        let down_ns = now_ns.saturating_add(self.active_down_ns());
        if matches!(self.state, State::Promoting { .. }) {
            self.claims = false;
            self.update_priority(cx);
            self.state = State::Backup {
                down_ns,
                since_ns: now_ns,
            };
        }
        self.rearm_down(down_ns);
        self.republish_backup(cx);
    }

    fn advert_while_active(&mut self, cx: &mut Context<'_>, index: usize, advert: &Advert<'_>) {
        let now_ns = cx.now_ns;
        if advert.priority == 0 {
            self.rival_resigned(cx, index, advert);
            self.advertise(cx);
            return self.rearm_advert(now_ns.saturating_add(self.spacing_ns));
        }
        let Some(own) = self.routers.get(index).and_then(|router| router.source) else {
            return;
        };
        let ours = (self.priority, own);
        let theirs = (advert.priority, advert.source);
        let decides = advert.priority != self.priority || self.tie_decides(now_ns, index);
        if !decides {
            return;
        }
        if election::wins(ours, theirs) {
            if let Some(router) = self.routers.get_mut(index) {
                router.counters.received_losing += 1;
            }
            self.note_conflict(cx, index, advert);
            self.advertise(cx);
            return self.rearm_advert(now_ns.saturating_add(self.spacing_ns));
        }
        self.lose(cx, index, advert);
    }

    fn lose(&mut self, cx: &mut Context<'_>, index: usize, advert: &Advert<'_>) {
        let own = self.priority;
        if advert.priority == election::CLAIM && own < election::CLAIM {
            let here = self.routers.get(index).map(|router| router.port);
            for (port, state) in self.ports.iter_mut().enumerate() {
                state.yielded = Some(port) != here;
            }
        }
        if advert.priority == own {
            self.counters.conflicts += 1;
            let (rival, node, name) = (advert.source, cx.node, &self.name);
            let text = format!(
                "{name}: conflict: {rival} is active too, at the same priority {own}; {node} gives \
                 way, as its address is lower"
            );
            cx.push(Action::Event(text));
        }
        self.end_tie();
        self.learned_ns = advert.interval_ns;
        self.note_peer(cx, advert);
        let why = Why::PeerActive {
            peer: advert.source,
            theirs: advert.priority,
            own,
        };
        let down_ns = cx.now_ns.saturating_add(self.active_down_ns());
        let state = State::Backup {
            down_ns,
            since_ns: cx.now_ns,
        };
        self.step_down(cx, Role::Backup, why, state);
    }

    /// Two equal priorities are told apart by addresses, whose order may differ between interfaces:
    /// the first router that works decides for the group, another one only where the first hears
    /// nothing.
    fn tie_decides(&mut self, now_ns: u64, index: usize) -> bool {
        let before = self.routers.iter().take(index);
        let recent_ns = 3 * self.config.interval_ns;
        let heard = |r: &Router| {
            r.heard_ns
                .is_some_and(|at| now_ns.saturating_sub(at) < recent_ns)
        };
        let mut usable = before.filter(|router| router.usable()).peekable();
        if usable.peek().is_none() {
            return true;
        }
        if usable.any(heard) {
            self.tie_since_ns = None;
            return false;
        }
        let since_ns = *self.tie_since_ns.get_or_insert(now_ns);
        now_ns.saturating_sub(since_ns) >= 2 * self.config.interval_ns
    }

    /// A backup that the administrator forces active need not wait for the silence of whoever would
    /// lose anyway.
    fn beats_peer(&self, now_ns: u64) -> bool {
        let backup = matches!(self.state, State::Backup { .. });
        let higher = self.peer.is_some_and(|peer| peer.priority >= self.priority);
        backup && !higher && now_ns >= self.not_before_ns
    }

    fn end_tie(&mut self) {
        self.tie_since_ns = None;
    }

    /// Whether a lower router that is active is left to time out: RFC 9568 section 6.4.2.
    fn preempts(&mut self, now_ns: u64, advert: &Advert<'_>) -> bool {
        // E3: who yielded to a claim hears only part of the wires
        if self.ports.iter().any(|port| port.yielded) {
            return false;
        }
        self.changes
            .retain(|at| now_ns.saturating_sub(*at) < CHANGES_WINDOW_NS);
        let changes = u32::try_from(self.changes.len()).unwrap_or(u32::MAX);
        let facts = self.facts();
        let delay = election::preempts_after_ns(&facts, self.priority, advert.priority, changes);
        let Some(delay_ns) = delay else {
            self.lower_since_ns = None;
            return false;
        };
        let since_ns = *self.lower_since_ns.get_or_insert(now_ns);
        now_ns.saturating_sub(since_ns) >= delay_ns && now_ns >= self.not_before_ns
    }

    // ---- transitions -------------------------------------------------------------------

    fn start(&mut self, cx: &mut Context<'_>) {
        self.learned_ns = self.config.interval_ns;
        let horizon_ns = cx.now_ns.saturating_sub(self.active_down_ns());
        self.peer = self.peer.filter(|peer| peer.heard_ns > horizon_ns);
        if self.priority == OWNER && cx.now_ns >= self.not_before_ns {
            return self.promote(cx, Why::Owner);
        }
        self.back_to_backup(cx);
        let why = self.backup_sentence();
        self.publish(cx, Role::Backup, why);
    }

    fn back_to_backup(&mut self, cx: &mut Context<'_>) {
        let now_ns = cx.now_ns;
        let down_ns = now_ns
            .saturating_add(self.active_down_ns())
            .max(self.not_before_ns);
        self.state = State::Backup {
            down_ns,
            since_ns: now_ns,
        };
    }

    fn take_over(&mut self, cx: &mut Context<'_>) {
        let why = self.takeover_sentence(cx);
        self.promote(cx, why);
    }

    pub(super) fn promote(&mut self, cx: &mut Context<'_>, why: Why) {
        self.end_disputes(cx);
        self.state = State::Promoting {
            asked_ns: cx.now_ns,
            why: why.clone(),
        };
        self.publish(cx, Role::Active, why);
    }

    fn become_active(&mut self, cx: &mut Context<'_>) {
        let State::Promoting { asked_ns, .. } = self.state else {
            return;
        };
        let now_ns = cx.now_ns;
        self.counters.became_active += 1;
        self.note_change(now_ns);
        self.learned_ns = self.config.interval_ns;
        self.spacing_ns = self.config.interval_ns;
        self.old_spacing_left = 0;
        self.lower_since_ns = None;
        self.peer_resigned = false;
        self.end_tie();
        for router in &mut self.routers {
            // the fence was opened for all of them, some time after it was asked for
            router.muted = false;
            router.sent_ns = asked_ns;
        }
        self.state = State::Active {
            advert_ns: now_ns.saturating_add(self.spacing_ns),
            since_ns: now_ns,
        };
        self.update_priority(cx);
        self.advertise(cx);
    }

    /// Gives the group up and listens for one takeover time.
    fn listen_again(&mut self, cx: &mut Context<'_>, why: Why) {
        self.learned_ns = self.config.interval_ns;
        let down_ns = cx.now_ns.saturating_add(self.active_down_ns());
        let state = State::Backup {
            down_ns,
            since_ns: cx.now_ns,
        };
        self.step_down(cx, Role::Backup, why, state);
    }

    /// The fence closes first, then priority 0 goes out on every wire that is left.
    fn step_down(&mut self, cx: &mut Context<'_>, role: Role, why: Why, state: State) {
        self.publish(cx, role, why);
        self.transmit(cx, true);
        self.counters.became_backup += 1;
        self.note_change(cx.now_ns);
        self.conflict = None;
        self.peer_resigned = false;
        self.lower_since_ns = None;
        self.end_tie();
        self.state = state;
        if std::mem::take(&mut self.claims) {
            self.update_priority(cx);
        }
    }

    /// Looks at everything that is not an advert: interfaces, sources, stance.
    pub fn refresh(&mut self, cx: &mut Context<'_>) {
        let changed = self.update_sources(cx);
        self.update_priority(cx);
        let barred = self.barred(cx);
        match (&self.state, barred) {
            (State::Initialize { .. }, Some(why)) => {
                self.state = State::Initialize {
                    wait_until_ns: None,
                };
                let known = |port: &Port| cx.interface(port.interface).is_some_and(|i| i.known);
                let told = self
                    .published
                    .as_ref()
                    .is_some_and(|(_, last)| *last == why);
                if !told && self.ports.iter().all(known) {
                    self.publish(cx, Role::Fault, why);
                }
            }
            (State::Initialize { wait_until_ns }, None) => {
                let wait_until_ns = *wait_until_ns;
                self.start_when_ready(cx, wait_until_ns);
            }
            (State::Active { .. } | State::Promoting { .. }, Some(why)) => {
                let wait = State::Initialize {
                    wait_until_ns: None,
                };
                self.step_down(cx, Role::Fault, why, wait);
            }
            (State::Backup { .. }, Some(why)) => {
                self.end_disputes(cx);
                self.state = State::Initialize {
                    wait_until_ns: None,
                };
                self.publish(cx, Role::Fault, why);
            }
            (State::Active { .. }, None) => {
                if let Some(what) = changed
                    .hurt
                    .filter(|_| self.stance.forced != Forced::Active)
                {
                    // E2: another router gets the chance; nobody there, it resumes
                    self.listen_again(cx, Why::Hurt { what });
                } else if changed.returned {
                    self.resume_routers(cx);
                }
            }
            (State::Backup { .. } | State::Promoting { .. }, None) => {}
        }
    }

    /// The host re-opens what it closed for carrier, then the routers speak again.
    pub(super) fn resume_routers(&mut self, cx: &mut Context<'_>) {
        let why = self.published.take().map_or(Why::Owner, |(_, why)| why);
        self.publish(cx, Role::Active, why);
        self.advertise(cx);
        self.rearm_advert(cx.now_ns.saturating_add(self.spacing_ns));
    }

    /// The interfaces are told of one after the other: the first must not start the election alone.
    fn start_when_ready(&mut self, cx: &mut Context<'_>, wait_until_ns: Option<u64>) {
        let known = |port: &Port| cx.interface(port.interface).is_some_and(|i| i.known);
        if !self.ports.iter().all(known) {
            return;
        }
        let speechless = self.routers.iter().any(|router| {
            let port = self.ports.get(router.port);
            let interface = port.and_then(|port| cx.interface(port.interface));
            router.source.is_none() && interface.is_some_and(|i| i.fault().is_none())
        });
        let until_ns = wait_until_ns.unwrap_or(cx.now_ns.saturating_add(SOURCES_WAIT_NS));
        if speechless && cx.now_ns < until_ns {
            self.state = State::Initialize {
                wait_until_ns: Some(until_ns),
            };
            return;
        }
        self.start(cx);
    }

    // ---- sending -----------------------------------------------------------------------

    pub(super) fn advertise(&mut self, cx: &mut Context<'_>) {
        self.lease_until_ns = cx.now_ns.saturating_add(self.config.lease_ns);
        if self.old_spacing_left > 0 {
            self.old_spacing_left -= 1;
            if self.old_spacing_left == 0 {
                self.spacing_ns = self.config.interval_ns;
            }
        }
        self.transmit(cx, false);
    }

    pub(super) fn advertise_ahead(&mut self, cx: &mut Context<'_>) {
        if self.is_active() {
            self.advertise(cx);
            self.rearm_advert(cx.now_ns.saturating_add(self.spacing_ns));
        }
    }

    fn transmit(&mut self, cx: &mut Context<'_>, resign: bool) {
        for (index, router) in self.routers.iter_mut().enumerate() {
            if !router.usable() {
                continue;
            }
            let counters = &mut router.counters;
            if resign {
                counters.sent_priority_zero += 1;
            } else {
                counters.sent += 1;
                router.sent_before_ns = router.sent_ns;
                router.sent_ns = cx.now_ns;
            }
            for packet in 0..router.packets.len() {
                let group = cx.group;
                cx.push(Action::Transmit(PacketId {
                    group,
                    router: index,
                    packet,
                    resign,
                }));
            }
        }
    }

    pub(super) fn publish(&mut self, cx: &mut Context<'_>, role: Role, why: Why) {
        let text = format!("{} is {role} because {why}", cx.node);
        let group = self.name.clone();
        self.published = Some((role, why));
        self.published_ns = cx.now_ns;
        cx.push(Action::Publish {
            group,
            role,
            why: text,
        });
    }

    // ---- small things ------------------------------------------------------------------

    pub(super) fn active_down_ns(&self) -> u64 {
        let config = &self.config;
        active_down_ns(
            config.version,
            self.priority,
            self.learned_ns,
            config.advert_loss,
        )
    }

    fn rearm_down(&mut self, at_ns: u64) {
        if let State::Backup { down_ns, .. } = &mut self.state {
            *down_ns = at_ns.max(self.not_before_ns);
        }
    }

    pub(super) fn rearm_advert(&mut self, at_ns: u64) {
        if let State::Active { advert_ns, .. } = &mut self.state {
            *advert_ns = at_ns;
        }
    }

    fn note_change(&mut self, now_ns: u64) {
        if self.changes.len() >= 8 {
            self.changes.pop_front();
        }
        self.changes.push_back(now_ns);
    }

    pub(super) fn speech(&self) -> Speech {
        Speech {
            version: self.config.version,
            priority: self.priority,
            interval_ns: self.config.interval_ns,
        }
    }

    /// The sentence follows the facts; a peer has an address on each interface, any of which will do.
    fn republish_backup(&mut self, cx: &mut Context<'_>) {
        let why = self.backup_sentence();
        let same = match (self.published.as_ref().map(|(_, last)| last), &why) {
            (
                Some(Why::PeerActive {
                    peer: was,
                    theirs: had,
                    own: here,
                }),
                Why::PeerActive { theirs, own, .. },
            ) => had == theirs && here == own && self.talks(cx.now_ns, *was),
            (last, why) => last == Some(why),
        };
        let soon = cx.now_ns.saturating_sub(self.published_ns) < REPUBLISH_NS;
        let listening = self
            .published
            .as_ref()
            .is_some_and(|(_, last)| matches!(last, Why::Listens { .. }));
        if same || soon && !listening || !matches!(self.state, State::Backup { .. }) {
            return;
        }
        self.publish(cx, Role::Backup, why);
    }

    fn talks(&self, now_ns: u64, address: IpAddr) -> bool {
        let horizon_ns = now_ns.saturating_sub(self.active_down_ns());
        let talkers = self.routers.iter().filter_map(|router| router.talker);
        talkers
            .into_iter()
            .any(|one| one.address == address && one.heard_ns > horizon_ns)
    }
}
