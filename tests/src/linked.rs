// SPDX-License-Identifier: MIT OR Apache-2.0
//! Two spared nodes that know each other, and what tests ask of them.

use std::path::PathBuf;
use std::time::Duration;

use spared_control::{GroupStatus, Status};

use crate::Result;
use crate::clock::poll;
use crate::lab::{Lab, Wire};
use crate::pair::Fault;
use crate::probe::Watch;
use crate::router::{Kind, Plan, PluginFile, Router, Spared};

pub const INTERVAL: Duration = Duration::from_millis(100);
const LIMIT: Duration = Duration::from_secs(20);
const STEP: Duration = Duration::from_millis(20);
/// Longer than any failover between two nodes that run.
const STUMBLE: Duration = Duration::from_secs(5);

pub struct Linked<'l> {
    pub lab: &'l Lab,
    pub watch: Watch,
    pub routers: [Router; 2],
    pub plans: [Plan; 2],
}

impl<'l> Linked<'l> {
    /// Both with one plan; returns when they know each other and one is active.
    pub fn start(lab: &'l Lab, plan: &Plan) -> Result<Self> {
        let linked = Self::begin(lab, [plan.clone(), plan.clone()])?;
        linked.wait_settled()?;
        Ok(linked)
    }

    /// Starts both at once and waits for nothing.
    pub fn begin(lab: &'l Lab, plans: [Plan; 2]) -> Result<Self> {
        let watch = Watch::start(lab)?;
        let first = Router::start(lab, &lab.sites[0], Kind::Spared, &plans[0])?;
        let second = Router::start(lab, &lab.sites[1], Kind::Spared, &plans[1])?;
        Ok(Self {
            lab,
            watch,
            routers: [first, second],
            plans,
        })
    }

    /// Starts a router again after its end.
    pub fn restart(&mut self, site: usize) -> Result<()> {
        let place = &self.lab.sites[site];
        self.routers[site] = Router::start(self.lab, place, Kind::Spared, &self.plans[site])?;
        Ok(())
    }

    pub fn status(&self, site: usize) -> Result<Status> {
        Spared(&self.routers[site]).status()
    }

    /// The only group; its default where there is none yet.
    pub fn group(&self, site: usize) -> GroupStatus {
        let status = self.status(site).unwrap_or_default();
        status.groups.into_iter().next().unwrap_or_default()
    }

    pub fn role(&self, site: usize) -> String {
        self.group(site).role
    }

    /// The sites whose group is active.
    pub fn active(&self) -> Vec<usize> {
        (0..2).filter(|site| self.role(*site) == "active").collect()
    }

    /// The only active node. While a machine stumbles there may be none or two for a moment.
    pub fn at(&self) -> Result<usize> {
        let mut active = Vec::new();
        let is_one = || {
            active = self.active();
            active.len() == 1
        };
        match (poll(STUMBLE, STEP, is_one), active.as_slice()) {
            (true, [site]) => Ok(*site),
            _ => Err(format!("active: {active:?}").into()),
        }
    }

    /// Strikes the active node, waits until the other serves, and returns which that is.
    pub fn strike(&mut self, fault: Fault) -> Result<usize> {
        let old = self.at()?;
        let (lab, site) = (self.lab, &self.lab.sites[old]);
        match fault {
            Fault::SilentCut => lab.isolate(site)?,
            Fault::Death => lab.power_off(site)?,
            Fault::CarrierLost => lab.unplug(site, Wire::Lan)?,
            Fault::Hang => self.routers[old].hang()?,
            Fault::Shutdown => self.routers[old].shut_down()?,
            Fault::Kill => self.routers[old].kill(),
            Fault::Switch => drop(self.switch(old)?),
        }
        let new = 1 - old;
        self.wait(&format!("r{} active after {fault:?}", new + 1), || {
            self.role(new) == "active"
        })?;
        Ok(new)
    }

    /// `sparectl switch` on a node, as soon as it may be: who is through with a role of before is not
    /// so at once, and the other hears of it later still, so that it may know of nobody active.
    pub fn switch(&self, site: usize) -> Result<String> {
        const MOMENTARY: [&str; 4] = [
            "not left the group yet",
            "not ready",
            "at this moment",
            "there is nothing to",
        ];
        let mut answer = Ok(String::new());
        poll(LIMIT, STEP, || {
            answer = self.done(site, &["switch"]);
            let why = answer.as_ref().err().map(ToString::to_string);
            !why.is_some_and(|why| MOMENTARY.iter().any(|it| why.contains(it)))
        });
        answer
    }

    /// Ends a fault of a node and waits until it is settled beside the other.
    pub fn repair(&mut self, fault: Fault, site: usize) -> Result<()> {
        let (lab, place) = (self.lab, &self.lab.sites[site]);
        match fault {
            Fault::SilentCut => lab.reunite(place)?,
            Fault::Death => lab.power_on(place)?,
            Fault::CarrierLost => lab.plug(place, Wire::Lan)?,
            Fault::Hang => self.routers[site].resume()?,
            Fault::Shutdown | Fault::Kill => self.restart(site)?,
            Fault::Switch => {}
        }
        self.wait_settled()
    }

    /// Both hear each other, one is active and the other ready.
    pub fn wait_settled(&self) -> Result<()> {
        self.wait("both settled", || {
            let known = (0..2).all(|site| {
                let status = self.status(site).unwrap_or_default();
                let is_ready = |status: &Status| status.missing.as_ref().is_some_and(Vec::is_empty);
                // what the other says of itself is older here
                let peer = status.peer.as_ref().filter(|peer| peer.up);
                let there = peer.and_then(|peer| peer.status.as_deref());
                is_ready(&status) && there.is_some_and(is_ready)
            });
            known && self.active().len() == 1
        })
    }

    pub fn wait_active(&self, site: usize) -> Result<()> {
        self.wait(&format!("r{} alone active", site + 1), || {
            self.active() == [site]
        })
    }

    pub fn wait(&self, what: &str, done: impl FnMut() -> bool) -> Result<()> {
        if poll(LIMIT, STEP, done) {
            return Ok(());
        }
        let status = |site| self.said(site, &["status"]).unwrap_or_default().1;
        let (first, second) = (status(0), status(1));
        Err(format!("not {what} after {LIMIT:?}:\n{first}\n{second}").into())
    }

    /// Exit code, and both outputs in one, of `sparectl` on a node.
    pub fn said(&self, site: usize, words: &[&str]) -> Result<(i32, String)> {
        let output = Spared(&self.routers[site]).sparectl(words)?;
        let text = [output.stdout.as_slice(), &output.stderr].concat();
        let code = output.status.code().unwrap_or(-1);
        Ok((code, String::from_utf8_lossy(&text).into_owned()))
    }

    /// The same, which must succeed.
    pub fn done(&self, site: usize, words: &[&str]) -> Result<String> {
        match self.said(site, words)? {
            (0, text) => Ok(text),
            (code, text) => Err(format!("{}: exit {code}: {text}", words.join(" ")).into()),
        }
    }

    /// A number of the peer plugin's status.
    pub fn peer(&self, site: usize, key: &str) -> u64 {
        let row = Spared(&self.routers[site]).row(&["messenger", "status"], key);
        row.ok().and_then(|row| row.as_u64()).unwrap_or_default()
    }

    /// The process of a node that was started as `spared WORD ...`, such as "link".
    pub fn process(&self, site: usize, word: &str) -> Option<u32> {
        let pids = self.routers[site].pids();
        pids.into_iter().find(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.split(|byte| *byte == 0)
                .skip(1)
                .any(|argument| argument == word.as_bytes())
        })
    }
}

/// The example plugin that speaks with its peer, as a file of a build: "" is the present version,
/// "next" and "later" are those after it.
pub fn peer(version: &str) -> PluginFile {
    let file: PathBuf = match version {
        "" => "libspared_example_messenger.so".into(),
        version => PathBuf::from("examples").join(format!("libmessenger_{version}.so")),
    };
    PluginFile {
        name: "messenger".to_owned(),
        toml: String::new(),
        file: file.to_string_lossy().into_owned(),
    }
}
