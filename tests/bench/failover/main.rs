// SPDX-License-Identifier: MIT OR Apache-2.0
//! `make bench-failover`: what each fault costs, beside keepalived on the same wires.
//!
//! Writes target/bench/failover.json and prints a table. `--quick` makes three runs instead of
//! eleven; words select the cases whose name contains one of them.

#![forbid(unsafe_code)]

mod cost;

use std::process::ExitCode;
use std::time::Duration;

use spared_bench::{Case, Report, program, transitions};
use spared_tests::pair::Fault;

const MS: Duration = Duration::from_millis(1);

fn main() -> ExitCode {
    let fields = ["ours_ms", "keepalived_ms"];
    program(
        Report::new("failover", fields, ["spared", "keepalived"]),
        &CASES,
    )
}

const CASES: [Case; 16] = [
    ("silent cut", "10ms", |bench| {
        bench.fault(Fault::SilentCut, Some(10 * MS))
    }),
    ("silent cut", "100ms", |bench| {
        bench.fault(Fault::SilentCut, Some(100 * MS))
    }),
    ("silent cut", "1s", |bench| {
        bench.fault(Fault::SilentCut, Some(1000 * MS))
    }),
    ("silent cut", "default", |bench| {
        bench.fault(Fault::SilentCut, None)
    }),
    ("carrier lost", "10ms", |bench| {
        bench.fault(Fault::CarrierLost, Some(10 * MS))
    }),
    ("carrier lost", "100ms", |bench| {
        bench.fault(Fault::CarrierLost, Some(100 * MS))
    }),
    ("carrier lost", "1s", |bench| {
        bench.fault(Fault::CarrierLost, Some(1000 * MS))
    }),
    ("shutdown", "100ms", |bench| {
        bench.fault(Fault::Shutdown, Some(100 * MS))
    }),
    ("hang", "100ms", |bench| {
        bench.fault(Fault::Hang, Some(100 * MS))
    }),
    ("linked: machine dead", "100ms", |bench| {
        bench.linked_fault(Fault::Death, 100 * MS)
    }),
    ("linked: carrier lost", "100ms", |bench| {
        bench.linked_fault(Fault::CarrierLost, 100 * MS)
    }),
    ("linked: shutdown", "100ms", |bench| {
        bench.linked_fault(Fault::Shutdown, 100 * MS)
    }),
    ("200 addresses", "100ms", |bench| {
        bench.addresses(200, 100 * MS)
    }),
    ("8 busy loops", "10ms", |bench| {
        transitions(bench, 8, 10 * MS)
    }),
    ("40 busy loops", "10ms", |bench| {
        transitions(bench, 40, 10 * MS)
    }),
    ("idle cost", "10ms", |bench| cost::idle(bench, 10 * MS)),
];
