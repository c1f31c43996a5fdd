// SPDX-License-Identifier: MIT OR Apache-2.0
//! Processor time of two idle nodes with many groups, beside keepalived with as many instances.

use std::thread;
use std::time::Duration;

use spared_bench::{Bench, PRIORITIES, Row};
use spared_tests::Result;
use spared_tests::clock::{Stamp, ms};
use spared_tests::lab::{Lab, usage};
use spared_tests::linked::{INTERVAL, Linked};
use spared_tests::many::Many;
use spared_tests::probe::Watch;
use spared_tests::router::{Kind, Router};

const LIMIT: Duration = Duration::from_secs(60);
/// Largest allowed processor time, as a share of keepalived's.
const SHARE: f64 = 0.5;

pub fn idle(bench: &Bench, many: Many) -> Result<Vec<Row>> {
    let span = Duration::from_secs(if bench.runs > 3 { 10 } else { 4 });
    let lab = Lab::new(2)?;
    let plan = many.linked(INTERVAL);
    let pair = Linked::begin(&lab, [plan.clone(), plan])?;
    many.settled(&pair)?;
    let pids: Vec<u32> = pair.routers.iter().flat_map(Router::pids).collect();
    let ours = cost(&pids, span);
    let of_workers = [0, 1].map(|site| pair.process(site, "worker"));
    let workers: Vec<u32> = of_workers.into_iter().flatten().collect();
    let worker = cost(&workers, span);
    drop(pair);
    let theirs = if bench.measures(Kind::Keepalived) {
        keepalived(many, span)?
    } else {
        f64::NAN
    };
    Ok(vec![Row {
        what: "processor ms per s of both nodes, beside keepalived",
        ours,
        beside: theirs,
        allowed: Some(SHARE * theirs),
        note: format!("the vrrp workers {worker:.1}"),
    }])
}

fn keepalived(many: Many, span: Duration) -> Result<f64> {
    let lab = Lab::new(2)?;
    let watch = Watch::start(&lab)?;
    let from = Stamp::now();
    let start = |(site, priority)| {
        let site = &lab.sites[site];
        Router::start(
            &lab,
            site,
            Kind::Keepalived,
            &many.alone(INTERVAL, priority),
        )
    };
    let routers = (0..2)
        .zip(PRIORITIES)
        .map(start)
        .collect::<Result<Vec<_>>>()?;
    many.served(&watch, from, None, LIMIT)?;
    thread::sleep(Duration::from_secs(5));
    let pids: Vec<u32> = routers.iter().flat_map(Router::pids).collect();
    Ok(cost(&pids, span))
}

/// Milliseconds per second.
fn cost(pids: &[u32], span: Duration) -> f64 {
    let used = || -> Duration { pids.iter().map(|pid| usage(*pid).0).sum() };
    let before = used();
    thread::sleep(span);
    ms(used() - before) / span.as_secs_f64()
}
