// SPDX-License-Identifier: MIT OR Apache-2.0
//! spared with its plugins conntrack, sets, dhcp and service.

use rustix::process::Signal;
use spared_tests::Result;
use spared_tests::dhcp::{Duo, Options, Server};
use spared_tests::lab::{Lab, maps_one_user, signal_to};
use spared_tests::pair::Fault;
use spared_tests::router::PluginFile;

use super::{Carries, Pair, dhcp};
use crate::faults::load_firewall;

const SETS: &str = "[[set]]\nfamily = \"inet\"\ntable = \"filter\"\nname = \"bans\"\n";

pub struct Ours<'l> {
    duo: Duo<'l>,
}

impl<'l> Ours<'l> {
    pub fn start(lab: &'l Lab) -> Result<Self> {
        for site in &lab.sites {
            load_firewall(site)?;
        }
        let plugin = |name: &str, toml: &str| PluginFile {
            name: name.to_owned(),
            toml: toml.to_owned(),
            file: format!("libspared_{name}.so"),
        };
        let options = Options {
            plugins: &[
                plugin("conntrack", ""),
                plugin("sets", SETS),
                plugin("web", ""),
            ],
            ..Options::default()
        };
        // below a folder that is not root's no command is run
        let setups = if maps_one_user()? {
            vec![]
        } else {
            vec![dhcp()]
        };
        let servers = Duo::install(lab, &setups)?;
        let duo = Duo::begin(lab, servers, options)?;
        Ok(Self { duo })
    }
}

impl Pair for Ours<'_> {
    fn carries(&self) -> Carries {
        Carries {
            connections: true,
            bans: true,
            services: self.server(0).is_some(),
        }
    }

    fn wait_ready(&self) -> Result<()> {
        self.duo.wait_ready()
    }

    fn server(&self, site: usize) -> Option<&Server<'_>> {
        self.duo.servers[site].first()
    }

    fn boot(&mut self, site: usize) -> Result<()> {
        self.duo.pair.restart(site)
    }

    fn reap(&mut self, site: usize) {
        self.duo.pair.routers[site].kill();
    }

    fn hang(&mut self, site: usize) -> Result<()> {
        self.duo.pair.begin_fault(Fault::Hang, site)
    }

    fn resume(&mut self, site: usize) -> Result<()> {
        self.duo.pair.end_fault(Fault::Hang, site)
    }

    fn begin_switch(&mut self, site: usize) -> Result<()> {
        self.duo.pair.switch(site).map(drop)
    }

    fn end_switch(&mut self, _site: usize) -> Result<()> {
        Ok(())
    }

    fn crash_elector(&mut self, site: usize) -> Result<()> {
        let elector = self.duo.pair.process(site, "vrrp");
        let elector = elector.ok_or_else(|| format!("r{} runs no vrrp worker", site + 1))?;
        signal_to(elector, Signal::KILL)
    }
}
