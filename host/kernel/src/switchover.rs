//! Performs the kernel's part of a switchover: addresses are prepared on the node that takes the role, and packets are
//! carried on the node that gives up the role.
//!
//! While addresses are prepared, they are local: packets that the node itself sends to them stay here and do not reach
//! the active node. This lasts until the other node gives up the role, usually a few milliseconds.

use std::collections::BTreeSet;

use super::fence::LeaseKey;

use super::group_claims::{Desired, Group};
use super::{Kernel, KernelError, routes};

impl Kernel {
    /// Installs the addresses of these groups in one batch behind the blocking fence, without announcing them. Has no
    /// effect if they are installed. Routes are not installed: the node must not send packets from an address that it
    /// does not answer for. For the same reason an address waits for [`Kernel::install_all`] if it would add a route to
    /// a network in which this node has no address. Without a fence all addresses wait.
    pub fn prepare_all(&mut self, names: &[&str]) -> Vec<Result<(), KernelError>> {
        let mut set = BTreeSet::new();
        let begun = names.iter().map(|name| self.begin_prepare(name, &mut set));
        let begun: Vec<_> = begun.collect();
        let waiting = names.iter().zip(&begun).map(|(name, begun)| {
            let waiting = matches!(begun, Ok(Some(_))).then(|| self.waiting_addresses(name));
            (*name, waiting.unwrap_or_default())
        });
        let added = self.add_addresses_of(waiting.collect());
        let mut results = Vec::new();
        for ((name, begun), (_, refused)) in names.iter().zip(begun).zip(added) {
            let failure = match begun {
                Ok(Some(failures)) => failures.into_iter().chain(refused).next(),
                Ok(None) => None,
                Err(unknown) => {
                    results.push(Err(unknown));
                    continue;
                }
            };
            results.push(match failure {
                None => Ok(()),
                Some(failure) => {
                    let left = self.unprepare(name);
                    self.warn(left);
                    Err(failure)
                }
            });
        }
        results
    }

    // Prepares the devices of a group and returns the failures; None if there is nothing to prepare.
    fn begin_prepare(
        &mut self,
        name: &str,
        set: &mut BTreeSet<String>,
    ) -> Result<Option<Vec<KernelError>>, KernelError> {
        let group = self.known(name)?;
        if group.installed || group.prepared || !self.fence.is_on() {
            return Ok(None);
        }
        let failures = self.prepare_devices(name, set);
        if let Some(group) = self.groups.get_mut(name) {
            group.prepared = true;
        }
        Ok(Some(failures))
    }

    /// Removes what [`Kernel::prepare_all`] installed; has no effect once the group is installed.
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

    // Returns the addresses that may be prepared: those in a network that the node is in, and those that add no
    // network.
    fn waiting_addresses(&self, name: &str) -> Vec<Desired> {
        let Some(group) = self.groups.get(name) else {
            return Vec::new();
        };
        let mut waiting = group.desired(&self.interfaces);
        waiting.retain(|wanted| {
            let claim = group.claims.addresses.get(wanted.claim);
            !wanted.prefix_route
                || super::fence::is_link_local(wanted.address)
                || claim.is_some_and(|c| routes::reaches(&self.interfaces, wanted.index, c))
        });
        waiting
    }

    /// Revokes the leases of these groups, and carries their packets for a while, in one transaction. Without a fence
    /// their addresses are removed at once, and packets that still arrive are forwarded as usual.
    pub fn carry_leases(&mut self, names: &[&str]) -> Result<(), KernelError> {
        let keys = self.keys_of(names, |group| {
            group.open = false;
            group.carried = true;
            group.without_carrier.clear();
            group.schedule.stop();
            true
        });
        if !self.fence.is_on() {
            names.iter().for_each(|name| self.fall_silent(name));
            return Ok(());
        }
        if !self.fence.is_planned() || keys.is_empty() {
            return Ok(());
        }
        self.change_leases(|fence| fence.carry_leases(&keys))
    }

    /// Stops passing the packets of [`Kernel::carry_leases`], in one transaction.
    pub fn end_carries(&mut self, names: &[&str]) -> Result<(), KernelError> {
        let keys = self.keys_of(names, |group| std::mem::take(&mut group.carried));
        if keys.is_empty() {
            Ok(())
        } else {
            self.change_leases(|fence| fence.end_carry(&keys))
        }
    }

    // Applies `change` to each group, and returns the lease keys of the groups for which it returned true.
    fn keys_of(&mut self, names: &[&str], change: impl Fn(&mut Group) -> bool) -> Vec<LeaseKey> {
        let mut keys = Vec::new();
        for name in names {
            if self.groups.get_mut(*name).is_some_and(&change) {
                let group = self.groups.get(*name);
                keys.extend(group.into_iter().flat_map(|group| self.lease_keys(group)));
            }
        }
        keys
    }
}
