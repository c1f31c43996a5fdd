// SPDX-License-Identifier: MIT OR Apache-2.0
//! `make bench-ipsec`: what tunnels that follow cost a failover, and how near the backup is.
//!
//! Writes target/bench/ipsec.json and prints a table. `--quick` makes fewer runs; words select the
//! cases whose name contains one of them. The routers are user-mode-linux machines, since only they
//! have ESP on any kernel; system calls cost them many times what they cost others. So beside a time
//! is, from the same run, what the same kind of machine needs for the kernel's own part, which nobody
//! can do without, and where a machine is too slow for the time itself, that ratio decides.

#![forbid(unsafe_code)]

mod bed;
mod crowd;
mod dies;
mod growth;
mod lag;
mod switchover;
mod within;

use std::process::ExitCode;

use spared_bench::{Bench, Case, Report, Row, program};
use spared_tests::Result;

/// SAs of the cases: those of one tunnel, and many.
const FEW: u32 = 2;
const MANY: u32 = 3000;
const MORE: u32 = 10_000;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let Some(("within", words)) = words.split_first().map(|(it, rest)| (it.as_str(), rest)) {
        return within::program(words);
    }
    let report = Report::new("ipsec", ["ours", "beside"], ["spared", "beside"]);
    program(report.by("SAs"), &CASES)
}

const CASES: [Case; 5] = [
    ("machine dies", "2", |bench| dies::with(bench, FEW)),
    ("machine dies", "3000", |bench| dies::with(bench, MANY)),
    ("more SAs", "10000", |bench| dies::with(bench, MORE)),
    ("switchover", "3000", |bench| switchover::with(bench, MANY)),
    ("10000 packets/s", "2", lag::at_speed),
];

fn share(values: &[f64], share: f64) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    let at = (last as f64 * share).ceil() as usize;
    values.get(at).copied().unwrap_or(f64::NAN)
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match (values.get(middle.wrapping_sub(1)), values.get(middle)) {
        (Some(low), Some(high)) if values.len() % 2 == 0 => (low + high) / 2.0,
        (_, middle) => middle.copied().unwrap_or(f64::NAN),
    }
}

fn most(values: &[f64]) -> f64 {
    share(values, 1.0)
}

/// The medians of both columns.
fn row(what: &'static str, ours: &[f64], beside: &[f64], allowed: Option<f64>) -> Row {
    Row {
        what,
        ours: median(ours),
        beside: median(beside),
        allowed,
        note: format!("{:.1} to {:.1}", share(ours, 0.0), most(ours)),
    }
}

fn runs(bench: &Bench) -> usize {
    (bench.runs * 2 / 5).max(1)
}

type Rows = Result<Vec<Row>>;
