// SPDX-License-Identifier: MIT OR Apache-2.0
//! Beside FRR's vrrpd: an election over IPv4 and one over IPv6.

use std::time::Duration;

use spared_tests::Result;
use spared_tests::lab::{Lab, Wire, scenario};
use spared_tests::probe::Watch;
use spared_tests::router::{Kind, Plan, Router, VirtualRouter};

const INTERVAL: Duration = Duration::from_millis(200);
const QUIET: Duration = Duration::from_millis(600);
const LIMIT: Duration = Duration::from_secs(15);

fn election(lab: &Lab, router: VirtualRouter) -> Result<()> {
    let plan = |priority| {
        let mut plan = Plan::lan(INTERVAL, priority);
        plan.routers = vec![router.clone()];
        plan.extra = "routers = \"any\"\n".to_owned();
        plan
    };
    let watch = Watch::start(lab)?;
    let _frr = Router::start(lab, &lab.sites[1], Kind::Frr, &plan(100))?;
    watch.wait_active(1, Wire::Lan, QUIET, LIMIT)?;
    // The better one preempts, is killed, comes back, leaves politely.
    let mut ours = Router::start(lab, &lab.sites[0], Kind::Spared, &plan(200))?;
    watch.wait_active(0, Wire::Lan, QUIET, LIMIT)?;
    ours.kill();
    watch.wait_active(1, Wire::Lan, QUIET, LIMIT)?;
    let mut ours = Router::start(lab, &lab.sites[0], Kind::Spared, &plan(200))?;
    watch.wait_active(0, Wire::Lan, QUIET, LIMIT)?;
    ours.shut_down()?;
    watch.wait_active(1, Wire::Lan, QUIET, LIMIT)?;
    // The lesser one waits.
    let _ours = Router::start(lab, &lab.sites[0], Kind::Spared, &plan(50))?;
    std::thread::sleep(INTERVAL * 6);
    watch.wait_active(1, Wire::Lan, QUIET, LIMIT)
}

#[test]
fn an_election_over_ipv4() {
    scenario(2, |lab| election(lab, VirtualRouter::ipv4(Wire::Lan, 51)));
}

#[test]
fn an_election_over_ipv6() {
    scenario(2, |lab| election(lab, VirtualRouter::ipv6(Wire::Lan, 61)));
}
