// SPDX-License-Identifier: MIT OR Apache-2.0
//! A station on the lan sends adverts as the active node, of the longest interval and the highest
//! priority: it delays no failover, and moves no role.

use std::thread;
use std::time::{Duration, Instant};

use spared_tests::Result;
use spared_tests::forger::{Kind, Mode, Station};
use spared_tests::lab::{Lab, Wire, scenario};
use spared_tests::linked::{INTERVAL, Linked};
use spared_tests::pair::Fault;
use spared_tests::probe::judge;
use spared_tests::router::{Plan, VirtualRouter};

const VRID: u8 = 51;
const RATE: u64 = 50;
/// Longest time of a failover on a busy machine. A believed advert would make it 3 s at least.
const LIMIT: Duration = Duration::from_millis(1_500);
const WHILE: Duration = Duration::from_secs(1);

fn strikes_beside(lab: &Lab, plan: &Plan, cuts_links: bool) -> Result<()> {
    let mut pair = Linked::start(lab, plan)?;
    thread::sleep(WHILE);
    if cuts_links {
        for wire in Wire::LINKS {
            lab.cut(&lab.sites[0], wire)?;
        }
        thread::sleep(WHILE);
    }
    let old = pair.at()?;
    let before = pair.transitions();
    let is_ipv6 = plan.routers.iter().all(VirtualRouter::is_ipv6);
    let mut station = Station::new(lab, Mode::Multicast, is_ipv6, VRID)?;
    let _forging = station.begin(Kind::Longest, old, RATE);
    thread::sleep(WHILE);
    assert_eq!(pair.transitions(), before);
    let (since, starved) = (Instant::now(), pair.starved());
    let new = pair.strike(Fault::Death)?;
    let took = since.elapsed();
    let late = pair.starved().saturating_sub(starved);
    thread::sleep(WHILE);
    assert_eq!(pair.group(new).transitions, before[new] + 1);
    judge("active beside a flood", took, LIMIT, late)
}

fn plan(router: VirtualRouter) -> Plan {
    let mut plan = Plan::linked(INTERVAL, &Wire::LINKS);
    plan.without_preference();
    plan.routers = vec![router];
    plan
}

#[test]
fn a_forger_delays_no_failover_over_ipv4() {
    scenario(2, |lab| {
        let plan = plan(VirtualRouter::ipv4(Wire::Lan, VRID));
        strikes_beside(lab, &plan, false)
    });
}

#[test]
fn a_forger_delays_no_failover_over_ipv6() {
    scenario(2, |lab| {
        let plan = plan(VirtualRouter::ipv6(Wire::Lan, VRID));
        strikes_beside(lab, &plan, false)
    });
}

#[test]
fn a_forger_delays_no_failover_after_the_links_were_cut() {
    scenario(2, |lab| {
        let plan = plan(VirtualRouter::ipv4(Wire::Lan, VRID));
        strikes_beside(lab, &plan, true)
    });
}
