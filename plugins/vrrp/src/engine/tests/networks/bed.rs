//! A pair on two networks, and its reports.

use super::super::lab::carried_frames::{CarriedFrames, StationBehaviour, Stations};
use super::super::lab::{Lab, MS, SECOND};
use crate::engine::status::fault_rows;

pub const NETWORKS: [&str; 2] = ["lan1", "lan2"];
/// E9's hold and E1's delay, as configured below.
pub const HOLD_NS: u64 = SECOND;
pub const FAILBACK_NS: u64 = SECOND;
const NAMES: [&str; 2] = ["g", "h"];
/// Preferred nodes of the groups.
pub const PREFERRED: [usize; 2] = [0, 1];

/// Configuration of a pair.
#[derive(Clone, Copy, Debug)]
pub struct PairConfig {
    pub vmac: bool,
    /// Number of groups, 1 or 2; each prefers another node.
    pub groups: usize,
    pub is_linked: bool,
}

#[derive(Clone)]
pub struct NetworkBed {
    pub lab: Lab,
    pub setup: PairConfig,
}

pub const NOBODY: Stations = Stations {
    sides: [false; 2],
    behaviour: StationBehaviour::Silent,
};

/// Stations that may be on a network.
pub const STATIONS: [Stations; 8] = [
    NOBODY,
    stations_that([true, false], StationBehaviour::SendFrames),
    stations_that([false, true], StationBehaviour::SendFrames),
    stations_that([true, true], StationBehaviour::SendFrames),
    stations_that([true, false], StationBehaviour::Answer),
    stations_that([false, true], StationBehaviour::Answer),
    stations_that([true, true], StationBehaviour::Answer),
    stations_that([true, true], StationBehaviour::Silent),
];

const fn stations_that(sides: [bool; 2], behaviour: StationBehaviour) -> Stations {
    Stations { sides, behaviour }
}

impl PairConfig {
    pub const COUNT: usize = 8;

    pub fn numbered(number: usize) -> PairConfig {
        PairConfig {
            vmac: number & 1 != 0,
            groups: 1 + ((number >> 1) & 1),
            is_linked: number & 4 != 0,
        }
    }

    fn toml(self) -> String {
        let vmac = if self.vmac { "vmac = true\n" } else { "" };
        let group = |place: usize| {
            let (name, prefer) = (NAMES[place], PREFERRED[place] + 1);
            let routers = [1, 2].map(|lan| {
                let (vrid, host) = (7 + place, 1 + 8 * place);
                format!(
                    "[[group.interface]]\ninterface = \"lan{lan}\"\nvrid = {vrid}\n{vmac}\
                     addresses = [\"10.{lan}.0.{host}/24\"]\n"
                )
            });
            format!(
                "[[group]]\nname = \"{name}\"\nprefer = \"r{prefer}\"\nhold = \"1s\"\n\
                 failback_delay = \"1s\"\n{}",
                routers.concat()
            )
        };
        (0..self.groups).map(group).collect()
    }

    /// Returns a pair of which both nodes run and all is as configured, without other machines on the networks.
    pub fn settled(self) -> NetworkBed {
        let links: &[&str] = if self.is_linked { &["link1"] } else { &[] };
        let mut lab = Lab::without_start(&self.toml(), links);
        for network in NETWORKS {
            lab.set_network(network, CarriedFrames::ALL, NOBODY);
        }
        lab.start(0);
        lab.start(1);
        lab.run_with_looks(20 * SECOND);
        let mut bed = NetworkBed { lab, setup: self };
        bed.forget();
        assert_eq!(bed.differs(), None, "{self:?}");
        bed
    }
}

impl NetworkBed {
    /// Returns the same pair with other stations, which each node knows.
    pub fn with_stations(&self, stations: [Stations; 2]) -> NetworkBed {
        let mut bed = self.clone();
        for (network, stations) in NETWORKS.into_iter().zip(stations) {
            bed.lab.set_network(network, CarriedFrames::ALL, stations);
        }
        bed.lab.run_with_looks(1500 * MS);
        bed.forget();
        bed
    }

    pub fn forget(&mut self) {
        self.lab.forget();
        self.lab.forget_heartbeats();
    }

    pub fn run(&mut self, for_ns: u64) {
        self.lab.run_with_looks(for_ns);
    }

    /// Calls `sparectl vrrp retry` on both nodes: what dropped virtual MAC addresses is repaired.
    fn retry(&mut self) {
        let now_ns = self.lab.clock.now_ns();
        for node in &mut self.lab.nodes {
            node.engine.retry(now_ns);
        }
    }

    pub fn is_running(&self, node: usize) -> bool {
        !self.lab.nodes[node].is_dead()
    }

    /// Nodes that are active for a group.
    pub fn active(&self, group: usize) -> Vec<usize> {
        let is_active = |node: &usize| {
            let groups = &self.lab.nodes[*node].engine.groups;
            self.is_running(*node) && groups[group].is_active()
        };
        (0..2).filter(is_active).collect()
    }

    /// Number of times that a node became active for a group since the last [`NetworkBed::forget`].
    pub fn moves(&self, group: usize) -> usize {
        let activations = self.lab.nodes.iter().flat_map(|node| &node.activations);
        activations.filter(|(_, of)| of == NAMES[group]).count()
    }

    /// Rows in which a node reports that something of a group is not as configured.
    pub fn reports(&self, node: usize, group: usize) -> Vec<String> {
        let (lab, mut rows) = (&self.lab, Vec::new());
        let engine = &lab.nodes[node].engine;
        let of = &engine.groups[group];
        fault_rows(engine, of, lab.clock.now_ns(), &mut rows);
        let prefix = format!("{}.", of.name);
        let text = |(key, value): (String, spared_sdk::Value)| {
            format!("{} {value:?}", key.trim_start_matches(&prefix))
        };
        let mut said: Vec<String> = rows.into_iter().map(text).collect();
        if of.conflicts.current().is_some() {
            said.push("conflict".to_owned());
        }
        let horizon_ns = lab.clock.now_ns().saturating_sub(of.active_down_ns());
        let mut ports = of.networks.ports().iter();
        if ports.any(|port| port.reception.is_filtered_since(horizon_ns)) {
            said.push("heartbeats are filtered".to_owned());
        }
        let checks = lab.nodes[node].host.checks.iter();
        let failed = checks.filter(|(_, (_, state))| *state < 100);
        said.extend(failed.map(|(name, _)| format!("check {name}")));
        said
    }

    /// Difference from the configuration: a role, or a node's report of one.
    pub fn differs(&self) -> Option<String> {
        for (group, preferred) in (0..self.setup.groups).zip(PREFERRED) {
            let active = self.active(group);
            if active != [preferred] {
                return Some(format!("{active:?} is active for {}", NAMES[group]));
            }
            for node in 0..2 {
                let said = self.reports(node, group);
                if !said.is_empty() {
                    return Some(format!("r{} says {said:?}", node + 1));
                }
            }
        }
        None
    }

    /// Runs until all is as configured, and one second more. E15: if it is not after `retry_ns`, an administrator says
    /// that the fault was repaired.
    pub fn settle(&mut self, within_ns: u64, retry_ns: Option<u64>) -> Result<(), String> {
        const STEP_NS: u64 = 250 * MS;
        let began_ns = self.lab.clock.now_ns();
        let until_ns = began_ns + within_ns;
        let mut retry_ns = retry_ns.map(|after_ns| began_ns + after_ns);
        while let Some(why) = self.differs() {
            let now_ns = self.lab.clock.now_ns();
            if retry_ns.take_if(|at_ns| now_ns >= *at_ns).is_some() {
                self.retry();
            }
            if now_ns >= until_ns {
                return Err(format!(
                    "{} s after it was mended {why}",
                    within_ns / SECOND
                ));
            }
            self.run(STEP_NS);
        }
        self.run(SECOND);
        match self.differs() {
            Some(why) => Err(format!("all was as configured, and now {why}")),
            None => Ok(()),
        }
    }

    /// Roles since the last [`NetworkBed::forget`], for the text of a failure.
    pub fn history(&self) -> String {
        let nodes = self.lab.nodes.iter();
        let mut all: Vec<_> = nodes
            .flat_map(|node| node.roles.iter().map(move |it| (node, it)))
            .collect();
        all.sort_by_key(|(_, (at_ns, ..))| *at_ns);
        let lines = all.iter().map(|(node, (at_ns, role, why))| {
            format!("\n    {} ms {} {role}: {why}", at_ns / MS, node.name)
        });
        lines.collect()
    }
}
