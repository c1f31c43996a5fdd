// SPDX-License-Identifier: MIT OR Apache-2.0
//! `make bench-conntrack`: what it costs to keep the peer's table of flows, beside conntrackd FT-FW.
//!
//! Writes target/bench/conntrack.json and prints a table. `--quick` makes fewer runs; words select
//! the cases whose name contains one of them. Room for so many flows is a setting of the whole
//! machine: this needs its root, and puts it back at the end.

#![forbid(unsafe_code)]

mod bed;
mod bulk;
mod burst;
mod commit;
mod cost;
mod duel;
mod limits;
mod sizing;

use std::process::ExitCode;

use spared_bench::{Case, Report, program_with};

fn main() -> ExitCode {
    let _limits = limits::Limits;
    let report = Report::new(
        "conntrack",
        ["ours", "conntrackd"],
        ["spared", "conntrackd"],
    );
    program_with(report.by("flows"), &CASES, limits::restore)
}

const CASES: [Case; 12] = [
    ("follow", "200k", cost::follow),
    ("wire", "200k", cost::wire),
    ("rate", "20k/s", cost::rate),
    ("sizing", "1k/s", |bench| sizing::at_rate(bench, 1000)),
    ("sizing", "10k/s", |bench| sizing::at_rate(bench, 10_000)),
    ("sizing", "100k/s", |bench| sizing::at_rate(bench, 100_000)),
    ("commit", "200k", commit::failover),
    ("burst", "300k", burst::burst),
    ("bulk", "100k", |bench| bulk::join(bench, 100_000)),
    ("bulk", "300k", |bench| bulk::join(bench, 300_000)),
    ("bulk", "1M", |bench| bulk::join(bench, 1_000_000)),
    ("bulk", "10M", |_| bulk::join_once(10_000_000)),
];
