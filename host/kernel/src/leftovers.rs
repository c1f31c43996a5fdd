//! Removes the objects that an earlier run left in the kernel. They are recognised only by address protocol, route
//! protocol, device alias and table name.

use std::time::Instant;

use spared_netlink::Message;
use spared_netlink::constants::ROUTE_PROTOCOL;

use super::fence::{Guarded, LeaseKey};
use super::{Kernel, KernelError, routes, rules, vmac};

impl Kernel {
    /// Removes leftovers and returns a list of them. Must be called before anything is claimed.
    ///
    /// The fence of an earlier run stays until the first claims replace it. It blocks copies of virtual addresses that
    /// others set, which would answer meanwhile.
    pub fn remove_leftovers(&mut self) -> Result<Vec<String>, KernelError> {
        self.resync()?;
        // Devices may have been renamed since, and copies of addresses may be on them.
        let fence = self.fence.old().into_iter();
        let guarded = fence.flat_map(|fence| fence.link_local().unwrap_or_default());
        self.elsewhere.link_local.adopt(guarded);
        let mut removed = self.remove_leftover_rules()?;
        removed.extend(self.remove_leftover_routes()?);
        removed.extend(self.remove_leftover_addresses()?);
        removed.extend(self.remove_leftover_devices()?);
        if self.fence.handle_start()? {
            removed.push("table netdev spared".to_owned());
        }
        self.resync()?;
        Ok(removed)
    }

    /// Removes the fence of an earlier run at once, as nothing will be claimed.
    pub fn claim_nothing(&mut self) {
        if let Some(until) = self.fence.old_until() {
            self.end_old_fence(until);
        }
    }

    /// Removes the fence of an earlier run if nothing has been claimed in time.
    pub(super) fn end_old_fence(&mut self, now: Instant) {
        if let Err(error) = self.fence.end_old(now) {
            self.warn([error.into()]);
        }
    }

    /// Stores the copies of virtual addresses that others set, so that the fence stays for them. Logs how to end this.
    pub(super) fn leave_copies_blocked(&mut self) {
        if !self.fence.is_on() {
            return;
        }
        let groups = self.groups.values();
        let copies = groups.flat_map(|group| self.copies(group));
        let left = copies.map(|(_, copy)| {
            let device = self.interfaces.name_of(copy.index).unwrap_or_default();
            log::warn!(
                "{}/{} on {device} was not set by spared and is not removed: the fence stays and keeps it from answering. \
                 Delete it with `ip address del {0}/{1} dev {device}`, then the tables with `nft 'delete table netdev \
                 spared; delete table arp spared-unknown; delete table inet spared-unknown'`",
                copy.address,
                copy.prefix
            );
            Guarded {
                address: copy.address,
                index: copy.index,
                key: LeaseKey::NEVER,
                virtual_mac: None,
                accept: true,
            }
        });
        let left = left.collect();
        self.elsewhere.leave_copies(left);
    }

    fn remove_leftover_rules(&mut self) -> Result<Vec<String>, KernelError> {
        let all = match self.requests.rules() {
            Ok(all) => all,
            // a kernel without policy routing
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Vec::new(),
            Err(error) => {
                let what = "read what an earlier run left";
                return Err(KernelError::new("rules", what, error));
            }
        };
        let left: Vec<_> = all
            .into_iter()
            .filter(|rule| rule.protocol == ROUTE_PROTOCOL)
            .collect();
        let refused = rules::delete(&mut self.requests, &left);
        match refused.failures.into_iter().next() {
            Some(error) => Err(error),
            None => Ok(left
                .iter()
                .map(|rule| format!("rule {}", rules::described(rule)))
                .collect()),
        }
    }

    fn remove_leftover_routes(&mut self) -> Result<Vec<String>, KernelError> {
        let left = self
            .requests
            .routes(Some(ROUTE_PROTOCOL), None)
            .map_err(|error| KernelError::new("routes", "read what an earlier run left", error))?;
        let refused = routes::delete(&mut self.requests, &left);
        match refused.failures.into_iter().next() {
            Some(error) => Err(error),
            None => Ok(left
                .iter()
                .map(|r| format!("route {}/{}", r.destination, r.prefix))
                .collect()),
        }
    }

    fn remove_leftover_addresses(&mut self) -> Result<Vec<String>, KernelError> {
        let mut removed = Vec::new();
        let links: Vec<_> = self.interfaces.links().cloned().collect();
        for link in links {
            let left: Vec<_> = self
                .interfaces
                .addresses(link.index)
                .filter(|a| a.is_ours())
                .copied()
                .collect();
            for address in left {
                let text = format!("{}/{}", address.address, address.prefix);
                self.requests
                    .run_one(Message::delete_address(
                        link.index,
                        address.address,
                        address.prefix,
                    ))
                    .map_err(|error| {
                        KernelError::new(&link.name, format!("delete {text}"), error)
                    })?;
                removed.push(format!("address {text} on {}", link.name));
            }
        }
        Ok(removed)
    }

    fn remove_leftover_devices(&mut self) -> Result<Vec<String>, KernelError> {
        let left: Vec<_> = self
            .interfaces
            .links()
            .filter(|l| vmac::is_ours(l))
            .cloned()
            .collect();
        for link in &left {
            self.requests
                .run_one(Message::delete_link(link.index))
                .map_err(|error| KernelError::new(&link.name, "delete the device", error))?;
        }
        Ok(left
            .into_iter()
            .map(|link| format!("device {}", link.name))
            .collect())
    }
}
