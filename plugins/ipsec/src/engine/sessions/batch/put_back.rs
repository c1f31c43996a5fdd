//! Children that charon does not take, or not now: the SAs that they had are put back.

use std::collections::BTreeSet;

use super::{ADD_NS, Stage};
use crate::codec::body::FIRST_OWN_REQID;
use crate::engine::{Action, Change, Engine};
use crate::sa::{Direction, SaId};

impl Engine {
    /// Handles a charon that has not added all SAs in time.
    pub(in crate::engine::sessions) fn handle_batch_timeout(&mut self, now_ns: u64) {
        let is_quieting = self.ike.feed.is_quieting();
        let Some(batch) = self.ike.feed.batch_mut() else {
            return;
        };
        if batch.stage == Stage::Leading {
            // policies of its own that charon does not put, as some settings say
            if let Some(batch) = self.ike.feed.take_batch_if(|_| true) {
                self.end_batch(now_ns, &batch);
            }
            return;
        }
        if is_quieting && batch.stage != Stage::Numbering {
            self.put_batch_back(now_ns);
            return self.feed_next(now_ns);
        }
        if matches!(batch.stage, Stage::Detaching | Stage::Numbering) {
            // the driver and the kernel answer at once, so that this is a machine that stood still
            batch.until_ns = now_ns + ADD_NS;
            return;
        }
        let missing = batch.children_with(|it| it.added.is_none());
        batch.until_ns = now_ns + ADD_NS;
        for spi in missing {
            self.drop_child(now_ns, spi);
        }
        self.end_batch_if_complete(now_ns);
    }

    /// Ends a batch in its midst: its children are the next ones that charon gets.
    pub(in crate::engine) fn put_batch_back(&mut self, now_ns: u64) {
        let Some(batch) = self.ike.feed.batch() else {
            return;
        };
        let children = batch.children.keys().copied().collect();
        self.abort_batch(now_ns);
        self.ike.feed.put_back(children);
    }

    /// Takes a child out of the batch: its SAs are put back, and it is established again.
    pub(super) fn drop_child(&mut self, now_ns: u64, spi: u32) {
        self.put_back(now_ns, spi);
        self.fail_child(now_ns, spi);
    }

    /// Takes a child out of the batch, with the SAs that it had.
    fn put_back(&mut self, now_ns: u64, spi: u32) {
        let Some(batch) = self.ike.feed.batch_mut() else {
            return;
        };
        let ids: BTreeSet<SaId> = batch.children.remove(&spi).into_iter().flatten().collect();
        for id in &ids {
            let added = batch.awaited.remove(id).and_then(|it| it.added);
            if added.is_some() {
                self.outbox.push_change(Change::DeleteSa(*id));
            }
        }
        let led = self.inbound_reqids(&ids);
        self.reinstall_all(now_ns, &ids);
        for (id, reqid) in led {
            if self.installed.has(&id) {
                self.installed.policy_reqids.set_new_reqid(id, reqid);
            }
        }
        self.change_reqids_later();
    }

    /// Reqids of a daemon's that inbound SAs have: a policy of the daemon's leads to them, such as a trap.
    fn inbound_reqids(&self, ids: &BTreeSet<SaId>) -> Vec<(SaId, u32)> {
        let known = ids
            .iter()
            .filter_map(|id| Some((id, self.store.sas.get(id)?)));
        let inbound = known.filter(|(_, it)| it.side == Some(Direction::In));
        let reqids = inbound.map(|(id, it)| (*id, it.sa.reqid));
        let is_daemons = |reqid: u32| (1..FIRST_OWN_REQID).contains(&reqid);
        reqids.filter(|(_, it)| is_daemons(*it)).collect()
    }

    /// Ends a child that was rekeyed and deleted: for some seconds after that charon keeps its inbound SA, for late
    /// packets.
    pub(super) fn end_child(&mut self, now_ns: u64, spi: u32, inbound: SaId) {
        self.forget_child(now_ns, spi);
        self.installed.remove(&inbound);
        self.push_change(Change::DeleteSa(inbound));
        self.remove_sa(now_ns, &inbound);
    }

    pub(super) fn fail_child(&mut self, now_ns: u64, spi: u32) {
        self.ike.feed.note_not_taken();
        self.forget_child(now_ns, spi);
    }

    fn forget_child(&mut self, now_ns: u64, spi: u32) {
        for id in self.store.sessions.own.remove_child(spi) {
            self.update_session_record(now_ns, id);
        }
    }

    /// Ends a batch in its midst: charon ended, or is not to get them any more.
    pub(in crate::engine) fn abort_batch(&mut self, now_ns: u64) {
        let Some(batch) = self.ike.feed.batch() else {
            return;
        };
        let children: Vec<u32> = batch.children.keys().copied().collect();
        let are_detached = !self.outbox.cancel_detach();
        for spi in children.into_iter().filter(|_| are_detached) {
            self.put_back(now_ns, spi);
        }
        if let Some(batch) = self.ike.feed.take_batch_if(|_| true) {
            self.unpark_policies(&batch.parked);
        }
        self.push_action(Action::EndHold);
    }
}
