// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reload under load: no advert waits for a new configuration.

use std::thread;
use std::time::{Duration, Instant};

use spared_tests::clock::{Stamp, poll};
use spared_tests::lab::{Wire, scenario};
use spared_tests::probe::{Control, Watch};
use spared_tests::router::{Kind, Plan, Router, Spared, vrrp_toml};

const INTERVAL: Duration = Duration::from_millis(100);
const LIMIT: Duration = Duration::from_secs(10);
const ADDRESSES: usize = 200;
const EVERY: Duration = Duration::from_millis(200);
const RELOADS: u32 = 100;

fn plan(addresses: usize) -> Plan {
    let mut plan = Plan::lan(INTERVAL, 200);
    let more = (1..addresses).map(|n| format!("10.1.{}.{}/24", 8 + n / 250, 1 + n % 250));
    // Beyond 255 addresses an IPv4 advert has no room; these are 200 and 100 more.
    let mut more: Vec<String> = more.collect();
    let rest = more.split_off(more.len().min(ADDRESSES - 1));
    plan.routers[0].addresses.extend(more);
    if !rest.is_empty() {
        plan.sections = format!("[[group.address]]\ninterface = \"lan\"\naddresses = {rest:?}\n");
    }
    plan
}

#[test]
fn two_hundred_addresses_and_one_more_every_200_ms_delay_no_advert() {
    scenario(1, |lab| {
        let control = Control::start();
        let watch = Watch::start(lab)?;
        let router = Router::start(lab, &lab.sites[0], Kind::Spared, &plan(ADDRESSES))?;
        watch.wait_active(0, Wire::Lan, INTERVAL * 3, LIMIT)?;
        let spared = Spared(&router);
        let (began, start) = (Stamp::now(), Instant::now());
        for number in 1..=RELOADS {
            spared.write_plugin("vrrp", &vrrp_toml(&plan(ADDRESSES + number as usize))?)?;
            let output = spared.sparectl(&["reload"])?;
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "reload {number}: {said}");
            thread::sleep((EVERY * number).saturating_sub(start.elapsed()));
        }
        let worst = watch.worst_spacing(began, 0, Wire::Lan);
        control.judge("without an advert", began, worst, INTERVAL * 3 / 2)?;
        let count = watch.adverts(began, 0, Wire::Lan).len();
        assert!(count > 150, "{count} adverts in 20 s");
        let last = ADDRESSES + RELOADS as usize - 1;
        let last = format!("10.1.{}.{}", 8 + last / 250, 1 + last % 250);
        let there = poll(LIMIT, INTERVAL, || lab.sites[0].ns.holds(&last));
        assert!(there, "{last} never came");
        Ok(())
    });
}

#[test]
fn a_wrong_file_changes_nothing_on_the_wire() {
    scenario(1, |lab| {
        let watch = Watch::start(lab)?;
        let router = Router::start(lab, &lab.sites[0], Kind::Spared, &plan(1))?;
        watch.wait_active(0, Wire::Lan, INTERVAL * 3, LIMIT)?;
        let spared = Spared(&router);
        let began = Stamp::now();
        let wrong = vrrp_toml(&plan(1))?.replace("vrid = 51", "vrid = 300");
        spared.write_plugin("vrrp", &wrong)?;
        let output = spared.sparectl(&["reload"])?;
        assert!(!output.status.success(), "a wrong file was taken");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            said.contains("\": vrid: found 300, allowed 1-255"),
            "{said}"
        );
        assert!(said.contains("vrrp.toml:"), "{said}");
        thread::sleep(INTERVAL * 5);
        let adverts = watch.adverts(began, 0, Wire::Lan);
        assert!(
            adverts
                .iter()
                .all(|(_, advert)| (advert.vrid, advert.priority) == (51, 200))
        );
        assert!(adverts.len() > 3, "{adverts:?}");
        Ok(())
    });
}

/// Its virtual router and its addresses go from one name to the other.
#[test]
fn a_group_that_gets_another_name_serves_again_under_it() {
    scenario(1, |lab| {
        let router = Router::start(lab, &lab.sites[0], Kind::Spared, &plan(1))?;
        let spared = Spared(&router);
        spared.wait_role("active", LIMIT)?;
        let named = |name: &str| -> spared_tests::Result<String> {
            Ok(vrrp_toml(&plan(1))?.replace("\"office\"", &format!("\"{name}\"")))
        };
        let reload = |text: &str| -> spared_tests::Result<()> {
            spared.write_plugin("vrrp", text)?;
            let output = spared.sparectl(&["reload"])?;
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(
                said.contains("the new file has no group of that name"),
                "{said}"
            );
            let output = spared.sparectl(&["reload", "--anyway"])?;
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{said}");
            Ok(())
        };
        let served_by = |name: &str| {
            let serves = || {
                let groups = spared.status().map(|it| it.groups).unwrap_or_default();
                let of_it: Vec<_> = groups.iter().map(|it| (&*it.name, &*it.role)).collect();
                of_it == [(name, "active")] && lab.sites[0].ns.holds("10.1.0.1")
            };
            assert!(poll(LIMIT, INTERVAL, serves), "{:?}", spared.status());
        };
        for name in ["shop", "office"] {
            reload(&named(name)?)?;
            served_by(name);
        }
        Ok(())
    });
}
