// SPDX-License-Identifier: MIT OR Apache-2.0
//! Objects of spared in the kernel, after every kind of end, and what others do to them.

use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use spared_tests::Result;
use spared_tests::clock::{Stamp, poll};
use spared_tests::lab::{Lab, VIRTUAL, Wire, is_alive, scenario, signal_to};
use spared_tests::probe::{Asker, Questions, Watch};
use spared_tests::router::{Kind, Plan, Router, Spared};

const INTERVAL: Duration = Duration::from_millis(100);
const FAILOVER: Duration = Duration::from_millis(340);
const LIMIT: Duration = Duration::from_secs(10);

#[test]
fn after_a_kill_of_everything_the_kernel_answers_no_more_and_the_next_start_removes_what_is_left() {
    scenario(1, |lab| {
        let watch = Watch::start(lab)?;
        let mut router = start(lab, &watch)?;
        let ns = &lab.sites[0].ns;
        let gateway = Wire::Lan.ipv4(VIRTUAL);
        let _asker = ask(lab)?;
        // Objects that resemble spared's and are not.
        ns.ip("addr add 10.1.0.77/24 dev lan\nroute add 10.9.0.0/16 via 10.1.0.2 proto 99\n")?;
        ns.nft("table inet other {\nset lease { type ipv4_addr; }\n}\n")?;
        let chain = "chain c { type filter hook ingress device lan priority 0; }";
        ns.nft(&format!("table netdev other {{\n{chain}\n}}\n"))?;

        router.kill();
        thread::sleep(FAILOVER * 2);
        assert!(
            ns.holds(&gateway.to_string()),
            "who removed the address, when all were killed?"
        );
        let later = Stamp::now();
        thread::sleep(INTERVAL * 3);
        let runs = watch.runs(later, gateway.into());
        assert!(runs.is_empty(), "a killed router answers: {runs:?}");

        // As a backup, the next one must remove the address and hold back with its own.
        let peer = Router::start(lab, &lab.sites[0], Kind::Spared, &waiting_plan())?;
        let gone = poll(LIMIT, INTERVAL, || !ns.holds(&gateway.to_string()));
        assert!(gone, "the address is still there\n{}", peer.log());
        assert!(ns.holds("10.1.0.77"), "a foreign address was removed");
        assert!(ns.shell("ip route show proto 99")?.contains("10.9.0.0/16"));
        // the new fence comes with the plugin's claims
        let fenced = || {
            ns.shell("nft list tables")
                .is_ok_and(|it| it.contains("netdev spared"))
        };
        assert!(poll(LIMIT, INTERVAL, fenced), "no fence\n{}", peer.log());
        let tables = ns.shell("nft list tables")?;
        for table in ["inet other", "netdev other"] {
            assert!(tables.contains(table), "{table} is not there: {tables}");
        }
        Ok(())
    });
}

#[test]
fn when_the_host_alone_is_killed_the_worker_resigns_and_ends_and_nobody_answers() {
    scenario(1, |lab| {
        let watch = Watch::start(lab)?;
        let router = start(lab, &watch)?;
        let _asker = ask(lab)?;
        let host = router.daemons[0].pid();
        let workers: Vec<u32> = router
            .pids()
            .into_iter()
            .filter(|pid| *pid != host)
            .collect();
        assert!(!workers.is_empty(), "no worker to watch");
        let began = Stamp::now();
        signal_to(host, Signal::KILL)?;
        let ended = poll(LIMIT, INTERVAL, || {
            !workers.iter().any(|pid| is_alive(*pid))
        });
        assert!(ended, "workers outlive their host");
        let adverts = watch.adverts(began, 0, Wire::Lan);
        let last = adverts.last().ok_or("no advert after the kill")?;
        assert_eq!(last.1.priority, 0, "no resignation: {adverts:?}");
        let resigned = last.0.after(Duration::from_millis(5));
        thread::sleep(INTERVAL * 3);
        let runs = watch.runs(resigned, Wire::Lan.ipv4(VIRTUAL).into());
        assert!(runs.is_empty(), "it still answers: {runs:?}");
        Ok(())
    });
}

#[test]
fn a_killed_elector_is_replaced_and_its_group_lives_on() {
    scenario(2, |lab| {
        let watch = Watch::start(lab)?;
        let first = start(lab, &watch)?;
        let second = Router::start(lab, &lab.sites[1], Kind::Spared, &Plan::lan(INTERVAL, 100))?;
        Spared(&second).wait_role("backup", LIMIT)?;
        let worker = first.process("worker").ok_or("no worker")?;
        let _asker = ask(lab)?;
        let began = Stamp::now();
        signal_to(worker, Signal::KILL)?;
        // r1 is the better one: whether or not r2 was quicker, it ends up active.
        Spared(&first).wait_role("active", LIMIT)?;
        watch.wait_active(0, Wire::Lan, INTERVAL * 5, LIMIT)?;
        let runs = watch.runs(began, Wire::Lan.ipv4(VIRTUAL).into());
        assert!(runs.len() <= 3, "{runs:?}");
        assert!(first.pids().len() >= 2 && !first.pids().contains(&worker));
        Ok(())
    });
}

#[test]
fn an_address_that_somebody_deletes_is_put_back_at_once() {
    scenario(1, |lab| {
        let watch = Watch::start(lab)?;
        let router = start(lab, &watch)?;
        let (ns, gateway) = (&lab.sites[0].ns, Wire::Lan.ipv4(VIRTUAL).to_string());
        ns.shell(&format!("ip addr del {gateway}/24 dev lan"))?;
        let back = poll(Duration::from_secs(1), Duration::from_millis(5), || {
            ns.holds(&gateway)
        });
        assert!(back, "not put back within a second");
        let restored = || {
            Spared(&router)
                .status()
                .unwrap_or_default()
                .groups
                .iter()
                .any(|group| {
                    group
                        .addresses
                        .iter()
                        .any(|address| address.restored == 1 && address.present)
                })
        };
        assert!(poll(LIMIT, INTERVAL, restored), "status does not tell");
        Ok(())
    });
}

#[test]
fn the_virtual_address_stays_where_the_nodes_first_own_one_is_deleted() {
    scenario(1, |lab| {
        let watch = Watch::start(lab)?;
        let ns = &lab.sites[0].ns;
        ns.shell("ip addr add 10.1.0.111/24 dev lan")?;
        let router = start(lab, &watch)?;
        let gateway = Wire::Lan.ipv4(VIRTUAL).to_string();
        // The kernel deletes all that came after it in the same network, unless it is told.
        ns.shell(&format!("ip addr del {}/24 dev lan", Wire::Lan.ipv4(11)))?;
        thread::sleep(INTERVAL);
        assert!(
            poll(LIMIT, INTERVAL, || ns.holds(&gateway)),
            "gone\n{}",
            router.log()
        );
        let later = Stamp::now();
        thread::sleep(INTERVAL * 5);
        let adverts = watch.adverts(later, 0, Wire::Lan);
        let other = |source: std::net::IpAddr| source.to_string() == "10.1.0.111";
        assert!(adverts.len() > 2, "{adverts:?}");
        assert!(
            adverts.iter().all(|(_, advert)| other(advert.source)),
            "{adverts:?}"
        );
        Ok(())
    });
}

#[test]
fn who_loses_its_address_again_and_again_resigns_and_says_why() {
    scenario(2, |lab| {
        let watch = Watch::start(lab)?;
        let first = start(lab, &watch)?;
        let second = Router::start(lab, &lab.sites[1], Kind::Spared, &Plan::lan(INTERVAL, 100))?;
        Spared(&second).wait_role("backup", LIMIT)?;
        let (ns, gateway) = (&lab.sites[0].ns, Wire::Lan.ipv4(VIRTUAL).to_string());
        let took_over = || {
            let _ = ns.shell(&format!("ip addr del {gateway}/24 dev lan"));
            lab.sites[1].ns.holds(&gateway)
        };
        assert!(
            poll(LIMIT, Duration::from_millis(50), took_over),
            "r1 fights on\n{}",
            first.log()
        );
        let output = Spared(&first).sparectl(&["events"])?;
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains(&gateway), "{said}");
        Ok(())
    });
}

fn start(lab: &Lab, watch: &Watch) -> Result<Router> {
    let router = Router::start(lab, &lab.sites[0], Kind::Spared, &Plan::lan(INTERVAL, 200))?;
    watch.wait_active(0, Wire::Lan, INTERVAL * 3, LIMIT)?;
    Ok(router)
}

/// One that stays backup for as long as the test takes.
fn waiting_plan() -> Plan {
    let mut plan = Plan::lan(INTERVAL, 200);
    plan.extra = "start_delay = \"1m\"\n".to_owned();
    plan
}

fn ask(lab: &Lab) -> Result<Asker> {
    let questions = Questions {
        ipv4: vec![Wire::Lan.ipv4(VIRTUAL)],
        ..Questions::default()
    };
    Asker::start(lab, questions, Duration::from_millis(4))
}
