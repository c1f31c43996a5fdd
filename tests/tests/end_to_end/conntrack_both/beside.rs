// SPDX-License-Identifier: MIT OR Apache-2.0
//! conntrackd in the same bed: addresses are put where spared would have them, at the same moments.

use spared_tests::Result;
use spared_tests::conntrackd::{Conntrackd, Options};
use spared_tests::lab::{Lab, VIRTUAL, Wire};
use spared_tests::router::Ruleset;

use super::{Fault, Path, Stage, Times};

pub struct Beside<'l> {
    lab: &'l Lab,
    path: Path,
    daemons: Vec<Conntrackd>,
}

impl<'l> Beside<'l> {
    /// Both write what they hear of into their kernels at once, as both are active.
    pub fn start(lab: &'l Lab, path: Path, times: Times, rules: &Ruleset) -> Result<Self> {
        times.set(lab)?;
        be_liberal(lab, true)?;
        let options = Options {
            flows: 65_536,
            external_cache: false,
            default_buffer: true,
        };
        let mut beside = Self {
            lab,
            path,
            daemons: Vec::new(),
        };
        for (number, site) in lab.sites.iter().enumerate() {
            rules.load(site)?;
            let own = Wire::Hot.ipv4(site.host());
            site.ns.ip(&format!("addr add {own}/24 dev hot\n"))?;
            beside.address("add", number, number)?;
            beside.daemons.push(Conntrackd::start(lab, site, options)?);
        }
        Ok(beside)
    }

    /// Ends it, and leaves the bed as it was.
    pub fn stop(self) -> Result<()> {
        for (number, site) in self.lab.sites.iter().enumerate() {
            let own = Wire::Hot.ipv4(site.host());
            self.address("del", number, number)?;
            site.ns.ip(&format!("addr del {own}/24 dev hot\n"))?;
        }
        for daemon in self.daemons {
            daemon.stop()?;
        }
        for site in &self.lab.sites {
            site.ns.shell("conntrack -F")?;
        }
        be_liberal(self.lab, false)?;
        forget_neighbours(self.lab)
    }

    fn move_group(&self, group: usize, site: usize) -> Result<()> {
        self.address("del", group, 1 - site)?;
        self.address("add", group, site)?;
        forget_neighbours(self.lab)
    }

    /// Adds or deletes a group's addresses.
    fn address(&self, verb: &str, group: usize, site: usize) -> Result<()> {
        let lines = self.path.addresses(group).into_iter().map(|(wire, host)| {
            format!("addr {verb} {}/24 dev {}\n", wire.ipv4(host), wire.name())
        });
        self.lab.sites[site].ns.ip(&lines.collect::<String>())
    }
}

impl Stage for Beside<'_> {
    fn strike(&self, fault: Fault, victim: usize) -> Result<()> {
        let site = &self.lab.sites[victim];
        match fault {
            Fault::Switch => {}
            Fault::Death => self.lab.power_off(site)?,
            Fault::CarrierLost => self.lab.unplug(site, self.path.wire(victim))?,
        }
        self.move_group(victim, 1 - victim)
    }

    fn repair(&self, fault: Fault, victim: usize) -> Result<()> {
        let site = &self.lab.sites[victim];
        match fault {
            Fault::Switch => {}
            Fault::Death => self.lab.power_on(site)?,
            Fault::CarrierLost => self.lab.plug(site, self.path.wire(victim))?,
        }
        self.move_group(victim, victim)
    }
}

/// conntrackd tells no windows of TCP: without this a node that gets a connection back drops all of it as invalid,
/// because it passed the other node meanwhile.
fn be_liberal(lab: &Lab, is_liberal: bool) -> Result<()> {
    let value = if is_liberal { "1" } else { "0" };
    for site in &lab.sites {
        let key = "net/netfilter/nf_conntrack_tcp_be_liberal";
        site.ns.set(&[(key, value)])?;
    }
    Ok(())
}

/// As announcements of the new node would.
fn forget_neighbours(lab: &Lab) -> Result<()> {
    for ns in [&lab.lan, &lab.wan] {
        ns.shell("ip neigh flush all")?;
    }
    Ok(())
}

/// Host number of the guests' address on the lan.
const GUESTS: u8 = 77;

impl Path {
    /// Addresses of "office", which is group 0, and of the other one.
    fn addresses(self, group: usize) -> Vec<(Wire, u8)> {
        match (self, group) {
            (Self::Symmetric, 0) => vec![(Wire::Lan, VIRTUAL), (Wire::Wan, VIRTUAL)],
            (Self::Symmetric, _) => vec![(Wire::Lan, GUESTS)],
            (Self::Asymmetric, 0) => vec![(Wire::Lan, VIRTUAL)],
            (Self::Asymmetric, _) => vec![(Wire::Wan, VIRTUAL)],
        }
    }
}
