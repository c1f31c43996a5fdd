// SPDX-License-Identifier: MIT OR Apache-2.0
//! `make bench-link`: two nodes that know each other, beside what bounds them: keepalived, VRRP
//! without a link, plain TCP.
//!
//! Writes target/bench/link.json and prints a table. `--quick` makes fewer runs; words select the
//! cases whose name contains one of them.

#![forbid(unsafe_code)]

mod death;
mod paths;
mod stream;
mod switchover;

use std::process::ExitCode;
use std::time::Duration;

use spared_bench::{Case, Report, program, transitions_of};
use spared_tests::lab::Wire;
use spared_tests::router::Plan;

const MS: Duration = Duration::from_millis(1);

fn main() -> ExitCode {
    let report = Report::new("link", ["ours", "beside"], ["spared", "beside"]);
    program(report, &CASES)
}

const CASES: [Case; 5] = [
    ("switchover", "100ms", switchover::cost),
    ("machine dead", "10ms", |bench| {
        death::silent(bench, 10 * MS)
    }),
    ("path lost", "100ms", paths::losses),
    ("link", "", stream::measures),
    ("8 busy loops", "10ms", |bench| {
        let plans = [(); 2].map(|()| Plan::linked(10 * MS, &[Wire::Hot]));
        transitions_of(bench, plans, 8, 10 * MS)
    }),
];
