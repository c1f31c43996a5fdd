//! The process that starts the others: it is gone, hangs, or serves a host that is not root.

use std::fs;
use std::os::unix::fs::chown;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use spared_message::control::{Answer, Request};
use spared_process::account::Accounts;
use spared_process::proc::account;
use spared_tests::lab::{Daemon, is_alive, signal_to};
use spared_verdict::Id;

use crate::lab::{Alone, Node, VRRP};

/// User id that is neither an account nor a worker's.
const HOST: u32 = 60601;

fn starter(node: &Node) -> u32 {
    node.pid_of("starter").expect("a starter runs")
}

#[test]
fn when_the_starter_is_killed_the_host_goes_on_with_another_and_all_workers_come_back() {
    let Some(mut lab) = Alone::new() else { return };
    lab.enable("vrrp", VRRP);
    lab.start();
    for _ in 0..2 {
        lab.wait_until_active();
        let (old, worker) = (starter(&lab), lab.plugin("vrrp").pid.unwrap());
        signal_to(old, Signal::KILL).unwrap();
        lab.wait("the worker's end", || !is_alive(worker));
        lab.wait("another starter", || {
            lab.pid_of("starter").is_some_and(|new| new != old)
        });
        lab.wait_for_plugin("vrrp", "running");
    }
    lab.wait_until_active();
    lab.wait_for_log("and all workers end with it");
    assert!(lab.stop().success());
    assert_eq!(lab.traces(), "", "{}", lab.log());
}

/// The host continues with what it has loaded, and so do the processes that it starts.
#[test]
fn when_the_starter_is_killed_all_workers_come_back_although_a_file_is_broken() {
    let Some(mut lab) = Alone::new() else { return };
    let state = lab.path("state");
    fs::create_dir(&state).unwrap();
    lab.set("STATE_DIRECTORY", state.to_str().unwrap());
    lab.enable("vrrp", VRRP);
    lab.start();
    for (file, text) in [
        ("plugins/vrrp.toml", "allow = 7"),
        ("spared.toml", "node.name = "),
    ] {
        lab.wait_until_active();
        lab.write(file, text);
        let answer = lab.ask(&Request::Reload { anyway: false });
        assert!(matches!(answer, Answer::Error { .. }), "{answer:?}");
        let (old, worker) = (starter(&lab), lab.plugin("vrrp").pid.unwrap());
        signal_to(old, Signal::KILL).unwrap();
        lab.wait("the worker's end", || !is_alive(worker));
        lab.wait_for_plugin("vrrp", "running");
    }
    lab.wait_until_active();
    assert!(!lab.log().contains("does not enable it"), "{}", lab.log());
    assert!(lab.stop().success());
}

fn is_told_silent(lab: &Alone) -> bool {
    let findings = lab.status().verdict.findings;
    findings.iter().any(|it| it.id == Id::StarterSilent.code())
}

#[test]
fn a_starter_that_hangs_holds_the_host_up_for_a_bounded_time_and_the_group_stays_active() {
    let Some(mut lab) = Alone::new() else { return };
    lab.enable("vrrp", VRRP);
    lab.enable("counter", "");
    lab.start();
    lab.wait_until_active();
    lab.wait_for_plugin("counter", "running");
    signal_to(starter(&lab), Signal::STOP).unwrap();
    lab.wait("the finding", || is_told_silent(&lab));
    signal_to(lab.plugin("counter").pid.unwrap(), Signal::KILL).unwrap();
    lab.wait_for_log("spared starter does not answer");
    for _ in 0..10 {
        let since = Instant::now();
        assert_eq!(lab.role(), "active", "{}", lab.log());
        assert!(since.elapsed() < Duration::from_secs(3), "{}", lab.log());
    }
    signal_to(starter(&lab), Signal::CONT).unwrap();
    lab.wait_for_plugin("counter", "running");
    lab.wait("its end", || !is_told_silent(&lab));
    assert!(lab.stop().success());
}

#[test]
fn a_starter_that_hangs_for_good_is_killed_and_all_workers_come_back() {
    let Some(mut lab) = Alone::new() else { return };
    lab.enable("vrrp", VRRP);
    lab.start();
    lab.wait_until_active();
    let old = starter(&lab);
    signal_to(old, Signal::STOP).unwrap();
    lab.wait("the finding", || is_told_silent(&lab));
    lab.wait("another starter", || {
        lab.pid_of("starter").is_some_and(|new| new != old)
    });
    lab.wait_for_log("spared starter has not answered for 10 s and is killed");
    lab.wait_until_active();
    lab.wait("its end", || !is_told_silent(&lab));
    assert!(lab.stop().success());
    assert_eq!(lab.traces(), "", "{}", lab.log());
}

#[test]
fn when_the_host_is_killed_neither_its_starter_nor_what_that_started_is_left() {
    let Some(mut lab) = Alone::new() else { return };
    lab.enable("vrrp", VRRP);
    lab.start();
    lab.wait_until_active();
    let (starter, worker) = (starter(&lab), lab.plugin("vrrp").pid.unwrap());
    // The worker neither resigns nor ends by itself.
    signal_to(worker, Signal::STOP).unwrap();
    signal_to(lab.host_pid(), Signal::KILL).unwrap();
    lab.wait_for_end();
    // the kernel kills each process when the one before it ends
    lab.wait("the starter's end", || !is_alive(starter));
    lab.wait("the worker's end", || !is_alive(worker));
}

/// As under systemd: a socket, and a host with a user of its own and four capabilities.
#[test]
fn a_host_that_is_not_root_has_workers_addresses_and_the_fence() {
    let Some(mut lab) = Alone::new() else { return };
    if Accounts::new().is_none() {
        eprintln!("skipped: this process may not change its account (not root?)");
        return;
    }
    lab.enable("vrrp", VRRP);
    let [socket, state, run] = ["starter.sock", "state", "run"].map(|it| lab.path(it));
    for folder in [&state, &run] {
        fs::create_dir_all(folder).unwrap();
        chown(folder, Some(HOST), Some(HOST)).unwrap();
    }
    let mut listens = lab.namespace.command("systemd-socket-activate");
    listens.args(["--seqpacket", "--listen"]).arg(&socket);
    listens.arg(env!("CARGO_BIN_EXE_spared")).arg("starter");
    listens.arg("--config").arg(lab.path("spared.toml"));
    listens.arg("--plugin-dir").arg(lab.path("lib"));
    listens.arg("--state-dir").arg(&state);
    listens.stdin(Stdio::null());
    let mut listens = Daemon::start("starter", listens, &lab.path("starter.log")).unwrap();
    lab.wait("the socket", || socket.exists());
    chown(&socket, Some(HOST), Some(HOST)).unwrap();
    let user = HOST.to_string();
    let capabilities = "-all,+net_admin,+net_raw,+net_bind_service,+dac_read_search";
    lab.start_by(
        &[
            "setpriv",
            "--reuid",
            &user,
            "--regid",
            &user,
            "--clear-groups",
            "--inh-caps",
            capabilities,
            "--ambient-caps",
            capabilities,
            "--bounding-set",
            capabilities,
            "--no-new-privs",
        ],
        &["--starter", socket.to_str().unwrap()],
    );
    lab.set("STATE_DIRECTORY", state.to_str().unwrap());
    lab.start();
    lab.wait_until_active();
    assert!(lab.pings(), "{}", lab.log());
    let worker = lab.plugin("vrrp").pid.unwrap();
    let [host, starter] = [lab.host_pid(), starter(&lab)].map(|pid| account(pid).unwrap());
    assert_eq!([host, starter], [HOST, 0]);
    assert!(![0, HOST].contains(&account(worker).unwrap()));
    lab.done(&Request::Reload { anyway: false });
    signal_to(worker, Signal::STOP).unwrap();
    lab.wait("the end of what hung", || !is_alive(worker));
    lab.wait_until_active();
    assert!(lab.stop().success());
    assert_eq!(lab.traces(), "", "{}", lab.log());
    lab.wait("the starter's end", || lab.pid_of("starter").is_none());
    let _ = listens.wait(Duration::from_secs(5));
}
