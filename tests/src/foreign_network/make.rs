// SPDX-License-Identifier: MIT OR Apache-2.0
//! Makes a fault in the lab, and repairs it.

use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use super::fault::{Fault, Frames, What};
use super::kind::{Kind, Serves};
use crate::Result;
use crate::lab::{Lab, Namespace, Site, Traffic, VIRTUAL, Wire, signal_to};
use crate::linked::Linked;

/// Number that is added to a host's number for its second own address.
const OTHER: u8 = 100;
/// MTU of a link's path that is too narrow, and the right one.
const NARROW: u32 = 1_400;
const WIDE: u32 = 1_500;
/// Time until several adverts that a filter held back have arrived again.
const PASSES: Duration = Duration::from_millis(500);

/// Rules of the node's own, as most routers have some.
pub const RULES: &str = "table inet own {\nchain in {\ntype filter hook input priority 0\n\
    udp dport 53 drop\n}\n}\n";
const OUTPUT: &str = "table inet strict {\nchain out {\ntype filter hook output priority 0\nmeta l4proto 112 drop\n}\n}\n";

impl Fault {
    pub fn make(&self, pair: &mut Linked<'_>, kind: Kind) -> Result<()> {
        let (lab, site) = (pair.lab, pair.site(self.site));
        match self.what {
            What::Lost { on, frames, way } => {
                each(on, |wire| lab.drop_by(site, wire, frames.rules(), way))
            }
            What::Carrier(on) => each(on, |wire| lab.unplug(site, wire)),
            What::Switch(wire) => lab.sites.iter().try_for_each(|it| lab.unplug(it, wire)),
            What::Parted(wire) => lab.separate(wire, true),
            What::OwnAddress(wire) => address(site, "del", &own(kind, wire, site.host()), wire),
            What::Renumbered(wire) => {
                let [old, new] = both(kind, wire, site.host());
                replace(site, wire, &old, &new)
            }
            What::Renamed(wire) => {
                let name = wire.name();
                site.ns.ip(&format!("link set {name} name x-{name}\n"))
            }
            What::NotForwarding => forward(site, kind, "0"),
            What::Muted(wire) => site.ns.nft(&mute(wire)),
            What::OutputChain => site.ns.nft(OUTPUT),
            What::Flushed => site.ns.nft("delete table inet own\n"),
            What::Third(wire) => third(lab, kind, wire, "add"),
            What::Killed => {
                pair.routers[self.site].kill();
                Ok(())
            }
            What::DaemonKilled => signal_to(pair.routers[self.site].daemons[0].pid(), Signal::KILL),
            What::Frozen => pair.routers[self.site].hang(),
            What::Stopped => pair.routers[self.site].shut_down(),
            What::LinkCut => lab.cut(site, Wire::Hot),
            What::LinkOneWay(way) => lab.drop_by(site, Wire::Hot, Frames::All.rules(), way),
            What::LinkHeartbeats(way) => lab.filter(site, Wire::Hot, Traffic::Heartbeats, way),
            What::LinkNarrow => lab.narrow(site, Wire::Hot, NARROW),
        }
    }

    pub fn mend(&self, pair: &mut Linked<'_>, kind: Kind) -> Result<()> {
        let (lab, site) = (pair.lab, pair.site(self.site));
        match self.what {
            What::Lost { on, .. } => {
                each(on, |wire| lab.unfilter(site, wire))?;
                if kind.serves == Serves::Vmac {
                    // as SP-0211 says, once frames pass again: observations of a virtual MAC address are kept for an
                    // hour
                    thread::sleep(PASSES);
                    for site in [0, 1] {
                        let _ = pair.said(site, &["vrrp", "retry"]);
                    }
                }
                Ok(())
            }
            What::Carrier(on) => each(on, |wire| lab.plug(site, wire)),
            What::Switch(wire) => lab.sites.iter().try_for_each(|it| lab.plug(it, wire)),
            What::Parted(wire) => lab.separate(wire, false),
            What::OwnAddress(wire) => address(site, "replace", &own(kind, wire, site.host()), wire),
            What::Renumbered(wire) => {
                let [old, new] = both(kind, wire, site.host());
                replace(site, wire, &new, &old)
            }
            What::Renamed(wire) => {
                let name = wire.name();
                site.ns.ip(&format!("link set x-{name} name {name}\n"))
            }
            What::NotForwarding => forward(site, kind, "1"),
            What::Muted(wire) => {
                let name = wire.name();
                site.ns
                    .nft(&format!("delete table netdev quiet-{name}\n"))?;
                // as SP-0206 says; not needed if the daemon is down
                let _ = pair.said(self.site, &["vrrp", "retry"]);
                Ok(())
            }
            What::OutputChain => site.ns.nft("delete table inet strict\n"),
            What::Flushed => site.ns.nft(RULES),
            What::Third(wire) => third(lab, kind, wire, "del"),
            What::Killed | What::DaemonKilled | What::Stopped => pair.restart(self.site),
            What::Frozen => pair.routers[self.site].resume(),
            What::LinkCut => lab.join(site, Wire::Hot),
            What::LinkOneWay(_) | What::LinkHeartbeats(_) => lab.unfilter(site, Wire::Hot),
            What::LinkNarrow => lab.narrow(site, Wire::Hot, WIDE),
        }
    }
}

impl Frames {
    /// Returns rules that drop these frames.
    fn rules(self) -> &'static str {
        match self {
            Self::VirtualMacs => "ether saddr & ff:ff:ff:ff:00:00 == 00:00:5e:00:00:00 drop;",
            Self::Adverts => "ip protocol 112 drop; ip6 nexthdr 112 drop;",
            Self::Heartbeats => "udp dport 3780 drop;",
            Self::Multicast => {
                "ether daddr & 01:00:00:00:00:00 == 01:00:00:00:00:00 \
                 ether daddr != ff:ff:ff:ff:ff:ff drop;"
            }
            Self::Broadcast => "ether daddr ff:ff:ff:ff:ff:ff drop;",
            Self::All => "drop;",
        }
    }
}

fn each(on: &[Wire], action: impl Fn(Wire) -> Result<()>) -> Result<()> {
    on.iter().copied().try_for_each(action)
}

/// Returns the source address of adverts for this kind of pair.
fn own(kind: Kind, wire: Wire, host: u8) -> String {
    match kind.serves {
        Serves::Plain | Serves::Vmac => format!("{}/24", wire.ipv4(host)),
        Serves::Ipv6 => format!("{}/64", wire.link_local(host)),
    }
}

/// Returns this address and a second one.
fn both(kind: Kind, wire: Wire, host: u8) -> [String; 2] {
    let other = match kind.serves {
        Serves::Plain | Serves::Vmac => format!("{}/24", wire.ipv4(host + OTHER)),
        Serves::Ipv6 => format!("fe80::a:{host}/64"),
    };
    [own(kind, wire, host), other]
}

fn address(site: &Site, verb: &str, address: &str, wire: Wire) -> Result<()> {
    let dad = if address.contains(':') { " nodad" } else { "" };
    let name = wire.name();
    let line = match verb {
        "del" => format!("addr del {address} dev {name}\n"),
        _ => format!("addr {verb} {address} dev {name}{dad}\n"),
    };
    site.ns.ip(&line)
}

/// Adds the new address before and after removing the old one, since with the first address of a network the kernel may
/// delete the others.
fn replace(site: &Site, wire: Wire, old: &str, new: &str) -> Result<()> {
    address(site, "add", new, wire)?;
    address(site, "del", old, wire)?;
    address(site, "replace", new, wire)
}

fn forward(site: &Site, kind: Kind, value: &str) -> Result<()> {
    let setting = match kind.serves {
        Serves::Plain | Serves::Vmac => "net/ipv4/ip_forward",
        Serves::Ipv6 => "net/ipv6/conf/all/forwarding",
    };
    site.ns.set(&[(setting, value)])
}

fn mute(wire: Wire) -> String {
    let name = wire.name();
    format!(
        "table netdev quiet-{name} {{\nchain out {{\ntype filter hook egress device \"{name}\" priority 0\n\
         ip protocol 112 drop\nip6 nexthdr 112 drop\n}}\n}}\n"
    )
}

/// Gives a station without VRRP a virtual address, or removes it.
fn third(lab: &Lab, kind: Kind, wire: Wire, verb: &str) -> Result<()> {
    let ns: &Namespace = if wire == Wire::Lan {
        &lab.eye
    } else {
        &lab.wan
    };
    let name = wire.name();
    let (address, dad) = match kind.serves {
        Serves::Plain | Serves::Vmac => (format!("{}/32", wire.ipv4(VIRTUAL)), ""),
        Serves::Ipv6 => (format!("{}/128", wire.ipv6(VIRTUAL)), " nodad"),
    };
    let dad = if verb == "add" { dad } else { "" };
    ns.ip(&format!("addr {verb} {address} dev {name}{dad}\n"))
}
