// SPDX-License-Identifier: MIT OR Apache-2.0
//! A pair with everything enabled, real daemons and clients, and a random fault every few seconds. The verdict of each
//! node is compared all the time with the truth as measured from outside.
//!
//! [`World`] is the pair and its clients, [`faults`](self) the list of faults and their undoing, `outside` the measured
//! truth, `judge` the comparison. The choice of faults only depends on the seed and on the schedule, so that a run can
//! be repeated.
//!
//! The plugin `ipsec` is not included: the nodes are namespaces of this kernel, which may lack ESP (`ip xfrm state add`
//! reports "Requested type not found", although policies can be added), and without SAs the plugin has nothing to
//! replicate. The faults signal processes and cut cables of namespaces; in machines, which have ESP, each would need
//! other means. Tunnels have a soak of their own, in machines, which `make soak` runs afterwards
//! (`tests/end_to_end/in_machines/ipsec_truth.rs`).

mod faults;
mod judge;
mod outside;
mod world;

use std::thread;
use std::time::{Duration, Instant};

use crate::Result;
use crate::lab::Lab;
use crate::random::Random;

use faults::{Fault, KINDS, Kind};
use judge::Judge;
pub use world::World;

/// Time between two faults.
const PACE: Duration = Duration::from_secs(5);
/// Longest time until a fault is undone, so that some last into the next one.
const LASTS_MS: usize = 8_000;
/// Shortest time until a fault is undone. A state must be seen for a while before it can be judged.
const LASTS_AT_LEAST: Duration = Duration::from_millis(500);
const STEP: Duration = Duration::from_millis(250);
/// Time after the last fault in which everything has to be well again.
const QUIET: Duration = Duration::from_secs(60);

/// Result of a run.
#[derive(Debug)]
pub struct Outcome {
    /// Number of faults made.
    pub faults: usize,
    /// Figures to print.
    pub figures: Vec<String>,
    /// False reports, one sentence each.
    pub wrong: Vec<String>,
    /// Number of times at which the machine was late.
    pub stalls: usize,
    /// Total time for which it was late, in which nothing was judged.
    pub stood: Duration,
}

/// Runs for some time, and prints each fault.
pub fn run(lab: &Lab, seed: u64, time: Duration) -> Result<Outcome> {
    let mut world = World::start(lab)?;
    let mut random = Random::new(seed);
    let mut judge = Judge::new();
    crate::say!("seed {seed}, {} s", time.as_secs());
    let began = Instant::now();
    let (mut next, mut faults) = (Duration::ZERO, Vec::<Fault>::new());
    let mut count = 0;
    while began.elapsed() < time && !judge.is_enough() {
        // by the schedule, in its order, however late this is
        let undo = faults.iter().map(|it| it.until).min();
        match undo.filter(|undo| *undo <= next) {
            Some(at) if at <= began.elapsed() => end_one(&mut world, &mut judge, &mut faults, at)?,
            None if next <= began.elapsed() => {
                let (kind, site) = choose(&mut random, &faults);
                let lasts = LASTS_AT_LEAST + random.time(LASTS_MS);
                count += 1;
                let name = kind.name;
                crate::say!(
                    "round {count}: {:.1} s: r{}: {name}, for {:.1} s",
                    began.elapsed().as_secs_f64(),
                    site + 1,
                    lasts.as_secs_f64()
                );
                let fault = Fault::new(kind, site, next + lasts);
                if begin(&mut world, &mut judge, &fault, &faults)? {
                    faults.push(fault);
                }
                next += PACE;
            }
            _ => thread::sleep(STEP),
        }
        judge.look(&mut world, &faults)?;
    }
    while let Some(at) = faults.iter().map(|it| it.until).min() {
        end_one(&mut world, &mut judge, &mut faults, at)?;
    }
    judge.wait_well(&mut world, QUIET)?;
    Ok(judge.outcome(count))
}

/// Returns a kind of fault whose place has no fault yet, and the node.
fn choose(random: &mut Random, faults: &[Fault]) -> (&'static Kind, usize) {
    loop {
        let (kind, site) = (&KINDS[random.below(KINDS.len())], random.below(2));
        if faults.iter().all(|it| !it.excludes(kind, site)) {
            return (kind, site);
        }
    }
}

/// Makes a fault. Returns false if it could not be made at this moment, such as an order that is refused.
fn begin(
    world: &mut World<'_>,
    judge: &mut Judge,
    fault: &Fault,
    others: &[Fault],
) -> Result<bool> {
    judge.strikes(fault, others);
    match (fault.kind.make)(&mut world.bed, fault.site) {
        Ok(()) => Ok(true),
        Err(why) if fault.kind.may_be_refused => {
            crate::say!("    refused: {}", why.to_string().trim());
            Ok(false)
        }
        Err(why) => Err(format!("{}: {why}", fault.name()).into()),
    }
}

/// Undoes the fault whose time is over.
fn end_one(
    world: &mut World<'_>,
    judge: &mut Judge,
    faults: &mut Vec<Fault>,
    at: Duration,
) -> Result<()> {
    let due = faults.iter().position(|it| it.until == at);
    let fault = faults.remove(due.ok_or("no fault is due")?);
    judge.ends(&fault.name());
    let undone = (fault.kind.undo)(&mut world.bed, fault.site);
    undone.map_err(|why| format!("after {}: {why}", fault.name()).into())
}
