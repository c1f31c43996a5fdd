// SPDX-License-Identifier: MIT OR Apache-2.0
//! Changes a node as an administrator's commands do, and repairs it.
//!
//! The interface of a wire is identified by its hardware address, whatever its name and place.

use std::io::Write;
use std::net::IpAddr;
use std::process::Stdio;

use super::course::Virtual;
use super::step::{Act, Device, FORMS, Family, Order};
use crate::Result;
use crate::lab::{Lab, Namespace, Site, Wire};

/// Number that is added to a host's number for its second own address.
const OTHER: u8 = 100;

pub struct Node<'l> {
    lab: &'l Lab,
    site: &'l Site,
    /// Namespace into which interfaces are moved.
    attic: Namespace,
    /// Addresses on virtual MACs are on devices of their own.
    vmac: bool,
    /// An administrator has set a virtual address since the last repair.
    by_hand: bool,
}

impl<'l> Node<'l> {
    pub fn new(lab: &'l Lab, site: &'l Site, vmac: bool) -> Result<Self> {
        Ok(Self {
            lab,
            site,
            attic: Namespace::new("attic")?,
            vmac,
            by_hand: false,
        })
    }

    /// Makes a change by commands. The error is that of the command that was refused.
    pub fn act(&mut self, act: &Act, addresses: &[Virtual]) -> Result<()> {
        let ns = &self.site.ns;
        match act {
            Act::Rename { wire, live } => self.rename(*wire, *live),
            Act::Swap => {
                let [lan, wan] = [self.device(Wire::Lan)?, self.device(Wire::Wan)?];
                ns.ip(&format!(
                    "link set {lan} name t-swap\nlink set {wan} name {lan}\nlink set t-swap name {wan}\n"
                ))
            }
            Act::Down(wire) => ns.ip(&format!("link set {} down\n", self.device(*wire)?)),
            Act::Up(wire) => ns.ip(&format!("link set {} up\n", self.device(*wire)?)),
            Act::Delete(wire) => ns.ip(&format!("link del {}\n", self.device(*wire)?)),
            Act::Bridge { wire, moves } => self.bridge(*wire, *moves),
            Act::Macvlan(wire) => self.macvlan(*wire),
            Act::Away(wire) => {
                let (device, path) = (self.device(*wire)?, self.attic.path());
                ns.ip(&format!("link set {device} netns {path}\n"))
            }
            Act::Back(wire) => {
                let device = device_in(&self.attic, *wire, self.site)?.ok_or("it is not away")?;
                let (name, path) = (wire.name(), ns.path());
                self.attic
                    .ip(&format!("link set {device} netns {path} name {name}\n"))?;
                self.set_own(*wire)
            }
            Act::ByHand { address, on, form } => self.put(&addresses[*address], *on, *form),
            Act::Remove { address, on } => self.remove(&addresses[*address], *on),
            Act::Flush { wire, family } => {
                let family = match family {
                    Family::Both => "",
                    Family::Ipv4 => "-4",
                    Family::Ipv6 => "-6",
                };
                let device = self.device(*wire)?;
                ns.shell(&format!("ip {family} addr flush dev {device}"))
                    .map(drop)
            }
            Act::Renumber { wire, order } => self.renumber(*wire, *order),
            Act::PutRight => self.put_right(addresses),
            Act::Kill(_) | Act::Stop | Act::Start => Err("the daemon is not the node".into()),
        }
    }

    /// Returns the present name of a wire's interface.
    fn device(&self, wire: Wire) -> Result<String> {
        let found = device_in(&self.site.ns, wire, self.site)?;
        found.ok_or_else(|| format!("{} has no interface there", wire.name()).into())
    }

    /// Returns true if the interface of another network has this one's name: a node cannot detect that by itself.
    pub fn is_misnamed(&self, wire: Wire) -> bool {
        let other = match wire {
            Wire::Lan => Wire::Wan,
            _ => Wire::Lan,
        };
        self.device(other).is_ok_and(|device| device == wire.name())
    }

    fn rename(&self, wire: Wire, live: bool) -> Result<()> {
        let (device, name) = (self.device(wire)?, wire.name());
        let new = if device == name {
            format!("x-{name}")
        } else {
            name.to_owned()
        };
        let lines = if live {
            format!("link set {device} name {new}\n")
        } else {
            format!("link set {device} down\nlink set {device} name {new}\nlink set {new} up\n")
        };
        self.site.ns.ip(&lines)
    }

    /// Puts the interface into a bridge, or takes it out if it is there.
    fn bridge(&self, wire: Wire, moves: bool) -> Result<()> {
        let (device, bridge) = (self.device(wire)?, format!("t-br-{}", wire.name()));
        if self.has(&bridge)? {
            return self.site.ns.ip(&format!("link del {bridge}\n"));
        }
        let mut lines = format!(
            "link add {bridge} type bridge mcast_snooping 0 stp_state 0 forward_delay 0\n\
             link set {device} master {bridge}\nlink set {bridge} up\n"
        );
        if moves {
            let own = wire.ipv4(self.site.host());
            lines += &format!("addr del {own}/24 dev {device}\naddr add {own}/24 dev {bridge}\n");
        }
        self.site.ns.ip(&lines)
    }

    /// Adds a macvlan, or removes it if it exists.
    fn macvlan(&self, wire: Wire) -> Result<()> {
        let name = format!("t-mv-{}", wire.name());
        if self.has(&name)? {
            return self.site.ns.ip(&format!("link del {name}\n"));
        }
        let device = self.device(wire)?;
        self.site.ns.ip(&format!(
            "link add {name} link {device} type macvlan mode bridge\nlink set {name} up\n"
        ))
    }

    fn has(&self, device: &str) -> Result<bool> {
        let links = self.site.ns.shell("ip -o link show")?;
        Ok(links.lines().any(|line| name_of(line) == Some(device)))
    }

    fn name_on(&self, on: Device, wire: Wire) -> Result<String> {
        Ok(match on {
            Device::Of(wire) => self.device(wire)?,
            Device::Loopback => "lo".to_owned(),
            Device::Bridge => format!("t-br-{}", wire.name()),
            Device::Macvlan => format!("t-mv-{}", wire.name()),
        })
    }

    fn put(&mut self, of: &Virtual, on: Device, form: usize) -> Result<()> {
        let (verb, prefix, rest) = FORMS[form];
        let prefix = match (prefix, of.address.is_ipv6()) {
            (0, _) => of.prefix,
            (prefix, false) => prefix,
            (32, true) => 128,
            (_, true) => 80,
        };
        let dad = if of.address.is_ipv6() { "nodad" } else { "" };
        // the kernel sets the scope of IPv6 addresses by itself
        let rest = if of.address.is_ipv6() && rest.starts_with("scope") {
            ""
        } else {
            rest
        };
        let device = self.name_on(on, of.wire)?;
        let is_local = matches!(of.address, IpAddr::V6(it) if it.is_unicast_link_local());
        let network = match on {
            Device::Bridge | Device::Macvlan => self.device(of.wire)?,
            Device::Of(_) | Device::Loopback => device.clone(),
        };
        if is_local && network != of.wire.name() {
            return Err("a link-local address is another one there".into());
        }
        self.by_hand = true;
        self.site.ns.ip(&format!(
            "addr {verb} {}/{prefix} dev {device} {dad} {rest}\n",
            of.address
        ))
    }

    fn remove(&self, of: &Virtual, on: Device) -> Result<()> {
        let (device, address) = (self.name_on(on, of.wire)?, of.address);
        let held = held(&self.site.ns)?;
        let mut lines = held
            .iter()
            .filter(|held| held.device == device && held.address == address.to_string());
        let there = lines.next().ok_or("it is not there")?;
        self.site.ns.ip(&there.deletion())
    }

    fn renumber(&self, wire: Wire, order: Order) -> Result<()> {
        let device = self.device(wire)?;
        let (host, other) = (self.site.host(), self.site.host() + OTHER);
        let (old, new) = if self.site.ns.holds(&wire.ipv4(other).to_string()) {
            (other, host)
        } else {
            (host, other)
        };
        let add = own_lines("add", wire, new, &device);
        let delete = own_lines("del", wire, old, &device);
        self.site.ns.ip(&match order {
            Order::NewFirst => add + &delete,
            Order::OldFirst => delete + &add,
        })
    }

    /// Sets a wire's interface up, with its own addresses.
    fn set_own(&self, wire: Wire) -> Result<()> {
        let name = wire.name();
        let own = own_lines("replace", wire, self.site.host(), name);
        self.site.ns.ip(&format!("link set {name} up\n{own}"))
    }

    /// Restores interfaces and addresses to their state before the first step.
    pub fn put_right(&mut self, addresses: &[Virtual]) -> Result<()> {
        self.fetch_back()?;
        self.remove_devices()?;
        self.name_right()?;
        for wire in Wire::BOTH {
            match device_in(&self.site.ns, wire, self.site)? {
                Some(device) => self.site.ns.ip(&format!("link set {device} up\n"))?,
                None => self.lab.replug(self.site, wire)?,
            }
        }
        self.address_right(addresses)?;
        self.by_hand = false;
        Ok(())
    }

    fn fetch_back(&self) -> Result<()> {
        for wire in Wire::BOTH {
            if let Some(device) = device_in(&self.attic, wire, self.site)? {
                let path = self.site.ns.path();
                let lines = format!("link set {device} netns {path} name t-{}\n", wire.name());
                self.attic.ip(&lines)?;
            }
        }
        Ok(())
    }

    fn remove_devices(&self) -> Result<()> {
        for wire in Wire::BOTH {
            for name in [
                format!("t-br-{}", wire.name()),
                format!("t-mv-{}", wire.name()),
            ] {
                if self.has(&name)? {
                    self.site.ns.ip(&format!("link del {name}\n"))?;
                }
            }
        }
        Ok(())
    }

    fn name_right(&self) -> Result<()> {
        let (mut aside, mut back) = (String::new(), String::new());
        for wire in Wire::BOTH {
            let (name, device) = (wire.name(), device_in(&self.site.ns, wire, self.site)?);
            let Some(device) = device.filter(|device| device != name) else {
                continue;
            };
            let between = format!("t-{name}");
            if device != between {
                aside += &format!("link set {device} name {between}\n");
            }
            back += &format!("link set {between} name {name}\n");
        }
        self.site.ns.ip(&(aside + &back))
    }

    fn address_right(&self, addresses: &[Virtual]) -> Result<()> {
        let held = held(&self.site.ns)?;
        let mut lines = String::new();
        for wire in Wire::BOTH {
            let name = wire.name();
            lines += &own_lines("replace", wire, self.site.host(), name);
            let local = wire.link_local(self.site.host()).to_string();
            if !held
                .iter()
                .any(|it| it.device == name && it.address == local)
            {
                lines += &format!("addr replace {local}/64 dev {name} nodad\n");
            }
        }
        for it in held {
            let other = |wire: &Wire| {
                let host = self.site.host() + OTHER;
                [wire.ipv4(host).to_string(), wire.ipv6(host)].contains(&it.address)
            };
            let is_other = Wire::BOTH.iter().any(other);
            let of = addresses
                .iter()
                .find(|of| of.address.to_string() == it.address);
            if is_other || of.is_some_and(|of| self.is_by_hand(&it, of)) {
                lines += &it.deletion();
            }
        }
        // with the first address of a network the kernel may delete the others
        for wire in Wire::BOTH {
            lines += &own_lines("replace", wire, self.site.host(), wire.name());
        }
        // addresses that spared or the kernel has removed meanwhile are refused
        forced(&self.site.ns, &lines)
    }

    fn is_by_hand(&self, it: &Held, of: &Virtual) -> bool {
        if it.device.starts_with("vrrp") {
            return false;
        }
        let by_spared = it.device == of.wire.name() && it.prefix == of.prefix && !self.vmac;
        self.by_hand || !by_spared
    }
}

/// An address of a device.
struct Held {
    device: String,
    address: String,
    prefix: u8,
}

impl Held {
    fn deletion(&self) -> String {
        format!(
            "addr del {}/{} dev {}\n",
            self.address, self.prefix, self.device
        )
    }
}

fn held(ns: &Namespace) -> Result<Vec<Held>> {
    let text = ns.shell("ip -o addr show")?;
    let held = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let device = words.next()?.to_owned();
        let (address, prefix) = words.nth(1)?.split_once('/')?;
        Some(Held {
            device,
            address: address.to_owned(),
            prefix: prefix.parse().ok()?,
        })
    });
    Ok(held.collect())
}

/// Returns the name of the device in a line of `ip -o link`.
fn name_of(line: &str) -> Option<&str> {
    let name = line.split_whitespace().nth(1)?.trim_end_matches(':');
    Some(name.split_once('@').map_or(name, |(name, _)| name))
}

/// Returns the name of a wire's interface in a namespace.
fn device_in(ns: &Namespace, wire: Wire, site: &Site) -> Result<Option<String>> {
    let [a, b, c, d, e, f] = wire.mac(site.host());
    let mac = format!(" {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x} ");
    let links = ns.shell("ip -o link show type veth")?;
    let line = links.lines().find(|line| line.contains(&mac));
    Ok(line.and_then(name_of).map(str::to_owned))
}

fn own_lines(verb: &str, wire: Wire, host: u8, device: &str) -> String {
    let (ipv4, ipv6) = (wire.ipv4(host), wire.ipv6(host));
    format!("addr {verb} {ipv4}/24 dev {device}\naddr {verb} {ipv6}/64 dev {device} nodad\n")
}

/// Runs `ip -batch` to its end, even if commands are refused.
fn forced(ns: &Namespace, lines: &str) -> Result<()> {
    let mut child = ns
        .command("ip")
        .args(["-force", "-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(lines.as_bytes())?;
    }
    child.wait()?;
    Ok(())
}
