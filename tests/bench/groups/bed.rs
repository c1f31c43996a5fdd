// SPDX-License-Identifier: MIT OR Apache-2.0
//! A pair with many groups through its moves, each timed until the last group is served.

use std::thread;
use std::time::Duration;

use spared_bench::Bench;
use spared_tests::Result;
use spared_tests::clock::{Stamp, ms};
use spared_tests::lab::{Lab, Wire};
use spared_tests::linked::{INTERVAL, Linked};
use spared_tests::many::Many;
use spared_tests::pair::Fault;

const LIMIT: Duration = Duration::from_secs(60);

/// Names of the timed steps, in their order. The last one ends when the process has ended.
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
    let active = many.settled(&pair)?;
    // between two rounds, so that every run has the same silence to wait for
    pair.watch.next_advert(active, Wire::Lan, LIMIT)?;
    thread::sleep(INTERVAL / 2);
    let from = Stamp::now();
    pair.begin_fault(Fault::Death, active)?;
    let failover = many.served(&pair.watch, from, Some(1 - active), LIMIT)?;
    pair.end_fault(Fault::Death, active)?;
    let active = many.settled(&pair)?;
    let from = Stamp::now();
    pair.done(active, &["switch"])?;
    let switchover = many.served(&pair.watch, from, Some(1 - active), LIMIT)?;
    let active = many.settled(&pair)?;
    let from = Stamp::now();
    pair.routers[active].shut_down()?;
    let ended = Stamp::now().since(from);
    let stop = many.served(&pair.watch, from, Some(1 - active), LIMIT)?;
    Ok([start, failover, switchover, stop, ended])
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values
}

pub fn median(values: &[f64]) -> f64 {
    sorted(values)
        .get(values.len() / 2)
        .copied()
        .unwrap_or(f64::NAN)
}
