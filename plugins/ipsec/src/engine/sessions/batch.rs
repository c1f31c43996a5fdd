//! Makes SAs that this plugin installed charon's own: charon adds the SAs of a child that it takes over, and the kernel
//! has these already.
//!
//! A few children at a time, packets for them wait, in both directions; their SAs are deleted, which tells their last
//! numbers; charon adds its own; these get the numbers; the packets go on. Until they have their numbers nothing is sent
//! with charon's SAs, as a number must not be used twice.
//!
//! `parked_policies.rs`: the policies meanwhile; `put_back.rs`: children that charon does not take.

mod parked_policies;
mod put_back;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::super::{Action, Change, Engine, XfrmEvent};
use crate::MS;
use crate::codec::hold::ESP;
use crate::sa::{Body, Direction, Mark, Policy, Replay, Sa, SaId};
use parked_policies::traffic_of;

/// Number of children whose packets wait at a time.
const CHILDREN_MAX: usize = 8;
/// Time for charon to add the SAs of a batch. It takes a millisecond for each, and a second on a busy machine; an SA that it
/// adds after that meets the one that was put back, which it then deletes.
const ADD_NS: u64 = 2_000 * MS;
/// Time for that while a switchover waits.
const HURRY_NS: u64 = 100 * MS;

/// SA that charon is to add.
#[derive(Debug)]
struct Awaited {
    side: Direction,
    /// Numbers to go on with; None until the old SA was deleted.
    replay: Option<Replay>,
    /// charon's SA.
    added: Option<Box<Sa>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Old SAs are being deleted.
    Detaching,
    /// charon adds its own.
    Adding,
    /// Numbers are on their way to the kernel.
    Numbering,
    /// Policies are to lead to charon's SAs: its outbound ones are put by their reqids.
    Leading,
}

/// Children whose SAs are on their way to charon.
#[derive(Debug)]
pub struct Batch {
    stage: Stage,
    /// Children, by inbound SPI, with their SAs.
    children: BTreeMap<u32, [SaId; 2]>,
    awaited: BTreeMap<SaId, Awaited>,
    /// Outbound policies that led to the old SAs.
    parked: Vec<Policy>,
    /// Reqids of charon's outbound SAs to which no policy leads yet.
    reqids: BTreeSet<u32>,
    until_ns: u64,
}

impl Batch {
    pub fn next_ns(&self) -> u64 {
        self.until_ns
    }

    /// Gives charon less time: it is to be quiet after this.
    pub fn hurry(&mut self, now_ns: u64) {
        self.until_ns = self.until_ns.min(now_ns + HURRY_NS);
    }

    /// Children with an SA of which this is true.
    fn children_with(&self, is_so: impl Fn(&Awaited) -> bool) -> Vec<u32> {
        let is_one = |id: &SaId| self.awaited.get(id).is_some_and(&is_so);
        let children = self.children.iter();
        let children = children.filter(|(_, ids)| ids.iter().any(is_one));
        children.map(|(spi, _)| *spi).collect()
    }

    fn is_complete(&self) -> bool {
        self.awaited.values().all(|it| it.added.is_some())
    }
}

impl Engine {
    /// Begins with a child and those that follow it in the plan.
    pub(super) fn begin_batch(&mut self, now_ns: u64, first: u32) {
        let mut spis = vec![first];
        spis.extend(self.next_children(CHILDREN_MAX - 1));
        // others have ended, or left with their address
        spis.retain(|spi| self.store.sessions.own.children.contains_key(spi));
        let mut children = BTreeMap::new();
        for spi in spis {
            match self.sas_of_child(spi) {
                [Some(inbound), Some(outbound)] => {
                    children.insert(spi, [inbound, outbound]);
                }
                [Some(inbound), None] if !self.is_outbound_refused(spi) => {
                    self.end_child(now_ns, spi, inbound);
                }
                // with numbers that nobody knows it would begin at zero
                _ => self.fail_child(now_ns, spi),
            }
        }
        if children.is_empty() {
            return;
        }
        let sides = [Direction::In, Direction::Out];
        let sas = children.values().flat_map(|ids| ids.iter().zip(sides));
        let awaited = sas.map(|(id, side)| {
            let (replay, added) = (None, None);
            (
                *id,
                Awaited {
                    side,
                    replay,
                    added,
                },
            )
        });
        let awaited: BTreeMap<SaId, Awaited> = awaited.collect();
        let ids: Vec<SaId> = awaited.keys().copied().collect();
        let parked = self.policies_of(&awaited);
        let traffic = traffic_of(&awaited, &parked);
        self.ike.feed.put_batch(Batch {
            stage: Stage::Detaching,
            children,
            awaited,
            parked,
            reqids: BTreeSet::new(),
            until_ns: now_ns + ADD_NS,
        });
        self.park_policies();
        let new_sas = traffic.new_sas.clone();
        self.push_action(Action::Hold(traffic));
        self.push_action(Action::Detach(ids, new_sas));
    }

    /// SAs of a child in the kernel here: inbound, and the outbound one beside it.
    pub(in crate::engine) fn sas_of_child(&self, spi: u32) -> [Option<SaId>; 2] {
        let child = self.store.sessions.own.children.get(&spi);
        let inbound = child.and_then(|it| self.esp_to(Direction::In, it.end?, spi));
        let far_end = inbound.and_then(|it| Some(self.store.sas.get(&it)?.sa.source));
        let outbound = child.zip(far_end);
        let outbound =
            outbound.and_then(|(it, to)| self.esp_to(Direction::Out, to, it.outbound_spi));
        [inbound, outbound]
    }

    /// SA to an address, in the kernel here.
    fn esp_to(&self, side: Direction, destination: IpAddr, spi: u32) -> Option<SaId> {
        let first = SaId {
            destination,
            spi,
            protocol: ESP,
            mark: Mark::default(),
        };
        let is_same = |id: &SaId| {
            SaId {
                mark: first.mark,
                ..*id
            } == first
        };
        let sas = self.store.sas.range(first..);
        let mut found = sas.take_while(|(id, _)| is_same(id));
        found.find_map(|(id, it)| (it.side == Some(side)).then_some(*id))
    }

    /// Handles the end of [`Action::Detach`]: these SAs are no longer in the kernel. Each has its last numbers, if the
    /// kernel reported them.
    pub fn handle_detached(&mut self, now_ns: u64, detached: Vec<(SaId, Option<Replay>)>) {
        let Some(batch) = self.ike.feed.batch_mut() else {
            return;
        };
        for (id, replay) in detached {
            self.reads.note_deleted(id);
            let known = self.store.sas.get_mut(&id);
            if let (Some(awaited), Some(known)) = (batch.awaited.get_mut(&id), known) {
                if let Some(replay) = replay {
                    let there = &known.sa.replay;
                    known.sa.replay = Replay {
                        window: there.window,
                        // a peer that was active as well has sent up to this
                        oseq: replay.oseq.max(there.oseq),
                        ..replay
                    };
                    awaited.replay = Some(known.sa.replay.clone());
                }
            }
            self.installed.remove(&id);
        }
        let spis: Vec<u32> = batch.children.keys().copied().collect();
        let unknown = batch.children_with(|it| it.replay.is_none());
        batch.stage = Stage::Adding;
        for spi in unknown {
            self.drop_child(now_ns, spi);
        }
        let children = &self.store.sessions.own.children;
        let adds = spis
            .iter()
            .filter_map(|spi| Some(children.get(spi)?.add.clone()));
        let adds: Vec<Body> = adds.collect();
        self.tell(adds);
        self.end_batch_if_complete(now_ns);
        self.feed_next(now_ns);
    }

    /// Handles an SA in the kernel that is on its way to charon; returns false if it is another one.
    pub(in super::super) fn handle_awaited_sa(&mut self, now_ns: u64, sa: &Sa) -> bool {
        let Some(batch) = self.ike.feed.batch_mut() else {
            return false;
        };
        let Some(awaited) = batch.awaited.get_mut(&sa.id) else {
            return false;
        };
        if batch.stage == Stage::Adding {
            awaited.added = Some(Box::new(sa.clone()));
            self.end_batch_if_complete(now_ns);
        }
        true
    }

    /// True if an entry of a reading is the SA that was deleted for charon's since the reading began.
    pub(in super::super) fn is_former_sa(&self, entry: &XfrmEvent) -> bool {
        let XfrmEvent::Sa(sa) = entry else {
            return false;
        };
        self.is_awaited_sa(&sa.id) && self.reads.was_deleted(&sa.id)
    }

    /// True if an SA is on its way to charon, so that a reading may not find it.
    pub(in super::super) fn is_awaited_sa(&self, id: &SaId) -> bool {
        let batch = self.ike.feed.batch();
        batch.is_some_and(|it| it.awaited.contains_key(id))
    }

    /// Has an SA go on at least with this number; returns false if it has its numbers already, or is not on its way to
    /// charon.
    pub(in super::super) fn raise_awaited(&mut self, id: &SaId, oseq: u64) -> bool {
        let batch = self.ike.feed.batch_mut();
        let Some(batch) = batch.filter(|it| matches!(it.stage, Stage::Detaching | Stage::Adding))
        else {
            return false;
        };
        let Some(awaited) = batch.awaited.get_mut(id) else {
            return false;
        };
        if let Some(replay) = &mut awaited.replay {
            replay.oseq = replay.oseq.max(oseq);
        }
        true
    }

    fn end_batch_if_complete(&mut self, now_ns: u64) {
        let batch = self.ike.feed.batch_mut();
        let Some(batch) = batch.filter(|it| it.stage == Stage::Adding && it.is_complete()) else {
            return;
        };
        batch.stage = Stage::Numbering;
        for (id, awaited) in &batch.awaited {
            if let Some(replay) = &awaited.replay {
                let change = Change::SetReplay(*id, replay.clone());
                self.outbox.push_change(change);
            }
        }
        self.handle_numbered(now_ns);
    }

    /// Handles the kernel's answer to the numbers of an SA; returns false if it is another one.
    pub(in super::super) fn handle_number_set(
        &mut self,
        now_ns: u64,
        id: &SaId,
        errno: Option<i32>,
    ) -> bool {
        if !self.is_awaited_sa(id) {
            return false;
        }
        if errno.is_some() {
            // with a zero it must not stay
            let spi = self.child_of(id);
            spi.into_iter().for_each(|spi| self.drop_child(now_ns, spi));
        } else if let Some(awaited) = self.take_awaited(id) {
            if let (Some(sa), Some(replay)) = (awaited.added, awaited.replay) {
                if let (Some(batch), Direction::Out) = (self.ike.feed.batch_mut(), awaited.side) {
                    batch.reqids.insert(sa.reqid);
                }
                self.enter_sa(now_ns, Sa { replay, ..*sa }, 0);
                self.note_followed(id);
            }
        }
        self.handle_numbered(now_ns);
        true
    }

    /// Notes that charon has a child, and so need not establish it.
    fn note_followed(&mut self, id: &SaId) {
        let name = self.store.sas.get(id).and_then(|it| it.name.clone());
        if let Some(name) = name {
            self.ike.wanted_children.forget(&name);
            self.ike.saved_unadopted.mark_changed();
        }
    }

    fn take_awaited(&mut self, id: &SaId) -> Option<Awaited> {
        self.ike.feed.batch_mut()?.awaited.remove(id)
    }

    fn child_of(&self, id: &SaId) -> Option<u32> {
        let batch = self.ike.feed.batch()?;
        let mut children = batch.children.iter();
        children.find_map(|(spi, ids)| ids.contains(id).then_some(*spi))
    }
}
