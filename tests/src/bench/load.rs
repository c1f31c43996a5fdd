// SPDX-License-Identifier: MIT OR Apache-2.0
//! Short intervals beside eight busy loops: a router that lives must stay active.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::Result;
use crate::clock::{Stamp, ms};
use crate::lab::Wire;
use crate::pair::Pair;
use crate::probe::{Sight, Watch};
use crate::router::{Kind, Plan};

use super::report::Row;
use super::series::{Bench, PRIORITIES, plan};

const LOOPS: usize = 8;
const STALL: Duration = Duration::from_millis(25);

pub fn transitions(bench: &Bench, interval: Duration) -> Result<Vec<Row>> {
    let plans = PRIORITIES.map(|priority| plan(Some(interval), priority));
    transitions_of(bench, plans, interval, Duration::from_secs(30))
}

/// The same with given plans for spared.
pub fn transitions_of(
    bench: &Bench,
    plans: [Plan; 2],
    interval: Duration,
    span: Duration,
) -> Result<Vec<Row>> {
    let span = if bench.runs > 3 { span } else { span / 4 };
    let theirs = PRIORITIES.map(|priority| plan(Some(interval), priority));
    let routers = [(Kind::Spared, plans), (Kind::Keepalived, theirs)];
    let [ours, theirs] = routers.map(|(kind, plans)| {
        if !bench.measures(kind) {
            return Ok((f64::NAN, Duration::ZERO));
        }
        let pair = Pair::start(kind, plans)?;
        pair.pause(true);
        let from = Stamp::now();
        busy(span);
        let stall = bench.control.worst_since(from);
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>((
            changes(&pair.watch, from) as f64,
            stall,
        ))
    });
    let ((ours, our_stall), (theirs, their_stall)) = (ours?, theirs?);
    Ok(vec![Row {
        what: "transitions (a count)",
        ours,
        beside: theirs,
        // Nothing is promised while the machine itself stalls.
        allowed: (our_stall <= STALL).then_some(0.0),
        note: format!(
            "{} s, control at most {:.1} ms late; {:.1}",
            span.as_secs(),
            ms(our_stall),
            ms(their_stall)
        ),
    }])
}

/// Eight loops that never pause.
pub fn busy(span: Duration) {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..LOOPS {
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

/// Number of times that the router that advertises on the lan changed.
fn changes(watch: &Watch, from: Stamp) -> usize {
    let senders: Vec<usize> = watch
        .since(from)
        .into_iter()
        .filter(|seen| seen.wire == Wire::Lan)
        .filter(|seen| matches!(&seen.sight, Sight::Advert(advert) if advert.priority > 0))
        .map(|seen| seen.site)
        .collect();
    senders.windows(2).filter(|pair| pair[0] != pair[1]).count()
}
