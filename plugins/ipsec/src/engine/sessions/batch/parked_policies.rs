//! Policies of a batch: outbound ones lead to no SA until charon's own take their place, or theirs are put back.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{Awaited, Batch, Stage};
use crate::MS;
use crate::codec::body::{parked_policy, policy_with_own_reqids};
use crate::codec::hold::{HeldTraffic, NewSas};
use crate::engine::resume::network_pair_of;
use crate::engine::{Action, Change, Engine};
use crate::sa::{Direction, Policy, PolicyId, Sa, SaId, Template};

/// Time for charon to put its policies, which some settings keep it from.
const LEAD_NS: u64 = 500 * MS;

impl Batch {
    /// Notes an outbound policy of charon's.
    fn note_led(&mut self, policy: &Policy) {
        for template in &policy.templates {
            self.reqids.remove(&template.reqid);
        }
    }
}

impl Engine {
    /// Outbound policies that lead to these SAs.
    pub(super) fn policies_of(&self, awaited: &BTreeMap<SaId, Awaited>) -> Vec<Policy> {
        let out = awaited.iter().filter(|(_, it)| it.side == Direction::Out);
        let sas = out.filter_map(|(id, _)| self.store.sas.get(id));
        let targets: BTreeSet<(u32, IpAddr, u32)> = sas
            .flat_map(|it| {
                let (reqid, to) = (it.sa.reqid, it.sa.id.destination);
                [(reqid, to, it.sa.id.spi), (reqid, to, 0)]
            })
            .collect();
        let leads = |policy: &&Policy| {
            let mut templates = policy.templates.iter();
            policy.id.is_outbound()
                && templates.any(|it| targets.contains(&(it.reqid, it.destination, it.spi)))
        };
        let policies = self.store.policies.values().map(|it| &it.policy);
        policies.filter(leads).cloned().collect()
    }

    pub(super) fn park_policies(&mut self) {
        let Some(batch) = self.ike.feed.batch() else {
            return;
        };
        let parked = batch.parked.clone();
        for id in batch.awaited.keys().copied().collect::<Vec<_>>() {
            self.park_copies_to(&id);
        }
        // a copy is before its policy, which may be a trap by now
        for policy in &parked {
            if !self.has_copy(&policy.id) {
                self.push_change(Change::ParkPolicy(parked_policy(policy)));
            }
        }
    }

    /// True if charon has added an SA of this batch to which a template leads.
    pub(in crate::engine::sessions) fn is_added(&self, template: &Template) -> bool {
        let batch = self.ike.feed.batch();
        batch.is_some_and(|it| {
            let mut added = it.awaited.values().filter_map(|it| it.added.as_ref());
            let is_led =
                |sa: &Sa| (sa.reqid, sa.id.destination) == (template.reqid, template.destination);
            it.reqids.contains(&template.reqid) || added.any(|it| is_led(it))
        })
    }

    /// Waits for the policies once all SAs have their numbers.
    pub(super) fn handle_numbered(&mut self, now_ns: u64) {
        let batch = self.ike.feed.batch_mut();
        let Some(batch) = batch.filter(|it| it.stage == Stage::Numbering && it.awaited.is_empty())
        else {
            return;
        };
        batch.stage = Stage::Leading;
        batch.until_ns = now_ns + LEAD_NS;
        let policies = self.store.policies.values().map(|it| &it.policy);
        let parked: BTreeSet<PolicyId> = batch.parked.iter().map(|it| it.id).collect();
        let there = policies.filter(|it| it.id.is_outbound() && !parked.contains(&it.id));
        there.for_each(|it| batch.note_led(it));
        self.end_batch_if_led(now_ns);
    }

    /// Notes a policy of charon's.
    pub(in crate::engine) fn note_leading_policy(&mut self, now_ns: u64, policy: &Policy) {
        let Some(batch) = self
            .ike
            .feed
            .batch_mut()
            .filter(|_| policy.id.is_outbound())
        else {
            return;
        };
        batch.parked.retain(|it| it.id != policy.id);
        batch.note_led(policy);
        self.end_batch_if_led(now_ns);
    }

    fn end_batch_if_led(&mut self, now_ns: u64) {
        let is_led = |it: &mut Batch| it.stage == Stage::Leading && it.reqids.is_empty();
        if let Some(batch) = self.ike.feed.take_batch_if(is_led) {
            self.end_batch(now_ns, &batch);
        }
    }

    /// Ends a batch: its packets go on.
    pub(super) fn end_batch(&mut self, now_ns: u64, batch: &Batch) {
        self.ike.feed.note_taken_over(batch.children.len());
        self.unpark_policies(&batch.parked);
        self.push_action(Action::EndHold);
        self.feed_next(now_ns);
    }

    /// Puts the policies back that charon has not replaced: they lead to SAs that were put back.
    pub(super) fn unpark_policies(&mut self, parked: &[Policy]) {
        for policy in parked {
            if self.store.policies.contains_key(&policy.id) {
                self.push_change(Change::PutPolicy(policy_with_own_reqids(policy)));
                self.forget_trap(&policy.id);
            }
        }
        self.unpark_copies();
    }
}

/// Packets that wait: into these tunnels, and out of them.
pub(super) fn traffic_of(awaited: &BTreeMap<SaId, Awaited>, policies: &[Policy]) -> HeldTraffic {
    let mut traffic = HeldTraffic::default();
    for policy in policies {
        let inner = policy.templates.first();
        if let Some((inner, pair)) = inner.zip(network_pair_of(&policy.id)) {
            traffic.put(inner.mode, pair);
        }
    }
    let spis = |side| {
        let sas = awaited.iter().filter(move |(_, it)| it.side == side);
        sas.map(|(id, _)| id.spi).collect()
    };
    traffic.new_sas = NewSas {
        inbound: spis(Direction::In),
        outbound: spis(Direction::Out),
    };
    traffic
}
