//! Nonsense, restarts, differences, bounds.

use super::*;
use crate::wire::{About, Name, Record};

#[test]
fn nonsense_is_counted_and_everything_is_asked_for_again() {
    let mut pair = Pair::settled();
    pair.commit(0, 5, 1);
    let now_ms = pair.nodes[1].at(pair.now_ms).monotonic_ms;
    for _ in 0..3 {
        let result = pair.nodes[1].engine.handle_message(now_ms, &[0xff; 40]);
        assert!(result.is_err());
    }
    pair.settle();
    pair.nodes[0].messages.clear();
    pair.run(5 * S);
    let begins = pair.nodes[0].messages.iter().filter(|it| {
        let about = match it {
            Message::About { about, .. } => about,
            _ => return false,
        };
        matches!(about, About::Begin { .. })
    });
    assert_eq!(begins.count(), 1);
    assert_eq!(pair.number(1, "all.malformed"), 3);
    assert_eq!(pair.nodes[1].warned.len(), 1);
    pair.assert_equal();
}

fn record(pair: &Pair, node: usize, change: impl FnOnce(&mut Lease)) -> Record {
    let now_ms = pair.nodes[node].at(pair.now_ms).monotonic_ms;
    let mut lease = Lease {
        key: key(99),
        client: client(9),
        hostname: Vec::new(),
        state: State::Leased,
        valid_s: 600,
        preferred_s: 0,
        expires_ms: Some(now_ms + 600 * S),
        committed_ms: now_ms,
        extra: BTreeMap::from([("subnet_id".to_owned(), "1".to_owned())]),
    };
    change(&mut lease);
    Record::put(now_ms, &lease)
}

fn say(pair: &mut Pair, node: usize, about: About) {
    let now_ms = pair.nodes[node].at(pair.now_ms).monotonic_ms;
    let message = Message::About {
        server: Name {
            name: "kea4".to_owned(),
            kind: "kea4".to_owned(),
        },
        about,
    };
    let engine = &mut pair.nodes[node].engine;
    engine
        .handle_message(now_ms, &message.emit())
        .expect("a message");
    pair.settle();
}

#[test]
fn leases_that_fit_no_such_server_are_refused_one_by_one() {
    let mut pair = Pair::settled();
    let records = vec![
        record(&pair, 1, |_| ()),
        record(&pair, 1, |it| it.key.kind = Kind::Na),
        record(&pair, 1, |it| it.client.id = vec![1; 256]),
        record(&pair, 1, |it| {
            drop(it.extra.insert("a".into(), "b\nc".into()))
        }),
    ];
    say(
        &mut pair,
        1,
        About::Changes {
            serial: 1,
            waited_ms: 0,
            leases: 4,
            records,
        },
    );
    assert_eq!(pair.clients(1).len(), 1);
    assert_eq!(pair.number(1, "kea4.refused"), 3);
}

#[test]
fn an_active_node_believes_no_gifts_and_a_backup_no_offers() {
    let mut pair = Pair::settled();
    pair.commit(0, 5, 1);
    let records = vec![record(&pair, 0, |_| ())];
    say(
        &mut pair,
        0,
        About::Changes {
            serial: 1,
            waited_ms: 0,
            leases: 1,
            records: records.clone(),
        },
    );
    say(
        &mut pair,
        0,
        About::Begin {
            epoch: 1,
            leases: 0,
            identity: Some(vec![1]),
        },
    );
    say(
        &mut pair,
        0,
        About::End {
            epoch: 1,
            serial: 1,
            leases: 0,
        },
    );
    let records = vec![record(&pair, 1, |_| ())];
    say(
        &mut pair,
        1,
        About::Offer {
            was_active: true,
            identity: None,
            records,
        },
    );
    for node in [0, 1] {
        assert_eq!(pair.clients(node).len(), 1);
    }
}

#[test]
fn an_identity_that_no_server_has_is_not_taken() {
    let mut pair = Pair::settled();
    let good = vec![0, 1, 2, 3];
    for identity in [good.clone(), Vec::new(), vec![7; 131]] {
        say(&mut pair, 1, About::Identity(identity));
    }
    let book = &pair.nodes[1].engine.stores[0].book;
    assert_eq!(book.identity(), Some(&good));
    let mut pair = Pair::settled();
    for identity in [Vec::new(), vec![7; 131], good.clone()] {
        let about = About::Offer {
            was_active: true,
            identity: Some(identity),
            records: Vec::new(),
        };
        say(&mut pair, 0, about);
    }
    let book = &pair.nodes[0].engine.stores[0].book;
    assert_eq!(book.identity(), Some(&good));
}

#[test]
fn a_peer_that_acknowledges_nothing_costs_little() {
    let mut pair = Pair::settled();
    let sender = &mut pair.nodes[0].engine.stores[0].sender;
    let serials: Vec<u64> = (0..5_000).map(|at_ms| sender.next_serial(at_ms)).collect();
    assert!(sender.unacked() <= 1_024, "{}", sender.unacked());
    assert_eq!(sender.behind_ms(10_000), Some(10_000));
    sender.handle_ack(serials[4_998]);
    assert_ne!(sender.behind_ms(10_000), Some(0));
    sender.handle_ack(serials[4_999]);
    assert_eq!(sender.behind_ms(10_000), Some(0));
}

#[test]
fn a_snapshot_that_begins_anew_drops_nothing_of_the_first() {
    let mut pair = Pair::settled();
    pair.commit(0, 5, 1);
    say(
        &mut pair,
        1,
        About::Begin {
            epoch: 77,
            leases: 1,
            identity: None,
        },
    );
    // the end of another one
    say(
        &mut pair,
        1,
        About::End {
            epoch: 76,
            serial: 9,
            leases: 1,
        },
    );
    assert!(pair.has(1, 5));
}

#[test]
fn a_server_that_only_one_side_has_is_said() {
    let mut pair = Pair::new(settings());
    let both = Settings {
        servers: vec![server("kea4"), server("kea6")],
        ..settings()
    };
    pair.nodes[1] = Node::new(0, pair.nodes[1].clock, both, 9);
    pair.link();
    pair.activate(0);
    pair.run(S);
    let why = "kea6 is not in the peer's dhcp.toml";
    assert_eq!(pair.nodes[1].in_sync, (false, why.to_owned()));
    assert_eq!(pair.text(0, "all.only_at_peer"), "kea6 (kea4)");
    pair.commit(0, 5, 1);
    assert!(pair.has(1, 5), "the other one follows");
}

#[test]
fn one_name_of_two_kinds_is_said() {
    let mut pair = Pair::new(settings());
    let other = Settings {
        servers: vec![Server {
            format: Format::Dnsmasq,
            ..server("kea4")
        }],
        ..settings()
    };
    pair.nodes[1] = Node::new(0, pair.nodes[1].clock, other, 9);
    pair.link();
    pair.activate(0);
    pair.run(S);
    let why = "kea4 is dnsmasq here and kea4 at the peer";
    assert_eq!(pair.nodes[1].in_sync, (false, why.to_owned()));
}

#[test]
fn a_plugin_that_starts_again_on_the_active_node_loses_nothing() {
    for killed in [true, false] {
        let mut pair = Pair::settled();
        pair.commit(0, 5, 1);
        pair.run(S);
        pair.restart(0, killed, true);
        pair.run(S);
        pair.commit(0, 6, 2);
        assert_eq!(pair.clients(1).len(), 2);
        pair.assert_equal();
        assert!(pair.nodes[1].in_sync.0, "{:?}", pair.nodes[1].in_sync);
    }
}

#[test]
fn what_waits_on_the_active_node_outlives_its_plugin() {
    let mut pair = Pair::settled();
    pair.cut();
    pair.commit(0, 5, 1);
    pair.activate(1);
    pair.deactivate(0);
    pair.link();
    pair.run(S);
    assert_eq!(pair.number(1, "kea4.waiting"), 1);
    pair.restart(1, true, true);
    pair.run(S);
    assert!(pair.has(1, 5), "the peer has it");
    assert_eq!(pair.number(1, "kea4.waiting"), 1);
    pair.assert_equal();
}

#[test]
fn a_plugin_that_starts_again_on_a_clean_backup_stays_clean() {
    let mut pair = Pair::settled();
    pair.commit(0, 5, 1);
    pair.run(S);
    pair.restart(1, false, false);
    pair.run(S);
    assert_eq!(pair.lease(1, 5).map(|it| it.0), Some(client(1)));
    let offers = pair.nodes[1].messages.iter().filter(|it| {
        matches!(
            it,
            Message::About {
                about: About::Offer { .. },
                ..
            }
        )
    });
    // only the very first time
    assert_eq!(offers.count(), 1);
    pair.cut();
    pair.release(0, 5);
    pair.run(2 * HOUR);
    pair.restart(1, false, false);
    pair.link();
    pair.run(S);
    assert!(!pair.has(0, 5) && !pair.has(1, 5));
}

#[test]
fn a_backup_that_starts_alone_has_what_it_saved() {
    let mut pair = Pair::settled();
    pair.commit(0, 5, 1);
    pair.run(S);
    pair.cut();
    pair.restart(1, false, false);
    assert!(pair.nodes[1].in_sync.0, "{:?}", pair.nodes[1].in_sync);
    pair.activate(1);
    assert_eq!(pair.filed_clients(1), BTreeMap::from([(key(5), client(1))]));
}

#[test]
fn no_more_leases_than_there_is_room_for() {
    let mut pair = Pair::settled();
    let clock = pair.nodes[0].at(pair.now_ms);
    let lease = |number: u32| Lease {
        key: Key {
            address: IpAddr::from((0x0b00_0000 + number).to_be_bytes()),
            ..key(0)
        },
        client: client(1),
        hostname: Vec::new(),
        state: State::Leased,
        valid_s: 600,
        preferred_s: 0,
        expires_ms: Some(clock.monotonic_ms + 600 * S),
        committed_ms: clock.monotonic_ms,
        extra: BTreeMap::from([("subnet_id".to_owned(), "1".to_owned())]),
    };
    let changes: Vec<Change> = (0..20_486).map(|it| Change::Put(lease(it))).collect();
    pair.nodes[0].servers[0]
        .events
        .push_back(Event::Changes(changes));
    pair.settle();
    assert_eq!(pair.number(0, "kea4.leases"), 20_480);
    assert_eq!(pair.number(1, "kea4.leases"), 20_480);
    assert_eq!(pair.number(0, "kea4.refused"), 6);
    let fault = "11.0.80.5: there is no room for more leases";
    assert_eq!(pair.text(0, "kea4.last_fault"), fault);
}

#[test]
fn a_comparison_finds_what_differs_and_nothing_else() {
    let mut pair = Pair::settled();
    pair.commit(0, 5, 1);
    pair.commit(0, 6, 2);
    pair.run(10 * S);
    let compare = |pair: &mut Pair, node: usize| {
        let now_ms = pair.nodes[node].at(pair.now_ms).monotonic_ms;
        pair.nodes[node].engine.handle_diff(now_ms, 7);
        pair.settle();
        pair.nodes[node].answers.pop().expect("an answer")
    };
    for node in [0, 1] {
        let none = vec![("all.differences".to_owned(), Value::Number(0))];
        assert_eq!(compare(&mut pair, node), (Ok(none), false));
    }
    let now_ms = pair.nodes[1].at(pair.now_ms).monotonic_ms;
    let book = &mut pair.nodes[1].engine.stores[0].book;
    book.remove(&key(5), now_ms - 10 * S);
    let mut other = book.get(&key(6)).expect("it is there").clone();
    other.client = client(3);
    book.put(other);
    let (rows, attention) = compare(&mut pair, 0);
    assert!(attention);
    let text = |text: &str| Value::Text(text.to_owned());
    let expected = vec![
        (
            "kea4.10.0.0.5".to_owned(),
            text("only here: 02:00:00:00:00:01 (host1), 590 s left"),
        ),
        (
            "kea4.10.0.0.6".to_owned(),
            text(
                "here 02:00:00:00:00:02 (host2), 590 s left; \
                 at the peer 02:00:00:00:00:03 (host2), 590 s left",
            ),
        ),
        ("all.differences".to_owned(), Value::Number(2)),
    ];
    assert_eq!(rows, Ok(expected));
    let (rows, _) = compare(&mut pair, 1);
    assert_eq!(rows.map(|rows| rows.len()), Ok(3));
}

#[test]
fn a_comparison_keeps_nothing_that_no_lease_is() {
    let mut pair = Pair::settled();
    let clock = pair.nodes[1].at(pair.now_ms);
    pair.nodes[1].engine.handle_diff(clock.monotonic_ms, 1);
    let id = pair.nodes[1].engine.diff.id();
    let long = record(&pair, 0, |lease| lease.hostname = vec![b'x'; 40_000]);
    let fine = record(&pair, 0, |lease| lease.key = key(98));
    let records = vec![long, fine];
    let kept = |pair: &Pair| pair.nodes[1].engine.diff.kept();
    let message = Message::About {
        server: Name {
            name: "kea4".to_owned(),
            kind: "kea4".to_owned(),
        },
        about: About::Listed { id, records },
    };
    let engine = &mut pair.nodes[1].engine;
    let read = engine.handle_message(clock.monotonic_ms, &message.emit());
    assert_eq!((read, kept(&pair)), (Ok(()), 1));
}

#[test]
fn a_comparison_without_a_peer_fails_at_once_and_with_a_mute_one_in_time() {
    let mut pair = Pair::settled();
    let now_ms = pair.nodes[0].at(pair.now_ms).monotonic_ms;
    pair.nodes[0].engine.handle_diff(now_ms, 7);
    while pair.nodes[0].engine.poll_message(now_ms).is_some() {}
    pair.run(9 * S);
    assert!(pair.nodes[0].answers.is_empty());
    pair.run(2 * S);
    let (rows, _) = pair.nodes[0].answers.pop().expect("an answer");
    assert_eq!(rows, Err("the peer does not answer".to_owned()));
    pair.cut();
    let now_ms = pair.nodes[0].at(pair.now_ms).monotonic_ms;
    pair.nodes[0].engine.handle_diff(now_ms, 8);
    pair.settle();
    let (rows, _) = pair.nodes[0].answers.pop().expect("an answer");
    assert_eq!(rows, Err("the peer is not there".to_owned()));
}

#[test]
fn the_summary_is_a_line_for_each_server() {
    let mut pair = Pair::settled();
    pair.commit(0, 5, 1);
    let line = |node: usize| {
        let node = &pair.nodes[node];
        node.engine
            .summary(node.at(pair.now_ms).monotonic_ms)
            .remove(0)
    };
    assert_eq!(line(0), ("kea4".to_owned(), "1 lease".to_owned()));
    assert_eq!(
        line(1),
        ("kea4".to_owned(), "1 lease, 0 ms behind".to_owned())
    );
}
