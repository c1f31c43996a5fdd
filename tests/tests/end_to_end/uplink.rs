// SPDX-License-Identifier: MIT OR Apache-2.0
//! A pair with adverts on the lan alone, and an uplink on which the group only has an address.

use std::thread;
use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::{Stamp, poll};
use spared_tests::lab::{Lab, Wire, scenario};
use spared_tests::linked::{INTERVAL, Linked};
use spared_tests::router::Plan;

const LIMIT: Duration = Duration::from_secs(5);
const UPLINK: &str = "10.2.0.1";

fn plan() -> Plan {
    let mut plan = Plan::linked(INTERVAL, &[Wire::Hot]);
    plan.routers.truncate(1);
    plan.sections =
        format!("[[group.address]]\ninterface = \"wan\"\naddresses = [\"{UPLINK}/24\"]\n");
    plan
}

/// Takes the node's own address on the lan away, and sets it again after 20 ms, as a DHCP client may.
fn renew(lab: &Lab, site: usize) -> Result<()> {
    let site = &lab.sites[site];
    let address = format!("{}/24 dev lan", Wire::Lan.ipv4(site.host()));
    site.ns.shell(&format!("ip addr del {address}"))?;
    thread::sleep(Duration::from_millis(20));
    site.ns.shell(&format!("ip addr add {address}"))?;
    Ok(())
}

#[test]
fn an_own_address_that_is_gone_for_a_moment_moves_nothing_and_a_dead_uplink_does() {
    scenario(2, |lab| {
        let pair = Linked::start(lab, &plan())?;
        pair.wait_active(0)?;
        pair.wait_settled()?;
        let (began, before) = (Stamp::now(), pair.transitions());
        for site in [0, 1, 0] {
            renew(lab, site)?;
            thread::sleep(INTERVAL * 4);
        }
        assert_eq!(pair.transitions(), before, "a role moved");
        assert_eq!(pair.at()?, 0);

        lab.unplug(&lab.sites[0], Wire::Wan)?;
        pair.wait("r2 active", || pair.active() == [1])?;
        let holds = || lab.holders(UPLINK) == [1];
        assert!(poll(LIMIT, INTERVAL, holds), "{:?}", lab.holders(UPLINK));
        let (code, said) = pair.said(1, &["status"])?;
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("wan"), "{said}");
        let (_, why) = pair.said(0, &["why"])?;
        assert!(why.contains("wan has no carrier"), "{why}");

        lab.plug(&lab.sites[0], Wire::Wan)?;
        pair.wait("r1 active again", || pair.active() == [0])?;
        pair.wait_settled()?;
        pair.one_answered(began)
    });
}
