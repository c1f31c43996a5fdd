//! Source addresses of adverts. An address that is gone is waited for: a manager of networks takes an address away and
//! sets it again within milliseconds, when it reloads or renews a DHCP lease. Meanwhile adverts and heartbeats go on
//! from it, so that no fence lease ends and the other nodes hear no silence. Only adverts to unicast peers wait, and
//! their lease may end.

use std::net::IpAddr;

use super::group::Group;
use super::interface::Interface;
use super::router::VirtualRouter;

impl VirtualRouter {
    /// Source address of the router's adverts now; None: it cannot send. `patience_ns` is the failover time.
    pub(super) fn find_source(
        &mut self,
        now_ns: u64,
        interface: &Interface,
        patience_ns: u64,
    ) -> Option<IpAddr> {
        let found = interface.source(self.config.family, self.config.advert_source);
        let is_there = interface.fault().is_none();
        if !is_there || found.is_some() {
            self.source_until_ns = None;
            return found.filter(|_| is_there);
        }
        // the fence drops what is sent from a virtual address
        let was = self.source.filter(|it| !interface.virtuals.contains(*it))?;
        let until_ns = *self
            .source_until_ns
            .get_or_insert(now_ns.saturating_add(patience_ns));
        Some(was).filter(|_| now_ns < until_ns)
    }

    /// True if adverts to unicast peers wait for the address. There may be no route to the peers without it, and they
    /// would take over while the lease lasts: so no frame to this node itself may renew it.
    pub(super) fn is_cut_off(&self) -> bool {
        self.config.unicast && self.source_until_ns.is_some()
    }
}

impl Group {
    /// True if an address has been gone for too long.
    pub(super) fn is_source_lost(&self, now_ns: u64) -> bool {
        self.source_timeout().is_some_and(|at_ns| now_ns >= at_ns)
    }

    /// Time until which the group waits for addresses that are gone.
    pub(super) fn source_timeout(&self) -> Option<u64> {
        let waits =
            |router: &VirtualRouter| router.source_until_ns.filter(|_| router.source.is_some());
        self.routers().filter_map(waits).min()
    }
}
