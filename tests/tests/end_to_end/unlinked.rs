// SPDX-License-Identifier: MIT OR Apache-2.0
//! The link is down, or there is none, and the networks are well: what begins or crashes then finds one active node,
//! and leaves one.

use std::fs;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use spared_tests::Result;
use spared_tests::clock::Stamp;
use spared_tests::lab::{Lab, VIRTUAL, Wire, scenario, signal_to};
use spared_tests::linked::{INTERVAL, Linked};
use spared_tests::probe::Asker;
use spared_tests::router::Plan;

/// Longer than what any of this may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(20);
const CALM: Duration = Duration::from_millis(1_200);

fn plan() -> Plan {
    let mut plan = Plan::linked(INTERVAL, &[Wire::Hot]);
    plan.without_preference();
    plan
}

fn cut(lab: &Lab) -> Result<()> {
    lab.cut(&lab.sites[0], Wire::Hot)
}

/// When the link is back, no role moves.
fn join_in_peace(lab: &Lab, pair: &Linked) -> Result<()> {
    let before = pair.transitions();
    lab.join(&lab.sites[0], Wire::Hot)?;
    pair.wait_settled()?;
    thread::sleep(CALM);
    assert_eq!(before, pair.transitions());
    Ok(())
}

#[test]
fn a_pair_that_boots_without_its_link_has_one_active_and_fails_over() {
    scenario(2, |lab| {
        cut(lab)?;
        let mut pair = Linked::begin(lab, [plan(), plan()])?;
        let first = pair.stays(CALM)?;
        pair.routers[first].kill();
        pair.watch
            .wait_active(1 - first, Wire::Lan, INTERVAL * 5, LIMIT)?;
        pair.restart(first)?;
        assert_eq!(pair.stays(CALM)?, 1 - first, "who serves goes on");
        join_in_peace(lab, &pair)
    });
}

#[test]
fn a_node_that_reboots_without_the_link_joins_as_backup() {
    scenario(2, |lab| {
        let mut pair = Linked::start(lab, &plan())?;
        let first = pair.at()?;
        let _asker = Asker::at_gateway(lab)?;
        cut(lab)?;
        thread::sleep(CALM);
        let killed = Stamp::now();
        pair.routers[first].kill();
        pair.watch
            .wait_active(1 - first, Wire::Lan, INTERVAL * 5, LIMIT)?;
        pair.restart(first)?;
        assert_eq!(pair.stays(CALM)?, 1 - first, "who serves goes on");
        let runs = pair.watch.runs(killed, Wire::Lan.ipv4(VIRTUAL).into());
        assert!(runs.len() <= 2, "{runs:?}");
        join_in_peace(lab, &pair)
    });
}

/// Its adverts prove nothing to a node with the keys: it must not take the role from that one.
#[test]
fn a_node_with_a_wrong_key_stays_backup_and_takes_over_from_the_dead() {
    scenario(2, |lab| {
        let mut pair = Linked::start(lab, &Plan::linked(INTERVAL, &[Wire::Hot]))?;
        assert_eq!(pair.at()?, 0, "r1 is preferred");
        let _asker = Asker::at_gateway(lab)?;
        let key = pair.routers[0].dir.join("etc/key");
        pair.routers[0].kill();
        pair.watch.wait_active(1, Wire::Lan, INTERVAL * 5, LIMIT)?;
        fs::copy(pair.routers[1].dir.join("etc/key"), key)?;
        let place = pair.site(0);
        pair.routers[0].start_again(lab, place, &pair.plans[0])?;
        assert_eq!(pair.stays(CALM * 5)?, 1, "who serves goes on");
        let found = pair.status(0)?.verdict.findings;
        assert!(found.iter().any(|it| it.id == "SP-0505"), "{found:?}");

        pair.routers[1].kill();
        pair.watch.wait_active(0, Wire::Lan, INTERVAL * 5, LIMIT)?;
        pair.restart(1)?;
        assert_eq!(pair.stays(CALM * 5)?, 0, "nor does the other take it back");
        Ok(())
    });
}

#[test]
fn an_elector_that_crashes_without_the_link_leaves_one_active() {
    scenario(2, |lab| {
        let pair = Linked::start(lab, &plan())?;
        let _asker = Asker::at_gateway(lab)?;
        cut(lab)?;
        thread::sleep(CALM);
        for victim in [pair.at()?, 1 - pair.at()?] {
            let worker = pair.process(victim, "vrrp").ok_or("no elector")?;
            let killed = Stamp::now();
            signal_to(worker, Signal::KILL)?;
            pair.stays(CALM)?;
            // whichever of both was quicker, nobody answered beside the other
            let runs = pair.watch.runs(killed, Wire::Lan.ipv4(VIRTUAL).into());
            assert!(runs.len() <= 3, "r{} crashed: {runs:?}", victim + 1);
        }
        join_in_peace(lab, &pair)
    });
}

// ---- no link at all ------------------------------------------------------------------------------

/// Nothing is replicated, so nobody waits until anything is.
#[test]
fn the_preferred_node_of_a_pair_without_a_link_gets_its_group_back() {
    scenario(2, |lab| {
        let mut pair = Linked::begin(lab, [(); 2].map(|()| Plan::linked(INTERVAL, &[])))?;
        pair.wait_active(0)?;
        pair.routers[0].kill();
        pair.watch.wait_active(1, Wire::Lan, INTERVAL * 5, LIMIT)?;
        pair.restart(0)?;
        pair.watch.wait_active(0, Wire::Lan, INTERVAL * 5, LIMIT)?;
        assert_eq!(pair.stays(CALM)?, 0);
        Ok(())
    });
}
