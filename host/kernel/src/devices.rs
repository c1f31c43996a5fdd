//! Keeps the fence and the virtual-MAC devices equal to claims and interfaces.

use std::collections::BTreeSet;
use std::time::Instant;

use spared_fence::{Device, Fence, FenceError, Plan};
use spared_netlink::{Event, Message};

use super::group::Group;
use super::vmac::{self, RouterId};
use super::{Kernel, KernelError, KernelEvent, RETRY};

impl Kernel {
    /// Makes the fence equal to the claims, if it is not.
    pub(super) fn sync_fence(&mut self) -> Result<(), KernelError> {
        let plan = self.wanted_plan();
        if self.plan.as_ref() == Some(&plan) || (self.plan.is_none() && plan == Plan::default()) {
            return Ok(());
        }
        self.apply_plan(plan)?;
        self.raise_devices();
        Ok(())
    }

    fn apply_plan(&mut self, plan: Plan) -> Result<(), KernelError> {
        let open = self.groups.values().flat_map(|group| self.open_keys(group));
        let open = open.collect();
        let Some(fence) = &mut self.fence else {
            return Ok(());
        };
        if let Err(error) = fence.apply(&plan, &open) {
            // The contents of the table are unknown now.
            self.plan = Some(Plan::default());
            let urgent = self.fence_missing_since.is_some();
            let wait = if urgent { RETRY / 50 } else { RETRY };
            self.retry_at = Some(Instant::now() + wait);
            return Err(error.into());
        }
        self.plan = Some(plan);
        if let Some(since) = self.fence_missing_since.take() {
            let after = since.elapsed();
            self.refenced += 1;
            self.fence_missing_for += after;
            self.events.push(KernelEvent::FenceRestored { after });
        }
        Ok(())
    }

    /// Restores the fence, if there was one.
    pub(super) fn refence(&mut self) -> Result<(), KernelError> {
        if self.plan.is_none() {
            return Ok(());
        }
        // Devices may have disappeared in the same burst of events.
        let plan = self.wanted_plan();
        self.apply_plan(plan)
    }

    /// Changes leases; if the table is gone, restores it first.
    pub(super) fn change_leases(
        &mut self,
        change: impl Fn(&mut Fence) -> Result<(), FenceError>,
    ) -> Result<(), KernelError> {
        let Some(fence) = &mut self.fence else {
            return Ok(());
        };
        let Err(error) = change(fence) else {
            return Ok(());
        };
        if !error.is_missing() {
            return Err(error.into());
        }
        self.refence()?;
        let again = self.fence.as_mut().map(change);
        Ok(again.unwrap_or(Ok(()))?)
    }

    pub(super) fn wanted_plan(&self) -> Plan {
        let mut plan = Plan::default();
        for group in self.groups.values() {
            plan.routers.extend(group.fence_routers(&self.interfaces));
            plan.addresses
                .extend(group.fence_addresses(&self.interfaces));
        }
        let claimed = self.groups.values().flat_map(Group::interfaces);
        let mut indices: BTreeSet<u32> = claimed
            .filter_map(|name| Some(self.interfaces.link(name)?.index))
            .collect();
        let vmacs = plan
            .routers
            .iter()
            .filter_map(|router| Some(router.virtual_mac?.1));
        indices.extend(vmacs);
        plan.devices = self
            .interfaces
            .links()
            .filter(|link| indices.contains(&link.index))
            .map(|link| Device {
                name: link.name.clone(),
                index: link.index,
            })
            .collect();
        plan
    }

    /// Creates the virtual-MAC devices that are claimed, and deletes the others.
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
            // It may be gone already, with its parent.
            let _ = self.requests.run_one(Message::delete_link(index));
            self.forget_link(index);
        }
        if wanted.iter().any(|key| self.lacks(key)) {
            self.read_links();
        }
        for key in &wanted {
            if !self.lacks(key) {
                continue;
            }
            // ARP requests of the parent have only its own addresses as their source.
            let _ = self
                .borrowed
                .set("ipv4", &key.interface, "arp_announce", "2");
            match vmac::create(&mut self.requests, &self.interfaces, key) {
                Ok(link) => {
                    self.interfaces.apply(Event::Link(link));
                }
                Err(error) => result = Err(error),
            }
        }
        result
    }

    // Whether its parent is there, and it is not known.
    fn lacks(&self, key: &RouterId) -> bool {
        self.interfaces.link(&key.interface).is_some() && key.find(&self.interfaces).is_none()
    }

    // The notification of a new device comes without the alias that marks it as ours, and while it is down the kernel
    // sends none for the alias.
    fn read_links(&mut self) {
        for link in self.requests.links().unwrap_or_default() {
            self.interfaces.apply(Event::Link(link));
        }
    }

    // Devices come up only behind the fence; without one, only while their group is installed.
    pub(super) fn raise_devices(&mut self) {
        let groups = self.groups.values();
        let shown = groups.filter(|group| self.fence.is_some() || group.installed);
        let keys: Vec<RouterId> = shown.flat_map(Group::vmacs).collect();
        for key in keys {
            let Some(link) = key.find(&self.interfaces).filter(|link| !link.up) else {
                continue;
            };
            let (index, mut raised) = (link.index, link.clone());
            // If its parent is down, it comes up with the parent.
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
