// SPDX-License-Identifier: MIT OR Apache-2.0
//! `make bench-groups`: what many groups cost, beside what `ip -batch` and nft need for as many addresses and
//! leases, and beside keepalived with as many instances.
//!
//! Writes target/bench/groups.json and prints a table. `--quick` makes three runs instead of eleven; words
//! select the cases whose name contains one of them.

#![forbid(unsafe_code)]

mod bed;
mod cost;
mod metrics;

use std::process::ExitCode;
use std::sync::OnceLock;

use spared_bench::{Bench, Case, Report, Row, program};
use spared_tests::Result;
use spared_tests::many::Many;

use bed::{STEPS, Times};

/// Longest allowed time beyond that of one group, as a multiple of the floor.
const SHARE: f64 = 2.0;

fn main() -> ExitCode {
    let report = Report::new("groups", ["ours_ms", "floor_ms"], ["spared", "floor"]);
    program(report.by("groups"), &CASES)
}

const CASES: [Case; 11] = [
    ("moves", "1", |bench| moves(bench, groups(1))),
    ("moves", "20", |bench| moves(bench, groups(20))),
    ("moves", "100", |bench| moves(bench, groups(100))),
    ("moves", "255", |bench| moves(bench, groups(255))),
    ("moves", "255 in 1", |bench| moves(bench, TOGETHER)),
    ("cost", "1", |bench| cost::idle(bench, groups(1))),
    ("cost", "20", |bench| cost::idle(bench, groups(20))),
    ("cost", "100", |bench| cost::idle(bench, groups(100))),
    ("cost", "255", |bench| cost::idle(bench, groups(255))),
    ("cost", "255 in 1", |bench| cost::idle(bench, TOGETHER)),
    ("metrics", "255", |bench| {
        metrics::metrics(bench, groups(255))
    }),
];

const TOGETHER: Many = Many {
    count: 255,
    together: true,
};

const fn groups(count: u8) -> Many {
    Many {
        count,
        together: false,
    }
}

/// Each step, with what is allowed: as long as with one group, and twice the floor on top.
fn moves(bench: &Bench, many: Many) -> Result<Vec<Row>> {
    static ONE: OnceLock<Times> = OnceLock::new();
    let one = match ONE.get() {
        Some(one) => one,
        None => {
            let times = bed::measure(bench, groups(1))?;
            ONE.get_or_init(|| times)
        }
    };
    let measured;
    let times = if many == groups(1) {
        one
    } else {
        measured = bed::measure(bench, many)?;
        &measured
    };
    let rows = STEPS.iter().enumerate().map(|(step, what)| {
        let alone = one.median(step);
        let ours = times.median(step);
        Row {
            what,
            ours,
            beside: times.floor(),
            allowed: (many != groups(1)).then_some(alone + SHARE * times.floor()),
            note: format!(
                "{:.0} more than one group; {}",
                ours - alone,
                times.spread(step)
            ),
        }
    });
    Ok(rows.collect())
}
