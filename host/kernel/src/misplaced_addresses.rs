//! Deletes addresses of spared's that are on a device where they do not belong, by the device's index and before
//! anything else is done.
//!
//! The kernel stores who set an address, so that ours are found on every device. An interface that was renamed, or
//! became a port of a bridge, keeps no address, whatever its name is now.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Instant;

use spared_netlink::{Address, Message};

use super::fence::Guarded;
use super::group_claims::Group;
use super::{Kernel, KernelError};

impl Kernel {
    /// Deletes, in one batch, all addresses of ours that are on a device where they do not belong.
    pub(super) fn remove_misplaced(&mut self) {
        // `remove_leftovers` has removed the addresses of an earlier run before anything is claimed.
        let ours = self.interfaces.all_addresses().filter(|it| it.is_ours());
        let ours: Vec<Address> = ours.copied().collect();
        if ours.is_empty() || !self.is_in_charge {
            return;
        }
        let set = |group: &&Group| group.installed || group.prepared;
        let groups = self.groups.values().filter(set);
        let placed = groups.flat_map(|group| group.placed(&self.interfaces));
        let placed: BTreeSet<(u32, IpAddr, u8)> =
            placed.map(|it| (it.index, it.address, it.prefix)).collect();
        let linked = self.links.places(&self.interfaces);
        let is_misplaced = |it: &Address| {
            !placed.contains(&(it.index, it.address, it.prefix))
                && !linked.contains(&(it.index, it.address))
        };
        let misplaced: Vec<Address> = ours.into_iter().filter(is_misplaced).collect();
        if !misplaced.is_empty() {
            self.delete_misplaced(&misplaced);
        }
    }

    fn delete_misplaced(&mut self, misplaced: &[Address]) {
        let requests: Result<Vec<Message>, _> = misplaced
            .iter()
            .map(|it| Message::delete_address(it.index, it.address, it.prefix))
            .collect();
        let verdicts = match requests.and_then(|requests| self.requests.run(&requests)) {
            Ok(verdicts) => verdicts,
            Err(error) => {
                self.retries.retry(Instant::now());
                return self.warn([KernelError::new("kernel", "delete addresses", error)]);
            }
        };
        for (misplaced, verdict) in misplaced.iter().zip(verdicts) {
            let Address {
                index,
                address,
                prefix,
                ..
            } = *misplaced;
            let device = self.interfaces.name_of(index).unwrap_or("a device");
            let device = device.to_owned();
            match verdict {
                Err(error) if !is_gone(&error) => {
                    self.retries.retry(Instant::now());
                    let what = format!("delete {address}/{prefix}");
                    self.warn([KernelError::new(&device, what, error)]);
                    continue;
                }
                Ok(()) => {
                    let text = format!(
                        "{device}: {address}/{prefix} was deleted, as it does not belong there now"
                    );
                    self.events.tell(text);
                }
                Err(_) => {}
            }
            self.interfaces.forget_address(index, address, prefix);
        }
    }

    /// Returns the devices that have a guarded address, whoever set it.
    pub(super) fn holders(&self, guarded: &[Guarded]) -> BTreeSet<u32> {
        let guarded: BTreeSet<(IpAddr, u32)> = guarded
            .iter()
            .map(|it| address_key(it.address, it.index))
            .collect();
        let all = self.interfaces.all_addresses();
        all.filter(|it| guarded.contains(&address_key(it.address, it.index)))
            .map(|it| it.index)
            .collect()
    }
}

/// Key by which an address is unique: a link-local address differs on every device.
pub fn address_key(address: IpAddr, index: u32) -> (IpAddr, u32) {
    if super::fence::is_link_local(address) {
        (address, index)
    } else {
        (address, 0)
    }
}

/// Returns true if a refused deletion means that the address or its device is gone.
pub fn is_gone(error: &std::io::Error) -> bool {
    let gone = [libc::EADDRNOTAVAIL, libc::ENODEV];
    error.raw_os_error().is_some_and(|it| gone.contains(&it))
}
