//! Connects the replica with the engine: its effects, and the records that this node reports.

use spared_replica::{Change as RecordChange, Table, Token};

use super::connections::Connections;
use super::session::Session;
use super::{Change, Engine};
use crate::MS;
use crate::error::Malformed;
use crate::sa::{PolicyId, SaId};
use crate::store::{Effect, Record, Tunnels};
use crate::wire::{LastNumbers, POLICIES, SAS, SESSIONS, TunnelKey};

impl Engine {
    /// Handles a new channel to the peer.
    pub fn handle_up(&mut self, now_ns: u64) {
        self.session = Some(Session::new(now_ns));
        self.handle_link_change(now_ns);
        self.set_now(now_ns);
        self.replica.handle_up(&mut self.store);
        self.handle_effects(now_ns);
        self.put_connections();
    }

    /// Handles the loss of the channel to the peer.
    pub fn handle_down(&mut self, now_ns: u64) {
        self.separation.begin(now_ns);
        if self.session.take().is_some() {
            self.note_unconfirmed();
        }
        self.end_resume(now_ns);
        self.handle_link_change(now_ns);
        self.finish_retiring(now_ns);
        self.set_now(now_ns);
        self.replica.handle_down(&mut self.store);
        self.store.handle_down();
        self.handle_effects(now_ns);
    }

    /// Handles a message of the peer.
    ///
    /// # Errors
    /// The bytes are no message.
    pub fn handle_message(&mut self, now_ns: u64, bytes: &[u8]) -> Result<(), Malformed> {
        if Connections::is_report(bytes) {
            return self.handle_peer_connections(now_ns, bytes);
        }
        self.set_now(now_ns);
        if LastNumbers::is_own(bytes) {
            let message = LastNumbers::read(bytes)?;
            self.handle_last_numbers(now_ns, message);
            return Ok(());
        }
        let done = self.replica.handle_message(now_ns, &mut self.store, bytes);
        self.handle_effects(now_ns);
        done
    }

    fn handle_last_numbers(&mut self, now_ns: u64, message: LastNumbers) {
        match message {
            LastNumbers::Stop {
                round,
                keys,
                is_end,
            } => self.handle_stop(now_ns, round, keys, is_end),
            LastNumbers::Stopped {
                round,
                numbers,
                is_end,
            } => self.handle_stopped(now_ns, round, &numbers, is_end),
        }
    }

    /// Next message to the peer, the same until [`message_sent`](Self::message_sent). It contains keys.
    pub fn poll_message(&mut self, now_ns: u64) -> Option<&[u8]> {
        let has_own = |it: &Session| it.message().is_some();
        if self.session.as_ref().is_some_and(has_own) {
            return self.session.as_ref()?.message();
        }
        self.set_now(now_ns);
        self.queue_numbers();
        let waits = self.replica.poll_message(now_ns, &mut self.store).is_some();
        self.handle_effects(now_ns);
        let session = self.session.as_mut()?;
        if waits && !session.connections().is_offered() {
            self.replica.poll_message(now_ns, &mut self.store)
        } else {
            session.connections_mut().poll_message()
        }
    }

    pub fn message_sent(&mut self) {
        let is_own = |it: &mut Session| it.message_sent();
        if !self.session.as_mut().is_some_and(is_own) {
            self.replica.sent();
        }
    }

    /// True if there is a channel to the peer.
    pub(super) fn is_up(&self) -> bool {
        self.session.is_some()
    }

    /// True if both nodes had the same records at the end of the last snapshot, and the channel is still up.
    pub(super) fn is_complete(&self) -> bool {
        self.session.as_ref().is_some_and(Session::is_complete)
    }

    /// True if the channel is up and the peer gets this node's tunnels.
    pub(super) fn is_replicating(&self) -> bool {
        self.session.as_ref().is_some_and(Session::is_replicating)
    }

    /// Queues a message to the peer; without a session it is dropped.
    pub(super) fn send_last_numbers(&mut self, message: &LastNumbers) {
        if let Some(session) = &mut self.session {
            session.push(message.bytes());
        }
    }

    pub(super) fn replica_ns(&self, now_ns: u64) -> u64 {
        self.replica.next_timeout(now_ns).unwrap_or(u64::MAX)
    }

    pub(super) fn handle_replica_timeout(&mut self, now_ns: u64) {
        if self.replica_ns(now_ns) <= now_ns {
            self.set_now(now_ns);
            self.replica.handle_timeout(now_ns, &mut self.store);
            self.handle_effects(now_ns);
        }
    }

    pub(super) fn set_now(&mut self, now_ns: u64) {
        self.store.now_ns = now_ns;
    }

    /// Does the engine's work after a call of the replica: its effects, and its new state.
    pub(super) fn handle_effects(&mut self, now_ns: u64) {
        let mut is_recalled = false;
        while let Some(effect) = self.store.poll_effect() {
            is_recalled |= self.handle_effect(now_ns, effect);
        }
        if is_recalled {
            self.reinstall_held(now_ns);
        }
        self.queue_numbers();
        while let Some(text) = self.replica.poll_event() {
            self.event(text);
        }
        self.shorten_lingering(now_ns);
        self.note_progress(now_ns);
        self.mark_dirty();
    }

    /// Updates the session about the records and roles of both nodes.
    fn note_progress(&mut self, now_ns: u64) {
        let mut tables = [POLICIES, SAS, SESSIONS].into_iter();
        let is_complete = tables.all(|it| self.replica.is_complete(it));
        let session = self.session.as_mut();
        if session.is_some_and(|it| it.note_complete(is_complete)) {
            self.handle_complete(now_ns);
        }
        let is_replicating = self.is_active() && self.replica.peer_groups().is_some();
        let session = self.session.as_mut();
        if session.is_some_and(|it| it.note_replicating(is_replicating)) {
            self.measure(now_ns);
        }
        let are_both = self.is_active() && self.is_peer_active();
        if let Some(session) = &mut self.session {
            session.note_both_active(now_ns, are_both);
        }
    }

    /// Does the work that a write of the replica left; true if it brought back an SA of this node's own.
    fn handle_effect(&mut self, now_ns: u64, effect: Effect) -> bool {
        match effect {
            Effect::Held(id) => return self.handle_held(id),
            Effect::Released(id) => {
                if self.installed.has(&id) {
                    self.uninstall(id);
                }
            }
            Effect::Prove(sa) => self.push_change(Change::Probe(sa)),
            Effect::PolicyHeld(id) => self.hold_policy(now_ns, id),
            Effect::PolicyReleased(id) => self.release_policy(now_ns, &id),
            Effect::FormerNumbers(id, numbers) => self.handle_former_numbers(now_ns, id, *numbers),
        }
        false
    }

    pub(super) fn queue_numbers(&mut self) {
        for id in self.store.lane.take_due() {
            if let Some(record) = self.store.index.sas.get(&id) {
                self.replica.latest(SAS, record.key);
            }
        }
        // behind the numbers that it is about
        if self.store.lane.take_all_due() {
            self.replica.latest(SAS, TunnelKey::AllNumbers);
        }
    }

    /// Has an SA's new numbers reported.
    pub(super) fn queue_sa_numbers(&mut self, id: &SaId) {
        let record = self.store.index.sas.get(id);
        if let Some(record) = record.filter(|it| it.is_local) {
            self.replica.latest(SAS, record.key);
        }
    }

    /// Handles a complete snapshot, here or at the peer.
    fn handle_complete(&mut self, now_ns: u64) {
        self.separation.end();
        self.store.run.end_fresh();
        self.store.ended.clear();
        self.store.held.update_ends();
        self.sort_sessions(now_ns);
        self.settle_older_charon(now_ns);
        if self.is_peer_active() {
            self.roles.note_peer_records();
            self.delete_foreign_sas();
            self.delete_foreign_policies();
        }
    }

    /// Forgets ended records that the peer has confirmed: no later run has to know them.
    pub(super) fn confirm_ended(&mut self, now_ns: u64) {
        if self.is_complete() {
            // the age is rounded down
            let behind_ns = (self.replica.behind_ms(now_ns) + 1).saturating_mul(MS);
            self.store.ended.confirm(now_ns, behind_ns);
        }
    }

    pub(super) fn is_peer_active(&self) -> bool {
        let groups = self.replica.peer_groups();
        self.is_up() && groups.is_some_and(|groups| !groups.is_empty())
    }

    pub(super) fn give_verdicts(&mut self, now_ns: u64, tokens: Vec<Token>, is_applied: bool) {
        self.set_now(now_ns);
        for token in tokens {
            self.replica
                .verdict(now_ns, &mut self.store, token, is_applied);
        }
    }

    /// Updates the record of an SA that is new, changed, moved or gone.
    pub(super) fn update_sa_record(&mut self, now_ns: u64, id: &SaId) {
        self.set_now(now_ns);
        let before = self.store.index.sas.get(id).cloned();
        let present = self.store.present_sa(id);
        match &present {
            Some(record) => self.store.index.sas.put(*id, record.clone()),
            None => drop(self.store.index.sas.remove(id)),
        }
        self.report_record(now_ns, SAS, before, present);
    }

    /// Updates the record of a policy that is new, changed, moved or gone.
    pub(super) fn update_policy_record(&mut self, now_ns: u64, id: &PolicyId) {
        self.set_now(now_ns);
        let before = self.store.index.policies.get(id).cloned();
        let present = self.store.present_policy(id);
        match &present {
            Some(record) => self.store.index.policies.put(*id, record.clone()),
            None => drop(self.store.index.policies.remove(id)),
        }
        self.report_record(now_ns, POLICIES, before, present);
    }

    /// Reports what changed in a record.
    pub(super) fn report_record(
        &mut self,
        now_ns: u64,
        table: Table,
        before: Option<Record>,
        present: Option<Record>,
    ) {
        let peer_had_it = self.may_peer_have(before.as_ref());
        for (key, change) in changes(before, present) {
            self.note_ended(now_ns, key, change, peer_had_it);
            self.replica
                .changed(now_ns, &mut self.store, table, &key, change);
        }
    }

    /// Remembers records that the peer may have, although its answers have not come here.
    fn note_unconfirmed(&mut self) {
        let Tunnels { index, ended, .. } = &mut self.store;
        let sas = index.sas.records().filter(|(_, it)| !it.tag.is_shared());
        let policies = index.policies.records();
        let policies = policies.filter(|(_, it)| !it.tag.is_shared());
        ended.note_unconfirmed(sas.map(|(id, _)| *id), policies.map(|(id, _)| *id));
    }

    /// True if the peer may have a record.
    fn may_peer_have(&self, record: Option<&Record>) -> bool {
        record.is_some_and(|it| {
            self.is_up() || it.tag.is_shared() || self.store.ended.is_unconfirmed(&it.key)
        })
    }

    /// Notes the end of a record that the peer may have: a later run of this plugin must not take it back from there.
    pub(super) fn note_ended(
        &mut self,
        now_ns: u64,
        key: TunnelKey,
        change: RecordChange,
        peer_had_it: bool,
    ) {
        let ended = &mut self.store.ended;
        match change {
            RecordChange::Deleted if peer_had_it && self.store.is_active => ended.note(now_ns, key),
            RecordChange::Put => ended.forget(&key),
            RecordChange::Deleted | RecordChange::Expired => {}
        }
    }
}

/// Changes of a record that the peer must hear of. A kept SA that is now in the kernel, or the other way round, is no
/// change.
pub(super) fn changes(
    before: Option<Record>,
    present: Option<Record>,
) -> Vec<(TunnelKey, RecordChange)> {
    let gone = |it: &Record| (it.key, RecordChange::Deleted);
    let put = |it: &Record| (it.key, RecordChange::Put);
    match (before, present) {
        (None, None) => Vec::new(),
        (Some(before), None) => vec![gone(&before)],
        (None, Some(present)) => vec![put(&present)],
        (Some(before), Some(present)) if before.key == present.key => {
            if before.digest == present.digest {
                Vec::new()
            } else {
                vec![put(&present)]
            }
        }
        (Some(before), Some(present)) => vec![gone(&before), put(&present)],
    }
}
