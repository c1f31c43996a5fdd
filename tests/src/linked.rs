// SPDX-License-Identifier: MIT OR Apache-2.0
//! Two spared nodes with a link, and operations that tests need.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use spared_message::control::{GroupStatus, Status};

use crate::Result;
use crate::clock::{Stamp, poll};
use crate::lab::{Lab, Site, VIRTUAL, Wire, starved};
use crate::pair::Fault;
use crate::probe::{Control, Run, Watch, judge};
use crate::router::{Kind, Plan, PluginFile, Router, Spared};

pub const INTERVAL: Duration = Duration::from_millis(100);
const LIMIT: Duration = Duration::from_secs(20);
const STEP: Duration = Duration::from_millis(20);
/// Longest time without exactly one active node; longer than any failover between two running nodes.
const STUMBLE: Duration = Duration::from_secs(5);
/// Shortest time between two series of answers of one node with an answer of the other between them: no role moves back
/// and forth that fast.
const TO_AND_FRO: Duration = Duration::from_millis(10);

pub struct Linked<'l> {
    pub lab: &'l Lab,
    pub watch: Watch,
    pub routers: [Router; 2],
    pub plans: [Plan; 2],
    /// Indices of their sites in the lab.
    places: [usize; 2],
}

impl<'l> Linked<'l> {
    /// Starts both with one plan, and waits until they are settled.
    pub fn start(lab: &'l Lab, plan: &Plan) -> Result<Self> {
        let linked = Self::begin(lab, [plan.clone(), plan.clone()])?;
        linked.wait_settled()?;
        Ok(linked)
    }

    /// Starts both at once, without waiting.
    pub fn begin(lab: &'l Lab, plans: [Plan; 2]) -> Result<Self> {
        Self::begin_at(lab, [0, 1], plans)
    }

    /// Starts both at once at other places of the lab. The nodes are still counted from 0: r3 and r4 are 0 and 1.
    pub fn begin_at(lab: &'l Lab, places: [usize; 2], plans: [Plan; 2]) -> Result<Self> {
        let watch = Watch::start(lab)?;
        let [first, second] = places.map(|place| &lab.sites[place]);
        let first = Router::start(lab, first, Kind::Spared, &plans[0])?;
        let second = Router::start(lab, second, Kind::Spared, &plans[1])?;
        Ok(Self {
            lab,
            watch,
            routers: [first, second],
            plans,
            places,
        })
    }

    /// Time so far for which processes of both nodes and this program were ready to run and had no processor. Most of them
    /// have ordinary priority, whose lateness [`Control`] does not see.
    pub fn starved(&self) -> Duration {
        let daemons = self.routers.iter().flat_map(Router::pids);
        daemons.chain([std::process::id()]).map(starved).sum()
    }

    /// Site of a node.
    pub fn site(&self, site: usize) -> &'l Site {
        &self.lab.sites[self.places[site]]
    }

    /// Starts a router again after it has ended.
    pub fn restart(&mut self, site: usize) -> Result<()> {
        let place = self.site(site);
        self.routers[site] = Router::start(self.lab, place, Kind::Spared, &self.plans[site])?;
        Ok(())
    }

    pub fn status(&self, site: usize) -> Result<Status> {
        Spared(&self.routers[site]).status()
    }

    /// Returns the only group; the default if there is none yet.
    pub fn group(&self, site: usize) -> GroupStatus {
        let status = self.status(site).unwrap_or_default();
        status.groups.into_iter().next().unwrap_or_default()
    }

    pub fn role(&self, site: usize) -> String {
        self.group(site).role
    }

    /// Sites on which the group is active.
    pub fn active(&self) -> Vec<usize> {
        (0..2).filter(|site| self.role(*site) == "active").collect()
    }

    /// Returns the only active node. If the machine is late, there may be none or two for a moment.
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

    /// Returns the only active node, once it has been the same for a while.
    pub fn stays(&self, calm: Duration) -> Result<usize> {
        let (mut since, mut active) = (Instant::now(), Vec::new());
        self.wait("one active for a while", || {
            let now = self.active();
            if now.len() != 1 || now != active {
                (since, active) = (Instant::now(), now);
            }
            since.elapsed() >= calm
        })?;
        self.at()
    }

    /// Number of role changes of each node.
    pub fn transitions(&self) -> [u64; 2] {
        [0, 1].map(|site| self.group(site).transitions)
    }

    /// A counter of a node's vrrp plugin.
    pub fn counter(&self, site: usize, key: &str) -> u64 {
        let row = Spared(&self.routers[site]).row(&["vrrp", "counters"], key);
        row.ok().and_then(|row| row.as_u64()).unwrap_or_default()
    }

    /// Checks that no two nodes answered for the lan's gateway address at the same time.
    pub fn one_answered(&self, from: Stamp) -> Result<()> {
        self.one_answered_for(from, Wire::Lan.ipv4(VIRTUAL).into())
    }

    /// Checks that no two nodes answered for this address at the same time.
    pub fn one_answered_for(&self, from: Stamp, address: IpAddr) -> Result<()> {
        let runs = self.watch.resolutions(from, address);
        let beside = |three: &&[Run]| three[2].first.since(three[0].last) < TO_AND_FRO;
        match runs.windows(3).find(beside) {
            Some(_) => Err(format!("two answered: {runs:?}").into()),
            None => Ok(()),
        }
    }

    /// Checks that an address of the lan was never unanswered for longer than the bound, beside what the machine and the
    /// asker were late by.
    pub fn answered(
        &self,
        control: &Control,
        from: Stamp,
        host: u8,
        bound: Duration,
    ) -> Result<()> {
        let silence = self.watch.worst_silence(from, Wire::Lan.ipv4(host).into());
        let late = control.lateness_since(from) + self.lab.unasked.worst_since(from);
        judge("nobody answered", silence, bound, late)
    }

    /// Makes a fault on the active node, and waits until the other is active. Returns that one.
    pub fn strike(&mut self, fault: Fault) -> Result<usize> {
        let old = self.at()?;
        self.begin_fault(fault, old)?;
        let new = 1 - old;
        self.wait(&format!("r{} active after {fault:?}", new + 1), || {
            self.role(new) == "active"
        })?;
        Ok(new)
    }

    /// Runs `sparectl switch` on a node until it is not refused for a momentary reason: a node needs time to leave its
    /// old role, and the other is informed of it later still; and a new node that a busy machine keeps from applying its
    /// records declines, with nothing lost.
    pub fn switch(&self, site: usize) -> Result<String> {
        const MOMENTARY: [&str; 5] = [
            "did not apply all records in time",
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

    /// Makes a fault on a node, without waiting.
    pub fn begin_fault(&mut self, fault: Fault, site: usize) -> Result<()> {
        let (lab, place) = (self.lab, self.site(site));
        match fault {
            Fault::SilentCut => lab.isolate(place),
            Fault::Death => lab.power_off(place),
            Fault::CarrierLost => lab.unplug(place, Wire::Lan),
            Fault::Hang => self.routers[site].hang(),
            Fault::Shutdown => self.routers[site].shut_down(),
            Fault::Kill => {
                self.routers[site].kill();
                Ok(())
            }
            Fault::Switch => self.switch(site).map(drop),
        }
    }

    /// Ends a fault of a node, without waiting.
    pub fn end_fault(&mut self, fault: Fault, site: usize) -> Result<()> {
        let (lab, place) = (self.lab, self.site(site));
        match fault {
            Fault::SilentCut => lab.reunite(place),
            Fault::Death => lab.power_on(place),
            Fault::CarrierLost => lab.plug(place, Wire::Lan),
            Fault::Hang => self.routers[site].resume(),
            Fault::Shutdown | Fault::Kill => self.restart(site),
            Fault::Switch => Ok(()),
        }
    }

    /// Ends a fault of a node, and waits until both are settled.
    pub fn repair(&mut self, fault: Fault, site: usize) -> Result<()> {
        self.end_fault(fault, site)?;
        self.wait_settled()
    }

    /// Waits until both hear each other and are ready, and one is active.
    pub fn wait_settled(&self) -> Result<()> {
        self.wait("both settled", || {
            let known = (0..2).all(|site| {
                let status = self.status(site).unwrap_or_default();
                let is_ready = |status: &Status| status.missing.as_ref().is_some_and(Vec::is_empty);
                // the peer's report is older here
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

    /// Runs `sparectl` on a node. Returns the exit code, and both outputs as one text.
    pub fn said(&self, site: usize, words: &[&str]) -> Result<(i32, String)> {
        let output = Spared(&self.routers[site]).sparectl(words)?;
        let text = [output.stdout.as_slice(), &output.stderr].concat();
        let code = output.status.code().unwrap_or(-1);
        Ok((code, String::from_utf8_lossy(&text).into_owned()))
    }

    /// Runs `sparectl`, which must succeed. Returns both outputs.
    pub fn done(&self, site: usize, words: &[&str]) -> Result<String> {
        match self.said(site, words)? {
            (0, text) => Ok(text),
            (code, text) => Err(format!("{}: exit {code}: {text}", words.join(" ")).into()),
        }
    }

    /// Returns a number in the status of the example plugin with a peer.
    pub fn peer(&self, site: usize, key: &str) -> u64 {
        let row = Spared(&self.routers[site]).row(&["messenger", "status"], key);
        row.ok().and_then(|row| row.as_u64()).unwrap_or_default()
    }

    /// Process of a node that was started as `spared WORD ...`, such as "link".
    pub fn process(&self, site: usize, word: &str) -> Option<u32> {
        self.routers[site].process(word)
    }
}

/// Returns the plan of a node of a pair with replicated trees, as files.toml names them; the node sees a folder of its
/// own as /mnt.
pub fn with_trees(lab: &Lab, node: &str, trees: &str) -> Plan {
    let mut plan = Plan::linked(INTERVAL, &[Wire::Hot]);
    plan.own_folder = Some(PathBuf::from("/mnt"));
    let config = lab
        .dir
        .join(format!("{node}-spared/etc/plugins/files.toml"));
    let root = format!("trees = {config:?}\n");
    for (name, toml) in [("files", trees), ("files-root", root.as_str())] {
        plan.plugins.push(PluginFile {
            name: name.to_owned(),
            toml: toml.to_owned(),
            file: format!("libspared_{}.so", name.replace('-', "_")),
        });
    }
    plan
}

/// Returns the example plugin that sends messages to its peer: "" is the present version, "next" and "later" are those
/// after it.
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
