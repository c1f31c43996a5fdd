//! Findings of `sparectl init` on this machine, as a value: the proposal is a function of it.

use std::net::IpAddr;

use spared_config_reader::IpNet;
use spared_key::PublicKey;
use spared_pairing::Texts;

/// This machine before it is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Findings {
    pub node: String,
    pub key: PublicKey,
    pub interfaces: Vec<Interface>,
    /// Gateways of the default routes, each with its interface.
    pub gateways: Vec<(String, IpAddr)>,
    pub programs: Vec<Program>,
    /// Files of the configuration that are there.
    pub texts: Texts,
}

/// An interface of Ethernet, without those of a bridge or a bond.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    pub name: String,
    pub has_carrier: bool,
    /// Addresses that others can reach, without link-local ones and spared's own.
    pub addresses: Vec<IpNet>,
    /// True if an address has a limited life: a DHCP client or a router's advertisement has set it.
    pub is_dynamic: bool,
}

/// A program that runs here and that spared works with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    pub kind: Kind,
    /// Unit of systemd that started it.
    pub unit: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// DHCP server, by its kind in `dhcp.toml`.
    Dhcp(&'static str),
    Strongswan,
    Keepalived,
    /// Manager of addresses, by its name.
    Manager(&'static str),
}

impl Kind {
    /// The program with this name of a process.
    pub fn of(process: &str) -> Option<Self> {
        Some(match process {
            "kea-dhcp4" => Self::Dhcp("kea4"),
            "kea-dhcp6" => Self::Dhcp("kea6"),
            "dnsmasq" => Self::Dhcp("dnsmasq"),
            "dhcpd" => Self::Dhcp("dhcpd"),
            "charon" | "charon-systemd" => Self::Strongswan,
            "keepalived" => Self::Keepalived,
            "systemd-network" => Self::Manager("systemd-networkd"),
            "NetworkManager" => Self::Manager("NetworkManager"),
            _ => return None,
        })
    }
}

impl Findings {
    pub fn interface(&self, name: &str) -> Option<&Interface> {
        self.interfaces.iter().find(|it| it.name == name)
    }

    /// Returns true if the interface has no IPv4 address of the node's own. The kernel removes the IPv4 routes of an
    /// interface with its last address.
    pub fn is_bare(&self, name: &str) -> bool {
        let interface = self.interface(name);
        interface.is_some_and(|it| it.addresses.iter().all(|it| it.addr().is_ipv6()))
    }

    /// Interfaces that may be the link: connected, without an address, and not the way to the internet.
    pub fn possible_links(&self) -> Vec<&str> {
        let is_uplink = |name: &str| self.gateways.iter().any(|(it, _)| it == name);
        let fits =
            |it: &&Interface| it.has_carrier && it.addresses.is_empty() && !is_uplink(&it.name);
        let names = self.interfaces.iter().filter(fits);
        names.map(|it| it.name.as_str()).collect()
    }

    /// Lines for a person: all that was found.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("this node is {}", self.node)];
        for interface in &self.interfaces {
            let addresses: Vec<String> = interface.addresses.iter().map(IpNet::to_string).collect();
            let mut line = match addresses.as_slice() {
                [] => format!("{}: no address", interface.name),
                addresses => format!("{}: {}", interface.name, addresses.join(", ")),
            };
            let gateways = self.gateways.iter().filter(|(it, _)| *it == interface.name);
            for (_, gateway) in gateways {
                line += &format!(", default route by {gateway}");
            }
            line += if interface.is_dynamic {
                ", address by DHCP"
            } else {
                ""
            };
            line += if interface.has_carrier {
                ""
            } else {
                ", no carrier"
            };
            lines.push(line);
        }
        if self.gateways.is_empty() {
            lines.push("no default route".to_owned());
        }
        lines.extend(self.programs.iter().map(Program::line));
        lines
    }
}

impl Program {
    fn line(&self) -> String {
        match self.kind {
            Kind::Dhcp(kind) => format!("DHCP server ({kind}): its leases are replicated"),
            Kind::Strongswan => "strongSwan: its tunnels are replicated".to_owned(),
            Kind::Keepalived => "keepalived runs: end it before `sparectl arm`, or, if it stays for LVS or static routes, \
                                 leave no vrrp_instance in its file: docs/migrating-from-keepalived.md"
                .to_owned(),
            Kind::Manager(name) => {
                format!("{name} manages interfaces: `sparectl check` says what it must leave alone")
            }
        }
    }
}
