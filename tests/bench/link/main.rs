// SPDX-License-Identifier: MIT OR Apache-2.0
//! `make bench-link`: two nodes that know each other, beside what bounds them: keepalived, VRRP
//! without a link, plain TCP.
//!
//! Writes target/bench/link.json and prints a table. `--quick` makes fewer runs; words select the
//! cases whose name contains one of them.

#![forbid(unsafe_code)]

mod death;
mod handover;
mod paths;
mod stream;

use std::process::ExitCode;
use std::time::Duration;

use spared_tests::Result;
use spared_tests::bench::{Bench, Report, Row, transitions_of};
use spared_tests::lab::{Wire, become_root, leave_when_told};
use spared_tests::router::Plan;

const MS: Duration = Duration::from_millis(1);
const RUNS: usize = 11;
const QUICK_RUNS: usize = 3;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-link: {error}");
            ExitCode::FAILURE
        }
    }
}

type Case = (&'static str, &'static str, fn(&Bench) -> Result<Vec<Row>>);

const CASES: [Case; 5] = [
    ("handover", "100ms", handover::cost),
    ("machine dead", "10ms", |bench| {
        death::silent(bench, 10 * MS)
    }),
    ("path lost", "100ms", paths::losses),
    ("link", "", stream::measures),
    ("busy loops", "10ms", |bench| {
        let plans = [(); 2].map(|()| Plan::linked(10 * MS, &[Wire::Hot]));
        transitions_of(bench, &plans, Duration::from_secs(60))
    }),
];

fn run() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let quick = words.iter().any(|word| word == "--quick");
    let chosen: Vec<_> = words
        .iter()
        .filter(|word| !word.starts_with("--"))
        .collect();
    become_root()?;
    leave_when_told(|| ())?;
    let bench = Bench::new(if quick { QUICK_RUNS } else { RUNS });
    let mut report = Report::new("link", ["ours", "beside"], ["spared", "beside"]);
    for (case, interval, measure) in CASES {
        let name = format!("{case} {interval}");
        if !chosen.is_empty() && !chosen.iter().any(|word| name.contains(word.as_str())) {
            continue;
        }
        for row in measure(&bench).map_err(|error| format!("{name}: {error}"))? {
            report.add(case, interval, row);
        }
    }
    report.write()?;
    match report.missed {
        0 => Ok(()),
        missed => Err(format!("{missed} missed").into()),
    }
}
