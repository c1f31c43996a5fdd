//! Moves virtual addresses behind the node's own addresses after those were changed.
//!
//! The kernel uses the first IPv4 address of a network as the source of the node's own packets to it. A virtual address
//! is set behind the node's own address. When the own address is deleted, the virtual one becomes the first, and a new
//! own address comes behind it. Then the virtual address is deleted and set again in one message, so that nothing
//! passes between the two. IPv6 needs no such move, as virtual addresses are deprecated there.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use spared_netlink::{Address, Message};

use super::group_claims::{Desired, Group};
use super::{Kernel, KernelError};
use crate::misplaced_addresses::is_gone;

impl Kernel {
    /// Moves virtual addresses behind the node's own addresses, at most once a second.
    pub(super) fn reorder_behind_own_addresses(&mut self, now: Instant) {
        let installed = self.groups.values().filter(|group| group.installed);
        let first: Vec<Desired> = installed.flat_map(|it| self.first_of(it)).collect();
        if first.is_empty() {
            return;
        }
        if !self.retries.may_reorder(now) {
            return;
        }
        for address in first {
            let device = self.interfaces.name_of(address.index).unwrap_or_default();
            let device = device.to_owned();
            // Without promote_secondaries the own addresses of that network would be deleted with the virtual one.
            if !promotes(&device) {
                continue;
            }
            if let Err(error) = self.set_again(&address) {
                let what = format!(
                    "move {} behind the interface's own address",
                    address.address
                );
                self.warn([KernelError::new(&device, what, error)]);
                self.retries.retry(now);
            }
        }
    }

    // Returns the addresses of a group that come before an address of the node's own, but should not.
    fn first_of(&self, group: &Group) -> Vec<Desired> {
        let mut desired = group.desired(&self.interfaces);
        let indices: BTreeSet<u32> = desired.iter().map(|it| it.index).collect();
        let there = indices.iter().flat_map(|it| self.interfaces.addresses(*it));
        let behind = there.filter(|it| !it.is_ours() && it.is_secondary());
        let behind: Vec<&Address> = behind.collect();
        desired.retain(|wanted| {
            let claim = group.claims.addresses.get(wanted.claim);
            claim.is_some_and(|claim| !claim.source) && self.is_before(wanted, &behind)
        });
        desired
    }

    fn is_before(&self, wanted: &Desired, behind: &[&Address]) -> bool {
        let known = self
            .interfaces
            .address(wanted.index, wanted.address, wanted.prefix);
        known.is_some_and(|it| {
            let mut behind = behind.iter();
            let is_first = it.is_ours() && !it.is_secondary();
            is_first && behind.any(|own| own.index == it.index && is_same_network(own, it))
        })
    }

    fn set_again(&mut self, it: &Desired) -> std::io::Result<()> {
        let delete = Message::delete_address(it.index, it.address, it.prefix)?;
        let add = it.added()?;
        let verdicts = self.requests.run(&[delete, add])?;
        self.interfaces
            .forget_address(it.index, it.address, it.prefix);
        for verdict in verdicts {
            verdict.or_else(|error| if is_gone(&error) { Ok(()) } else { Err(error) })?;
        }
        self.note(it);
        Ok(())
    }
}

fn is_same_network(one: &Address, other: &Address) -> bool {
    match (one.address, other.address) {
        (IpAddr::V4(first), IpAddr::V4(second)) => {
            let mask = |address: Ipv4Addr| {
                let host = 32 - u32::from(one.prefix.min(32));
                u64::from(address.to_bits()) >> host
            };
            one.prefix == other.prefix && mask(first) == mask(second)
        }
        _ => false,
    }
}

// True if promote_secondaries is set, for all interfaces or for this one.
fn promotes(device: &str) -> bool {
    ["all", device].iter().any(|name| {
        let path = format!("/proc/sys/net/ipv4/conf/{name}/promote_secondaries");
        std::fs::read_to_string(path).is_ok_and(|value| value.trim() == "1")
    })
}
