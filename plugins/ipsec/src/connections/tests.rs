//! Tests the findings about charon's connections.

use super::*;

const MOVED: &str = "10.2.0.1";
const OWN: &str = "10.2.0.11";

fn good() -> Connection {
    Connection {
        name: "far".to_owned(),
        digest: 7,
        local: vec![MOVED.to_owned()],
        unique: "UNIQUE_NEVER".to_owned(),
        mobike: Some(false),
        ..Connection::default()
    }
}

fn addresses() -> NodeAddresses {
    let address = |text: &str| BTreeSet::from([text.parse::<IpAddr>().expect("an address")]);
    NodeAddresses {
        moved: address(MOVED),
        own: address(OWN),
        is_alone: true,
    }
}

fn listed(connections: &[Connection]) -> Listed {
    Listed {
        connections: connections.to_vec(),
        pools: Vec::new(),
    }
}

/// Faults with the line to write.
fn wrong(connection: Connection) -> Vec<(&'static str, String)> {
    let found = findings(&listed(&[connection]), &addresses()).into_iter();
    let wrong = found.filter(|it| it.is_fault);
    let wrong = wrong.map(|it| (it.kind, it.line.unwrap_or_default()));
    wrong.collect()
}

#[test]
fn a_connection_as_the_manual_has_it_is_fine() {
    assert_eq!(findings(&listed(&[good()]), &addresses()), []);
}

#[test]
fn mobike_and_unique_are_named_with_their_lines() {
    let distributed = Connection {
        unique: "UNIQUE_NO".to_owned(),
        mobike: Some(true),
        ..good()
    };
    let lines = [
        ("mobike", "mobike = no".to_owned()),
        ("unique", "unique = never".to_owned()),
    ];
    assert_eq!(wrong(distributed.clone()), lines);
    // a responder sends no INITIAL_CONTACT
    let called = Connection {
        responds_only: true,
        mobike: None,
        ..distributed
    };
    assert_eq!(wrong(called), []);
}

#[test]
fn an_end_that_may_be_any_address_is_named_with_the_address_that_moves() {
    let line = || ("local_addrs", format!("local_addrs = {MOVED}"));
    for local in [
        &["%any"][..],
        &[],
        &["0.0.0.0"],
        &["10.2.0.0/24"],
        &["10.2.0.1-10.2.0.9"],
        &["192.0.2.7"],
    ] {
        let connection = Connection {
            local: local.iter().map(|it| (*it).to_owned()).collect(),
            ..good()
        };
        assert_eq!(wrong(connection), [line()], "{local:?}");
    }
    let both = Connection {
        local: vec![MOVED.to_owned(), "%any6".to_owned()],
        ..good()
    };
    assert_eq!(wrong(both), [line()]);
}

#[test]
fn an_address_that_may_be_the_other_nodes_is_not_named() {
    let elsewhere = Connection {
        local: vec!["192.0.2.7".to_owned()],
        ..good()
    };
    let shared = NodeAddresses {
        is_alone: false,
        ..addresses()
    };
    assert_eq!(findings(&listed(&[elsewhere]), &shared), []);
}

#[test]
fn a_tunnel_of_this_node_alone_is_its_own_affair() {
    let own = Connection {
        local: vec![OWN.to_owned()],
        unique: "UNIQUE_NO".to_owned(),
        mobike: Some(true),
        ..good()
    };
    let found = findings(&listed(std::slice::from_ref(&own)), &addresses());
    let said: Vec<_> = found.iter().map(|it| (it.kind, it.is_fault)).collect();
    assert_eq!(said, [("local_addrs", false)]);
    let unseen = Connection {
        mobike: None,
        ..own
    };
    assert_eq!(unseen_mobike(&listed(&[unseen]), &addresses()), None);
}

#[test]
fn mobike_that_nobody_sees_is_said_to_be_unseen() {
    let unseen = Connection {
        mobike: None,
        ..good()
    };
    let said = unseen_mobike(&listed(&[unseen, good()]), &addresses()).unwrap_or_default();
    assert!(said.starts_with("not known yet for far: "), "{said}");
    let first = Connection {
        mobike: None,
        is_ikev1: true,
        ..good()
    };
    assert_eq!(unseen_mobike(&listed(&[first]), &addresses()), None);
}

#[test]
fn a_pool_that_both_give_from_is_named_and_halves_are_not() {
    let pool = |name: &str, base: &str, size| Pool {
        name: name.to_owned(),
        base: base.parse().expect("an address"),
        size,
    };
    let whole = [pool("rw", "10.3.0.0", 254)];
    let found = shared_pools(&whole, &[pool("road", "10.3.0.128", 126)]);
    let [finding] = found.as_slice() else {
        panic!("{found:?}");
    };
    assert_eq!((finding.name.as_str(), finding.kind), ("rw", "pool"));
    assert!(finding.sentence.contains("10.3.0.128"), "{finding:?}");
    let halves = [pool("rw", "10.3.0.0", 126), pool("rw", "10.3.0.128", 126)];
    assert_eq!(shared_pools(&halves[..1], &halves[1..]), []);
    // the same numbers in another family
    assert_eq!(shared_pools(&whole, &[pool("rw", "::a03:0", 254)]), []);
}

#[test]
fn what_the_peers_daemon_has_otherwise_is_named() {
    let other = |name: &str, digest| Connection {
        name: name.to_owned(),
        digest,
        ..good()
    };
    let here = listed(&[good(), other("old", 1), other("same", 2)]);
    let there = listed(&[other("far", 8), other("new", 1), other("same", 2)]);
    let told = PeerConnections::parse(&there.message()).expect("a message");
    let found = differences(&here, &told);
    let named: Vec<&str> = found.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(named, ["far", "old", "new"]);
    let same = PeerConnections::parse(&here.message()).expect("a message");
    assert_eq!(differences(&here, &same), []);
}

#[test]
fn more_than_a_message_holds_are_compared_as_far_as_they_go() {
    let many = (0..10_000_u32).map(|number| Connection {
        name: format!("connection-{number:05}"),
        digest: number.into(),
        ..good()
    });
    let many = listed(&many.collect::<Vec<_>>());
    let message = many.message();
    assert!(message.len() <= spared_replica::wire::MESSAGE_MAX);
    let told = PeerConnections::parse(&message).expect("a message");
    assert!(!told.is_whole);
    assert_eq!(differences(&many, &told), []);
}

#[test]
fn no_bytes_of_a_peer_panic_and_each_message_is_read_as_it_was_written() {
    let here = Listed {
        connections: vec![good()],
        pools: vec![Pool {
            name: "rw".to_owned(),
            base: "fd03::1".parse().expect("an address"),
            size: 9,
        }],
    };
    let message = here.message();
    let told = PeerConnections::parse(&message).expect("a message");
    assert_eq!(told.pools, here.pools);
    assert_eq!(told.digests, BTreeMap::from([("far".to_owned(), 7)]));
    for end in 0..message.len() {
        let _ = PeerConnections::parse(&message[..end]);
        let mut other = message.clone();
        other[end] ^= 0xff;
        let _ = PeerConnections::parse(&other);
    }
}
