//! Workers that end while whoever starts and reaps them does not answer.

use std::cell::RefCell;
use std::fs;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use spared_message::starter::{About, NotStarted, Reaped, Start};
use spared_process::poller::{Key, Poller};
use spared_process::starter::{Started, Starter, Starts};
use spared_supervisor::Supervisor;

use super::test_worker::prepared;

/// A starter that hangs for a while.
#[derive(Debug)]
struct Hangs {
    starter: Starter,
    hangs: bool,
}

impl Starts for Hangs {
    fn configure(&mut self, digest: &str) -> Result<(), String> {
        self.starter.borrow_mut().configure(digest)
    }

    fn about(&self) -> About {
        self.starter.borrow().about()
    }

    fn start(&mut self, start: &Start) -> Result<Started, NotStarted> {
        match self.hangs {
            true => Err(NotStarted::Failed("does not answer".to_owned())),
            false => self.starter.borrow_mut().start(start),
        }
    }

    fn kill(&mut self, process: u64) {
        self.starter.borrow_mut().kill(process);
    }

    fn abandon(&mut self, process: u64) {
        self.starter.borrow_mut().abandon(process);
    }

    fn reap(&mut self, process: u64) -> Reaped {
        match self.hangs {
            true => Reaped::Running,
            false => self.starter.borrow_mut().reap(process),
        }
    }
}

/// Turns the loop for a while; how often the end of a process was reported.
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

#[test]
fn what_ends_while_the_starter_hangs_keeps_nobody_busy_and_is_reaped_afterwards() {
    let (folder, setup, terms, starter) = prepared("reaping", "exec sleep 100", "");
    let hangs = false;
    let starter = Rc::new(RefCell::new(Hangs { starter, hangs }));
    let poller = Poller::new().unwrap();
    let mut supervisor = Supervisor::new(terms, starter.clone(), Instant::now());
    for plugin in setup.plugins {
        supervisor.add(&poller, Instant::now(), plugin);
    }
    starter.borrow_mut().hangs = true;
    let pid = supervisor.status()[0].pid.unwrap();
    kill_process(Pid::from_raw(pid as i32).unwrap(), Signal::KILL).unwrap();
    let exits = turn(&mut supervisor, &poller, Duration::from_millis(500));
    assert!(exits <= 1, "{exits}");
    let later = Instant::now() + Duration::from_secs(60);
    assert!(!supervisor.is_well(later));
    starter.borrow_mut().hangs = false;
    turn(&mut supervisor, &poller, Duration::from_millis(1500));
    assert!(supervisor.is_well(later));
    assert!(!fs::exists(format!("/proc/{pid}")).unwrap());
    let _ = fs::remove_dir_all(folder);
}
