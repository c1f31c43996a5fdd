// SPDX-License-Identifier: MIT OR Apache-2.0
//! Two spared nodes whose kernels should have the same flows, with strict firewalls.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use rustix::process::Signal;

use crate::Result;
use crate::clock::poll;
use crate::flows::{self, Entry, Transfer};
use crate::lab::{Lab, VIRTUAL, Wire, signal_to};
use crate::linked::{INTERVAL, Linked};
use crate::pair::Fault;
use crate::router::{Plan, PluginFile, Router, Ruleset, Spared};

const LIMIT: Duration = Duration::from_secs(20);
const STEP: Duration = Duration::from_millis(20);

/// Virtual address in a network in which the routers have no other, so that `masquerade` uses it.
pub const PUBLIC: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
/// Address of the wan's client in that network.
pub const SERVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 2);

pub struct Synced<'l> {
    pub pair: Linked<'l>,
}

/// Plan without a preference, with this conntrack.toml.
pub fn plan(toml: &str) -> Plan {
    let mut plan = Plan::linked(INTERVAL, &Wire::LINKS);
    plan.without_preference();
    plan.plugins.push(PluginFile {
        name: "conntrack".to_owned(),
        toml: toml.to_owned(),
        file: "libspared_conntrack.so".to_owned(),
    });
    for router in &mut plan.routers {
        if router.wire == Wire::Wan {
            router.addresses.push(format!("{PUBLIC}/24"));
        }
    }
    plan
}

impl<'l> Synced<'l> {
    /// Starts both, and waits until they are settled and in sync.
    pub fn start(lab: &'l Lab, plan: &Plan, rules: &Ruleset) -> Result<Self> {
        let synced = Self::begin(lab, [plan.clone(), plan.clone()], rules)?;
        synced.wait_settled()?;
        Ok(synced)
    }

    /// Starts the nodes with a plan for each, without waiting.
    pub fn begin(lab: &'l Lab, plans: [Plan; 2], rules: &Ruleset) -> Result<Self> {
        lab.wan.ip(&format!("addr add {SERVER}/24 dev wan\n"))?;
        for site in &lab.sites {
            rules.load(site)?;
        }
        let pair = Linked::begin(lab, plans)?;
        Ok(Self { pair })
    }

    /// Makes one fault after the other, and repairs each. The transfer must continue after each step.
    pub fn survive(&mut self, transfer: &Transfer, faults: &[Fault]) -> Result<()> {
        // TCP backs off during an outage.
        const RECOVERY: Duration = Duration::from_secs(8);
        for (number, fault) in faults.iter().enumerate() {
            // the node with the fault may differ from the one that was active before
            let mut new = 0;
            for struck in [true, false] {
                if struck {
                    new = self.strike(*fault)?
                } else {
                    self.repair(*fault, 1 - new)?
                }
                transfer.wait_moves(RECOVERY).map_err(|error| {
                    let what = if struck { "struck" } else { "repaired" };
                    let tables = self.tables();
                    format!("failover {number}, {fault:?}, {what}: {error}\n{tables}")
                })?;
            }
        }
        Ok(())
    }

    /// Process id of a node's conntrack worker.
    pub fn worker(&self, site: usize) -> Result<u32> {
        let worker = self.process(site, "conntrack");
        worker.ok_or_else(|| format!("r{} runs no conntrack worker", site + 1).into())
    }

    pub fn kill_worker(&self, site: usize) -> Result<()> {
        signal_to(self.worker(site)?, Signal::KILL)
    }

    /// Returns a number in `sparectl conntrack`.
    pub fn number(&self, site: usize, key: &str) -> u64 {
        let row = Spared(&self.routers[site]).row(&["conntrack"], key);
        row.ok().and_then(|row| row.as_u64()).unwrap_or_default()
    }

    /// Returns a text in `sparectl conntrack`.
    pub fn text(&self, site: usize, key: &str) -> String {
        let row = Spared(&self.routers[site]).row(&["conntrack"], key);
        let text = |row: serde_json::Value| row.as_str().map(str::to_owned);
        row.ok().and_then(text).unwrap_or_default()
    }

    /// Flows that a router forwards, sorted.
    pub fn table(&self, site: usize) -> Result<Vec<Entry>> {
        let mut table = flows::read(&self.lab.sites[site].ns)?;
        table.retain(is_carried);
        Ok(table)
    }

    /// Tables of both nodes, for a failed test.
    pub fn tables(&self) -> String {
        let mut text = String::new();
        for site in [0, 1] {
            text += &format!("r{} holds:\n", site + 1);
            match self.table(site) {
                Ok(table) => {
                    let lines = table.iter().take(20).map(|entry| format!("  {entry}\n"));
                    text.extend(lines);
                }
                Err(error) => text += &format!("  {error}\n"),
            }
        }
        text
    }

    /// Waits until both kernels have the same flows.
    pub fn wait_equal(&self) -> Result<()> {
        self.wait_equal_of(|_| true)
    }

    /// Waits until both kernels have the same flows among those that count.
    pub fn wait_equal_of(&self, counts: impl Fn(&Entry) -> bool) -> Result<()> {
        let mut tables = [Vec::new(), Vec::new()];
        let mut equal = || -> Result<bool> {
            tables = [self.table(0)?, self.table(1)?];
            tables.iter_mut().for_each(|table| table.retain(&counts));
            Ok(flows::same(&tables[0], &tables[1]))
        };
        if poll(LIMIT, STEP, || equal().unwrap_or(false)) {
            return Ok(());
        }
        let [first, second] = [&tables[0], &tables[1]];
        let lines = flows::differences(first, second).join("\n");
        let (first, second) = (first.len(), second.len());
        let said = [0, 1].map(|site| self.said(site, &["conntrack"]).unwrap_or_default().1);
        Err(format!(
            "r1 holds {first} flows, r2 {second} after {LIMIT:?}:\n{lines}\n{}\n{}",
            said[0], said[1]
        )
        .into())
    }

    /// Waits until a node's kernel has this number of matching flows.
    pub fn wait_holds(
        &self,
        site: usize,
        wanted: usize,
        fits: impl Fn(&Entry) -> bool,
    ) -> Result<()> {
        let mut found = 0;
        let there = || {
            let table = flows::read(&self.lab.sites[site].ns).unwrap_or_default();
            found = table.iter().filter(|entry| fits(entry)).count();
            found == wanted
        };
        if poll(LIMIT, STEP, there) {
            return Ok(());
        }
        let said = self.said(site, &["conntrack"]).unwrap_or_default().1;
        Err(format!(
            "r{} holds {found} flows, not {wanted} after {LIMIT:?}\n{said}",
            site + 1
        )
        .into())
    }

    /// Starts a node's router with another plan.
    pub fn start_with(&mut self, site: usize, plan: Plan) -> Result<()> {
        self.plans[site] = plan;
        self.restart(site)
    }

    pub fn router(&mut self, site: usize) -> &mut Router {
        &mut self.routers[site]
    }
}

impl<'l> Deref for Synced<'l> {
    type Target = Linked<'l>;

    fn deref(&self) -> &Self::Target {
        &self.pair
    }
}

impl DerefMut for Synced<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.pair
    }
}

/// True if neither end of the flow is a router itself.
fn is_carried(entry: &Entry) -> bool {
    let ends = [entry.original.source, entry.reply.source];
    !ends.into_iter().any(is_router) && !is_multicast(entry.original.destination)
}

fn is_router(address: IpAddr) -> bool {
    const HOSTS: [u8; 3] = [VIRTUAL, 11, 12];
    let own = |wire: Wire| HOSTS.into_iter().any(|host| wire.ipv4(host) == address);
    let own6 = |wire: Wire| {
        HOSTS
            .into_iter()
            .any(|host| wire.ipv6(host) == address.to_string())
    };
    address == PUBLIC || Wire::ALL.into_iter().any(|wire| own(wire) || own6(wire))
}

fn is_multicast(address: IpAddr) -> bool {
    let link_local = matches!(address, IpAddr::V6(v6) if v6.segments()[0] == 0xfe80);
    address.is_multicast() || link_local
}
