// SPDX-License-Identifier: MIT OR Apache-2.0
//! The walk: an address moves between two routers, whatever befalls the first of them.

use std::time::Duration;

use rustix::process::Signal;
use spared_tests::Result;
use spared_tests::clock::{Stamp, poll};
use spared_tests::lab::{Lab, VIRTUAL, Wire, scenario};
use spared_tests::pair::{Fault, Pair};
use spared_tests::probe::{Control, Watch};
use spared_tests::router::{Kind, Plan, Router, Spared};

const INTERVAL: Duration = Duration::from_millis(100);
const LIMIT: Duration = Duration::from_secs(10);
/// Delay that two shared processors may add to any time.
const NOISE: Duration = Duration::from_millis(100);

fn strike(fault: Fault, bound: impl Fn(&Pair) -> Duration) -> Result<()> {
    let control = Control::start();
    let plans = [253, 252].map(|priority| Plan::gateways(INTERVAL, priority));
    let pair = Pair::start(Kind::Spared, plans)?;
    let damage = pair.strike(fault)?;
    let bound = bound(&pair);
    let lost = damage.outage.total;
    control.judge_locked("without service", damage.began, lost, bound)?;
    assert_eq!(damage.both_answered, Duration::ZERO, "two routers answered");
    pair.settle()
}

#[test]
fn the_backup_takes_over_after_a_silent_cut() {
    scenario(2, |_| {
        strike(Fault::SilentCut, |pair| pair.failover() + NOISE)
    });
}

#[test]
fn a_router_that_loses_carrier_switches_over_sooner_than_its_silence_would_show() {
    scenario(2, |_| {
        strike(Fault::CarrierLost, |pair| pair.failover() / 3 + NOISE)
    });
}

#[test]
fn a_stopped_router_stops_answering_before_the_backup_starts() {
    scenario(2, |_| strike(Fault::Hang, |pair| pair.failover() + NOISE));
}

#[test]
fn a_router_told_to_stop_switches_over_at_once() {
    scenario(2, |_| strike(Fault::Shutdown, |_| NOISE));
}

#[test]
fn the_backup_takes_over_from_a_killed_router() {
    scenario(2, |lab| {
        let watch = Watch::start(lab)?;
        let [mut first, second] = start_both(lab, &watch)?;
        first.kill();
        watch.wait_active(1, Wire::Lan, INTERVAL * 5, LIMIT)?;
        Spared(&second).wait_role("active", LIMIT)
    });
}

#[test]
fn a_router_that_ends_leaves_nothing_of_its_own_in_the_kernel() {
    scenario(2, |lab| {
        let watch = Watch::start(lab)?;
        let [mut first, _second] = start_both(lab, &watch)?;
        let ns = &lab.sites[0].ns;
        assert!(ns.shell("nft list tables")?.contains("spared"));
        first.shut_down()?;
        assert!(
            !ns.holds(&Wire::Lan.ipv4(VIRTUAL).to_string()),
            "the address is still there"
        );
        assert_eq!(ns.shell("nft list tables")?, "", "a table is still there");
        assert_eq!(ns.processes(), [0u32; 0], "a process is still there");
        Ok(())
    });
}

#[test]
fn only_the_active_router_holds_the_addresses_and_status_says_so() {
    scenario(2, |lab| {
        let watch = Watch::start(lab)?;
        let [first, second] = start_both(lab, &watch)?;
        for wire in Wire::BOTH {
            assert_eq!(lab.holders(&wire.ipv4(VIRTUAL).to_string()), [0]);
        }
        Spared(&first).wait_role("active", LIMIT)?;
        Spared(&second).wait_role("backup", LIMIT)?;
        let status = Spared(&first).status()?;
        assert_eq!(status.node, "r1");
        let group = &status.groups[0];
        assert_eq!(
            (group.name.as_str(), group.fence.as_str()),
            ("office", "passing")
        );
        assert!(
            group.addresses.iter().all(|address| address.present),
            "{group:?}"
        );
        assert_eq!(Spared(&first).sparectl(&["status"])?.status.code(), Some(0));
        Ok(())
    });
}

#[test]
fn a_second_signal_does_not_hurry_the_way_out() {
    scenario(2, |lab| {
        let watch = Watch::start(lab)?;
        let [mut first, _second] = start_both(lab, &watch)?;
        first.ask_to_stop()?;
        let _ = first.daemons[0].signal(Signal::TERM);
        first.daemons[0].wait(LIMIT)?;
        assert!(!lab.sites[0].ns.holds(&Wire::Lan.ipv4(VIRTUAL).to_string()));
        Ok(())
    });
}

#[test]
fn each_failover_is_an_event_with_its_reason() {
    scenario(2, |lab| {
        let watch = Watch::start(lab)?;
        let [_first, second] = start_both(lab, &watch)?;
        let cut = Stamp::now();
        lab.isolate(&lab.sites[0])?;
        let taken = || !watch.adverts(cut, 1, Wire::Wan).is_empty();
        assert!(poll(LIMIT, INTERVAL, taken), "no failover");
        Spared(&second).wait_role("active", LIMIT)?;
        let output = Spared(&second).sparectl(&["events"])?;
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("backup -> active"), "{text}");
        assert!(!Spared(&second).status()?.groups[0].why.is_empty());
        Ok(())
    });
}

/// r1 active, r2 backup.
fn start_both(lab: &Lab, watch: &Watch) -> Result<[Router; 2]> {
    let first = Router::start(
        lab,
        &lab.sites[0],
        Kind::Spared,
        &Plan::gateways(INTERVAL, 200),
    )?;
    watch.wait_active(0, Wire::Lan, INTERVAL * 3, LIMIT)?;
    let second = Router::start(
        lab,
        &lab.sites[1],
        Kind::Spared,
        &Plan::gateways(INTERVAL, 100),
    )?;
    Spared(&second).wait_role("backup", LIMIT)?;
    Ok([first, second])
}
