// SPDX-License-Identifier: MIT OR Apache-2.0
//! The routers under test: one [`Plan`], rendered for spared, keepalived or FRR.

mod frr;
mod keepalived;
mod link;
mod ruleset;
mod spared;

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;

pub use keepalived::statistics;
pub use ruleset::Ruleset;
pub use spared::{Files, Spared, install_other_build, vrrp_toml};

use crate::Result;
use crate::lab::{Daemon, Lab, Site, VIRTUAL, Wire};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Spared,
    Keepalived,
    Frr,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Spared => "spared",
            Self::Keepalived => "keepalived",
            Self::Frr => "frr",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    Machine,
    /// The clock is an hour ahead.
    Ahead,
    /// The clock is set by [`Router::set_clock`].
    Steps,
}

/// Configuration of a router. The virtual routers of a plan move together.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Advert interval; None for the program's default.
    pub interval: Option<Duration>,
    pub version: u8,
    pub priority: u8,
    pub preempt: bool,
    pub routers: Vec<VirtualRouter>,
    /// Further lines of spared's `[[group]]`.
    pub extra: String,
    /// Further routers and addresses of spared's group, as sections.
    pub sections: String,
    /// Further plugins of spared.
    pub plugins: Vec<PluginFile>,
    /// Link between spared's nodes.
    pub link: Option<Link>,
    /// Clock of spared and all its children.
    pub clock: Clock,
    /// Folder of this machine in whose place spared and its children see one of their own: `own` among the node's
    /// files.
    pub own_folder: Option<PathBuf>,
    /// spared and its children see its files in /etc/spared, and its programs in /usr/sbin, as a package has them.
    pub is_installed: bool,
    /// A service manager is there, whom spared tells of its life.
    pub is_managed: bool,
    /// A journal is there for spared: the socket of a [`Journal`](crate::journal::Journal).
    pub has_journal: bool,
    /// spared and its children see /proc/sys read-only, as in a container.
    pub is_contained: bool,
    /// spared and its children see only processes of their own account in /proc (hidepid).
    pub hides_processes: bool,
    /// Folder of an older build, from before heartbeats over networks, whose programs are run instead.
    pub older: Option<PathBuf>,
}

/// Configuration of two linked nodes: `[nodes]`, `[[link]]`, and an election by quality.
#[derive(Clone, Debug, Default)]
pub struct Link {
    pub wires: Vec<Wire>,
    /// Passphrase; None for keys generated for this lab.
    pub secret: Option<String>,
    /// Preferred node, if any.
    pub prefer: Option<String>,
    /// Lines of spared.toml before its tables.
    pub settings: String,
    /// Further lines of spared.toml.
    pub extra: String,
}

/// A plugin in addition to the elector.
#[derive(Clone, Debug)]
pub struct PluginFile {
    pub name: String,
    pub toml: String,
    /// Shared object in the build directory.
    pub file: String,
}

#[derive(Clone, Debug)]
pub struct VirtualRouter {
    pub wire: Wire,
    pub vrid: u8,
    /// Addresses of one family, such as "10.1.0.1/24".
    pub addresses: Vec<String>,
    pub vmac: bool,
    /// Unicast peer, instead of multicast.
    pub peer: Option<IpAddr>,
    /// Password of version 2.
    pub password: Option<String>,
    /// spared also sends heartbeats there.
    pub heartbeats: bool,
}

impl VirtualRouter {
    /// Returns a virtual router with the gateway address of a network.
    pub fn ipv4(wire: Wire, vrid: u8) -> Self {
        let addresses = vec![format!("{}/24", wire.ipv4(VIRTUAL))];
        Self {
            wire,
            vrid,
            addresses,
            vmac: false,
            peer: None,
            password: None,
            heartbeats: true,
        }
    }

    /// Returns a virtual router for IPv6, link-local address first (RFC 9568 §5.2.9).
    pub fn ipv6(wire: Wire, vrid: u8) -> Self {
        let addresses = vec![
            format!("fe80::{vrid}/64"),
            format!("{}/64", wire.ipv6(VIRTUAL)),
        ];
        Self {
            wire,
            vrid,
            addresses,
            vmac: false,
            peer: None,
            password: None,
            heartbeats: true,
        }
    }

    pub fn is_ipv6(&self) -> bool {
        self.addresses.iter().any(|address| address.contains(':'))
    }
}

impl Plan {
    /// Returns the gateways on lan (vrid 51) and wan (vrid 52), which move together.
    pub fn gateways(interval: Duration, priority: u8) -> Self {
        Self {
            interval: Some(interval),
            version: 3,
            priority,
            preempt: true,
            routers: vec![
                VirtualRouter::ipv4(Wire::Lan, 51),
                VirtualRouter::ipv4(Wire::Wan, 52),
            ],
            extra: String::new(),
            sections: String::new(),
            plugins: Vec::new(),
            link: None,
            clock: Clock::Machine,
            own_folder: None,
            is_installed: false,
            is_managed: false,
            has_journal: false,
            is_contained: false,
            hides_processes: false,
            older: None,
        }
    }

    /// Returns the gateways for two nodes with these links; r1 is preferred.
    pub fn linked(interval: Duration, wires: &[Wire]) -> Self {
        let mut plan = Self::gateways(interval, 100);
        // short delays, so that a test or a bench can wait for them
        plan.extra = "failback_delay = \"500ms\"\nhold = \"500ms\"\n".to_owned();
        plan.link = Some(Link {
            wires: wires.to_vec(),
            prefer: Some("r1".to_owned()),
            ..Link::default()
        });
        plan
    }

    /// Removes the preference: the active node stays active.
    pub fn without_preference(&mut self) {
        if let Some(link) = &mut self.link {
            link.prefer = None;
        }
    }

    /// Returns the gateway on the lan only.
    pub fn lan(interval: Duration, priority: u8) -> Self {
        let mut plan = Self::gateways(interval, priority);
        plan.routers.truncate(1);
        plan
    }

    pub fn interval_of(&self, kind: Kind) -> Duration {
        let own = match kind {
            Kind::Spared => Duration::from_millis(100),
            Kind::Keepalived | Kind::Frr => Duration::from_secs(1),
        };
        self.interval.unwrap_or(own)
    }

    /// Returns the time that a backup of this plan waits before it becomes active: 3 intervals and its skew.
    pub fn failover_of(&self, kind: Kind) -> Duration {
        let interval = self.interval_of(kind);
        interval * 3 + interval * (256 - u32::from(self.priority)) / 256
    }
}

/// A router at its site. Its processes end with the value.
pub struct Router {
    pub kind: Kind,
    pub site: usize,
    /// Its daemons; the last one sends adverts, as FRR's zebra starts before vrrpd.
    pub daemons: Vec<Daemon>,
    pub dir: PathBuf,
}

impl Router {
    pub fn start(lab: &Lab, site: &Site, kind: Kind, plan: &Plan) -> Result<Self> {
        let dir = lab.dir.join(format!("{}-{}", site.name, kind.name()));
        fs::create_dir_all(&dir)?;
        let log = lab.dir.join(format!("{}-{}.log", site.name, kind.name()));
        let daemons = match kind {
            Kind::Spared => vec![spared::start(site, plan, &dir, &log)?],
            Kind::Keepalived => vec![keepalived::start(site, plan, &dir, &log)?],
            Kind::Frr => frr::start(site, plan, &dir, &log)?,
        };
        Ok(Self {
            kind,
            site: site.index,
            daemons,
            dir,
        })
    }

    /// Starts spared with all files of another router, including its name and keys, at a site that gets that router's
    /// own addresses.
    pub fn start_copy(lab: &Lab, site: &Site, of: &Router) -> Result<Self> {
        site.take_addresses_of(lab.sites[of.site].host())?;
        let dir = lab.dir.join(format!("{}-copy", site.name));
        fs::create_dir_all(&dir)?;
        let log = lab.dir.join(format!("{}-copy.log", site.name));
        let daemon = spared::start_copy(site, &of.dir, &dir, &log)?;
        Ok(Self {
            kind: Kind::Spared,
            site: site.index,
            daemons: vec![daemon],
            dir,
        })
    }

    /// Starts spared again after its end, with its present files, and the clock of the plan.
    pub fn start_again(&mut self, lab: &Lab, site: &Site, plan: &Plan) -> Result<()> {
        let log = lab.dir.join(format!("{}-spared.log", site.name));
        self.daemons = vec![spared::start_again(site, plan, &self.dir, &log)?];
        Ok(())
    }

    /// Sends SIGTERM and waits for the end, the elector first.
    pub fn shut_down(&mut self) -> Result<()> {
        for daemon in self.daemons.iter_mut().rev() {
            daemon.terminate(Duration::from_secs(10))?;
        }
        Ok(())
    }

    /// Sends SIGTERM, without waiting for the end.
    pub fn ask_to_stop(&self) -> Result<()> {
        self.daemons
            .iter()
            .rev()
            .try_for_each(|daemon| daemon.signal(Signal::TERM))
    }

    /// Stops all its processes by SIGSTOP.
    pub fn hang(&self) -> Result<()> {
        self.daemons
            .iter()
            .rev()
            .try_for_each(|daemon| daemon.signal_all(Signal::STOP))
    }

    pub fn resume(&self) -> Result<()> {
        self.daemons
            .iter()
            .rev()
            .try_for_each(|daemon| daemon.signal_all(Signal::CONT))
    }

    /// Sends SIGKILL to all its processes.
    pub fn kill(&mut self) {
        self.daemons.iter_mut().rev().for_each(Daemon::kill_all);
    }

    /// All its processes.
    pub fn pids(&self) -> Vec<u32> {
        self.daemons.iter().flat_map(Daemon::tree).collect()
    }

    /// Returns a process that was started as `spared ... WORD ...`, such as "link".
    pub fn process(&self, word: &str) -> Option<u32> {
        self.pids().into_iter().find(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let mut words = line.split(|byte| *byte == 0).skip(1);
            words.any(|it| it == word.as_bytes())
        })
    }

    /// Puts the clock of spared, and of all processes that it has started, ahead of this machine's by some seconds.
    pub fn set_clock(&self, ahead_s: i64) -> Result<()> {
        let path = self.dir.join("ahead/etc/clock-offset");
        // in place, as programs have mapped it
        let file = fs::File::options().write(true).open(path)?;
        Ok(file.write_all_at(&ahead_s.to_ne_bytes(), 0)?)
    }

    pub fn log(&self) -> String {
        self.daemons.last().map(Daemon::log).unwrap_or_default()
    }
}
