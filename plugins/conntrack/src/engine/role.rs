//! Roles, and the peer as it comes and goes.
//!
//! No node owns a flow. But the only active node carries all that there is, and a node without any
//! active group carries nothing once the other one has told of everything.

use super::compare::Fault;
use super::local::seconds;
use super::missing::Missing;
use super::outbox::Outbox;
use super::table::flag;
use super::walks::{Due, Work};
use super::{Action, Engine, OFFERING_NS, Peer, SECOND_NS, Subscription};
use crate::flow::Flow;

impl Engine {
    /// Version of the messages that the peer knows, before [`handle_up`](Self::handle_up).
    pub fn handle_wire(&mut self, version: u32) {
        self.wire = version;
    }

    /// The channel to the peer is there.
    pub fn handle_up(&mut self, now_ns: u64) {
        self.peer = Some(Peer {
            heard_ns: now_ns,
            ..Peer::default()
        });
        self.forget(now_ns);
        self.complete = self.active;
        self.session.handle_up();
        self.tell_synchrony(now_ns);
    }

    /// The peer is gone. Its flows stay: they may be needed now.
    pub fn handle_down(&mut self, now_ns: u64) {
        self.forget_endings();
        self.table.disconnect();
        let was_active = self.peer_is_active();
        self.session.handle_down();
        self.peer = None;
        self.walks.end_pause();
        match was_active {
            true => self.inherit(now_ns),
            false => self.keep_on(now_ns),
        }
        self.owes |= self.active;
        self.said_synchrony = None;
        self.end_comparison(Err(Fault::Gone));
        self.stop_pass_if(Work::needs_peer);
        self.walks.cancel_comparisons();
        self.outbox = Outbox::new(now_ns);
        self.unknown.clear();
        self.resyncs.schedule(None);
        self.subscribe(now_ns);
    }

    pub fn handle_role(&mut self, now_ns: u64, group: &str, active: bool) {
        let before = self.roles.insert(group.to_owned(), active);
        let is_changed = before.unwrap_or(false) != active;
        if is_changed {
            self.tell_role(group, active);
            self.note_move(now_ns);
        }
        let any = self.roles.values().any(|active| *active);
        if any != self.active {
            self.active = any;
            match any {
                true => self.take_over(now_ns),
                false => self.step_down(now_ns),
            }
        } else if any && is_changed {
            match active {
                true => self.carry_all(now_ns),
                // its flows may come back, and their windows will have stood still
                false => {
                    self.restored = false;
                    self.hold_endings_of_moved(now_ns);
                    self.begin_loosening();
                }
            }
        }
        self.tell_synchrony(now_ns);
    }

    /// After its last role: nobody is active for a group that is no longer configured, and nothing waits for that.
    pub fn handle_group_gone(&mut self, group: &str) {
        self.roles.remove(group);
    }

    /// Whether this node is the only one that carries anything.
    pub(super) fn is_sole(&self) -> bool {
        self.active && !self.peer_is_active()
    }

    /// Whether packets of one flow may pass both nodes.
    pub fn is_shared(&self) -> bool {
        self.active && self.peer_is_active()
    }

    /// Whether every group is active here, whatever the peer said last.
    pub(super) fn has_all(&self) -> bool {
        self.roles.values().all(|active| *active)
    }

    /// Flows that the peer carried become this node's, if nobody else carries any: once, with the
    /// full timeout of their protocol, because packets there since its last resync are not known
    /// here.
    fn carry_all(&mut self, now_ns: u64) {
        if self.is_sole() {
            self.table.take_all(seconds(now_ns));
            // a switchover restores them once, though both the role and the peer's word come
            if !std::mem::replace(&mut self.restored, true) {
                self.request_restore();
                self.walks.end_pause();
            }
        }
    }

    /// An active peer is not heard any more. Where all groups are active here, their roles came before
    /// that; else it may still carry what is kept here for a failover.
    fn inherit(&mut self, now_ns: u64) {
        match self.has_all() {
            true => self.carry_all(now_ns),
            false => self.keep_copies(now_ns),
        }
    }

    fn request_restore(&mut self) {
        if !self.table.is_empty() {
            self.walks.request(Due::Restore);
        }
    }

    fn begin_loosening(&mut self) {
        self.walks.request(Due::Loosen);
        self.loosening = true;
    }

    fn take_over(&mut self, now_ns: u64) {
        self.stop_pass();
        self.walks.end_pause();
        self.loosening = false;
        for due in [Due::Loosen, Due::Prune, Due::Verify] {
            self.walks.cancel(due);
        }
        self.request_restore();
        let flows = self.table.copies(seconds(now_ns));
        if flows > 0 {
            let heard = self
                .peer
                .as_ref()
                .map(|peer| (now_ns - peer.heard_ns) / 1_000_000);
            let heard = heard.map_or(String::new(), |ms| {
                format!(", its last message {ms} ms ago")
            });
            self.tell(format!(
                "{flows} flows of the other node are in the kernel{heard}"
            ));
        }
        self.owes |= self.peer.is_none();
        // what another active node carries may still be on its way
        self.complete |= !self.peer_is_active();
        self.restored = self.has_all();
        self.carry_all(now_ns);
        self.subscribe(now_ns);
        self.request_resync(now_ns);
    }

    fn step_down(&mut self, now_ns: u64) {
        self.stop_pass();
        self.walks.cancel(Due::Restore);
        self.restored = false;
        // The other one carries all of it: whatever it does not know is not there any more.
        self.walks.request(Due::Strays);
        self.begin_loosening();
        if self.peer.is_some() {
            self.offering_until_ns = now_ns + OFFERING_NS;
            self.complete &= !std::mem::take(&mut self.split);
        }
        self.give_endings(now_ns);
        self.ask_for_kept(now_ns);
        if self.resyncs.set_unsettled(false) {
            // what this kernel has is not what the peer was told
            self.session.split().0.ask_again();
        }
        self.subscribe(now_ns);
    }

    /// What is as it was kept here, against a peer that turned out to be the one that carries it.
    fn ask_for_kept(&mut self, now_ns: u64) {
        let now_s = seconds(now_ns);
        let kept = self.table.iter().map(|(_, entry)| entry);
        let kept = kept.filter(|entry| entry.has(flag::STALE) && !entry.is_own(now_s));
        let kept: Vec<u64> = kept.map(|entry| entry.hash).collect();
        kept.into_iter().for_each(|hash| self.ask_for(now_ns, hash));
    }

    /// The peer has told its roles, or that it has told all under those that it had.
    pub(super) fn handle_peer_role(&mut self, now_ns: u64, active: bool) {
        let Some(peer) = &mut self.peer else { return };
        let first = peer.active.is_none();
        let ended = peer.active == Some(true) && !active;
        peer.active = Some(active);
        self.elsewhere.changed_ns = now_ns;
        if !active {
            self.keeping.end();
        }
        self.restored &= !active;
        if first {
            self.split = active && self.active;
            self.complete = self.active && !active;
            self.meet();
            self.walks.request(Due::Strays);
            self.tell_addresses();
            self.tell_held_addresses();
        }
        if ended {
            self.stop_pass_if(|work| matches!(work, Work::Resync { .. }));
            // packets there gave them other times than were told
            self.table.forget_told();
        }
        // What this node did alone may be what the peer needs, whoever wins; and a resync is of use to a
        // peer only if it knows what the peer is.
        self.request_resync(now_ns);
        if first || ended {
            self.carry_all(now_ns);
        }
        self.subscribe(now_ns);
    }

    /// Both hash with what their keys make together. A peer that has begun anew knows another one: what
    /// is known here is found again by the old one, flow by flow.
    fn meet(&mut self) {
        let [a, b] = self.own_key;
        let [c, d] = self.session.replica().peer_key().unwrap_or_default();
        let key = [a ^ c, b ^ d];
        if self.table.key == key {
            return;
        }
        let before = std::mem::take(&mut self.table);
        self.table.clear(key);
        if !before.is_empty() {
            self.former = Some(before);
        }
    }

    /// Knowledge of a flow from before the peer's restart.
    pub(super) fn recall(&mut self, hash: u64, flow: &Flow) -> Option<u32> {
        let former = self.former.as_ref()?;
        let slot = former.find(former.hash(flow))?;
        let mut entry = *former.get(slot);
        let given_s = former.given(entry.hash);
        entry.hash = hash;
        entry.flags = entry.flags & (flag::RECENT | flag::LATELY) | flag::PRESENT;
        entry.set_incarnation(0);
        let slot = self.table.insert(entry);
        self.table.set_given(slot, given_s);
        self.settle_times(slot);
        Some(slot)
    }

    pub(super) fn subscribe(&mut self, now_ns: u64) {
        self.end_offering(now_ns);
        let heard = self.peer.as_ref().is_some_and(|peer| peer.active.is_some());
        let wanted = match heard {
            false => Subscription::Nothing,
            true if self.active || now_ns < self.offering_until_ns => Subscription::All,
            true => Subscription::Copies,
        };
        if wanted != self.subscription {
            self.subscription = wanted;
            self.actions.push_back(Action::Subscribe(wanted));
        }
    }

    /// A node that carries nothing any more has told all that it did.
    pub(super) fn end_offering(&mut self, now_ns: u64) {
        let is_over = !self.active && !self.owes && now_ns >= self.offering_until_ns;
        if is_over && std::mem::take(&mut self.offered) {
            self.renew_session();
        }
    }

    /// A word that only counts further is said once a second: a table that is full would say one for
    /// each flow.
    pub(super) fn tell_synchrony(&mut self, now_ns: u64) {
        let Some(synchrony) = self.synchrony() else {
            return;
        };
        let said = self.said_synchrony.as_ref();
        let is_same_answer = said.is_some_and(|said| said.is_ok() == synchrony.is_ok());
        let is_soon = now_ns < self.said_at_ns.saturating_add(SECOND_NS);
        if said == Some(&synchrony) || is_same_answer && is_soon {
            return;
        }
        self.said_synchrony = Some(synchrony);
        self.said_at_ns = now_ns;
    }

    /// Whether this node holds what it needs to take over; None until what it was told is written.
    pub fn in_sync(&self) -> Option<Result<(), String>> {
        self.said_synchrony.clone().filter(|_| !self.has_actions())
    }

    fn synchrony(&self) -> Option<Result<(), String>> {
        let peer = self.peer.as_ref()?;
        let no = |why: &str| Err(why.to_owned());
        Some(match peer.active {
            None if self.active => Ok(()),
            None => self.session.in_sync(),
            Some(_) if self.loosening && !self.is_sole() => no("it prepares its own flows"),
            Some(false) => Ok(()),
            Some(true) if self.complete => Ok(()),
            Some(true) if self.session.replica().serial().is_none() => self.session.in_sync(),
            Some(true) if self.missing.count() > 0 => {
                Err(format!("{} flows are missing", self.missing.count()))
            }
            Some(true) if peer.unsettled => no("the other node reads its flows again"),
            Some(true) if peer.flows == 0 => no("it is receiving the flows"),
            Some(true) => {
                let percent = (self.table.len() as u64 * 100 / u64::from(peer.flows)).min(99);
                Err(format!("{percent} %"))
            }
        })
    }

    /// A peer that has just come knows nothing, and what it says is not known yet.
    fn forget(&mut self, now_ns: u64) {
        self.table.disconnect();
        self.outbox = Outbox::new(now_ns);
        self.said_synchrony = None;
        (self.offering_until_ns, self.offered) = (0, false);
        self.resyncs = self.resyncs.for_new_peer();
        self.orphans.clear();
        self.missing = Missing::default();
        self.stop_pass_if(Work::needs_peer);
        self.walks.keep_own();
    }
}
