// SPDX-License-Identifier: MIT OR Apache-2.0
//! Faults of cables.

use std::time::Duration;

use rustix::net::netdevice::name_to_index;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with,
};

use super::{Lab, Relay, Site, Wire, wiring};
use crate::{Result, sys};

impl Lab {
    /// Stops all frames at the router's port of the bridge: silence, with carrier on both ends.
    pub fn cut(&self, site: &Site, wire: Wire) -> Result<()> {
        self.forward(&[self.port_index(site, wire)?], false)
    }

    /// Ends [`Lab::cut`].
    pub fn join(&self, site: &Site, wire: Wire) -> Result<()> {
        self.forward(&[self.port_index(site, wire)?], true)
    }

    /// Cuts a router off silently on both networks.
    pub fn isolate(&self, site: &Site) -> Result<()> {
        self.forward(&self.ports(site, &Wire::BOTH)?, false)
    }

    pub fn reunite(&self, site: &Site) -> Result<()> {
        self.forward(&self.ports(site, &Wire::BOTH)?, true)
    }

    /// Cuts all cables of a router at once, including those of the links, as if the machine died.
    pub fn power_off(&self, site: &Site) -> Result<()> {
        self.forward(&self.ports(site, &Wire::ALL)?, false)
    }

    pub fn power_on(&self, site: &Site) -> Result<()> {
        self.forward(&self.ports(site, &Wire::ALL)?, true)
    }

    /// Lets the router's port of the bridge drop frames longer than `mtu`, plus 4 bytes for a VLAN tag, in both
    /// directions; the router's interface does not know that.
    pub fn narrow(&self, site: &Site, wire: Wire, mtu: u32) -> Result<()> {
        self.sw
            .ip(&format!("link set {} mtu {mtu}\n", site.port(wire)))
    }

    /// Removes the carrier of the router's interface.
    pub fn unplug(&self, site: &Site, wire: Wire) -> Result<()> {
        Ok(sys::set_up(&self.switch, &site.port(wire), false)?)
    }

    pub fn plug(&self, site: &Site, wire: Wire) -> Result<()> {
        Ok(sys::set_up(&self.switch, &site.port(wire), true)?)
    }

    /// Gives a router whose interface was deleted a new one with the same address.
    pub fn replug(&self, site: &Site, wire: Wire) -> Result<()> {
        self.sw.ip(&wiring::cable(
            &site.port(wire),
            wire,
            site.host(),
            &site.ns,
        ))?;
        site.ns.ip(&site.addressing(wire))
    }

    /// Replaces a link between the first two routers by a long cable, until [`Lab::shorten`].
    pub fn lengthen(&self, wire: Wire, delay: Duration) -> Result<Relay> {
        let [first, second, ..] = self.sites.as_slice() else {
            return Err("a cable has two ends".into());
        };
        for site in [first, second] {
            site.ns.ip(&format!("link del {}\n", wire.name()))?;
        }
        Relay::start([first, second], wire.name(), delay)
    }

    /// Restores the short cables of a link, after the long one was dropped.
    pub fn shorten(&self, wire: Wire) -> Result<()> {
        for site in self.sites.iter().take(2) {
            let cable = wiring::cable(&site.port(wire), wire, site.host(), &site.ns);
            self.sw.ip(&cable)?;
            // the router sets its address itself
            site.ns.ip(&format!("link set {} up\n", wire.name()))?;
        }
        Ok(())
    }

    /// Drops `from` percent of the frames from the router to the bridge, and `to` percent of those to it.
    pub fn lose(&self, site: &Site, wire: Wire, from: u8, to: u8) -> Result<()> {
        let port = site.port(wire);
        // Netdev chains see frames from the router (ingress of its port) and to it (egress).
        let chain = |hook: &str, percent: u8| {
            let rule = match percent {
                0 => String::new(),
                1..100 => format!("numgen random mod 100 < {percent} drop;"),
                _ => "drop;".to_owned(),
            };
            format!(
                "chain {hook} {{ type filter hook {hook} device \"{port}\" priority 0; {rule} }}\n"
            )
        };
        self.fix(site, wire)?;
        self.sw.nft(&format!(
            "table netdev {port} {{\n{}{}}}\n",
            chain("ingress", from),
            chain("egress", to)
        ))
    }

    /// Ends [`Lab::lose`].
    pub fn fix(&self, site: &Site, wire: Wire) -> Result<()> {
        let port = site.port(wire);
        self.sw.nft(&format!(
            "table netdev {port}\ndelete table netdev {port}\n"
        ))
    }

    /// Returns the index in sw of the port into which a router is plugged.
    pub fn port_index(&self, site: &Site, wire: Wire) -> Result<u32> {
        Ok(name_to_index(&self.switch, &site.port(wire))?)
    }

    pub(crate) fn named_port_index(&self, port: &str) -> Result<u32> {
        Ok(name_to_index(&self.switch, port)?)
    }

    /// Sets whether ports of the switch, by their names, forward frames.
    pub(crate) fn forward_named(&self, ports: &[String], forward: bool) -> Result<()> {
        let indices = ports.iter().map(|port| self.named_port_index(port));
        let ports: Vec<u32> = indices.collect::<Result<_>>()?;
        self.forward(&ports, forward)
    }

    fn ports(&self, site: &Site, wires: &[Wire]) -> Result<Vec<u32>> {
        wires
            .iter()
            .map(|wire| self.port_index(site, *wire))
            .collect()
    }

    // Removing a port from its bridge waits for RCU, 10 ms for the second one, which is too slow for advert
    // intervals of 10 ms. Its state changes at once, and for all ports in one message.
    fn forward(&self, ports: &[u32], forward: bool) -> Result<()> {
        let socket = self.sw.run(|| {
            let flags = SocketFlags::CLOEXEC;
            Ok(socket_with(
                AddressFamily::NETLINK,
                SocketType::RAW,
                flags,
                None,
            )?)
        })?;
        let request: Vec<u8> = ports
            .iter()
            .flat_map(|port| set_port(*port, forward))
            .collect();
        send(&socket, &request, SendFlags::empty())?;
        for _ in ports {
            let mut answer = [0; 1024];
            let (length, _) = recv(&socket, &mut answer[..], RecvFlags::empty())?;
            let code = answer[..length]
                .get(16..20)
                .and_then(|code| code.try_into().ok());
            match code.map(i32::from_ne_bytes) {
                Some(0) => {}
                code => return Err(format!("port state: netlink answered {code:?}").into()),
            }
        }
        Ok(())
    }
}

/// RTM_SETLINK of a bridge port's state: 3 forwarding, 0 disabled.
fn set_port(port: u32, forward: bool) -> Vec<u8> {
    const RTM_SETLINK: u16 = 19;
    const REQUEST_ACK: u16 = 5;
    const AF_BRIDGE: u8 = 7;
    const PROTINFO_NESTED: u16 = 12 | 0x8000;
    const BRPORT_STATE: u16 = 1;
    let state = if forward { 3 } else { 0 };
    [
        &44u32.to_ne_bytes()[..],
        &RTM_SETLINK.to_ne_bytes(),
        &REQUEST_ACK.to_ne_bytes(),
        &[0; 8],
        &[AF_BRIDGE, 0, 0, 0],
        &port.to_ne_bytes(),
        &[0; 8],
        &12u16.to_ne_bytes(),
        &PROTINFO_NESTED.to_ne_bytes(),
        &5u16.to_ne_bytes(),
        &BRPORT_STATE.to_ne_bytes(),
        &[state, 0, 0, 0],
    ]
    .concat()
}
