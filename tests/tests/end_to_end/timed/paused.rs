// SPDX-License-Identifier: MIT OR Apache-2.0
//! The active machine as a whole stands still, as a hypervisor pauses it, and goes on as if nothing
//! had happened: it must not answer beside its successor, and one of both serves.

use std::thread;
use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::Stamp;
use spared_tests::ipsec::{self, Tunnelled};
use spared_tests::lab::{Lab, VIRTUAL, Wire, disturbed, scenario};
use spared_tests::linked::INTERVAL;
use spared_tests::machine::wait_settled;
use spared_tests::probe::{Asker, Control, Questions, Run, Watch};

/// About as long as a lease and as a failover, and much longer.
const PAUSES_MS: [u64; 4] = [250, 330, 400, 2_000];
/// How long after it two might answer.
const AFTER: Duration = Duration::from_secs(2);
/// Some ticks of the machines' kernel, of 4 ms.
const TICKS: Duration = Duration::from_millis(12);
const SETTLE_LIMIT: Duration = Duration::from_secs(30);

#[test]
fn a_machine_that_was_paused_never_answers_beside_its_successor() {
    scenario(0, |lab| pause_each(lab, &PAUSES_MS));
}

#[test]
#[ignore = "for as long as one likes"]
fn machines_that_are_paused_for_up_to_half_a_minute() {
    let pauses_ms: Vec<u64> = (1..=12).map(|it| it * it * 210).collect();
    scenario(0, |lab| pause_each(lab, &pauses_ms));
}

/// The runs but for what waited in the cards of the machine, and was answered before the tick by
/// which its kernel learned how late it was: no lease had ended for it yet. `late`: by how much this
/// machine, which is the other's host, runs what is due.
fn without_stale(runs: Vec<Run>, paused: usize, thawed: Stamp, late: Duration) -> Vec<Run> {
    let ticks = TICKS + late;
    let is_stale = |run: &Run| {
        let soon = run.first > thawed && run.first.since(thawed) < ticks;
        run.site == paused && soon && run.last.since(run.first) < ticks
    };
    let mut kept: Vec<Run> = Vec::new();
    for run in runs.into_iter().filter(|run| !is_stale(run)) {
        match kept.last_mut() {
            Some(before) if before.site == run.site => before.last = run.last,
            _ => kept.push(run),
        }
    }
    kept
}

fn pause_each(lab: &Lab, pauses_ms: &[u64]) -> Result<()> {
    let tunnelled = Tunnelled::boot(lab)?;
    let mut plan = ipsec::plan(Vec::new());
    plan.without_preference();
    let control = Control::start();
    let watch = Watch::of_machines(lab, &tunnelled.routers)?;
    tunnelled.start_spared(&plan)?;
    let gateway = Wire::Lan.ipv4(VIRTUAL);
    let questions = Questions {
        ipv4: vec![gateway],
        ..Questions::default()
    };
    let _asker = Asker::of_machines(lab, &tunnelled.routers, questions, INTERVAL / 25)?;
    for pause_ms in pauses_ms {
        let active = wait_settled(tunnelled.nodes(), SETTLE_LIMIT)?;
        let began = Stamp::now();
        tunnelled.routers[active].freeze()?;
        thread::sleep(Duration::from_millis(*pause_ms));
        let thawed = Stamp::now();
        tunnelled.routers[active].thaw()?;
        thread::sleep(AFTER);
        let late_thaw = control.worst_since(thawed);
        let runs = watch.runs(began, gateway.into());
        let runs = without_stale(runs, active, thawed, late_thaw);
        let context = format!("r{} paused for {pause_ms} ms", active + 1);
        assert!(!runs.is_empty(), "{context}: nobody answers");
        let late = control.worst_since(began);
        if runs.len() > 2 && late > INTERVAL {
            return Err(disturbed(format!("control {late:?} late")));
        }
        assert!(runs.len() <= 2, "{context}: {runs:?}");
    }
    wait_settled(tunnelled.nodes(), SETTLE_LIMIT)?;
    Ok(())
}
