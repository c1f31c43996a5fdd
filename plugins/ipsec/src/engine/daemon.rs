//! Role and IKE daemon as one state machine: what a deletion in the kernel's tables means.
//!
//! A daemon deletes what it made when the tunnel ends, and also when the daemon itself ends: then the tunnel
//! is to go on. It may also delete by SPI and selector what it made in an earlier role of this node, which by
//! now is what followed from the peer. Nobody says that a daemon is being stopped; but one that is answers
//! nobody. So, while this node is active:
//!
//! | deleted by | what followed, or whose address went | the daemon's own |
//! |---|---|---|
//! | time, an administrator | counts | counts |
//! | a daemon that is there, or not known yet | undone | doubted: policies undone, until it has answered |
//! | a daemon that ended within [`ENDED_NS`] | undone | undone |
//! | another one, as none answers the socket | undone | counts |
//!
//! A policy that the daemon puts in the place of one that followed is its own from then on. Doubted deletions
//! count when the daemon answers a question that was asked after them; they are undone when it ends, and
//! also when the role goes, as the peer has the tunnel then.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{Change, Engine};
use crate::SECOND;
use crate::codec::body::{OURS, shifted_policy};
use crate::config::Settings;
use crate::sa::{Policy, PolicyId, SaId};

/// Deletions of a daemon that has ended may be heard so late; a reading that misses something so soon
/// after a change of roles was preceded by a daemon.
const ENDED_NS: u64 = 5 * SECOND;

/// Origin of a deletion, as far as the kernel tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleter {
    /// Time, or somebody whose requests carry no number of a process: `ip xfrm`.
    Other,
    /// Requests of IKE daemons carry the number of their process.
    Daemon,
}

/// What the IKE daemon here shows of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DaemonWord {
    Came,
    /// The answer to a greeting.
    Answered,
    Ended,
    /// Nobody listens, and nobody did before.
    Absent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// This run of the plugin has not reached its socket yet.
    Unknown,
    Absent,
    There,
    Ended {
        until_ns: u64,
    },
}

/// Meaning of a deletion of an active node's SA or policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Counts,
    Undone,
    Doubted,
}

/// Whether the daemon is there, and whether it may have deleted what is missing.
#[derive(Debug)]
pub struct Presence {
    state: State,
    /// A change of roles, or the end of the daemon, is so recent.
    recent_until_ns: u64,
    /// An administrator has deleted everything: what the next reading misses counts.
    is_flushed: bool,
}

impl Presence {
    /// Where no socket is asked, daemons mean what they delete of their own.
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

    /// Another role begins.
    pub fn handle_role(&mut self, now_ns: u64) {
        self.recent_until_ns = now_ns + ENDED_NS;
    }

    fn handle_end(&mut self, now_ns: u64) {
        let until_ns = now_ns + ENDED_NS;
        self.recent_until_ns = until_ns;
        self.state = State::Ended { until_ns };
    }

    pub fn is_there(&self) -> bool {
        self.state == State::There
    }

    pub fn note_flush(&mut self, by: Deleter) {
        self.is_flushed |= by == Deleter::Other;
    }

    /// A reading that began after all flushes has ended.
    pub fn forget_flush(&mut self) {
        self.is_flushed = false;
    }

    /// Whether it may have deleted what a reading misses.
    fn may_have_deleted(&self) -> bool {
        !self.is_flushed && matches!(self.state, State::Unknown | State::There)
    }

    fn is_recent(&self, now_ns: u64) -> bool {
        now_ns < self.recent_until_ns
    }

    /// A daemon that nobody can ask may be there.
    pub fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended { .. })
    }

    fn verdict(&self, now_ns: u64, by: Deleter, followed: bool) -> Verdict {
        match (by, self.state) {
            (Deleter::Other, _) => Verdict::Counts,
            (Deleter::Daemon, _) if followed => Verdict::Undone,
            (_, State::Unknown | State::There) => Verdict::Doubted,
            (_, State::Ended { until_ns }) if now_ns < until_ns => Verdict::Undone,
            (_, State::Ended { .. } | State::Absent) => Verdict::Counts,
        }
    }
}

impl Engine {
    /// What the IKE daemon here shows of itself.
    pub fn handle_daemon(&mut self, now_ns: u64, word: DaemonWord) {
        match word {
            DaemonWord::Came => {
                self.ike.presence.state = State::There;
                self.ike.connections.begin(now_ns);
                self.ask();
            }
            DaemonWord::Answered => self.believe(now_ns),
            DaemonWord::Ended => {
                self.ike.presence.handle_end(now_ns);
                self.end_silence();
                self.undo(now_ns);
                self.adopt_anew();
            }
            DaemonWord::Absent => {
                self.ike.presence.state = State::Absent;
                self.undo(now_ns);
            }
        }
        self.withhold();
        self.report_connections(now_ns);
        self.mark_dirty();
    }

    /// Of what follows, or whose address went: the peer has it, though nobody has said so yet.
    fn verdict(&self, now_ns: u64, by: Deleter, end: Option<IpAddr>, followed: bool) -> Verdict {
        let is_away = end.is_some_and(|it| self.store.ends.is_lost(&it));
        match self.is_active() {
            true => self.ike.presence.verdict(now_ns, by, followed || is_away),
            false => Verdict::Counts,
        }
    }

    /// Whether an SA is of the plugin's making, also of a run before this one.
    fn has_followed(&self, id: &SaId) -> bool {
        let known = self.store.sas.get(id);
        self.installed.has(id) || known.is_some_and(|it| it.sa.reqid >= OURS)
    }

    fn policy_has_followed(&self, id: &PolicyId) -> bool {
        let known = self.store.policies.get(id);
        self.store.put.has(id) || known.is_some_and(|it| leads_to_ours(&it.policy))
    }

    /// Keeps an SA that is not in the kernel any more: there, or in mind until the daemon has answered;
    /// false where its deletion counts.
    pub(super) fn restore_sa(&mut self, now_ns: u64, id: &SaId, by: Deleter) -> bool {
        let known = self.store.sas.get(id);
        let Some(end) = known.and_then(|it| Some(it.sa.local_end(it.side?))) else {
            return false;
        };
        match self.verdict(now_ns, by, Some(end), self.has_followed(id)) {
            Verdict::Counts => false,
            Verdict::Undone => self.make_anew(now_ns, id),
            Verdict::Doubted => {
                // one of a rekey, in the kernel once more, would be sent with
                self.ike.doubts.add_sa(now_ns, *id);
                self.ask();
                true
            }
        }
    }

    fn make_anew(&mut self, now_ns: u64, id: &SaId) -> bool {
        self.make_all_anew(now_ns, &BTreeSet::from([*id])) == 1
    }

    /// Puts SAs into the kernel once more, with numbers ahead; how many of them can be.
    pub(super) fn make_all_anew(&mut self, now_ns: u64, ids: &BTreeSet<SaId>) -> usize {
        for id in ids {
            let known = self.store.sas.get(id);
            if let Some(side) = known.and_then(|it| it.side) {
                self.keep(*id, side);
                self.installed.remove(id);
            }
        }
        self.install(now_ns, false);
        let mut made = 0;
        for id in ids {
            if self.installed.has(id) {
                made += 1;
            } else if self.store.sas.contains_key(id) {
                // it is worn
                self.store.held.sas.remove(id);
                self.drop_sa(now_ns, id);
            }
        }
        self.counters.restored += made as u64;
        made
    }

    /// Puts a policy of a moving end back; false where its deletion counts.
    pub(super) fn restore_policy(&mut self, now_ns: u64, id: &PolicyId, by: Deleter) -> bool {
        let known = self.store.policies.get(id).filter(|it| it.ours);
        let end = known.and_then(|it| it.policy.end);
        let verdict = self.verdict(now_ns, by, end, self.policy_has_followed(id));
        let Some(known) = known.filter(|_| verdict != Verdict::Counts) else {
            return false;
        };
        let policy = match verdict {
            // it leads to SAs that are made anew
            Verdict::Undone => shifted_policy(&known.policy),
            _ => known.policy.clone(),
        };
        self.put_policy(now_ns, Change::PutPolicy(policy));
        self.counters.restored += 1;
        if verdict == Verdict::Doubted {
            self.ike.doubts.add_policy(now_ns, *id);
            self.ask();
        }
        true
    }

    /// What a reading did not find, and no notification told of: who deleted it nobody knows. Soon after a change of
    /// roles, or after the daemon's end, it was the daemon. One that is there is asked about its own.
    pub(super) fn restore_unseen_sa(&mut self, now_ns: u64, id: &SaId) -> bool {
        let is_asked = self.ike.presence.may_have_deleted() && !self.has_followed(id);
        let may_be_daemons = self.ike.presence.is_recent(now_ns) || is_asked;
        self.is_doubted(id) || may_be_daemons && self.restore_sa(now_ns, id, Deleter::Daemon)
    }

    /// The same. One that followed stays: in doubt nothing leaves in clear text.
    pub(super) fn restore_unseen_policy(&mut self, now_ns: u64, id: &PolicyId) -> bool {
        let may_be_daemons =
            self.ike.presence.is_recent(now_ns) || self.ike.presence.may_have_deleted();
        may_be_daemons && self.restore_policy(now_ns, id, Deleter::Daemon)
    }

    /// Whether a daemon puts a policy of its own in the place of one that followed.
    pub(super) fn takes_place(&self, policy: &Policy) -> bool {
        let is_held = self.store.held.policies.contains_key(&policy.id);
        let before = self.store.policies.get(&policy.id);
        let followed = before.is_some_and(|it| leads_to_ours(&it.policy));
        let is_own = policy
            .templates
            .iter()
            .any(|it| (1..OURS).contains(&it.reqid));
        self.is_active() && followed && is_own && !is_held
    }

    /// A policy that was doubted is the daemon's own again, whichever of the two the kernel has.
    pub(super) fn end_doubt(&mut self, policy: &Policy) {
        if self.ike.doubts.trust_policy(&policy.id) {
            self.store.put.forget(&policy.id);
            self.change(Change::PutPolicy(policy.clone()));
        }
    }
}

fn leads_to_ours(policy: &Policy) -> bool {
    policy.templates.iter().any(|it| it.reqid >= OURS)
}
