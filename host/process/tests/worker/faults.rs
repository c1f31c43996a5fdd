//! Plugins that misbehave: the worker reports what happened, or ends, and never hangs itself.

use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use spared_contract::{FromPlugin, ToPlugin};

use crate::lab::{Host, Lab, PATIENCE, eventually, executable, load};

const SIGSEGV: i32 = 11;
const SIGXCPU: i32 = 24;
const BROKEN: i32 = 70;

fn faulty(fault: &str) -> (Lab, Host) {
    let lab = Lab::new();
    let toml = format!("fault = \"{fault}\"");
    let host = Host::started(&lab.example("faulty"), &load("faulty"), &toml);
    (lab, host)
}

#[test]
fn a_panic_is_caught_logged_and_ends_the_worker() {
    let (_lab, mut host) = faulty("panic");
    assert_eq!(host.ended(), BROKEN);
    let line = host.log("panicked at");
    assert!(
        line.contains("faulty/src/lib.rs") && line.contains("as configured"),
        "{line}"
    );
}

#[test]
fn a_crash_ends_the_worker_by_its_signal() {
    let (_lab, mut host) = faulty("segfault");
    assert_eq!(host.ended(), -SIGSEGV);
}

#[test]
fn an_exit_ends_the_worker_by_its_code() {
    let (_lab, mut host) = faulty("exit");
    assert_eq!(host.ended(), 3);
}

#[test]
fn a_broken_instance_in_c_is_never_called_again() {
    let lab = Lab::new();
    let mut host = Host::started(&lab.probe(), &load("probe"), "");
    host.query("timer 999 0");
    assert_eq!(host.ended(), BROKEN);
}

#[test]
fn a_real_time_plugin_that_computes_for_ever_is_killed() {
    let lab = Lab::new();
    let mut load = load("probe");
    load.realtime = true;
    let mut host = Host::started(&lab.probe(), &load, "");
    host.query("timer 666 0");
    if host.received.iter().any(|message| {
        matches!(message, FromPlugin::Log { text, .. } if text.contains("real-time priority"))
    }) {
        eprintln!("skipped: no real-time priority here");
        return;
    }
    assert_eq!(host.ended(), -SIGXCPU);
}

/// As a slow plugin on a slow machine.
#[test]
fn a_real_time_plugin_that_computes_for_half_a_second_goes_on() {
    let lab = Lab::new();
    let mut load = load("probe");
    load.realtime = true;
    let mut host = Host::started(&lab.probe(), &load, "");
    host.query("timer 667 0");
    while host.query("state").number("timers") != 1 {}
}

#[test]
fn a_hanging_plugin_answers_no_ping_and_can_be_killed() {
    let lab = Lab::new();
    let mut host = Host::started(&lab.probe(), &load("probe"), "");
    host.query("timer 777 0");
    // The first pings may still be answered before the timer expires.
    let silent = (0..PATIENCE.as_millis() / 100).any(|number| {
        let number = number as u64;
        host.send(&ToPlugin::Ping { number }, &[]);
        host.receive().unwrap();
        !host
            .received
            .iter()
            .any(|it| matches!(it, FromPlugin::Pong { number: of, .. } if *of == number))
    });
    assert!(silent);
    host.worker.kill();
    assert_eq!(host.ended(), -9);
}

#[test]
fn a_flood_of_log_is_cut_and_delays_nothing_else() {
    let lab = Lab::new();
    let mut host = Host::started(&lab.probe(), &load("probe"), "");
    assert_eq!(host.query("flood").status, 0);
    let lines = host
        .received
        .iter()
        .filter(|message| matches!(message, FromPlugin::Log { .. }));
    let lines = lines.count();
    assert!((100..5000).contains(&lines), "{lines}");
    assert_eq!(host.query("timer 5 0").status, 0);
    while host.query("state").number("timers") != 1 {}
}

#[test]
fn a_plugin_that_leaks_all_descriptors_ends_with_a_sentence() {
    let lab = Lab::new();
    let mut host = Host::started(&lab.probe(), &load("probe"), "");
    assert_eq!(host.query("leak").status, 0);
    host.send(&ToPlugin::Ping { number: 1 }, &[]);
    assert_eq!(host.ended(), BROKEN);
    host.log("has used up all its file descriptors");
}

#[test]
fn a_plugin_that_closes_what_is_not_its_own_ends() {
    let lab = Lab::new();
    let mut host = Host::started(&lab.probe(), &load("probe"), "");
    let argv = vec!["close".to_owned()];
    host.tell(|token| ToPlugin::Query { token, argv });
    assert_eq!(host.ended(), BROKEN);
}

#[test]
fn a_host_that_reads_nothing_does_not_stop_the_plugin() {
    let lab = Lab::new();
    let mut host = Host::started(&lab.probe(), &load("probe"), "");
    let pid = Pid::from_raw(i32::try_from(host.worker.pid()).unwrap()).unwrap();
    let query = |words: &str| ToPlugin::Query {
        token: 1,
        argv: words.split(' ').map(str::to_owned).collect(),
    };
    // Unread answers of 64 KiB each fill the socket, then the queue.
    for _ in 0..60 {
        host.send(&query("fill"), &[]);
    }
    host.send(&query("timer 5 0"), &[]);
    // The worker is at rest again once it has handled all messages.
    eventually("the worker being at rest", || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap();
        let waiting = stat.rsplit(") ").next().unwrap().starts_with('S');
        std::thread::sleep(std::time::Duration::from_millis(20));
        waiting
    });
    let state = host.query("state");
    assert_eq!(state.number("timers"), 1);
}

/// Starts a host process with one worker. Returns the process and the worker's pid.
fn host_process(lab: &Lab, toml: &str) -> (std::process::Child, u32) {
    let mut host = Command::new(executable("host"))
        .arg(executable("worker"))
        .arg(lab.probe())
        .arg(lab.state())
        .arg(format!("state_dir = \"{}\"\n{toml}", lab.state().display()))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let stdout = host.stdout.take().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).unwrap();
    let (pid, status) = line.trim().split_once(' ').unwrap();
    assert_eq!(status, "0", "start");
    (host, pid.parse().unwrap())
}

fn is_alive(pid: u32) -> bool {
    // A zombie is not alive; in a container without init nobody reaps it.
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(") ").next().unwrap_or("").starts_with('Z'))
}

#[test]
fn a_worker_whose_host_is_killed_resigns_and_ends() {
    let lab = Lab::new();
    let (mut host, worker) = host_process(&lab, "");
    host.kill().unwrap();
    host.wait().unwrap();
    eventually("stop", || lab.state().join("stopped").exists());
    eventually("destroy", || lab.state().join("destroyed").exists());
    eventually("the worker's end", || !is_alive(worker));
}

#[test]
fn a_worker_that_hangs_when_its_host_is_killed_ends_all_the_same() {
    let lab = Lab::new();
    let (mut host, worker) = host_process(&lab, "hang_in_stop = true");
    host.kill().unwrap();
    host.wait().unwrap();
    eventually("stop", || lab.state().join("stopped").exists());
    eventually("the worker's end", || !is_alive(worker));
    assert!(!lab.state().join("destroyed").exists());
}

#[test]
fn sigterm_alone_gives_a_plugin_time_and_no_more() {
    let lab = Lab::new();
    let mut host = Host::started(&lab.probe(), &load("probe"), "");
    let pid = Pid::from_raw(i32::try_from(host.worker.pid()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(host.query("state").status, 0, "it goes on");
    assert_eq!(host.ended(), -14, "SIGALRM");
}

/// A started plugin whose `callback` returns `status`.
fn invalid(callback: &str, status: i32) -> (Lab, Host) {
    let lab = Lab::new();
    let name = "-DTEST_NAME=\"invalid\"";
    let path = lab.compile(
        "invalid",
        "host/tests/run/lab/invalid_status.c",
        &["-D_GNU_SOURCE", name],
    );
    let toml = format!("callback = \"{callback}\"\nstatus = \"{status}\"\n");
    let host = Host::started(&path, &load("invalid"), &toml);
    (lab, host)
}

#[test]
fn a_number_that_is_no_status_is_eproto_to_whoever_waits() {
    const EPROTO: i32 = -71;
    for status in [i32::MIN, -5000, -4096, 4, i32::MAX] {
        let (_lab, mut host) = invalid("drain", status);
        let deadline_ns = u64::MAX;
        let returned = host.ask(|token| ToPlugin::Drain { token, deadline_ns });
        let line = format!("drain returned {status}, not a valid status");
        assert_eq!(returned.status, EPROTO);
        assert!(returned.failures[0].why.starts_with(&line));
        host.log(&line);
    }
}

#[test]
fn a_number_that_is_no_status_is_logged_where_nobody_waits() {
    for status in [i32::MIN, -5000, 1] {
        let (_lab, mut host) = invalid("timer", status);
        host.log(&format!(
            "timer returned {status}, not a valid status: treated as -EPROTO"
        ));
    }
}
