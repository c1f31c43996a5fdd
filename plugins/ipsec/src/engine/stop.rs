//! A switchover, on the old node: it sends until the peer, which has become active, asks for the last numbers, and
//! reports them when it no longer sends.

use std::collections::{BTreeSet, VecDeque};
use std::net::IpAddr;

use super::{Action, Engine};
use crate::MS;
use crate::codec::hold::TRANSPORT;
use crate::sa::{Direction, SaId};
use crate::store::HeldSa;
use crate::wire::{LastNumbers, TunnelKey, outbound};

/// Time without a forwarded packet after which the last packets that came here, after the peer had announced itself,
/// have gone through.
const STILL_NS: u64 = 10 * MS;
/// Time after which packets that are still forwarded do not go through tunnels that moved.
const FORWARDING_MAX_NS: u64 = 50 * MS;
const COUNT_EVERY_NS: u64 = MS;
/// Lateness from which a look proves nothing.
const LATE_COUNT_NS: u64 = 3 * MS;
/// Time for a program of this node to answer its last packets in transport mode. It may wait for a processor, which a
/// switchover needs as well.
const ANSWERING_NS: u64 = 50 * MS;
/// Number of SAs that are stopped in one request.
const BATCH_MAX: usize = 100;
/// Time that a peer that has become active may take to report it to the replica as well.
const ROLE_REPORT_NS: u64 = 500 * MS;
/// Time after the first stopped SA for which nothing more is sent with the stopped ones, even if the role is reported
/// to leave later. Without a message of the peer the host carries for a second after the release, and the peer asks
/// after that.
const STOPPED_NS: u64 = 1_200 * MS;

/// Request of the peer, and its progress.
#[derive(Debug, Default)]
pub struct Stopping {
    round: u64,
    /// SAs that are not stopped yet, in the peer's order.
    keys: VecDeque<TunnelKey>,
    /// SAs in transport mode, with which programs of this node send.
    answering: VecDeque<TunnelKey>,
    is_asked: bool,
    is_end: bool,
    asked_ns: u64,
    forwarding: ForwardingWatch,
    /// Stopped SAs, with which nothing is sent, as the role is on its way to the peer.
    stopped: BTreeSet<SaId>,
    /// Groups that have left since the first SA was stopped.
    left: BTreeSet<String>,
    /// Time of the next check whether the role is still leaving.
    role_check_ns: u64,
    /// Time until which the role may leave without a message of the peer.
    stopped_until_ns: u64,
}

/// Packets that this node still forwards after it was asked: its cards may be read late if it has little processor
/// time.
#[derive(Debug, Default)]
struct ForwardingWatch {
    /// Packets that the node has forwarded.
    forwarded: Option<u64>,
    /// Time since which no more packets were forwarded.
    still_since_ns: u64,
    next_count_ns: u64,
    is_over: bool,
}

impl ForwardingWatch {
    fn since(now_ns: u64) -> Self {
        Self {
            still_since_ns: now_ns,
            next_count_ns: now_ns,
            ..Self::default()
        }
    }

    /// Notes the number of forwarded packets. A look that is late had no processor time, and the kernel may have had
    /// none for the cards either: it restarts the wait. Without a number the wait goes on as if nothing came.
    fn note(&mut self, now_ns: u64, forwarded: Option<u64>) {
        if self.forwarded != forwarded || now_ns > self.next_count_ns + LATE_COUNT_NS {
            (self.forwarded, self.still_since_ns) = (forwarded, now_ns);
        }
        self.next_count_ns = now_ns + COUNT_EVERY_NS;
    }
}

impl Stopping {
    pub fn next_ns(&self) -> u64 {
        let due_ns = if self.is_asked {
            self.due_ns()
        } else {
            u64::MAX
        };
        due_ns.min(self.next_role_check_ns())
    }

    fn next_role_check_ns(&self) -> u64 {
        if self.has_stopped() {
            self.role_check_ns
        } else {
            u64::MAX
        }
    }

    /// Forgets the question: there is another switchover or none, and its asker gets no more answers.
    fn forget_question(&mut self) {
        (self.round, self.is_asked) = (0, false);
        self.keys.clear();
        self.answering.clear();
    }

    fn due_ns(&self) -> u64 {
        if self.keys.is_empty() && !self.answering.is_empty() {
            return self.asked_ns + ANSWERING_NS;
        }
        self.forwarding.next_count_ns
    }

    fn next_batch(&mut self) -> Vec<TunnelKey> {
        let from = if self.keys.is_empty() {
            &mut self.answering
        } else {
            &mut self.keys
        };
        let count = from.len().min(BATCH_MAX);
        from.drain(..count).collect()
    }

    /// True if some SAs are stopped, and the role is here.
    pub fn has_stopped(&self) -> bool {
        !self.stopped.is_empty()
    }

    pub fn is_stopped(&self, id: &SaId) -> bool {
        self.stopped.contains(id)
    }

    fn note_stopped(&mut self, now_ns: u64, id: SaId, is_up: bool) {
        if !self.has_stopped() {
            (self.role_check_ns, self.stopped_until_ns) =
                (now_ns + ROLE_REPORT_NS, now_ns + STOPPED_NS);
            self.left.clear();
            self.handle_link(now_ns, is_up);
        }
        self.stopped.insert(id);
    }

    /// Notes whether there is a link. Without one the peer may be active without a report of it; one that is back has
    /// time to report.
    fn handle_link(&mut self, now_ns: u64, is_up: bool) {
        self.role_check_ns = if is_up {
            self.role_check_ns.max(now_ns + ROLE_REPORT_NS)
        } else {
            self.stopped_until_ns.max(now_ns)
        };
    }

    /// Notes that nothing more is received with an SA whose end has stopped.
    pub fn note_deleted(&mut self, id: SaId) {
        self.stopped.insert(id);
    }

    /// True if numbers that were read at this time are the last ones: the peer had the addresses.
    pub fn is_last(&self, read_ns: u64) -> bool {
        read_ns >= self.asked_ns
    }

    /// Forgets the stopped SAs that left with their addresses: they are like any others of the peer.
    pub fn retain(&mut self, stays: impl Fn(&SaId) -> bool) {
        self.stopped.retain(|id| stays(id));
    }

    /// Notes that a role left; its addresses leave in a moment, and those of another role may stay.
    pub fn handle_left(&mut self, now_ns: u64, group: &str, is_active: bool) {
        if !is_active {
            *self = Self::default();
        } else if self.has_stopped() {
            self.role_check_ns = self.role_check_ns.max(now_ns + ROLE_REPORT_NS);
            self.left.insert(group.to_owned());
        }
    }

    /// Notes that a role came back, before its addresses had left.
    pub fn handle_return(&mut self, group: &str) {
        if self.left.remove(group) {
            self.stopped.clear();
        }
    }
}

impl Engine {
    /// Handles the peer's request: it is active, and is to begin where this node ends.
    pub(super) fn handle_stop(
        &mut self,
        now_ns: u64,
        round: u64,
        keys: Vec<TunnelKey>,
        is_end: bool,
    ) {
        // without a switchover of this node both would be active; a further part of a known request is answered like
        // the others
        let is_known = self.switchover.stopping.round == round;
        if !self.is_active() || !(is_known || self.switchover.drain.has_reported()) {
            return self.refuse(round);
        }
        let is_answering = |key: &TunnelKey| {
            let known = outbound(key).and_then(|id| self.store.sas.get(&id));
            known.is_some_and(|it| it.sa.mode == TRANSPORT)
        };
        let (answering, keys): (Vec<_>, Vec<_>) = keys.into_iter().partition(is_answering);
        let stopping = &mut self.switchover.stopping;
        if stopping.round != round {
            stopping.forget_question();
            stopping.asked_ns = now_ns;
            stopping.forwarding = ForwardingWatch::since(now_ns);
        }
        (stopping.round, stopping.is_asked, stopping.is_end) = (round, true, is_end);
        stopping.keys.extend(keys);
        stopping.answering.extend(answering);
    }

    /// Answers that there are no numbers of this node to wait for.
    fn refuse(&mut self, round: u64) {
        self.send_last_numbers(&LastNumbers::Stopped {
            round,
            numbers: Vec::new(),
            is_end: true,
        });
    }

    /// Forgets the question, and answers it: a role left or came.
    pub(super) fn refuse_question(&mut self) {
        if self.switchover.stopping.is_asked {
            self.refuse(self.switchover.stopping.round);
        }
        self.switchover.stopping.forget_question();
    }

    pub(super) fn handle_stop_timeout(&mut self, now_ns: u64) {
        if self.switchover.stopping.is_asked && self.switchover.stopping.due_ns() <= now_ns {
            self.stop_when_still();
        }
        if self.switchover.stopping.next_role_check_ns() <= now_ns {
            self.switchover.stopping.role_check_ns = now_ns + ROLE_REPORT_NS;
            if !self.is_moving() && !self.is_stopped_leaving() {
                self.restore_stopped(now_ns);
            }
        }
    }

    fn stop_when_still(&mut self) {
        let stopping = &mut self.switchover.stopping;
        if stopping.keys.is_empty() || stopping.forwarding.is_over {
            return self.stop_next();
        }
        self.push_action(Action::CountForwarded);
    }

    /// Handles the number of packets that this node has forwarded since its kernel started; None if the kernel does not
    /// report it.
    pub fn handle_forwarded(&mut self, now_ns: u64, forwarded: Option<u64>) {
        let stopping = &mut self.switchover.stopping;
        if !stopping.is_asked || stopping.keys.is_empty() {
            return;
        }
        stopping.forwarding.note(now_ns, forwarded);
        let is_still = now_ns >= stopping.forwarding.still_since_ns + STILL_NS;
        if is_still || now_ns >= stopping.asked_ns + FORWARDING_MAX_NS {
            stopping.forwarding.is_over = true;
            self.stop_next();
        }
    }

    fn stop_next(&mut self) {
        let keys = self.switchover.stopping.next_batch();
        self.switchover.stopping.is_asked = false;
        let sends = |id: &SaId| {
            let known = self.store.sas.get(id);
            known.is_some_and(|it| it.side == Some(Direction::Out)) && self.is_carried(id)
        };
        let ids = keys.iter().filter_map(outbound).filter(sends).collect();
        self.push_action(Action::Stop(ids));
    }

    /// Handles the end of [`Action::Stop`]: these SAs are no longer in the kernel. Each has its last number, if the
    /// kernel reported it.
    pub fn handle_stopped_sas(&mut self, now_ns: u64, stopped: &[(SaId, Option<u64>)]) {
        let is_up = self.is_up();
        let mut numbers = Vec::new();
        for (id, oseq) in stopped {
            let Some(known) = self.store.sas.get_mut(id) else {
                continue;
            };
            self.switchover.stopping.note_stopped(now_ns, *id, is_up);
            let key = TunnelKey::sa(&known.sa, Direction::Out);
            if let Some(oseq) = oseq {
                known.sa.replay.oseq = *oseq;
                numbers.push((key, *oseq));
            }
            self.hold_stopped(now_ns, *id, Direction::Out);
        }
        let stopping = &self.switchover.stopping;
        let is_end = stopping.keys.is_empty() && stopping.answering.is_empty();
        let round = stopping.round;
        self.send_last_numbers(&LastNumbers::Stopped {
            round,
            numbers,
            is_end: is_end && self.switchover.stopping.is_end,
        });
        if !is_end {
            self.switchover.stopping.is_asked = true;
        } else if self.switchover.stopping.has_stopped() {
            // finds what was received last, before an IKE daemon that is stopped deletes its SAs
            self.read_fresh();
        }
        self.mark_dirty();
    }

    /// Handles a peer that has gone or is back. Stopped SAs stay so while the role may be on its way to the peer: a
    /// number ahead of the peer's has the other end refuse all that the peer sends.
    pub(super) fn handle_link_change(&mut self, now_ns: u64) {
        if !self.is_up() {
            self.switchover.stopping.forget_question();
        }
        let is_up = self.is_up();
        self.switchover.stopping.handle_link(now_ns, is_up);
    }

    /// Local ends of stopped SAs: the peer has their addresses.
    pub(super) fn stopped_ends(&self) -> BTreeSet<IpAddr> {
        let stopped = self.switchover.stopping.stopped.iter();
        let held = stopped.filter_map(|id| self.store.held.sas().get(id));
        held.map(HeldSa::local_end).collect()
    }

    /// Moves an SA into memory that is no longer in the kernel, as the peer goes on with it.
    pub(super) fn hold_stopped(&mut self, now_ns: u64, id: SaId, side: Direction) {
        self.hold_own_sa(id, side);
        self.installed.remove(&id);
        self.reads.note_deleted(id);
        self.store.sas.remove(&id);
        self.update_sa_record(now_ns, &id);
    }

    /// True if the address of a stopped SA has left: then its role leaves as well, and a plugin before this one may
    /// take its time.
    fn is_stopped_leaving(&self) -> bool {
        let mut ends = self.stopped_ends().into_iter();
        ends.any(|it| self.store.ends.is_lingering(&it))
    }

    /// Puts stopped SAs back, ahead of what the peer may have sent since: the peer is not active after all, and no
    /// message says that a role comes back.
    fn restore_stopped(&mut self, now_ns: u64) {
        self.switchover.stopping.stopped.clear();
        if self.is_active() {
            self.install(now_ns, false);
        }
    }
}
