// SPDX-License-Identifier: MIT OR Apache-2.0
//! The lab itself, with keepalived on both sides: what the other tests stand on.

use std::time::Duration;

use spared_tests::clock::Stamp;
use spared_tests::lab::{Wire, scenario};
use spared_tests::probe::{Asker, Control, Echo, Questions, Watch};
use spared_tests::router::{Kind, Plan, Router};

const INTERVAL: Duration = Duration::from_millis(100);

#[test]
fn keepalived_moves_the_gateways_after_a_silent_cut() {
    scenario(2, |lab| {
        let control = Control::start();
        let watch = Watch::start(lab)?;
        let first = Router::start(
            lab,
            &lab.sites[0],
            Kind::Keepalived,
            &Plan::gateways(INTERVAL, 254),
        )?;
        let second = Router::start(
            lab,
            &lab.sites[1],
            Kind::Keepalived,
            &Plan::gateways(INTERVAL, 253),
        )?;
        watch.wait_active(
            0,
            Wire::Lan,
            Duration::from_millis(500),
            Duration::from_secs(10),
        )?;
        let echo = Echo::through(lab)?;
        echo.outage_of(Stamp::now(), INTERVAL, Duration::from_secs(5))
            .ok_or("no traffic")?;
        let cut = Stamp::now();
        lab.isolate(&lab.sites[0])?;
        let failover = Duration::from_millis(300);
        let outage = echo
            .outage_of(cut, failover, Duration::from_secs(5))
            .ok_or("no end")?;
        eprintln!("{outage:?}, control {:?}", control.worst_since(cut));
        assert!(outage.longest > Duration::from_millis(150), "{outage:?}");
        assert!(outage.longest < Duration::from_millis(1000), "{outage:?}");
        lab.reunite(&lab.sites[0])?;
        drop((first, second));
        Ok(())
    });
}

#[test]
fn a_stopped_keepalived_answers_beside_its_successor() {
    scenario(2, |lab| {
        let watch = Watch::start(lab)?;
        let first = Router::start(
            lab,
            &lab.sites[0],
            Kind::Keepalived,
            &Plan::lan(INTERVAL, 200),
        )?;
        watch.wait_active(
            0,
            Wire::Lan,
            Duration::from_millis(500),
            Duration::from_secs(10),
        )?;
        let _second = Router::start(
            lab,
            &lab.sites[1],
            Kind::Keepalived,
            &Plan::lan(INTERVAL, 100),
        )?;
        std::thread::sleep(Duration::from_millis(500));
        let gateway = Wire::Lan.ipv4(1);
        let questions = Questions {
            ipv4: vec![gateway],
            ..Questions::default()
        };
        let _asker = Asker::start(lab, questions, Duration::from_millis(4))?;
        let from = Stamp::now();
        std::thread::sleep(Duration::from_millis(300));
        let runs = watch.runs(from, gateway.into());
        assert_eq!(runs.len(), 1, "{runs:?}");
        first.hang()?;
        std::thread::sleep(Duration::from_millis(1000));
        let runs = watch.runs(from, gateway.into());
        first.resume()?;
        assert!(runs.len() > 10, "both must answer in turn: {runs:?}");
        Ok(())
    });
}
