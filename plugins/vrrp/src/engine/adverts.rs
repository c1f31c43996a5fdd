//! Adverts of others: RFC 9568 sections 6.4.2 and 6.4.3.

use std::net::IpAddr;

use spared_sdk::{CauseKind, Role};

use super::group::{Group, State};
use super::peer::Peer;
use super::router::VirtualRouter;
use super::{Action, Context};
use crate::election::{self, RoleReason};
use crate::wire::frame::Advert;

impl Group {
    pub fn handle_advert(&mut self, cx: &mut Context<'_>, router: usize, advert: &Advert<'_>) {
        self.note_identity_advert(cx.now_ns, router, advert);
        if let Some(router) = self.networks.router_mut(router) {
            router.note_signed(cx.now_ns, advert);
        }
        if self.ignores_adverts_of(cx.now_ns, router, advert.source) {
            return self.note_ignored_advert(cx, router, advert);
        }
        if !self.note_advert(cx, router, advert) {
            return;
        }
        self.note_advert_without_heartbeat(cx, router);
        let advert = &Advert {
            interval_ns: self.believed_interval_ns(advert),
            ..*advert
        };
        match self.state {
            _ if self.lease.is_lapsed() => self.advert_while_lapsed(cx, router, advert),
            State::Lapsed { .. } => {}
            State::Active { .. } => self.advert_while_active(cx, router, advert),
            State::Initialize { .. } => self.note_active_router(cx, advert),
            State::Backup { .. } | State::Promoting { .. } => {
                self.advert_while_backup(cx, router, advert);
            }
        }
    }

    /// Interval of an advert, limited to the configured maximum: an advert can name any interval.
    pub(super) fn believed_interval_ns(&self, advert: &Advert<'_>) -> u64 {
        advert.interval_ns.min(self.config.interval_max_ns)
    }

    pub(super) fn advert_while_backup(
        &mut self,
        cx: &mut Context<'_>,
        router: usize,
        advert: &Advert<'_>,
    ) {
        let now_ns = cx.now_ns;
        if advert.priority == 0 {
            return self.resignation_while_backup(cx, router, advert.source);
        }
        let decided = self.gives_way_to_all(cx) || self.peer_decides(now_ns, router, advert.source);
        let preempts = !decided && self.preempts(cx, router, advert);
        self.note_active_router(cx, advert);
        if preempts {
            // that router lives, so it blocks its fence when it hears this node
            if self.watch.end_readiness() {
                let why = self.preempt_reason(cx, advert);
                self.promote(cx, why);
            }
            return;
        }
        self.watch.end_readiness();
        self.drop_claim(cx);
        self.watch.learn_interval(advert.interval_ns);
        let down_ns = now_ns.saturating_add(self.active_down_ns());
        if matches!(self.state, State::Promoting { .. }) {
            self.state = State::Backup {
                down_ns,
                since_ns: now_ns,
            };
        }
        self.rearm_down(down_ns);
        self.republish_backup(cx);
    }

    /// Handles an advert with priority 0: its sender has resigned.
    fn resignation_while_backup(&mut self, cx: &mut Context<'_>, router: usize, source: IpAddr) {
        let now_ns = cx.now_ns;
        if self.heartbeats_decide(now_ns, router, source) {
            return;
        }
        let stranger = self.is_stranger_address(router, source);
        if self.candidacy.directive().prepared && !stranger {
            return self.handle_peer_release(cx);
        }
        // a router that lost to the active one also sends priority 0, which is no reason to take over
        let loss = self.config.advert_loss;
        let router = self.networks.router(router);
        if router.is_some_and(|r| !r.senders.others_advertise(now_ns, source, loss)) {
            self.watch.handle_resignation();
            let wait_ns = self.after_resignation_ns();
            self.rearm_down(now_ns.saturating_add(wait_ns));
        }
    }

    fn advert_while_active(&mut self, cx: &mut Context<'_>, index: usize, advert: &Advert<'_>) {
        let now_ns = cx.now_ns;
        if self.heartbeats_decide(now_ns, index, advert.source) {
            let rival = self.mutual_peer(now_ns).is_some_and(Peer::is_active);
            if advert.priority == 0 || !rival {
                return self.note_contradicting_advert(cx, index, advert);
            }
        }
        if advert.priority == 0 {
            self.rival_resigned(cx, index, advert);
            return self.answer_losing_advert(cx);
        }
        let Some(own) = self.networks.router(index).and_then(|router| router.source) else {
            return;
        };
        let ours = (self.candidacy.priority(), own);
        let theirs = (advert.priority, advert.source);
        let peers = !self.is_stranger_address(index, advert.source);
        let wins = match self.peer_outscores(cx).filter(|_| peers) {
            Some(outscores) => !outscores,
            None => {
                let differ = advert.priority != self.candidacy.priority();
                if !(differ || self.tie_decides(now_ns, index)) {
                    return;
                }
                election::wins_over(ours, theirs)
            }
        };
        if wins {
            if let Some(router) = self.networks.router_mut(index) {
                router.counters.received_losing += 1;
            }
            self.note_rival(cx, index, advert);
            if !self.gives_way_after_telling(cx) {
                return self.answer_losing_advert(cx);
            }
        }
        self.give_way_to_advert(cx, index, advert);
    }

    /// Answers a losing advert with one of this node's at once, but only a few times in an interval under a flood.
    pub(super) fn answer_losing_advert(&mut self, cx: &mut Context<'_>) {
        if self.lease.begin_answer() {
            self.advertise_now(cx);
        }
    }

    fn give_way_to_advert(&mut self, cx: &mut Context<'_>, index: usize, advert: &Advert<'_>) {
        let own = self.candidacy.priority();
        if advert.priority == election::CLAIM && own < election::CLAIM {
            let here = self.networks.router(index).map(|router| router.port);
            for (port, state) in self.networks.ports_mut().iter_mut().enumerate() {
                state.unheard.handle_claim(Some(port) != here);
            }
        }
        if advert.priority == own {
            self.counters.conflicts += 1;
            if let Some(more) = self.conflicts.allow_tie_event(cx.now_ns) {
                let rival = self.router_at(cx, advert.source);
                let (node, name) = (cx.node, &self.name);
                let text = format!(
                    "{name}: conflict: {rival} is active too, at the same priority {own}; {node} \
                     gives way, as its address is lower{more}"
                );
                cx.push(Action::Conflict(text));
            }
        }
        self.watch.learn_interval(advert.interval_ns);
        self.note_active_router(cx, advert);
        let peer = self.router_at(cx, advert.source);
        let why = RoleReason::compared(CauseKind::PeerActive, own, peer, advert.priority);
        let state = self.listening(cx.now_ns);
        self.step_down(cx, Role::Backup, why, state);
    }

    /// Returns true if a tie of priorities is decided by the addresses on this router. Their order may differ between
    /// interfaces, so the first working router decides for the group. Another one decides only if the first hears
    /// nothing.
    fn tie_decides(&mut self, now_ns: u64, index: usize) -> bool {
        let before = self.routers().take(index);
        let recent_ns = 3 * self.config.interval_ns;
        let heard = |r: &VirtualRouter| {
            r.senders
                .heard_ns()
                .is_some_and(|at| now_ns.saturating_sub(at) < recent_ns)
        };
        let mut usable = before.filter(|router| router.usable()).peekable();
        if usable.peek().is_none() {
            return true;
        }
        if usable.any(heard) {
            self.conflicts.end_tie();
            return false;
        }
        let patience_ns = 2 * self.config.interval_ns;
        self.conflicts.is_tie_lasting(now_ns, patience_ns)
    }

    /// True if a lower router that is active is left to time out: RFC 9568 section 6.4.2.
    fn preempts(&mut self, cx: &Context<'_>, router: usize, advert: &Advert<'_>) -> bool {
        let now_ns = cx.now_ns;
        // E3: a node that gave way to a claim hears only some of the networks
        let forced = self.candidacy.directive().is_forced_active();
        if self.ports().any(|port| port.unheard.has_given_way()) && !forced {
            return false;
        }
        let patience_ns = if forced {
            Some(0)
        } else {
            self.patience_with_peer_ns(cx, router, advert)
        };
        let Some(patience_ns) = patience_ns else {
            self.watch.end_lower();
            return false;
        };
        let changes = self.history.changes(now_ns);
        let facts = self.priority_inputs();
        let delay = election::preempts_after_ns(
            &facts,
            self.candidacy.priority(),
            advert.priority,
            changes,
        );
        let Some(delay_ns) = delay else {
            self.watch.end_lower();
            return false;
        };
        let since_ns = self.watch.note_lower(now_ns);
        let delay_ns = delay_ns.saturating_add(patience_ns);
        now_ns.saturating_sub(since_ns) >= delay_ns && now_ns >= self.not_before_ns()
    }

    /// Additional time before a lower router is preempted, because of the peer; None: it is not preempted while it is
    /// heard.
    fn patience_with_peer_ns(
        &self,
        cx: &Context<'_>,
        router: usize,
        advert: &Advert<'_>,
    ) -> Option<u64> {
        let patience_ns = self.active_down_ns().saturating_mul(2);
        let stranger = self.config.any_router && self.is_stranger_address(router, advert.source);
        if self.candidacy.claims() {
            // E3: this node has probed the stations there, and the peer hears it on another network
            return Some(0);
        }
        if !stranger {
            // a link that has just fallen silent may come back: a switchover is better than a race
            let lost = |at_ns: u64| cx.now_ns.saturating_sub(at_ns) < patience_ns;
            return (!self.peer.mutual_ns().is_some_and(lost)).then_some(0);
        }
        match self.mutual_peer(cx.now_ns) {
            Some(peer) if peer.is_active() => None,
            // the better of the two nodes goes first
            Some(peer) if !self.outscores(cx, peer) => Some(patience_ns),
            _ => Some(0),
        }
    }
}
