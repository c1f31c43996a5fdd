//! Late timers, stopped nodes, a host that does not answer: a node answers only while the other does not.

use spared_sdk::Role;

use super::lab::{Lab, MS, SECOND, SECOND_ROUTER, by_priority};

fn pair() -> Lab {
    Lab::settled(&by_priority(&[200, 100], "", ""), 2)
}

#[test]
fn a_killed_node_stops_answering_before_the_other_begins() {
    let mut lab = pair();
    lab.kill(0);
    lab.run(2 * SECOND);
    assert_eq!(lab.answering("lan1"), [1]);
    assert_eq!(lab.overlaps, []);
}

#[test]
fn a_stopped_node_stops_answering_and_steps_down_when_it_resumes() {
    for stopped_ms in [
        50, 200, 260, 269, 271, 280, 299, 301, 340, 360, 400, 1000, 10_000,
    ] {
        let mut lab = pair();
        lab.run(37 * MS);
        lab.stop(0);
        lab.run(stopped_ms * MS);
        lab.resume(0);
        lab.run(5 * SECOND);
        assert_eq!(lab.active().len(), 1, "after {stopped_ms} ms");
        // r1 preempts with the next Active_Down: the two roles may cross for a moment then
        assert!(
            lab.longest_overlap_ns() <= 2 * lab.latency_ns,
            "after {stopped_ms} ms"
        );
    }
}

#[test]
fn a_resumed_node_never_sends_before_it_has_stepped_down() {
    let mut lab = pair();
    lab.run(37 * MS);
    lab.stop(0);
    lab.run(SECOND);
    lab.forget();
    lab.resume(0);
    let node = &lab.nodes[0];
    assert_eq!(node.roles[0].1, Role::Backup);
    assert!(
        node.roles[0].2.contains("longer than its fence lease"),
        "{}",
        node.roles[0].2
    );
    let priorities: Vec<u8> = lab.sent_by(0).iter().map(|sent| sent.priority).collect();
    assert_eq!(priorities, [0]);
    assert_eq!(lab.active(), [1]);
}

#[test]
fn a_stopped_backup_that_resumes_counts_what_waits_in_its_sockets() {
    let mut lab = pair();
    lab.stop(1);
    lab.run(10 * SECOND);
    lab.forget();
    lab.resume(1);
    lab.run(SECOND);
    assert_eq!(lab.active(), [0]);
    assert!(lab.sent_by(1).is_empty());
}

#[test]
fn a_late_advert_within_the_lease_is_measured_and_sent() {
    let mut lab = pair();
    lab.run(37 * MS);
    lab.stop(0);
    lab.run(150 * MS);
    lab.resume(0);
    lab.run(SECOND);
    assert_eq!(lab.active(), [0]);
    let lateness = &lab.nodes[0].engine.groups[0].counters.lateness;
    assert!(
        lateness.worst_ns > 50 * MS && lateness.worst_ns < 150 * MS,
        "{}",
        lateness.worst_ns
    );
    assert!(lateness.buckets().any(|(below_us, _)| below_us >= 1 << 16));
}

#[test]
fn adverts_stay_in_step_after_one_was_late() {
    let mut lab = pair();
    let grid_ns = lab
        .sent_by(0)
        .first()
        .map_or(lab.clock.now_ns(), |sent| sent.at_ns);
    lab.run(SECOND);
    let grid_ns = lab.sent_by(0).last().map_or(grid_ns, |sent| sent.at_ns);
    lab.stop(0);
    lab.run(130 * MS);
    lab.resume(0);
    lab.forget();
    lab.run(SECOND);
    let first_ns = lab.sent_by(0)[0].at_ns;
    assert_eq!((first_ns - grid_ns) % (100 * MS), 0);
}

#[test]
fn without_the_host_a_backup_stays_backup_and_tries_again() {
    let mut lab = pair();
    lab.nodes[1].host_fails = true;
    lab.kill(0);
    lab.run(2 * SECOND);
    assert!(lab.active().is_empty());
    assert!(lab.sent_by(1).is_empty());
    assert!(lab.nodes[1].engine.groups[0].counters.publish_failed >= 3);
    lab.nodes[1].host_fails = false;
    lab.run(SECOND);
    assert_eq!(lab.active(), [1]);
}

#[test]
fn without_the_host_an_active_node_still_says_priority_0() {
    let mut lab = pair();
    lab.nodes[0].host_fails = true;
    lab.shut_down(0);
    // the kernel's egress rule takes the lease away with that packet
    assert!(lab.answering("lan1").is_empty());
    let took = lab
        .run_until(SECOND, |lab| lab.active() == [1])
        .expect("a failover");
    assert!(took < 100 * MS);
}

#[test]
fn a_lease_that_ran_out_before_the_host_answered_makes_no_active_node() {
    let mut lab = Lab::new(&by_priority(&[200], "advert_interval = \"10ms\"", ""), 1);
    lab.nodes[0].answer_ns = 50 * MS;
    lab.start(0);
    lab.run(SECOND);
    assert!(lab.active().is_empty());
    assert!(lab.sent.iter().all(|sent| sent.priority == 0));
    lab.nodes[0].answer_ns = 5 * MS;
    lab.run(SECOND);
    assert_eq!(lab.active(), [0]);
}

#[test]
fn a_host_that_answers_too_late_is_asked_again_after_a_pause() {
    let mut lab = Lab::new(&by_priority(&[200], "advert_interval = \"10ms\"", ""), 1);
    lab.nodes[0].answer_ns = 50 * MS;
    lab.start(0);
    lab.run(120 * SECOND);
    let roles = lab.nodes[0].roles.iter();
    let asked: Vec<u64> = roles
        .filter(|(_, role, _)| *role == Role::Active)
        .map(|(at_ns, ..)| *at_ns)
        .collect();
    assert!(asked.len() > 1000, "{}", asked.len());
    let pauses = asked.windows(2).map(|pair| pair[1] - pair[0]);
    let least_ns = pauses.min().expect("several");
    assert!(least_ns >= 65 * MS, "{least_ns}");
}

#[test]
fn a_slow_host_whose_lease_still_lives_makes_an_active_node() {
    let mut lab = Lab::new(&by_priority(&[200], "advert_interval = \"10ms\"", ""), 1);
    lab.nodes[0].publish_ns = 50 * MS;
    lab.start(0);
    lab.run(SECOND);
    assert_eq!(lab.active(), [0]);
}

#[test]
fn whoever_became_active_while_the_host_took_its_time_is_heard_first() {
    let text = by_priority(
        &[200, 100],
        "advert_interval = \"10ms\"\npreempt = false",
        "",
    );
    let mut lab = Lab::new(&text, 2);
    lab.nodes[0].publish_ns = 90 * MS;
    lab.start(0);
    lab.start(1);
    lab.run(SECOND);
    assert_eq!(lab.active().len(), 1);
    assert_eq!(lab.longest_overlap_ns(), 0);
}

#[test]
fn adverts_that_never_leave_end_in_a_fault_and_are_tried_again() {
    let mut lab = Lab::settled(&by_priority(&[200], "", ""), 1);
    lab.nodes[0].refuses_all = true;
    lab.run(5 * SECOND);
    assert_eq!(lab.role(0), Role::Fault);
    assert!(
        lab.why(0).contains("lan1 cannot send adverts"),
        "{}",
        lab.why(0)
    );
    lab.nodes[0].refuses_all = false;
    lab.run(6 * SECOND);
    assert_eq!(lab.active(), [0]);
}

#[test]
fn adverts_go_out_as_soon_as_the_fence_is_open() {
    let mut lab = pair();
    lab.nodes[1].publish_ns = 3 * MS;
    lab.kill(0);
    lab.run(SECOND);
    let opened_ns = lab.nodes[1].roles.last().expect("a role").0;
    assert_eq!(lab.sent_by(1)[0].at_ns, opened_ns);
}

#[test]
fn the_fence_closes_before_priority_0_goes_out() {
    let mut lab = pair();
    lab.nodes[0].publish_ns = 3 * MS;
    lab.shut_down(0);
    assert_eq!((lab.sent.len(), lab.answering("lan1")), (0, vec![0]));
    lab.run(3 * MS);
    let closed_ns = lab.nodes[0].roles.last().expect("a role").0;
    assert_eq!(lab.sent_by(0)[0].at_ns, closed_ns);
    lab.run(SECOND);
    assert_eq!(lab.overlaps, []);
}

#[test]
fn carrier_that_returns_opens_the_fence_again() {
    let mut lab = Lab::settled(&by_priority(&[200], "", SECOND_ROUTER), 1);
    lab.carrier(0, "lan2", false);
    lab.run(SECOND);
    assert_eq!(
        (lab.answering("lan1"), lab.answering("lan2")),
        (vec![0], vec![])
    );
    lab.carrier(0, "lan2", true);
    assert_eq!(lab.answering("lan2"), [0]);
    lab.run(5 * SECOND);
    assert_eq!(lab.answering("lan2"), [0]);
}

#[test]
fn a_longer_interval_is_kept_only_after_it_was_advertised_at_the_old_pace() {
    let mut lab = pair();
    let slow = by_priority(&[200, 100], "advert_interval = \"1s\"", "");
    lab.reload(0, &slow);
    lab.forget();
    lab.loss_percent = 0;
    lab.run(10 * SECOND);
    assert_eq!(lab.active(), [0]);
    assert_eq!(lab.overlaps, []);
    let sent = lab.sent_by(0);
    assert!(sent.iter().all(|sent| sent.interval_ns == SECOND));
    let gaps: Vec<u64> = sent
        .windows(2)
        .map(|pair| pair[1].at_ns - pair[0].at_ns)
        .collect();
    assert_eq!(gaps[..2], [100 * MS, 100 * MS]);
    assert_eq!(gaps[3], SECOND);
}

#[test]
fn an_interface_is_not_blamed_for_an_advert_that_came_late() {
    let group = "advert_interval = \"10ms\"";
    let mut lab = Lab::settled(&by_priority(&[200, 100], group, SECOND_ROUTER), 2);
    let sent = lab.sent.len();
    lab.run_until(SECOND, |lab| lab.sent.len() > sent + 1);
    lab.run(MS);
    lab.stop(0);
    lab.run(21 * MS);
    // the kernel counts in ticks, and one lease of both has run out already
    lab.lapse(0, "lan2");
    lab.resume(0);
    lab.run(MS);
    let counters = &lab.nodes[0].engine.groups[0].counters;
    assert_eq!((counters.lapses, counters.late_step_downs), (1, 0));
    lab.run(SECOND);
    assert_eq!(lab.active(), [0]);
    assert_eq!(lab.nodes[0].engine.groups[0].candidacy.priority(), 200);
}

#[test]
fn an_interface_that_swallows_adverts_is_given_up() {
    let mut lab = Lab::settled(&by_priority(&[200, 100], "", SECOND_ROUTER), 2);
    lab.nodes[0].refuses_on.insert("lan2".to_owned());
    lab.lapse(0, "lan2");
    let took = lab.run_until(2 * SECOND, |lab| lab.active() == [1]);
    assert!(took.is_some(), "{}", lab.why(0));
    assert_eq!(lab.answering("lan2"), [1]);
}

#[test]
fn many_groups_that_fail_over_together_do_not_starve_each_other() {
    let groups = (1..=30).map(|n| {
        let name = format!("name = \"g{n}\"");
        by_priority(&[200, 100], "advert_interval = \"10ms\"", "")
            .replace("name = \"g\"", &name)
            .replace("vrid = 7", &format!("vrid = {n}"))
            .replace("10.1.0.1/24", &format!("10.1.1.{n}/24"))
    });
    let mut lab = Lab::settled(&groups.collect::<String>(), 2);
    assert!(
        lab.nodes[0]
            .engine
            .groups
            .iter()
            .all(|group| group.is_active())
    );
    lab.nodes[1].publish_ns = 3 * MS;
    lab.kill(0);
    lab.run(SECOND);
    for group in &lab.nodes[1].engine.groups {
        assert!(group.is_active());
        assert_eq!(group.counters.late_step_downs, 0);
    }
}
