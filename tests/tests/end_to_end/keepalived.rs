// SPDX-License-Identifier: MIT OR Apache-2.0
//! Beside the real keepalived, both ways round.

use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::{Stamp, poll};
use spared_tests::lab::{Lab, Wire, scenario};
use spared_tests::probe::{Control, Watch};
use spared_tests::router::{Kind, Plan, PluginFile, Router, Spared, VirtualRouter};

const INTERVAL: Duration = Duration::from_millis(100);
const SECOND: Duration = Duration::from_secs(1);
const LIMIT: Duration = Duration::from_secs(15);
const WAYS: [[Kind; 2]; 2] = [
    [Kind::Spared, Kind::Keepalived],
    [Kind::Keepalived, Kind::Spared],
];

/// The whole life of an election: the better one is active, crashes, returns, leaves politely,
/// returns.
fn election(lab: &Lab, kinds: [Kind; 2], plan: impl Fn(u8, usize) -> Plan) -> Result<()> {
    let plans = [plan(200, 0), plan(100, 1)];
    let interval = plans[0].interval_of(Kind::Spared);
    let quiet = interval * 5 / 2 + Duration::from_millis(50);
    let active = |watch: &Watch, site| -> Result<()> {
        plans[0]
            .routers
            .iter()
            .try_for_each(|router| watch.wait_active(site, router.wire, quiet, LIMIT))
    };
    let (control, watch) = (Control::start(), Watch::start(lab)?);
    let start = |site: usize| Router::start(lab, &lab.sites[site], kinds[site], &plans[site]);
    let mut first = start(0)?;
    active(&watch, 0)?;
    let _second = start(1)?;
    std::thread::sleep(interval * 4);
    active(&watch, 0)?;
    assert_holds(lab, &plans[0], 0);

    first.kill();
    active(&watch, 1)?;
    let mut first = start(0)?;
    active(&watch, 0)?;
    let handed_back = holds(lab, &plans[0], 0);
    assert!(handed_back, "r1 did not get its addresses back");

    let asked = Stamp::now();
    first.ask_to_stop()?;
    let wire = plans[0].routers[0].wire;
    let mut first_advert = None;
    let taken = || {
        first_advert = watch.adverts(asked, 1, wire).first().map(|(at, _)| *at);
        first_advert.is_some()
    };
    poll(LIMIT, Duration::from_millis(1), taken);
    let took = first_advert.ok_or("r2 took nothing over")?.since(asked);
    // Less than its silence would have needed, for which skew at priority 100 is the better half.
    let bound = interval * 2 + Duration::from_millis(300);
    control.judge_locked("after priority 0", asked, took, bound)?;
    first.daemons[0].wait(LIMIT)?;
    active(&watch, 1)?;
    assert_holds(lab, &plans[0], 1);
    let _first = start(0)?;
    active(&watch, 0)?;
    assert_holds(lab, &plans[0], 0);
    Ok(())
}

fn bare(address: &str) -> &str {
    address.split('/').next().unwrap_or(address)
}

fn holds(lab: &Lab, plan: &Plan, site: usize) -> bool {
    let addresses = plan.routers.iter().flat_map(|router| &router.addresses);
    addresses.map(|address| bare(address)).all(|address| {
        poll(Duration::from_secs(2), INTERVAL, || {
            lab.holders(address) == [site]
        })
    })
}

fn assert_holds(lab: &Lab, plan: &Plan, site: usize) {
    assert!(
        holds(lab, plan, site),
        "r{} alone should hold the addresses",
        site + 1
    );
}

/// A plan that speaks with strangers.
fn any(mut plan: Plan) -> Plan {
    plan.extra = "routers = \"any\"\n".to_owned();
    plan
}

fn both_ways(plan: impl Fn(u8, usize) -> Plan + Copy) {
    for kinds in WAYS {
        scenario(2, |lab| election(lab, kinds, plan));
    }
}

#[test]
fn version_3_over_ipv4_in_a_sync_group() {
    both_ways(|priority, _| any(Plan::gateways(INTERVAL, priority)));
}

#[test]
fn version_3_over_ipv6() {
    both_ways(|priority, _| {
        let mut plan = any(Plan::lan(INTERVAL, priority));
        plan.routers = vec![VirtualRouter::ipv6(Wire::Lan, 61)];
        plan
    });
}

// Its intervals are whole seconds: each way is a test of its own, for them to run side by side.
fn version_2(kinds: [Kind; 2]) {
    let plan = |priority, _| {
        let mut plan = any(Plan::lan(SECOND, priority));
        plan.version = 2;
        plan
    };
    scenario(2, |lab| election(lab, kinds, plan));
}

#[test]
fn version_2_over_ipv4() {
    version_2(WAYS[0]);
}

#[test]
fn version_2_over_ipv4_the_other_way_round() {
    version_2(WAYS[1]);
}

// keepalived drops adverts without its password, and so would r2 be active beside r1.
fn version_2_with_a_password(kinds: [Kind; 2]) {
    let plan = |priority, _| {
        let mut plan = any(Plan::lan(SECOND, priority));
        plan.version = 2;
        plan.routers[0].password = Some("s3cret".to_owned());
        plan
    };
    scenario(2, |lab| election(lab, kinds, plan));
}

#[test]
fn version_2_with_a_password_over_ipv4() {
    version_2_with_a_password(WAYS[0]);
}

#[test]
fn version_2_with_a_password_over_ipv4_the_other_way_round() {
    version_2_with_a_password(WAYS[1]);
}

/// A number in a file takes points off the priority, as keepalived's track_file does, and gives the role to keepalived.
#[test]
fn points_of_a_check_give_the_role_to_keepalived_and_take_it_back() {
    scenario(2, |lab| {
        let watch = Watch::start(lab)?;
        // a folder of its own: the daemon's state, which no plugin may read, is beside it
        let folder = lab.dir.join("checks");
        std::fs::create_dir_all(&folder)?;
        let file = folder.join("fault");
        let plan = |priority| {
            let mut plan = any(Plan::lan(INTERVAL, priority));
            plan.plugins.push(PluginFile {
                name: "health".to_owned(),
                toml: format!(
                    "[[number]]\nname = \"fault\"\npath = {file:?}\nweight = -60\ninterval = \"100ms\"\n"
                ),
                file: "libspared_health.so".to_owned(),
            });
            plan
        };
        let start = |site: usize, kind, priority| {
            Router::start(lab, &lab.sites[site], kind, &plan(priority))
        };
        let first = start(0, Kind::Spared, 200)?;
        let _second = start(1, Kind::Keepalived, 100)?;
        let quiet = INTERVAL * 5 / 2 + Duration::from_millis(50);
        watch.wait_active(0, Wire::Lan, quiet, LIMIT)?;
        // 200 - 60 is more than 100, and 200 - 120 is less
        for (number, active) in [("1", 0), ("2", 1), ("0", 0)] {
            std::fs::write(&file, number)?;
            let spared = Spared(&first);
            let is_known = || {
                let status = spared.status().unwrap_or_default();
                let mut checks = status.checks.iter();
                let points = number.parse::<u32>().unwrap_or_default() * 60;
                checks.any(|it| it.name == "fault" && it.points == points)
            };
            assert!(poll(LIMIT, INTERVAL, is_known), "{:?}", spared.status());
            std::thread::sleep(INTERVAL * 5);
            watch.wait_active(active, Wire::Lan, quiet, LIMIT)?;
        }
        Ok(())
    });
}

#[test]
fn unicast_over_ipv4() {
    both_ways(|priority, site| {
        let mut plan = any(Plan::lan(INTERVAL, priority));
        plan.routers[0].peer = Some(Wire::Lan.ipv4(12 - site as u8).into());
        plan
    });
}

#[test]
fn unicast_over_ipv6() {
    both_ways(|priority, site| {
        let mut plan = any(Plan::lan(INTERVAL, priority));
        plan.routers = vec![VirtualRouter::ipv6(Wire::Lan, 61)];
        plan.routers[0].peer = Wire::Lan.ipv6(12 - site as u8).parse().ok();
        plan
    });
}

#[test]
fn virtual_macs_on_both_sides() {
    both_ways(|priority, _| {
        let mut plan = any(Plan::lan(INTERVAL, priority));
        plan.routers[0].vmac = true;
        plan
    });
}

#[test]
fn of_two_equal_priorities_the_greater_address_wins() {
    for kinds in WAYS {
        scenario(2, |lab| {
            let watch = Watch::start(lab)?;
            let plan = any(Plan::lan(INTERVAL, 100));
            lab.cut(&lab.sites[0], Wire::Lan)?;
            let start = |site: usize| Router::start(lab, &lab.sites[site], kinds[site], &plan);
            let (first, second) = (start(0)?, start(1)?);
            for (site, router) in [&first, &second].into_iter().enumerate() {
                let heard = watch.next_advert(site, Wire::Lan, LIMIT);
                heard.map_err(|error| {
                    let said = (kinds[site] == Kind::Spared)
                        .then(|| Spared(router).sparectl(&["vrrp", "status"]));
                    format!("{error}: {said:?}")
                })?;
            }
            // Both are active: 10.1.0.12 stays, 10.1.0.11 gives way.
            lab.join(&lab.sites[0], Wire::Lan)?;
            watch.wait_active(1, Wire::Lan, INTERVAL * 5, LIMIT)?;
            if kinds[0] == Kind::Spared {
                let events = Spared(&first).sparectl(&["events", "--json"])?;
                let events = String::from_utf8_lossy(&events.stdout);
                assert!(events.contains("\"conflict\""), "{events}");
            }
            Ok(())
        });
    }
}

#[test]
fn without_preemption_the_better_one_stays_backup() {
    for kinds in WAYS {
        scenario(2, |lab| {
            let watch = Watch::start(lab)?;
            let plan = |priority| {
                let mut plan = any(Plan::lan(INTERVAL, priority));
                plan.preempt = false;
                plan
            };
            let mut second = Router::start(lab, &lab.sites[1], kinds[1], &plan(100))?;
            watch.wait_active(1, Wire::Lan, INTERVAL * 3, LIMIT)?;
            let began = Stamp::now();
            let _first = Router::start(lab, &lab.sites[0], kinds[0], &plan(200))?;
            std::thread::sleep(Duration::from_millis(1500));
            let adverts = watch.adverts(began, 0, Wire::Lan);
            assert!(adverts.is_empty(), "r1 preempted: {adverts:?}");
            second.shut_down()?;
            watch.wait_active(0, Wire::Lan, INTERVAL * 3, LIMIT)
        });
    }
}
