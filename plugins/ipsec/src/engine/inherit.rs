//! SAs that an earlier run of this plugin installed: this one takes them for its own.
//!
//! Where the IKE daemon replaced their policies while no run looked, no policy leads to them any more, and what they
//! receive would be dropped. Which policy is meant is known by the tunnel, and by the child's name where several
//! children are between the same ends.

use std::collections::{BTreeMap, BTreeSet};

use super::Engine;
use super::installed::InstalledSa;
use super::reqids::Tunnel;
use crate::codec::body::OURS;
use crate::sa::{ChildName, Direction, PolicyId, SaId};
use crate::store::LocalSa;

/// Policies and SAs of the daemon's own, by what tells which of them carry on an older SA.
#[derive(Default)]
struct Own<'a> {
    policies: BTreeMap<(Tunnel, Direction), Vec<(PolicyId, u32)>>,
    reqids: BTreeMap<(Tunnel, Direction, &'a ChildName), BTreeSet<u32>>,
}

impl Engine {
    /// What was read before is this node's from now on: a role is here, or names tell more.
    pub(super) fn inherit_what_was_read(&mut self) {
        if self.store.run.is_read() {
            self.inherit();
            self.change_reqids_later();
        }
    }

    /// After a reading.
    pub(super) fn inherit(&mut self) {
        if !self.is_active() {
            return;
        }
        let followed = self.store.sas.iter().filter(|(_, it)| it.sa.reqid >= OURS);
        let new = followed.filter(|(id, _)| !self.installed.has(id));
        let new = new.filter_map(|(id, known)| Some((*id, InstalledSa::found(known)?)));
        let new: Vec<_> = new.collect();
        // a failover ends here, as this run puts its SAs
        if new.is_empty() && !self.installed.served.is_unsure {
            return;
        }
        for (id, sa) in new {
            self.installed.put(id, sa);
        }
        self.serve_more();
        let unled = self.unled();
        self.installed.served.is_unsure = !self.lead(&unled);
    }

    /// SAs that followed, and that no policy leads to.
    fn unled(&self) -> Vec<SaId> {
        let led = self.led();
        let followed = self.store.sas.iter().filter(|(_, it)| it.sa.reqid >= OURS);
        let unled = followed.filter(|(_, it)| {
            let side = it.side.map(|side| (side, it.sa.reqid));
            side.is_some_and(|it| !led.contains(&it))
        });
        unled.map(|(id, _)| *id).collect()
    }

    /// What the policies lead to.
    fn led(&self) -> BTreeSet<(Direction, u32)> {
        let policies = self.store.policies.iter();
        let led = policies.flat_map(|(id, known)| {
            let templates = known.policy.templates.iter();
            templates.map(|it| (side_of(id), it.reqid))
        });
        led.filter(|(_, reqid)| *reqid >= OURS).collect()
    }

    /// The daemon's own policies are in the place of those that led to them; whether it is known for each, which.
    fn lead(&mut self, unled: &[SaId]) -> bool {
        if unled.is_empty() {
            return true;
        }
        let own = self.own();
        let led = unled.iter().filter_map(|id| {
            let known = self.store.sas.get(id)?;
            Some((*id, known.side?, known.sa.reqid, own.of(known)?))
        });
        let led: Vec<_> = led.collect();
        let is_all = led.len() == unled.len();
        for (id, side, old, (new, policies)) in led {
            self.installed.served.replaced(old, policies);
            if side == Direction::In {
                self.installed.served.change(id, new);
            }
        }
        is_all
    }

    fn own(&self) -> Own<'_> {
        let mut own = Own::default();
        for (id, known) in &self.store.policies {
            let templates = known.policy.templates.iter();
            for template in templates.filter(|it| (1..OURS).contains(&it.reqid)) {
                let key = (Tunnel::of_template(id, template), side_of(id));
                let policies = own.policies.entry(key).or_default();
                policies.push((*id, template.reqid));
            }
        }
        for known in self.store.sas.values().filter(|it| it.sa.reqid < OURS) {
            if let (Some(tunnel), Some(side), Some(name)) =
                (Tunnel::of(known), known.side, &known.name)
            {
                let reqids = own.reqids.entry((tunnel, side, name)).or_default();
                reqids.insert(known.sa.reqid);
            }
        }
        own
    }
}

impl Own<'_> {
    /// Those that carry an SA on, and their reqid; None where it may be one or the other.
    fn of(&self, known: &LocalSa) -> Option<(u32, Vec<PolicyId>)> {
        let (tunnel, side) = (Tunnel::of(known)?, known.side?);
        let policies = self.policies.get(&(tunnel, side))?;
        let mut reqids: BTreeSet<u32> = policies.iter().map(|(_, reqid)| *reqid).collect();
        if reqids.len() > 1 {
            let named = self.reqids.get(&(tunnel, side, known.name.as_ref()?))?;
            reqids.retain(|it| named.contains(it));
        }
        let new = reqids.pop_first().filter(|_| reqids.is_empty())?;
        let policies = policies.iter().filter(|(_, reqid)| *reqid == new);
        Some((new, policies.map(|(id, _)| *id).collect()))
    }
}

fn side_of(policy: &PolicyId) -> Direction {
    match policy.is_outbound() {
        true => Direction::Out,
        false => Direction::In,
    }
}
