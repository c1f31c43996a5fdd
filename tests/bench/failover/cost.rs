// SPDX-License-Identifier: MIT OR Apache-2.0
//! Cost of two idle routers: processor and resident memory of all their processes.

use std::thread;
use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::ms;
use spared_tests::lab::usage;
use spared_tests::pair::Pair;
use spared_tests::router::Kind;

use spared_bench::{Bench, PRIORITIES, Row, plan};

pub fn idle(bench: &Bench, interval: Duration) -> Result<Vec<Row>> {
    let span = Duration::from_secs(if bench.runs > 3 { 10 } else { 3 });
    let ours = cost(Kind::Spared, interval, span)?;
    let theirs = if bench.measures(Kind::Keepalived) {
        cost(Kind::Keepalived, interval, span)?
    } else {
        (f64::NAN, f64::NAN, 0)
    };
    let row = |what, [ours, keepalived]: [f64; 2], note| Row {
        what,
        ours,
        beside: keepalived,
        allowed: None,
        note,
    };
    Ok(vec![
        row(
            "processor ms per s, two routers",
            [ours.0, theirs.0],
            String::new(),
        ),
        row(
            "resident KiB, two routers",
            [ours.1, theirs.1],
            format!("{} and {} processes", ours.2, theirs.2),
        ),
    ])
}

fn cost(kind: Kind, interval: Duration, span: Duration) -> Result<(f64, f64, usize)> {
    let pair = Pair::start(
        kind,
        PRIORITIES.map(|priority| plan(Some(interval), priority)),
    )?;
    pair.pause(true);
    thread::sleep(Duration::from_secs(1));
    let pids = pair.pids();
    let used = || -> Duration { pids.iter().map(|pid| usage(*pid).0).sum() };
    let before = used();
    thread::sleep(span);
    let spent = used() - before;
    let resident: u64 = pids.iter().map(|pid| usage(*pid).1).sum();
    Ok((
        ms(spent) / span.as_secs_f64(),
        resident as f64 / 1024.0,
        pids.len(),
    ))
}
