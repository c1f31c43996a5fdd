// SPDX-License-Identifier: MIT OR Apache-2.0
//! Short intervals beside busy loops: a router that lives must stay active.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::{Stamp, ms};
use spared_tests::lab::Wire;
use spared_tests::pair::Pair;
use spared_tests::probe::{Sight, Watch};
use spared_tests::router::{Kind, Plan};

use crate::report::Row;
use crate::series::{Bench, PRIORITIES, plan};

const SPAN: Duration = Duration::from_secs(60);
/// With `--quick`.
const QUICK_SPAN: Duration = Duration::from_secs(8);

/// Counts of a run of the loops.
#[derive(Default)]
struct Run {
    ours: usize,
    theirs: usize,
    /// Number of spared's transitions before which the control threads were punctual.
    unexplained: usize,
    /// The longest delay of a control thread.
    late: Duration,
}

/// Transitions while so many loops keep the processor busy, at this interval.
pub fn transitions(bench: &Bench, loops: usize, interval: Duration) -> Result<Vec<Row>> {
    let plans = PRIORITIES.map(|priority| plan(Some(interval), priority));
    transitions_of(bench, plans, loops, interval)
}

/// Transitions while such loops run, with given plans for spared.
pub fn transitions_of(
    bench: &Bench,
    plans: [Plan; 2],
    loops: usize,
    interval: Duration,
) -> Result<Vec<Row>> {
    let ours = Pair::start(Kind::Spared, plans)?;
    let theirs = PRIORITIES.map(|priority| plan(Some(interval), priority));
    let theirs = bench
        .measures(Kind::Keepalived)
        .then(|| Pair::start(Kind::Keepalived, theirs))
        .transpose()?;
    let span = if bench.runs > 3 { SPAN } else { QUICK_SPAN };
    let mut runs = Vec::new();
    while runs.len() < bench.runs {
        // both below the same loops, at the same time
        for pair in [&ours].into_iter().chain(&theirs) {
            pair.pause(false);
            pair.settle()?;
            pair.pause(true);
        }
        let from = Stamp::now();
        busy(loops, span);
        let sudden = |at: &&Stamp| !is_explained(bench, **at, ours.failover(), interval);
        let moved = changes(&ours.watch, from);
        runs.push(Run {
            ours: moved.len(),
            theirs: theirs
                .as_ref()
                .map_or(0, |it| changes(&it.watch, from).len()),
            unexplained: moved.iter().filter(sudden).count(),
            late: bench.control.worst_since(from),
        });
    }
    Ok(rows(&runs, span))
}

fn rows(runs: &[Run], span: Duration) -> Vec<Row> {
    let sum = |of: fn(&Run) -> usize| runs.iter().map(of).sum::<usize>() as f64;
    let late: Vec<String> = runs
        .iter()
        .map(|it| format!("{:.1}", ms(it.late)))
        .collect();
    let note = format!(
        "{} runs of {} s, control at most {} ms late",
        runs.len(),
        span.as_secs(),
        late.join(", ")
    );
    let row = |what, ours, beside, allowed| Row {
        what,
        ours,
        beside,
        allowed,
        note: note.clone(),
    };
    let (ours, theirs) = (sum(|it| it.ours), sum(|it| it.theirs));
    let worse = sum(|it| usize::from(it.ours > it.theirs));
    vec![
        row("transitions (a count)", ours, theirs, None),
        row(
            "of them with a punctual control",
            sum(|it| it.unexplained),
            f64::NAN,
            Some(0.0),
        ),
        row(
            "runs with more than keepalived's",
            worse,
            f64::NAN,
            Some(0.0),
        ),
    ]
}

/// Returns true if a control thread was late, shortly before, for as long as an advert may be.
fn is_explained(bench: &Bench, at: Stamp, failover: Duration, interval: Duration) -> bool {
    let before = Stamp(at.0 - (failover * 2).as_nanos() as u64);
    bench.control.worst(before, at) >= failover - interval
}

/// Loops that never pause.
pub fn busy(loops: usize, span: Duration) {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..loops {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    spin_loop();
                }
            });
        }
        thread::sleep(span);
        stop.store(true, Ordering::Relaxed);
    });
}

/// When the router that advertises on the lan changed.
fn changes(watch: &Watch, from: Stamp) -> Vec<Stamp> {
    let senders: Vec<(usize, Stamp)> = watch
        .since(from)
        .into_iter()
        .filter(|seen| seen.wire == Wire::Lan)
        .filter(|seen| matches!(&seen.sight, Sight::Advert(advert) if advert.priority > 0))
        .map(|seen| (seen.site, seen.at))
        .collect();
    let pairs = senders.windows(2).filter(|pair| pair[0].0 != pair[1].0);
    pairs.map(|pair| pair[1].1).collect()
}
