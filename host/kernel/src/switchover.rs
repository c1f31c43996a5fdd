//! Switchover in the kernel: addresses are prepared on the node that takes the role, and packets
//! are carried on the node that gives up the role.
//!
//! While addresses are prepared, they are local: packets that the node itself sends to them stay
//! here and do not reach the active node. That lasts until the other node gives up the role, mostly
//! a few milliseconds.

use spared_fence::LeaseKey;

use super::group::Desired;
use super::{Kernel, KernelError, routes};

impl Kernel {
    /// Installs the addresses of a group behind its blocking fence, without announcing them; no
    /// effect if they are installed. No routes: the node must not send packets from an address that
    /// is not answered. For the same reason an address that would add a route to a network in which
    /// this node has no address waits for [`Kernel::install`]; without a fence all addresses do.
    pub fn prepare(&mut self, name: &str) -> Result<(), KernelError> {
        let group = self.known(name)?;
        if group.installed || group.prepared || self.fence.is_none() {
            return Ok(());
        }
        let mut failures = self.prepare_devices(name);
        let waiting = self.waiting_addresses(name);
        if let Some(group) = self.groups.get_mut(name) {
            group.prepared = true;
        }
        failures.extend(self.add_addresses(name, waiting).1);
        match failures.into_iter().next() {
            None => Ok(()),
            Some(failure) => {
                let left = self.unprepare(name);
                self.warn(left);
                Err(failure)
            }
        }
    }

    /// Removes what [`Kernel::prepare`] installed; no effect once the group is installed.
    pub fn unprepare(&mut self, name: &str) -> Vec<KernelError> {
        let group = self.groups.get_mut(name);
        let Some(group) = group.filter(|group| group.prepared) else {
            return Vec::new();
        };
        group.prepared = false;
        let placed = group.placed(&self.interfaces);
        let failures = self.delete_addresses(name, &placed);
        self.close_devices(name);
        failures
    }

    // Addresses in a network that the node is in, or that add no network.
    fn waiting_addresses(&self, name: &str) -> Vec<Desired> {
        let Some(group) = self.groups.get(name) else {
            return Vec::new();
        };
        let mut waiting = group.desired(&self.interfaces);
        waiting.retain(|wanted| {
            let claim = group.claims.addresses.get(wanted.claim);
            !wanted.prefix_route
                || spared_fence::is_link_local(wanted.address)
                || claim.is_some_and(|c| routes::reaches(&self.interfaces, wanted.index, c))
        });
        waiting
    }

    /// Revokes the leases of a group, and carries its packets for a while. Without a fence its
    /// addresses are removed at once, and packets that still come are forwarded as by any router.
    pub fn carry_lease(&mut self, name: &str) -> Result<(), KernelError> {
        let group = self.known(name)?;
        let keys: Vec<LeaseKey> = self.lease_keys(group).into_iter().collect();
        let Some(group) = self.groups.get_mut(name) else {
            return Ok(());
        };
        group.open = false;
        group.carried = true;
        group.without_carrier.clear();
        group.schedule.stop();
        if self.fence.is_none() {
            self.fall_silent(name);
            return Ok(());
        }
        if self.plan.is_none() {
            return Ok(());
        }
        self.change_leases(|fence| fence.carry_leases(&keys))
    }

    /// Ends what [`Kernel::carry_lease`] still passes.
    pub fn end_carry(&mut self, name: &str) -> Result<(), KernelError> {
        let Some(group) = self.groups.get_mut(name).filter(|group| group.carried) else {
            return Ok(());
        };
        group.carried = false;
        let Some(group) = self.groups.get(name) else {
            return Ok(());
        };
        let keys: Vec<LeaseKey> = self.lease_keys(group).into_iter().collect();
        self.change_leases(|fence| fence.end_carry(&keys))
    }
}
