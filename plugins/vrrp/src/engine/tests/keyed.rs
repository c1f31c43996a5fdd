//! E12: pairs with keys and without a link: heartbeats go over the networks alone.

use spared_sdk::Role;

use super::lab::{Lab, MS, SECOND, SECOND_ROUTER, by_priority};
use super::linked::{by_quality, quality};
use crate::engine::group::State;

fn pair(text: &str) -> Lab {
    Lab::linked(text, &[])
}

fn without_heartbeats(text: &str) -> String {
    text.replace("vrid = 7\n", "vrid = 7\nheartbeats = false\n")
}

#[test]
fn heartbeats_are_all_that_shows_life() {
    let mut lab = pair(&by_quality(""));
    let active = lab.active()[0];
    for node in &lab.nodes {
        let group = &node.engine.groups[0];
        assert!(
            group
                .networks
                .ports()
                .iter()
                .all(|port| port.reception.has_heartbeats())
        );
        assert!(group.peer.mutual_ns().is_some());
    }
    lab.kill(active);
    let took = lab.run_until(SECOND, |lab| lab.active() == [1 - active]);
    assert!(took.expect("a failover") < 410 * MS);
}

/// Without a session no successor is prepared: the active node releases the group as VRRP alone would.
#[test]
fn the_preferred_or_higher_or_healthier_one_gets_the_group() {
    let by_priority = by_priority(&[200, 100], "", SECOND_ROUTER);
    for text in [
        by_quality("prefer = \"r1\"\nfailback_delay = \"2s\""),
        by_priority,
    ] {
        let mut lab = pair(&text);
        assert_eq!(lab.active(), [0]);
        lab.watches_silence = true;
        lab.kill(0);
        lab.run(2 * SECOND);
        assert_eq!(lab.active(), [1]);
        // a node is ready if it has everything from the other node, over a link
        lab.nodes[0].host.unready = true;
        lab.start(0);
        lab.forget();
        lab.run(30 * SECOND);
        assert_eq!((lab.active(), lab.failovers()), (vec![0], 1));
        assert_eq!(lab.overlaps, []);
        let silence_ns = lab.longest_silence_ns("lan1");
        assert!(silence_ns <= 50 * MS, "{silence_ns}");
    }
    let mut lab = pair(&by_quality(""));
    let active = lab.active()[0];
    lab.directive(active, quality(40));
    lab.run(20 * SECOND);
    assert_eq!((lab.active(), lab.failovers()), (vec![1 - active], 1));
}

#[test]
fn a_backup_that_starts_anew_is_heard_at_once_and_moves_nothing() {
    for text in [
        by_quality(""),
        by_priority(&[100, 100], "preempt = false", ""),
    ] {
        let mut lab = pair(&text);
        let active = lab.active()[0];
        for _ in 0..5 {
            lab.kill(1 - active);
            lab.run(200 * MS);
            lab.start(1 - active);
            let now_ns = lab.clock.now_ns();
            let knows = |lab: &Lab, node: usize| {
                let group = &lab.nodes[node].engine.groups[0];
                group.peer.mutual_ns().is_some_and(|at_ns| at_ns > now_ns)
            };
            let took = lab.run_until(2 * SECOND, |lab| knows(lab, 0) && knows(lab, 1));
            assert!(took.expect("heartbeats both ways") < 500 * MS, "{took:?}");
        }
        lab.run(10 * SECOND);
        assert_eq!((lab.active(), lab.failovers()), (vec![active], 0));
    }
}

#[test]
fn who_was_cloned_goes_backup_and_says_so() {
    let mut lab = pair(&by_quality(""));
    let active = lab.active()[0];
    let now_ns = lab.clock.now_ns();
    lab.nodes[active].engine.handle_cloned(now_ns);
    lab.run(SECOND);
    assert_eq!(lab.active(), [1 - active]);
    let node = &lab.nodes[active];
    let (_, role, why) = &node.roles[0];
    assert_eq!(*role, Role::Backup);
    assert!(why.contains("another machine has sent"), "{why}");
    assert!(
        node.events
            .iter()
            .any(|text| text.contains("begins another run"))
    );
}

#[test]
fn who_was_cloned_leaves_the_group_to_the_peer_until_the_next_key_is_confirmed() {
    for links in [&[][..], &["link1"]] {
        let text = by_quality("prefer = \"r1\"\nfailback_delay = \"1s\"");
        let mut lab = Lab::linked(&text, links);
        assert_eq!(lab.active(), [0]);
        lab.nobody_signs = true;
        lab.begin_other_run(0);
        lab.run(60 * SECOND);
        assert_eq!((lab.active(), lab.failovers()), (vec![1], 1), "{links:?}");
        assert_eq!(lab.overlaps, []);
        lab.nobody_signs = false;
        lab.run(60 * SECOND);
        assert_eq!((lab.active(), lab.failovers()), (vec![0], 2), "{links:?}");
    }
}

#[test]
fn who_was_cloned_while_it_becomes_active_becomes_backup() {
    let is_promoting = |lab: &Lab| {
        let state = &lab.nodes[1].engine.groups[0].state;
        matches!(state, State::Promoting { .. })
    };
    let is_lapsed = |lab: &Lab| {
        let state = &lab.nodes[1].engine.groups[0].state;
        matches!(state, State::Lapsed { .. })
    };
    let reached: [fn(&Lab) -> bool; 2] = [is_promoting, is_lapsed];
    for is_there in reached {
        let mut lab = pair(&by_quality(""));
        assert_eq!(lab.active(), [0]);
        // longer than the lease that is granted
        lab.nodes[1].answer_ns = 400 * MS;
        lab.kill(0);
        lab.run_until(2 * SECOND, is_there).expect("the state");
        lab.begin_other_run(1);
        let group = &lab.nodes[1].engine.groups[0];
        assert!(matches!(group.state, State::Backup { .. }));
        lab.nodes[1].answer_ns = 0;
        lab.run(5 * SECOND);
        assert_eq!(lab.active(), [1]);
        let told = &lab.nodes[1].roles;
        let is_named = |why: &str| why.contains("another machine has sent");
        assert!(told.iter().any(|(_, _, why)| is_named(why)), "{told:?}");
    }
}

/// The peer's heartbeats say that this node is the second as long as it hears the other one.
#[test]
fn who_is_the_second_of_its_name_serves_nobody_while_the_peer_lives() {
    let mut lab = pair(&by_quality("prefer = \"r1\""));
    assert_eq!(lab.active(), [0]);
    lab.nodes[0].host.is_second = true;
    lab.run(SECOND);
    assert_eq!((lab.active(), lab.role(0)), (vec![1], Role::Backup));
    let told = &lab.nodes[0].roles;
    let is_named = |why: &str| why.contains("another machine with this node's key");
    assert!(told.iter().any(|(_, _, why)| is_named(why)), "{told:?}");

    lab.forget();
    lab.run(30 * SECOND);
    assert_eq!((lab.active(), lab.failovers()), (vec![1], 0));
    lab.kill(1);
    let took = lab.run_until(2 * SECOND, |lab| lab.active() == [0]);
    assert!(took.expect("a failover") < 410 * MS, "{took:?}");
}

/// The networks are cut when both nodes start, and joined later.
#[test]
fn a_pair_that_starts_apart_has_one_active_when_it_meets() {
    let mut lab = Lab::without_start(&by_quality(""), &[]);
    for wire in ["lan1", "lan2"] {
        lab.cut(wire, 0, 1);
    }
    lab.start(0);
    lab.start(1);
    lab.run(20 * SECOND);
    assert_eq!(lab.active(), [0, 1]);
    lab.fix();
    let took = lab.run_until(10 * SECOND, |lab| lab.active().len() == 1);
    assert!(took.expect("one") <= 1500 * MS, "{took:?}");
    lab.forget();
    lab.run(60 * SECOND);
    assert_eq!((lab.active().len(), lab.failovers()), (1, 0));
}

/// Pairs without a link, and with a link that fails after the reload.
fn reloaded(text: &str, links: &[&str], reload: impl Fn(&mut Lab)) {
    let mut lab = Lab::linked(text, links);
    let active = lab.active();
    reload(&mut lab);
    lab.run(10 * SECOND);
    assert_eq!(lab.active(), active, "{links:?}");
    for link in links {
        lab.cut(link, 0, 1);
    }
    lab.run(10 * SECOND);
    assert_eq!((lab.active(), lab.failovers()), (active.clone(), 0));
    lab.kill(active[0]);
    let took = lab.run_until(SECOND, |lab| lab.active() == [1 - active[0]]);
    assert!(took.expect("a failover") < 410 * MS);
}

#[test]
fn adverts_count_again_where_a_reload_ends_the_heartbeats() {
    for text in [by_quality(""), by_priority(&[200, 100], "", SECOND_ROUTER)] {
        for links in [&[][..], &["link1"]] {
            reloaded(&text, links, |lab| {
                for node in 0..2 {
                    lab.reload(node, &without_heartbeats(&text));
                }
            });
        }
    }
}

#[test]
fn adverts_count_again_where_a_reload_removes_the_keys() {
    for text in [by_quality(""), by_priority(&[200, 100], "", SECOND_ROUTER)] {
        for links in [&[][..], &["link1"]] {
            reloaded(&text, links, |lab| {
                lab.keys = false;
                for node in 0..2 {
                    lab.nodes[node].engine.set_keys(false);
                    lab.reload(node, &text);
                }
            });
        }
    }
}

#[test]
fn a_network_that_has_no_heartbeats_any_more_is_rated_no_longer() {
    let with = "vrid = 7\nwitnesses = [\"10.1.0.250\"]\n";
    let text = by_quality("").replacen("vrid = 7\n", with, 1);
    let mut lab = pair(&text);
    let backup = 1 - lab.active()[0];
    lab.stations.insert(("lan1".to_owned(), 1 - backup));
    lab.cut("lan1", 0, 1);
    lab.run(10 * SECOND);
    let is_rated_bad = |lab: &Lab| lab.nodes[backup].host.checks["lan1"].1 == 0;
    assert!(is_rated_bad(&lab));
    let text = text.replacen("vrid = 7\n", "vrid = 7\nheartbeats = false\n", 1);
    for node in 0..2 {
        lab.reload(node, &text);
    }
    lab.run(10 * SECOND);
    assert!(!is_rated_bad(&lab));
    let group = &lab.nodes[backup].engine.groups[0];
    assert!(
        group
            .networks
            .ports()
            .iter()
            .all(|port| port.unheard.current().is_none() && !port.unheard.has_moved())
    );
}

/// Until its own reload, the second node takes the other one for dead.
#[test]
fn adverts_count_again_where_the_nodes_are_reloaded_one_after_the_other() {
    for text in [by_quality(""), by_priority(&[200, 100], "", SECOND_ROUTER)] {
        for first in [0, 1] {
            for has_keys in [false, true] {
                let mut lab = pair(&text);
                lab.keys = has_keys;
                for node in [first, 1 - first] {
                    lab.nodes[node].engine.set_keys(has_keys);
                    lab.reload(node, &without_heartbeats(&text));
                    lab.run(5 * SECOND);
                }
                lab.forget();
                lab.run(10 * SECOND);
                assert_eq!(
                    (lab.active().len(), lab.failovers()),
                    (1, 0),
                    "{first} {has_keys}"
                );
            }
        }
    }
}

/// The host reports the interface a moment after the engine has its configuration.
#[test]
fn an_interface_that_is_not_known_yet_moves_no_group() {
    let by_priority = by_priority(&[200, 100], "", "");
    let by_quality = by_quality("").replace(SECOND_ROUTER, "");
    for text in [by_priority, by_quality] {
        for links in [&[][..], &["link1"]] {
            let mut lab = Lab::linked(&text, links);
            let active = lab.active()[0];
            for node in [active, 1 - active] {
                lab.configure(node, &format!("{text}{SECOND_ROUTER}\n"));
                lab.run(50 * MS);
                assert_eq!(lab.answering("lan1"), [active], "{links:?}");
                lab.report_interfaces(node);
                lab.run(5 * SECOND);
            }
            let told = &lab.nodes[active].roles;
            assert!(
                told.iter().all(|(_, role, _)| *role == Role::Active),
                "{told:?}"
            );
            assert_eq!((lab.failovers(), lab.switchovers()), (0, 0), "{links:?}");
            assert_eq!(lab.answering("lan2"), [active]);
        }
    }
}

#[test]
fn a_rating_is_written_once_and_not_every_few_seconds() {
    let mut lab = pair(&by_quality(""));
    lab.cut("lan1", 0, 1);
    let ratings = |lab: &Lab| {
        let infos = lab.nodes.iter().flat_map(|node| &node.infos);
        infos.filter(|text| text.contains("is rated")).count()
    };
    // both rate the network, and again after the group has moved because of it
    lab.run(10 * SECOND);
    assert!((1..=4).contains(&ratings(&lab)), "{}", ratings(&lab));
    lab.forget();
    lab.run(60 * SECOND);
    assert_eq!(ratings(&lab), 0);
}
