// SPDX-License-Identifier: MIT OR Apache-2.0
//! Somebody lets only a part pass of what two nodes say to each other on their networks: adverts without
//! heartbeats, heartbeats without adverts, and either in one direction.

use std::thread;
use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::{Stamp, poll};
use spared_tests::lab::{Direction, Lab, Traffic, VIRTUAL, Wire, scenario};
use spared_tests::linked::{INTERVAL, Linked};
use spared_tests::pair::Fault;
use spared_tests::probe::{Asker, Control};
use spared_tests::router::{Plan, Spared};

const STEP: Duration = Duration::from_millis(20);
/// Several failover times.
const WHILE: Duration = Duration::from_millis(900);
const CALM: Duration = Duration::from_millis(400);
/// Longest silence that counts as none: the pace of questions, and a machine that is a little late.
const UNNOTICED: Duration = Duration::from_millis(250);
/// A failover, and as much for a machine that is late.
const FAILOVER: Duration = Duration::from_millis(500);
/// After ten seconds it is told, and somebody has asked by then.
const TOLD: Duration = Duration::from_secs(12);

fn plan() -> Plan {
    let mut plan = Plan::linked(INTERVAL, &[Wire::Hot]);
    plan.without_preference();
    plan
}

// ---- one kind, in one direction or both --------------------------------------------------------

#[derive(Clone, Copy, Debug)]
struct Filter {
    what: Traffic,
    way: Direction,
    networks: &'static [Wire],
}

fn filters(what: Traffic, networks: &'static [Wire]) -> impl Iterator<Item = Filter> {
    let ways = [Direction::From, Direction::To, Direction::Both];
    ways.into_iter().map(move |way| Filter {
        what,
        way,
        networks,
    })
}

fn beside_filter(pair: &Linked<'_>, control: &Control, filter: Filter) -> Result<()> {
    let (active, before, began) = (pair.at()?, pair.transitions(), Stamp::now());
    let site = pair.site(active);
    for wire in filter.networks {
        pair.lab.filter(site, *wire, filter.what, filter.way)?;
    }
    thread::sleep(WHILE);
    pair.stays(CALM)?;
    for wire in filter.networks {
        pair.lab.unfilter(site, *wire)?;
    }
    thread::sleep(CALM);
    pair.stays(CALM)?;
    pair.one_answered(began)?;
    let changes: u64 = pair.transitions().iter().sum::<u64>() - before.iter().sum::<u64>();
    // heartbeats prove life, so their loss on a network makes that unheard: the group may move once, and once
    // more when it is heard again
    let (changes_max, bound) = match filter.what {
        Traffic::Adverts => (0, UNNOTICED),
        Traffic::Heartbeats => (4, FAILOVER),
    };
    if changes > changes_max {
        return Err(format!("{changes} changes of role").into());
    }
    pair.answered(control, began, VIRTUAL, bound)
}

fn beside_filters(lab: &Lab, link: bool, filters: impl Iterator<Item = Filter>) -> Result<()> {
    let control = Control::start();
    let pair = Linked::start(lab, &plan())?;
    let _asker = Asker::at_gateway(lab)?;
    thread::sleep(CALM);
    if !link {
        lab.cut(pair.site(0), Wire::Hot)?;
    }
    for filter in filters {
        eprintln!("{filter:?}");
        beside_filter(&pair, &control, filter)?;
    }
    Ok(())
}

#[test]
fn one_answers_whatever_of_adverts_and_heartbeats_is_dropped() {
    scenario(2, |lab| {
        let lan = filters(Traffic::Heartbeats, &[Wire::Lan]);
        let both = filters(Traffic::Heartbeats, &Wire::BOTH);
        let adverts = filters(Traffic::Adverts, &Wire::BOTH);
        beside_filters(lab, true, lan.chain(both).chain(adverts))
    });
}

#[test]
fn one_answers_whatever_is_dropped_while_no_link_is_left() {
    scenario(2, |lab| {
        let lan = filters(Traffic::Heartbeats, &[Wire::Lan]);
        beside_filters(
            lab,
            false,
            lan.chain(filters(Traffic::Adverts, &Wire::BOTH)),
        )
    });
}

// ---- adverts alone -----------------------------------------------------------------------------

/// The active node is struck: the other one serves in time, and goes on when that node is back. Then the
/// same with the other.
fn strike_each(pair: &mut Linked<'_>, control: &Control, fault: Fault) -> Result<()> {
    for _ in 0..2 {
        let (old, struck) = (pair.at()?, Stamp::now());
        pair.strike(fault)?;
        thread::sleep(CALM);
        pair.answered(control, struck, VIRTUAL, FAILOVER)?;
        match fault {
            Fault::Hang => pair.routers[old].resume()?,
            _ => pair.restart(old)?,
        }
        pair.wait("the node back", || pair.role(old) == "backup")?;
        if pair.stays(CALM * 2)? == old {
            return Err(format!("r{} took back what it did not serve", old + 1).into());
        }
        pair.one_answered(struck)?;
    }
    Ok(())
}

/// Two nodes that begin behind an access list for heartbeats.
fn start_filtered(lab: &Lab) -> Result<Linked<'_>> {
    for wire in Wire::BOTH {
        let way = Direction::Both;
        lab.filter(&lab.sites[0], wire, Traffic::Heartbeats, way)?;
    }
    Linked::start(lab, &plan())
}

#[test]
fn filtered_heartbeats_are_told() {
    scenario(2, |lab| {
        let pair = start_filtered(lab)?;
        let backup = 1 - pair.at()?;
        let router = &pair.routers[backup];
        let told = || {
            let log = router.log();
            Wire::BOTH.iter().all(|wire| {
                let name = wire.name();
                log.contains(&format!("heartbeats are filtered on {name}"))
            })
        };
        assert!(poll(TOLD, STEP, told), "{}", router.log());
        let row = Spared(router).row(&["vrrp", "status"], "office.interface.lan.heartbeats")?;
        assert_eq!(row.as_str(), Some("filtered"));
        Ok(())
    });
}

#[test]
fn adverts_count_where_heartbeats_are_filtered() {
    scenario(2, |lab| {
        let control = Control::start();
        let mut pair = start_filtered(lab)?;
        let (backup, before) = (1 - pair.at()?, pair.transitions());
        let _asker = Asker::at_gateway(lab)?;
        let key = "office.virtual_router.lan.51.ipv4.received";
        let heard = pair.counter(backup, key);
        lab.cut(&lab.sites[0], Wire::Hot)?;
        thread::sleep(WHILE);
        assert!(pair.counter(backup, key) >= heard + 5);
        assert_eq!(pair.transitions(), before, "adverts prove life");
        strike_each(&mut pair, &control, Fault::Hang)
    });
}

#[test]
fn a_node_that_sends_adverts_alone_fails_over_and_is_failed_over_from() {
    scenario(2, |lab| {
        let control = Control::start();
        let mut silent = plan();
        for router in &mut silent.routers {
            router.heartbeats = false;
        }
        let mut pair = Linked::begin(lab, [silent, plan()])?;
        pair.wait_settled()?;
        let _asker = Asker::at_gateway(lab)?;
        strike_each(&mut pair, &control, Fault::Kill)?;
        lab.cut(&lab.sites[0], Wire::Hot)?;
        thread::sleep(WHILE);
        strike_each(&mut pair, &control, Fault::Hang)?;
        let before = pair.transitions();
        lab.join(&lab.sites[0], Wire::Hot)?;
        pair.wait_settled()?;
        pair.stays(CALM)?;
        assert_eq!(
            pair.transitions(),
            before,
            "a link that is back moves no role"
        );
        Ok(())
    });
}
