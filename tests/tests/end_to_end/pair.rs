// SPDX-License-Identifier: MIT OR Apache-2.0
//! Two nodes that know each other, and what befalls their cables: exactly one is active wherever
//! any path speaks.

use std::thread;
use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::{Stamp, poll};
use spared_tests::lab::{VIRTUAL, Wire, scenario};
use spared_tests::linked::{INTERVAL, Linked};
use spared_tests::probe::{Control, Echo};
use spared_tests::router::{Kind, Plan, Router};

/// Longer than any decision takes: switchover, hold, failback.
const CALM: Duration = Duration::from_secs(3);

fn plan() -> Plan {
    Plan::linked(INTERVAL, &[Wire::Hot])
}

/// Exactly one is active, and stays so.
fn one_stays_active(pair: &Linked<'_>) -> Result<usize> {
    pair.wait("one active", || pair.active().len() == 1)?;
    thread::sleep(CALM);
    let active = pair.active();
    let [one] = active.as_slice() else {
        return Err(format!("active: {active:?}").into());
    };
    let before = [0, 1].map(|site| pair.group(site).transitions);
    thread::sleep(CALM);
    let after = [0, 1].map(|site| pair.group(site).transitions);
    assert_eq!(before, after, "roles change while nothing happens");
    assert_eq!(pair.active(), active);
    Ok(*one)
}

/// The five rows of another maker's table, by cables: (lan of r1, r2; wan of r1, r2), who leads.
/// In the last two both act there.
#[test]
fn five_rows_by_cables_end_with_one_active() {
    const UP: bool = true;
    const DOWN: bool = false;
    type Row = ([bool; 2], [bool; 2], Option<usize>);
    const ROWS: [Row; 5] = [
        ([UP, UP], [UP, UP], Some(0)),
        ([DOWN, UP], [UP, UP], Some(1)),
        ([DOWN, DOWN], [UP, UP], Some(0)),
        ([DOWN, DOWN], [UP, DOWN], Some(0)),
        ([DOWN, DOWN], [DOWN, DOWN], None),
    ];
    scenario(2, |lab| {
        let pair = Linked::start(lab, &plan())?;
        pair.wait_active(0)?;
        for (lan, wan, leader) in ROWS {
            for (wire, states) in [(Wire::Lan, lan), (Wire::Wan, wan)] {
                for (site, up) in lab.sites.iter().zip(states) {
                    if up {
                        lab.plug(site, wire)?;
                    } else {
                        lab.unplug(site, wire)?;
                    }
                }
            }
            if let Some(leader) = leader {
                pair.wait_active(leader)?;
            }
            let active = one_stays_active(&pair)?;
            assert!(
                leader.is_none_or(|leader| leader == active),
                "{lan:?} {wan:?}: r{}",
                active + 1
            );
        }
        Ok(())
    });
}

#[test]
fn one_way_loss_ends_with_one_active_who_is_heard() {
    scenario(2, |lab| {
        let mut plan = plan();
        plan.sections = "witnesses = [\"10.2.0.2\"]\n".to_owned();
        let pair = Linked::start(lab, &plan)?;
        pair.wait_active(0)?;
        // r1's adverts do not leave its wan: r2 hears them on lan and its heartbeats on the link
        lab.lose(&lab.sites[0], Wire::Wan, 100, 0)?;
        pair.wait_active(1)?;
        assert_eq!(one_stays_active(&pair)?, 1);
        lab.fix(&lab.sites[0], Wire::Wan)?;
        pair.wait_active(0)?;
        Ok(())
    });
}

#[test]
fn with_every_network_cut_the_link_keeps_one_active() {
    scenario(2, |lab| {
        let pair = Linked::start(lab, &plan())?;
        pair.wait_active(0)?;
        for site in &lab.sites {
            lab.isolate(site)?;
        }
        let active = one_stays_active(&pair)?;
        for site in &lab.sites {
            lab.reunite(site)?;
        }
        pair.wait_active(0)?;
        assert!(active < 2);
        Ok(())
    });
}

#[test]
fn without_any_link_left_it_is_vrrp_and_nothing_moves() {
    scenario(2, |lab| {
        let plan = Plan::linked(INTERVAL, &Wire::LINKS);
        let control = Control::start();
        let pair = Linked::start(lab, &plan)?;
        pair.wait_active(0)?;
        let echo = Echo::at_gateway(lab)?;
        assert!(poll(CALM, INTERVAL, || echo.is_steady(INTERVAL)));
        let began = Stamp::now();
        let before = [0, 1].map(|site| pair.group(site).transitions);
        for wire in Wire::LINKS {
            lab.cut(&lab.sites[1], wire)?;
        }
        thread::sleep(CALM);
        for wire in Wire::LINKS {
            lab.join(&lab.sites[1], wire)?;
        }
        pair.wait_settled()?;
        let after = [0, 1].map(|site| pair.group(site).transitions);
        assert_eq!(before, after);
        control.judge_lossless("links that come and go", &echo, began)
    });
}

#[test]
fn both_booted_at_once_agree_on_one() {
    scenario(2, |lab| {
        let pair = Linked::begin(lab, [plan(), plan()])?;
        pair.wait_active(0)?;
        let held = pair.watch.adverts(Stamp(0), 1, Wire::Lan);
        let active = held.iter().filter(|(_, advert)| advert.priority > 0);
        assert_eq!(active.count(), 0, "r2 was never active");
        Ok(())
    });
}

#[test]
fn a_node_alone_does_not_wait_for_a_peer_that_never_comes() {
    scenario(2, |lab| {
        let place = &lab.sites[0];
        let alone = Router::start(lab, place, Kind::Spared, &plan())?;
        let spared = spared_tests::router::Spared(&alone);
        spared.wait_role("active", Duration::from_secs(8))?;
        Ok(())
    });
}

#[test]
fn keepalived_is_the_third_router_in_priority_mode() {
    scenario(3, |lab| {
        let priorities = [200, 150, 100];
        let plans = priorities.map(|priority| {
            let mut plan = Plan::gateways(INTERVAL, priority);
            if priority > 100 {
                plan.extra = "routers = \"any\"\n".to_owned();
            }
            plan
        });
        // r1 and r2 are linked and elect by priority, as a third router has no heartbeats
        let linked = |mut plan: Plan| {
            let link = Plan::linked(INTERVAL, &[Wire::Hot]).link;
            plan.extra += &format!("election = \"priority\"\npriority = {}\n", plan.priority);
            plan.link = link;
            plan.without_preference();
            plan
        };
        let [first, second, third] = plans;
        let mut pair = Linked::begin(lab, [linked(first), linked(second)])?;
        let _keepalived = Router::start(lab, &lab.sites[2], Kind::Keepalived, &third)?;
        pair.watch
            .wait_active(0, Wire::Lan, INTERVAL * 5, CALM * 4)?;
        pair.routers[0].kill();
        pair.watch
            .wait_active(1, Wire::Lan, INTERVAL * 5, CALM * 4)?;
        pair.routers[1].shut_down()?;
        pair.watch
            .wait_active(2, Wire::Lan, INTERVAL * 5, CALM * 4)?;
        let gateway = Wire::Lan.ipv4(VIRTUAL).to_string();
        // what was killed still holds them, behind its blocking fence
        assert!(lab.holders(&gateway).contains(&2));
        pair.restart(1)?;
        pair.watch
            .wait_active(1, Wire::Lan, INTERVAL * 5, CALM * 4)?;
        Ok(())
    });
}

mod timed {
    use super::*;

    #[test]
    fn a_lost_cable_switches_over_and_a_mended_one_gives_back() {
        scenario(2, |lab| {
            let control = Control::start();
            let pair = Linked::start(lab, &plan())?;
            pair.wait_active(0)?;
            let echo = Echo::through(lab)?;
            assert!(poll(CALM, INTERVAL, || echo.is_steady(INTERVAL)));
            let cut = Stamp::now();
            lab.unplug(&lab.sites[0], Wire::Lan)?;
            pair.wait_active(1)?;
            let outage = echo
                .outage_of(cut, Duration::ZERO, CALM)
                .ok_or("packets never flow again")?;
            // it is no failover: who lost the cable resigns
            control.judge_locked("without service", cut, outage.total, INTERVAL * 3)?;
            let back = Stamp::now();
            lab.plug(&lab.sites[0], Wire::Lan)?;
            pair.wait_active(0)?;
            thread::sleep(Duration::from_millis(500));
            control.judge_lossless("the way back, a switchover", &echo, back)
        });
    }

    #[test]
    fn a_dead_machine_is_replaced_and_joins_again() {
        scenario(2, |lab| {
            let control = Control::start();
            let mut pair = Linked::start(lab, &plan())?;
            pair.wait_active(0)?;
            pair.routers[0].kill();
            pair.wait("r2 active", || pair.role(1) == "active")?;
            let (code, text) = pair.said(1, &["status"])?;
            assert_eq!(code, 2, "{text}");
            assert!(
                text.starts_with("ALONE  office: r2 is active and no other node "),
                "{text}"
            );
            assert!(text.contains("(SP-0101)"), "{text}");
            // its kernel lives and answers: that is said, and no more
            pair.wait("a living machine", || {
                let text = pair.said(1, &["status"]).unwrap_or_default().1;
                text.contains("answers a ping, its daemon may be off")
            })?;
            let echo = Echo::at_gateway(lab)?;
            assert!(poll(CALM, INTERVAL, || echo.is_steady(INTERVAL)));
            let began = Stamp::now();
            pair.restart(0)?;
            pair.wait_active(0)?;
            pair.wait_settled()?;
            thread::sleep(Duration::from_millis(500));
            control.judge_lossless("coming back", &echo, began)
        });
    }
}
