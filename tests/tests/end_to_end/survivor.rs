// SPDX-License-Identifier: MIT OR Apache-2.0
//! A router without a peer that could serve: nothing takes its group off the interfaces that work.

use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use spared_tests::Result;
use spared_tests::clock::{Stamp, poll};
use spared_tests::lab::{Lab, VIRTUAL, Wire, scenario, signal_to};
use spared_tests::linked::Linked;
use spared_tests::pair::Fault;
use spared_tests::probe::{Asker, Control, Questions, Watch};
use spared_tests::router::{Kind, Plan, Router, Spared};

const INTERVAL: Duration = Duration::from_millis(100);
const LIMIT: Duration = Duration::from_secs(10);

fn start(lab: &Lab, watch: &Watch) -> Result<Router> {
    let plan = Plan::gateways(INTERVAL, 200);
    let router = Router::start(lab, &lab.sites[0], Kind::Spared, &plan)?;
    watch.wait_active(0, Wire::Lan, INTERVAL * 3, LIMIT)?;
    Ok(router)
}

fn transitions(router: &Router) -> Result<u64> {
    let groups = Spared(router).status()?.groups;
    Ok(groups.iter().map(|group| group.transitions).sum())
}

#[test]
fn an_interface_without_an_own_address_is_hurt_alone_and_named() {
    scenario(1, |lab| {
        let control = Control::start();
        let watch = Watch::start(lab)?;
        let own = format!("{}/24", Wire::Wan.ipv4(lab.sites[0].host()));
        lab.sites[0].ns.ip(&format!("addr del {own} dev wan"))?;
        let router = start(lab, &watch)?;
        let before = transitions(&router)?;
        let began = Stamp::now();
        // time for the host to look at the leases several times
        thread::sleep(Duration::from_secs(7));
        let worst = watch.worst_spacing(began, 0, Wire::Lan);
        control.judge("without an advert", began, worst, INTERVAL * 2)?;
        assert_eq!(transitions(&router)?, before, "{}", router.log());
        let status = Spared(&router).status()?;
        let findings = status.verdict.findings;
        let bare = findings.iter().find(|it| it.id == "SP-0204");
        assert!(bare.is_some_and(|it| it.thing == "wan"), "{findings:?}");
        lab.sites[0].ns.ip(&format!("addr add {own} dev wan"))?;
        watch.wait_active(0, Wire::Wan, INTERVAL * 3, LIMIT)?;
        thread::sleep(INTERVAL * 5);
        assert_eq!(transitions(&router)?, before, "{}", router.log());
        let findings = Spared(&router).status()?.verdict.findings;
        assert!(findings.is_empty(), "{findings:?}");
        Ok(())
    });
}

#[test]
fn a_late_advert_is_no_change_of_role() {
    scenario(1, |lab| {
        let watch = Watch::start(lab)?;
        let router = start(lab, &watch)?;
        let before = transitions(&router)?;
        let host = router.daemons[0].pid();
        for (hold_ms, round) in [350, 500, 1500].into_iter().zip(1..) {
            let workers = router.pids().into_iter().filter(|pid| *pid != host);
            let workers: Vec<u32> = workers.collect();
            for pid in &workers {
                signal_to(*pid, Signal::STOP)?;
            }
            thread::sleep(Duration::from_millis(hold_ms));
            let resumed = Stamp::now();
            for pid in &workers {
                signal_to(*pid, Signal::CONT)?;
            }
            let again = watch.next_advert(0, Wire::Lan, LIMIT)?.since(resumed);
            assert!(again < INTERVAL * 4, "{hold_ms} ms: {again:?}");
            let counted = || {
                let row = Spared(&router).row(&["vrrp", "counters"], "office.lapses");
                row.is_ok_and(|row| row.as_u64() == Some(round))
            };
            assert!(poll(LIMIT, INTERVAL, counted), "{}", router.log());
            assert_eq!(transitions(&router)?, before, "{}", router.log());
        }
        let log = router.log();
        assert!(log.contains("no other router was active"), "{log}");
        Ok(())
    });
}

/// A start listens for one failover time beside a dead machine, and not for the 5 s of a boot: of the elector alone,
/// and of the whole daemon.
#[test]
fn beside_a_dead_machine_a_crash_costs_a_start_and_one_failover_time() {
    // a start of all processes on a busy machine, 0.1 s of pause, and 0.3 s
    const BOUND: Duration = Duration::from_secs(2);
    scenario(2, |lab| {
        let control = Control::start();
        let mut pair = Linked::start(lab, &Plan::linked(INTERVAL, &[Wire::Hot]))?;
        let questions = Questions {
            ipv4: vec![Wire::Lan.ipv4(VIRTUAL)],
            ..Questions::default()
        };
        let _asker = Asker::start(lab, questions, Duration::from_millis(20))?;
        let alive = pair.strike(Fault::Death)?;
        // cut off it serves on, and the probes hear it
        pair.routers[1 - alive].kill();
        // a role that is younger may not be on the disk yet
        thread::sleep(Duration::from_secs(1));
        for of_all in [false, true] {
            let mut began = Stamp::now();
            match pair.process(alive, "vrrp").filter(|_| !of_all) {
                Some(pid) => signal_to(pid, Signal::KILL)?,
                None => {
                    let site = pair.site(alive);
                    pair.routers[alive].kill();
                    began = Stamp::now();
                    pair.routers[alive].start_again(lab, site, &pair.plans[alive])?;
                }
            }
            let gateway = Wire::Lan.ipv4(VIRTUAL).into();
            let silent = || pair.watch.worst_silence(began, gateway);
            // shorter than a failover time
            let is_over = || silent() > INTERVAL * 2 && pair.role(alive) == "active";
            pair.wait("active again", is_over)?;
            thread::sleep(INTERVAL);
            let silent = silent();
            println!("all killed: {of_all}: {silent:?} silent");
            pair.answered(&control, began, VIRTUAL, BOUND)?;
        }
        Ok(())
    });
}

/// The link notices the death of a machine seconds after the elector: what the dead node said last is no conflict.
#[test]
fn no_conflict_is_said_of_a_machine_that_has_just_died() {
    scenario(2, |lab| {
        let pair = Linked::start(lab, &Plan::linked(INTERVAL, &[Wire::Hot]))?;
        pair.wait_settled()?;
        let dead = pair.at()?;
        lab.power_off(pair.site(dead))?;
        pair.wait("the other takes over", || pair.role(1 - dead) == "active")?;
        let began = Stamp::now();
        let mut words = Vec::new();
        poll(Duration::from_secs(4), INTERVAL / 4, || {
            let (_, word) = pair.said(1 - dead, &["probe"]).unwrap_or_default();
            if words.last() != Some(&word) {
                words.push(word);
            }
            Stamp::now().since(began) > Duration::from_secs(3)
        });
        let is_said = |word: &str| words.iter().any(|said| said.trim() == word);
        assert!(!is_said("conflict") && is_said("alone"), "{words:?}");
        Ok(())
    });
}
