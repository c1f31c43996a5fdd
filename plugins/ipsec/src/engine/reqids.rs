//! Reqids of the SAs that are installed for the peer, and their replacement by an IKE daemon's own SAs.
//!
//! A daemon that starts after a failover counts its reqids from 1: the installed ones are from another range. When the
//! daemon puts a policy of its own in the place of an installed one, packets that the other side still sends on the old
//! SA must pass it: so the old SA gets the policy's reqid.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::status::counted;
use super::{Change, Engine};
use crate::SECOND;
use crate::codec::body::FIRST_OWN_REQID;
use crate::codec::body::sa_with_reqid;
use crate::sa::{ChildName, Direction, Policy, PolicyId, SaId, Template};
use crate::store::LocalSa;

const IN: u8 = 0;
const OUT: u8 = 1;
/// Time after which a tunnel whose packets nobody sends counts as used.
const USED_NS: u64 = 30 * SECOND;

/// Policies that lead to installed SAs, and SAs that are to get another reqid.
#[derive(Debug, Default)]
pub struct PolicyReqids {
    /// Policies by the reqid of the SAs; each list is sorted.
    by_reqid: BTreeMap<u32, Vec<PolicyId>>,
    new_reqids: BTreeMap<SaId, u32>,
    /// Tunnels that have had SAs of the IKE daemon's own without a pause, each with the time of the first one.
    native_since_ns: BTreeMap<(Tunnel, u32), u64>,
    /// Reqids of tunnels that only their far ends can establish again.
    await_far_end: BTreeSet<u32>,
    reading: u32,
    /// No policy leads to an SA of an earlier run, and it is not known yet which replaced them: the daemon's names may
    /// tell.
    pub is_unsure: bool,
}

impl PolicyReqids {
    /// Notes whether a policy of the kernel leads to installed SAs.
    pub fn note_policy(&mut self, policy: &Policy) {
        for template in policy
            .templates
            .iter()
            .filter(|it| it.reqid >= FIRST_OWN_REQID)
        {
            self.add(template.reqid, policy.id);
        }
    }

    fn add(&mut self, reqid: u32, id: PolicyId) {
        let policies = self.by_reqid.entry(reqid).or_default();
        if let Err(place) = policies.binary_search(&id) {
            policies.insert(place, id);
        }
    }

    /// Notes the policies that replaced those that led to an SA.
    pub fn add_all(&mut self, reqid: u32, policies: Vec<PolicyId>) {
        for id in policies {
            self.add(reqid, id);
        }
    }

    /// Notes the reqid that an SA is to get; returns true if it is new.
    pub fn set_new_reqid(&mut self, id: SaId, reqid: u32) -> bool {
        self.new_reqids.insert(id, reqid) != Some(reqid)
    }
}

/// Common identity of the SAs of one tunnel, in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tunnel {
    local: IpAddr,
    remote: IpAddr,
    mode: u8,
    protocol: u8,
    if_id: u32,
}

impl Tunnel {
    pub fn of(known: &LocalSa) -> Option<Self> {
        let sa = &known.sa;
        let (local, remote) = match known.side? {
            Direction::In => (sa.id.destination, sa.source),
            Direction::Out => (sa.source, sa.id.destination),
        };
        Some(Self {
            local,
            remote,
            mode: sa.mode,
            protocol: sa.id.protocol,
            if_id: sa.if_id,
        })
    }

    pub fn of_template(id: &PolicyId, template: &Template) -> Self {
        let (local, remote) = if id.is_outbound() {
            (template.source, template.destination)
        } else {
            (template.destination, template.source)
        };
        Self {
            local,
            remote,
            mode: template.mode,
            protocol: template.protocol,
            if_id: id.if_id,
        }
    }
}

impl Engine {
    /// Finds the policies that lead to the installed SAs, after a failover. Those of an earlier group's SAs may lead to a
    /// daemon's by now.
    pub(super) fn find_policy_reqids(&mut self) {
        let installed = self.installed.iter().map(|(_, it)| it.reqid());
        let installed: BTreeSet<u32> = installed.collect();
        let by_reqid = &mut self.installed.policy_reqids.by_reqid;
        by_reqid.retain(|it, _| installed.contains(it));
        self.add_policy_reqids();
    }

    /// Notes a tunnel that only its far end can establish again: it may come with other policies, or never.
    pub(super) fn await_far_end(&mut self, name: &ChildName) {
        let named = self.store.sas.values();
        let named = named.filter(|it| it.name.as_ref() == Some(name));
        let await_far_end = &mut self.installed.policy_reqids.await_far_end;
        await_far_end.extend(named.map(|it| it.sa.reqid));
    }

    pub(super) fn awaits_far_end(&self, reqid: u32) -> bool {
        let await_far_end = &self.installed.policy_reqids.await_far_end;
        await_far_end.contains(&reqid)
    }

    /// Forgets what the IKE daemon here did for tunnels: they have left.
    pub(super) fn forget_daemon_tunnels(&mut self) {
        let known = &mut self.installed.policy_reqids;
        known.await_far_end.clear();
        known.native_since_ns.clear();
    }

    /// Adds the policies that lead to SAs of an earlier run, which are this run's from now on.
    pub(super) fn add_policy_reqids(&mut self) {
        for known in self.store.policies.values() {
            self.installed.policy_reqids.note_policy(&known.policy);
        }
    }

    /// Handles a policy that another program put in the place of an installed one.
    pub(super) fn handle_replaced_reqid(&mut self, policy: &Policy) {
        let before = self.replaced_policy(policy);
        let Some(before) = before.filter(|_| !policy.id.is_outbound()) else {
            return;
        };
        let pairs = before.policy.templates.iter().zip(&policy.templates);
        let pairs: Vec<(u32, u32)> = pairs
            .map(|(old, new)| (old.reqid, new.reqid))
            .filter(|(old, new)| old != new && *new != 0)
            .collect();
        let mut concerns = false;
        for (old, new) in pairs {
            let concerned = self.installed.iter();
            let concerned = concerned.filter(|(id, it)| {
                let there = self.store.sas.get(id).map(|known| known.sa.reqid);
                it.side() == Direction::In && there == Some(old)
            });
            let concerned: Vec<SaId> = concerned.map(|(id, _)| *id).collect();
            for id in concerned {
                concerns |= self.installed.policy_reqids.set_new_reqid(id, new);
            }
        }
        if concerns {
            self.installed.policy_reqids.reading = self.read_fresh();
        }
    }

    /// Changes reqids after a reading that begins now.
    pub(super) fn change_reqids_later(&mut self) {
        if !self.installed.policy_reqids.new_reqids.is_empty() {
            self.installed.policy_reqids.reading = self.read_fresh();
        }
    }

    /// Changes reqids after a reading, so that the SAs go on with present numbers.
    pub(super) fn change_reqids(&mut self) {
        if self.installed.policy_reqids.reading > self.reads.generation() {
            return;
        }
        for (id, reqid) in std::mem::take(&mut self.installed.policy_reqids.new_reqids) {
            if self.is_awaited_sa(&id) {
                // charon is adding its own; if it does not, this one is put back and gets the reqid then
                self.installed.policy_reqids.set_new_reqid(id, reqid);
                continue;
            }
            let known = self.store.sas.get(&id);
            let Some(known) = known.filter(|_| self.installed.has(&id)) else {
                continue;
            };
            let sa = Box::new(sa_with_reqid(&known.sa, reqid));
            let threshold = known.threshold.max(1);
            self.push_change(Change::DeleteSa(id));
            self.push_change(Change::AddSa(sa, threshold));
        }
    }

    /// Deletes installed SAs whose tunnels an IKE daemon's own SAs carry.
    pub(super) fn supersede(&mut self, now_ns: u64) {
        if self.installed.is_empty() {
            return;
        }
        let native_tunnels = self.native_tunnels(now_ns);
        if native_tunnels.is_empty() {
            return;
        }
        let mut superseded = Vec::new();
        for (id, installed) in self.installed.iter() {
            let Some(tunnel) = self.store.sas.get(id).and_then(Tunnel::of) else {
                continue;
            };
            let mut reqids = self.present_reqids(installed.reqid(), installed.side());
            if reqids.any(|reqid| native_tunnels.contains(&(tunnel, reqid))) {
                superseded.push((installed.side() == Direction::In, *id));
            }
        }
        superseded.sort_unstable();
        if let Some((_, first)) = superseded.first() {
            let sas = counted(superseded.len(), "SA");
            let text = format!(
                "{sas} superseded by the IKE daemon's own, first {:08x}",
                first.spi
            );
            self.event(text);
        }
        for (_, id) in superseded {
            self.counters.superseded += 1;
            self.uninstall(id);
        }
    }

    /// Tunnels with SAs that another program made since their failover, and on which packets have come in; or that have had
    /// such SAs for long, each perhaps rekeyed before a packet came.
    fn native_tunnels(&mut self, now_ns: u64) -> BTreeSet<(Tunnel, u32)> {
        let mut used = BTreeSet::new();
        let mut since_ns: BTreeMap<(Tunnel, u32), u64> = BTreeMap::new();
        for (id, known) in &self.store.sas {
            let is_other = known.sa.reqid != 0 && !self.installed.has(id);
            if !is_other || known.side != Some(Direction::In) {
                continue;
            }
            let Some(tunnel) = Tunnel::of(known) else {
                continue;
            };
            let tunnel = (tunnel, known.sa.reqid);
            // another group may have come since
            let is_known = self
                .installed
                .policy_reqids
                .native_since_ns
                .contains_key(&tunnel);
            if !is_known && !self.failover.is_older_than(known.since_ns) {
                continue;
            }
            let first_ns = since_ns.entry(tunnel).or_insert(known.since_ns);
            *first_ns = known.since_ns.min(*first_ns);
            if known.sa.replay.seq > 0 || known.sa.life.packets > 0 {
                used.insert(tunnel);
            }
        }
        let earlier = &self.installed.policy_reqids.native_since_ns;
        for (tunnel, first_ns) in &mut since_ns {
            *first_ns = earlier
                .get(tunnel)
                .map_or(*first_ns, |it| *it.min(first_ns));
        }
        let long = since_ns
            .iter()
            .filter(|(_, first_ns)| now_ns.saturating_sub(**first_ns) >= USED_NS);
        used.extend(long.map(|(tunnel, _)| *tunnel));
        self.installed.policy_reqids.native_since_ns = since_ns;
        used
    }

    /// Reqids to which the policies lead now that led to an installed SA.
    fn present_reqids(&self, reqid: u32, side: Direction) -> impl Iterator<Item = u32> {
        let direction = match side {
            Direction::In => IN,
            Direction::Out => OUT,
        };
        let ids = self
            .installed
            .policy_reqids
            .by_reqid
            .get(&reqid)
            .into_iter()
            .flatten();
        let ids = ids.filter(move |id| id.direction == direction);
        let policies = ids.filter_map(|id| self.store.policies.get(id));
        let templates = policies.flat_map(|it| &it.policy.templates);
        templates
            .map(|it| it.reqid)
            .filter(move |present| *present != reqid)
    }
}
