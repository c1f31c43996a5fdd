//! E7: conflicts with another active router: decides which of the two stays active, and reports them.

use spared_sdk::{CauseKind, Elapsed, Role};

use super::group::{Group, State};
use super::peer::Peer;
use super::switchover::LATENCY_NS;
use super::{Action, Context};
use crate::election::{OtherRouter, RoleReason};
use crate::limit::{Limit, Suppressed};
use crate::wire::frame::Advert;

/// Conflicts with other active routers, and limits of their reports.
#[derive(Clone, Debug, Default)]
pub(super) struct Conflicts {
    term: TermConflicts,
    ended_ns: Option<u64>,
    /// Time for which rivals were heard while this node was active, since the start.
    both_active_ns: u64,
    announcements: Announcements,
    /// Limit of events about conflicts that this node wins; `tie_limit`: about ties that it loses.
    limit: Limit,
    tie_limit: Limit,
}

/// Conflicts in this node's present active role.
#[derive(Clone, Debug, Default)]
struct TermConflicts {
    conflict: Option<Conflict>,
    /// Time since which an equal rival is heard only on routers that do not decide.
    tie_since_ns: Option<u64>,
    won: WonConflicts,
}

/// A rival that has not given way yet.
#[derive(Clone, Debug)]
pub(super) struct Conflict {
    pub rival: OtherRouter,
    pub priority: u8,
    /// Interface on which the rival was heard first; None: it is known by its heartbeats.
    pub interface: Option<usize>,
    since_ns: u64,
    last_ns: u64,
    interval_ns: u64,
    /// The conflict was counted: it is more than two adverts that crossed at a failover.
    is_counted: bool,
    /// The event of its beginning was not suppressed, so its end is an event as well.
    is_event_sent: bool,
}

/// Another active router, as one advert or heartbeat shows it.
struct Rival {
    who: OtherRouter,
    priority: u8,
    /// Interface on which the rival was heard; None: by its heartbeats.
    interface: Option<usize>,
    interval_ns: u64,
}

/// Limit of the announcements that answer rivals, so that a forged rival cannot make this node send many.
#[derive(Clone, Debug, Default)]
struct Announcements {
    next_ns: u64,
    is_pending: bool,
}

/// Limit of the reports of conflicts that this node won. Followers act again on each, so a forged rival must not be
/// able to end many.
#[derive(Clone, Debug, Default)]
struct WonConflicts {
    next_ns: u64,
    /// Cause of the last won conflict, not published yet.
    pending: Option<RoleReason>,
}

impl Conflicts {
    /// The role is given up.
    pub fn end_term(&mut self) {
        self.term = TermConflicts::default();
    }

    pub fn current(&self) -> Option<&Conflict> {
        self.term.conflict.as_ref()
    }

    /// Returns the time for which rivals were heard while this node was active, since the start.
    pub fn both_active_ns(&self) -> u64 {
        self.both_active_ns
    }

    pub fn ended_ns(&self) -> Option<u64> {
        self.ended_ns
    }

    /// Notes that an equal rival is heard only on routers that do not decide; returns true if that has lasted for
    /// `patience_ns`.
    pub fn is_tie_lasting(&mut self, now_ns: u64, patience_ns: u64) -> bool {
        let since_ns = *self.term.tie_since_ns.get_or_insert(now_ns);
        now_ns.saturating_sub(since_ns) >= patience_ns
    }

    pub fn end_tie(&mut self) {
        self.term.tie_since_ns = None;
    }

    /// Returns the number of suppressed events if the event of a tie may be sent now.
    pub fn allow_tie_event(&mut self, now_ns: u64) -> Option<Suppressed> {
        self.tie_limit.allow(now_ns)
    }

    /// Notes a rival; returns true if it is to be reported.
    fn handle_rival(&mut self, now_ns: u64, rival: Rival, is_settled: bool) -> bool {
        let interval_ns = rival.interval_ns;
        let new = || Conflict::new(now_ns, rival);
        let conflict = self.term.conflict.get_or_insert_with(new);
        self.both_active_ns += now_ns.saturating_sub(conflict.last_ns);
        conflict.last_ns = now_ns;
        conflict.interval_ns = interval_ns;
        // at a failover the old active router's last advert may cross the new one's first
        let is_lasting = conflict.age_ns(now_ns) >= interval_ns / 2;
        let is_new = !conflict.is_counted && (is_settled || is_lasting);
        conflict.is_counted |= is_new;
        is_new
    }

    /// Conflict whose event may be sent now, with the number of suppressed events.
    fn allow_event(&mut self, now_ns: u64) -> Option<(&Conflict, Suppressed)> {
        let more = self.limit.allow(now_ns)?;
        let conflict = self.term.conflict.as_mut()?;
        conflict.is_event_sent = true;
        Some((conflict, more))
    }

    fn take(&mut self, now_ns: u64) -> Option<Conflict> {
        let conflict = self.term.conflict.take()?;
        self.ended_ns = Some(now_ns);
        Some(conflict)
    }
}

impl Announcements {
    const PAUSE_NS: u64 = 1_000_000_000;

    /// True if an announcement may be sent now; otherwise it is sent later.
    fn allow(&mut self, now_ns: u64) -> bool {
        self.is_pending = now_ns < self.next_ns;
        if !self.is_pending {
            self.next_ns = now_ns.saturating_add(Announcements::PAUSE_NS);
        }
        !self.is_pending
    }
}

impl WonConflicts {
    const PAUSE_NS: u64 = 10_000_000_000;

    fn take(&mut self, now_ns: u64) -> Option<RoleReason> {
        if now_ns < self.next_ns {
            return None;
        }
        let why = self.pending.take()?;
        self.next_ns = now_ns.saturating_add(WonConflicts::PAUSE_NS);
        Some(why)
    }
}

impl Group {
    pub(super) fn heartbeat_while_active(&mut self, cx: &mut Context<'_>) {
        let Some(peer) = self.peer.last() else { return };
        if !peer.is_active() {
            let with_peer = |conflict: &Conflict| matches!(conflict.rival, OtherRouter::Node(_));
            if self.conflicts.current().is_some_and(with_peer) {
                self.end_conflict(cx);
            }
            self.update_unheard_ports(cx);
            return self.consider_switchover(cx);
        }
        self.handle_rival_heartbeat(cx);
    }

    /// E7: the score decides; a peer that hears nothing cannot give way.
    fn handle_rival_heartbeat(&mut self, cx: &mut Context<'_>) {
        // the heartbeat was sent before the peer released the group, and its priority 0 has overtaken it
        let is_crossing = |at_ns: u64| cx.now_ns.saturating_sub(at_ns) < LATENCY_NS;
        if self.peer.released_ns().is_some_and(is_crossing) {
            return;
        }
        let Some(peer) = self.peer.last() else { return };
        let (priority, interval_ns) = (peer.heartbeat.priority, peer.heartbeat.advert_interval_ns);
        let wins = self.outranks_peer(cx, peer);
        let who = self.peer_name(cx);
        let mutual = self.peer.was_mutual();
        if mutual && !wins {
            return self.give_way(cx, who, priority);
        }
        let rival = Rival {
            who: who.clone(),
            priority,
            interface: None,
            interval_ns,
        };
        self.note_conflict(cx, rival);
        let patience_ns = 2 * self.active_down_ns();
        let lasts = |conflict: &Conflict| conflict.age_ns(cx.now_ns) >= patience_ns;
        if !mutual && self.conflicts.current().is_some_and(lasts) {
            return self.give_way(cx, who, priority);
        }
        self.answer_losing_advert(cx);
    }

    fn give_way(&mut self, cx: &mut Context<'_>, peer: OtherRouter, theirs: u8) {
        let state = self.listening(cx.now_ns);
        let own = self.candidacy.priority();
        let why = RoleReason::compared(CauseKind::PeerActive, own, peer, theirs);
        self.step_down(cx, Role::Backup, why, state);
        self.own_heartbeat.end_release();
    }

    /// E7: true if the peer's score is at least this node's, which then decides instead of RFC 9568's rule; None unless
    /// each node hears the other.
    pub(super) fn peer_outscores(&self, cx: &Context<'_>) -> Option<bool> {
        let peer = self.mutual_peer(cx.now_ns)?;
        Some(!self.outranks_peer(cx, peer))
    }

    /// E7: true if this node stays active, of two nodes that are active.
    fn outranks_peer(&self, cx: &Context<'_>, peer: &Peer) -> bool {
        let by_priority = self.by_priority(cx.now_ns);
        let first = cx.peer.is_none_or(|name| cx.node < &**name);
        let own = self.rank(cx.now_ns).rival_score(by_priority, first);
        own > peer.rank().rival_score(by_priority, !first)
    }

    /// Handles an advert that loses against this node's.
    pub(super) fn note_rival(&mut self, cx: &mut Context<'_>, router: usize, advert: &Advert<'_>) {
        let rival = Rival {
            interface: self.networks.port_of(router).map(|port| port.interface),
            who: self.router_at(cx, advert.source),
            priority: advert.priority,
            interval_ns: advert.interval_ns,
        };
        self.note_conflict(cx, rival);
    }

    fn note_conflict(&mut self, cx: &mut Context<'_>, rival: Rival) {
        let is_settled = self.is_settled(cx.now_ns);
        // a rival that hears nothing cannot give way, and without a key this node gives way to any
        let is_heard = rival.interface.is_some() || self.peer.was_mutual();
        let outcome = match (is_heard, self.gives_way_to_all(cx)) {
            (true, false) => "stays active",
            (true, true) => "gives way if that lasts",
            (false, _) => "gives way if that lasts, as it is not heard",
        };
        if !self.conflicts.handle_rival(cx.now_ns, rival, is_settled) {
            return;
        }
        self.announce(cx);
        self.counters.conflicts += 1;
        let Some((conflict, more)) = self.conflicts.allow_event(cx.now_ns) else {
            return;
        };
        let (rival, interface) = (conflict.rival.clone(), conflict.interface);
        let theirs = conflict.priority;
        let heard = interface
            .and_then(|index| cx.interface(index))
            .map_or("by heartbeats".to_owned(), |interface| {
                format!("on {}", interface.name)
            });
        let own = interface
            .and_then(|index| self.networks.source_on(index))
            .map_or(String::new(), |own| format!(" {own}"));
        let theirs = if theirs == 0 {
            String::new()
        } else {
            format!(" (priority {theirs})")
        };
        let text = format!(
            "{}: conflict: {rival}{theirs} is active too, heard {heard}; {}{own} (priority {}) {outcome}{more}",
            self.name,
            cx.node,
            self.candidacy.priority()
        );
        cx.push(Action::Conflict(text));
    }

    fn announce(&mut self, cx: &mut Context<'_>) {
        if self.conflicts.announcements.allow(cx.now_ns) {
            cx.push(Action::Announce(self.name.clone()));
        }
    }

    /// Sends the announcement that came too soon after the previous one.
    pub(super) fn announce_late(&mut self, cx: &mut Context<'_>) {
        if self.conflicts.announcements.is_pending {
            self.announce(cx);
        }
    }

    /// Reports an advert in the peer's name that contradicts the peer's heartbeats: it says active although they do
    /// not, or priority 0 although they continue. It comes from the peer or from a forger, and decides nothing.
    pub(super) fn note_contradicting_advert(
        &mut self,
        cx: &mut Context<'_>,
        index: usize,
        advert: &Advert<'_>,
    ) {
        let now_ns = cx.now_ns;
        let Some(peer) = self.peer.last() else { return };
        // the peer's last adverts and heartbeats may cross
        let patience_ns = peer.heartbeat.advert_interval_ns.saturating_mul(2);
        let idle_ns = now_ns.saturating_sub(peer.idle_since_ns);
        if peer.is_active() || idle_ns <= patience_ns || !self.is_settled(now_ns) {
            return;
        }
        let Some(router) = self.networks.router_mut(index) else {
            return;
        };
        let Some(more) = router.limits.contradicting.allow(now_ns) else {
            return;
        };
        let who = router.sender_of(advert);
        let text = format!(
            "{}: {who} advertises, and {} says by heartbeats that it is not active: the advert \
             is ignored{more}",
            self.name,
            self.peer_name(cx),
        );
        cx.push(Action::Event(text));
    }

    /// Handles priority 0 from another router while this node is active: a rival gave way, heard before or not.
    pub(super) fn rival_resigned(
        &mut self,
        cx: &mut Context<'_>,
        router: usize,
        advert: &Advert<'_>,
    ) {
        let who = self.router_at(cx, advert.source);
        match self.conflicts.current() {
            Some(conflict) if conflict.rival == who => self.end_conflict(cx),
            Some(_) => {}
            // this node's advert, which made the rival give way, was the first that the rival heard
            None if self.is_settled(cx.now_ns) && !self.conflict_just_ended(cx.now_ns) => {
                self.note_rival(cx, router, advert);
                self.end_conflict(cx);
            }
            None => {}
        }
    }

    /// True if a conflict ended a moment ago: a rival sends priority 0 on each of its routers.
    fn conflict_just_ended(&self, now_ns: u64) -> bool {
        let patience_ns = 2 * self.config.interval_ns;
        let ended_ns = self.conflicts.ended_ns;
        ended_ns.is_some_and(|at_ns| now_ns.saturating_sub(at_ns) < patience_ns)
    }

    /// True if this node has been active long enough for the previous active router to have heard it.
    fn is_settled(&self, now_ns: u64) -> bool {
        let patience_ns = 2 * self.config.interval_ns;
        matches!(self.state, State::Active { since_ns, .. } if now_ns.saturating_sub(since_ns) > patience_ns)
    }

    /// Ends the conflict: the rival gave way.
    pub(super) fn end_conflict(&mut self, cx: &mut Context<'_>) {
        let Some(conflict) = self.conflicts.take(cx.now_ns) else {
            return;
        };
        // neighbours that asked meanwhile may have learned the rival's MAC address
        self.announce(cx);
        let for_ns = conflict.age_ns(cx.now_ns);
        if conflict.is_counted {
            let peer = conflict.rival.clone();
            self.note_won_conflict(cx, peer, for_ns);
        }
        if conflict.is_event_sent {
            let text = format!(
                "{}: conflict between {} and {} ended after {}",
                self.name,
                cx.node,
                conflict.rival,
                Elapsed(for_ns)
            );
            cx.push(Action::Conflict(text));
        }
    }

    /// Handles a conflict that was not heard: the peer became active and gave way, and none of its heartbeats of that
    /// time arrived.
    pub(super) fn handle_unheard_conflict(&mut self, cx: &mut Context<'_>) {
        self.announce(cx);
        self.counters.conflicts += 1;
        let peer = self.peer_name(cx);
        self.note_won_conflict(cx, peer, 0);
    }

    fn note_won_conflict(&mut self, cx: &mut Context<'_>, peer: OtherRouter, for_ns: u64) {
        let why = RoleReason::with_peer(CauseKind::Conflict, peer).lasting(for_ns);
        self.conflicts.term.won.pending = Some(why);
        self.publish_won_conflict(cx);
    }

    /// Publishes a won conflict, so that this node's followers act again: the rival's may have acted after them, as on
    /// a cloud address.
    pub(super) fn publish_won_conflict(&mut self, cx: &mut Context<'_>) {
        if !self.is_active() {
            return;
        }
        if let Some(why) = self.conflicts.term.won.take(cx.now_ns) {
            self.publication.forget_comparison();
            self.explain(cx, Role::Active, why);
        }
    }

    /// Ends the conflict with a rival that is silent: one that died or lost its path sends no priority 0.
    pub(super) fn expire_conflict(&mut self, cx: &mut Context<'_>) {
        let conflict = self.conflicts.current();
        if conflict.is_some_and(|conflict| cx.now_ns > conflict.silent_at_ns()) {
            self.end_conflict(cx);
        }
    }
}

impl Conflict {
    fn new(now_ns: u64, rival: Rival) -> Conflict {
        Conflict {
            rival: rival.who,
            priority: rival.priority,
            interface: rival.interface,
            since_ns: now_ns,
            last_ns: now_ns,
            interval_ns: rival.interval_ns,
            is_counted: false,
            is_event_sent: false,
        }
    }

    pub fn age_ns(&self, now_ns: u64) -> u64 {
        now_ns.saturating_sub(self.since_ns)
    }

    fn silent_at_ns(&self) -> u64 {
        self.last_ns
            .saturating_add(self.interval_ns.saturating_mul(3))
    }
}
