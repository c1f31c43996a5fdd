//! Starts and stops that take longer than a call may.

use std::time::{Duration, Instant};

use spared_contract::{FromPlugin, ToPlugin};

use crate::lab::{Host, Lab, directive, eventually, load};

const SIGABRT: i32 = 6;

fn start(token: u64) -> ToPlugin {
    ToPlugin::Start { token }
}

fn stop(token: u64) -> ToPlugin {
    ToPlugin::Stop { token }
}

fn configured(lab: &Lab, toml: &str) -> Host {
    let mut host = Host::spawn(&super::probe(lab), &load("probe"));
    host.loaded().unwrap();
    assert_eq!(host.configure(toml, false).status, 0);
    host
}

fn pending(host: &mut Host, token: u64) {
    host.wait(|message| match message {
        FromPlugin::Pending { token: of } if *of == token => Some(()),
        _ => None,
    });
}

#[test]
fn a_pending_start_is_told_and_what_comes_meanwhile_is_held() {
    let lab = Lab::new();
    let mut host = configured(&lab, "slow_start = 300\n");
    let begun = Instant::now();
    let token = host.tell(start);
    pending(&mut host, token);
    host.send(&ToPlugin::Directive(directive()), &[]);
    assert_eq!(host.returned(token).status, 0);
    assert!(begun.elapsed() >= Duration::from_millis(300));
    let state = host.query("state");
    assert_eq!(state.text("order"), "start timer ");
    assert!(state.text("directive").contains("office"), "{state:?}");
    assert_eq!(host.ask(stop).status, 0);
    assert_eq!(host.ended(), 0);
}

#[test]
fn a_start_that_is_still_pending_is_stopped() {
    let lab = Lab::new();
    let mut host = configured(&lab, "slow_start = 0\n");
    let token = host.tell(start);
    pending(&mut host, token);
    assert_eq!(host.ask(stop).status, 0);
    assert_eq!(host.ended(), 0);
}

#[test]
fn a_pending_stop_ends_with_its_done() {
    let lab = Lab::new();
    let mut host = configured(&lab, "slow_stop = 200\n");
    assert_eq!(host.ask(start).status, 0);
    let begun = Instant::now();
    let token = host.tell(stop);
    pending(&mut host, token);
    assert_eq!(host.returned(token).status, 0);
    assert!(begun.elapsed() >= Duration::from_millis(200));
    assert_eq!(host.ended(), 0);
}

#[test]
fn a_host_that_died_leaves_a_pending_stop_two_seconds() {
    let lab = Lab::new();
    for (toml, exit) in [("slow_stop = 200\n", 0), ("slow_stop = 0\n", -SIGABRT)] {
        let mut host = configured(&lab, toml);
        assert_eq!(host.ask(start).status, 0);
        let begun = Instant::now();
        let mut child = host.hang_up();
        eventually("the worker ended", || child.exit().is_some());
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(6), "{took:?}");
        assert_eq!(crate::lab::code(child.exit().unwrap()), exit, "{toml}");
    }
}
