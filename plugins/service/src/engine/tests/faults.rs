//! Items that fail, hang, are missing, die, or are started by others.

use spared_sdk::Value;

use super::*;

const ONE: &str = "[[service]]\nunits = [\"squid\"]\nneeded = true\n";

fn check(lab: &Lab) -> Option<(u8, &str)> {
    let check = lab.checks.get("service.squid");
    check.map(|(state, why)| (*state, why.as_str()))
}

/// Message about a service that runs again, but not yet for a minute.
const AGAIN: &str = "ended soon after its start; runs again, and counts as running after 1m without another end, or after \
    `sparectl service retry`";

#[test]
fn a_stop_that_hangs_is_killed_and_holds_the_others_up_only_so_long() {
    let text = THREE.replace("\"postfix\"]\n", "\"postfix\"]\ntimeout = \"5s\"\n");
    let mut lab = Lab::new(&text).rested();
    lab.active();
    lab.pass(2 * S);
    lab.sim("postfix").stop = Course::Hangs;
    lab.begun.clear();
    let ticket = lab.backup();
    lab.pass(4900 * MS);
    assert_eq!(lab.jobs(), ["stop postfix"]);
    lab.pass(S);
    assert_eq!(
        lab.jobs(),
        ["stop postfix", "kill postfix", "stop squid", "stop kea"]
    );
    assert!(lab.is_done(ticket));
    assert!(lab.runs().is_empty());
    let told = "postfix did not stop within 5s: killed";
    assert!(lab.events.iter().any(|it| it == told), "{:?}", lab.events);
}

#[test]
fn a_missing_unit_is_told_once_and_started_when_it_is_there() {
    let mut lab = Lab::new(ONE);
    lab.sim("squid").missing = true;
    lab.backup();
    lab.pass(2 * S);
    assert_eq!(check(&lab), Some((0, "unit is not there")));
    let ticket = lab.active();
    lab.pass(60 * S);
    assert!(lab.is_done(ticket));
    assert_eq!(lab.events, ["squid: unit is not there"]);
    assert!(lab.begun.is_empty());
    assert_eq!(lab.row("squid.status"), text("missing: unit is not there"));
    let missing = ("squid".to_owned(), text("unit is not there").unwrap());
    assert_eq!(lab.engine.unstartable(), [missing]);
    lab.sim("squid").missing = false;
    lab.pass(6 * S);
    assert_eq!(lab.runs(), ["squid"]);
    assert_eq!(check(&lab), Some((100, "running")));
}

#[test]
fn a_start_that_fails_is_tried_again_ever_more_rarely_until_it_works() {
    let mut lab = Lab::new(ONE).rested();
    assert_eq!(check(&lab), Some((100, "stopped")));
    lab.sim("squid").start = Course::Fails(100 * MS);
    let ticket = lab.active();
    lab.pass(200 * MS);
    assert!(lab.is_done(ticket), "it has failed, and that is known");
    assert_eq!(check(&lab), Some((0, "start: exit code 1")));
    lab.pass(400 * S);
    let starts: Vec<u64> = lab.begun.iter().map(|(at_ns, _)| at_ns / S).collect();
    let waits: Vec<u64> = starts.windows(2).map(|it| it[1] - it[0]).collect();
    assert_eq!(waits[..7], [2, 4, 8, 16, 32, 60, 60]);
    assert_eq!(
        lab.events,
        [
            "squid: start failed: exit code 1; again in 2s",
            "office: squid failed: start: exit code 1 (100 ms)"
        ]
    );
    lab.sim("squid").start = Course::Takes(S);
    lab.pass(61 * S);
    assert_eq!(check(&lab), Some((100, "running")));
    assert_eq!(lab.events.last().unwrap(), "squid runs again");
}

#[test]
fn retry_tries_what_failed_now() {
    let mut lab = Lab::new(ONE).rested();
    lab.sim("squid").start = Course::Fails(100 * MS);
    lab.active();
    lab.pass(60 * S);
    lab.begun.clear();
    lab.sim("squid").start = Course::Takes(S);
    let unknown = lab.engine.retry(lab.now_ns, Some("quid"));
    assert_eq!(
        unknown,
        Err("there is no \"quid\" in service.toml".to_owned())
    );
    assert_eq!(lab.engine.retry(lab.now_ns, Some("squid")), Ok(1));
    lab.act();
    assert_eq!(lab.jobs(), ["start squid"]);
    lab.pass(2 * S);
    assert_eq!(lab.engine.retry(lab.now_ns, None), Ok(0));
}

#[test]
fn who_asks_to_retry_has_mended_it() {
    let mut lab = Lab::new(ONE).rested();
    lab.active();
    lab.pass(10 * S);
    lab.sim("squid").running = false;
    lab.pass(10 * S);
    assert_eq!(check(&lab), Some((0, AGAIN)));
    assert_eq!(lab.engine.retry(lab.now_ns, None), Ok(1));
    lab.act();
    lab.pass(6 * S);
    assert_eq!(check(&lab), Some((100, "running")));
    // runs as briefly as before, but began before the repair
    lab.sim("squid").running = false;
    lab.pass(6 * S);
    assert_eq!(check(&lab), Some((100, "running")));
    lab.sim("squid").running = false;
    lab.pass(10 * S);
    assert_eq!(check(&lab), Some((0, AGAIN)));
}

/// A start reads the old configuration, is repaired meanwhile, and dies of the old fault: for each moment of the
/// repair, with and without an earlier failure.
#[test]
fn what_began_before_the_repair_proves_nothing_against_it() {
    for fails_first in [false, true] {
        for after_ms in (100..4_000).step_by(100) {
            let mut lab = Lab::new(ONE).rested();
            lab.sim("squid").start = Course::Takes(2 * S);
            lab.active();
            lab.pass(10 * S);
            if !fails_first {
                lab.pass(120 * S);
            }
            lab.sim("squid").running = false;
            lab.begun.clear();
            while lab.jobs().is_empty() {
                lab.pass(100 * MS);
            }
            lab.pass(after_ms * MS);
            let _ = lab.engine.retry(lab.now_ns, None);
            lab.act();
            lab.pass(4 * S - after_ms * MS);
            lab.sim("squid").running = false;
            lab.pass(12 * S);
            let step = format!(
                "{fails_first}, repaired after {after_ms} ms: {:?}",
                lab.events
            );
            assert_eq!(check(&lab), Some((100, "running")), "{step}");
        }
    }
}

#[test]
fn what_failed_while_active_is_no_better_because_another_node_took_over() {
    let mut lab = Lab::new(ONE).rested();
    lab.sim("squid").start = Course::Fails(100 * MS);
    lab.active();
    lab.pass(10 * S);
    lab.backup();
    lab.pass(200 * S);
    lab.role("office", Role::Fault);
    lab.pass(99 * S);
    let why = "failed here while active: start: exit code 1; counts as failed for 5m after it was active, or until `sparectl service retry`";
    assert_eq!(check(&lab), Some((0, why)));
    lab.pass(2 * S);
    assert_eq!(check(&lab), Some((100, "stopped")));
}

#[test]
fn a_daemon_that_died_while_active_is_started_again() {
    let mut lab = Lab::new(ONE).rested();
    lab.active();
    lab.pass(120 * S);
    lab.begun.clear();
    lab.sim("squid").running = false;
    lab.pass(6 * S);
    assert_eq!(lab.jobs(), ["start squid"]);
    assert_eq!(
        lab.events.last().unwrap(),
        "squid ended while active: started again"
    );
    assert_eq!(lab.runs(), ["squid"]);
}

#[test]
fn a_daemon_that_dies_after_each_start_is_not_started_all_the_time() {
    let mut lab = Lab::new(ONE).rested();
    lab.active();
    for _ in 0..600 {
        lab.pass(S);
        lab.sim("squid").running = false;
    }
    assert!(
        lab.begun.len() < 20,
        "{} starts in 10 minutes",
        lab.begun.len()
    );
    assert_eq!(check(&lab).map(|it| it.0), Some(0));
    assert!(lab.events.len() < 30, "{:?}", lab.events);
}

#[test]
fn what_others_start_on_a_backup_is_stopped_and_told_and_counted() {
    let mut lab = Lab::new(ONE).rested();
    lab.sim("squid").running = true;
    lab.pass(6 * S);
    assert!(lab.runs().is_empty());
    let told = "squid was started by another program while backup: stopped again";
    assert_eq!(lab.events, [told]);
    for _ in 0..9 {
        lab.sim("squid").running = true;
        lab.pass(6 * S);
    }
    assert_eq!(lab.events, [told], "not again and again");
    assert_eq!(lab.row("squid.started_by_others"), Some(Value::Counter(10)));
    lab.sim("squid").running = true;
    lab.pass(6 * S);
    assert_eq!(
        lab.events.last().unwrap(),
        &format!("{told} (9 suppressed before)")
    );
}

#[test]
fn what_runs_when_the_node_is_found_to_be_backup_is_stopped() {
    let mut lab = Lab::on(THREE, Manager::Systemd, &["squid", "kea"]);
    lab.pass(2 * S);
    assert!(lab.begun.is_empty(), "no role, no wish");
    lab.backup();
    lab.pass(2 * S);
    assert_eq!(lab.jobs(), ["stop squid", "stop kea"]);
    assert_eq!(lab.row("squid.started_by_others"), Some(Value::Counter(0)));
}

#[test]
fn what_a_socket_would_start_is_stopped_on_a_backup_and_fine_on_an_active_node() {
    let mut lab = Lab::new(ONE).rested();
    lab.sim("squid").armed = true;
    lab.pass(6 * S);
    assert_eq!(lab.jobs(), ["stop squid"]);
    assert_eq!(
        lab.events,
        ["squid was made to wait for its socket by another program while backup: stopped again"]
    );
    lab.active();
    lab.pass(S);
    lab.begun.clear();
    (lab.sim("squid").running, lab.sim("squid").armed) = (false, true);
    lab.pass(20 * S);
    assert!(lab.begun.is_empty());
    assert_eq!(check(&lab), Some((100, "running")));
}

#[test]
fn a_oneshot_is_started_once() {
    let mut lab = Lab::new(ONE).rested();
    lab.sim("squid").ends = true;
    lab.active();
    lab.pass(60 * S);
    assert_eq!(lab.jobs(), ["start squid"]);
    assert_eq!(lab.engine.summary(), "1 of 1 running");
}

#[test]
fn a_start_that_hangs_has_failed_after_its_time() {
    for manager in [Manager::Systemd, Manager::Procd] {
        let mut lab = Lab::on(ONE, manager, &[]).rested();
        lab.sim("squid").start = Course::Hangs;
        let ticket = lab.active();
        lab.pass(29 * S);
        assert!(!lab.is_done(ticket));
        lab.pass(2 * S);
        assert!(lab.is_done(ticket));
        assert_eq!(check(&lab), Some((0, "start: did not start within 30s")));
        lab.backup();
        lab.pass(40 * S);
        assert!(lab.runs().is_empty());
        assert!(!lab.machine.is_busy());
    }
}

#[test]
fn a_daemon_that_systemd_starts_again_and_again_in_vain_has_failed() {
    let mut lab = Lab::new(ONE).rested();
    lab.active();
    lab.pass(10 * S);
    assert_eq!(check(&lab), Some((100, "running")));
    (lab.sim("squid").running, lab.sim("squid").looping) = (false, true);
    lab.pass(20 * S);
    let may_come = (UNKNOWN, "is being started");
    assert_eq!(check(&lab), Some(may_come), "it may yet come");
    lab.pass(30 * S);
    assert_eq!(check(&lab), Some((0, "has been starting for 30s")));
    assert!(lab.engine.wants_attention());
    let told = |lab: &Lab| {
        let events = lab.events.iter();
        events.filter(|it| it.contains("has been starting")).count()
    };
    assert_eq!(told(&lab), 1, "{:?}", lab.events);
    // runs for a moment
    (lab.sim("squid").running, lab.sim("squid").looping) = (true, false);
    lab.pass(6 * S);
    assert_eq!(check(&lab).map(|(state, _)| state), Some(0));
    (lab.sim("squid").running, lab.sim("squid").looping) = (false, true);
    lab.pass(60 * S);
    assert_eq!(check(&lab).map(|(state, _)| state), Some(0));
    (lab.sim("squid").running, lab.sim("squid").looping) = (true, false);
    lab.pass(70 * S);
    assert_eq!(check(&lab), Some((100, "running")));
    assert_eq!(lab.count("start squid"), 1, "systemd does that");
}

#[test]
fn a_daemon_that_runs_now_and_then_does_not_run() {
    let mut lab = Lab::new(ONE).rested();
    lab.active();
    lab.pass(10 * S);
    let fall = |lab: &mut Lab| {
        lab.sim("squid").restarted = true;
        lab.pass(6 * S);
        lab.sim("squid").restarted = false;
        lab.pass(6 * S);
    };
    fall(&mut lab);
    fall(&mut lab);
    assert_eq!(check(&lab), Some((100, "running")));
    fall(&mut lab);
    let why = "keeps ending within 1m, and its manager starts it again; runs again, and \
               counts as running after 1m without another end, or after `sparectl service retry`";
    assert_eq!(check(&lab), Some((0, why)));
    lab.pass(50 * S);
    assert_eq!(check(&lab), Some((0, why)), "it may end again");
    lab.pass(20 * S);
    assert_eq!(check(&lab), Some((100, "running")));
    assert_eq!(lab.count("start squid"), 1, "systemd does that");
}

#[test]
fn what_is_yet_to_be_stopped_is_known_in_its_order() {
    let mut lab = Lab::new(THREE).rested();
    assert!(lab.engine.unstopped().is_empty());
    lab.active();
    lab.pass(2 * S);
    assert!(lab.engine.unstopped().is_empty());
    lab.sim("postfix").stop = Course::Hangs;
    lab.backup();
    lab.pass(S);
    let names: Vec<String> = lab.engine.unstopped().iter().map(machine::name).collect();
    assert_eq!(names, ["postfix", "squid", "kea"]);
}

#[test]
fn the_late_end_of_a_start_that_was_given_up_is_no_death() {
    let mut lab = Lab::new(ONE).rested();
    lab.sim("squid").start = Course::Hangs;
    lab.active();
    lab.pass(100 * S);
    assert_eq!(lab.count("start squid"), 2, "systemd gave up after 90 s");
    let died = |it: &String| it.contains("ended");
    assert!(!lab.events.iter().any(died), "{:?}", lab.events);
    assert_eq!(check(&lab).map(|it| it.0), Some(0));
}

#[test]
fn a_manager_that_does_not_answer_is_not_waited_for_forever() {
    let mut lab = Lab::new(ONE);
    while lab.engine.poll_action(lab.now_ns).is_some() {}
    lab.machine = Machine::default();
    let ticket = lab.active();
    lab.pass(25 * S);
    assert_eq!(lab.count("start squid"), 1);
    assert!(lab.is_done(ticket));
}

#[test]
fn a_look_that_began_before_a_job_ended_is_not_believed() {
    let mut lab = Lab::new("[[service]]\nunits = [\"squid\"]\n").rested();
    lab.sim("squid").start = Course::Takes(MS);
    lab.sim("squid").stop = Course::Takes(MS);
    for _ in 0..50 {
        lab.active();
        lab.pass(7 * MS);
        lab.backup();
        lab.pass(7 * MS);
    }
    lab.pass(10 * S);
    assert_eq!(lab.row("squid.started_by_others"), Some(Value::Counter(0)));
    assert!(
        !lab.events.iter().any(|it| it.contains("ended")),
        "{:?}",
        lab.events
    );
}

#[test]
fn what_failed_while_active_counts_no_longer_when_somebody_says_that_it_is_repaired() {
    let mut lab = Lab::new(ONE).rested();
    lab.sim("squid").start = Course::Fails(100 * MS);
    lab.active();
    lab.pass(10 * S);
    lab.backup();
    lab.pass(10 * S);
    assert_eq!(check(&lab).map(|it| it.0), Some(0));
    assert_eq!(lab.engine.retry(lab.now_ns, None), Ok(1));
    lab.act();
    assert_eq!(check(&lab), Some((100, "stopped")));
}

#[test]
fn a_service_of_which_nobody_could_tell_how_it_is_has_not_failed_while_active() {
    let mut lab = Lab::new(ONE).rested();
    lab.active();
    lab.pass(10 * S);
    lab.sim("squid").is_unanswered = true;
    lab.pass(30 * S);
    assert_eq!(check(&lab).map(|it| it.0), Some(0));
    lab.backup();
    lab.sim("squid").is_unanswered = false;
    lab.pass(10 * S);
    assert_eq!(check(&lab), Some((100, "stopped")));
}

#[test]
fn a_unit_that_is_missing_while_active_counts_as_failed_after_it() {
    let mut lab = Lab::new(ONE).rested();
    lab.active();
    lab.pass(10 * S);
    lab.sim("squid").missing = true;
    lab.pass(10 * S);
    lab.backup();
    lab.sim("squid").missing = false;
    lab.pass(10 * S);
    let why = "failed here while active: unit is not there; counts as failed for 5m after it was active, or until `sparectl service retry`";
    assert_eq!(check(&lab), Some((0, why)));
}

#[test]
fn a_service_of_which_nobody_could_tell_how_it_is_is_looked_at_soon_again() {
    let mut lab = Lab::new(&format!("poll_interval = \"1m\"\n{ONE}")).rested();
    lab.sim("squid").is_unanswered = true;
    lab.pass(65 * S);
    assert_eq!(check(&lab).map(|it| it.0), Some(0));
    lab.sim("squid").is_unanswered = false;
    lab.pass(3 * S);
    assert_eq!(check(&lab), Some((100, "stopped")));
}
