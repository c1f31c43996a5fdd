// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs a pair through sequences, one after the other, and repairs it after each.

use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use spared_message::control::Status;

use super::judge::{self, Wrong};
use super::node::Node;
use super::sequence::Sequence;
use super::step::{Act, Process, Step};
use crate::Result;
use crate::clock::{Stamp, poll};
use crate::lab::{Lab, Wire, signal_to};
use crate::linked::{INTERVAL, Linked};
use crate::probe::{Control, Question, Stations};
use crate::router::{Plan, VirtualRouter};

const ASKED_EVERY: Duration = Duration::from_millis(20);
/// Time within which an active node must have its addresses, or report why not.
const IN_PLACE: Duration = Duration::from_secs(1);
/// Time for the question and its answers, which report the moments before.
const TOLD: Duration = Duration::from_millis(500);
/// Time without an answer after which an address counts as not served.
const ANSWERED: Duration = Duration::from_millis(100);
const CALM: Duration = Duration::from_millis(300);
const RECOVERED: Duration = Duration::from_secs(10);
const STEP: Duration = Duration::from_millis(20);
const ENDED: Duration = Duration::from_secs(10);
/// Delay of the machine beyond which a second proves nothing.
const PUNCTUAL: Duration = Duration::from_millis(100);

/// Addresses that a pair serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// IPv4 on both networks, IPv6 on the lan.
    Plain,
    /// IPv4 on both networks, IPv6 on the lan, on virtual MACs.
    Vmac,
    /// IPv6 on both networks.
    Ipv6,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Plain, Self::Vmac, Self::Ipv6];

    fn plan(self) -> Plan {
        let mut plan = Plan::linked(INTERVAL, &Wire::LINKS);
        plan.without_preference();
        plan.routers = match self {
            Self::Plain | Self::Vmac => vec![
                VirtualRouter::ipv4(Wire::Lan, 51),
                VirtualRouter::ipv4(Wire::Wan, 52),
                VirtualRouter::ipv6(Wire::Lan, 51),
            ],
            Self::Ipv6 => vec![
                VirtualRouter::ipv6(Wire::Lan, 51),
                VirtualRouter::ipv6(Wire::Wan, 52),
            ],
        };
        for router in &mut plan.routers {
            router.vmac = self == Self::Vmac;
        }
        plan
    }
}

/// A virtual address.
#[derive(Clone, Debug)]
pub struct Virtual {
    pub wire: Wire,
    pub address: IpAddr,
    pub prefix: u8,
}

pub struct Course<'l> {
    pair: Linked<'l>,
    nodes: [Node<'l>; 2],
    /// True for daemons that were told to stop.
    stopping: [bool; 2],
    addresses: Vec<Virtual>,
    control: Control,
    _stations: Stations,
}

impl<'l> Course<'l> {
    pub fn start(lab: &'l Lab, kind: Kind) -> Result<Self> {
        let plan = kind.plan();
        let addresses = addresses(&plan)?;
        let question = |it: &Virtual| Question {
            wire: it.wire,
            vlan: None,
            address: it.address,
        };
        let asked: Vec<_> = addresses.iter().map(question).collect();
        let vmac = kind == Kind::Vmac;
        let course = Self {
            pair: Linked::start(lab, &plan)?,
            nodes: [
                Node::new(lab, &lab.sites[0], vmac)?,
                Node::new(lab, &lab.sites[1], vmac)?,
            ],
            stopping: [false; 2],
            addresses,
            control: Control::start(),
            _stations: Stations::start(lab, &asked, ASKED_EVERY)?,
        };
        match course.served() {
            Ok(()) => Ok(course),
            Err(what) => Err(format!("not served at the start: {what}").into()),
        }
    }

    /// Returns the number of virtual addresses in the questions.
    pub fn addresses(&self) -> usize {
        self.addresses.len()
    }

    /// Runs a sequence, and repairs the pair. Returns the broken rules.
    pub fn run(&mut self, sequence: &Sequence, say: bool) -> Result<Vec<Wrong>> {
        let began = Stamp::now();
        let mut struck = began;
        for (_, step, pause) in &sequence.steps {
            let done = self.step(step);
            struck = Stamp::now();
            if say {
                let refused = done.err().map(|why| format!(", refused: {why}"));
                let at = struck.since(began);
                println!("    {at:.1?} {step}{}", refused.unwrap_or_default());
            }
            thread::sleep(*pause);
        }
        let unreported = self.unreported(struck);
        for site in [0, 1] {
            self.nodes[site].put_right(&self.addresses)?;
            let _ = self.start_daemon(site);
        }
        let unrecovered = self.served().err();
        let addresses: Vec<_> = self.addresses.iter().map(|it| it.address).collect();
        let mut wrong = judge::frames(&self.pair.watch, began, &addresses);
        wrong.extend(unreported.map(Wrong::UnreportedOutage));
        wrong.extend(unrecovered.map(Wrong::Unrecovered));
        Ok(wrong)
    }

    fn step(&mut self, step: &Step) -> Result<()> {
        let site = step.site;
        match &step.act {
            Act::Kill(process) => self.kill(site, *process),
            Act::Stop => {
                self.stopping[site] = true;
                self.pair.routers[site].ask_to_stop()
            }
            Act::Start => self.start_daemon(site),
            Act::ByHand { .. } if self.stopping[site] || !self.is_running(site) => {
                Err("nobody guards it".into())
            }
            act => self.nodes[site].act(act, &self.addresses),
        }
    }

    fn kill(&mut self, site: usize, process: Process) -> Result<()> {
        if !self.is_running(site) {
            return Err("it does not run".into());
        }
        match process {
            Process::All => self.pair.routers[site].kill(),
            Process::Host => signal_to(self.pair.routers[site].daemons[0].pid(), Signal::KILL)?,
            Process::Elector => {
                let pid = self.pair.process(site, "vrrp").ok_or("it does not run")?;
                signal_to(pid, Signal::KILL)?;
            }
        }
        Ok(())
    }

    fn is_running(&mut self, site: usize) -> bool {
        let mut daemons = self.pair.routers[site].daemons.iter_mut();
        daemons.any(|daemon| daemon.is_running())
    }

    fn start_daemon(&mut self, site: usize) -> Result<()> {
        if self.stopping[site] {
            self.pair.routers[site].daemons[0].wait(ENDED)?;
            self.stopping[site] = false;
        }
        if self.is_running(site) {
            return Err("it runs".into());
        }
        self.pair.restart(site)
    }

    /// Rule 3: describes what an active node does not serve without reporting it.
    fn unreported(&self, struck: Stamp) -> Option<String> {
        let mut what = None;
        let limit = (IN_PLACE + TOLD).saturating_sub(Stamp::now().since(struck));
        poll(limit, STEP, || {
            what = (0..2).find_map(|site| self.silent(site));
            what.is_none()
        });
        what.filter(|_| self.control.worst_since(struck) < PUNCTUAL)
    }

    /// Describes what an active node does not serve without reporting it, at this moment.
    fn silent(&self, site: usize) -> Option<String> {
        let status = self.pair.status(site).unwrap_or_default();
        let mut groups = status.groups.iter();
        if !groups.any(|group| group.role == "active") || says_more(&status) {
            return None;
        }
        let from = Stamp::now().before(ANSWERED);
        let node = &self.nodes[site];
        let unanswered = self.addresses.iter().find(|of| {
            let runs = self.pair.watch.resolutions(from, of.address);
            !runs.iter().any(|run| run.site == site) && !node.is_misnamed(of.wire)
        })?;
        let text = self.pair.said(site, &["status"]).unwrap_or_default().1;
        Some(format!(
            "r{} is active and does not answer for {}\n{text}",
            site + 1,
            unanswered.address
        ))
    }

    /// Rule 4: waits until the pair serves again.
    fn served(&self) -> std::result::Result<(), String> {
        let end = Instant::now() + RECOVERED;
        loop {
            thread::sleep(CALM / 3);
            let why = match self.who_serves() {
                Ok(_) => return Ok(()),
                Err(why) => why,
            };
            if Instant::now() >= end {
                let said = |site| self.pair.said(site, &["status"]).unwrap_or_default().1;
                return Err(format!(
                    "{why} after {RECOVERED:?}\n{}\n{}",
                    said(0),
                    said(1)
                ));
            }
        }
    }

    /// Returns the router that alone has answered for all addresses for a while.
    fn who_serves(&self) -> std::result::Result<usize, String> {
        let from = Stamp::now().before(CALM);
        let mut one = None;
        for of in &self.addresses {
            let runs = self.pair.watch.resolutions(from, of.address);
            let address = of.address;
            match runs.as_slice() {
                [] => return Err(format!("nobody answers for {address}")),
                [run] if run.first.since(from) > ANSWERED => {
                    return Err(format!("nobody has answered for {address}"));
                }
                [run] if one.is_none_or(|one| one == run.site) => one = Some(run.site),
                [run] => {
                    let (site, one) = (run.site + 1, one.unwrap_or_default() + 1);
                    return Err(format!(
                        "r{site} answers for {address}, and r{one} for others"
                    ));
                }
                _ => return Err(format!("r1 and r2 answer for {address}")),
            }
        }
        one.ok_or_else(|| "no address".to_owned())
    }
}

/// Returns true if the status has a finding about this node.
fn says_more(status: &Status) -> bool {
    let mut findings = status.verdict.findings.iter();
    findings.any(|finding| finding.node == status.node)
}

fn addresses(plan: &Plan) -> Result<Vec<Virtual>> {
    let mut addresses = Vec::new();
    for router in &plan.routers {
        for text in &router.addresses {
            let (address, prefix) = text.split_once('/').ok_or("an address has a prefix")?;
            addresses.push(Virtual {
                wire: router.wire,
                address: address.parse()?,
                prefix: prefix.parse()?,
            });
        }
    }
    Ok(addresses)
}
