// SPDX-License-Identifier: MIT OR Apache-2.0
//! Networks that are not a plain cable between two nodes: another pair there under the same VRIDs, two
//! interfaces of each node in one broadcast domain, a private VLAN.

use std::net::IpAddr;
use std::thread;
use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::Stamp;
use spared_tests::lab::{Direction, Lab, Traffic, VIRTUAL, Wire, scenario};
use spared_tests::linked::{INTERVAL, Linked};
use spared_tests::pair::Fault;
use spared_tests::probe::{Asker, Control, Echo, Questions};
use spared_tests::router::{Plan, Spared};

/// Many heartbeats, and several failover times.
const WHILE: Duration = Duration::from_millis(1_200);
const CALM: Duration = Duration::from_millis(400);
/// A failover, and as much for a machine that is late.
const FAILOVER: Duration = Duration::from_millis(500);
/// A failover time, what stations have to answer, a switchover, and as much for a machine that is late.
const DEAF: Duration = Duration::from_millis(1_300);
/// The peer needs a failover time as well, before it says that it hears nothing.
const DUMB: Duration = Duration::from_millis(1_900);
/// Longer than whatever follows from a cut.
const CUT: Duration = Duration::from_secs(3);
/// Less than a failover time, 302 ms, and more than a busy machine is late.
const UNNOTICED: Duration = Duration::from_millis(250);
/// The gateways of the second pair.
const SECOND: u8 = 101;

fn plan() -> Plan {
    let mut plan = Plan::linked(INTERVAL, &[Wire::Hot]);
    plan.without_preference();
    plan
}

fn gateway(host: u8) -> IpAddr {
    Wire::Lan.ipv4(host).into()
}

/// All that spared runs on the active node is killed, and started again.
fn fail_over(pair: &mut Linked<'_>, control: &Control, host: u8) -> Result<()> {
    let killed = Stamp::now();
    let old = pair.at()?;
    pair.strike(Fault::Kill)?;
    thread::sleep(CALM);
    pair.answered(control, killed, host, FAILOVER)?;
    pair.repair(Fault::Kill, old)?;
    pair.stays(CALM)?;
    pair.one_answered_for(killed, gateway(host))
}

// ---- two pairs ---------------------------------------------------------------------------------

fn second_plan() -> Plan {
    let mut plan = plan();
    for router in &mut plan.routers {
        router.addresses = vec![format!("{}/24", router.wire.ipv4(SECOND))];
    }
    plan
}

/// Sites, of all four, that answered for an address.
fn answerers(pair: &Linked<'_>, host: u8, from: Stamp) -> Vec<usize> {
    let runs = pair.watch.resolutions(from, gateway(host));
    let mut sites: Vec<usize> = runs.iter().map(|run| run.site).collect();
    sites.sort_unstable();
    sites.dedup();
    sites
}

#[test]
fn two_pairs_of_the_same_vrids_do_not_disturb_each_other() {
    scenario(4, |lab| {
        let control = Control::start();
        let mut first = Linked::begin(lab, [plan(), plan()])?;
        let mut second = Linked::begin_at(lab, [2, 3], [second_plan(), second_plan()])?;
        first.wait_settled()?;
        second.wait_settled()?;
        let questions = Questions {
            ipv4: vec![Wire::Lan.ipv4(VIRTUAL), Wire::Lan.ipv4(SECOND)],
            ..Questions::default()
        };
        let _asker = Asker::start(lab, questions, Duration::from_millis(2))?;
        thread::sleep(CALM);
        let began = Stamp::now();
        let roles = [first.transitions(), second.transitions()];
        thread::sleep(WHILE);
        assert_eq!([first.transitions(), second.transitions()], roles);
        fail_over(&mut first, &control, VIRTUAL)?;
        assert_eq!(second.transitions(), roles[1]);
        let roles = first.transitions();
        first.answered(&control, began, SECOND, UNNOTICED)?;
        let began = Stamp::now();
        fail_over(&mut second, &control, SECOND)?;
        assert_eq!(first.transitions(), roles);
        first.answered(&control, began, VIRTUAL, UNNOTICED)?;
        assert!(
            answerers(&first, VIRTUAL, began)
                .iter()
                .all(|site| *site < 2)
        );
        assert!(
            answerers(&first, SECOND, began)
                .iter()
                .all(|site| *site >= 2)
        );
        Ok(())
    });
}

// ---- one broadcast domain ----------------------------------------------------------------------

/// Frames of a network reached the other, and count for nothing there.
fn judge_paths(pair: &Linked<'_>) {
    for (site, wire) in [(0, "lan"), (0, "wan"), (1, "lan"), (1, "wan")] {
        let count = |reason: &str| {
            let key = format!("network.{wire}.heartbeats_dropped.{reason}");
            pair.counter(site, &key)
        };
        assert!(count("other_path") > 0, "r{} {wire}", site + 1);
        for reason in ["datagram", "malformed", "forged", "replayed", "late"] {
            assert_eq!(count(reason), 0, "r{} {wire} {reason}", site + 1);
        }
        assert_eq!(pair.counter(site, "office.unheard_interfaces"), 0);
        assert_eq!(pair.counter(site, "office.conflicts"), 0);
    }
}

fn in_one_domain(lab: &Lab, vrids: [u8; 2]) -> Result<()> {
    let control = Control::start();
    let mut plan = plan();
    for (router, vrid) in plan.routers.iter_mut().zip(vrids) {
        router.vrid = vrid;
    }
    let mut pair = Linked::start(lab, &plan)?;
    let _asker = Asker::at_gateway(lab)?;
    let (began, before) = (Stamp::now(), pair.transitions());
    thread::sleep(WHILE);
    assert_eq!(pair.transitions(), before);
    judge_paths(&pair);
    pair.answered(&control, began, VIRTUAL, UNNOTICED)?;
    fail_over(&mut pair, &control, VIRTUAL)?;
    lab.cut(pair.site(0), Wire::Hot)?;
    let before = pair.transitions();
    thread::sleep(WHILE);
    assert_eq!(pair.transitions(), before);
    judge_paths(&pair);
    pair.one_answered(began)?;
    lab.join(pair.site(0), Wire::Hot)
}

#[test]
fn two_interfaces_in_one_broadcast_domain_dispute_nothing() {
    scenario(2, |lab| {
        lab.bridge(Wire::Lan, Wire::Wan)?;
        in_one_domain(lab, [51, 52])
    });
}

#[test]
fn two_interfaces_of_one_vrid_in_one_broadcast_domain_dispute_nothing() {
    scenario(2, |lab| {
        lab.bridge(Wire::Lan, Wire::Wan)?;
        in_one_domain(lab, [51, 51])
    });
}

// ---- private VLAN ------------------------------------------------------------------------------

fn private_plan(heartbeats: bool) -> Plan {
    let mut plan = plan();
    plan.routers[0].heartbeats = heartbeats;
    plan
}

fn disputes(pair: &Linked<'_>) -> [u64; 2] {
    [0, 1].map(|site| pair.counter(site, "office.unheard_interfaces"))
}

#[test]
fn a_private_vlan_without_heartbeats_is_never_disputed() {
    scenario(2, |lab| {
        let control = Control::start();
        lab.separate(Wire::Lan, true)?;
        let mut pair = Linked::start(lab, &private_plan(false))?;
        let _asker = Asker::at_gateway(lab)?;
        let (began, before) = (Stamp::now(), pair.transitions());
        thread::sleep(WHILE);
        assert_eq!(pair.transitions(), before);
        pair.answered(&control, began, VIRTUAL, UNNOTICED)?;
        fail_over(&mut pair, &control, VIRTUAL)?;
        // the wan is left, and no session
        lab.cut(pair.site(0), Wire::Hot)?;
        let before = pair.transitions();
        thread::sleep(WHILE);
        assert_eq!(pair.transitions(), before);
        assert_eq!(disputes(&pair), [0, 0]);
        pair.one_answered(began)
    });
}

#[test]
fn a_private_vlan_with_heartbeats_is_unheard_and_one_is_active() {
    scenario(2, |lab| {
        let pair = Linked::start(lab, &private_plan(true))?;
        let _asker = Asker::at_gateway(lab)?;
        let (began, before) = (Stamp::now(), pair.transitions());
        lab.separate(Wire::Lan, true)?;
        pair.wait("a dispute", || disputes(&pair) != [0, 0])?;
        thread::sleep(WHILE);
        pair.stays(CALM)?;
        let key = "office.interface.lan.unheard";
        let unheard = |site: usize| Spared(&pair.routers[site]).row(&["vrrp", "status"], key);
        assert!([unheard(0)?, unheard(1)?].iter().any(|row| row.is_string()));
        // once in each dispute, and each node counts its own change
        for (now, before) in pair.transitions().into_iter().zip(before) {
            assert!(now <= before + 1, "{now} changes of role after {before}");
        }
        lab.separate(Wire::Lan, false)?;
        pair.wait("the end of the dispute", || {
            [unheard(0), unheard(1)]
                .iter()
                .flatten()
                .all(|row| row.is_null())
        })?;
        pair.stays(CALM)?;
        pair.one_answered(began)
    });
}

// ---- one direction -----------------------------------------------------------------------------

#[test]
fn an_active_node_that_is_deaf_on_a_network_gives_way() {
    let mut plan = Plan::linked(INTERVAL, &Wire::LINKS);
    plan.without_preference();
    // the old one rates the network again, and nothing else moves
    gives_way(&plan, [0, 100], DEAF, false);
}

/// Its card receives, and it hears stations that it can no longer ask.
#[test]
fn an_active_node_that_is_dumb_on_a_network_gives_way() {
    gives_way(&plan(), [100, 0], DUMB, true);
}

/// The lan loses these percents of what the active node sends and receives there: the other one answers within `limit`, and
/// goes on with it when that is mended. `is_told`: both say that they do not hear each other, until then.
fn gives_way(plan: &Plan, [from, to]: [u8; 2], limit: Duration, is_told: bool) {
    scenario(2, |lab| {
        let control = Control::start();
        let pair = Linked::start(lab, plan)?;
        let _echo = Echo::at_gateway(lab)?;
        let _asker = Asker::at_gateway(lab)?;
        thread::sleep(CALM);
        let (active, before) = (pair.at()?, pair.transitions());
        let began = Stamp::now();
        lab.lose(pair.site(active), Wire::Lan, from, to)?;
        pair.wait_active(1 - active)?;
        thread::sleep(WHILE);
        pair.answered(&control, began, VIRTUAL, limit)?;
        assert_eq!(pair.stays(CALM)?, 1 - active);
        for site in [0, 1].into_iter().filter(|_| is_told) {
            assert!(
                is_unheard(&pair, site)?,
                "r{} says that all is well",
                site + 1
            );
        }
        lab.fix(pair.site(active), Wire::Lan)?;
        thread::sleep(WHILE);
        assert_eq!(pair.stays(CALM)?, 1 - active);
        if is_told {
            pair.wait("all well", || {
                [0, 1]
                    .iter()
                    .all(|site| is_unheard(&pair, *site).is_ok_and(|it| !it))
            })?;
        }
        assert_eq!(pair.transitions(), before.map(|count| count + 1));
        pair.one_answered(began)
    });
}

/// Returns true if a node says that the nodes do not hear each other on the lan.
fn is_unheard(pair: &Linked<'_>, site: usize) -> Result<bool> {
    let findings = pair.status(site)?.verdict.findings;
    Ok(findings
        .iter()
        .any(|it| it.id == "SP-0205" && it.thing == "lan"))
}

#[test]
fn a_backup_that_is_dumb_on_a_network_moves_nothing() {
    scenario(2, |lab| {
        let control = Control::start();
        let pair = Linked::start(lab, &plan())?;
        let _echo = Echo::at_gateway(lab)?;
        let _asker = Asker::at_gateway(lab)?;
        thread::sleep(CALM);
        let (active, before) = (pair.at()?, pair.transitions());
        let began = Stamp::now();
        lab.lose(pair.site(1 - active), Wire::Lan, 100, 0)?;
        pair.wait("its notice", || disputes(&pair)[active] > 0)?;
        thread::sleep(WHILE);
        assert_eq!(pair.transitions(), before);
        let key = "office.interface.lan.unheard";
        let rating = Spared(&pair.routers[active]).row(&["vrrp", "status"], key)?;
        assert_eq!(rating.as_str(), Some("good"));
        pair.answered(&control, began, VIRTUAL, UNNOTICED)
    });
}

// ---- several groups ----------------------------------------------------------------------------

const MORE: &str = "[[group]]\nname = \"more\"\nprefer = \"r1\"\nadvert_interval = \"100ms\"\n\
    failback_delay = \"500ms\"\n[[group.interface]]\ninterface = \"lan\"\nvrid = 61\n\
    addresses = [\"10.1.0.61/24\"]\n";

/// Nobody can be asked there, so that both groups move, and are to go back once r1 is proven to be heard.
fn fall_back_together(lab: &Lab) -> Result<()> {
    let mut plan = Plan::linked(INTERVAL, &[Wire::Hot]);
    plan.sections = MORE.to_owned();
    let pair = Linked::start(lab, &plan)?;
    let all_on = |site: usize| {
        let groups = pair.status(site).unwrap_or_default().groups;
        groups.len() == 2 && groups.iter().all(|group| group.role == "active")
    };
    pair.wait("r1 active", || all_on(0))?;
    lab.cut(pair.site(0), Wire::Lan)?;
    thread::sleep(CUT);
    assert!(all_on(1), "both have moved");
    lab.join(pair.site(0), Wire::Lan)?;
    pair.wait("both back", || all_on(0))
}

#[test]
fn groups_of_one_network_go_back_to_the_preferred_node_after_a_silent_cut() {
    scenario(2, fall_back_together);
}

/// Adverts alone: whether the backup can be heard is asked by ARP.
#[test]
fn groups_of_one_network_go_back_where_heartbeats_are_filtered() {
    scenario(2, |lab| {
        let site = &lab.sites[0];
        lab.filter(site, Wire::Lan, Traffic::Heartbeats, Direction::Both)?;
        fall_back_together(lab)
    });
}
