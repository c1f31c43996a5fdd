// SPDX-License-Identifier: MIT OR Apache-2.0
//! Short intervals beside eight busy loops: nobody may take over from a router that lives.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::{Stamp, ms};
use spared_tests::lab::Wire;
use spared_tests::pair::Pair;
use spared_tests::probe::{Sight, Watch};
use spared_tests::router::Kind;

use crate::report::Row;
use crate::series::{Bench, PRIORITIES, plan};

const LOOPS: usize = 8;
const STALL: Duration = Duration::from_millis(25);

pub fn transitions(bench: &Bench, interval: Duration) -> Result<Vec<Row>> {
    let span = Duration::from_secs(if bench.runs > 3 { 30 } else { 8 });
    let [ours, theirs] = [Kind::Spared, Kind::Keepalived].map(|kind| {
        let plans = PRIORITIES.map(|priority| plan(Some(interval), priority));
        let pair = Pair::start(kind, plans)?;
        pair.pause(true);
        let from = Stamp::now();
        busy(span);
        let stall = bench.control.worst_since(from);
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>((changes(&pair.watch, from), stall))
    });
    let ((ours, our_stall), (theirs, their_stall)) = (ours?, theirs?);
    Ok(vec![Row {
        what: "transitions (a count)",
        ours: ours as f64,
        keepalived: theirs as f64,
        // A stalled machine excuses everything.
        allowed: (our_stall <= STALL).then_some(0.0),
        note: format!(
            "{} s, control at most {:.1} ms late; {:.1}",
            span.as_secs(),
            ms(our_stall),
            ms(their_stall)
        ),
    }])
}

fn busy(span: Duration) {
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

/// How often another router than before was the one to advertise on the lan.
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
