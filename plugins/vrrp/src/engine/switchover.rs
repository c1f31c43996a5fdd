//! E6: the active node switches the group over to a fitter peer, and the peer becomes active.

use spared_sdk::Role;

use super::group::{Group, State};
use super::{Action, Context, Engine};
use crate::election::{self, Rank, Rules, SwitchoverCause};

/// E13: pause before a refused switchover is requested again; each time twice as long.
const SOON_NS: u64 = 300_000_000;
const AGAIN_NS: u64 = 5_000_000_000;
/// What a link may take there and back, with room to spare: heartbeats of before a switchover come late.
pub(super) const LATENCY_NS: u64 = 1_000_000_000;

/// A fitter peer, since when, and when the group is switched over to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Better {
    pub cause: SwitchoverCause,
    since_ns: u64,
    due_ns: u64,
}

/// Whether the host began a switchover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    Yes,
    /// One was under way already.
    Before,
    No,
}

impl Engine {
    /// Answers [`Action::SwitchOver`].
    pub fn handle_switch_over_answer(&mut self, now_ns: u64, group: &str, answer: Begun) {
        let Some(index) = self.groups.iter().position(|g| *g.name == *group) else {
            return;
        };
        self.with_group(now_ns, index, |group, cx| {
            group.take_switch_over_answer(cx, answer);
        });
    }
}

impl Group {
    /// Decides whether the peer should get the group; while active, after each news of it or of
    /// this node.
    pub(super) fn weigh(&mut self, cx: &mut Context<'_>) {
        let now_ns = cx.now_ns;
        let Some((cause, delay_ns)) = self.verdict(cx) else {
            (self.better, self.refused, self.begun) = (None, None, None);
            return;
        };
        self.note_peer_changed(now_ns);
        let since_ns = self.better.filter(|better| better.cause == cause);
        let since_ns = since_ns.map_or(now_ns, |better| better.since_ns);
        let urgent = delay_ns == 0 && self.asked != Some(cause);
        let again_ns = if urgent { 0 } else { self.ask_again_ns };
        let due_ns = since_ns.saturating_add(delay_ns).max(again_ns);
        let asks = now_ns >= due_ns;
        if asks {
            let doubled_ns = match self.asked == Some(cause) {
                true => self.ask_pause_ns.saturating_mul(2).min(AGAIN_NS),
                false => SOON_NS,
            };
            self.asked = Some(cause);
            self.ask_pause_ns = doubled_ns;
            self.ask_again_ns = now_ns.saturating_add(doubled_ns);
        }
        self.better = Some(Better {
            cause,
            since_ns,
            due_ns: if asks { self.ask_again_ns } else { due_ns },
        });
        if !asks {
            return;
        }
        let why = self.switchover_sentence(cx, cause);
        // no link, and so never a session: the word that nobody answers here is all that there can be
        if cx.links.is_empty() {
            return self.listen_again(cx, why);
        }
        cx.push(Action::SwitchOver {
            group: self.name.clone(),
            cause: why.cause(),
        });
    }

    /// E13: the peer may now have what it lacked at the last request.
    fn note_peer_changed(&mut self, now_ns: u64) {
        let standing = self.peer.as_ref().map(|peer| peer.standing());
        if std::mem::replace(&mut self.asked_peer, standing) != standing && self.asked.is_some() {
            self.ask_pause_ns = SOON_NS / 2;
            let soon_ns = now_ns.saturating_add(SOON_NS);
            self.ask_again_ns = self.ask_again_ns.min(soon_ns);
        }
    }

    fn verdict(&mut self, cx: &Context<'_>) -> Option<(SwitchoverCause, u64)> {
        let now_ns = cx.now_ns;
        self.forget_old_changes(now_ns);
        let peer = self.mutual_peer(now_ns).filter(|peer| !peer.is_active())?;
        let (own, other) = (self.standing(now_ns), peer.standing());
        let rules = Rules {
            election: self.config.election,
            by_priority: self.by_priority(now_ns),
            is_linked: !cx.links.is_empty(),
            frozen: self.directive.frozen,
            unheard: self
                .ports
                .iter()
                .any(|port| port.moved || port.unheard_since_ns.is_some()),
            changes: u32::try_from(self.changes.len()).unwrap_or(u32::MAX),
        };
        let found = election::switches_over(&own, &other, &rules);
        let found = found
            .filter(|(cause, _)| cause.is_urgent() || !self.is_better_here(now_ns, &own, &other));
        if found.is_some_and(|(_, delay_ns)| delay_ns == 0) {
            return found;
        }
        let by_priority = rules.by_priority;
        if self.is_unheard_in_vain(now_ns, &own, &other, by_priority) {
            return Some((SwitchoverCause::Unheard, 0));
        }
        let is_dropped = self.is_dropped_here(now_ns, &own, &other, by_priority)
            && !self.is_proven_here_alone(&own, &other);
        match is_dropped {
            true => Some((SwitchoverCause::Dropped, election::hold_ns(&rules))),
            false => found,
        }
    }

    /// E3 and E15: whether the other node would serve on fewer networks that are known to work.
    fn is_better_here(&self, now_ns: u64, own: &Rank, other: &Rank) -> bool {
        self.is_proven_here_alone(own, other) || self.gains_nothing_there(now_ns, own, other)
    }

    /// Time when [`Group::weigh`] decides without news.
    pub(super) fn switchover_timeout(&self) -> Option<u64> {
        self.better.map(|better| better.due_ns)
    }

    fn take_switch_over_answer(&mut self, cx: &mut Context<'_>, answer: Begun) {
        let cause = self.better.map(|better| better.cause);
        match answer {
            Begun::Yes => self.begun = cause,
            Begun::Before if self.begun == cause => {}
            Begun::Before | Begun::No => {
                self.begun = None;
                self.switch_over_refused(cx);
            }
        }
    }

    /// The host said no: nothing has changed. But where an interface is dead, letting go as VRRP
    /// alone would is better than to wait: at once where none is left, else after a second try.
    fn switch_over_refused(&mut self, cx: &mut Context<'_>) {
        let Some(better) = self.better.filter(|_| self.is_active()) else {
            return;
        };
        let again = self.refused == Some(better.cause);
        self.refused = Some(better.cause);
        match better.cause {
            // no session, and so no switchover: the word of whoever forced it is kept as VRRP alone would
            SwitchoverCause::Class | SwitchoverCause::Hurt if !cx.session => {
                let why = self.switchover_sentence(cx, better.cause);
                self.listen_again(cx, why);
            }
            SwitchoverCause::Hurt if !again => {
                self.ask_again_ns = cx.now_ns.saturating_add(SOON_NS)
            }
            SwitchoverCause::Hurt | SwitchoverCause::Isolated => {
                let why = self.switchover_sentence(cx, better.cause);
                self.listen_again(cx, why);
            }
            _ => {}
        }
    }

    /// The peer is prepared: it goes ahead as soon as it hears of it.
    pub(super) fn release_to_successor(&mut self, cx: &mut Context<'_>) {
        let cause = self.better.map(|better| better.cause);
        let why = self.release_sentence(cx, cause);
        self.mark_unheard();
        // twice the time: should nothing of this be heard, the successor's silence ends first
        let patience_ns = self.active_down_ns().saturating_mul(2).max(LATENCY_NS);
        let state = State::Backup {
            down_ns: cx.now_ns.saturating_add(patience_ns),
            since_ns: cx.now_ns,
        };
        self.step_down(cx, Role::Backup, why, state);
    }

    /// Prepared: the peer's release may have arrived before the host's directive.
    pub(super) fn become_successor(&mut self, cx: &mut Context<'_>) {
        let patience_ns = self.active_down_ns();
        let recent = |at_ns| cx.now_ns.saturating_sub(at_ns) < patience_ns;
        let idle = self
            .living_peer(cx.now_ns)
            .is_some_and(|peer| !peer.is_active());
        if idle && self.let_go_ns.is_some_and(recent) && matches!(self.state, State::Backup { .. })
        {
            self.inherit(cx);
        }
    }

    /// The peer let go, and this node is prepared.
    pub(super) fn inherit(&mut self, cx: &mut Context<'_>) {
        let why = self.inheriting_sentence(cx);
        self.promote(cx, why);
    }
}
