// SPDX-License-Identifier: MIT OR Apache-2.0
//! Faults that strike the active node, the same for both pairs.

use std::fs;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use spared_tests::Result;
use spared_tests::flows;
use spared_tests::lab::{Lab, Site, VIRTUAL, Wire, signal_to};

use crate::pairs::Pair;

/// The rules of every router at boot.
const FIREWALL: &str = include_str!("nftables.conf");
/// Time from a death to the second failure: the other node has just become active.
const SECOND: Duration = Duration::from_millis(500);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing of the machine is left; later it boots.
    Dead,
    /// The cable of its lan is pulled.
    Cable,
    /// All processes of its daemon are stopped.
    Hang,
    /// A planned change; keepalived is stopped for it, as it has no other.
    Switch,
    /// Its ruleset is flushed and loaded from its file.
    Reload,
    /// As Dead, and then the process that sends adverts on the other node is killed.
    Second,
}

impl Fault {
    pub const ALL: [Self; 6] = [
        Self::Dead,
        Self::Cable,
        Self::Hang,
        Self::Switch,
        Self::Reload,
        Self::Second,
    ];

    /// Word by which the command line selects it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Dead => "dead",
            Self::Cable => "cable",
            Self::Hang => "hang",
            Self::Switch => "switch",
            Self::Reload => "reload",
            Self::Second => "second",
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Self::Dead => "machine dead",
            Self::Cable => "cable pulled",
            Self::Hang => "daemon hangs",
            Self::Switch => "switchover",
            Self::Reload => "nft reload",
            Self::Second => "dead + crash",
        }
    }

    /// Sentence about what happens to a node, for the line below the table.
    pub fn sentence(self, at: usize) -> String {
        let (node, other) = (at + 1, 2 - at);
        match self {
            Self::Dead => format!("r{node} loses its power"),
            Self::Cable => format!("r{node}'s lan cable is pulled"),
            Self::Hang => format!("r{node}'s daemon hangs (SIGSTOP)"),
            Self::Switch => format!("the role is moved from r{node} to r{other}"),
            Self::Reload => format!("r{node}'s firewall is flushed and loaded again"),
            Self::Second => format!("r{node} loses its power, then r{other}'s VRRP crashes"),
        }
    }

    pub fn begin(self, lab: &Lab, pair: &mut dyn Pair, at: usize) -> Result<()> {
        let site = &lab.sites[at];
        match self {
            Self::Dead => lose_power(lab, pair, at),
            Self::Cable => lab.unplug(site, Wire::Lan),
            Self::Hang => pair.hang(at),
            Self::Switch => pair.begin_switch(at),
            Self::Reload => load_firewall(site),
            Self::Second => {
                lose_power(lab, pair, at)?;
                thread::sleep(SECOND);
                pair.crash_elector(1 - at)
            }
        }
    }

    pub fn end(self, lab: &Lab, pair: &mut dyn Pair, at: usize) -> Result<()> {
        let site = &lab.sites[at];
        match self {
            Self::Dead | Self::Second => boot(lab, pair, at),
            Self::Cable => lab.plug(site, Wire::Lan),
            Self::Hang => pair.resume(at),
            Self::Switch => pair.end_switch(at),
            Self::Reload => Ok(()),
        }
    }
}

/// Loads the rules of boot in place of all others, in one transaction.
pub fn load_firewall(site: &Site) -> Result<()> {
    site.ns
        .set(&[("net/netfilter/nf_conntrack_tcp_loose", "0")])?;
    site.ns.nft(FIREWALL)
}

/// Takes everything from a machine that does not survive a loss of power.
fn lose_power(lab: &Lab, pair: &mut dyn Pair, at: usize) -> Result<()> {
    let site = &lab.sites[at];
    lab.power_off(site)?;
    for pid in site.ns.processes() {
        // it may have ended meanwhile
        let _ = signal_to(pid, Signal::KILL);
    }
    pair.reap(at);
    site.ns.nft("flush ruleset\n")?;
    for wire in Wire::BOTH {
        let (name, address) = (wire.name(), wire.ipv4(VIRTUAL));
        // a node that was not active does not have it
        let _ = site.ns.ip(&format!("addr del {address}/24 dev {name}\n"));
    }
    flows::flush(&site.ns)
}

fn boot(lab: &Lab, pair: &mut dyn Pair, at: usize) -> Result<()> {
    let site = &lab.sites[at];
    // files in /run do not survive either
    if let Some(server) = pair.server(at) {
        let _ = fs::remove_file(&server.paths.pid);
    }
    load_firewall(site)?;
    lab.power_on(site)?;
    pair.boot(at)
}
