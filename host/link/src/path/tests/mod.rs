//! Tests refusals, without a network.

mod second;
mod world;

use super::refusal::Kind;
use super::*;

const SECOND: u64 = 1_000_000_000;

fn listening() -> Path {
    let setup = PathSetup {
        interface: "lan0".to_owned(),
        own: "192.0.2.1".parse().unwrap(),
        peer: "192.0.2.2".parse().unwrap(),
    };
    Path::new(0, setup, 1, true)
}

/// Refuses a connection, and returns the texts of the events.
fn refuse(path: &mut Path, ns: u64, kind: Kind, why: &str) -> Vec<String> {
    let now = Now { ns, wall_us: 0 };
    path.refuse(now, Refusal::new(kind, why));
    path.poll_news().into_iter().map(|(_, text)| text).collect()
}

#[test]
fn strangers_who_knock_from_many_addresses_are_counted_and_one_event() {
    let mut path = listening();
    let mut told = Vec::new();
    for number in 0..1000 {
        let why = format!("connection from 192.0.2.{}", 7 + number % 2);
        told.extend(refuse(&mut path, number * SECOND / 10, Kind::Address, &why));
    }
    assert_eq!(told, ["link lan0: connection from 192.0.2.7"]);
    assert_eq!(path.state().refused, 1000);
    // a refusal of another kind, which the administrator has to know, is still an event
    let key = "the peer shows a key that is not in [nodes]";
    assert_eq!(refuse(&mut path, 100 * SECOND, Kind::PeerKey, key).len(), 1);
}

#[test]
fn a_station_that_keeps_trying_is_told_again_after_ten_minutes_or_a_session() {
    let mut path = listening();
    let count = |path: &mut Path, at_s: u64| {
        refuse(
            path,
            at_s * SECOND,
            Kind::Late,
            "did not prove a key within 5 s",
        )
        .len()
    };
    let counts = [0, 599, 600, 601].map(|at_s| count(&mut path, at_s));
    assert_eq!(counts, [1, 0, 1, 0]);
    path.handle_joined(Now {
        ns: 601 * SECOND,
        wall_us: 0,
    });
    assert_eq!(count(&mut path, 602), 1);
}
