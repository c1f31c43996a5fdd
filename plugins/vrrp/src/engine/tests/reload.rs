//! Another configuration while running: roles, timers and adverts go on.

use spared_sdk::{Forced, Role};

use super::lab::{Lab, MS, SECOND, SECOND_ROUTER, by_priority};

fn longest_gap_ns(lab: &Lab, node: usize) -> u64 {
    let times: Vec<u64> = lab.sent_by(node).iter().map(|sent| sent.at_ns).collect();
    times
        .windows(2)
        .map(|pair| pair[1] - pair[0])
        .max()
        .unwrap_or(u64::MAX)
}

#[test]
fn reloading_the_same_file_over_and_over_delays_no_advert() {
    let text = by_priority(&[200, 100], "", "");
    let mut lab = Lab::settled(&text, 2);
    for _ in 0..300 {
        lab.run(7 * MS);
        lab.reload(0, &text);
        lab.reload(1, &text);
    }
    assert_eq!(lab.active(), [0]);
    assert_eq!(longest_gap_ns(&lab, 0), 100 * MS);
    assert!(lab.nodes.iter().all(|node| node.roles.is_empty()));
}

#[test]
fn a_priority_applies_with_the_next_advert() {
    let mut lab = Lab::settled(&by_priority(&[200, 100], "", ""), 2);
    lab.reload(0, &by_priority(&[150, 100], "", ""));
    assert!(lab.sent.is_empty());
    lab.run(100 * MS);
    assert_eq!(lab.sent_by(0)[0].priority, 150);
    lab.reload(0, &by_priority(&[50, 100], "", ""));
    lab.run(2 * SECOND);
    assert_eq!(lab.active(), [1]);
}

#[test]
fn a_shorter_interval_applies_at_once() {
    let mut lab = Lab::settled(&by_priority(&[200, 100], "advert_interval = \"1s\"", ""), 2);
    let quick = by_priority(&[200, 100], "", "");
    lab.reload(0, &quick);
    lab.run(SECOND);
    assert!(lab.sent_by(0).len() >= 9);
    lab.reload(1, &quick);
    lab.kill(0);
    let took = lab
        .run_until(5 * SECOND, |lab| lab.active() == [1])
        .expect("a failover");
    assert!(took < 500 * MS);
}

#[test]
fn a_router_added_to_an_active_group_speaks_and_answers_at_once() {
    let mut lab = Lab::settled(&by_priority(&[200, 100], "", ""), 2);
    lab.reload(0, &by_priority(&[200, 100], "", SECOND_ROUTER));
    assert_eq!(lab.answering("lan2"), [0]);
    lab.run(SECOND);
    assert_eq!((lab.active(), lab.answering("lan2")), (vec![0], vec![0]));
    assert!(
        !lab.nodes[0]
            .roles
            .iter()
            .any(|(_, role, _)| *role != Role::Active)
    );
}

#[test]
fn a_router_taken_from_an_active_group_says_priority_0() {
    let mut lab = Lab::settled(&by_priority(&[200, 100], "", SECOND_ROUTER), 2);
    lab.reload(0, &by_priority(&[200, 100], "", ""));
    assert!(lab.answering("lan2").is_empty());
    lab.run(SECOND);
    assert_eq!((lab.active(), lab.answering("lan1")), (vec![0], vec![0]));
}

#[test]
fn a_group_that_is_withdrawn_resigns() {
    let mut lab = Lab::settled(&by_priority(&[200, 100], "", ""), 2);
    lab.reload(0, "");
    assert!(lab.answering("lan1").is_empty());
    let took = lab
        .run_until(SECOND, |lab| lab.active() == [1])
        .expect("a failover");
    assert!(took < 100 * MS, "{took}");
}

#[test]
fn another_version_begins_anew() {
    let mut lab = Lab::settled(&by_priority(&[200], "", ""), 1);
    lab.reload(0, &by_priority(&[200], "version = 2", ""));
    assert!(lab.active().is_empty());
    lab.run(10 * SECOND);
    assert_eq!(lab.active(), [0]);
}

#[test]
fn another_version_keeps_what_the_host_directs() {
    let mut lab = Lab::settled(&by_priority(&[200, 100], "", ""), 2);
    lab.force(0, Forced::Backup);
    lab.run(5 * SECOND);
    assert_eq!(lab.active(), [1]);
    for node in 0..2 {
        lab.reload(node, &by_priority(&[200, 100], "version = 2", ""));
    }
    lab.run(20 * SECOND);
    assert_eq!(lab.active(), [1]);
}

#[test]
fn an_interface_that_comes_back_is_unknown_until_the_host_reports_it() {
    let one = by_priority(&[200, 100], "", "");
    let two = by_priority(&[200, 100], "", SECOND_ROUTER);
    let mut lab = Lab::settled(&two, 2);
    lab.configure(0, &one);
    lab.run(SECOND);
    let state = |lab: &Lab| lab.text(0, "g.interface.lan2.state");
    assert_eq!(state(&lab), None);
    lab.configure(0, &two);
    assert_eq!(state(&lab).as_deref(), Some("unknown"));
    assert!(!lab.nodes[0].host.checks.contains_key("lan2"));
    assert!(lab.answering("lan2").is_empty());
    lab.report_interfaces(0);
    lab.run(SECOND);
    assert_eq!(state(&lab).as_deref(), Some("up"));
    assert_eq!((lab.active(), lab.answering("lan2")), (vec![0], vec![0]));
}
