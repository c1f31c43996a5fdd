// SPDX-License-Identifier: MIT OR Apache-2.0
//! Cost of the looks by which an idle pair knows that it has what it needs: those of the daemon at files, settings,
//! routes and rules, and those of every plugin. All that a plugin does while nothing happens counts as a look, and so
//! does nft, which `spared firewall` runs. The daemon's part is its threads for looks, and what it needs more than
//! without plugins. The programs that the bench itself has in service.toml count apart: the cost of such a command is
//! the administrator's.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use spared_bench::{Bench, Row};
use spared_tests::Result;
use spared_tests::clock::ms;
use spared_tests::dhcp::{Duo, Make, Options, Setup};
use spared_tests::lab::{CLIENT, Lab, Wire};
use spared_tests::linked::{Linked, with_trees};
use spared_tests::router::{Link, Plan, Router};

use super::process::name;
use super::{CALM, MS, SET, SETS, plugin};

/// 0.2 % of a processor: what the looks of a node may cost together.
const ALLOWED_MS_PER_S: f64 = 2.0;
const DAEMON: &str = "spared run";
const ELECTOR: &str = "worker vrrp";
const SERVICE: &str = "worker service";
const PROGRAMS: &str = "its programs";
/// Threads of the daemon that only look.
const LOOKING: [&str; 2] = ["files", "machine"];
/// Ticks of a second in /proc.
const TICKS: u64 = 100;
const TREE: &str = "[[tree]]\nname = \"notes\"\npaths = [\"/mnt/notes\"]\n";

/// Milliseconds a second by process and thread, of both nodes together; programs that ended count as a thread of who ran
/// them.
type Costs = BTreeMap<(String, String), f64>;

pub fn looks(bench: &Bench) -> Result<Vec<Row>> {
    let span = Duration::from_secs(if bench.runs > 3 { 60 } else { 20 });
    let all = everything(span)?;
    let alone = elector_alone(span)?;
    for ((process, thread), cost) in all.iter().filter(|(_, cost)| **cost > 0.0) {
        println!("  {process:<18}{thread:<16}{:>7.3} ms/s a node", cost / 2.0);
    }
    let sum = |costs: &Costs, counts: &dyn Fn(&str, &str) -> bool| -> f64 {
        let counted = costs
            .iter()
            .filter(|((process, thread), _)| counts(process, thread));
        counted.map(|(_, cost)| cost).sum::<f64>() / 2.0
    };
    let is_look = |thread: &str| LOOKING.contains(&thread);
    let of_daemon = sum(&all, &|process, thread| {
        process == DAEMON && is_look(thread)
    });
    let is_of_bench = |process: &str, thread: &str| process == SERVICE && thread == PROGRAMS;
    let of_others = sum(&all, &|process, thread| {
        let is_plugin = process.starts_with("worker ") && process != ELECTOR;
        (is_plugin || process == "spared firewall") && !is_of_bench(process, thread)
    });
    let rest = |costs: &Costs| {
        sum(costs, &|process, thread| {
            process == DAEMON && !is_look(thread)
        })
    };
    let more = (rest(&all) - rest(&alone)).max(0.0);
    let elector = |costs: &Costs| sum(costs, &|process, _| process == ELECTOR);
    Ok(vec![
        Row {
            what: "processor ms per s, looks of a node",
            ours: of_daemon + of_others + more,
            beside: ALLOWED_MS_PER_S,
            allowed: Some(ALLOWED_MS_PER_S),
            note: format!(
                "threads {of_daemon:.2}, plugins and firewall {of_others:.2}, daemon {more:.2}; beside: allowed"
            ),
        },
        Row {
            what: "processor ms per s, the bench's own service",
            ours: sum(&all, &is_of_bench),
            beside: f64::NAN,
            allowed: None,
            note: "programs in its service.toml, every 5 s".to_owned(),
        },
        Row {
            what: "processor ms per s, the elector of a node",
            ours: elector(&all),
            beside: elector(&alone),
            allowed: None,
            note: "beside: without other plugins".to_owned(),
        },
    ])
}

/// A pair with all plugins that look at something.
fn everything(span: Duration) -> Result<Costs> {
    let lab = Lab::new(2)?;
    for site in &lab.sites {
        site.ns.nft(SET)?;
        let own = own(&lab, &site.name);
        fs::create_dir_all(own.join("notes"))?;
        fs::write(own.join("notes/page"), "a page\n")?;
    }
    let servers = Duo::install(&lab, &[Setup::new(Make::Kea4)])?;
    let options = Options {
        service: "[[service]]\nname = \"web\"\nstart = [\"/usr/bin/true\"]\nstop = [\"/usr/bin/true\"]\n\
                  status = { r1 = [\"/usr/bin/true\"], r2 = [\"/bin/sh\", \"-c\", \"exit 3\"] }\ntest = [\"/usr/bin/true\"]\n",
        ..Options::default()
    };
    let base = Duo::plan(&servers, options)?;
    let health = format!(
        "[[ping]]\nname = \"wan\"\ntargets = [\"{0}\"]\n[[disk]]\npath = \"/\"\nmin_free = \"1%\"\n[[read_only]]\n\
         path = \"/\"\n[[route]]\nto = \"{0}\"\n",
        Wire::Wan.ipv4(CLIENT)
    );
    let plans = [0, 1].map(|site: usize| {
        let mut plan = base.clone();
        // labs have services polled each second; what is measured here is the default
        for file in &mut plan.plugins {
            file.toml = file.toml.replace("poll_interval = \"1s\"\n", "");
        }
        let more = [
            ("conntrack", ""),
            ("sets", SETS),
            ("health", health.as_str()),
        ];
        plan.plugins
            .extend(more.map(|(name, toml)| plugin(name, toml)));
        plan.plugins
            .extend(with_trees(&lab, &lab.sites[site].name, TREE).plugins);
        plan.own_folder = Some(PathBuf::from("/mnt"));
        plan.link = Some(Link {
            wires: vec![Wire::Hot],
            prefer: Some("r1".to_owned()),
            ..Link::default()
        });
        plan
    });
    let pair = Linked::begin(&lab, plans)?;
    pair.wait_settled()?;
    measure(&pair, span)
}

fn elector_alone(span: Duration) -> Result<Costs> {
    let lab = Lab::new(2)?;
    let pair = Linked::start(&lab, &Plan::linked(100 * MS, &[Wire::Hot]))?;
    measure(&pair, span)
}

fn own(lab: &Lab, node: &str) -> PathBuf {
    lab.dir.join(format!("{node}-spared/own"))
}

fn measure(pair: &Linked<'_>, span: Duration) -> Result<Costs> {
    thread::sleep(CALM);
    let pids: Vec<u32> = pair.routers.iter().flat_map(Router::pids).collect();
    let used = || {
        let mut used: BTreeMap<(String, String), Duration> = BTreeMap::new();
        for (pid, (thread, time)) in pids
            .iter()
            .flat_map(|pid| threads(*pid).map(move |it| (pid, it)))
        {
            *used.entry((name(*pid), thread)).or_default() += time;
        }
        used
    };
    let before = used();
    thread::sleep(span);
    let costs = used().into_iter().map(|(of, time)| {
        let before = before.get(&of).copied().unwrap_or_default();
        (of, ms(time.saturating_sub(before)) / span.as_secs_f64())
    });
    Ok(costs.collect())
}

/// Names of a process's threads, and the time of each so far.
fn threads(pid: u32) -> impl Iterator<Item = (String, Duration)> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"));
    let tasks = tasks.into_iter().flatten().flatten();
    let threads = tasks.filter_map(|task| {
        let read = |name: &str| fs::read_to_string(task.path().join(name)).ok();
        let used = read("schedstat")?.split(' ').next()?.parse().ok()?;
        Some((read("comm")?.trim().to_owned(), Duration::from_nanos(used)))
    });
    threads.chain(programs(pid).map(|time| (PROGRAMS.to_owned(), time)))
}

/// Time of programs that it ran and that have ended: fields 16 and 17 of its line.
fn programs(pid: u32) -> Option<Duration> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = line.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = fields.get(13..15)?.iter().map(|it| it.parse::<u64>());
    let ticks: u64 = ticks
        .collect::<std::result::Result<Vec<_>, _>>()
        .ok()?
        .into_iter()
        .sum();
    Some(Duration::from_millis(ticks * 1000 / TICKS))
}
