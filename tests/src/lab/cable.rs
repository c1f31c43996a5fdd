// SPDX-License-Identifier: MIT OR Apache-2.0
//! What can happen to a cable.

use rustix::net::netdevice::name_to_index;

use super::{Lab, Site, Wire};
use crate::{Result, sys};

impl Lab {
    /// Takes the router's port out of the bridge: silence, with carrier on both ends.
    pub fn cut(&self, site: &Site, wire: Wire) -> Result<()> {
        self.member(site, wire, false)
    }

    /// Puts it back.
    pub fn join(&self, site: &Site, wire: Wire) -> Result<()> {
        self.member(site, wire, true)
    }

    /// Cuts a router off silently on both wires.
    pub fn isolate(&self, site: &Site) -> Result<()> {
        Wire::BOTH
            .into_iter()
            .try_for_each(|wire| self.cut(site, wire))
    }

    pub fn reunite(&self, site: &Site) -> Result<()> {
        Wire::BOTH
            .into_iter()
            .try_for_each(|wire| self.join(site, wire))
    }

    /// Takes the carrier of the router's interface away.
    pub fn unplug(&self, site: &Site, wire: Wire) -> Result<()> {
        Ok(sys::set_up(&self.switch, &site.port(wire), false)?)
    }

    pub fn plug(&self, site: &Site, wire: Wire) -> Result<()> {
        Ok(sys::set_up(&self.switch, &site.port(wire), true)?)
    }

    /// Drops `percent` of the frames from the router to the bridge, and of those to the router.
    pub fn lose(&self, site: &Site, wire: Wire, from: u8, to: u8) -> Result<()> {
        let port = site.port(wire);
        // netdev chains see what the router sends (ingress of its port) and gets (egress).
        let chain = |hook: &str, percent: u8| {
            format!(
                "chain {hook} {{ type filter hook {hook} device \"{port}\" priority 0; \
                 numgen random mod 100 < {percent} drop; }}\n"
            )
        };
        self.mend(site, wire)?;
        self.sw.nft(&format!(
            "table netdev \"{port}\" {{\n{}{}}}\n",
            chain("ingress", from),
            chain("egress", to)
        ))
    }

    /// Ends what [`Lab::lose`] began.
    pub fn mend(&self, site: &Site, wire: Wire) -> Result<()> {
        let port = site.port(wire);
        self.sw.nft(&format!(
            "table netdev \"{port}\"\ndelete table netdev \"{port}\"\n"
        ))
    }

    /// The index in sw of the port where a router is plugged in.
    pub fn port_index(&self, site: &Site, wire: Wire) -> Result<u32> {
        Ok(name_to_index(&self.switch, &site.port(wire))?)
    }

    fn member(&self, site: &Site, wire: Wire, member: bool) -> Result<()> {
        let port = self.port_index(site, wire)?;
        Ok(sys::bridge_port(&self.switch, wire.name(), port, member)?)
    }
}
