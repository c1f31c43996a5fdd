// SPDX-License-Identifier: MIT OR Apache-2.0
//! Cost of a rate of connections on the link and both nodes, for the page of requirements.
//!
//! TCP connections of half a second are opened and closed by packets, and their entries end later at the same rate, as the
//! kernel ends them 120 s after they were closed. They are deleted for that: the kernel itself would take minutes.

use std::thread;
use std::time::Duration;

use spared_bench::{Bench, Row};
use spared_tests::Result;
use spared_tests::flows::{Connections, Crowd};

use super::bed::{Bed, Cost};
use super::duel::{median, sorted, spread};

const SPAN: Duration = Duration::from_secs(4);
/// A connection lasts half a second, what is held back is sent a second after its begin, and a message takes its time.
const REST: Duration = Duration::from_secs(3);
/// Keys of conntrack.toml, and the three rows of each.
const SETTINGS: [(&str, [&str; 3]); 3] = [
    (
        "",
        [
            "link kB/s, all replicated",
            "active per cent, all replicated",
            "backup per cent, all replicated",
        ],
    ),
    (
        "min_age = \"1s\"\n",
        [
            "link kB/s, min_age 1 s",
            "active per cent, min_age 1 s",
            "backup per cent, min_age 1 s",
        ],
    ),
    (
        "min_age = \"10m\"\n",
        [
            "link kB/s, all end before min_age",
            "active per cent, all end before min_age",
            "backup per cent, all end before min_age",
        ],
    ),
];

struct Load {
    /// Connections a second; less than what was asked for if the machine cannot make them.
    rate: f64,
    /// Share of the connections that the kernel tracked.
    tracked: f64,
    /// Connections, and their ends.
    costs: [Cost; 2],
    count: f64,
}

/// Connections at a rate, with each of the settings.
pub fn at_rate(bench: &Bench, rate: u32) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (toml, [link, active, backup]) in SETTINGS {
        let runs = bench.runs.min(3);
        let runs = (0..runs).map(|_| measure(rate, toml));
        let runs: Vec<Load> = runs.collect::<Result<_>>()?;
        let row = |what, of: &dyn Fn(&Load) -> f64| {
            let values = sorted(&runs, of);
            Row {
                what,
                ours: median(&values),
                beside: f64::NAN,
                allowed: None,
                note: spread(&values),
            }
        };
        rows.push(row("connections a second", &|run| run.rate));
        rows.push(row("per cent of them tracked", &|run| run.tracked * 100.0));
        rows.push(row("link, bytes of each", &Load::bytes));
        rows.push(row(link, &|run| run.bytes() * run.rate / 1e3));
        rows.push(row(active, &|run| run.per_cent(0)));
        rows.push(row(backup, &|run| run.per_cent(1)));
    }
    Ok(rows)
}

fn measure(rate: u32, toml: &str) -> Result<Load> {
    let count = rate * SPAN.as_secs() as u32;
    let mut bed = Bed::start_spared(count, toml)?;
    bed.hush()?;
    bed.without_offload()?;
    let crowd = Crowd {
        rate: Some(rate),
        ..Crowd::tcp(count)
    };
    let connections = Connections::prepare(&bed.pair.lab, 0)?;
    let idle = bed.idle()?;
    let (before, there) = (bed.read()?, bed.count(0)?);
    let took = connections.make(&bed.pair.lab, crowd)?;
    thread::sleep(REST);
    let opened = bed.read()?;
    let tracked = bed.count(0)?.saturating_sub(there);
    crowd.delete(bed.ns(0))?;
    thread::sleep(REST);
    let ended = bed.read()?;
    let sized = Load {
        rate: f64::from(count) / took.as_secs_f64(),
        tracked: tracked as f64 / f64::from(count),
        costs: [opened.since(before), ended.since(opened)].map(|cost| cost.beyond(idle)),
        count: tracked.max(1) as f64,
    };
    bed.end()?;
    Ok(sized)
}

impl Load {
    fn bytes(&self) -> f64 {
        self.costs.iter().map(|cost| cost.wire).sum::<f64>() / self.count
    }

    /// Processor time of a router's processes at the rate, both for begins and for ends.
    fn per_cent(&self, site: usize) -> f64 {
        let us: f64 = self.costs.iter().map(|it| it.processor_us[site]).sum();
        us / self.count * self.rate / 1e4
    }
}
