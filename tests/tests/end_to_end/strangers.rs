// SPDX-License-Identifier: MIT OR Apache-2.0
//! Other people's VRRP on the same network, under the same VRID: it costs a pair neither a role nor
//! the time of a failover.

use std::thread;
use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::Stamp;
use spared_tests::lab::{Lab, Wire, scenario};
use spared_tests::linked::{INTERVAL, Linked};
use spared_tests::probe::{Control, Echo};
use spared_tests::router::{Kind, Plan, Router};

const CALM: Duration = Duration::from_secs(3);
const LIMIT: Duration = Duration::from_secs(8);

/// A router of keepalived that has an address of its own and says so ten times as rarely as the pair.
fn stranger(lab: &Lab) -> Result<Router> {
    let mut plan = Plan::lan(Duration::from_secs(1), 254);
    plan.routers[0].addresses = vec![format!("{}/24", Wire::Lan.ipv4(77))];
    Router::start(lab, &lab.sites[2], Kind::Keepalived, &plan)
}

fn pair_plan() -> Plan {
    let mut plan = Plan::linked(INTERVAL, &[Wire::Hot]);
    plan.without_preference();
    plan
}

#[test]
fn a_strangers_router_moves_no_role_and_delays_no_failover() {
    scenario(3, |lab| {
        let control = Control::start();
        let pair = Linked::start(lab, &pair_plan())?;
        let active = pair.at()?;
        let _stranger = stranger(lab)?;
        pair.watch.next_advert(2, Wire::Lan, LIMIT)?;
        let before = [0, 1].map(|site| pair.group(site).transitions);
        thread::sleep(CALM);
        assert_eq!(before, [0, 1].map(|site| pair.group(site).transitions));
        let echo = Echo::at_gateway(lab)?;
        thread::sleep(INTERVAL * 3);
        let killed = Stamp::now();
        lab.power_off(&lab.sites[active])?;
        let outage = echo
            .outage_of(killed, INTERVAL * 3, LIMIT)
            .ok_or("no answer after the death")?;
        println!("outage {outage:?}");
        control.judge_locked("nobody answered", killed, outage.longest, INTERVAL * 5)
    });
}

#[test]
fn a_pair_that_begins_beside_a_strangers_router_comes_up() {
    scenario(3, |lab| {
        let _stranger = stranger(lab)?;
        let pair = Linked::start(lab, &pair_plan())?;
        pair.at()?;
        Ok(())
    });
}
