//! Two workers with the example plugin, their channels tied together: a link without a network.

use std::os::fd::AsFd;
use std::path::Path;

use spared_contract::channel::UP;
use spared_contract::{FromPlugin, Scope, ToPlugin};

use crate::lab::{Host, Lab, eventually, load};

const ENOTCONN: i32 = -107;

fn started(plugin: &Path) -> Host {
    // Its own messages would disturb the counts.
    Host::started(plugin, &load("messenger"), "interval = \"1h\"")
}

/// Connects two workers. Each end's UP is in the other's socket before either worker has it.
pub fn tie(one: &Host, other: &Host) {
    let (a, b) = spared_records::pair().unwrap();
    for end in [&a, &b] {
        rustix::io::write(end, &[UP, 0, 0, 0, 2]).unwrap();
    }
    one.send(&ToPlugin::Channel, &[a.as_fd()]);
    other.send(&ToPlugin::Channel, &[b.as_fd()]);
}

fn tied(plugin: &Path) -> (Host, Host) {
    let (mut one, mut other) = (started(plugin), started(plugin));
    tie(&one, &other);
    for host in [&mut one, &mut other] {
        eventually("up", || host.query("status").text("peer") == "up wire 2");
    }
    (one, other)
}

fn flawless(host: &mut Host) {
    let status = host.query("status");
    for key in ["gaps", "repeats", "corrupt"] {
        assert_eq!(status.number(key), 0, "{key} in {status:?}");
    }
}

#[test]
fn what_one_says_the_other_hears() {
    let lab = Lab::new();
    let (mut one, mut other) = tied(&lab.example("messenger"));
    assert_eq!(one.query("say good morning").status, 0);
    eventually("the words", || {
        other.query("status").text("heard") == "good morning"
    });
    let status = other.query("status");
    assert_eq!(status.number("last_received"), 1);
    // The answer is complete with the last pong.
    let answer = one.query("ping 100");
    assert_eq!((answer.status, answer.number("round_trips")), (0, 100));
    let median_us = answer.number("round_trip_us_median");
    assert!(median_us <= answer.number("round_trip_us_p99"));
    assert!(median_us < 10_000_000);
    flawless(&mut other);
}

#[test]
fn a_flood_arrives_whole_and_drain_and_settle_agree_on_its_end() {
    let lab = Lab::new();
    let (mut one, mut other) = tied(&lab.example("messenger"));
    const COUNT: u64 = 1000;
    assert_eq!(other.query("flood 500 17").status, 0, "both ways at once");
    assert_eq!(one.query(&format!("flood {COUNT} 30000")).status, 0);
    let drain = |token| ToPlugin::Drain {
        token,
        deadline_ns: u64::MAX,
    };
    assert_eq!(one.ask(drain).status, 0);
    assert_eq!(one.query("status").number("drained_at"), COUNT);
    let settle = |token| ToPlugin::Settle {
        token,
        deadline_ns: u64::MAX,
    };
    assert_eq!(other.ask(settle).status, 0);
    assert_eq!(other.query("status").number("settled_at"), COUNT);
    eventually("the other flood", || {
        one.query("status").number("last_received") == 500
    });
    flawless(&mut one);
    flawless(&mut other);
}

#[test]
fn a_peer_that_died_is_down_and_its_successor_is_spoken_with_anew() {
    let lab = Lab::new();
    let plugin = lab.example("messenger");
    let (one, mut other) = tied(&plugin);
    other.query("flood 1000000 60000");
    drop(one);
    eventually("down", || other.query("status").text("peer") == "down");
    assert_eq!(other.query("status").number("to_send"), 0);
    for words in ["say hello", "flood 1 100", "ping 1"] {
        assert_eq!(other.query(words).status, ENOTCONN, "{words}");
    }
    let mut successor = started(&plugin);
    tie(&successor, &other);
    eventually("up", || other.query("status").text("peer") == "up wire 2");
    assert_eq!(other.query("say hello").status, 0);
    eventually("the word", || {
        successor.query("status").text("heard") == "hello"
    });
    flawless(&mut successor);
}

#[test]
fn its_later_versions_say_which_messages_they_know() {
    let lab = Lab::new();
    for (example, wires) in [("messenger_next", (2, 3)), ("messenger_later", (3, 4))] {
        let plugin = lab.example_of_example("messenger", example);
        let descriptor = Host::spawn(&plugin, &load("messenger")).loaded().unwrap();
        assert_eq!((descriptor.wire_min, descriptor.wire_max), wires);
        assert!(descriptor.has_peer && descriptor.has_drain && descriptor.has_settle);
    }
}

#[test]
fn its_check_its_synchrony_and_the_scopes_of_its_keys_reach_the_host() {
    let lab = Lab::new();
    let mut host = started(&lab.example("messenger"));
    let mut states = Vec::new();
    for words in ["check bad", "check good"] {
        assert_eq!(host.query(words).status, 0);
    }
    while states.len() < 3 {
        states.push(host.wait(|message| match message {
            FromPlugin::Check { name, state, .. } if name == "messenger" => Some(*state),
            _ => None,
        }));
    }
    assert_eq!(states, [100, 0, 100], "from its configuration on");
    assert_eq!(host.query("in-sync no").status, 0);
    let said = host.wait(|message| match message {
        FromPlugin::InSync { yes, why } => Some((*yes, why.clone())),
        _ => None,
    });
    assert_eq!(said, (false, "somebody said so".to_owned()));
    let scopes = host.wait(|message| match message {
        FromPlugin::Scopes { scopes } => Some(scopes.clone()),
        _ => None,
    });
    let key = |key: &str, scope| (key.to_owned(), scope);
    assert_eq!(
        scopes,
        [
            key("community", Scope::Secret),
            key("label", Scope::Node),
            key("note", Scope::Local)
        ]
    );
}
