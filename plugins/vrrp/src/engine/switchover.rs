//! E6: the active node switches the group over to a fitter peer, and the peer becomes active.

use spared_sdk::Role;

use super::group::{Group, State};
use super::{Action, Context, Engine};
use crate::election::{self, ElectionRules, Rank, SwitchoverCause};

/// E13: pause before a refused switchover is requested again; each time twice as long.
const SOON_NS: u64 = 300_000_000;
const AGAIN_NS: u64 = 5_000_000_000;
/// Time for which heartbeats from before a switchover may arrive late: a round trip on a link, with room to spare.
pub(super) const LATENCY_NS: u64 = 1_000_000_000;

/// The active node's switchover to a fitter peer.
#[derive(Clone, Debug, Default)]
pub(super) struct Switchover {
    plan: Option<Plan>,
    request: Option<Request>,
    /// Cause of the last request, if the host refused it.
    refused: Option<SwitchoverCause>,
    /// Cause of the switchover that the host began.
    begun: Option<SwitchoverCause>,
}

/// A fitter peer, the time since which it is, and the time of the switchover to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Plan {
    cause: SwitchoverCause,
    since_ns: u64,
    due_ns: u64,
}

/// The last request to the host since this node became active.
#[derive(Clone, Copy, Debug)]
struct Request {
    cause: SwitchoverCause,
    /// Time of the next request.
    again_ns: u64,
    pause_ns: u64,
    /// State of the peer at the last look.
    peer: Option<Rank>,
}

/// Answer of the host to a request for a switchover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SwitchoverAnswer {
    Begun,
    /// A switchover was under way already.
    AlreadyBegun,
    Refused,
}

impl Switchover {
    /// Begins an active role: only the cause of a switchover that has begun stays.
    pub fn begin_term(&mut self) {
        *self = Switchover {
            begun: self.begun,
            ..Switchover::default()
        };
    }

    /// Forgets the plan: the role ends, or the fence lease has ended.
    pub fn cancel(&mut self) {
        self.plan = None;
    }

    /// Forgets the plan and the answers: no peer is fitter.
    fn withdraw(&mut self) {
        (self.plan, self.refused, self.begun) = (None, None, None);
    }

    /// Notes that the peer is fitter; returns true if the host is to be asked now.
    fn handle_fitter_peer(
        &mut self,
        now_ns: u64,
        cause: SwitchoverCause,
        delay_ns: u64,
        peer: Option<Rank>,
    ) -> bool {
        if let Some(request) = &mut self.request {
            request.note_peer(now_ns, peer);
        }
        let plan = self.plan.filter(|plan| plan.cause == cause);
        let since_ns = plan.map_or(now_ns, |plan| plan.since_ns);
        let same = self.request.filter(|request| request.cause == cause);
        let again_ns = match same {
            None if delay_ns == 0 => 0,
            _ => self.request.map_or(0, |request| request.again_ns),
        };
        let mut due_ns = since_ns.saturating_add(delay_ns).max(again_ns);
        let asks = now_ns >= due_ns;
        if asks {
            let pause_ns = same.map_or(SOON_NS, |request| {
                request.pause_ns.saturating_mul(2).min(AGAIN_NS)
            });
            due_ns = now_ns.saturating_add(pause_ns);
            self.request = Some(Request {
                cause,
                again_ns: due_ns,
                pause_ns,
                peer,
            });
        }
        self.plan = Some(Plan {
            cause,
            since_ns,
            due_ns,
        });
        asks
    }

    /// Stores the host's answer to the request; returns true if it is a refusal.
    fn handle_answer(&mut self, answer: SwitchoverAnswer) -> bool {
        let cause = self.cause();
        let is_begun = match answer {
            SwitchoverAnswer::Begun => true,
            SwitchoverAnswer::AlreadyBegun => self.begun == cause,
            SwitchoverAnswer::Refused => false,
        };
        self.begun = cause.filter(|_| is_begun);
        !is_begun
    }

    /// Notes a refusal; returns true if the host had refused the last request for that cause, too.
    fn note_refused(&mut self, cause: SwitchoverCause) -> bool {
        self.refused.replace(cause) == Some(cause)
    }

    fn retry_at(&mut self, at_ns: u64) {
        if let Some(request) = &mut self.request {
            request.again_ns = at_ns;
        }
    }

    fn cause(&self) -> Option<SwitchoverCause> {
        self.plan.map(|plan| plan.cause)
    }
}

impl Request {
    /// Shortens the pause if the peer has changed: it may now have what it lacked at the last request (E13).
    fn note_peer(&mut self, now_ns: u64, peer: Option<Rank>) {
        if std::mem::replace(&mut self.peer, peer) != peer {
            self.pause_ns = SOON_NS / 2;
            self.again_ns = self.again_ns.min(now_ns.saturating_add(SOON_NS));
        }
    }
}

impl Engine {
    /// Answers [`Action::SwitchOver`].
    pub fn handle_switch_over_answer(
        &mut self,
        now_ns: u64,
        group: &str,
        answer: SwitchoverAnswer,
    ) {
        let Some(index) = self.groups.iter().position(|g| *g.name == *group) else {
            return;
        };
        self.with_group(now_ns, index, |group, cx| {
            group.handle_switchover_answer(cx, answer);
        });
    }
}

impl Group {
    /// Decides whether the peer should get the group; called while active, after each change of the peer's state or
    /// this node's.
    pub(super) fn consider_switchover(&mut self, cx: &mut Context<'_>) {
        let now_ns = cx.now_ns;
        let Some((cause, delay_ns)) = self.switchover_cause(cx) else {
            return self.switchover.withdraw();
        };
        let peer = self.peer.last().map(|peer| peer.rank());
        if !self
            .switchover
            .handle_fitter_peer(now_ns, cause, delay_ns, peer)
        {
            return;
        }
        let why = self.switchover_reason(cx, cause);
        // without a link there is never a session: this node can only release the group
        if cx.links.is_empty() {
            return self.listen_again(cx, why);
        }
        cx.push(Action::SwitchOver {
            group: self.name.clone(),
            cause: why.cause(),
        });
    }

    fn switchover_cause(&mut self, cx: &Context<'_>) -> Option<(SwitchoverCause, u64)> {
        let now_ns = cx.now_ns;
        let changes = self.history.changes(now_ns);
        let peer = self.mutual_peer(now_ns).filter(|peer| !peer.is_active())?;
        let (own, other) = (self.rank(now_ns), peer.rank());
        let rules = ElectionRules {
            election: self.config.election,
            by_priority: self.by_priority(now_ns),
            is_linked: !cx.links.is_empty(),
            frozen: self.candidacy.directive().frozen,
            unheard: self
                .ports()
                .any(|port| port.unheard.has_moved() || port.unheard.since_ns().is_some()),
            changes,
        };
        let found = election::switches_over(&own, &other, &rules);
        let found = found
            .filter(|(cause, _)| cause.is_urgent() || !self.is_better_here(now_ns, &own, &other));
        if found.is_some_and(|(_, delay_ns)| delay_ns == 0) {
            return found;
        }
        let by_priority = rules.by_priority;
        if self.is_unheard_no_better_here(now_ns, &own, &other, by_priority) {
            return Some((SwitchoverCause::Unheard, 0));
        }
        let is_dropped = self.is_dropped_here(now_ns, &own, &other, by_priority)
            && !self.is_proven_here_alone(&own, &other);
        if is_dropped {
            Some((SwitchoverCause::Dropped, election::hold_ns(&rules)))
        } else {
            found
        }
    }

    /// E3 and E15: true if the other node would serve on fewer networks that are known to work.
    fn is_better_here(&self, now_ns: u64, own: &Rank, other: &Rank) -> bool {
        self.is_proven_here_alone(own, other) || self.gains_nothing_there(now_ns, own, other)
    }

    /// Time when [`Group::consider_switchover`] decides without a change.
    pub(super) fn switchover_timeout(&self) -> Option<u64> {
        self.switchover.plan.map(|plan| plan.due_ns)
    }

    fn handle_switchover_answer(&mut self, cx: &mut Context<'_>, answer: SwitchoverAnswer) {
        if self.switchover.handle_answer(answer) {
            self.switch_over_refused(cx);
        }
    }

    /// Handles a refusal of the host. If an interface is dead, it is better to release the group as VRRP alone would
    /// than to wait: at once if no interface is left, otherwise after a second try. In all other cases nothing changes.
    fn switch_over_refused(&mut self, cx: &mut Context<'_>) {
        let Some(cause) = self.switchover.cause().filter(|_| self.is_active()) else {
            return;
        };
        let again = self.switchover.note_refused(cause);
        match cause {
            // without a session there is no switchover: a forced or hurt node releases the group as VRRP alone would
            SwitchoverCause::Class | SwitchoverCause::Hurt if !cx.session => {
                let why = self.switchover_reason(cx, cause);
                self.listen_again(cx, why);
            }
            SwitchoverCause::Hurt if !again => {
                let at_ns = cx.now_ns.saturating_add(SOON_NS);
                self.switchover.retry_at(at_ns);
            }
            SwitchoverCause::Hurt | SwitchoverCause::Isolated => {
                let why = self.switchover_reason(cx, cause);
                self.listen_again(cx, why);
            }
            _ => {}
        }
    }

    /// Releases the group to the peer, which is prepared, and goes ahead as soon as it hears of it.
    pub(super) fn release_to_successor(&mut self, cx: &mut Context<'_>) {
        let cause = self.switchover.cause();
        let why = self.release_reason(cx, cause);
        self.mark_unheard();
        // twice the time: if the successor hears nothing of this, its wait for silence ends first
        let patience_ns = self.active_down_ns().saturating_mul(2).max(LATENCY_NS);
        let state = State::Backup {
            down_ns: cx.now_ns.saturating_add(patience_ns),
            since_ns: cx.now_ns,
        };
        self.step_down(cx, Role::Backup, why, state);
    }

    /// Becomes active if the peer's release arrived before the host's directive, which makes this node the successor.
    pub(super) fn become_successor(&mut self, cx: &mut Context<'_>) {
        let patience_ns = self.active_down_ns();
        let recent = |at_ns| cx.now_ns.saturating_sub(at_ns) < patience_ns;
        let idle = self
            .living_peer(cx.now_ns)
            .is_some_and(|peer| !peer.is_active());
        if idle
            && self.peer.released_ns().is_some_and(recent)
            && matches!(self.state, State::Backup { .. })
        {
            self.take_released_group(cx);
        }
    }

    /// Takes over a group that the peer released: this node is prepared.
    pub(super) fn take_released_group(&mut self, cx: &mut Context<'_>) {
        let why = self.inheriting_reason(cx);
        self.promote(cx, why);
    }
}
