// SPDX-License-Identifier: MIT OR Apache-2.0
//! A pair with many groups through its moves, each timed until the last group is served.

use std::time::Duration;

use spared_tests::Result;
use spared_tests::bench::Bench;
use spared_tests::clock::{Stamp, ms, poll};
use spared_tests::lab::Lab;
use spared_tests::linked::{INTERVAL, Linked};
use spared_tests::many::Many;
use spared_tests::pair::Fault;

const LIMIT: Duration = Duration::from_secs(60);

/// What is timed, in this order; the last is the time until the process has ended.
pub const STEPS: [&str; 5] = [
    "start of both until all are active",
    "death until the last is taken over",
    "switchover of all",
    "SIGTERM until the last is taken over",
    "SIGTERM until the end",
];

/// Times in ms, by step and run.
#[derive(Default)]
pub struct Times {
    steps: [Vec<f64>; STEPS.len()],
    floors: Vec<f64>,
}

impl Times {
    pub fn median(&self, step: usize) -> f64 {
        median(&self.steps[step])
    }

    pub fn floor(&self) -> f64 {
        median(&self.floors)
    }

    pub fn spread(&self, step: usize) -> String {
        let times = sorted(&self.steps[step]);
        match (times.first(), times.last()) {
            (Some(first), Some(last)) => format!("{first:.0} to {last:.0} of {}", times.len()),
            _ => String::new(),
        }
    }
}

/// All steps of all runs, the floor before each run.
pub fn measure(bench: &Bench, many: Many) -> Result<Times> {
    let mut times = Times::default();
    for _ in 0..bench.runs {
        let lab = Lab::new(2)?;
        times.floors.push(ms(many.floor(&lab.sites[0])?));
        let run = one_run(&lab, many).map_err(|error| format!("{error}\n{}", lab.logs()))?;
        for (step, took) in times.steps.iter_mut().zip(run) {
            step.push(ms(took));
        }
    }
    Ok(times)
}

fn one_run(lab: &Lab, many: Many) -> Result<[Duration; STEPS.len()]> {
    let plan = many.linked(INTERVAL);
    let from = Stamp::now();
    let mut pair = Linked::begin(lab, [plan.clone(), plan])?;
    let start = many.served(&pair.watch, from, None, LIMIT)?;
    let active = settled(&pair)?;
    let from = Stamp::now();
    pair.begin_fault(Fault::Death, active)?;
    let failover = many.served(&pair.watch, from, Some(1 - active), LIMIT)?;
    pair.end_fault(Fault::Death, active)?;
    let active = settled(&pair)?;
    let from = Stamp::now();
    pair.done(active, &["switch"])?;
    let switchover = many.served(&pair.watch, from, Some(1 - active), LIMIT)?;
    let active = settled(&pair)?;
    let from = Stamp::now();
    pair.routers[active].shut_down()?;
    let ended = Stamp::now().since(from);
    let stop = many.served(&pair.watch, from, Some(1 - active), LIMIT)?;
    Ok([start, failover, switchover, stop, ended])
}

/// Waits until one node has all groups, and both are ready. Returns that node.
pub fn settled(pair: &Linked<'_>) -> Result<usize> {
    let mut active = None;
    poll(LIMIT, Duration::from_millis(100), || {
        let statuses = [0, 1].map(|site| pair.status(site).unwrap_or_default());
        active = (0..2).find(|site| {
            let roles = |site: usize| statuses[site].groups.iter().map(|it| it.role.as_str());
            roles(*site).all(|role| role == "active")
                && roles(*site).count() > 0
                && roles(1 - *site).all(|role| role == "backup")
        });
        let is_ready = |site: usize| statuses[site].missing.as_ref().is_some_and(Vec::is_empty);
        active.is_some() && is_ready(0) && is_ready(1)
    })
    .then_some(active)
    .flatten()
    .ok_or_else(|| {
        let said = [0, 1].map(|site| pair.said(site, &["status"]).unwrap_or_default().1);
        format!("not settled after {LIMIT:?}\n{}\n{}", said[0], said[1]).into()
    })
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values
}

fn median(values: &[f64]) -> f64 {
    sorted(values).get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
