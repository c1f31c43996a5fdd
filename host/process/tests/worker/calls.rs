//! Calls that need the host: its answers, missing answers, and sockets that are opened and closed.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use spared_contract::{
    CALL_TIMEOUT_MS, Call, Cause, Claims, Directive, Family, Forced, FromPlugin, InterfaceEvent,
    Publication, Role, SocketKind, Surroundings, ToPlugin,
};
use spared_verdict::CauseKind;

use crate::lab::{Host, Lab, eventually, load, table};

const ETIMEDOUT: i32 = -110;
const EINVAL: i32 = -22;
const EBUSY: i32 = -16;

fn call(host: &mut Host) -> (u64, Call) {
    host.wait(|message| match message {
        FromPlugin::Call { number, call } => Some((*number, call.clone())),
        _ => None,
    })
}

/// Makes the probe call the host, answers with `status`, and returns the call and what the probe got.
pub fn answered(host: &mut Host, words: &str, status: i32) -> (Call, i32) {
    let argv = words.split(' ').map(str::to_owned).collect();
    let token = host.tell(|token| ToPlugin::Query { token, argv });
    let (number, call) = call(host);
    let statuses = vec![status];
    host.send(&ToPlugin::Answer { number, statuses }, &[]);
    (call, host.returned(token).status)
}

/// Claims of the one group in a call.
pub fn claimed(call: Call) -> Claims {
    match call {
        Call::Claim { groups } => match &groups[..] {
            [(name, Some(claims))] if name == "office" => claims.clone(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

/// Role of the one group in a call.
pub fn published(call: Call) -> Publication {
    match call {
        Call::Publish { groups } => match &groups[..] {
            [(name, publication)] if name == "office" => publication.clone(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_array_is_one_call_and_each_element_has_a_status_of_its_own() {
    let lab = Lab::new();
    let mut host = Host::started(&super::probe(&lab), &load("probe"), "");
    let argv = || vec!["publish-many".to_owned(), "5".to_owned()];
    let token = host.tell(|token| ToPlugin::Query {
        token,
        argv: argv(),
    });
    let (number, sent) = call(&mut host);
    let Call::Publish { groups } = sent else {
        panic!("{sent:?}");
    };
    let names: Vec<&str> = groups.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["group0", "group3", "group4"]);
    let statuses = vec![0, -5, 0];
    host.send(&ToPlugin::Answer { number, statuses }, &[]);
    let answer = host.returned(token);
    let status = |index: u32| answer.signed(&format!("status.{index}"));
    let expected = [0, i64::from(EINVAL), i64::from(EINVAL), -5, 0];
    assert_eq!((0..5).map(status).collect::<Vec<_>>(), expected);
    assert_eq!(answer.signed("result"), i64::from(EINVAL), "the first");
    host.log("publish(): empty group name");
    host.log("publish(): group group0 stands twice in the array");

    // a broken host sends fewer statuses than elements
    let token = host.tell(|token| ToPlugin::Query {
        token,
        argv: argv(),
    });
    let (number, _) = call(&mut host);
    let statuses = vec![0];
    host.send(&ToPlugin::Answer { number, statuses }, &[]);
    assert_eq!(host.returned(token).signed("status.4"), -71);
}

#[test]
fn what_is_longer_than_a_record_is_asked_in_parts() {
    let lab = Lab::new();
    let mut host = Host::started(&super::probe(&lab), &load("probe"), "");
    // each element has a cause of 1000 characters
    let argv = vec![
        "publish-many".to_owned(),
        "255".to_owned(),
        "long".to_owned(),
    ];
    let token = host.tell(|token| ToPlugin::Query { token, argv });
    let (mut seen, mut calls) = (0, 0);
    while seen < 253 {
        let (number, sent) = call(&mut host);
        let Call::Publish { groups } = sent else {
            panic!("{sent:?}");
        };
        seen += groups.len();
        calls += 1;
        let statuses = vec![0; groups.len()];
        host.send(&ToPlugin::Answer { number, statuses }, &[]);
    }
    assert_eq!(calls, 2);
    let answer = host.returned(token);
    assert_eq!(answer.signed("status.0"), 0);
    assert_eq!(answer.signed("status.7"), 0);
}

fn event(name: &str, sockets: Vec<SocketKind>, generation: u64) -> ToPlugin {
    ToPlugin::Interface(InterfaceEvent {
        name: name.to_owned(),
        present: true,
        up: true,
        carrier: true,
        index: 7,
        mtu: 1500,
        mac: [2, 0, 0, 0, 0, 0xab],
        addresses: vec![
            ("192.0.2.1".parse().unwrap(), 24),
            ("2001:db8::1".parse().unwrap(), 64),
        ],
        sockets,
        generation,
    })
}

fn followed(lab: &Lab) -> Host {
    let mut host = Host::started(&super::probe(lab), &load("probe"), "");
    let (call, status) = answered(&mut host, "follow lan2", 0);
    assert_eq!(
        call,
        Call::Follow {
            interface: "lan2".to_owned(),
            sockets: 1
        }
    );
    assert_eq!(status, 0);
    host
}

#[test]
fn a_claim_arrives_as_it_was_made() {
    let lab = Lab::new();
    let mut host = Host::started(&super::probe(&lab), &load("probe"), "");
    let (call, status) = answered(&mut host, "claim office", 0);
    assert_eq!(status, 0);
    let claims = claimed(call);
    assert_eq!(claims.routers[0].vrid, 50);
    assert_eq!(claims.routers[0].family, Family::V4);
    assert!(claims.routers[0].vmac && !claims.routers[0].accept);
    assert_eq!(claims.addresses[0].address.to_string(), "192.168.200.1");
    assert_eq!(claims.addresses[0].router, Some(0));
    assert_eq!(claims.lease_ns, 250_000_000);
    let (call, _) = answered(&mut host, "withdraw office", 0);
    assert_eq!(
        call,
        Call::Claim {
            groups: vec![("office".to_owned(), None)]
        }
    );
}

/// The cause that the probe sends.
pub fn cause(kind: CauseKind) -> Cause {
    Cause {
        own: 73,
        theirs: 100,
        peer: "r2".to_owned(),
        ..Cause::new(kind, "lan is \u{fffd}  down")
    }
}

#[test]
fn an_explanation_waits_for_no_answer() {
    let lab = Lab::new();
    let mut host = Host::started(&super::probe(&lab), &load("probe"), "");
    assert_eq!(host.query("explain office 2").status, 0);
    let (_, call) = call(&mut host);
    let wanted = Call::Explain {
        group: "office".to_owned(),
        role: Role::Active,
        cause: cause(CauseKind::Quality),
    };
    assert_eq!(call, wanted);
}

#[test]
fn a_publish_is_dated_and_returns_the_answer_of_the_host() {
    let lab = Lab::new();
    let mut host = Host::started(&super::probe(&lab), &load("probe"), "");
    let (call, status) = answered(&mut host, "publish office 2", 0);
    let publication = published(call);
    assert_eq!(
        (publication.role, publication.cause, status),
        (Role::Active, cause(CauseKind::Quality), 0)
    );
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let age_ns = now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64 - publication.sent_ns;
    assert!(age_ns < 10_000_000_000, "{age_ns}");
    assert_eq!(answered(&mut host, "publish office 1", -5).1, -5);
    let (call, _) = answered(&mut host, "announce office", 0);
    assert_eq!(
        call,
        Call::Announce {
            groups: vec!["office".to_owned()]
        }
    );
}

#[test]
fn a_silent_host_costs_a_tenth_of_a_second_and_nothing_is_lost() {
    let lab = Lab::new();
    let mut host = Host::started(&super::probe(&lab), &load("probe"), "");
    let begin = Instant::now();
    let argv = vec!["publish".to_owned(), "office".to_owned(), "2".to_owned()];
    let publish = host.tell(|token| ToPlugin::Query { token, argv });
    let (number, _) = call(&mut host);
    // A message that arrives while the plugin waits is handled afterwards, in order.
    host.send(&ToPlugin::Ping { number: 1 }, &[]);
    let state = host.tell(|token| ToPlugin::Query {
        token,
        argv: vec!["state".to_owned()],
    });
    assert_eq!(host.returned(publish).status, ETIMEDOUT);
    assert!(
        begin.elapsed() >= Duration::from_millis(95),
        "{:?}",
        begin.elapsed()
    );
    host.returned(state);
    // The late answer is dropped, and is not taken for the answer to the next call.
    let statuses = vec![-1];
    host.send(&ToPlugin::Answer { number, statuses }, &[]);
    assert_eq!(answered(&mut host, "publish office 2", 0).1, 0);
}

/// Otherwise a plugin that only calls and never returns would queue all messages of the host.
#[test]
fn with_a_thousand_messages_waiting_the_next_call_is_refused() {
    let lab = Lab::new();
    let mut host = Host::started(&super::probe(&lab), &load("probe"), "");
    // so long that several calls within one callback are needed
    let argv = ["publish-many", "255", "long"].map(str::to_owned).to_vec();
    let token = host.tell(|token| ToPlugin::Query { token, argv });
    let (number, sent) = call(&mut host);
    let Call::Publish { groups } = sent else {
        panic!("{sent:?}");
    };
    for number in 1..=1_024 {
        host.send(&ToPlugin::Ping { number }, &[]);
    }
    let statuses = vec![0; groups.len()];
    host.send(&ToPlugin::Answer { number, statuses }, &[]);
    let answer = host.returned(token);
    assert_eq!(answer.signed("status.last"), i64::from(EBUSY));
}

#[test]
fn an_interface_event_arrives_whole_with_its_sockets() {
    let lab = Lab::new();
    let mut host = followed(&lab);
    let kind = (
        AddressFamily::UNIX,
        SocketType::DGRAM,
        SocketFlags::NONBLOCK,
    );
    let (ours, theirs) = socketpair(kind.0, kind.1, kind.2, None).unwrap();
    host.send(
        &event("lan2", vec![SocketKind::VrrpLink], 1),
        &[theirs.as_fd()],
    );
    drop(theirs);
    let state = host.query("state");
    assert_eq!(
        state.text("event"),
        "lan2 flags 7 index 7 mtu 1500 mac ab addresses 2 sockets 1"
    );
    rustix::io::write(&ours, b"12345").unwrap();
    while host.query("state").number("bytes") != 5 {}
    // This opening again: the descriptor is not sent again, and the worker keeps its own.
    host.send(&event("lan2", vec![SocketKind::VrrpLink], 1), &[]);
    rustix::io::write(&ours, b"123").unwrap();
    while host.query("state").number("bytes") != 8 {}
    // Gone: the worker's copy is closed.
    host.send(&event("lan2", vec![], 2), &[]);
    assert_eq!(host.query("state").number("changes"), 3);
    eventually("the socket being closed", || {
        rustix::io::write(&ours, b"1").is_err()
    });
}

#[test]
fn sockets_that_are_replaced_have_new_numbers_and_the_old_are_closed() {
    let lab = Lab::new();
    let mut host = followed(&lab);
    let pair = || {
        socketpair(
            AddressFamily::UNIX,
            SocketType::DGRAM,
            SocketFlags::NONBLOCK,
            None,
        )
        .unwrap()
    };
    let (first, theirs) = pair();
    host.send(
        &event("lan2", vec![SocketKind::VrrpLink], 1),
        &[theirs.as_fd()],
    );
    drop(theirs);
    let (second, theirs) = pair();
    host.send(
        &event("lan2", vec![SocketKind::VrrpLink], 2),
        &[theirs.as_fd()],
    );
    drop(theirs);
    assert_eq!(host.query("state").number("changes"), 2);
    eventually("the first being closed", || {
        rustix::io::write(&first, b"1").is_err()
    });
    rustix::io::write(&second, b"1234").unwrap();
    while host.query("state").number("bytes") != 4 {}
}

#[test]
fn an_event_after_unfollow_is_not_delivered() {
    let lab = Lab::new();
    let mut host = followed(&lab);
    let (call, status) = answered(&mut host, "unfollow lan2", 0);
    assert_eq!(
        (call, status),
        (
            Call::Unfollow {
                interface: "lan2".to_owned()
            },
            0
        )
    );
    let (ours, theirs) = socketpair(
        AddressFamily::UNIX,
        SocketType::DGRAM,
        SocketFlags::NONBLOCK,
        None,
    )
    .unwrap();
    host.send(
        &event("lan2", vec![SocketKind::VrrpLink], 1),
        &[theirs.as_fd()],
    );
    drop(theirs);
    assert_eq!(host.query("state").number("changes"), 0);
    eventually("the socket being closed", || {
        rustix::io::write(&ours, b"1").is_err()
    });
}

#[test]
fn a_directive_arrives_whole() {
    let lab = Lab::new();
    let mut host = Host::started(&super::probe(&lab), &load("probe"), "");
    let directive = Directive {
        group: "office".to_owned(),
        quality: 73,
        peer_quality: Some(100),
        eligible: true,
        forced: Forced::Backup,
        maintenance: false,
        resign: true,
        joining: true,
        ready: false,
        frozen: false,
        points: 20,
        release: true,
        prepared: false,
        held: true,
        why: "a cable".to_owned(),
    };
    host.send(&ToPlugin::Directive(directive), &[]);
    assert_eq!(
        host.query("state").text("directive"),
        "office 669 73 100 2 a cable"
    );
}

/// A probe that follows an interface while it is configured: the number of its call and the token of the configuration.
fn following_early(lab: &Lab) -> (Host, u64, u64) {
    let mut host = Host::spawn(&super::probe(lab), &load("probe"));
    host.loaded().unwrap();
    let configured = host.tell(|token| ToPlugin::Configure {
        token,
        table: table("follow = \"lan2\""),
        check: false,
        surroundings: Surroundings::default(),
    });
    let (number, _) = call(&mut host);
    (host, number, configured)
}

#[test]
fn a_host_that_is_slow_at_the_start_is_waited_for() {
    let lab = Lab::new();
    let (mut host, number, configured) = following_early(&lab);
    std::thread::sleep(Duration::from_millis(3 * CALL_TIMEOUT_MS));
    let statuses = vec![0];
    host.send(&ToPlugin::Answer { number, statuses }, &[]);
    assert_eq!(host.returned(configured).status, 0);
}

#[test]
fn what_is_followed_before_start_is_heard_after_it() {
    let lab = Lab::new();
    let (mut host, number, configured) = following_early(&lab);
    // The event arrives before the answer to the call.
    host.send(&event("lan2", Vec::new(), 1), &[]);
    let statuses = vec![0];
    host.send(&ToPlugin::Answer { number, statuses }, &[]);
    assert_eq!(host.returned(configured).status, 0);
    host.send(&event("lan2", Vec::new(), 2), &[]);
    assert_eq!(host.ask(|token| ToPlugin::Start { token }).status, 0);
    assert_eq!(host.query("state").text("order"), "start changed changed ");
}
