// SPDX-License-Identifier: MIT OR Apache-2.0
//! Far ends whose IKE sessions follow: none of them notices that the router died, neither by DPD nor by a rekeying, and
//! each keeps its virtual address.

mod faults;
mod kinds;
mod libreswan;
mod strangers;

use std::time::Duration;

use spared_tests::clock::Stamp;
use spared_tests::ipsec::road::{LIMIT, Road, Setup};
use spared_tests::ipsec::{Family, OwnPings, SWITCH_PACKETS_MAX, is_in_clear, late_packets};
use spared_tests::lab::scenario;

const SPACING: Duration = Duration::from_millis(20);
const SITE_SPACING: Duration = Duration::from_millis(10);
const CALM: Duration = Duration::from_millis(300);

#[test]
fn no_client_notices_a_switchover_and_a_death() {
    scenario(0, |lab| {
        let setup = Setup::clients(&["first", "second", "third"], "", "");
        // a charon that starts is not to begin a session beside the one that it gets
        let setup = setup.with_site("start_action = trap");
        let (road, first) = Road::start(lab, setup)?;
        let second = 1 - first;
        let far = &road.tunnelled.far;
        let (mut before, assigned) = (road.sessions()?, road.addresses()?);
        assert_eq!((before.len(), assigned.len()), (4, 3), "{before:?}");
        let pings = OwnPings::start(far, Family::V4.client(), SPACING)?;
        let recorder = road.tunnelled.record_unprotected()?;
        let site = road.tunnelled.pings(Family::V4, SITE_SPACING)?;
        // there and back while charon starts
        let flapped = Stamp::now();
        for router in [second, first] {
            road.tunnelled.switch_to(router)?;
        }
        road.wait_taken_over(first)?;
        assert_eq!(road.sessions()?, before, "{}", road.far_log());
        assert_eq!(road.far().children()?, 4, "{}", road.far_log());
        let outage = site.outage_of(flapped, CALM, LIMIT).ok_or("no answers")?;
        println!("pings into the tunnel between sites over two switchovers: {outage:?}");

        for router in [second, first] {
            if router == second {
                road.tunnelled.switch_to(router)?;
            } else {
                road.wait_followed(second)?;
                road.tunnelled.routers[second].kill();
                road.tunnelled.nodes()[router].wait_role("active", LIMIT)?;
            }
            road.wait_taken_over(router)?;
            assert!(pings.wait_answers(20, LIMIT), "no answers");
            assert_eq!(road.sessions()?, before, "{}", road.far_log());
            road.rekey()?;
            before = road.sessions()?;
        }
        road.assert_none_noticed();
        assert_eq!(road.addresses()?, assigned);
        let errors = far.xfrm_errors()?;
        let late = late_packets(&errors);
        assert!(late <= 4 * SWITCH_PACKETS_MAX, "{errors:?}");
        assert_eq!(errors.values().sum::<u64>(), late, "{errors:?}");
        assert_eq!(recorder.take(is_in_clear).len(), 0);
        Ok(())
    });
}
