// SPDX-License-Identifier: MIT OR Apache-2.0
//! `make bench-idle`: what an idle pair costs with the plugins of a usual one, beside keepalived and conntrackd.
//!
//! Writes target/bench/idle.json and prints a table, and below it each process of one node: processor time,
//! wake-ups, memory. One case has how late adverts are; one has what alarms and fetched metrics cost; the last has
//! all plugins that look at what a node needs, and what these looks cost. Words select the cases whose name contains one
//! of them.

#![forbid(unsafe_code)]

mod adverts;
mod looks;
mod monitoring;
mod process;

use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use spared_bench::{Bench, Case, PRIORITIES, Report, Row, program};
use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::conntrackd::{Conntrackd, Options};
use spared_tests::lab::{Lab, Wire};
use spared_tests::linked::Linked;
use spared_tests::router::{Kind, Plan, PluginFile, Router};

use process::{Cost, Process};

const MS: Duration = Duration::from_millis(1);
/// After the start: time for what is done once.
const CALM: Duration = Duration::from_secs(8);
const LIMIT: Duration = Duration::from_secs(30);
/// Largest allowed processor time of the electors, as a share of keepalived's.
const ELECTOR_SHARE: f64 = 1.2;
const SET: &str = "table inet filter { set bans { type ipv4_addr; flags timeout; }; }\n";
const SETS: &str = "[[set]]\nfamily = \"inet\"\ntable = \"filter\"\nname = \"bans\"\n";
const FLOWS: u32 = 65_536;

fn main() -> ExitCode {
    let report = Report::new("idle", ["ours", "beside"], ["spared", "beside"]);
    program(report, &CASES)
}

const CASES: [Case; 5] = [
    ("usual pair", "100ms", |bench| usual(bench, 100 * MS)),
    ("usual pair", "10ms", |bench| usual(bench, 10 * MS)),
    ("adverts", "10ms", adverts::adverts),
    ("monitoring", "10ms", monitoring::monitoring),
    ("looks of all plugins", "100ms", looks::looks),
];

fn usual(bench: &Bench, interval: Duration) -> Result<Vec<Row>> {
    let span = Duration::from_secs(if bench.runs > 3 { 20 } else { 6 });
    let ours = ours(interval, span)?;
    for process in ours.iter().filter(|it| it.site == 0) {
        println!("  r1 {process}");
    }
    let theirs = if bench.alone {
        Vec::new()
    } else {
        theirs(interval, span)?
    };
    for process in theirs.iter().filter(|it| it.site == 0) {
        println!("  r1 {process}");
    }
    let sum = |all: &[Process], what: fn(&Cost) -> f64| match all {
        [] => f64::NAN,
        all => all.iter().map(|process| what(&process.cost)).sum(),
    };
    let row = |what, value: fn(&Cost) -> f64| {
        let beside = sum(&theirs, value);
        Row {
            what,
            ours: sum(&ours, value),
            beside,
            allowed: Some(beside),
            note: format!("{} and {} processes", ours.len(), theirs.len()),
        }
    };
    let named = |all: &[Process], name: &str, what: fn(&Cost) -> f64| {
        let named = all.iter().filter(|process| process.name.contains(name));
        named.map(|process| what(&process.cost)).sum::<f64>()
    };
    let keepalived = named(&theirs, "keepalived", |cost| cost.processor);
    Ok(vec![
        row("processor ms per s, both nodes", |cost| cost.processor),
        row("resident KiB (Pss), both nodes", |cost| cost.pss),
        Row {
            allowed: None,
            ..row("wake-ups per s, both nodes", |cost| cost.wakeups)
        },
        Row {
            what: "processor ms per s, electors",
            ours: named(&ours, "vrrp", |cost| cost.processor),
            beside: keepalived,
            allowed: Some(ELECTOR_SHARE * keepalived),
            note: "beside keepalived".to_owned(),
        },
    ])
}

/// A pair with the plugins that most have.
fn usual_plan(lab: &Lab, interval: Duration) -> Result<Plan> {
    for site in &lab.sites {
        site.ns.nft(SET)?;
    }
    let mut plan = Plan::linked(interval, &[Wire::Hot]);
    plan.without_preference();
    let plugins = [("conntrack", ""), ("sets", SETS), ("health", "")];
    plan.plugins
        .extend(plugins.map(|(name, toml)| plugin(name, toml)));
    Ok(plan)
}

fn plugin(name: &str, toml: &str) -> PluginFile {
    PluginFile {
        name: name.to_owned(),
        toml: toml.to_owned(),
        file: format!("libspared_{name}.so"),
    }
}

fn ours(interval: Duration, span: Duration) -> Result<Vec<Process>> {
    let lab = Lab::new(2)?;
    let plan = usual_plan(&lab, interval)?;
    let pair = Linked::start(&lab, &plan)?;
    thread::sleep(CALM);
    process::measure(&pair.routers.each_ref().map(Router::pids), span)
}

fn theirs(interval: Duration, span: Duration) -> Result<Vec<Process>> {
    let lab = Lab::new(2)?;
    let options = Options {
        flows: FLOWS,
        external_cache: true,
        default_buffer: true,
    };
    for site in &lab.sites {
        let address = Wire::Hot.ipv4(site.host());
        site.ns.ip(&format!("addr add {address}/24 dev hot\n"))?;
    }
    let start = |(index, priority): (usize, u8)| -> Result<(Router, Conntrackd)> {
        let site = &lab.sites[index];
        let plan = Plan::gateways(interval, priority);
        let keepalived = Router::start(&lab, site, Kind::Keepalived, &plan)?;
        Ok((keepalived, Conntrackd::start(&lab, site, options)?))
    };
    let both = (0..2)
        .zip(PRIORITIES)
        .map(start)
        .collect::<Result<Vec<_>>>()?;
    let is_active = || lab.holders("10.1.0.1").len() == 1;
    if !poll(LIMIT, 20 * MS, is_active) {
        return Err("keepalived is not active".into());
    }
    thread::sleep(CALM);
    let pids = [0, 1].map(|site| {
        let (keepalived, conntrackd): &(Router, Conntrackd) = &both[site];
        let mut pids = keepalived.pids();
        pids.push(conntrackd.pid());
        pids
    });
    process::measure(&pids, span)
}
