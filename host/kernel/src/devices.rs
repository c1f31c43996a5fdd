//! Keeps the fence and the virtual-MAC devices equal to claims and interfaces.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Instant;

use spared_contract::Claims;
use spared_netlink::{Event, Link, Message};

use super::fence::{Device, Fence, FenceError, Guarded, LeaseKey, Plan};
use super::group_claims::{Group, router_id};
use super::misplaced_addresses::address_key;
use super::sysctl::On;
use super::vmac::{self, RouterId};
use super::{Kernel, KernelError, KernelEvent};

/// Loopback interface. The fence leaves it alone, as its packets stay in the node.
const LOOPBACK: &str = "lo";

impl Kernel {
    /// Makes the fence match the claims, if it does not yet.
    pub(super) fn sync_fence(&mut self) -> Result<(), KernelError> {
        let groups = self.groups.values();
        let claims = groups.flat_map(|group| &group.claims.addresses);
        self.elsewhere.link_local.note(claims, &self.interfaces);
        let plan = self.wanted_plan();
        if self.fence.matches(&plan) {
            return Ok(());
        }
        self.apply_plan(plan)?;
        self.raise_devices();
        Ok(())
    }

    fn apply_plan(&mut self, plan: Plan) -> Result<(), KernelError> {
        let has_others = !plan.elsewhere.is_empty();
        let result = self.apply_whole(plan);
        if result.is_ok() || !has_others {
            return result;
        }
        let links = self.requests.links().unwrap_or_default();
        let others = &mut self.elsewhere.devices;
        others.retain_present(&self.interfaces, &links);
        let result = self.apply_whole(self.wanted_plan());
        if result.is_ok() {
            return result;
        }
        // The fence of the claimed devices is more important.
        self.elsewhere.devices.give_up();
        self.apply_whole(self.wanted_plan())
    }

    fn apply_whole(&mut self, plan: Plan) -> Result<(), KernelError> {
        let open = self.groups.values().flat_map(|group| self.open_keys(group));
        let open = open.collect();
        match self.fence.apply(plan, &open) {
            Ok(missing) => {
                if let Some(after) = missing {
                    self.events.push(KernelEvent::FenceRestored(after));
                }
                Ok(())
            }
            Err(error) => {
                let is_missing = self.fence.is_missing();
                self.retries.retry_fence(Instant::now(), is_missing);
                Err(error.into())
            }
        }
    }

    /// Restores the fence, if there was one.
    pub(super) fn refence(&mut self) -> Result<(), KernelError> {
        if !self.fence.is_planned() {
            return Ok(());
        }
        // Devices may have disappeared in the same burst of events.
        let plan = self.wanted_plan();
        self.apply_plan(plan)
    }

    /// Changes fence leases. If the table is gone, restores it and tries again.
    pub(super) fn change_leases(
        &mut self,
        change: impl Fn(&mut Fence) -> Result<(), FenceError>,
    ) -> Result<(), KernelError> {
        let Err(error) = self.fence.change(&change) else {
            return Ok(());
        };
        if !error.is_missing() {
            return Err(error.into());
        }
        self.refence()?;
        Ok(self.fence.change(&change)?)
    }

    pub(super) fn wanted_plan(&self) -> Plan {
        let mut plan = Plan::default();
        for group in self.groups.values() {
            plan.routers.extend(group.fence_routers(&self.interfaces));
            plan.addresses
                .extend(group.fence_addresses(&self.interfaces));
        }
        let elsewhere = &self.elsewhere;
        let copies_left = elsewhere.copies_left().iter().cloned();
        plan.addresses.extend(copies_left);
        let guards = elsewhere.link_local_guards(&plan.addresses, &self.interfaces);
        plan.addresses.extend(guards);
        guard_once(&mut plan.addresses);
        let claimed = self.groups.values().flat_map(Group::interfaces);
        let mut indices: BTreeSet<u32> = claimed
            .filter_map(|name| Some(self.interfaces.link(name)?.index))
            .collect();
        let vmacs = plan
            .routers
            .iter()
            .filter_map(|router| Some(router.virtual_mac?.1));
        indices.extend(vmacs);
        indices.extend(self.holders(&plan.addresses));
        let device = |link: &Link| Device {
            name: link.name.clone(),
            index: link.index,
        };
        let (guarded, others): (Vec<&Link>, Vec<&Link>) = self
            .interfaces
            .links()
            .filter(|link| link.name != LOOPBACK)
            .partition(|link| indices.contains(&link.index));
        plan.devices = guarded.into_iter().map(device).collect();
        if !plan.addresses.is_empty() {
            let all = self.interfaces.links();
            let is_seen =
                |it: &&Link| indices.contains(&it.index) || elsewhere.devices.has_seen(it);
            plan.known = all.filter(is_seen).map(device).collect();
            let others = others.into_iter();
            let others = others.filter(|link| elsewhere.devices.guards(link));
            plan.elsewhere = others.map(device).collect();
        }
        plan
    }

    /// Guards all present devices that may answer, as well as the claimed ones.
    pub(super) fn guard_elsewhere(&mut self) -> Result<(), KernelError> {
        self.elsewhere.devices.take(&self.interfaces);
        self.sync_fence()
    }

    /// Creates the claimed virtual-MAC devices, and deletes the others.
    pub(super) fn sync_devices(&mut self) -> Result<(), KernelError> {
        let wanted: BTreeSet<RouterId> = self.groups.values().flat_map(Group::vmacs).collect();
        let known: BTreeSet<u32> = wanted
            .iter()
            .filter_map(|key| Some(key.find(&self.interfaces)?.index))
            .collect();
        let stale: Vec<u32> = self
            .interfaces
            .links()
            .filter(|link| vmac::is_ours(link) && !known.contains(&link.index))
            .map(|link| link.index)
            .collect();
        let mut result = Ok(());
        for index in stale {
            // The device may be gone already, with its parent.
            let _ = self.requests.run_one(Message::delete_link(index));
            self.forget_link(index);
        }
        if wanted.iter().any(|key| self.lacks(key)) {
            self.read_links();
        }
        let now = Instant::now();
        self.recent_creations.retain(&wanted, &self.interfaces);
        for key in &wanted {
            if !self.lacks(key) {
                continue;
            }
            if self.recent_creations.is_contested(key, now) {
                self.retries.retry(now);
                let text = self.device_fault(key, now);
                self.events.warn_once(text);
                continue;
            }
            // ARP requests of the parent have only its own addresses as their source.
            let parent = self.interfaces.link(&key.interface).map(|link| link.index);
            if let Some(index) = parent {
                let on = On {
                    name: &key.interface,
                    index,
                };
                let requests = &mut self.requests;
                let _ = self.saved_settings.set(requests, on, "arp_announce", "2");
            }
            let name = self.device_name(key);
            match vmac::create(&mut self.requests, &self.interfaces, key, &name) {
                Ok((link, unset)) => {
                    if !unset.is_empty() {
                        self.events.warn_once(unset_text(&name, &unset));
                    }
                    let parent = self.interfaces.link(&key.interface);
                    let parent = parent.map(|link| link.index).unwrap_or_default();
                    self.recent_creations.note(key, parent, now);
                    self.interfaces.apply(Event::Link(link));
                }
                Err(error) => result = Err(error),
            }
        }
        result
    }

    /// Returns the name of a virtual-MAC device: the configured name, or one made of VRID and interface.
    pub(super) fn device_name(&self, key: &RouterId) -> String {
        let claims = self.groups.values().flat_map(|it| &it.claims.routers);
        let mut named = claims.filter(|claim| !claim.vmac_name.is_empty());
        let claim = named.find(|claim| router_id(claim) == *key);
        claim.map_or_else(|| key.name(), |claim| claim.vmac_name.clone())
    }

    /// Deletes the virtual-MAC devices whose configured name has changed.
    pub(super) fn drop_renamed(&mut self, old: &Claims, new: &Claims) {
        let name = |claims: &Claims, id: &RouterId| {
            let mut routers = claims.routers.iter();
            let router = routers.find(|router| router_id(router) == *id);
            router.map(|router| router.vmac_name.clone())
        };
        let routers = new.routers.iter().map(router_id);
        let renamed =
            routers.filter(|id| name(old, id).is_some_and(|it| Some(it) != name(new, id)));
        let indices: Vec<u32> = renamed
            .filter_map(|id| Some(id.find(&self.interfaces)?.index))
            .collect();
        for index in indices {
            let _ = self.requests.run_one(Message::delete_link(index));
            self.forget_link(index);
        }
    }

    /// Returns why a virtual-MAC device is missing; empty if the reason is unknown.
    pub(super) fn device_fault(&self, key: &RouterId, now: Instant) -> String {
        let name = self.device_name(key);
        if !self.lacks(key) {
            return String::new();
        }
        if self.interfaces.link(&name).is_some() {
            return format!(
                "another device already has the name of its virtual-MAC device, {name}"
            );
        }
        if self.recent_creations.is_contested(key, now) {
            format!("another program keeps deleting its virtual-MAC device {name}")
        } else {
            String::new()
        }
    }

    // True if the parent exists and the device does not.
    fn lacks(&self, key: &RouterId) -> bool {
        self.interfaces.link(&key.interface).is_some() && key.find(&self.interfaces).is_none()
    }

    // Reads our devices. The notification of a new device lacks the alias that marks it as ours, and while the device
    // is down the kernel sends none about the alias.
    fn read_links(&mut self) {
        // Other links are not applied here: their changes must be noticed when their notifications arrive.
        let links = self.requests.links().unwrap_or_default().into_iter();
        for link in links.filter(vmac::is_ours) {
            self.interfaces.apply(Event::Link(link));
        }
    }

    // Sets virtual-MAC devices up: behind the fence, or without one only while their group is installed.
    pub(super) fn raise_devices(&mut self) {
        let groups = self.groups.values();
        let shown = groups.filter(|group| self.fence.is_on() || group.installed);
        let keys: Vec<RouterId> = shown.flat_map(Group::vmacs).collect();
        for key in keys {
            let Some(link) = key.find(&self.interfaces).filter(|link| !link.up) else {
                continue;
            };
            let (index, mut raised) = (link.index, link.clone());
            // If the parent is down, the device comes up with it.
            if self.requests.run_one(Message::set_up(index, true)).is_ok() {
                raised.up = true;
                self.interfaces.apply(Event::Link(raised));
            }
        }
    }

    pub(super) fn forget_link(&mut self, index: u32) {
        let link = self
            .interfaces
            .links()
            .find(|link| link.index == index)
            .cloned();
        if let Some(link) = link {
            self.interfaces.apply(Event::LinkGone(link));
        }
    }
}

fn unset_text(device: &str, settings: &[&str]) -> String {
    format!(
        "{device}: /proc/sys is read-only, so its IPv6 settings {} cannot be set: while this node is backup, the \
         fence alone keeps the device silent",
        settings.join(", ")
    )
}

// Removes duplicates. A device that now belongs to one claim may have belonged to another before: the present claim
// counts.
fn guard_once(addresses: &mut Vec<Guarded>) {
    addresses.sort_by_key(|it| it.key == LeaseKey::NEVER);
    let mut known: BTreeSet<(IpAddr, u32)> = BTreeSet::new();
    addresses.retain(|it| known.insert(address_key(it.address, it.index)));
}
