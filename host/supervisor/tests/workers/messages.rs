//! Feeds any message that a worker can send to the supervisor and the parts behind it: nothing panics, and no invalid
//! status reaches the groups.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use spared_contract::FromPlugin;

use crate::choices::{Choices, STATUSES};
use crate::test_worker::{TestWorker, descriptor, returned};

#[test]
fn every_invalid_status_of_every_callback_is_a_failure_that_names_it() {
    let mut worker = TestWorker::new("statuses");
    for status in STATUSES {
        for what in 0..7 {
            worker.run();
            worker.ask(what);
            let token = worker.token;
            worker.send(&returned(token, status));
        }
    }
    for kind in ["drained", "settled", "role", "answered", "reconfigured"] {
        assert!(worker.reported.contains(&kind), "{kind}");
    }
}

#[test]
fn a_start_or_configure_that_returns_no_status_is_refused_and_says_which() {
    for (callback, returns) in [("configure", 1), ("start", 2)] {
        for status in [i32::MIN, -5000, 1] {
            let mut worker = TestWorker::new(&format!("{callback}{status}"));
            worker.begin_again(returns, status);
            let expected = format!("{callback} returned {status}, not a valid status");
            let why = worker.why();
            assert!(why.contains(&expected), "{why}");
        }
    }
}

/// Simulates a machine without free time, on which this host is late with its answers.
#[test]
fn a_start_or_configure_that_times_out_is_repeated_for_ten_seconds_before_it_is_given_up() {
    const STEP: Duration = Duration::from_millis(500);
    for returns in [1, 2] {
        let mut worker = TestWorker::new(&format!("late{returns}"));
        worker.begin_again(returns, -libc::ETIMEDOUT);
        let mut fail_for = |time: Duration| {
            for _ in 0..time.div_duration_f64(STEP).round() as u32 {
                // the killed process needs a moment to end
                std::thread::sleep(Duration::from_millis(20));
                worker.pass(STEP);
                worker.answer_start(returns, -libc::ETIMEDOUT);
            }
            worker.why()
        };
        let early = fail_for(Duration::from_secs(9));
        assert!(early.contains("does not start: "), "{early}");
        assert!(!early.contains("given up"), "{early}");
        let late = fail_for(Duration::from_secs(5));
        assert!(late.contains("given up, retrying every 2 s"), "{late}");
        worker.reported.clear();
        for _ in 0..5 {
            worker.pass(STEP);
            worker.answer_start(3, 0);
        }
        assert!(worker.reported.contains(&"up"), "{}", worker.why());
    }
}

/// Simulates a file that is being written, or a machine without free memory, while a plugin that ran is started again.
#[test]
fn a_plugin_that_ran_and_cannot_be_loaded_again_is_tried_until_it_can() {
    let mut worker = TestWorker::new("reloaded");
    let unloadable = FromPlugin::Loaded(Err("rogue.so cannot be loaded".to_owned()));
    worker.send_bytes(b"no message");
    let wait = |worker: &mut TestWorker| {
        // the killed process needs a moment to end
        std::thread::sleep(Duration::from_millis(20));
        worker.pass(Duration::from_millis(500));
    };
    let mut states = BTreeSet::new();
    for _ in 0..3 {
        wait(&mut worker);
        worker.send(&unloadable);
        states.insert(worker.state());
    }
    assert!(states.contains("restarting"), "{states:?}");
    assert!(!states.contains("refused"), "{states:?}");
    let why = worker.why();
    assert!(
        why.contains("rogue does not start: rogue.so cannot be loaded"),
        "{why}"
    );
    let runs = |_| {
        wait(&mut worker);
        worker.answer_start(3, 0);
        worker.state() == "running"
    };
    assert!((0..10).any(runs), "{}", worker.why());
}

#[test]
fn a_plugin_that_is_removed_while_it_runs_is_down_first() {
    let mut worker = TestWorker::new("removed");
    worker.reported.clear();
    worker.remove();
    assert_eq!(worker.reported, ["down", "removed"]);
}

#[test]
fn a_plugin_that_dies_while_it_takes_a_new_file_has_not_refused_it() {
    let mut worker = TestWorker::new("refile");
    worker.reported.clear();
    worker.ask(3);
    worker.send_bytes(b"no message");
    let reported = &worker.reported;
    assert!(reported.contains(&"not reconfigured"), "{reported:?}");
    assert!(!reported.contains(&"reconfigured"), "{reported:?}");
}

#[test]
fn a_plugin_that_is_refused_while_it_is_to_stop_has_stopped() {
    let mut worker = TestWorker::new("refused");
    worker.begin_with(&FromPlugin::Loaded(Ok(descriptor())));
    let configure = worker.token;
    worker.ask(6);
    worker.send(&returned(configure, -libc::EINVAL));
    assert_eq!(worker.state(), "refused");
    let is_stopped = |kind: &&&str| **kind == "stopped";
    let count = worker.reported.iter().filter(is_stopped).count();
    assert_eq!(count, 1, "{:?}", worker.reported);
}

#[test]
fn thousands_of_random_messages_end_nothing_but_their_worker() {
    let config = Config {
        cases: 48,
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(config.clone(), deterministic(&config));
    let bytes = prop::collection::vec(any::<u8>(), 1..1_000);
    let sent = std::cell::Cell::new(0_u32);
    let worker = std::cell::RefCell::new(TestWorker::new("random"));
    let outcome = runner.run(&bytes, |bytes| {
        let mut worker = worker.borrow_mut();
        let mut choices = Choices(&bytes);
        while !choices.is_over() {
            worker.step(&mut choices);
            sent.set(sent.get() + 1);
        }
        Ok::<(), TestCaseError>(())
    });
    outcome.unwrap();
    assert!(sent.get() > 3_000, "{}", sent.get());
    let reported = &worker.borrow().reported;
    for kind in ["call", "role", "check", "scopes", "drained", "answered"] {
        assert!(reported.contains(&kind), "no {kind}");
    }
}

#[test]
fn records_that_are_no_message_end_the_worker_alone() {
    let mut worker = TestWorker::new("records");
    for length in 0..200_u8 {
        worker.run();
        let record: Vec<u8> = (0..length).map(|byte| byte.wrapping_mul(length)).collect();
        worker.send_bytes(&record);
    }
    worker.pass(Duration::from_secs(61));
}

fn deterministic(config: &Config) -> proptest::test_runner::TestRng {
    proptest::test_runner::TestRng::deterministic_rng(config.rng_algorithm)
}

/// The others start when all plugins are configured; the elector is one of them.
#[test]
fn who_does_not_get_through_its_start_and_answers_every_ping_is_taken_for_one_that_hangs() {
    let pong = |number| FromPlugin::Pong {
        number,
        slow_calls: 0,
    };
    let loaded = FromPlugin::Loaded(Ok(descriptor()));
    for (name, said, returns) in [
        ("loading", &pong(0), false),
        ("configuring", &loaded, false),
        ("starting", &loaded, true),
    ] {
        let mut worker = TestWorker::new(name);
        worker.begin_with(said);
        if returns {
            worker.send(&returned(worker.token, 0));
        }
        worker.reported.clear();
        let is_down = |_: &usize| {
            (1..20).for_each(|number| worker.send(&pong(number)));
            worker.pass(Duration::from_secs(1));
            worker.reported.contains(&"down")
        };
        assert_eq!((1..10).find(is_down), Some(4), "{name}");
        assert_eq!(worker.why(), "rogue did not answer for 3 s", "{name}");
    }
}
