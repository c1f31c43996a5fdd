// SPDX-License-Identifier: MIT OR Apache-2.0
//! Makes the cables of a lab and sets the addresses of its hosts and routers.

use std::time::Duration;

use super::{CLIENT, EYE, Lab, Namespace, Site, VIRTUAL, Wire};
use crate::clock::poll;
use crate::{Result, sys};

/// Time in which the kernel handles the carrier of a new cable, on a starved machine as well.
const CARRIER: Duration = Duration::from_secs(10);

impl Lab {
    /// Sets the kernel settings that every later interface inherits.
    pub(super) fn prepare(&self) -> Result<()> {
        self.sw.set(&[
            ("net/ipv6/conf/all/disable_ipv6", "1"),
            ("net/ipv6/conf/default/disable_ipv6", "1"),
        ])?;
        // With br_netfilter, the kernel would filter bridged frames.
        for family in ["ip", "ip6", "arp"] {
            let _ = self
                .sw
                .set(&[(&format!("net/bridge/bridge-nf-call-{family}tables"), "0")]);
        }
        for ns in [&self.lan, &self.wan, &self.eye] {
            ns.set(&[
                ("net/ipv4/conf/all/accept_redirects", "0"),
                ("net/ipv6/conf/all/accept_ra", "0"),
                ("net/ipv6/conf/default/accept_redirects", "0"),
            ])?;
        }
        for site in &self.sites {
            site.ns.set(&[
                ("net/ipv4/ip_forward", "1"),
                ("net/ipv6/conf/all/forwarding", "1"),
                ("net/ipv4/conf/all/send_redirects", "0"),
                ("net/ipv4/conf/default/send_redirects", "0"),
                // The routers' own link-local addresses are usable at once.
                ("net/ipv6/conf/all/accept_dad", "0"),
                ("net/ipv6/conf/default/accept_dad", "0"),
            ])?;
        }
        Ok(())
    }

    pub(super) fn lay_cables(&self) -> Result<()> {
        let mut lines = String::new();
        for wire in Wire::ALL {
            let name = wire.name();
            lines += &format!(
                "link add {name} type bridge mcast_snooping 0 stp_state 0 forward_delay 0\n\
                 link set {name} up\n"
            );
        }
        lines += &cable("lan-host", Wire::Lan, CLIENT, &self.lan);
        lines += &cable("wan-host", Wire::Wan, CLIENT, &self.wan);
        lines += &cable("eye", Wire::Lan, EYE, &self.eye);
        for site in &self.sites {
            for wire in Wire::BOTH {
                lines += &cable(&site.port(wire), wire, site.host(), &site.ns);
            }
        }
        for site in self.sites.chunks_exact(2).flatten() {
            for wire in Wire::LINKS {
                lines += &cable(&site.port(wire), wire, site.host(), &site.ns);
            }
        }
        self.sw.ip(&lines)
    }

    pub(super) fn address_hosts(&self) -> Result<()> {
        for (ns, wire, host) in [
            (&self.lan, Wire::Lan, CLIENT),
            (&self.wan, Wire::Wan, CLIENT),
            (&self.eye, Wire::Lan, EYE),
        ] {
            let (name, gateway, gateway6) = (wire.name(), wire.ipv4(VIRTUAL), wire.ipv6(VIRTUAL));
            ns.ip(&format!(
                "link set lo up\n{}route add default via {gateway}\n\
                 route add default via {gateway6} dev {name}\n",
                addressing(wire, host),
            ))?;
        }
        Ok(())
    }

    pub(super) fn address_routers(&self) -> Result<()> {
        for site in &self.sites {
            let [lan, wan] = Wire::BOTH.map(|wire| site.addressing(wire));
            site.ns.ip(&format!("link set lo up\n{lan}{wan}"))?;
        }
        for site in self.sites.chunks_exact(2).flatten() {
            site.ns.ip("link set hot up\nlink set warm up\n")?;
        }
        Ok(())
    }

    /// Waits for the carrier of each port of the switch: when the kernel handles it, which it does later, it lets the port
    /// forward, also if it was cut meanwhile.
    pub(super) fn wait_carrier(&self) -> Result<()> {
        let networks = self.sites.iter();
        let networks = networks.flat_map(|site| Wire::BOTH.map(|wire| site.port(wire)));
        let pairs = self.sites.chunks_exact(2).flatten();
        let links = pairs.flat_map(|site| Wire::LINKS.map(|wire| site.port(wire)));
        for port in networks.chain(links) {
            let is_running = || sys::is_running(&self.switch, &port).unwrap_or(false);
            if !poll(CARRIER, Duration::from_millis(1), is_running) {
                return Err(format!("{port} has no carrier").into());
            }
        }
        Ok(())
    }
}

impl Site {
    pub(super) fn addressing(&self, wire: Wire) -> String {
        addressing(wire, self.host())
    }

    /// Replaces the site's own addresses by those of another host.
    pub fn take_addresses_of(&self, host: u8) -> Result<()> {
        for wire in Wire::BOTH {
            let own = addressing(wire, host);
            self.ns.ip(&format!(
                "addr flush dev {} scope global\n{own}",
                wire.name()
            ))?;
        }
        Ok(())
    }
}

/// Returns lines for a cable from a port of the switch to the interface of a host, which is named after the wire.
pub(crate) fn cable(port: &str, wire: Wire, host: u8, ns: &Namespace) -> String {
    let [a, b, c, d, e, f] = wire.mac(host);
    let (name, path) = (wire.name(), ns.path());
    format!(
        "link add {port} type veth peer name {name} \
         address {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x} netns {path}\n\
         link set {port} master {name} up\n"
    )
}

fn addressing(wire: Wire, host: u8) -> String {
    let (name, ipv4, ipv6) = (wire.name(), wire.ipv4(host), wire.ipv6(host));
    format!(
        "link set {name} up\naddr add {ipv4}/24 dev {name}\naddr add {ipv6}/64 dev {name} nodad\n"
    )
}
