// SPDX-License-Identifier: MIT OR Apache-2.0
//! Cost of being looked at: a pair with alarms whose metrics are fetched ten times a second on both nodes, beside the
//! same pair while nobody fetches any. Both are measured in turns, on one pair.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use spared_bench::{Bench, Row};
use spared_tests::Result;
use spared_tests::lab::Lab;
use spared_tests::linked::Linked;
use spared_tests::router::{Router, Spared};

use super::adverts::{INTERVAL, Lateness};
use super::process::{self, Process};
use super::{CALM, MS, usual_plan};

/// Time between two fetches from a node.
const FETCH: Duration = MS.saturating_mul(100);
/// 2 %: the alarms' part of an idle pair's processor time.
const ALARMS: f64 = 0.02;
/// Delay in ms that fetches may add to one of a hundred adverts.
const LATER_MS: f64 = 1.0;
const ALARM: &str = "[[alarm]]\nname = \"log\"\nsyslog = \"127.0.0.1:5514\"\n";

/// Measures of one kind of turns.
#[derive(Default)]
struct Turns {
    processes: Vec<Process>,
    late: Vec<f64>,
}

impl Turns {
    fn processor(&self, counts: impl Fn(&str) -> bool) -> f64 {
        let counted = self.processes.iter().filter(|it| counts(&it.name));
        counted.map(|it| it.cost.processor).sum()
    }
}

pub fn monitoring(bench: &Bench) -> Result<Vec<Row>> {
    let turns = if bench.runs > 3 { 5 } else { 2 };
    let span = Duration::from_secs(if bench.runs > 3 { 12 } else { 6 });
    let lab = Lab::new(2)?;
    let mut plan = usual_plan(&lab, INTERVAL)?;
    plan.plugins.push(super::plugin("alarm", ALARM));
    let pair = Linked::start(&lab, &plan)?;
    thread::sleep(CALM);
    let (mut alone, mut fetched) = (Turns::default(), Turns::default());
    let mut longest = Duration::ZERO;
    for _ in 0..turns {
        take_turn(&pair, span, &mut alone)?;
        longest = longest.max(while_fetched(&pair, || {
            take_turn(&pair, span, &mut fetched)
        })?);
    }
    for process in fetched.processes.iter().filter(|it| it.site == 0) {
        println!("  r1, fetched: {process}");
    }
    let each = f64::from(turns);
    let all = alone.processor(|_| true) / each;
    let alarms = alone.processor(|name| name == "worker alarm") / each;
    let workers = alone.processes.iter();
    let workers = workers.filter(|it| it.name == "worker alarm");
    let memory = workers
        .map(|it| it.cost.pss)
        .reduce(f64::max)
        .ok_or("no alarm worker runs")?;
    let late = |turns: Turns, share| Lateness::new(turns.late).at(share);
    let (of_alone, of_fetched) = (alone.processor(|_| true), fetched.processor(|_| true));
    let before = late(alone, 0.99);
    Ok(vec![
        Row {
            what: "processor ms per s of both nodes, with alarms",
            ours: all,
            beside: all - alarms,
            allowed: Some((all - alarms) * (1.0 + ALARMS)),
            note: format!(
                "a worker has at most {memory:.0} KiB (Pss); beside: without the workers"
            ),
        },
        Row {
            what: "processor ms per s of both nodes, fetched",
            ours: of_fetched / each,
            beside: of_alone / each,
            allowed: None,
            note: format!(
                "twenty times a second in all, without sparectl itself; longest answer {} ms",
                longest.as_millis()
            ),
        },
        Row {
            what: "ms late, 99 %, fetched",
            ours: late(fetched, 0.99),
            beside: before,
            allowed: Some(before + LATER_MS),
            note: "beside: not fetched".to_owned(),
        },
    ])
}

fn take_turn(pair: &Linked<'_>, span: Duration, turns: &mut Turns) -> Result<()> {
    let active = pair.at()?;
    let from = spared_tests::clock::Stamp::now();
    let pids = pair.routers.each_ref().map(Router::pids);
    turns.processes.extend(process::measure(&pids, span)?);
    turns.late.extend(Lateness::gaps(&pair.watch, active, from));
    Ok(())
}

/// Fetches metrics from both nodes meanwhile. Returns how long the longest answer took.
fn while_fetched(pair: &Linked<'_>, turn: impl FnOnce() -> Result<()>) -> Result<Duration> {
    let ends = AtomicBool::new(false);
    thread::scope(|scope| {
        let fetchers = [0, 1].map(|site| {
            let ends = &ends;
            scope.spawn(move || -> std::result::Result<Duration, String> {
                let mut longest = Duration::ZERO;
                while !ends.load(Ordering::Relaxed) {
                    let begun = Instant::now();
                    let answer = Spared(&pair.routers[site]).sparectl(&["metrics"]);
                    let answer = answer.map_err(|error| error.to_string())?;
                    let text = String::from_utf8_lossy(&answer.stdout);
                    if !text.contains("spared_up 1") {
                        return Err(format!("no metrics: {text}"));
                    }
                    longest = longest.max(begun.elapsed());
                    thread::sleep(FETCH.saturating_sub(begun.elapsed()));
                }
                Ok(longest)
            })
        });
        let done = turn();
        ends.store(true, Ordering::Relaxed);
        let mut longest = Duration::ZERO;
        for fetcher in fetchers {
            let of_node = fetcher.join().map_err(|_| "a fetcher panicked")??;
            longest = longest.max(of_node);
        }
        done.map(|()| longest)
    })
}
