// SPDX-License-Identifier: MIT OR Apache-2.0
//! Interfaces lose their carrier, go and come; also a tap, whose carrier events the kernel delays.

use std::fs;
use std::thread;
use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::{Stamp, poll};
use spared_tests::lab::{Lab, Tap, VIRTUAL, Wire, scenario, skipped};
use spared_tests::probe::{Control, Watch};
use spared_tests::router::{Kind, Plan, Router, Spared};

const INTERVAL: Duration = Duration::from_millis(100);
const LIMIT: Duration = Duration::from_secs(10);
/// The kernel's own event may come 800 ms late. If nothing else happens, the daemon looks at the carrier once in an
/// advert interval, and its resignation follows at once.
const NOTICED: Duration = Duration::from_millis(150);

/// A router on lan and on a tap in one group, and its spare on lan.
fn start(lab: &Lab, watch: &Watch) -> Result<[Router; 2]> {
    let mut plan = Plan::lan(INTERVAL, 200);
    plan.sections = "[[group.interface]]\ninterface = \"tap0\"\nvrid = 53\n\
                     addresses = [\"10.3.0.1/24\"]\n"
        .to_owned();
    let first = Router::start(lab, &lab.sites[0], Kind::Spared, &plan)?;
    watch.wait_active(0, Wire::Lan, INTERVAL * 3, LIMIT)?;
    let second = Router::start(lab, &lab.sites[1], Kind::Spared, &Plan::lan(INTERVAL, 100))?;
    Spared(&second).wait_role("backup", LIMIT)?;
    Ok([first, second])
}

#[test]
fn a_tap_that_loses_its_carrier_makes_its_router_resign_also_the_second_time() {
    scenario(2, |lab| {
        let control = Control::start();
        let watch = Watch::start(lab)?;
        let tap = Tap::new(&lab.sites[0].ns, "tap0", "10.3.0.11/24")
            .map_err(|error| skipped(format!("no tap: {error}")))?;
        let _routers = start(lab, &watch)?;
        for round in 0..2 {
            let asked = Stamp::now();
            tap.carrier(false)?;
            // taking it away needs the kernel's lock, too
            let began = Stamp::now();
            let resigned = || {
                let adverts = watch.adverts(asked, 0, Wire::Lan).into_iter();
                let mut resignations = adverts.filter(|(_, advert)| advert.priority == 0);
                resignations.next().map(|(at, _)| at)
            };
            poll(LIMIT, INTERVAL / 10, || resigned().is_some());
            let told = resigned().ok_or("no resignation")?;
            let what = format!("round {round}: resigned");
            control.judge_locked(&what, began, told.since(began), NOTICED)?;
            watch.wait_active(1, Wire::Lan, INTERVAL * 2, LIMIT)?;
            tap.carrier(true)?;
            watch.wait_active(0, Wire::Lan, Duration::from_millis(120), LIMIT)?;
        }
        Ok(())
    });
}

/// Policy and real-time priority of a thread of a process: fields 41 and 40 of its stat.
fn scheduling(pid: u32, name: &str) -> Option<(u32, u32)> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    threads.flatten().find_map(|thread| {
        let stat = fs::read_to_string(thread.path().join("stat")).ok()?;
        let (_, fields) = stat.split_once(&format!("({name}) "))?;
        let mut fields = fields.split(' ').skip(37);
        let priority = fields.next()?.parse().ok()?;
        Some((fields.next()?.parse().ok()?, priority))
    })
}

#[test]
fn the_thread_that_looks_at_carriers_is_in_real_time_if_the_daemon_is() {
    scenario(1, |lab| {
        let plan = Plan::lan(INTERVAL, 200);
        let router = Router::start(lab, &lab.sites[0], Kind::Spared, &plan)?;
        Spared(&router).wait_role("active", LIMIT)?;
        let of = |name: &str| scheduling(router.daemons[0].pid(), name).ok_or("no such thread");
        match of("spared")? {
            (0, _) => return Err(skipped("no real-time priority here")),
            daemon => assert_eq!(daemon, (1, 20)),
        }
        let carrier = || of("carrier").is_ok_and(|it| it == (1, 10));
        assert!(poll(LIMIT, INTERVAL, carrier), "{:?}", of("carrier"));
        Ok(())
    });
}

#[test]
fn an_interface_that_goes_switches_over_and_one_that_comes_back_takes_back() {
    scenario(2, |lab| {
        let watch = Watch::start(lab)?;
        let plans = [200, 100].map(|priority| Plan::gateways(INTERVAL, priority));
        let first = Router::start(lab, &lab.sites[0], Kind::Spared, &plans[0])?;
        watch.wait_active(0, Wire::Wan, INTERVAL * 3, LIMIT)?;
        let second = Router::start(lab, &lab.sites[1], Kind::Spared, &plans[1])?;
        Spared(&second).wait_role("backup", LIMIT)?;
        let ns = &lab.sites[0].ns;
        ns.shell("ip link del lan")?;
        watch.wait_active(1, Wire::Wan, INTERVAL * 5, LIMIT)?;
        let status = Spared(&first).status()?;
        let lan = status
            .interfaces
            .iter()
            .find(|interface| interface.name == "lan");
        assert_eq!(
            lan.map(|lan| lan.state.as_str()),
            Some("absent"),
            "{:?}",
            status.interfaces
        );
        lab.replug(&lab.sites[0], Wire::Lan)?;
        Spared(&first).wait_role("active", LIMIT)?;
        let gateway = Wire::Lan.ipv4(VIRTUAL).to_string();
        assert!(
            poll(LIMIT, INTERVAL, || lab.holders(&gateway) == [0]),
            "{:?}",
            lab.holders(&gateway)
        );
        Ok(())
    });
}

#[test]
fn a_router_whose_interface_does_not_exist_yet_waits_for_it() {
    scenario(1, |lab| {
        let watch = Watch::start(lab)?;
        let ns = &lab.sites[0].ns;
        ns.shell("ip link del lan")?;
        let plan = Plan::lan(INTERVAL, 200);
        let router = Router::start(lab, &lab.sites[0], Kind::Spared, &plan)?;
        thread::sleep(INTERVAL * 8);
        assert_ne!(Spared(&router).role(), "active");
        drop(watch);
        lab.replug(&lab.sites[0], Wire::Lan)?;
        let watch = Watch::start(lab)?;
        watch.wait_active(0, Wire::Lan, INTERVAL * 3, LIMIT)?;
        assert!(ns.holds(&Wire::Lan.ipv4(VIRTUAL).to_string()));
        Ok(())
    });
}

#[test]
fn an_interface_set_down_and_up_gets_its_addresses_back() {
    scenario(1, |lab| {
        let watch = Watch::start(lab)?;
        let mut plan = Plan::lan(INTERVAL, 200);
        plan.routers
            .push(spared_tests::router::VirtualRouter::ipv6(Wire::Lan, 51));
        let router = Router::start(lab, &lab.sites[0], Kind::Spared, &plan)?;
        watch.wait_active(0, Wire::Lan, INTERVAL * 3, LIMIT)?;
        let ns = &lab.sites[0].ns;
        ns.shell("ip link set lan down")?;
        thread::sleep(INTERVAL * 3);
        // The kernel flushes IPv6 addresses of an interface that is set down.
        ns.shell("ip link set lan up")?;
        for address in [Wire::Lan.ipv4(VIRTUAL).to_string(), Wire::Lan.ipv6(VIRTUAL)] {
            let back = poll(LIMIT, INTERVAL, || ns.holds(&address));
            assert!(back, "{address} is gone\n{}", router.log());
        }
        Spared(&router).wait_role("active", LIMIT)
    });
}
