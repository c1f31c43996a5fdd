//! Decides what a deletion in the kernel's tables means, with role and IKE daemon as one state machine.
//!
//! A daemon deletes its SAs and policies when the tunnel ends, and also when the daemon itself ends: then the tunnel is
//! to go on. It may also delete, by SPI and selector, SAs and policies of an earlier role of this node, which are the
//! peer's records by now. Nothing tells that a daemon is being stopped, but a daemon that is being stopped answers no
//! question. So, while this node is active:
//!
//! | deleted by | replicated, or whose address left | the daemon's own |
//! |---|---|---|
//! | time, an administrator | counts | counts |
//! | a daemon that is there, or not known yet | undone | pending: policies undone, until it has answered |
//! | a daemon that ended within [`ENDED_NS`] | undone | undone |
//! | another one, as none answers the socket | undone | counts |
//!
//! A policy that the daemon puts in the place of a replicated one is its own from then on. Pending deletions count when
//! the daemon answers a question that was asked after them. They are undone when it ends, and also when the role
//! leaves, as the peer has the tunnel then.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{Change, Engine};
use crate::SECOND;
use crate::codec::body::{FIRST_OWN_REQID, policy_with_own_reqids};
use crate::config::Settings;
use crate::sa::{Direction, Policy, PolicyId, SaId};
use crate::store::LocalPolicy;

/// Time for which deletions of a daemon that has ended may still be reported. A reading that misses something this soon
/// after a change of roles was preceded by a daemon.
const ENDED_NS: u64 = 5 * SECOND;

/// Origin of a deletion, as far as the kernel tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleter {
    /// Expiry, or a program whose requests carry no process number: `ip xfrm`.
    Other,
    /// IKE daemon: its requests carry the number of its process.
    Daemon,
}

/// Report about the presence of the IKE daemon here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DaemonEvent {
    /// It answers for the first time, or again.
    Started,
    /// The answer to [`Action::Ping`](super::Action::Ping).
    Answered,
    Ended,
    /// The socket does not answer, and did not before.
    Absent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// This run of the plugin has not reached the daemon's socket yet.
    Unknown,
    Absent,
    Running,
    Ended {
        until_ns: u64,
    },
}

/// Meaning of a deletion of an active node's SA or policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Counts,
    Undone,
    Pending,
}

/// Presence of the daemon, and whether it may have deleted what is missing.
#[derive(Debug)]
pub struct Presence {
    state: State,
    /// Time until which a change of roles or the end of the daemon is recent.
    recent_until_ns: u64,
    /// An administrator has deleted everything: what the next reading misses counts as deleted.
    is_flushed: bool,
}

impl Presence {
    /// Without a socket to ask, deletions by a daemon count.
    pub fn new(settings: &Settings) -> Self {
        let state = match settings.adopt.socket {
            Some(_) => State::Unknown,
            None => State::Absent,
        };
        Self {
            state,
            recent_until_ns: 0,
            is_flushed: false,
        }
    }

    /// Notes that another role begins.
    pub fn handle_role(&mut self, now_ns: u64) {
        self.recent_until_ns = now_ns + ENDED_NS;
    }

    fn handle_end(&mut self, now_ns: u64) {
        let until_ns = now_ns + ENDED_NS;
        self.recent_until_ns = until_ns;
        self.state = State::Ended { until_ns };
    }

    pub fn is_running(&self) -> bool {
        self.state == State::Running
    }

    /// True until this run of the plugin has reached the daemon's socket, or has found none.
    pub fn is_unknown(&self) -> bool {
        self.state == State::Unknown
    }

    pub fn note_flush(&mut self, by: Deleter) {
        self.is_flushed |= by == Deleter::Other;
    }

    /// Forgets the flush: a reading that began after all flushes has ended.
    pub fn forget_flush(&mut self) {
        self.is_flushed = false;
    }

    /// True if the daemon may have deleted what a reading misses.
    fn may_have_deleted(&self) -> bool {
        !self.is_flushed && matches!(self.state, State::Unknown | State::Running)
    }

    fn is_recent(&self, now_ns: u64) -> bool {
        now_ns < self.recent_until_ns
    }

    /// True if the daemon has ended; a daemon that cannot be asked may still be there.
    pub fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended { .. })
    }

    fn verdict(&self, now_ns: u64, by: Deleter, replicated: bool) -> Verdict {
        match (by, self.state) {
            (Deleter::Other, _) => Verdict::Counts,
            (Deleter::Daemon, _) if replicated => Verdict::Undone,
            (_, State::Unknown | State::Running) => Verdict::Pending,
            (_, State::Ended { until_ns }) if now_ns < until_ns => Verdict::Undone,
            (_, State::Ended { .. } | State::Absent) => Verdict::Counts,
        }
    }
}

impl Engine {
    /// Report about the presence of the IKE daemon here.
    pub fn handle_presence(&mut self, now_ns: u64, event: DaemonEvent) {
        match event {
            DaemonEvent::Started => {
                self.ike.presence.state = State::Running;
                self.begin_feed(now_ns);
                self.ike.connections.begin(now_ns);
                self.ask_daemon();
            }
            DaemonEvent::Answered => self.confirm_deletions(now_ns),
            DaemonEvent::Ended => {
                self.ike.presence.handle_end(now_ns);
                self.end_feed(now_ns);
                self.end_silence();
                self.undo_deletions(now_ns);
                self.order_next_daemon();
            }
            DaemonEvent::Absent => {
                self.ike.presence.state = State::Absent;
                self.end_feed(now_ns);
                self.undo_deletions(now_ns);
            }
        }
        self.withhold();
        self.report_connections(now_ns);
        self.mark_dirty();
    }

    /// Verdict on a deletion. If the tunnel is replicated or its address has left, the peer has it, even if that was
    /// not reported yet.
    fn verdict(&self, now_ns: u64, by: Deleter, end: Option<IpAddr>, replicated: bool) -> Verdict {
        let is_away = end.is_some_and(|it| self.store.ends.is_lingering(&it));
        if self.is_active() {
            self.ike.presence.verdict(now_ns, by, replicated || is_away)
        } else {
            Verdict::Counts
        }
    }

    /// True if this plugin installed an SA, also in an earlier run.
    fn is_replicated_sa(&self, id: &SaId) -> bool {
        let known = self.store.sas.get(id);
        self.installed.has(id) || known.is_some_and(|it| it.sa.reqid >= FIRST_OWN_REQID)
    }

    fn is_replicated_policy(&self, id: &PolicyId) -> bool {
        let known = self.store.policies.get(id);
        self.store.installed_policies.has(id)
            || known.is_some_and(|it| leads_to_replicated(&it.policy))
    }

    /// Keeps an SA that is no longer in the kernel: puts it back, or remembers it until the daemon has answered.
    /// Returns false if its deletion counts.
    pub(super) fn restore_sa(&mut self, now_ns: u64, id: &SaId, by: Deleter) -> bool {
        let known = self.store.sas.get(id);
        let Some(end) = known.and_then(|it| Some(it.sa.local_end(it.side?))) else {
            return false;
        };
        match self.verdict(now_ns, by, Some(end), self.is_replicated_sa(id)) {
            Verdict::Counts => false,
            Verdict::Undone => self.reinstall(now_ns, id),
            Verdict::Pending => {
                // an SA that a rekey deleted would be used for sending if it were put back
                self.ike.pending_deletions.add_sa(now_ns, *id);
                self.ask_daemon();
                true
            }
        }
    }

    fn reinstall(&mut self, now_ns: u64, id: &SaId) -> bool {
        self.reinstall_all(now_ns, &BTreeSet::from([*id])) == 1
    }

    /// Puts SAs into the kernel again, with numbers ahead; returns the number of those that have numbers left.
    pub(super) fn reinstall_all(&mut self, now_ns: u64, ids: &BTreeSet<SaId>) -> usize {
        let stopped_ends = self.stopped_ends();
        for id in ids {
            let known = self.store.sas.get(id);
            let Some((side, end)) =
                known.and_then(|it| Some((it.side?, it.sa.local_end(it.side?))))
            else {
                continue;
            };
            if side == Direction::In && stopped_ends.contains(&end) {
                self.stop_receiving(now_ns, id);
            } else {
                self.hold_own_sa(*id, side);
                self.installed.remove(id);
            }
        }
        self.install(now_ns, false);
        let mut made = 0;
        for id in ids {
            if self.installed.has(id) {
                made += 1;
            } else if self.store.sas.contains_key(id) {
                // the SA has no numbers left
                self.store.held.remove_sa(id);
                self.remove_sa(now_ns, id);
            }
        }
        self.counters.restored += made as u64;
        made
    }

    /// Puts a policy of a moving end back; returns false if its deletion counts.
    pub(super) fn restore_policy(&mut self, now_ns: u64, id: &PolicyId, by: Deleter) -> bool {
        let known = self.store.policies.get(id).filter(|it| it.ours);
        let end = known.and_then(|it| it.policy.end);
        let verdict = self.verdict(now_ns, by, end, self.is_replicated_policy(id));
        let Some(known) = known.filter(|_| verdict != Verdict::Counts) else {
            return false;
        };
        let policy = match verdict {
            // the policy leads to SAs that are installed again
            Verdict::Undone => policy_with_own_reqids(&known.policy),
            _ => known.policy.clone(),
        };
        self.put_policy(now_ns, Change::PutPolicy(policy));
        self.forget_trap(id);
        self.counters.restored += 1;
        if verdict == Verdict::Pending {
            self.ike.pending_deletions.add_policy(now_ns, *id);
            self.ask_daemon();
        }
        true
    }

    /// Keeps an SA that a reading did not find and whose deletion was not reported, so that its deleter is unknown.
    /// Soon after a change of roles or the daemon's end, it was the daemon. A daemon that is there is asked about its
    /// own SAs.
    pub(super) fn restore_unseen_sa(&mut self, now_ns: u64, id: &SaId) -> bool {
        let is_asked = self.ike.presence.may_have_deleted() && !self.is_replicated_sa(id);
        let may_be_daemons = self.ike.presence.is_recent(now_ns) || is_asked;
        self.is_deletion_pending(id)
            || self.is_awaited_sa(id)
            || may_be_daemons && self.restore_sa(now_ns, id, Deleter::Daemon)
    }

    /// Keeps a policy that a reading did not find, likewise. A replicated policy stays: in doubt nothing leaves in
    /// clear text.
    pub(super) fn restore_unseen_policy(&mut self, now_ns: u64, id: &PolicyId) -> bool {
        let may_be_daemons =
            self.ike.presence.is_recent(now_ns) || self.ike.presence.may_have_deleted();
        may_be_daemons && self.restore_policy(now_ns, id, Deleter::Daemon)
    }

    /// Replicated policy in whose place a daemon puts this one of its own, if any.
    pub(super) fn replaced_policy(&self, policy: &Policy) -> Option<&LocalPolicy> {
        let is_held = self.store.held.policies.contains_key(&policy.id);
        let is_own = policy
            .templates
            .iter()
            .any(|it| (1..FIRST_OWN_REQID).contains(&it.reqid));
        let before = self.store.policies.get(&policy.id);
        let before = before.filter(|it| leads_to_replicated(&it.policy));
        before.filter(|_| self.is_active() && is_own && !is_held && !self.is_trap(policy))
    }

    /// Forgets the pending deletion of a policy, which is the daemon's own again, whichever of the two the kernel has.
    pub(super) fn cancel_pending_policy(&mut self, policy: &Policy) {
        if self.ike.pending_deletions.cancel_policy(&policy.id) {
            self.store.installed_policies.forget(&policy.id);
            self.push_change(Change::PutPolicy(policy.clone()));
        }
    }
}

fn leads_to_replicated(policy: &Policy) -> bool {
    policy
        .templates
        .iter()
        .any(|it| it.reqid >= FIRST_OWN_REQID)
}
