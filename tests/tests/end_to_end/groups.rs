// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parts of a group that move with it, and the one of several routers that leads it.

use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::{Stamp, ms, poll};
use spared_tests::lab::{Lab, VIRTUAL, Wire, scenario};
use spared_tests::probe::{Echo, Watch};
use spared_tests::router::{Kind, Plan, Router, Spared, VirtualRouter};

const INTERVAL: Duration = Duration::from_millis(100);
const LIMIT: Duration = Duration::from_secs(10);

fn start(lab: &Lab, plans: &[Plan]) -> Result<Vec<Router>> {
    let sites = lab.sites.iter().zip(plans);
    sites
        .map(|(site, plan)| Router::start(lab, site, Kind::Spared, plan))
        .collect()
}

#[test]
fn addresses_routes_rules_and_sources_follow_the_group() {
    scenario(2, |lab| {
        let watch = Watch::start(lab)?;
        let plans = [200, 100].map(|priority| {
            let mut plan = Plan::lan(INTERVAL, priority);
            plan.sections = "source = true\n\
                 unadvertised = [\"10.1.0.200/24\", \"fd01::200/64\"]\n\
                 [[group.address]]\ninterface = \"wan\"\naddresses = [\"10.2.0.1/24 label vip\"]\n\
                 [[group.rule]]\npriority = 100\nfrom = \"10.1.0.0/24\"\ntable = 77\n\
                 [[group.route]]\ndestination = \"10.8.0.0/16\"\ngateway = \"10.2.0.2\"\n\
                 metric = 7\n"
                .to_owned();
            plan
        });
        let mut routers = start(lab, &plans)?;
        watch.wait_active(0, Wire::Lan, INTERVAL * 3, LIMIT)?;
        for active in [0, 1] {
            let holds = |address: &str| lab.holders(address) == [active];
            let all = ["10.1.0.1", "10.1.0.200", "fd01::200", "10.2.0.1"];
            let moved = || all.iter().all(|address| holds(address));
            assert!(
                poll(LIMIT, INTERVAL, moved),
                "r{}: {:?}",
                active + 1,
                all.map(|a| lab.holders(a))
            );
            let ns = &lab.sites[active].ns;
            let route = || ns.shell("ip route show 10.8.0.0/16").unwrap_or_default();
            assert!(
                poll(LIMIT, INTERVAL, || route().contains("metric 7")),
                "{}",
                route()
            );
            let used = || ns.shell("ip route get 10.1.0.2").unwrap_or_default();
            assert!(
                poll(LIMIT, INTERVAL, || used().contains("src 10.1.0.1 ")),
                "{}",
                used()
            );
            let shown = || {
                let shown = ["ip rule show priority 100", "ip -4 -o address show dev wan"];
                shown.map(|it| ns.shell(it).unwrap_or_default()).concat()
            };
            let is_there = |shown: &str| {
                shown.contains("from 10.1.0.0/24 lookup 77") && shown.contains(" wan:vip")
            };
            assert!(poll(LIMIT, INTERVAL, || is_there(&shown())), "{}", shown());
            let other = &lab.sites[1 - active].ns;
            assert_eq!(other.shell("ip rule show priority 100")?, "");
            assert_eq!(other.shell("ip route show 10.8.0.0/16")?, "");
            assert!(
                !other
                    .shell("ip route get 10.1.0.2")?
                    .contains("src 10.1.0.1 ")
            );
            if active == 0 {
                routers[0].shut_down()?;
            }
        }
        let adverts = watch.adverts(Stamp(0), 1, Wire::Lan);
        assert!(
            adverts.iter().all(|(_, advert)| advert.addresses == 1),
            "unadvertised ones are"
        );
        assert!(
            watch.adverts(Stamp(0), 1, Wire::Wan).is_empty(),
            "wan has no virtual router"
        );
        Ok(())
    });
}

#[test]
fn of_three_routers_the_next_best_takes_over() {
    scenario(3, |lab| {
        let watch = Watch::start(lab)?;
        let plans = [200, 150, 100].map(|priority| Plan::gateways(INTERVAL, priority));
        let mut routers = start(lab, &plans)?;
        for (site, router) in routers.iter_mut().enumerate() {
            watch.wait_active(site, Wire::Lan, INTERVAL * 5, LIMIT)?;
            watch.wait_active(site, Wire::Wan, INTERVAL * 5, LIMIT)?;
            let gateway = Wire::Wan.ipv4(VIRTUAL).to_string();
            assert!(poll(LIMIT, INTERVAL, || lab
                .holders(&gateway)
                .contains(&site)));
            match site {
                0 => router.shut_down()?,
                1 => router.kill(),
                _ => {}
            }
        }
        Ok(())
    });
}

#[test]
fn a_router_whose_voice_is_lost_on_one_wire_gives_way_on_both() {
    scenario(2, |lab| {
        let watch = Watch::start(lab)?;
        let plans = [200, 100].map(|priority| {
            let mut plan = Plan::gateways(INTERVAL, priority);
            // The lan comes last, so that this is its: r2 has spoken with nobody there yet.
            plan.routers.reverse();
            plan.sections = "witnesses = [\"10.1.0.2\"]\n".to_owned();
            plan
        });
        let _routers = start(lab, &plans)?;
        watch.wait_active(0, Wire::Lan, INTERVAL * 3, LIMIT)?;
        let echo = Echo::through(lab)?;
        assert!(
            poll(LIMIT, INTERVAL, || echo.is_steady(INTERVAL)),
            "no traffic"
        );
        let cut = Stamp::now();
        lab.lose(&lab.sites[0], Wire::Lan, 100, 0)?;
        // On wan both hear each other: there it shows who leads.
        watch.wait_active(1, Wire::Wan, INTERVAL * 5, LIMIT)?;
        let outage = echo
            .outage_of(cut, Duration::ZERO, LIMIT)
            .ok_or("packets never flow again")?;
        assert!(
            outage.total < Duration::from_secs(4),
            "{} ms",
            ms(outage.total)
        );
        // Nothing moves while nothing changes.
        let began = Stamp::now();
        std::thread::sleep(Duration::from_secs(2));
        assert!(
            watch.adverts(began, 0, Wire::Wan).is_empty(),
            "r1 is back though still unheard"
        );
        lab.fix(&lab.sites[0], Wire::Lan)?;
        std::thread::sleep(INTERVAL * 10);
        let holders = lab.holders(&Wire::Lan.ipv4(VIRTUAL).to_string());
        assert_eq!(holders.len(), 1, "{holders:?}");
        Ok(())
    });
}

#[test]
fn two_groups_move_apart() {
    scenario(2, |lab| {
        let watch = Watch::start(lab)?;
        // r1 leads the lan's, r2 the wan's.
        let second = |priority: u8| {
            format!(
                "[[group]]\nname = \"outside\"\npriority = {priority}\n\
                 [[group.interface]]\ninterface = \"wan\"\nvrid = 52\naddresses = [\"10.2.0.1/24\"]\n"
            )
        };
        let plans = [(200, 100), (100, 200)].map(|(lan, wan)| {
            let mut plan = Plan::lan(INTERVAL, lan);
            plan.sections = second(wan);
            plan
        });
        let mut routers = start(lab, &plans)?;
        watch.wait_active(0, Wire::Lan, INTERVAL * 5, LIMIT)?;
        watch.wait_active(1, Wire::Wan, INTERVAL * 5, LIMIT)?;
        let status = Spared(&routers[0]).status()?;
        let roles: Vec<_> = status
            .groups
            .iter()
            .map(|group| (group.name.as_str(), group.role.as_str()))
            .collect();
        assert!(roles.contains(&("office", "active")), "{roles:?}");
        assert!(roles.contains(&("outside", "backup")), "{roles:?}");
        routers[1].shut_down()?;
        watch.wait_active(0, Wire::Wan, INTERVAL * 5, LIMIT)?;
        watch.wait_active(0, Wire::Lan, INTERVAL * 5, LIMIT)
    });
}

#[test]
fn both_families_of_one_interface_move_together() {
    scenario(2, |lab| {
        let watch = Watch::start(lab)?;
        let plans = [200, 100].map(|priority| {
            let mut plan = Plan::lan(INTERVAL, priority);
            plan.routers.push(VirtualRouter::ipv6(Wire::Lan, 51));
            plan
        });
        let _routers = start(lab, &plans)?;
        watch.wait_active(0, Wire::Lan, INTERVAL * 5, LIMIT)?;
        lab.isolate(&lab.sites[0])?;
        // Reachable at once: no address waits for duplicate detection.
        let ping = || {
            let line = format!("ping -6 -c 1 -W 1 -n {}", Wire::Lan.ipv6(VIRTUAL));
            lab.eye.shell(&line).is_ok()
        };
        assert!(
            poll(Duration::from_secs(2), Duration::from_millis(10), ping),
            "fd01::1 is mute"
        );
        let ns = &lab.sites[1].ns;
        let own = ns.shell("ip -6 addr show dev lan to fd01::1")?;
        assert!(
            !own.contains("tentative") && own.contains("deprecated"),
            "{own}"
        );
        Ok(())
    });
}
