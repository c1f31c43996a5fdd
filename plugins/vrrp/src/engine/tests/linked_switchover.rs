//! E6: switchovers, and faults during them; and unusual states of links.

use spared_sdk::Role;

use super::lab::{Lab, MS, SECOND, SECOND_ROUTER, by_priority};
use super::linked::{LINKS, assert_settled, both_cut, by_quality, moved_once, pair, quality};
use super::rfc::advert;
use spared_sdk::Directive;

// ---- E6: switchover ------------------------------------------------------------------------------

#[test]
fn a_switch_moves_the_group_and_carries_packets_until_the_new_one_is_heard() {
    let mut lab = pair("");
    lab.drain_ns = 300 * MS;
    lab.switch(0);
    lab.run(SECOND);
    moved_once(&lab, 1);
    assert!(lab.longest_silence_ns("lan2") <= lab.latency_ns);
    let gave_up = lab.nodes[0].roles[0].0;
    assert!(lab.nodes[0].host.carries_until_ns() >= gave_up + 200 * MS);
    assert_eq!(lab.nodes[0].roles[0].1, Role::Backup);
    assert_eq!(
        lab.nodes[0].roles[0].2,
        "r1 is backup because it switched over to r2: it was asked to"
    );
    assert_settled(&mut lab);
}

#[test]
fn whatever_the_reason_a_group_that_was_switched_over_is_told_from_one_that_was_taken() {
    let aside = Directive {
        maintenance: true,
        ..Directive::default()
    };
    for (prefer, directive) in [
        ("", quality(73)),
        ("", aside.clone()),
        ("", Directive::default()),
        ("prefer = \"r2\"", aside),
    ] {
        let mut lab = pair(prefer);
        let from = lab.active()[0];
        lab.switch(from);
        lab.directive(from, directive);
        lab.run(500 * MS);
        moved_once(&lab, 1 - from);
        assert!(lab.nodes[1 - from].is_planned, "{}", lab.why(1 - from));
        lab.kill(1 - from);
        lab.run(5 * SECOND);
        assert_eq!(lab.active(), [from]);
        assert!(!lab.nodes[from].is_planned, "{}", lab.why(from));
    }
}

#[test]
fn a_refused_switchover_changes_nothing_and_is_asked_for_again_ever_later() {
    let mut lab = pair("");
    lab.nodes[1].host.declines = true;
    lab.directive(0, quality(40));
    lab.run(20 * SECOND);
    assert_eq!((lab.active(), lab.failovers()), (vec![0], 0));
    assert!(
        (6..=8).contains(&lab.switchovers()),
        "{}",
        lab.switchovers()
    );
    lab.nodes[1].host.declines = false;
    lab.run(6 * SECOND);
    assert_eq!(lab.active(), [1]);
}

#[test]
fn a_peer_that_dies_while_it_prepares_leaves_the_active_one_active() {
    let mut lab = pair("");
    lab.drain_ns = SECOND;
    lab.switch(0);
    lab.run(500 * MS);
    lab.kill(1);
    lab.run(10 * SECOND);
    assert_eq!((lab.active(), lab.failovers()), (vec![0], 0));
}

#[test]
fn an_active_node_that_dies_in_a_switchover_is_followed_at_the_usual_time() {
    let mut lab = pair("");
    lab.drain_ns = SECOND;
    lab.switch(0);
    lab.run(500 * MS);
    lab.kill(0);
    let took = lab
        .run_until(SECOND, |lab| lab.active() == [1])
        .expect("a failover");
    assert!(took < 410 * MS);
    assert_eq!(lab.overlaps, []);
}

#[test]
fn a_lost_go_costs_one_failover_time_and_no_overlap() {
    let mut lab = pair("");
    lab.switch(0);
    // the word `prepared` arrives, and then nothing more
    lab.run_until(SECOND, |lab| lab.nodes[0].role() != Role::Active)
        .expect("a release");
    for wire in ["lan1", "lan2", "link1", "link2"] {
        lab.cut(wire, 0, 1);
    }
    lab.drop_heartbeats_in_flight();
    let took = lab
        .run_until(2 * SECOND, |lab| lab.active() == [1])
        .expect("a failover");
    assert!(took <= 410 * MS, "{took}");
    assert_eq!(lab.overlaps, []);
}

// ---- unusual states of links ---------------------------------------------------------------------------

#[test]
fn nodes_that_elect_differently_both_use_priority_and_say_so() {
    let mut lab = pair("prefer = \"r1\"");
    lab.reload(1, &by_priority(&[150, 150], "", SECOND_ROUTER));
    lab.run(60 * SECOND);
    assert_eq!(lab.active(), [0], "251 against 150");
    for node in &lab.nodes {
        let told = |event: &&String| event.contains("both use priority");
        assert_eq!(
            node.events.iter().filter(told).count(),
            1,
            "{:?}",
            node.events
        );
    }
    lab.directive(0, quality(40));
    lab.run(60 * SECOND);
    assert_eq!(lab.active(), [1], "131 against 150");
    assert_settled(&mut lab);
}

#[test]
fn a_switchover_over_links_slower_than_the_wires_does_not_return() {
    let mut lab = Lab::without_start(&by_quality(""), &LINKS);
    for link in LINKS {
        lab.slow_links.insert(link.to_owned(), 200 * MS);
    }
    lab.start(0);
    lab.start(1);
    lab.run(10 * SECOND);
    lab.forget();
    for round in 0..4 {
        let active = lab.active()[0];
        lab.switch(active);
        lab.run(5 * SECOND);
        assert_eq!(
            (lab.active(), lab.failovers()),
            (vec![1 - active], 1),
            "{round}"
        );
        assert_eq!(lab.overlaps, []);
        lab.forget();
    }
}

#[test]
fn a_successor_that_was_stopped_reads_on_after_a_release_of_before() {
    let mut lab = pair("");
    lab.switch(0);
    lab.run_until(SECOND, |lab| lab.nodes[1].host.is_prepared())
        .expect("a successor");
    lab.stop(1);
    lab.release_anyway(0);
    lab.run_until(100 * MS, |lab| lab.active().is_empty())
        .expect("a release");
    lab.run_until(3 * SECOND, |lab| lab.active() == [0])
        .expect("taken back");
    lab.run(SECOND);
    lab.forget();
    lab.resume(1);
    lab.run(SECOND);
    assert_eq!((lab.active(), lab.failovers()), (vec![0], 0));
    assert_eq!(lab.overlaps, []);
}

#[test]
fn with_the_links_cut_the_networks_let_the_successor_go_ahead() {
    let mut lab = pair("");
    lab.switch(0);
    lab.run_until(SECOND, |lab| lab.nodes[1].host.is_prepared())
        .expect("a successor");
    both_cut(&mut lab);
    lab.release_anyway(0);
    let took = lab
        .run_until(SECOND, |lab| lab.active() == [1])
        .expect("a failover");
    assert_eq!(took, lab.latency_ns);
    assert_eq!(lab.overlaps, []);
}

#[test]
fn a_forged_priority_0_does_not_let_the_successor_go_ahead() {
    let mut lab = pair("");
    lab.switch(0);
    lab.run_until(SECOND, |lab| lab.nodes[1].host.is_prepared())
        .expect("a successor");
    lab.inject(1, "lan1", advert(0, 100 * MS, "10.1.0.2"));
    assert_eq!(lab.active(), [0]);
    lab.run(SECOND);
    moved_once(&lab, 1);
}

#[test]
fn the_heartbeats_go_alone_lets_the_successor_go_ahead() {
    let mut lab = pair("");
    lab.cut("lan1", 0, 1);
    lab.cut("lan2", 0, 1);
    lab.run(60 * SECOND);
    lab.forget();
    let active = lab.active()[0];
    lab.switch(active);
    let took = lab
        .run_until(SECOND, |lab| lab.active() == [1 - active])
        .expect("a failover");
    assert!(took < 5 * MS, "{took}");
    assert_eq!(lab.overlaps, []);
}

#[test]
fn an_isolated_node_whose_switchover_is_refused_lets_go_by_itself() {
    let mut lab = pair("");
    lab.switch(0);
    lab.drain_ns = 10 * SECOND;
    lab.nodes[1].host.declines = true;
    lab.carrier(0, "lan1", false);
    lab.carrier(0, "lan2", false);
    let took = lab
        .run_until(SECOND, |lab| lab.active() == [1])
        .expect("a failover");
    assert!(took <= 100 * MS, "{took}");
}

#[test]
fn a_link_of_one_direction_keeps_the_other_node_in_backup() {
    let mut lab = pair("");
    for wire in ["lan1", "lan2"] {
        lab.cut(wire, 0, 1);
    }
    lab.run(30 * SECOND);
    let active = lab.active()[0];
    for link in LINKS {
        lab.cut_one_way(link, 1 - active, active);
    }
    assert_settled(&mut lab);
    assert_eq!(lab.active(), [active]);
}

#[test]
fn a_node_that_restarts_within_the_failover_time_delays_nobody() {
    let mut lab = pair("prefer = \"r1\"");
    lab.kill(0);
    lab.run(150 * MS);
    lab.start(0);
    let took = lab
        .run_until(SECOND, |lab| lab.active().len() == 1)
        .expect("a failover");
    assert!(took < 270 * MS, "{took}");
    assert_eq!(lab.active(), [1]);
}

#[test]
fn a_host_that_does_not_let_the_fence_pass_leaves_the_group_to_the_peer() {
    let mut lab = Lab::without_start(&by_quality("prefer = \"r1\""), &LINKS);
    lab.nodes[0].host_fails = true;
    lab.start(0);
    lab.start(1);
    lab.run(3 * SECOND);
    assert_eq!(lab.active(), [1]);
}

#[test]
fn a_stopped_node_gives_way_when_it_resumes() {
    let mut lab = pair("");
    for pause_ms in [100, 250, 280, 320, 400, 2000] {
        let active = lab.active()[0];
        lab.stop(active);
        lab.run(pause_ms * MS);
        lab.resume(active);
        lab.run(2 * SECOND);
        assert_eq!(lab.active().len(), 1);
        assert_eq!(lab.overlaps, [], "{pause_ms}");
        lab.run(400 * SECOND);
    }
}

#[test]
fn status_shows_the_peer() {
    use crate::engine::Table;
    use spared_sdk::Value;
    let mut lab = pair("");
    lab.directive(1, quality(80));
    lab.run(SECOND);
    let rows = lab.nodes[0].engine.rows(lab.clock.now_ns(), Table::Status);
    let row = |key: &str| {
        rows.iter()
            .find(|(k, _)| k == key)
            .map(|(_, value)| value.clone())
    };
    assert_eq!(row("g.peer"), Some(Value::Text("r2".to_owned())));
    assert_eq!(row("g.peer_role"), Some(Value::Text("backup".to_owned())));
    assert_eq!(row("g.peer_quality"), Some(Value::Number(80)));
    assert!(matches!(
        row("g.peer_heartbeat_ms_ago"),
        Some(Value::Number(0..=100))
    ));
}

#[test]
fn status_names_the_networks_on_which_the_peer_was_last_heard() {
    use crate::engine::Table;
    use spared_sdk::Value;
    let mut lab = pair("");
    let heard = |lab: &Lab, node: usize| {
        let now_ns = lab.clock.now_ns();
        let rows = lab.nodes[node].engine.rows(now_ns, Table::Status);
        let row = |wire: &str| {
            let key = format!("g.virtual_router.{wire}.7.ipv4.heard");
            rows.iter()
                .find(|(k, _)| *k == key)
                .map(|(_, it)| it.clone())
        };
        [row("lan1"), row("lan2")]
    };
    let of = |address: &str| Some(Value::Text(address.to_owned()));
    assert_eq!(heard(&lab, 0), [of("10.1.0.3"), of("10.2.0.3")]);
    assert_eq!(heard(&lab, 1), [of("10.1.0.2"), of("10.2.0.2")]);
    lab.cut("lan1", 0, 1);
    lab.run(10 * SECOND);
    assert_eq!(heard(&lab, 0), [None, of("10.2.0.3")]);
    assert_eq!(heard(&lab, 1), [None, of("10.2.0.2")]);
    lab.kill(0);
    lab.run(10 * SECOND);
    assert_eq!(heard(&lab, 1), [None, of("10.2.0.2")]);
}

#[test]
fn where_nobody_is_active_the_fitter_one_goes_first_and_nobody_races() {
    for offset_ms in (0..800).step_by(20) {
        // at equal quality the name decides
        for (first, fitter, least) in [(0, 0, 100), (1, 0, 100), (0, 1, 60), (1, 1, 60)] {
            let mut lab = Lab::without_start(&by_quality(""), &LINKS);
            lab.nodes[1 - fitter].directive.quality = least;
            lab.start(first);
            lab.run(offset_ms * MS);
            lab.start(1 - first);
            lab.run(3 * SECOND);
            let case = (offset_ms, first, fitter);
            assert_eq!(
                (lab.active(), lab.failovers()),
                (vec![fitter], 1),
                "{case:?}"
            );
            assert_eq!(lab.overlaps, [], "{case:?}");
            // the same again after the node had to release the group
            lab.forget();
            let slow = lab.nodes[fitter].directive.clone();
            lab.directive(
                fitter,
                Directive {
                    resign: true,
                    ..slow.clone()
                },
            );
            lab.run(SECOND);
            assert_eq!(lab.active(), [1 - fitter], "{case:?}");
            lab.directive(fitter, slow);
            lab.run(10 * SECOND);
            let expected = if least < 100 { fitter } else { 1 - fitter };
            assert_eq!(lab.active(), [expected], "{case:?}");
            assert_eq!(lab.overlaps, [], "{case:?}");
        }
    }
}

#[test]
fn a_fitter_backup_that_does_not_go_first_is_not_waited_for_long() {
    let mut lab = pair("");
    lab.directive(0, quality(60));
    lab.run(10 * SECOND);
    assert_eq!(lab.active(), [1]);
    lab.nodes[1].host_fails = true;
    // the group goes to the fitter node, whose host fails: both are backups
    lab.stop(1);
    lab.run(280 * MS);
    lab.resume(1);
    let took = lab.run_until(5 * SECOND, |lab| lab.active() == [0]);
    assert!(took.expect("a failover") < 1500 * MS);
}

#[test]
fn where_no_switchover_can_be_had_a_hurt_node_lets_go_as_without_a_link() {
    let mut lab = pair("prefer = \"r1\"");
    lab.session_is_down = true;
    lab.directive(0, quality(40));
    lab.run(20 * SECOND);
    assert_eq!(
        (lab.active(), lab.failovers()),
        (vec![0], 0),
        "not for quality"
    );
    lab.carrier(0, "lan1", false);
    let took = lab.run_until(SECOND, |lab| lab.active() == [1]);
    assert!(took.expect("a failover") < 500 * MS);
    assert_eq!(lab.overlaps, []);
    assert_settled(&mut lab);
}

#[test]
fn a_start_delay_is_told_to_the_peer_and_nothing_is_switched_over_before() {
    let mut lab = Lab::without_start(&by_quality("start_delay = \"5s\""), &LINKS);
    lab.nodes[1].directive.quality = 60;
    lab.start(1);
    lab.run(10 * SECOND);
    assert_eq!(lab.active(), [1]);
    lab.start(0);
    lab.run(4500 * MS);
    assert_eq!((lab.active(), lab.switchovers()), (vec![1], 0));
    lab.run(10 * SECOND);
    assert_eq!(lab.active(), [0]);
    assert_eq!(lab.overlaps, []);
    for offset_ms in [0, 1, 50, 100, 150, 400] {
        let mut lab = Lab::without_start(&by_quality("start_delay = \"5s\""), &LINKS);
        lab.start(0);
        lab.run(offset_ms * MS);
        lab.start(1);
        lab.run(10 * SECOND);
        assert_eq!((lab.active(), lab.failovers()), (vec![0], 1), "{offset_ms}");
        assert_eq!(lab.overlaps, [], "{offset_ms}");
    }
}

#[test]
fn interfaces_are_checks_until_no_router_is_there() {
    let text = by_quality("").replace("lan1\"\n", "lan1\"\nweight = 30\n");
    let mut lab = Lab::linked(&text, &LINKS);
    let checks = |lab: &Lab| lab.nodes[0].host.checks.clone();
    let expected = [("lan1", (30, 100)), ("lan2", (100, 100))];
    assert_eq!(
        checks(&lab),
        expected
            .map(|(name, check)| (name.to_owned(), check))
            .into()
    );
    lab.carrier(0, "lan2", false);
    assert_eq!(checks(&lab)["lan2"], (100, 0));
    lab.reload(0, &text.replace(SECOND_ROUTER, "").replace("30", "40"));
    assert_eq!(checks(&lab), [("lan1".to_owned(), (40, 100))].into());
}
