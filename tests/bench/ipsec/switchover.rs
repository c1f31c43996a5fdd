// SPDX-License-Identifier: MIT OR Apache-2.0
//! `sparectl switch` with many tunnels: nothing is lost, nothing is refused.

use std::thread;
use std::time::{Duration, Instant};

use spared_bench::{Bench, Row};
use spared_tests::Result;
use spared_tests::clock::{Stamp, ms, poll};

use super::bed::{Bed, LIMIT, plan, with_bed};
use super::{Rows, most, row, runs};

const STEP: Duration = Duration::from_millis(50);
/// Until the last answers are there.
const CALM: Duration = Duration::from_millis(500);

/// Each of the switchovers.
#[derive(Default)]
struct Switchovers {
    took: Vec<f64>,
    lost: Vec<f64>,
    outage: Vec<f64>,
    refused: Vec<f64>,
}

pub fn with(bench: &Bench, sas: u32) -> Rows {
    let (ours, without) = with_bed(|bed| {
        bed.start(plan(None), 0)?;
        let without = repeat(bench, bed)?;
        bed.start(plan(Some("")), sas)?;
        Ok((repeat(bench, bed)?, without))
    })?;
    let worst = |what, of: fn(&Switchovers) -> &[f64]| Row {
        what,
        ours: most(of(&ours)),
        beside: most(of(&without)),
        allowed: Some(most(of(&without))),
        note: "the worst; beside: without ipsec, in clear".to_owned(),
    };
    Ok(vec![
        worst("pings lost", |it| &it.lost),
        worst("packets refused", |it| &it.refused),
        row("ms of outage", &ours.outage, &without.outage, None),
        row("ms of sparectl switch", &ours.took, &without.took, None),
    ])
}

fn repeat(bench: &Bench, bed: &mut Bed) -> Result<Switchovers> {
    let mut switchovers = Switchovers::default();
    for _ in 0..runs(bench) {
        let pings = bed.pings()?;
        let refused = bed.refused(&[0, 1])?;
        let begun = Stamp::now();
        switchovers.took.push(switch(bed)?);
        bed.wait_ready()?;
        let ended = Stamp::now();
        thread::sleep(CALM);
        let outage = pings.outage(begun, ended);
        switchovers.lost.push(outage.lost as f64);
        switchovers.outage.push(ms(outage.total));
        switchovers
            .refused
            .push((bed.refused(&[0, 1])? - refused) as f64);
    }
    Ok(switchovers)
}

/// As soon as it may be; how long it took.
fn switch(bed: &mut Bed) -> Result<f64> {
    let mut said = (1, String::new());
    let mut took = 0.0;
    let done = poll(LIMIT, STEP, || {
        let begun = Instant::now();
        if let Ok(answer) = bed.nodes()[bed.at].sparectl("switch") {
            said = answer;
        }
        took = ms(begun.elapsed());
        said.0 == 0
    });
    bed.at = 1 - bed.at;
    if done {
        Ok(took)
    } else {
        Err(format!("sparectl switch: {}", said.1).into())
    }
}
