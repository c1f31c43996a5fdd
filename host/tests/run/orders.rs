//! Orders of an administrator that arrive while the daemon is stopped.

use std::time::Duration;

use rustix::process::Signal;
use spared_message::control::{Answer, Fault, Force, Request, ask};
use spared_tests::lab::signal_to;

use crate::lab::{Alone, VRRP};
use crate::pair;

fn force(to: Force) -> Request {
    Request::Force {
        group: None,
        to,
        anyway: true,
    }
}

#[test]
fn an_order_that_nobody_waits_for_any_more_is_dropped_and_said_so_once() {
    let Some(mut lab) = Alone::new() else { return };
    lab.enable("vrrp", VRRP);
    lab.start();
    lab.wait_until_active();
    let folder = lab.path("run");
    let patience = Duration::from_millis(200);
    let maintenance = Request::Maintenance {
        on: true,
        for_s: None,
        anyway: true,
    };
    signal_to(lab.host_pid(), Signal::STOP).unwrap();
    for request in [force(Force::Backup), maintenance, Request::Status] {
        let error = ask(&folder, &request, patience).unwrap_err();
        assert!(matches!(error.fault, Fault::Silent(_)), "{error}");
    }
    // an order whose client still waits when the daemon continues
    let waiting = lab.ask_beside(Request::Freeze { for_ms: 60_000 });
    std::thread::sleep(patience);
    signal_to(lab.host_pid(), Signal::CONT).unwrap();
    let done = waiting.join().unwrap();
    assert!(matches!(done, Answer::Done { .. }), "{done:?}");
    lab.wait_until_active();
    let status = lab.status();
    assert_eq!(lab.group().forced, "no", "{}", lab.log());
    assert_eq!(status.orders.maintenance, None, "{}", lab.log());
    assert!(status.orders.frozen_until.is_some(), "{}", lab.log());
    let log = lab.log();
    for command in [
        "sparectl force backup --anyway",
        "sparectl maintenance on --anyway",
    ] {
        let line = format!("`{command}` of root is dropped");
        assert_eq!(log.matches(&line).count(), 1, "{log}");
    }
    assert_eq!(log.matches("is dropped").count(), 2, "{log}");
    // a new order is carried out
    assert!(matches!(
        lab.ask(&force(Force::Backup)),
        Answer::Done { .. }
    ));
    lab.wait_for_role("backup");
}

#[test]
fn an_order_to_the_other_node_is_dropped_too_if_that_went_on_too_late() {
    let Some(pair) = pair::ready(&[pair::VRRP]) else {
        return;
    };
    pair::begin_at_r1(&pair);
    let before = pair.r1.group().transitions;
    signal_to(pair.r2.host_pid(), Signal::STOP).unwrap();
    let there = Request::Node {
        node: "r2".to_owned(),
        request: Box::new(Request::Switch {
            group: None,
            to: Some("r2".to_owned()),
            anyway: true,
        }),
    };
    assert_eq!(pair.r1.refused(&there), ["r2 does not answer"]);
    signal_to(pair.r2.host_pid(), Signal::CONT).unwrap();
    let dropped = "`sparectl switch --to r2 --anyway` of a user on r1 is dropped";
    pair.r2.wait_for_log(dropped);
    assert_eq!(pair.r2.log().matches(dropped).count(), 1);
    assert_eq!(pair.r1.group().transitions, before, "{}", pair.r1.log());
    assert_eq!(pair.r1.role(), "active");
    // a new order is carried out
    pair.r1.done(&there);
    pair.r2.wait_for_role("active");
}
