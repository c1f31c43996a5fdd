//! Workers that end while the starter, which starts and reaps them, does not answer.

use std::cell::RefCell;
use std::fs;
use std::path::PathBuf;
use std::rc::Rc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use spared_message::starter::{About, NotStarted, Reaped, Start};
use spared_process::poller::{Key, Poller};
use spared_process::starter::{ProcessStarter, Started, Starter};
use spared_supervisor::Supervisor;

use super::test_worker::prepared;

/// Starter that hangs for a while.
#[derive(Debug)]
struct Hangs {
    starter: Starter,
    hangs: bool,
    /// False as long as the kernel has not ended a killed process.
    reaps: bool,
}

impl ProcessStarter for Hangs {
    fn configure(&mut self, digest: &str) -> Result<(), String> {
        self.starter.borrow_mut().configure(digest)
    }

    fn about(&self) -> About {
        self.starter.borrow().about()
    }

    fn start(&mut self, start: &Start) -> Result<Started, NotStarted> {
        if self.hangs {
            Err(NotStarted::Failed("does not answer".to_owned()))
        } else {
            self.starter.borrow_mut().start(start)
        }
    }

    fn kill(&mut self, process: u64) {
        self.starter.borrow_mut().kill(process);
    }

    fn kill_and_reap(&mut self, process: u64) {
        self.starter.borrow_mut().kill_and_reap(process);
    }

    fn reap(&mut self, process: u64) -> Reaped {
        if self.reaps && !self.hangs {
            self.starter.borrow_mut().reap(process)
        } else {
            Reaped::Running
        }
    }
}

/// Turns the loop for a while. Returns how often the end of a process was reported.
fn turn(supervisor: &mut Supervisor, poller: &Poller, time: Duration) -> usize {
    let (until, mut exits) = (Instant::now() + time, 0);
    while Instant::now() < until {
        for key in poller.wait(Some(Duration::from_millis(10))).unwrap() {
            let now = Instant::now();
            match key {
                Key::Worker(serial) => supervisor.handle_readable(poller, now, serial),
                Key::Errors(serial) => supervisor.handle_errors(now, serial),
                Key::Exit(serial) => {
                    exits += 1;
                    supervisor.handle_exit(poller, now, serial);
                }
                _ => {}
            }
        }
        supervisor.handle_timeout(poller, Instant::now());
    }
    exits
}

/// Creates a supervisor with one worker that sends nothing, and its starter.
fn fixture(name: &str) -> (PathBuf, Poller, Supervisor, Rc<RefCell<Hangs>>) {
    let (folder, setup, worker_settings, starter) = prepared(name, "exec sleep 100", "");
    let starter = Rc::new(RefCell::new(Hangs {
        starter,
        hangs: false,
        reaps: true,
    }));
    let poller = Poller::new().unwrap();
    let mut supervisor = Supervisor::new(worker_settings, starter.clone(), Instant::now());
    for plugin in setup.plugins {
        supervisor.add(&poller, Instant::now(), plugin);
    }
    (folder, poller, supervisor, starter)
}

fn kill(supervisor: &Supervisor) -> u32 {
    let pid = supervisor.status()[0].pid.unwrap();
    kill_process(Pid::from_raw(pid as i32).unwrap(), Signal::KILL).unwrap();
    // a busy kernel needs time to close what the process had open
    let is_dead = || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(") ")
            .next()
            .is_none_or(|state| state.is_empty() || state.starts_with('Z'))
    };
    while !is_dead() {
        sleep(Duration::from_millis(1));
    }
    pid
}

#[test]
fn beside_a_worker_that_the_kernel_cannot_end_no_other_is_started() {
    let (folder, poller, mut supervisor, starter) = fixture("lingering");
    starter.borrow_mut().reaps = false;
    let first = kill(&supervisor);
    while supervisor.status()[0].pid.is_none_or(|pid| pid == first) {
        turn(&mut supervisor, &poller, Duration::from_millis(20));
    }
    kill(&supervisor);
    let mut later = |seconds| {
        turn(&mut supervisor, &poller, Duration::from_millis(20));
        supervisor.handle_timeout(&poller, Instant::now() + Duration::from_secs(seconds));
        supervisor.status().remove(0)
    };
    let status = later(3);
    assert!(
        status.why.contains("its killed worker does not end"),
        "{status:?}"
    );
    assert_eq!(later(100).pid, None);
    starter.borrow_mut().reaps = true;
    later(102);
    assert!(later(200).pid.is_some());
    let _ = fs::remove_dir_all(folder);
}

#[test]
fn a_starter_that_does_not_answer_for_some_seconds_uses_up_no_restart_of_a_plugin() {
    let (folder, poller, mut supervisor, starter) = fixture("late");
    starter.borrow_mut().hangs = true;
    kill(&supervisor);
    turn(&mut supervisor, &poller, Duration::from_millis(200));
    let begun = Instant::now();
    let mut state_after = |ms| {
        supervisor.handle_timeout(&poller, begun + Duration::from_millis(ms));
        supervisor.status().remove(0)
    };
    for ms in (0..9000).step_by(100) {
        let status = state_after(ms);
        assert_ne!(status.state, "failed", "after {ms} ms: {status:?}");
    }
    let status = state_after(9000);
    assert_eq!(status.pid, None, "{status:?}");
    for ms in (9000..15_000).step_by(100) {
        state_after(ms);
    }
    assert_eq!(state_after(15_000).state, "failed");
    starter.borrow_mut().hangs = false;
    assert!(state_after(17_000).pid.is_some());
    let _ = fs::remove_dir_all(folder);
}

#[test]
fn what_ends_while_the_starter_hangs_keeps_nobody_busy_and_is_reaped_afterwards() {
    let (folder, poller, mut supervisor, starter) = fixture("reaping");
    starter.borrow_mut().hangs = true;
    let pid = kill(&supervisor);
    let exits = turn(&mut supervisor, &poller, Duration::from_millis(500));
    assert!(exits <= 1, "{exits}");
    starter.borrow_mut().hangs = false;
    turn(&mut supervisor, &poller, Duration::from_millis(1500));
    assert!(!fs::exists(format!("/proc/{pid}")).unwrap());
    let _ = fs::remove_dir_all(folder);
}
