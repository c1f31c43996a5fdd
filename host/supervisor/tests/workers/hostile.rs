//! Workers that send nonsense: shell scripts in place of the program that workers run.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use spared_config::Setup;
use spared_contract::{FromPlugin, ToPlugin};
use spared_process::poller::{Key, Poller};
use spared_supervisor::{PluginReport, Report, Supervisor};

use super::test_worker::{prepared, returned};

/// Longer than a worker may be silent that gets no processor, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// Supervisor whose workers are a script.
struct Fixture {
    supervisor: Supervisor,
    poller: Poller,
    folder: PathBuf,
    reports: Vec<Report>,
}

impl Fixture {
    fn new(name: &str, script: &str) -> Self {
        let (mut fixture, setup) = Self::without_workers(name, script);
        for plugin in setup.plugins {
            let poller = &fixture.poller;
            fixture.supervisor.add(poller, Instant::now(), plugin);
        }
        fixture
    }

    fn without_workers(name: &str, script: &str) -> (Self, Setup) {
        let (folder, setup, worker_settings, starter) = prepared(name, script, "");
        let fixture = Self {
            supervisor: Supervisor::new(worker_settings, starter, Instant::now()),
            poller: Poller::new().unwrap(),
            folder,
            reports: Vec::new(),
        };
        (fixture, setup)
    }

    /// Turns the loop until `what` returns the text of a report.
    fn wait(&mut self, what: impl Fn(&Report) -> Option<String>) -> String {
        let since = Instant::now();
        loop {
            for key in self.poller.wait(Some(Duration::from_millis(50))).unwrap() {
                let now = Instant::now();
                match key {
                    Key::Worker(serial) => {
                        self.supervisor.handle_readable(&self.poller, now, serial)
                    }
                    Key::Errors(serial) => self.supervisor.handle_errors(now, serial),
                    Key::Exit(serial) => self.supervisor.handle_exit(&self.poller, now, serial),
                    _ => {}
                }
            }
            self.supervisor.handle_timeout(&self.poller, Instant::now());
            while let Some(report) = self.supervisor.poll_report() {
                if let Some(found) = what(&report) {
                    return found;
                }
                self.reports.push(report);
            }
            assert!(since.elapsed() < PATIENCE, "{:#?}", self.reports);
        }
    }

    fn death(&mut self) -> String {
        self.wait(|report| match report {
            Report::Plugin(_, PluginReport::Down(why)) => Some(why.clone()),
            _ => None,
        })
    }

    fn giving_up(&mut self) -> String {
        self.wait(|report| match report {
            Report::Plugin(_, PluginReport::GivenUp(why)) => Some(why.clone()),
            _ => None,
        })
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Shell command that writes a message, for a script that acts as a worker.
fn written(message: &FromPlugin) -> String {
    let record = spared_records::encode(message).unwrap();
    let record: String = record.iter().map(|byte| format!("\\{byte:03o}")).collect();
    format!("printf '{record}' >&3")
}

#[test]
fn a_worker_that_sends_garbage_is_killed_restarted_and_given_up() {
    let mut fixture = Fixture::new("garbage", "printf garbage >&3; exec sleep 100");
    assert!(
        fixture
            .death()
            .starts_with("rogue sent an invalid message: a record is malformed")
    );
    fixture.giving_up();
    assert_eq!(fixture.supervisor.status()[0].state, "failed");
    assert_eq!(fixture.supervisor.status()[0].restarts, 4);
}

#[test]
fn a_worker_that_ends_at_once_is_given_up_after_five_times() {
    let mut fixture = Fixture::new("exit", "exit 3");
    // Sometimes the worker is gone before it was told what to load, or is found silent before it is found dead.
    let known = [
        "rogue exited with status 3",
        "rogue: cannot start a worker: the other end is gone",
        "rogue closed its connection",
    ];
    let why = fixture.giving_up();
    assert!(known.contains(&&*why), "{why}");
    assert!(fixture.supervisor.is_settled());
}

#[test]
fn a_worker_whose_end_is_noticed_by_a_message_is_told_of_with_its_signal() {
    let mut fixture = Fixture::new("gone", "exec sleep 100");
    let pid = fixture.supervisor.status()[0].pid.expect("it runs");
    let pid = Pid::from_raw(pid as i32).expect("a process");
    kill_process(pid, Signal::KILL).unwrap();
    let ping = ToPlugin::Ping { number: 1 };
    let mut reaches = || {
        let now = Instant::now();
        fixture.supervisor.send(now, "rogue", &ping, &[])
    };
    let since = Instant::now();
    while reaches() {
        assert!(since.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(fixture.death(), "rogue was killed by SIGKILL");
}

#[test]
fn a_worker_that_says_nothing_is_killed_after_three_pings() {
    let mut fixture = Fixture::new("silent", "exec sleep 100");
    assert_eq!(fixture.death(), "rogue did not answer for 3 s");
}

#[test]
fn a_worker_that_floods_is_killed() {
    // The script repeats a well-formed message.
    let pong = written(&FromPlugin::Pong {
        number: 0,
        slow_calls: u64::MAX,
    });
    // A full socket does not end the script; only the end of the test does.
    let script = format!("while kill -0 $PPID; do {pong}; done 2>/dev/null");
    let mut fixture = Fixture::new("flood", &script);
    let why = fixture.death();
    // pauses do not count against the worker, so its end may take some seconds longer
    assert!(
        why == "rogue flooded the daemon with messages"
            || why.starts_with("rogue did not answer for "),
        "{why}"
    );
}

#[test]
fn answers_that_nobody_asked_for_are_without_effect() {
    let answer = written(&returned(77, 0));
    let mut fixture = Fixture::new("unasked", &format!("{answer}; exec sleep 100"));
    assert_eq!(fixture.death(), "rogue did not answer for 3 s");
}

#[test]
fn a_question_to_a_dead_worker_is_answered() {
    let mut fixture = Fixture::new("question", "exec sleep 100");
    let now = Instant::now();
    fixture.supervisor.query(
        now,
        now + Duration::from_secs(1),
        "rogue",
        vec!["status".to_owned()],
        7,
    );
    fixture.supervisor.query(now, now, "nobody", Vec::new(), 8);
    let nobody = fixture.wait(|report| match report {
        Report::Answered { id: 8, result } => result.as_ref().err().map(|error| error.why.clone()),
        _ => None,
    });
    assert_eq!(nobody, "nobody is not running");
    let rogue = fixture.wait(|report| match report {
        Report::Answered { id: 7, result } => result.as_ref().err().map(|error| error.why.clone()),
        _ => None,
    });
    assert_eq!(rogue, "rogue does not answer");
}

/// Starts a check of a configuration. The script alone decides its result.
fn checked(name: &str, script: &str) -> Fixture {
    let (mut fixture, setup) = Fixture::without_workers(name, script);
    let (supervisor, poller) = (&mut fixture.supervisor, &fixture.poller);
    let plugin = setup.plugins[0].clone();
    supervisor.validate(poller, Instant::now(), plugin, &setup.host);
    fixture
}

fn faults(report: &Report) -> Option<String> {
    match report {
        Report::Plugin(_, PluginReport::Validated(faults)) => Some(
            faults
                .iter()
                .map(|it| it.to_string())
                .collect::<Vec<_>>()
                .join(" "),
        ),
        _ => None,
    }
}

/// Waits until a worker has sent something, and returns its serial number.
fn readable(fixture: &Fixture) -> u64 {
    let since = Instant::now();
    loop {
        let ready = fixture.poller.wait(Some(Duration::ZERO)).unwrap();
        let serial = ready.iter().find_map(|key| match key {
            Key::Worker(serial) => Some(*serial),
            _ => None,
        });
        if let Some(serial) = serial {
            return serial;
        }
        assert!(since.elapsed() < Duration::from_secs(20), "{ready:?}");
    }
}

#[test]
fn a_check_is_read_as_little_at_once_as_any_worker() {
    // thirty answers to pings, then the result that the configuration is valid
    let pong = written(&FromPlugin::Pong {
        slow_calls: 0,
        number: 0,
    });
    let answer = written(&returned(1, 0));
    let script = format!(
        "for i in 1 2 3 4 5 6 7 8 9 10; do
        for j in 1 2 3; do {pong}; done
    done
    {answer}; : > $0.said; exec sleep 100"
    );
    let mut fixture = checked("checked", &script);
    let since = Instant::now();
    while !fixture.folder.join("worker.sh.said").exists() {
        assert!(since.elapsed() < Duration::from_secs(20));
    }
    let serial = readable(&fixture);
    let mut is_over = || {
        let (supervisor, poller) = (&mut fixture.supervisor, &fixture.poller);
        supervisor.handle_readable(poller, Instant::now(), serial);
        std::iter::from_fn(|| supervisor.poll_report()).find_map(|report| faults(&report))
    };
    assert_eq!(is_over(), None);
    assert_eq!(is_over().as_deref(), Some(""));
}

#[test]
fn a_check_that_hangs_is_ended() {
    let why = checked("hangs", "exec sleep 100").wait(faults);
    assert_eq!(why, "rogue.toml: its check took longer than 3 s");
}

/// The host was stopped, or had no processor either.
#[test]
fn a_check_that_has_answered_is_not_ended_because_nobody_read_that() {
    let answer = written(&returned(1, 0));
    let mut fixture = checked("answered", &format!("{answer}; exec sleep 100"));
    readable(&fixture);
    let later = Instant::now() + Duration::from_secs(60);
    let (supervisor, poller) = (&mut fixture.supervisor, &fixture.poller);
    supervisor.handle_timeout(poller, later);
    let found = std::iter::from_fn(|| supervisor.poll_report()).find_map(|report| faults(&report));
    assert_eq!(found.as_deref(), Some(""));
}

#[test]
fn a_check_that_floods_the_host_is_ended() {
    let message = written(&FromPlugin::ForgetCheck {
        name: "x".repeat(8_000),
    });
    let script = format!("while kill -0 $PPID; do {message}; done 2>/dev/null");
    let why = checked("messages", &script).wait(faults);
    assert!(
        why.contains("flooded the daemon with messages while it was checked"),
        "{why}"
    );
}

#[test]
fn a_check_that_floods_its_error_output_is_ended() {
    let mut fixture = checked("errors", "exec yes >&2");
    let why = fixture.wait(faults);
    assert!(
        why.contains("flooded its error output while it was checked"),
        "{why}"
    );
}
