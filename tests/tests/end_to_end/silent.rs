// SPDX-License-Identifier: MIT OR Apache-2.0
//! A process that hangs: neither node says OK any more before it is killed, and both do when it runs again.

use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use spared_tests::Result;
use spared_tests::clock::{Stamp, poll};
use spared_tests::lab::{Lab, Wire, disturbed, scenario, signal_to};
use spared_tests::linked::{INTERVAL, Linked, peer};
use spared_tests::probe::Control;
use spared_tests::router::Plan;
use spared_verdict::Word;

/// A second until the next ping, 1.5 s without its answer, and some for the way to the other node.
const NOTICED: Duration = Duration::from_secs(3);
const STEP: Duration = Duration::from_millis(50);
const LIMIT: Duration = Duration::from_secs(20);
/// Lateness of the machine beyond which there is no verdict.
const LATE: Duration = Duration::from_millis(100);

fn words(pair: &Linked<'_>) -> [Word; 2] {
    [0, 1].map(|site| pair.status(site).unwrap_or_default().verdict.word)
}

fn hang(lab: &Lab, cases: &[(usize, &str, &str)]) -> Result<()> {
    let control = Control::start();
    let mut plan = Plan::linked(INTERVAL, &[Wire::Hot]);
    plan.plugins.push(peer(""));
    let pair = Linked::start(lab, &plan)?;
    for (site, process, id) in cases {
        pair.wait("OK on both", || words(&pair) == [Word::Ok; 2])?;
        let pid = pair.process(*site, process).ok_or("no such process")?;
        let (stamp, began) = (Stamp::now(), Instant::now());
        signal_to(pid, Signal::STOP)?;
        // each by itself, as asking about what hangs takes a second
        let notice = |node: usize| {
            let is_said = poll(LIMIT, STEP, || {
                let verdict = pair.status(node).unwrap_or_default().verdict;
                let is_named = verdict.findings.iter().any(|it| it.id == *id);
                verdict.word != Word::Ok && (node != *site || is_named)
            });
            is_said.then(|| began.elapsed())
        };
        let [one, other] = thread::scope(|scope| {
            let other = scope.spawn(|| notice(1));
            [notice(0), other.join().ok().flatten()]
        });
        println!(
            "{process} of r{} hangs: said after {one:?}, {other:?}",
            site + 1
        );
        let late = control.worst_since(stamp);
        let in_time = |took: Option<Duration>| took.is_some_and(|took| took <= NOTICED);
        if !(in_time(one) && in_time(other)) {
            if late > LATE {
                return Err(disturbed(format!("control {late:?} late")));
            }
            return Err(
                format!("{process} of r{}: said after {one:?}, {other:?}", site + 1).into(),
            );
        }
    }
    pair.wait("OK on both", || words(&pair) == [Word::Ok; 2])
}

#[test]
fn a_process_that_hangs_is_named_on_both_nodes_before_it_is_killed() {
    let cases = [
        (0, "messenger", "SP-0308"),
        (1, "messenger", "SP-0308"),
        (1, "vrrp", "SP-0308"),
        (1, "link", "SP-0501"),
    ];
    scenario(2, |lab| hang(lab, &cases));
}

/// Three reports of its state that do not come, two seconds apart, and some for the look.
const UNREPORTED: Duration = Duration::from_secs(9);

/// Its link and its elector live, and it could not become active.
#[test]
fn a_daemon_that_hangs_is_named_on_the_other_node() {
    scenario(2, |lab| {
        let pair = Linked::start(lab, &Plan::linked(INTERVAL, &[Wire::Hot]))?;
        pair.wait("OK on both", || words(&pair) == [Word::Ok; 2])?;
        let pid = pair.process(1, "run").ok_or("no daemon")?;
        let began = Instant::now();
        signal_to(pid, Signal::STOP)?;
        let is_said = poll(LIMIT, STEP, || {
            let verdict = pair.status(0).unwrap_or_default().verdict;
            let is_named = verdict.findings.iter().any(|it| it.id == "SP-0103");
            is_named && verdict.word != Word::Ok
        });
        let took = began.elapsed();
        signal_to(pid, Signal::CONT)?;
        println!("the daemon of r2 hangs: said after {took:?}");
        if !is_said {
            return Err("r1 says nothing of r2's daemon that hangs".into());
        }
        if took > UNREPORTED {
            return Err(disturbed(format!("r1 said it after {took:?}")));
        }
        pair.wait("OK on both", || words(&pair) == [Word::Ok; 2])
    });
}
