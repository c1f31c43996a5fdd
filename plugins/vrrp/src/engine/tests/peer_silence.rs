//! E3: a network that carries in one direction only, in pairs with links.

use spared_sdk::{Forced, Value};

use super::lab::{Lab, MS, SECOND, SECOND_ROUTER, by_priority};
use super::linked::{LINKS, assert_settled, by_quality, moved_once, moves_once_and_back, quality};
use crate::engine::Table;

/// Longest time of a failover: one Active_Down, a heartbeat, the time for answers of stations, and a switchover.
const BOUND_NS: u64 = (400 + 100 + 300 + 100) * MS;
/// Longest time of a failover from a node that cannot send: the peer needs one more Active_Down before it reports that
/// it hears nothing.
const DUMB_NS: u64 = BOUND_NS + 400 * MS;

/// Pairs that ask a station of lan1.
fn pairs() -> [Lab; 3] {
    let asked = |text: String| {
        let with = "vrid = 7\nwitnesses = [\"10.1.0.250\"]\n";
        Lab::linked(&text.replacen("vrid = 7\n", with, 1), &LINKS)
    };
    [
        asked(by_quality("")),
        asked(by_quality("prefer = \"r1\"\nfailback_delay = \"1s\"")),
        asked(by_priority(&[200, 100], "", SECOND_ROUTER)),
    ]
}

fn reaches(lab: &mut Lab, nodes: &[usize]) {
    for node in nodes {
        lab.stations.insert(("lan1".to_owned(), *node));
    }
}

#[test]
fn a_deaf_active_node_hands_the_group_to_who_hears() {
    for mut lab in pairs() {
        for phase_ms in [0, 30, 70] {
            assert_eq!(lab.active(), [0]);
            reaches(&mut lab, &[1]);
            lab.run(phase_ms * MS);
            lab.cut_one_way("lan1", 1, 0);
            let took = lab.run_until(5 * SECOND, |lab| lab.active() == [1]);
            assert!(took.is_some_and(|ns| ns <= BOUND_NS), "{took:?}");
            lab.run(10 * SECOND);
            moved_once(&lab, 1);
            let unheard = |event: &String| event.contains("r2 is unheard on lan1 though it lives");
            assert!(lab.nodes[0].events.iter().any(unheard));
            assert_settled(&mut lab);
            assert_eq!(lab.active(), [1]);
            lab.fix();
            lab.run(100 * SECOND);
            if lab.active() == [1] {
                lab.switch(1);
            }
            lab.run(400 * SECOND);
            lab.forget();
        }
    }
}

/// The active node receives and cannot send: it hears a station that it can no longer ask.
#[test]
fn a_dumb_active_node_is_found_beside_a_station_that_speaks_all_the_time() {
    for mut lab in pairs() {
        reaches(&mut lab, &[0, 1]);
        lab.start_station_traffic("lan1");
        lab.run(SECOND);
        lab.stations.remove(&("lan1".to_owned(), 0));
        lab.cut_one_way("lan1", 0, 1);
        let took = lab.run_until(5 * SECOND, |lab| lab.active() == [1]);
        assert!(took.is_some_and(|ns| ns <= DUMB_NS), "{took:?}");
        lab.run(10 * SECOND);
        moved_once(&lab, 1);
        assert_settled(&mut lab);
    }
}

/// No witness is configured, and the kernel knows no neighbour: a station that spoke is asked.
#[test]
fn a_station_that_spoke_is_asked_and_only_its_answer_counts() {
    for ways in [&[(0, 1)][..], &[(1, 0)], &[(0, 1), (1, 0)]] {
        for cut_off in [0, 1] {
            let mut lab = Lab::linked(&by_quality(""), &LINKS);
            reaches(&mut lab, &[1 - cut_off]);
            lab.start_station_traffic("lan1");
            lab.run(SECOND);
            for (from, to) in ways {
                lab.cut_one_way("lan1", *from, *to);
            }
            lab.run(10 * SECOND);
            let expected = match ways {
                // the node's own adverts arrive, so that the other node may be unable to send
                [(1, 0)] => 0,
                _ => 1 - cut_off,
            };
            assert_eq!(lab.active(), [expected], "{ways:?} {cut_off}");
            assert_settled(&mut lab);
        }
    }
}

#[test]
fn a_probe_or_two_that_are_lost_move_nothing() {
    for mut lab in pairs() {
        reaches(&mut lab, &[0]);
        lab.lost_probes = 2;
        lab.cut_one_way("lan1", 1, 0);
        lab.run(60 * SECOND);
        assert_eq!((lab.active(), lab.failovers()), (vec![0], 0));
        assert_eq!(lab.lost_probes, 0, "it asked");
    }
}

#[test]
fn the_preferred_node_gets_it_back_once_it_hears_again() {
    for mut lab in pairs().into_iter().skip(1) {
        reaches(&mut lab, &[1]);
        lab.cut_one_way("lan1", 1, 0);
        moves_once_and_back(&mut lab);
    }
}

#[test]
fn a_dumb_backup_moves_nothing_where_the_active_one_reaches_others() {
    for mut lab in pairs() {
        reaches(&mut lab, &[0]);
        lab.cut_one_way("lan1", 1, 0);
        lab.run(60 * SECOND);
        assert_eq!((lab.active(), lab.failovers()), (vec![0], 0));
        assert_settled(&mut lab);
    }
}

#[test]
fn a_deaf_backup_moves_nothing_where_the_active_one_reaches_others() {
    for mut lab in pairs() {
        reaches(&mut lab, &[0]);
        lab.cut_one_way("lan1", 0, 1);
        lab.run(60 * SECOND);
        assert_eq!((lab.active(), lab.failovers()), (vec![0], 0));
        assert_settled(&mut lab);
    }
}

/// No station shows whether the active node cannot receive or the other cannot send.
#[test]
fn where_nobody_can_be_asked_the_active_one_stays() {
    for text in [by_quality(""), by_priority(&[200, 100], "", SECOND_ROUTER)] {
        let mut lab = Lab::linked(&text, &LINKS);
        lab.cut_one_way("lan1", 1, 0);
        lab.run(60 * SECOND);
        assert_eq!((lab.active(), lab.failovers()), (vec![0], 0));
    }
}

/// No station answers either node. Frames are lost in one direction after the other, and in both.
#[test]
fn where_neither_is_answered_the_group_moves_once_at_most() {
    for settled in pairs() {
        for ways in [
            &[(1, 0)][..],
            &[(0, 1)],
            &[(0, 1), (1, 0)],
            &[(1, 0), (0, 1)],
        ] {
            for apart_ms in [0, 200, 450, 800, 1200, 5000] {
                let mut lab = settled.clone();
                for (from, to) in ways {
                    lab.cut_one_way("lan1", *from, *to);
                    lab.run(apart_ms * MS);
                }
                lab.run(20 * SECOND);
                assert!(
                    lab.failovers() <= 1,
                    "{ways:?} {apart_ms} {}",
                    lab.failovers()
                );
                assert_settled(&mut lab);
            }
        }
    }
}

/// Neither node receives, so that none is better.
#[test]
fn two_that_receive_nothing_stay() {
    for mut lab in pairs() {
        reaches(&mut lab, &[0, 1]);
        lab.cut("lan1", 0, 1);
        lab.run(60 * SECOND);
        assert_eq!((lab.active(), lab.failovers()), (vec![0], 0));
        assert_settled(&mut lab);
    }
}

#[test]
fn a_peer_that_starts_or_plugs_in_again_is_not_unheard() {
    let mut lab = pairs().into_iter().next().expect("a pair");
    lab.kill(1);
    lab.run(10 * SECOND);
    lab.start(1);
    lab.run(10 * SECOND);
    for node in [1, 0, 1] {
        lab.carrier(node, "lan1", false);
        lab.run(10 * SECOND);
        lab.carrier(node, "lan1", true);
        lab.run(10 * SECOND);
    }
    for node in 0..2 {
        let group = &lab.nodes[node].engine.groups[0];
        assert_eq!(group.counters.unheard_interfaces, 0, "{node}");
    }
    assert!(!is_reported_unheard(&lab));
}

/// True if a node reports that the other one is unheard on lan1.
fn is_reported_unheard(lab: &Lab) -> bool {
    let now_ns = lab.clock.now_ns();
    let mut rows = lab.nodes.iter().flat_map(|node| {
        let rows = node.engine.rows(now_ns, Table::Status);
        rows.into_iter().map(|(key, _)| key)
    });
    rows.any(|key| key == "g.interface.lan1.unheard")
}

/// Fault of lan1 as each node reports it.
fn reported_faults(lab: &Lab) -> [Option<String>; 2] {
    [0, 1].map(|node| {
        let rows = lab.nodes[node]
            .engine
            .rows(lab.clock.now_ns(), Table::Status);
        let mut rows = rows
            .into_iter()
            .filter(|(key, _)| key == "g.interface.lan1.unheard");
        match rows.next()? {
            (_, Value::Text(text)) => Some(text),
            _ => None,
        }
    })
}

fn assert_told(lab: &Lab, expected: [Option<&str>; 2]) {
    assert_eq!(
        reported_faults(lab),
        expected.map(|text| text.map(str::to_owned))
    );
}

#[test]
fn both_nodes_tell_in_which_direction_a_network_loses_heartbeats_without_a_link_too() {
    let text = by_quality("").replacen("vrid = 7\n", "vrid = 7\nwitnesses = [\"10.1.0.250\"]\n", 1);
    for links in [&[][..], &LINKS] {
        let settled = Lab::linked(&text, links);
        assert_eq!(settled.active(), [0]);
        let mut lab = settled.clone();
        reaches(&mut lab, &[0, 1]);
        lab.cut_one_way("lan1", 1, 0);
        lab.run(SECOND);
        assert_told(&lab, [Some("good"), Some("one way, good")]);
        lab.fix();
        lab.run(SECOND);
        assert_told(&lab, [None, None]);
        lab.cut_one_way("lan1", 0, 1);
        lab.run(1_500 * MS);
        assert_told(&lab, [Some("one way, good"), Some("good")]);
        // the node at fault is the backup then
        let mut lab = settled.clone();
        reaches(&mut lab, &[1]);
        lab.cut_one_way("lan1", 1, 0);
        lab.run(10 * SECOND);
        assert_eq!(lab.active(), [1]);
        assert_told(&lab, [Some("bad"), Some("one way, good")]);
    }
}

#[test]
fn a_network_that_the_other_node_cannot_use_is_told_while_it_says_so() {
    let mut lab = Lab::linked(&by_quality(""), &[]);
    lab.run(10 * SECOND);
    assert_told(&lab, [None, None]);
    for node in [1, 0] {
        lab.carrier(node, "lan1", false);
        lab.run(SECOND);
        let mut expected = [None; 2];
        expected[1 - node] = Some("unusable");
        assert_told(&lab, expected);
        lab.carrier(node, "lan1", true);
        lab.run(SECOND);
        assert_told(&lab, [None, None]);
    }
    // the last heartbeat of a dead node does not count
    lab.carrier(1, "lan1", false);
    lab.run(SECOND);
    lab.kill(1);
    lab.run(SECOND);
    assert_eq!(reported_faults(&lab)[0], None);
}

/// Only frames that pass in both directions end the report. The move of the group, a switchover, and a time without any
/// frame do not.
#[test]
fn a_network_that_carries_one_way_is_told_for_as_long_as_it_does() {
    const NOTICED_NS: u64 = 2 * SECOND;
    for settled in pairs() {
        for ways in [&[(0, 1)][..], &[(1, 0)], &[(0, 1), (1, 0)]] {
            for answered in [&[][..], &[0], &[1], &[0, 1]] {
                let mut lab = settled.clone();
                reaches(&mut lab, answered);
                for (from, to) in ways {
                    lab.cut_one_way("lan1", *from, *to);
                }
                let what = format!("{ways:?} {answered:?}");
                let tell = |lab: &mut Lab, when: &str| {
                    lab.run(NOTICED_NS);
                    for step in 0..40 {
                        assert!(is_reported_unheard(lab), "{what} {when}, {step}");
                        lab.run(200 * MS);
                    }
                };
                tell(&mut lab, "at first");
                let active = lab.active();
                lab.switch(active[0]);
                tell(&mut lab, "after a switchover");
                let backup = 1 - lab.active()[0];
                lab.stop(backup);
                lab.run(500 * MS);
                lab.resume(backup);
                lab.run(150 * MS);
                assert!(is_reported_unheard(&lab), "{what} right after a silence");
                tell(&mut lab, "after a silence");
                lab.fix();
                lab.run(NOTICED_NS);
                assert!(!is_reported_unheard(&lab), "{what} after the mend");
            }
        }
    }
}

#[test]
fn where_heartbeats_are_filtered_it_is_told_until_the_peer_answers() {
    let mut lab = Lab::without_start(&by_quality(""), &LINKS);
    lab.filtered.insert("lan1".to_owned());
    lab.start(0);
    lab.start(1);
    lab.run(20 * SECOND);
    lab.cut_one_way("lan1", 0, 1);
    lab.run(10 * SECOND);
    assert_eq!(lab.active(), [1]);
    for step in 0..300 {
        assert!(is_reported_unheard(&lab), "{step}");
        lab.run(200 * MS);
    }
    lab.fix();
    lab.run(6 * SECOND);
    assert!(!is_reported_unheard(&lab));
}

#[test]
fn a_network_on_which_a_dead_peer_was_unheard_is_reported_and_asked_about_no_longer() {
    let with = "vrid = 7\nwitnesses = [\"10.1.0.250\"]\n";
    let two = by_quality("").replacen("vrid = 7\n", with, 1);
    let one = two.replace(SECOND_ROUTER, "");
    for text in [one, two] {
        let mut lab = Lab::linked(&text, &LINKS);
        lab.cut("lan1", 0, 1);
        lab.run(20 * SECOND);
        let active = lab.active()[0];
        assert!(is_reported_unheard(&lab));
        lab.kill(1 - active);
        lab.run(2 * SECOND);
        let probes = lab.nodes[active].probes;
        for step in 0..100 {
            let unheard = lab.text(active, "g.interface.lan1.unheard");
            assert_eq!(unheard, None, "{step}");
            assert!(!lab.nodes[active].listens(), "{step}");
            lab.run(200 * MS);
        }
        assert_eq!(lab.nodes[active].probes, probes);
        assert_eq!(lab.nodes[active].host.checks["lan1"].1, 100);
        // and again when the peer is back
        lab.start(1 - active);
        lab.run(20 * SECOND);
        assert!(is_reported_unheard(&lab));
    }
}

// ---- a network that is proven on one node alone ---------------------------------------------------

/// A pair whose backup is cut off from lan1. The stations of lan1 are on the side of the first node, and one of them
/// has spoken before.
fn cut_off_backup(text: &str) -> Lab {
    let mut lab = Lab::linked(text, &LINKS);
    assert_eq!(lab.active(), [0]);
    reaches(&mut lab, &[0]);
    lab.start_station_traffic("lan1");
    lab.run(SECOND);
    lab.end_station_traffic();
    lab.run(60 * SECOND);
    lab.cut("lan1", 0, 1);
    lab
}

#[test]
fn the_group_does_not_move_to_a_backup_whose_network_is_cut() {
    for text in [by_quality(""), by_quality("prefer = \"r1\"")] {
        let mut lab = cut_off_backup(&text);
        lab.run(60 * SECOND);
        assert_eq!((lab.active(), lab.failovers()), (vec![0], 0));
        assert_settled(&mut lab);
        assert!(is_reported_unheard(&lab));
    }
}

#[test]
fn what_is_mild_moves_the_group_only_once_the_network_of_the_other_node_is_proven() {
    let preferred = by_quality("prefer = \"r2\"\nfailback_delay = \"1s\"");
    let higher = by_priority(&[100, 200], "", SECOND_ROUTER);
    for (text, is_weaker) in [(by_quality(""), true), (preferred, false), (higher, false)] {
        let mut lab = Lab::linked(&text, &LINKS);
        // r2 is the preferred node, and its network is cut before it may take the group
        lab.force(0, Forced::Active);
        lab.run(SECOND);
        reaches(&mut lab, &[0]);
        lab.start_station_traffic("lan1");
        lab.cut("lan1", 0, 1);
        lab.run(2 * SECOND);
        lab.force(0, Forced::No);
        if is_weaker {
            lab.directive(0, quality(80));
        }
        lab.run(60 * SECOND);
        assert_eq!(lab.active(), [0], "{text}");
        lab.fix();
        lab.run(10 * SECOND);
        assert_eq!(lab.active(), [1], "{text}");
    }
}

#[test]
fn an_order_moves_the_group_all_the_same() {
    let mut lab = cut_off_backup(&by_quality(""));
    lab.run(5 * SECOND);
    lab.force(0, Forced::Backup);
    lab.run(SECOND);
    assert_eq!(lab.active(), [1]);
}
