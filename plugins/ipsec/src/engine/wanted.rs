//! Children that the IKE daemon here is to establish after a failover, and whether all tunnels are up.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use super::status::counted;
use super::{Action, Engine};
use crate::codec::body::OURS;
use crate::sa::{ChildName, Direction, Policy};
use crate::vici::WAITS;

/// Children that the IKE daemon here should establish.
#[derive(Debug, Default)]
pub struct Wanted {
    /// With the address that is this node's end.
    names: HashMap<ChildName, IpAddr>,
    /// Numbers of SAs that a daemon had when it ended.
    ended: BTreeSet<u32>,
    is_ordered: bool,
    /// Reason why not all tunnels are up, as of the last check.
    lack: Option<String>,
}

impl Wanted {
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    pub fn lack(&self) -> Option<&String> {
        self.lack.as_ref()
    }

    /// With the address that is this node's end, in the order of their names.
    pub fn all(&self) -> Vec<(&ChildName, &IpAddr)> {
        let mut all: Vec<_> = self.names.iter().collect();
        all.sort_unstable();
        all
    }

    pub fn add<'a>(&mut self, names: impl Iterator<Item = (&'a ChildName, IpAddr)>) {
        for (name, end) in names {
            // both SAs of a child have its name
            if let Some(known) = self.names.get_mut(name) {
                *known = end;
            } else {
                self.names.insert(name.clone(), end);
                // one more is an order of its own
                self.is_ordered = false;
            }
        }
    }
}

impl Engine {
    /// The IKE daemon established a child anew, or did not.
    pub fn handle_adopted(&mut self, _now_ns: u64, name: &ChildName, result: Result<(), String>) {
        let ChildName { ike, child } = name;
        self.ike.left.note();
        self.dirty = true;
        match result {
            Ok(()) => {
                self.ike.wanted.names.remove(name);
                self.event(format!("child {child} of {ike} is established again"));
            }
            Err(why) if why == WAITS => {
                // it comes when it likes
                self.ike.wanted.names.remove(name);
                self.event(format!("child {child} of {ike} waits for the far end"));
            }
            Err(why) => self.event(format!("child {child} of {ike} is not adopted: {why}")),
        }
    }

    /// A role came: what was kept for it is to be established, also what the kernel does not take.
    pub(super) fn want_held(&mut self) {
        let store = &self.store;
        let held = store.held.sas.values();
        let ours = held.filter(|it| store.ends.has(&it.local_end()));
        let names = ours.filter_map(|it| Some((it.name.as_ref()?, it.local_end())));
        self.ike.wanted.add(names);
        self.ike.left.note();
    }

    /// Has the daemon establish all that is wanted, beside what is there of another's making.
    pub(super) fn order_adoption(&mut self) {
        if self.ike.wanted.is_empty() || std::mem::replace(&mut self.ike.wanted.is_ordered, true) {
            return;
        }
        let installed = self.installed.iter().map(|(id, _)| id.spi);
        // of a run before this one, too
        let followed = self.store.sas.iter().filter(|(_, it)| it.sa.reqid >= OURS);
        let known = installed.chain(followed.map(|(id, _)| id.spi));
        let known = known.chain(self.ike.wanted.ended.iter().copied()).collect();
        let names = self.ike.wanted.all().into_iter();
        let names = names.map(|(name, _)| name.clone()).collect();
        self.act(Action::Adopt(names, known));
    }

    /// The daemon has ended: the next one is to establish what this one had, and what it was to have.
    pub(super) fn adopt_anew(&mut self) {
        if !self.is_active() {
            return;
        }
        let store = &self.store;
        let ours = || store.sas.iter().filter(|(_, it)| it.side.is_some());
        let named =
            ours().filter_map(|(_, it)| Some((it.name.as_ref()?, it.sa.local_end(it.side?))));
        let names = named.filter(|(_, end)| store.ends.has(end));
        let ended = ours().map(|(id, _)| id.spi).collect();
        self.ike.wanted.add(names);
        self.ike.left.note();
        self.ike.wanted.ended = ended;
        self.ike.wanted.is_ordered = false;
        self.order_adoption();
    }

    /// Tunnels went to the peer: all of them, or those whose address is not here any more.
    pub(super) fn end_adoption(&mut self, all: bool) {
        let (ends, wanted) = (&self.store.ends, &mut self.ike.wanted);
        let before = wanted.names.len();
        wanted.names.retain(|_, end| !all && ends.stays(end));
        self.ike.left.note();
        if wanted.names.len() < before && std::mem::take(&mut wanted.is_ordered) {
            match wanted.is_empty() {
                true => self.act(Action::Forget),
                false => self.order_adoption(),
            }
        }
        self.look_for_tunnels();
    }

    /// Whether all tunnels are up that this node has to have.
    pub(super) fn look_for_tunnels(&mut self) {
        self.ike.wanted.lack = match self.is_active() {
            true if !self.is_settled_role() => return,
            true => self.tunnels_down(),
            false => None,
        };
    }

    /// Whether the SAs of this role are all in the kernel.
    pub(super) fn is_settled_role(&self) -> bool {
        self.is_put() && !self.switchover.moves()
    }

    fn tunnels_down(&self) -> Option<String> {
        let sas = self.store.sas.iter();
        let sas = sas.filter(|(id, it)| it.side == Some(Direction::Out) && !self.is_doubted(id));
        let (mut up, mut reqids) = (BTreeSet::new(), BTreeSet::new());
        for (_, known) in sas {
            up.extend(&known.name);
            reqids.insert(known.sa.reqid);
        }
        let names = self.ike.wanted.names.keys();
        let down: Vec<&ChildName> = names.filter(|it| !up.contains(it)).collect();
        if let Some(ChildName { ike, child }) = down.iter().min() {
            let all = counted(self.ike.wanted.names.len(), "tunnel");
            let count = down.len();
            return Some(format!("{count} of {all} down, first {ike}/{child}"));
        }
        match self.blocking_policies(&reqids) {
            0 => self.tunnels_gone().or_else(|| self.claimed_in_vain()),
            1 => Some("1 replicated policy blocks because it has no SA".to_owned()),
            count => Some(format!(
                "{count} replicated policies block because they have no SA"
            )),
        }
    }

    /// What only a blocking policy tells of: the daemon deleted it while no plugin ran, and no peer has it.
    fn tunnels_gone(&self) -> Option<String> {
        match self.blocks_below_nothing().count() {
            0 => None,
            1 => Some("1 policy is gone, and its traffic is blocked".to_owned()),
            count => Some(format!(
                "{count} policies are gone, and their traffic is blocked"
            )),
        }
    }

    /// Policies that followed, of this node's ends, which lead to no SA of these reqids.
    fn blocking_policies(&self, reqids: &BTreeSet<u32>) -> usize {
        let store = &self.store;
        let policies = store.policies.iter();
        let policies = policies.filter(|(id, _)| !store.held.policies.contains_key(id));
        let policies = policies.map(|(_, it)| &it.policy);
        let is_here = |end| store.ends.has(&end);
        let policies = policies.filter(|it| it.id.is_outbound() && it.end.is_some_and(is_here));
        let blocks = |it: &&Policy| {
            let mut templates = it.templates.iter();
            templates.any(|it| it.reqid >= OURS && !reqids.contains(&it.reqid))
        };
        policies.filter(blocks).count()
    }
}
