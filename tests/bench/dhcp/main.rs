// SPDX-License-Identifier: MIT OR Apache-2.0
//! `make bench-dhcp`: how soon leases are at the peer, and what many of them cost.
//!
//! Writes target/bench/dhcp.json and prints a table. `--quick` makes fewer runs; words select the
//! cases whose name contains one of them. Beside each figure is, from the same run, what the server
//! itself needs for its own part, or rsync for the same file: nobody can be faster than the first,
//! and people who copy lease files wait a minute or ten before the second even begins.

#![forbid(unsafe_code)]

mod bulk;
mod failover;
mod services;
mod visible;

use std::process::ExitCode;

use spared_bench::{Bench, Case, Report, Row, program};
use spared_tests::Result;
use spared_tests::dhcp::Make;

/// Leases of the cases that have many.
const MANY: u32 = 20_000;

fn main() -> ExitCode {
    let report = Report::new("dhcp", ["ours", "beside"], ["spared", "beside"]);
    program(report.by("server"), &CASES)
}

const CASES: [Case; 12] = [
    ("visible", "kea4", |bench| visible::ipv4(bench, Make::Kea4)),
    ("visible", "dnsmasq4", |bench| {
        visible::ipv4(bench, Make::Dnsmasq4)
    }),
    ("visible", "dhcpd4", |bench| {
        visible::ipv4(bench, Make::Dhcpd4)
    }),
    ("sync of 2000", "kea4", |bench| {
        bulk::sync(bench, Make::Kea4, 2000)
    }),
    ("sync of 20000", "kea4", |bench| {
        bulk::sync(bench, Make::Kea4, MANY)
    }),
    ("sync of 50000", "kea4", |bench| {
        bulk::sync(bench, Make::Kea4, 50_000)
    }),
    ("sync of 20000", "dnsmasq4", |bench| {
        bulk::sync(bench, Make::Dnsmasq4, MANY)
    }),
    ("sync of 20000", "dhcpd4", |bench| {
        bulk::sync(bench, Make::Dhcpd4, MANY)
    }),
    ("failover", "kea4", |bench| {
        failover::dies(bench, Make::Kea4)
    }),
    ("failover", "dnsmasq4", |bench| {
        failover::dies(bench, Make::Dnsmasq4)
    }),
    ("failover", "dhcpd4", |bench| {
        failover::dies(bench, Make::Dhcpd4)
    }),
    ("services", "ten", services::ten),
];

/// Such a share of the sorted values lies below it.
fn share(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    let at = (last as f64 * share).ceil() as usize;
    values.get(at).copied().unwrap_or(f64::NAN)
}

fn median(values: &mut [f64]) -> f64 {
    share(values, 0.5)
}

/// The medians of both columns.
fn row(what: &'static str, mut ours: Vec<f64>, mut beside: Vec<f64>, allowed: Option<f64>) -> Row {
    let (least, most) = (share(&mut ours, 0.0), share(&mut ours, 1.0));
    Row {
        what,
        ours: median(&mut ours),
        beside: median(&mut beside),
        allowed,
        note: format!("{least:.1} to {most:.1}"),
    }
}

/// Heavy cases take fewer runs.
fn runs(bench: &Bench) -> usize {
    (bench.runs / 3).max(1)
}

type Rows = Result<Vec<Row>>;
