//! Removes what an earlier run left. It is recognised only by address protocol, route protocol,
//! device alias and table name.

use spared_fence::Fence;
use spared_netlink::Message;
use spared_netlink::constants::ROUTE_PROTOCOL;

use super::{Kernel, KernelError, routes, vmac};

impl Kernel {
    /// Removes what is left and returns what it was. To be called before anything is claimed.
    pub fn remove_leftovers(&mut self) -> Result<Vec<String>, KernelError> {
        self.resync()?;
        let mut removed = self.remove_leftover_routes()?;
        removed.extend(self.remove_leftover_addresses()?);
        removed.extend(self.remove_leftover_devices()?);
        let fence = match &mut self.fence {
            Some(fence) => fence.remove()?,
            None => remove_old_fence()?,
        };
        if fence {
            removed.push("table netdev spared".to_owned());
        }
        self.plan = None;
        self.resync()?;
        Ok(removed)
    }

    fn remove_leftover_routes(&mut self) -> Result<Vec<String>, KernelError> {
        let left = self
            .requests
            .routes(Some(ROUTE_PROTOCOL), None)
            .map_err(|error| KernelError::new("routes", "read what an earlier run left", error))?;
        match routes::delete(&mut self.requests, &left).into_iter().next() {
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

// Removes the fence of an earlier run that was killed before the fence was switched off: it would
// block for ever. If nftables cannot be read, there is none.
fn remove_old_fence() -> Result<bool, KernelError> {
    match Fence::open_sockets() {
        Ok(mut fence) if fence.is_there() => Ok(fence.remove()?),
        _ => Ok(false),
    }
}
