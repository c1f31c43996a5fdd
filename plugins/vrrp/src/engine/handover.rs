//! E6: the active node hands the group to a fitter twin, and the twin takes it.

use spared_sdk::Role;

use super::group::{Group, State};
use super::{Action, Context};
use crate::election::{self, Cause, Rules};

/// When a handover that was asked for in vain is asked for again.
const AGAIN_NS: u64 = 5_000_000_000;
/// The same where an interface is dead: one that is under way is over by then.
const SOON_NS: u64 = 300_000_000;
/// What a link may take there and back, with room to spare: beats of before a handover come late.
pub(super) const LATENCY_NS: u64 = 1_000_000_000;

/// A fitter twin, since when, and when the group is to be handed to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Better {
    pub cause: Cause,
    since_ns: u64,
    due_ns: u64,
}

impl Group {
    /// Whether the twin is to have the group; while active, whenever something was heard of it or
    /// of this node.
    pub(super) fn weigh(&mut self, cx: &mut Context<'_>) {
        let now_ns = cx.now_ns;
        let Some((cause, delay_ns)) = self.verdict(now_ns) else {
            (self.better, self.refused) = (None, None);
            return;
        };
        let since_ns = self.better.filter(|better| better.cause == cause);
        let since_ns = since_ns.map_or(now_ns, |better| better.since_ns);
        let urgent = delay_ns == 0 && self.asked != Some(cause);
        let again_ns = if urgent { 0 } else { self.ask_again_ns };
        let due_ns = since_ns.saturating_add(delay_ns).max(again_ns);
        let asks = now_ns >= due_ns;
        if asks {
            self.asked = Some(cause);
            self.ask_again_ns = now_ns.saturating_add(AGAIN_NS);
        }
        self.better = Some(Better {
            cause,
            since_ns,
            due_ns: if asks { self.ask_again_ns } else { due_ns },
        });
        if !asks {
            return;
        }
        let why = self.handover_sentence(cx, cause);
        cx.push(Action::HandOver {
            group: self.name.clone(),
            reason: why.reason(),
            why: format!("{} hands over to {}: {why}", cx.node, self.who_is_twin(cx)),
        });
    }

    fn verdict(&mut self, now_ns: u64) -> Option<(Cause, u64)> {
        self.forget_old_changes(now_ns);
        let twin = self.mutual_twin(now_ns).filter(|twin| !twin.is_active())?;
        let (own, other) = (self.standing(now_ns), twin.standing());
        let rules = Rules {
            election: self.config.election,
            by_priority: self.by_priority(now_ns),
            frozen: self.stance.frozen,
            disputed: self
                .ports
                .iter()
                .any(|port| port.moved || port.unheard_since_ns.is_some()),
            changes: u32::try_from(self.changes.len()).unwrap_or(u32::MAX),
        };
        let found = election::hands_over(&own, &other, &rules);
        if found.is_some_and(|(_, delay_ns)| delay_ns == 0) {
            return found;
        }
        let disputed = self.is_disputed_in_vain(now_ns, &own, &other, rules.by_priority);
        if disputed {
            Some((Cause::Disputed, 0))
        } else {
            found
        }
    }

    /// When [`Group::weigh`] decides without being told of anything.
    pub(super) fn handover_timeout(&self) -> Option<u64> {
        self.better.map(|better| better.due_ns)
    }

    /// The host said no: nothing has changed. But where an interface is dead, letting go as VRRP
    /// alone would is better than to wait: at once where none is left, else after a second try.
    pub fn handle_hand_over_refused(&mut self, cx: &mut Context<'_>) {
        let Some(better) = self.better.filter(|_| self.is_active()) else {
            return;
        };
        let again = self.refused == Some(better.cause);
        self.refused = Some(better.cause);
        match better.cause {
            Cause::Hurt if !again => self.ask_again_ns = cx.now_ns.saturating_add(SOON_NS),
            Cause::Hurt | Cause::Isolated => {
                let why = self.handover_sentence(cx, better.cause);
                self.listen_again(cx, why);
            }
            _ => {}
        }
    }

    /// The twin is prepared: it goes ahead as soon as it hears of it.
    pub(super) fn yield_to_heir(&mut self, cx: &mut Context<'_>) {
        let cause = self.better.map(|better| better.cause);
        let why = self.yielding_sentence(cx, cause);
        self.mark_disputes();
        // twice the time: should nothing of this be heard, the heir's silence ends first
        let patience_ns = self.active_down_ns().saturating_mul(2).max(LATENCY_NS);
        let state = State::Backup {
            down_ns: cx.now_ns.saturating_add(patience_ns),
            since_ns: cx.now_ns,
        };
        self.step_down(cx, Role::Backup, why, state);
    }

    /// Prepared: the word of the twin may have come before the host's.
    pub(super) fn become_heir(&mut self, cx: &mut Context<'_>) {
        let patience_ns = self.active_down_ns();
        let recent = |at_ns| cx.now_ns.saturating_sub(at_ns) < patience_ns;
        let idle = self
            .living_twin(cx.now_ns)
            .is_some_and(|twin| !twin.is_active());
        if idle && self.let_go_ns.is_some_and(recent) && matches!(self.state, State::Backup { .. })
        {
            self.inherit(cx);
        }
    }

    /// The twin let go, and this node is prepared.
    pub(super) fn inherit(&mut self, cx: &mut Context<'_>) {
        let why = self.inheriting_sentence(cx);
        self.promote(cx, why);
    }
}
