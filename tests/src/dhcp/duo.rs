// SPDX-License-Identifier: MIT OR Apache-2.0
//! Two spared nodes with the same DHCP servers. Leases are replicated, and the servers run on the node
//! that is active.

use std::fmt::Write;
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use spared_message::control::{Answer, Request};

use super::server::{Make, Server, Setup};
use crate::Result;
use crate::clock::poll;
use crate::lab::{Lab, VIRTUAL, Wire, disturbed, signal_to};
use crate::linked::{INTERVAL, Linked};
use crate::router::{Clock, Plan, PluginFile, Router, Spared};

pub struct Duo<'l> {
    pub pair: Linked<'l>,
    /// Servers of each site.
    pub servers: [Vec<Server<'l>>; 2],
    /// Site that is active since the latest change that the test made.
    serving: Option<usize>,
}

/// Variations of dhcp.toml and service.toml.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'t> {
    /// Servers also run on the backup, and receive leases while they run.
    pub warm: bool,
    /// Further lines of dhcp.toml's top level.
    pub top: &'t str,
    /// Further lines of each `[[server]]`.
    pub server: &'t str,
    /// The servers' own tests of their configurations are the tests of their services.
    pub tested: bool,
    /// Further sections of service.toml.
    pub service: &'t str,
    /// The clock of r2 is an hour ahead of r1's.
    pub clock_ahead: bool,
    /// Further plugins.
    pub plugins: &'t [PluginFile],
}

impl<'l> Duo<'l> {
    /// Starts both nodes, and waits until one serves.
    pub fn start(lab: &'l Lab, setups: &[Setup]) -> Result<Self> {
        Self::start_with(lab, setups, Options::default())
    }

    pub fn start_with(lab: &'l Lab, setups: &[Setup], options: Options) -> Result<Self> {
        let servers = Self::install(lab, setups)?;
        let mut duo = Self::begin(lab, servers, options)?;
        duo.wait_ready()?;
        duo.serving = Some(duo.at()?);
        Ok(duo)
    }

    /// Writes the files of all servers at both sites.
    pub fn install(lab: &'l Lab, setups: &[Setup]) -> Result<[Vec<Server<'l>>; 2]> {
        let at = |site: usize| -> Result<Vec<Server<'l>>> {
            let install = |setup: &Setup| Server::install(lab, &lab.sites[site], setup.clone());
            setups.iter().map(install).collect()
        };
        Ok([at(0)?, at(1)?])
    }

    /// Plan of both nodes, without a preference. Without servers, the plan has no plugins for them.
    pub fn plan(servers: &[Vec<Server<'l>>; 2], options: Options) -> Result<Plan> {
        let mut plan = Plan::linked(INTERVAL, &[Wire::Hot]);
        plan.without_preference();
        let plugins = if servers[0].is_empty() {
            Vec::new()
        } else {
            vec![
                ("dhcp", dhcp_toml(servers, options)?),
                ("service", service_toml(servers, options)?),
            ]
        };
        for (name, toml) in plugins {
            plan.plugins.push(PluginFile {
                name: name.to_owned(),
                toml,
                file: format!("libspared_{name}.so"),
            });
        }
        plan.plugins.extend_from_slice(options.plugins);
        Ok(plan)
    }

    /// Starts both nodes at once, without waiting.
    pub fn begin(lab: &'l Lab, servers: [Vec<Server<'l>>; 2], options: Options) -> Result<Self> {
        let plan = Self::plan(&servers, options)?;
        let mut second = plan.clone();
        if options.clock_ahead {
            second.clock = Clock::Ahead;
        }
        let pair = Linked::begin(lab, [plan, second])?;
        Ok(Self {
            pair,
            servers,
            serving: None,
        })
    }

    /// Waits until both are settled, and every server of the active node runs.
    pub fn wait_ready(&self) -> Result<()> {
        self.pair.wait_settled()?;
        let at = self.at()?;
        self.wait_serving(at)
    }

    /// Waits until every server of this site runs.
    pub fn wait_serving(&self, site: usize) -> Result<()> {
        self.wait(&format!("r{} serving", site + 1), || {
            self.servers[site].iter().all(Server::runs)
        })
    }

    pub fn server(&self, site: usize, make: Make) -> Result<&Server<'l>> {
        let found = self.servers[site].iter().find(|it| it.setup.make == make);
        found.ok_or_else(|| format!("no {} here", make.name()).into())
    }

    /// Returns a number in `sparectl dhcp`.
    pub fn number(&self, site: usize, make: Make, key: &str) -> Option<u64> {
        self.row(site, make, key)?.as_u64()
    }

    /// Returns a text in `sparectl dhcp`.
    pub fn text(&self, site: usize, make: Make, key: &str) -> String {
        let row = self.row(site, make, key).unwrap_or_default();
        row.as_str().unwrap_or_default().to_owned()
    }

    fn row(&self, site: usize, make: Make, key: &str) -> Option<serde_json::Value> {
        let rows = self.rows(site, &[]).ok()?;
        rows.get(format!("{}.{key}", make.name())).cloned()
    }

    /// Returns the rows of `sparectl dhcp WORDS...`, without starting the program.
    pub fn rows(&self, site: usize, words: &[&str]) -> Result<serde_json::Value> {
        let request = Request::Plugin {
            name: "dhcp".to_owned(),
            argv: words.iter().map(|word| (*word).to_owned()).collect(),
        };
        let dir = Spared(&self.routers[site]).runtime_dir();
        match spared_message::control::ask(&dir, &request, Duration::from_secs(15))? {
            Answer::Rows { rows, .. } => Ok(serde_json::to_value(rows)?),
            other => Err(format!("sparectl dhcp: {other:?}").into()),
        }
    }

    /// Waits until both nodes have this number of leases of a server.
    pub fn wait_leases(&self, make: Make, wanted: u64) -> Result<()> {
        self.wait(&format!("{wanted} leases of {}", make.name()), || {
            [0, 1]
                .into_iter()
                .all(|site| self.number(site, make, "records_here") == Some(wanted))
        })
    }

    /// Waits until the peer has all leases of the active node.
    pub fn wait_followed(&self) -> Result<()> {
        let at = self.at()?;
        for server in &self.servers[at] {
            let make = server.setup.make;
            self.wait(&format!("{} followed", make.name()), || {
                let here = self.number(at, make, "records_here");
                here.is_some()
                    && self.number(at, make, "behind_ms") == Some(0)
                    && self.number(at, make, "records_there") == here
                    && self.number(1 - at, make, "records_here") == here
            })?;
        }
        Ok(())
    }

    /// Cuts the power of a machine: no cable carries anything, nothing runs.
    pub fn power_off(&mut self, site: usize) -> Result<()> {
        let place = &self.pair.lab.sites[site];
        self.serving = self.serving.filter(|serving| *serving != site);
        self.pair.lab.power_off(place)?;
        self.pair.routers[site].kill();
        for pid in place.ns.processes() {
            // it may have ended meanwhile
            let _ = signal_to(pid, Signal::KILL);
        }
        // rules and addresses do not survive a loss of power
        place.ns.nft("flush ruleset\n")?;
        for wire in Wire::BOTH {
            let (name, address) = (wire.name(), wire.ipv4(VIRTUAL));
            let _ = place.ns.ip(&format!("addr del {address}/24 dev {name}\n"));
        }
        Ok(())
    }

    /// Boots the machine again, with the files that it had.
    pub fn power_on(&mut self, site: usize) -> Result<()> {
        let place = &self.pair.lab.sites[site];
        self.pair.lab.power_on(place)?;
        self.pair.restart(site)
    }

    /// Cuts the power of the active machine. Returns the other site once its servers run.
    pub fn lose_power(&mut self) -> Result<usize> {
        let old = self.steady()?;
        self.power_off(old)?;
        self.wait(&format!("r{} active", 2 - old), || {
            self.role(1 - old) == "active"
        })?;
        self.wait_serving(1 - old)?;
        self.serving = Some(1 - old);
        Ok(1 - old)
    }

    /// Returns the active site. No verdict if the role moved by itself, because the machine stood still.
    fn steady(&self) -> Result<usize> {
        let at = self.at()?;
        match self.serving {
            Some(serving) if serving != at => Err(disturbed("the role moved by itself")),
            _ => Ok(at),
        }
    }

    /// Runs `sparectl switch`. Returns the new site once its servers run.
    pub fn switch_over(&mut self) -> Result<usize> {
        self.wait_settled()?;
        self.steady()?;
        let new = self.strike(crate::pair::Fault::Switch)?;
        self.wait_serving(new)?;
        self.serving = Some(new);
        Ok(new)
    }

    /// Waits until no server runs at a site.
    pub fn wait_silent(&self, site: usize) -> Result<()> {
        self.wait(&format!("r{} silent", site + 1), || {
            !self.servers[site].iter().any(Server::runs)
        })
    }

    pub fn router(&self, site: usize) -> &Router {
        &self.pair.routers[site]
    }

    /// True if the condition holds for the whole span.
    pub fn stays(&self, span: Duration, mut holds: impl FnMut() -> bool) -> bool {
        !poll(span, Duration::from_millis(20), || !holds())
    }
}

impl<'l> Deref for Duo<'l> {
    type Target = Linked<'l>;

    fn deref(&self) -> &Self::Target {
        &self.pair
    }
}

impl DerefMut for Duo<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.pair
    }
}

/// Formats a TOML table with a value for each node.
fn by_node(servers: [&Server; 2], value: impl Fn(&Server) -> String) -> String {
    let [first, second] = servers.map(value);
    format!("{{ r1 = {first}, r2 = {second} }}")
}

fn quoted(path: &Path) -> String {
    format!("{:?}", path.to_string_lossy())
}

fn peers<'s, 'l>(
    servers: &'s [Vec<Server<'l>>; 2],
) -> impl Iterator<Item = [&'s Server<'l>; 2]> + use<'s, 'l> {
    let [first, second] = servers;
    first.iter().zip(second).map(|(one, other)| [one, other])
}

fn dhcp_toml(servers: &[Vec<Server>; 2], options: Options) -> Result<String> {
    let mut text = options.top.to_owned();
    for peers in peers(servers) {
        let make = peers[0].setup.make;
        writeln!(
            text,
            "[[server]]\nname = \"{}\"\nkind = \"{}\"",
            make.name(),
            make.kind()
        )?;
        writeln!(text, "service = \"{}\"", make.name())?;
        let config = by_node(peers, |server| quoted(&server.paths.config));
        writeln!(text, "config = {config}")?;
        if matches!(make, Make::Dhcpd4 | Make::Dhcpd6) {
            // its lease file is named on its command line only
            let leases = by_node(peers, |server| quoted(&server.paths.leases));
            writeln!(text, "leases = {leases}")?;
        }
        if peers[0].bus.is_some() {
            let bus = by_node(peers, |server| format!("{:?}", server.bus.as_deref()));
            let bus = bus.replace("Some(", "").replace(')', "");
            writeln!(text, "bus = {bus}")?;
        }
        if options.warm {
            writeln!(text, "warm = true")?;
        }
        text += options.server;
    }
    Ok(text)
}

fn service_toml(servers: &[Vec<Server>; 2], options: Options) -> Result<String> {
    let mut text = "after = [\"dhcp\"]\npoll_interval = \"1s\"\n".to_owned();
    for peers in peers(servers) {
        writeln!(
            text,
            "[[service]]\nname = \"{}\"",
            peers[0].setup.make.name()
        )?;
        for verb in ["start", "stop", "status"] {
            let argv = by_node(peers, |server| {
                format!("[{}, \"{verb}\"]", quoted(&server.paths.script))
            });
            writeln!(text, "{verb} = {argv}")?;
        }
        if options.tested {
            let test = by_node(peers, |server| {
                let (script, config) = (&server.paths.script, &server.paths.config);
                format!("[{}, \"test\", {}]", quoted(script), quoted(config))
            });
            writeln!(text, "test = {test}")?;
        }
        if options.warm {
            writeln!(text, "while_backup = \"start\"")?;
        }
    }
    text += options.service;
    Ok(text)
}
