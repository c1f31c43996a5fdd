//! Rules of election with heartbeats over a link: E0 to E4, E6 to E9.

use spared_sdk::{Forced, Role};

use super::lab::{Lab, MS, SECOND, SECOND_ROUTER, by_priority};
use crate::engine::{Action, Table};
use crate::wire::{Family, virtual_mac};
use spared_sdk::Directive;

pub const LINKS: [&str; 2] = ["link1", "link2"];

pub fn by_quality(group: &str) -> String {
    format!(
        "[[group]]\nname = \"g\"\n{group}\n[[group.interface]]\ninterface = \"lan1\"\nvrid = 7\n\
         addresses = [\"10.1.0.1/24\"]\n{SECOND_ROUTER}\n"
    )
}

pub fn pair(group: &str) -> Lab {
    let mut lab = Lab::linked(&by_quality(group), &LINKS);
    lab.watches_silence = true;
    lab
}

pub fn quality(quality: u8) -> Directive {
    Directive {
        quality,
        ..Directive::default()
    }
}

/// Asserts that nothing moves any more, and one node is active.
pub fn assert_settled(lab: &mut Lab) {
    lab.forget();
    lab.run(120 * SECOND);
    assert_eq!(lab.active().len(), 1);
    assert_eq!((lab.failovers(), lab.switchovers()), (0, 0));
    assert_eq!(lab.overlaps, []);
}

/// Asserts that the group moved by one switchover, and that answers never overlapped nor paused.
pub fn moved_once(lab: &Lab, to: usize) {
    assert_eq!(lab.active(), [to], "{:?}", lab.nodes[to].roles);
    assert_eq!((lab.failovers(), lab.switchovers()), (1, 1));
    assert_eq!(lab.overlaps, []);
}

/// Asserts that a fault moves the group to the second node, once, and that its repair moves it back.
pub fn moves_once_and_back(lab: &mut Lab) {
    lab.run(60 * SECOND);
    moved_once(lab, 1);
    assert_settled(lab);
    lab.fix();
    lab.run(5 * SECOND);
    moved_once(lab, 0);
    assert_settled(lab);
}

pub fn both_cut(lab: &mut Lab) {
    for link in LINKS {
        lab.cut(link, 0, 1);
    }
}

// ---- E8: boot -----------------------------------------------------------------------------------

#[test]
fn both_booting_at_once_make_one_active_by_the_name_that_sorts_first() {
    let lab = pair("");
    assert_eq!(lab.active(), [0]);
    let mut lab = pair("prefer = \"r2\"");
    assert_eq!(lab.active(), [1]);
    assert_settled(&mut lab);
}

#[test]
fn a_start_waits_for_the_first_heartbeat_and_then_listens() {
    let mut lab = Lab::without_start(&by_quality(""), &LINKS);
    lab.start(0);
    lab.run(3 * SECOND);
    assert!(lab.active().is_empty());
    lab.start(1);
    let took = lab.run_until(5 * SECOND, |lab| lab.active().len() == 1);
    assert!(took.expect("a failover") < 500 * MS);
}

#[test]
fn a_start_waits_for_the_link_at_most_five_seconds() {
    let mut lab = Lab::without_start(&by_quality(""), &LINKS);
    lab.start(0);
    let took = lab.run_until(20 * SECOND, |lab| lab.active() == [0]);
    assert_eq!(took, Some(5 * SECOND));
}

#[test]
fn joining_is_weaker_than_being_in_sync_and_never_forbids_a_failover() {
    let mut lab = Lab::without_start(&by_quality(""), &LINKS);
    lab.nodes[0].directive.joining = true;
    lab.start(0);
    lab.start(1);
    lab.run(5 * SECOND);
    assert_eq!(lab.active(), [1]);
    lab.kill(1);
    lab.run(SECOND);
    assert_eq!(lab.active(), [0]);
}

// ---- E1: the fitter one, by a switchover ------------------------------------------------------------

#[test]
fn a_fitter_peer_gets_the_group_after_hold_without_gap_or_overlap() {
    let mut lab = pair("");
    lab.run(400 * SECOND);
    lab.directive(0, quality(73));
    let took = lab.run_until(60 * SECOND, |lab| lab.active() == [1]);
    let took = took.expect("a switchover");
    assert!(
        (2 * SECOND..2 * SECOND + 200 * MS).contains(&took),
        "{took}"
    );
    lab.run(2 * SECOND);
    moved_once(&lab, 1);
    assert!(
        lab.longest_silence_ns("lan1") <= lab.latency_ns,
        "{:?}",
        lab.silences
    );
    assert_eq!(
        lab.why(1),
        "r2 is active because its quality is 100 and r1's is 73"
    );
    assert_eq!(
        lab.why(0),
        "r1 is backup because its quality is 73 and r2's is 100"
    );
    assert_settled(&mut lab);
}

#[test]
fn less_than_five_points_are_not_worth_a_change() {
    let mut lab = pair("");
    lab.directive(0, quality(96));
    assert_settled(&mut lab);
    assert_eq!(lab.active(), [0]);
}

#[test]
fn the_preferred_node_takes_back_after_failback_delay_once_it_is_ready() {
    let mut lab = pair("prefer = \"r1\"");
    lab.kill(0);
    lab.run(SECOND);
    assert_eq!(lab.active(), [1]);
    lab.nodes[0].host.unready = true;
    lab.start(0);
    lab.nodes[0].directive.why = "conntrack is not yet in sync (61 %)".to_owned();
    lab.run(60 * SECOND);
    assert_eq!(lab.active(), [1]);
    assert_eq!(
        lab.why(0),
        "r1 is backup although preferred: conntrack is not yet in sync (61 %); it takes over 30 s \
         after that"
    );
    lab.forget();
    lab.nodes[0].host.unready = false;
    let directive = lab.nodes[0].directive.clone();
    lab.directive(0, directive);
    let took = lab.run_until(60 * SECOND, |lab| lab.active() == [0]);
    let took = took.expect("a failback");
    assert!(
        (30 * SECOND..30 * SECOND + 200 * MS).contains(&took),
        "{took}"
    );
    lab.run(SECOND);
    moved_once(&lab, 0);
    lab.run(5 * SECOND);
    assert_eq!(
        lab.why(0),
        "r1 is active because both nodes have quality 100 and it is preferred"
    );
}

#[test]
fn at_equal_quality_the_active_one_stays_and_says_why() {
    let mut lab = pair("");
    lab.kill(0);
    lab.run(SECOND);
    lab.start(0);
    lab.run(5 * SECOND);
    assert_eq!(
        lab.why(1),
        "r2 is active because both nodes have quality 100, no node is preferred, and it was active first"
    );
    assert_eq!(
        lab.why(0),
        "r1 is backup because both nodes have quality 100, no node is preferred, and r2 was active first"
    );
    assert_settled(&mut lab);
}

#[test]
fn the_cause_follows_the_facts_also_at_the_shortest_interval() {
    let mut lab = pair("advert_interval = \"10ms\"");
    lab.run(400 * SECOND);
    lab.directive(0, quality(73));
    lab.run(60 * SECOND);
    let why = "r2 is active because its quality is 100 and r1's is 73";
    assert_eq!(lab.why(1), why);
    lab.directive(0, quality(100));
    lab.run(5 * SECOND);
    assert_eq!(
        lab.why(1),
        "r2 is active because both nodes have quality 100, no node is preferred, and it was active first"
    );
    assert_settled(&mut lab);
}

#[test]
fn a_frozen_group_moves_for_carrier_but_not_for_quality() {
    let mut lab = pair("");
    lab.directive(
        0,
        Directive {
            frozen: true,
            ..quality(40)
        },
    );
    assert_settled(&mut lab);
    assert_eq!(lab.active(), [0]);
    lab.carrier(0, "lan1", false);
    lab.run(SECOND);
    assert_eq!(lab.active(), [1]);
}

#[test]
fn maintenance_and_force_switch_over_at_once_and_force_on_both_does_not_flap() {
    let mut lab = pair("prefer = \"r1\"");
    lab.directive(
        0,
        Directive {
            maintenance: true,
            ..Directive::default()
        },
    );
    lab.run(100 * MS);
    moved_once(&lab, 1);
    lab.directive(0, Directive::default());
    lab.force(0, Forced::Active);
    // this node still carries packets for 200 ms, and declines until then
    lab.run(310 * MS);
    assert_eq!(lab.active(), [0]);
    assert_eq!(lab.overlaps, []);
    lab.force(1, Forced::Active);
    assert_settled(&mut lab);
    assert_eq!(lab.active(), [0]);
}

#[test]
fn maintenance_overrules_a_force_to_be_active_and_is_given_as_the_reason() {
    let mut lab = pair("prefer = \"r1\"");
    let directive = Directive {
        forced: Forced::Active,
        maintenance: true,
        why: "it is in maintenance".to_owned(),
        ..Directive::default()
    };
    lab.directive(0, directive);
    lab.run(100 * MS);
    moved_once(&lab, 1);
    for interface in ["lan1", "lan2"] {
        lab.carrier(1, interface, false);
    }
    lab.run(5 * SECOND);
    assert_eq!(lab.active(), [0]);
    assert_eq!(lab.why(0), "r1 is active because r2 cannot be");
}

#[test]
fn what_is_forced_says_who_would_be_active_otherwise() {
    let mut lab = pair("");
    lab.directive(0, quality(73));
    lab.force(0, Forced::Active);
    lab.run(5 * SECOND);
    assert_eq!(
        lab.why(0),
        "r1 is active because root forced it; otherwise r2 would be active (100 against 73)"
    );
}

// ---- E2: Securepoint's table ----------------------------------------------------------------------

/// Carrier of (r1's lan1, r2's lan1), (r1's lan2, r2's lan2), and the node that is active then.
const TABLE: [([bool; 2], [bool; 2], usize); 5] = [
    ([true, true], [true, true], 0),
    ([false, true], [true, true], 1),
    ([false, false], [true, true], 0),
    ([false, false], [true, false], 0),
    ([false, false], [false, false], 0),
];

#[test]
fn the_five_rows_of_securepoint_have_one_active_each() {
    for (lan1, lan2, expected) in TABLE {
        let mut lab = pair("prefer = \"r1\"\nfailback_delay = \"1s\"");
        for node in [1, 0] {
            lab.carrier(node, "lan1", lan1[node]);
            lab.carrier(node, "lan2", lan2[node]);
        }
        lab.run(10 * SECOND);
        assert_eq!(lab.active(), [expected], "{lan1:?} {lan2:?}");
        assert_settled(&mut lab);
        assert_eq!(lab.active(), [expected]);
    }
}

#[test]
fn an_isolated_pair_has_one_active_as_long_as_the_link_lives() {
    let mut lab = pair("");
    for node in 0..2 {
        lab.carrier(node, "lan1", false);
        lab.carrier(node, "lan2", false);
    }
    lab.run(5 * SECOND);
    assert_eq!(lab.active().len(), 1);
    both_cut(&mut lab);
    lab.run(5 * SECOND);
    assert_eq!(lab.active().len(), 0);
    assert!(
        lab.why(0).contains("no interface is usable"),
        "{}",
        lab.why(0)
    );
    lab.fix();
    lab.run(5 * SECOND);
    assert_eq!(lab.active().len(), 1);
}

#[test]
fn lost_carrier_switches_over_at_once_and_nothing_else_stops() {
    let mut lab = pair("");
    lab.run(37 * MS);
    lab.carrier(0, "lan1", false);
    let took = lab
        .run_until(SECOND, |lab| lab.active() == [1])
        .expect("a switchover");
    assert!(took <= 5 * MS, "{took}");
    lab.run(2 * SECOND);
    moved_once(&lab, 1);
    assert!(lab.longest_silence_ns("lan2") <= lab.latency_ns);
    assert_eq!(
        lab.why(0),
        "r1 is backup because its quality is 50 (lan1 has no carrier) and r2's is 100"
    );
    assert_settled(&mut lab);
}

#[test]
fn an_interface_that_weighs_nothing_moves_nothing() {
    let text = by_quality("").replace("lan1\"\n", "lan1\"\nweight = 0\n");
    let mut lab = Lab::linked(&text, &LINKS);
    lab.carrier(0, "lan1", false);
    assert_settled(&mut lab);
    assert_eq!(lab.active(), [0]);
    assert_eq!(lab.nodes[0].host.checks["lan1"], (0, 0));
    assert_eq!(lab.nodes[0].host.why["lan1"], "no carrier");
}

#[test]
fn both_equally_hurt_do_not_move() {
    let mut lab = pair("");
    lab.carrier(1, "lan2", false);
    lab.run(SECOND);
    lab.carrier(0, "lan2", false);
    lab.run(5 * SECOND);
    assert_eq!((lab.active(), lab.failovers()), (vec![0], 0));
    lab.run(2 * SECOND);
    assert_eq!(
        lab.why(0),
        "r1 is active although its quality is 50: r2's is 50 too, so neither is better, no node \
         is preferred, and it was active first"
    );
}

// ---- E3: unheard interfaces ------------------------------------------------------------------------

#[test]
fn all_wires_cut_move_the_group_once_at_most_while_a_link_is_up() {
    let mut lab = pair("");
    lab.cut("lan1", 0, 1);
    lab.cut("lan2", 0, 1);
    lab.run(10 * SECOND);
    assert!(lab.failovers() <= 1);
    assert_eq!(lab.overlaps, []);
    assert_settled(&mut lab);
}

#[test]
fn the_node_whose_wire_is_good_gets_the_group() {
    let text = by_quality("").replace("vrid = 7\n", "vrid = 7\nwitnesses = [\"10.1.0.250\"]\n");
    let mut lab = Lab::linked(&text, &LINKS);
    lab.stations.insert(("lan1".to_owned(), 1));
    lab.cut("lan1", 0, 1);
    lab.run(10 * SECOND);
    moved_once(&lab, 1);
    assert_eq!(lab.nodes[0].host.checks["lan1"], (100, 0));
    assert_settled(&mut lab);
}

#[test]
fn the_active_one_stays_where_its_own_wire_is_good() {
    let text = by_quality("").replace("vrid = 7\n", "vrid = 7\nwitnesses = [\"10.1.0.250\"]\n");
    // the provider's gateway may be a pair of routers as well
    for gateway in [None, Some(99)] {
        let mut lab = Lab::linked(&text, &LINKS);
        if let Some(vrid) = gateway {
            lab.station_mac = virtual_mac(Family::V4, vrid);
        }
        lab.stations.insert(("lan1".to_owned(), 0));
        lab.cut("lan1", 0, 1);
        lab.run(10 * SECOND);
        assert_eq!((lab.active(), lab.failovers()), (vec![0], 0), "{gateway:?}");
        assert_settled(&mut lab);
    }
}

#[test]
fn the_virtual_mac_of_its_own_group_is_no_station() {
    let text = by_quality("").replace("vrid = 7\n", "vrid = 7\nwitnesses = [\"10.1.0.250\"]\n");
    let mut lab = Lab::linked(&text, &LINKS);
    lab.station_mac = virtual_mac(Family::V4, 7);
    lab.stations.insert(("lan1".to_owned(), 1));
    lab.cut("lan1", 0, 1);
    lab.run(10 * SECOND);
    let checks = &lab.nodes[1].host.checks;
    assert_eq!(checks["lan1"], (100, 0));
}

#[test]
fn a_wire_that_loses_much_is_one_event_a_minute() {
    let mut lab = pair("");
    lab.loss_percent = 20;
    lab.run(600 * SECOND);
    for (node, wire) in [(0, "lan1"), (0, "lan2"), (1, "lan1"), (1, "lan2")] {
        let about = format!(" on {wire}");
        let of = |lines: &[String], what: &str| {
            let about = |line: &&String| line.contains(&about) && line.contains(what);
            lines.iter().filter(about).count()
        };
        let events = of(&lab.nodes[node].events, "probing other stations");
        assert!(events <= 11, "{node} {wire}: {events}");
    }
}

#[test]
fn a_wire_that_is_bad_for_both_moves_the_group_once() {
    let mut lab = pair("prefer = \"r1\"\nfailback_delay = \"1s\"");
    lab.cut("lan1", 0, 1);
    moves_once_and_back(&mut lab);
}

// ---- E4: silence ------------------------------------------------------------------------------------

#[test]
fn a_silent_death_is_noticed_as_soon_as_without_a_link() {
    let time = |links: &[&str]| {
        let mut lab = Lab::linked(&by_priority(&[200, 100], "", SECOND_ROUTER), links);
        lab.run(37 * MS);
        let last_ns = lab.sent_by(0).last().expect("an advert").at_ns;
        lab.kill(0);
        lab.run_until(SECOND, |lab| lab.active() == [1])
            .expect("a failover");
        lab.clock.now_ns() - last_ns
    };
    assert_eq!(time(&LINKS), time(&[]));
}

#[test]
fn a_death_is_told_by_name_and_with_every_path() {
    let mut lab = pair("");
    lab.kill(0);
    lab.run(SECOND);
    assert_eq!(
        lab.why(1),
        "r2 is active because r1 fell silent on link1, link2, lan1, lan2 for 302 ms"
    );
}

#[test]
fn one_link_is_enough() {
    let mut lab = pair("");
    lab.cut("link1", 0, 1);
    lab.cut("lan1", 0, 1);
    lab.cut("lan2", 0, 1);
    lab.run(10 * SECOND);
    assert_eq!(lab.active().len(), 1);
    assert_settled(&mut lab);
}

#[test]
fn a_link_that_is_slower_than_the_other_brings_no_old_role_back() {
    let mut lab = Lab::without_start(&by_quality(""), &LINKS);
    lab.slow_links.insert("link2".to_owned(), 200 * MS);
    lab.start(0);
    lab.start(1);
    lab.run(10 * SECOND);
    lab.forget();
    for round in 0..4 {
        let active = lab.active()[0];
        lab.switch(active);
        lab.run(3 * SECOND);
        assert_eq!(lab.active(), [1 - active], "{round}");
    }
    assert_eq!(lab.overlaps, []);
}

#[test]
fn both_links_cut_it_is_vrrp_again() {
    let mut lab = pair("prefer = \"r1\"");
    both_cut(&mut lab);
    assert_settled(&mut lab);
    lab.carrier(0, "lan1", false);
    lab.run(2 * SECOND);
    assert_eq!(lab.active(), [1]);
}

// ---- E12: heartbeats on the networks -------------------------------------------------------------

#[test]
fn heartbeats_go_on_where_no_link_does() {
    let mut lab = pair("");
    both_cut(&mut lab);
    lab.directive(0, quality(96));
    lab.run(10 * SECOND);
    for (node, theirs) in [(0, 100), (1, 96)] {
        let peer = lab.nodes[node].engine.groups[0].mutual_peer(lab.clock.now_ns());
        assert_eq!(peer.map(|peer| peer.heartbeat.quality), Some(theirs));
    }
    // silence on all paths is a death
    lab.kill(0);
    let took = lab.run_until(SECOND, |lab| lab.active() == [1]);
    assert!(took.expect("a failover") < 410 * MS);
}

#[test]
fn maintenance_needs_no_session_where_heartbeats_go_over_the_networks_alone() {
    let mut lab = pair("");
    both_cut(&mut lab);
    lab.run(SECOND);
    let directive = Directive {
        maintenance: true,
        ..Directive::default()
    };
    lab.directive(0, directive);
    let took = lab.run_until(5 * SECOND, |lab| lab.active() == [1]);
    assert!(took.expect("a failover") < 500 * MS, "{took:?}");
    assert_eq!(lab.overlaps, []);
    assert_settled(&mut lab);
}

#[test]
fn a_heartbeat_that_says_active_goes_before_the_adverts() {
    let mut lab = pair("");
    let now_ns = lab.clock.now_ns();
    let engine = &mut lab.nodes[0].engine;
    engine.advertise_now(now_ns);
    let actions: Vec<Action> = std::iter::from_fn(|| engine.poll_action()).collect();
    let place = |what: &dyn Fn(&Action) -> bool| actions.iter().position(what);
    let heartbeat = place(&|action| matches!(action, Action::Heartbeat));
    let advert = place(&|action| matches!(action, Action::Transmit(_)));
    assert!(heartbeat.is_some() && heartbeat < advert, "{actions:?}");
}

// ---- E7 --------------------------------------------------------------------------------------------

#[test]
fn a_rival_that_hears_nothing_is_said_to_get_the_group() {
    let mut lab = pair("");
    assert_eq!(lab.active(), [0]);
    for path in ["lan1", "lan2", "link1", "link2"] {
        lab.cut_one_way(path, 0, 1);
    }
    lab.run(5 * SECOND);
    assert_eq!(lab.active(), [1]);
    let events = lab.nodes[0].events.iter();
    let conflicts: Vec<_> = events.filter(|it| it.contains("conflict: r2")).collect();
    assert_eq!(conflicts.len(), 1, "{conflicts:?}");
    let said = "r1 (priority 250) gives way if that lasts, as it is not heard";
    assert!(conflicts[0].contains(said), "{conflicts:?}");
}

#[test]
fn after_a_partition_the_score_decides_and_the_peer_is_named() {
    let mut lab = pair("");
    for wire in ["lan1", "lan2", "link1", "link2"] {
        lab.cut(wire, 0, 1);
    }
    lab.run(5 * SECOND);
    assert_eq!(lab.active(), [0, 1]);
    lab.directive(0, quality(60));
    lab.forget();
    lab.fix();
    lab.run(SECOND);
    assert_eq!(lab.active(), [1]);
    let events = &lab.nodes[1].events;
    assert!(
        events.iter().any(|e| e.contains("conflict: r1")),
        "{events:?}"
    );
    assert!(
        events.iter().any(|e| e.contains("ended after")),
        "{events:?}"
    );
    assert_settled(&mut lab);
}

// ---- E9: damping ------------------------------------------------------------------------------------

#[test]
fn a_check_that_flaps_on_both_nodes_moves_the_group_ever_more_rarely() {
    let mut lab = pair("");
    for round in 0..300_u32 {
        lab.directive(usize::try_from(round % 2).expect("0 or 1"), quality(50));
        lab.directive(
            usize::try_from((round + 1) % 2).expect("0 or 1"),
            quality(100),
        );
        lab.run(10 * SECOND);
    }
    // 3000 s of a check that fails here and there in turn, every 10 s
    assert!(lab.failovers() < 40, "{}", lab.failovers());
    assert_eq!(lab.overlaps, []);
}

#[test]
fn the_hold_doubles_with_each_change_within_five_minutes() {
    let mut lab = pair("");
    lab.run(400 * SECOND);
    let mut expected = 2 * SECOND;
    for _ in 0..5 {
        let active = lab.active()[0];
        lab.directive(active, quality(50));
        lab.directive(1 - active, quality(100));
        let took = lab.run_until(100 * SECOND, |lab| lab.active() == [1 - active]);
        let took = took.expect("a change");
        assert!(
            (expected..expected + 200 * MS).contains(&took),
            "{took} for {expected}"
        );
        expected *= 2;
    }
}

#[test]
fn each_row_of_the_status_is_written_once() {
    // the peer is known by heartbeats of the links and by adverts of the networks
    let mut lab = Lab::without_start(&by_quality(""), &LINKS);
    lab.filters = true;
    lab.start(0);
    lab.start(1);
    lab.run(20 * SECOND);
    for node in &lab.nodes {
        let rows = node.engine.rows(lab.clock.now_ns(), Table::Status);
        let mut keys: Vec<String> = rows.into_iter().map(|(key, _)| key).collect();
        keys.sort();
        let count = keys.len();
        keys.dedup();
        assert_eq!(keys.len(), count, "{}", node.name);
    }
}

// ---- modes -------------------------------------------------------------------------------------------

#[test]
fn by_priority_the_higher_one_gets_the_group_by_a_switchover() {
    let text = by_priority(&[200, 100], "preempt_delay = \"3s\"", SECOND_ROUTER);
    let mut lab = Lab::linked(&text, &LINKS);
    lab.kill(0);
    lab.run(SECOND);
    lab.start(0);
    lab.forget();
    lab.run(2 * SECOND);
    assert_eq!(lab.active(), [1]);
    lab.run(3 * SECOND);
    moved_once(&lab, 0);
}

#[test]
fn by_priority_lost_quality_counts_as_well() {
    let mut lab = Lab::linked(&by_priority(&[120, 100], "", SECOND_ROUTER), &LINKS);
    lab.directive(0, quality(60));
    lab.run(5 * SECOND);
    moved_once(&lab, 1);
    assert_eq!(lab.nodes[0].engine.groups[0].candidacy.priority(), 80);
}

// ---- E11 ---------------------------------------------------------------------------------------------

#[test]
fn a_stranger_alarms_and_does_not_decide_where_the_peer_is_known() {
    let mut lab = Lab::new(&by_quality(""), 3);
    lab.links = LINKS.map(str::to_owned).to_vec();
    lab.keys = true;
    for (node, peer) in [(0, "r2"), (1, "r1")] {
        lab.nodes[node].settings.peer = Some(peer.to_owned());
    }
    lab.start(0);
    lab.start(1);
    lab.run(20 * SECOND);
    let active = lab.active()[0];
    lab.forget();
    lab.nodes[2].directive.forced = Forced::Active;
    lab.start(2);
    lab.run(20 * SECOND);
    assert!(lab.active().contains(&active));
    assert!(
        lab.nodes[active]
            .roles
            .iter()
            .all(|(_, role, _)| *role == Role::Active)
    );
    let alarmed = lab.nodes[active]
        .events
        .iter()
        .any(|e| e.contains("is not the peer"));
    assert!(alarmed, "{:?}", lab.nodes[active].events);
    // the peer does not take it for the active node either
    lab.kill(active);
    lab.run(SECOND);
    assert!(lab.active().contains(&(1 - active)));
}
