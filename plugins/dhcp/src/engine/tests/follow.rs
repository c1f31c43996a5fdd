//! Commits that follow, and times.

use super::*;
use crate::wire::About;

#[test]
fn a_commit_follows_at_once_with_its_remaining_time() {
    let mut pair = Pair::settled();
    pair.commit(0, 5, 1);
    assert_eq!(pair.lease(1, 5), Some((client(1), 600)));
    pair.run(100 * S);
    assert_eq!(pair.lease(1, 5), Some((client(1), 500)));
    assert_eq!(pair.number(0, "kea4.at_peer"), 1);
    assert_eq!(pair.number(0, "kea4.behind_ms"), 0);
}

#[test]
fn a_renewal_follows() {
    let mut pair = Pair::settled();
    pair.commit(0, 5, 1);
    pair.run(300 * S);
    pair.commit(0, 5, 1);
    assert_eq!(pair.lease(1, 5), Some((client(1), 600)));
}

#[test]
fn a_deletion_follows() {
    let mut pair = Pair::settled();
    pair.commit(0, 5, 1);
    pair.commit(0, 6, 2);
    pair.run(S);
    pair.release(0, 5);
    assert!(!pair.has(1, 5) && pair.has(1, 6));
    pair.run(61 * S);
    assert_eq!(pair.filed_clients(1), BTreeMap::from([(key(6), client(2))]));
}

#[test]
fn a_lease_without_end_has_none_there() {
    let mut pair = Pair::settled();
    pair.commit_for(0, 5, 1, None);
    pair.run(HOUR);
    assert_eq!(
        pair.lease(1, 5).map(|(_, left_s)| left_s),
        Some(i64::MAX / S)
    );
}

#[test]
fn an_address_that_is_given_again_and_again_is_sent_as_it_is_last() {
    let mut pair = Pair::settled();
    for who in 1..=9 {
        pair.commit(0, 5, who);
        pair.release(0, 5);
    }
    pair.commit(0, 5, 10);
    assert_eq!(pair.lease(1, 5).map(|it| it.0), Some(client(10)));
    pair.assert_equal();
}

#[test]
fn clocks_that_jump_change_nothing_at_the_peer() {
    let mut pair = Pair::settled();
    pair.commit(0, 5, 1);
    pair.nodes[0].clock.unix_ms += HOUR;
    pair.nodes[1].clock.unix_ms -= 5 * HOUR;
    pair.run(100 * S);
    assert_eq!(pair.lease(1, 5), Some((client(1), 500)));
    pair.commit(0, 6, 2);
    assert_eq!(pair.lease(1, 6), Some((client(2), 600)));
    pair.cut();
    pair.activate(1);
    assert_eq!(pair.filed(1, 5), Some((client(1), 500)));
    assert_eq!(pair.filed(1, 6), Some((client(2), 600)));
}

#[test]
fn a_file_that_was_written_before_the_clock_was_set_is_written_again() {
    let mut pair = Pair::settled();
    pair.commit(0, 5, 1);
    pair.run(100 * S);
    assert_eq!(pair.filed(1, 5), Some((client(1), 500)));
    pair.nodes[1].clock.unix_ms += HOUR;
    for node in &mut pair.nodes {
        node.servers[0].events.push_back(Event::ClockSet);
    }
    pair.settle();
    let replaced = pair.nodes[0].servers[0].replaced;
    pair.cut();
    pair.activate(1);
    assert_eq!(pair.filed(1, 5), Some((client(1), 500)));
    assert_eq!(pair.nodes[0].servers[0].replaced, replaced);
}

#[test]
fn a_commit_counts_though_the_clock_was_set_back() {
    let mut pair = Pair::settled();
    pair.commit(0, 5, 1);
    pair.run(S);
    // what the file says of the next commit lies before the first
    let clock = pair.nodes[0].at(pair.now_ms);
    let mut lease = pair.nodes[0].servers[0].leases(clock)[&key(5)].clone();
    lease.client = client(2);
    lease.committed_ms -= HOUR;
    let fake = &mut pair.nodes[0].servers[0];
    fake.events
        .push_back(Event::Changes(vec![Change::Put(lease)]));
    pair.settle();
    assert_eq!(pair.lease(1, 5).map(|it| it.0), Some(client(2)));
    pair.assert_equal();
    // and is the later one, too, where somebody has only the first
    let now_ms = pair.nodes[1].at(pair.now_ms).monotonic_ms;
    let book = &mut pair.nodes[1].engine.stores[0].book;
    let mut first = book.get(&key(5)).expect("it is there").clone();
    first.client = client(1);
    first.committed_ms = now_ms - S;
    book.put(first);
    pair.cut();
    pair.activate(1);
    pair.deactivate(1);
    pair.link();
    pair.run(S);
    assert_eq!(pair.lease(1, 5).map(|it| it.0), Some(client(2)));
}

#[test]
fn a_settled_pair_says_nothing() {
    let mut pair = Pair::settled();
    // files know seconds only
    pair.run(333);
    for number in 0..50 {
        pair.commit(0, number, 1);
    }
    pair.run(70 * S);
    for node in &mut pair.nodes {
        node.messages.clear();
    }
    // the server rewrites its file with the same
    let clock = pair.nodes[0].at(pair.now_ms);
    pair.nodes[0].servers[0].tell_all(clock);
    let clock = pair.nodes[1].at(pair.now_ms);
    pair.nodes[1].servers[0].tell_all(clock);
    let replaced = pair.nodes[1].servers[0].replaced;
    pair.run(2 * HOUR);
    assert_eq!(pair.nodes[0].messages, []);
    assert_eq!(pair.nodes[1].messages, []);
    assert_eq!(
        pair.nodes[1].servers[0].replaced, replaced,
        "nothing to write"
    );
}

#[test]
fn one_commit_is_one_message_and_one_acknowledgement() {
    let mut pair = Pair::settled();
    for node in &mut pair.nodes {
        node.messages.clear();
    }
    pair.commit(0, 5, 1);
    pair.run(30 * S);
    let of = |node: usize| {
        let messages = pair.nodes[node].messages.iter();
        let about = messages.map(|it| match it {
            Message::About { about, .. } => about.clone(),
            other => panic!("{other:?}"),
        });
        about.collect::<Vec<About>>()
    };
    assert!(matches!(&of(0)[..], [About::Changes { .. }]), "{:?}", of(0));
    assert!(matches!(&of(1)[..], [About::Ack { .. }]), "{:?}", of(1));
}

#[test]
fn twenty_thousand_come_in_parts_and_changes_go_between() {
    let mut pair = Pair::new(settings());
    pair.activate(0);
    for number in 0..20_000 {
        let clock = pair.nodes[0].at(pair.now_ms);
        let mut lease = lease_of(clock, number);
        lease.hostname = vec![b'x'; 60];
        pair.nodes[0].servers[0].put(clock, &lease);
    }
    let clock = pair.nodes[0].at(pair.now_ms);
    pair.nodes[0].servers[0].tell_all(clock);
    pair.settle();
    pair.nodes[0].messages.clear();
    pair.link();
    pair.run(S);
    assert_eq!(pair.clients(1).len(), 20_000);
    assert!(pair.nodes[0].messages.len() > 20);
    assert!(pair.nodes[1].in_sync.0, "{:?}", pair.nodes[1].in_sync);
    assert_eq!(pair.filed_clients(1).len(), 20_000);
}

fn lease_of(clock: Clock, number: u16) -> Lease {
    Lease {
        key: key(number),
        client: client(7),
        hostname: Vec::new(),
        state: State::Leased,
        valid_s: 600,
        preferred_s: 0,
        expires_ms: Some(clock.monotonic_ms + 600 * S),
        committed_ms: clock.monotonic_ms,
        extra: BTreeMap::from([("subnet_id".to_owned(), "1".to_owned())]),
    }
}

#[test]
fn each_server_follows_by_its_name() {
    let settings = Settings {
        servers: vec![server("lan"), server("guests")],
        ..settings()
    };
    let mut pair = Pair::settled_with(settings);
    pair.commit(0, 5, 1);
    let [lan, guests] = [0, 1].map(|it| pair.nodes[1].engine.stores[it].book.len());
    assert_eq!((lan, guests), (1, 0));
}

#[test]
fn the_identity_follows() {
    let mut pair = Pair::new(settings());
    pair.nodes[0].servers[0].identity = Some(vec![0, 1, 2]);
    pair.nodes[1].servers[0].identity = Some(vec![9, 9, 9]);
    for node in [0, 1] {
        let clock = pair.nodes[node].at(0);
        pair.nodes[node].servers[0].tell_all(clock);
    }
    pair.link();
    pair.activate(0);
    pair.run(S);
    assert_eq!(pair.nodes[1].servers[0].identity, Some(vec![0, 1, 2]));
    pair.nodes[0].servers[0].identity = Some(vec![4, 4, 4]);
    let event = Event::Identity(vec![4, 4, 4]);
    pair.nodes[0].servers[0].events.push_back(event);
    pair.run(61 * S);
    assert_eq!(pair.nodes[1].servers[0].identity, Some(vec![4, 4, 4]));
    pair.cut();
    pair.activate(1);
    assert_eq!(pair.nodes[1].servers[0].identity, Some(vec![4, 4, 4]));
}
