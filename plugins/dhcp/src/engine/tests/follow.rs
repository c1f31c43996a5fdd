//! Tests the replication of commits, and times.

use super::*;

#[test]
fn a_commit_follows_at_once_with_its_remaining_time() {
    let mut lab = Lab::settled();
    lab.commit(0, 5, 1);
    assert_eq!(lab.lease(1, 5), Some((client(1), 600)));
    lab.run(100 * S);
    assert_eq!(lab.lease(1, 5), Some((client(1), 500)));
    assert_eq!(lab.number(0, "kea4.records_there"), 1);
    assert_eq!(lab.number(0, "kea4.behind_ms"), 0);
}

#[test]
fn a_renewal_follows() {
    let mut lab = Lab::settled();
    lab.commit(0, 5, 1);
    lab.run(300 * S);
    lab.commit(0, 5, 1);
    assert_eq!(lab.lease(1, 5), Some((client(1), 600)));
}

#[test]
fn a_deletion_follows() {
    let mut lab = Lab::settled();
    lab.commit(0, 5, 1);
    lab.commit(0, 6, 2);
    lab.run(S);
    lab.release(0, 5);
    assert!(!lab.has(1, 5) && lab.has(1, 6));
    lab.run(61 * S);
    assert_eq!(lab.filed_clients(1), BTreeMap::from([(key(6), client(2))]));
}

#[test]
fn a_lease_without_end_has_none_there() {
    let mut lab = Lab::settled();
    lab.commit_for(0, 5, 1, None);
    lab.run(HOUR);
    assert_eq!(
        lab.lease(1, 5).map(|(_, left_s)| left_s),
        Some(i64::MAX / S)
    );
}

#[test]
fn an_address_that_is_given_again_and_again_is_sent_as_it_is_last() {
    let mut lab = Lab::settled();
    for who in 1..=9 {
        lab.commit(0, 5, who);
        lab.release(0, 5);
    }
    lab.commit(0, 5, 10);
    assert_eq!(lab.lease(1, 5).map(|it| it.0), Some(client(10)));
    lab.assert_equal();
}

#[test]
fn clocks_that_jump_change_nothing_at_the_peer() {
    let mut lab = Lab::settled();
    lab.commit(0, 5, 1);
    lab.nodes[0].clock.unix_ns += HOUR;
    lab.nodes[1].clock.unix_ns -= 5 * HOUR;
    lab.run(100 * S);
    assert_eq!(lab.lease(1, 5), Some((client(1), 500)));
    lab.commit(0, 6, 2);
    assert_eq!(lab.lease(1, 6), Some((client(2), 600)));
    lab.cut();
    lab.activate(1);
    assert_eq!(lab.filed(1, 5), Some((client(1), 500)));
    assert_eq!(lab.filed(1, 6), Some((client(2), 600)));
}

#[test]
fn a_file_that_was_written_before_the_clock_was_set_is_written_again() {
    let mut lab = Lab::settled();
    lab.commit(0, 5, 1);
    lab.run(100 * S);
    assert_eq!(lab.filed(1, 5), Some((client(1), 500)));
    lab.nodes[1].clock.unix_ns += HOUR;
    for node in &mut lab.nodes {
        node.servers[0].events.push_back(Event::ClockSet);
    }
    lab.settle();
    let replaced = lab.nodes[0].servers[0].replaced;
    lab.cut();
    lab.activate(1);
    assert_eq!(lab.filed(1, 5), Some((client(1), 500)));
    assert_eq!(lab.nodes[0].servers[0].replaced, replaced);
}

#[test]
fn a_commit_counts_though_the_clock_was_set_back() {
    let mut lab = Lab::settled();
    lab.commit(0, 5, 1);
    lab.run(S);
    // the file's time of the next commit lies before the first one
    let clock = lab.nodes[0].at(lab.now_ns());
    let mut lease = lab.nodes[0].servers[0].leases(clock)[&key(5)].clone();
    lease.client = client(2);
    lease.committed_ns -= HOUR;
    let fake = &mut lab.nodes[0].servers[0];
    fake.events
        .push_back(Event::Changes(vec![Change::Put(lease)]));
    lab.settle();
    assert_eq!(lab.lease(1, 5).map(|it| it.0), Some(client(2)));
    lab.assert_equal();
    // it is also the later one if the peer has only the first
    let clock = lab.nodes[1].at(lab.now_ns());
    let book = &mut lab.nodes[1].engine.tables.servers[0].book;
    let mut first = book.get(&key(5)).expect("it is there").clone();
    first.client = client(1);
    first.committed_ns = clock.monotonic_ns - S;
    book.put(first, false);
    lab.cut();
    lab.activate(1);
    lab.deactivate(1);
    lab.link();
    lab.run(S);
    assert_eq!(lab.lease(1, 5).map(|it| it.0), Some(client(2)));
}

#[test]
fn a_settled_pair_says_nothing() {
    let mut lab = Lab::settled();
    // files have whole seconds
    lab.run(signed(333 * MS));
    for number in 0..50 {
        lab.commit(0, number, 1);
    }
    lab.run(70 * S);
    for node in &mut lab.nodes {
        node.messages.clear();
    }
    // the server rewrites its file with the same contents
    let clock = lab.nodes[0].at(lab.now_ns());
    lab.nodes[0].servers[0].tell_all(clock);
    let clock = lab.nodes[1].at(lab.now_ns());
    lab.nodes[1].servers[0].tell_all(clock);
    let replaced = lab.nodes[1].servers[0].replaced;
    lab.run(2 * HOUR);
    assert!(lab.nodes.iter().all(|node| node.messages.is_empty()));
    assert_eq!(
        lab.nodes[1].servers[0].replaced, replaced,
        "nothing to write"
    );
}

#[test]
fn one_commit_is_one_message_and_one_acknowledgement() {
    let mut lab = Lab::settled();
    for node in &mut lab.nodes {
        node.messages.clear();
    }
    lab.commit(0, 5, 1);
    lab.run(30 * S);
    let of = |node: usize| {
        let kinds = lab.nodes[node].messages.iter().map(|it| it[0]);
        kinds.filter(|kind| *kind != COUNT).collect::<Vec<u8>>()
    };
    assert_eq!([of(0), of(1)], [[RECORDS], [ACK]]);
}

#[test]
fn twenty_thousand_come_in_parts_and_changes_go_between() {
    let mut lab = Lab::new(settings());
    lab.activate(0);
    for number in 0..20_000 {
        let clock = lab.nodes[0].at(lab.now_ns());
        let mut lease = lease_of(clock, number);
        lease.hostname = vec![b'x'; 60];
        lab.nodes[0].servers[0].put(clock, &lease);
    }
    let clock = lab.nodes[0].at(lab.now_ns());
    lab.nodes[0].servers[0].tell_all(clock);
    lab.settle();
    lab.nodes[0].messages.clear();
    lab.link();
    lab.run(S);
    assert_eq!(lab.clients(1).len(), 20_000);
    assert!(lab.nodes[0].messages.len() > 20);
    assert!(lab.nodes[1].in_sync.0, "{:?}", lab.nodes[1].in_sync);
    assert_eq!(lab.filed_clients(1).len(), 20_000);
}

fn lease_of(clock: Clock, number: u16) -> Lease {
    Lease {
        key: key(number),
        client: client(7),
        hostname: Vec::new(),
        state: State::Leased,
        valid_s: 600,
        preferred_s: 0,
        expires_ns: Some(clock.monotonic_ns + 600 * S),
        committed_ns: clock.monotonic_ns,
        extra: BTreeMap::from([("subnet_id".to_owned(), "1".to_owned())]),
    }
}

#[test]
fn each_server_follows_by_its_name() {
    let settings = Settings {
        servers: vec![server("lan"), server("guests")],
        ..settings()
    };
    let mut lab = Lab::settled_with(settings);
    lab.commit(0, 5, 1);
    let [lan, guests] = [0, 1].map(|it| lab.nodes[1].engine.tables.servers[it].book.len());
    assert_eq!((lan, guests), (1, 0));
}

#[test]
fn the_identity_follows() {
    let mut lab = Lab::new(settings());
    lab.nodes[0].servers[0].identity = Some(vec![0, 1, 2]);
    lab.nodes[1].servers[0].identity = Some(vec![9, 9, 9]);
    for node in [0, 1] {
        let clock = lab.nodes[node].at(0);
        lab.nodes[node].servers[0].tell_all(clock);
    }
    lab.link();
    lab.activate(0);
    lab.run(S);
    assert_eq!(lab.nodes[1].servers[0].identity, Some(vec![0, 1, 2]));
    lab.nodes[0].servers[0].identity = Some(vec![4, 4, 4]);
    let event = Event::Identity(vec![4, 4, 4]);
    lab.nodes[0].servers[0].events.push_back(event);
    lab.run(61 * S);
    assert_eq!(lab.nodes[1].servers[0].identity, Some(vec![4, 4, 4]));
    lab.cut();
    lab.activate(1);
    assert_eq!(lab.nodes[1].servers[0].identity, Some(vec![4, 4, 4]));
}
