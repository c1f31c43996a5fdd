//! Tests malformed messages, restarts, comparisons, limits.

use spared_replica::Change as Changed;

use super::files::warm_pair;
use super::*;
use crate::wire::{self, Listed, RecordKey};

#[test]
fn nonsense_is_counted_and_everything_is_compared_again() {
    let mut lab = Lab::settled();
    lab.commit(0, 5, 1);
    let now_ns = lab.nodes[1].at(lab.now_ns()).now_ns();
    for _ in 0..3 {
        let result = lab.nodes[1].engine.handle_message(now_ns, &[0x7f; 40]);
        assert!(result.is_err());
    }
    assert!(!lab.nodes[1].in_sync.0 || lab.nodes[1].engine.lack(0).is_some());
    lab.settle();
    lab.nodes[0].messages.clear();
    lab.run(5 * S);
    assert_eq!(lab.nodes[0].sent(BEGIN), 1);
    assert_eq!(lab.number(1, "all.malformed"), 3);
    assert_eq!(lab.nodes[1].warned.len(), 1, "{:?}", lab.nodes[1].warned);
    assert!(lab.nodes[1].in_sync.0, "{:?}", lab.nodes[1].in_sync);
    lab.assert_equal();
}

#[test]
fn nonsense_beside_the_replica_s_messages_is_counted_and_ends_nothing() {
    let mut lab = Lab::settled();
    lab.nodes[0].messages.clear();
    let now_ns = lab.nodes[1].at(lab.now_ns()).now_ns();
    let result = lab.nodes[1].engine.handle_message(now_ns, &[0xff; 40]);
    assert!(result.is_err());
    lab.run(5 * S);
    assert_eq!(lab.nodes[0].sent(BEGIN), 0);
    assert_eq!(lab.number(1, "all.malformed"), 1);
    assert!(lab.nodes[1].in_sync.0, "{:?}", lab.nodes[1].in_sync);
}

/// Changes a lease in a node's book, as if its server had granted it so.
fn believe(lab: &mut Lab, node: usize, change: impl FnOnce(&mut Lease)) {
    let clock = lab.nodes[node].at(lab.now_ns());
    let mut lease = Lease {
        key: key(99),
        client: client(9),
        hostname: Vec::new(),
        state: State::Leased,
        valid_s: 600,
        preferred_s: 0,
        expires_ns: Some(clock.monotonic_ns + 600 * S),
        committed_ns: clock.monotonic_ns,
        extra: BTreeMap::from([("subnet_id".to_owned(), "1".to_owned())]),
    };
    change(&mut lease);
    let engine = &mut lab.nodes[node].engine;
    let leases = &mut engine.tables.servers[0];
    let key = RecordKey::Lease(lease.key);
    leases.book.put(lease, true);
    leases.note_changed(key, Changed::Put);
    engine.tell_replica(clock.now_ns());
    lab.settle();
}

#[test]
fn leases_that_fit_no_such_server_are_refused_one_by_one() {
    let mut lab = Lab::settled();
    believe(&mut lab, 0, |_| ());
    believe(&mut lab, 0, |it| {
        it.key.kind = Kind::Na;
        it.key.address = IpAddr::from([0; 16]);
    });
    believe(&mut lab, 0, |it| {
        it.key = key(98);
        it.extra.insert("a".into(), "b\nc".into());
    });
    assert_eq!(lab.clients(1).len(), 1);
    assert_eq!(lab.number(1, "kea4.refused_here"), 2);
    assert_eq!(lab.number(0, "kea4.refused_there"), 2);
    let (yes, why) = &lab.nodes[1].in_sync;
    assert!(!yes && why.contains("refused"), "{why}");
}

#[test]
fn an_identity_that_no_server_has_is_not_taken() {
    let mut lab = Lab::settled();
    let good = vec![0, 1, 2, 3];
    for identity in [good.clone(), Vec::new(), vec![7; 131]] {
        let event = Event::Identity(identity);
        lab.nodes[0].servers[0].events.push_back(event);
        lab.settle();
    }
    let book = &lab.nodes[1].engine.tables.servers[0].book;
    assert_eq!(book.identity(), Some(&good));
}

#[test]
fn each_of_two_active_servers_keeps_its_identity_and_a_server_without_one_takes_it() {
    let mut lab = Lab::new(settings());
    let identities = [vec![0, 1, 2], vec![9, 9, 9]];
    for (node, identity) in identities.iter().enumerate() {
        lab.nodes[node].servers[0].identity = Some(identity.clone());
        let clock = lab.nodes[node].at(0);
        lab.nodes[node].servers[0].tell_all(clock);
    }
    let known = |lab: &Lab, node: usize| {
        let book = &lab.nodes[node].engine.tables.servers[0].book;
        book.identity().cloned().unwrap_or_default()
    };
    lab.activate(0);
    lab.activate(1);
    lab.link();
    lab.run(S);
    assert_eq!([known(&lab, 0), known(&lab, 1)], identities);
    lab.deactivate(0);
    lab.run(S);
    assert_eq!([0, 1].map(|node| known(&lab, node)), [&[9, 9, 9]; 2]);
    let mut lab = Lab::new(settings());
    lab.nodes[1].servers[0].identity = Some(vec![9, 9, 9]);
    let clock = lab.nodes[1].at(0);
    lab.nodes[1].servers[0].tell_all(clock);
    lab.activate(0);
    lab.link();
    lab.run(S);
    assert_eq!([0, 1].map(|node| known(&lab, node)), [&[9, 9, 9]; 2]);
}

#[test]
fn a_server_that_only_one_side_has_is_said() {
    let mut lab = Lab::new(settings());
    let both = Settings {
        servers: vec![server("kea4"), server("kea6")],
        ..settings()
    };
    lab.nodes[1] = Machine::new(0, lab.nodes[1].clock, both, 9);
    lab.link();
    lab.activate(0);
    lab.run(S);
    let why = "kea6: the peer does not have it, or has not read it yet";
    assert_eq!(lab.nodes[1].in_sync, (false, why.to_owned()));
    assert_eq!(lab.text(0, "all.only_at_peer"), "kea6");
    lab.commit(0, 5, 1);
    assert!(lab.has(1, 5), "the other one follows");
}

#[test]
fn one_name_of_two_kinds_is_said() {
    let mut lab = Lab::new(settings());
    let other = Settings {
        servers: vec![Server {
            format: Format::Dnsmasq,
            ..server("kea4")
        }],
        ..settings()
    };
    lab.nodes[1] = Machine::new(0, lab.nodes[1].clock, other, 9);
    lab.link();
    lab.activate(0);
    lab.run(S);
    let why = "kea4: the server is dnsmasq here and kea4 on the peer";
    assert_eq!(lab.nodes[1].in_sync, (false, why.to_owned()));
}

#[test]
fn a_plugin_that_starts_again_on_the_active_node_loses_nothing() {
    for killed in [true, false] {
        let mut lab = Lab::settled();
        lab.commit(0, 5, 1);
        lab.run(S);
        lab.restart(0, killed, true);
        lab.run(S);
        lab.commit(0, 6, 2);
        assert_eq!(lab.clients(1).len(), 2);
        lab.assert_equal();
        assert!(lab.nodes[1].in_sync.0, "{:?}", lab.nodes[1].in_sync);
    }
}

#[test]
fn what_waits_on_the_active_node_outlives_its_plugin() {
    let mut lab = Lab::settled();
    lab.cut();
    lab.commit(0, 5, 1);
    lab.activate(1);
    lab.deactivate(0);
    lab.link();
    lab.run(S);
    assert_eq!(lab.number(1, "kea4.waiting"), 1);
    lab.restart(1, true, true);
    lab.run(S);
    assert!(lab.has(1, 5), "the peer has it");
    assert_eq!(lab.number(1, "kea4.waiting"), 1);
    lab.assert_equal();
}

#[test]
fn a_plugin_that_starts_again_on_a_clean_backup_stays_clean() {
    let mut lab = Lab::settled();
    lab.commit(0, 5, 1);
    lab.run(S);
    lab.restart(1, false, false);
    lab.run(S);
    assert_eq!(lab.lease(1, 5).map(|it| it.0), Some(client(1)));
    assert_eq!(lab.nodes[1].sent(OFFER), 0);
    lab.cut();
    lab.release(0, 5);
    lab.run(2 * HOUR);
    lab.restart(1, false, false);
    lab.link();
    lab.run(S);
    assert!(!lab.has(0, 5) && !lab.has(1, 5));
}

#[test]
fn what_was_released_is_not_brought_back_by_a_node_that_forgot_whom_it_followed() {
    let mut lab = Lab::settled();
    for (number, who) in [(5, 1), (6, 2)] {
        lab.commit_for(0, number, who, Some(86_400));
    }
    lab.run(S);
    lab.cut();
    lab.activate(1);
    lab.run(2 * HOUR);
    lab.release(1, 5);
    lab.run(100 * S);
    lab.restart(0, true, true);
    lab.deactivate(0);
    lab.link();
    lab.run(S);
    assert!(!lab.has(0, 5) && !lab.has(1, 5));
    assert!(lab.has(0, 6) && lab.has(1, 6));
    assert_eq!(lab.number(1, "kea4.conflicts"), 0);
}

#[test]
fn a_fault_before_the_first_reading_does_not_forget_whom_a_node_follows() {
    let mut lab = Lab::settled();
    lab.commit_for(0, 5, 1, Some(86_400));
    lab.run(S);
    lab.cut();
    lab.release(0, 5);
    lab.run(2 * HOUR);
    let file = lab.nodes[1].servers[0].file.take();
    lab.restart(1, true, false);
    assert!(!lab.nodes[1].in_sync.0);
    let clock = lab.nodes[1].at(lab.now_ns());
    let fake = &mut lab.nodes[1].servers[0];
    fake.file = file;
    fake.events.push_back(Event::Fault(None));
    fake.tell_all(clock);
    lab.run(S);
    assert!(lab.has(1, 5));
    assert!(lab.nodes[1].in_sync.0, "{:?}", lab.nodes[1].in_sync);
    lab.link();
    lab.run(S);
    assert!(!lab.has(0, 5) && !lab.has(1, 5));
    assert_eq!(lab.nodes[1].sent(OFFER), 0);
}

#[test]
fn a_node_that_had_to_make_its_file_is_not_ready_alone() {
    let mut lab = Lab::settled_with(Settings {
        servers: vec![Server {
            format: Format::Dhcpd4,
            ..server("dhcpd4")
        }],
        ..settings()
    });
    lab.cut();
    assert!(lab.nodes[1].in_sync.0, "{:?}", lab.nodes[1].in_sync);
    lab.nodes[1].servers[0].file = None;
    lab.restart(1, true, false);
    lab.run(S);
    assert!(lab.nodes[1].servers[0].file.is_some());
    let why = "dhcpd4: the peer is not connected";
    assert_eq!(lab.nodes[1].in_sync, (false, why.to_owned()));
    lab.link();
    lab.run(S);
    assert!(lab.nodes[1].in_sync.0, "{:?}", lab.nodes[1].in_sync);
    lab.cut();
    assert!(lab.nodes[1].in_sync.0, "{:?}", lab.nodes[1].in_sync);
}

#[test]
fn a_backup_that_starts_alone_has_what_it_saved() {
    let mut lab = Lab::settled();
    lab.commit(0, 5, 1);
    lab.run(S);
    lab.cut();
    lab.restart(1, false, false);
    assert!(lab.nodes[1].in_sync.0, "{:?}", lab.nodes[1].in_sync);
    lab.activate(1);
    assert_eq!(lab.filed_clients(1), BTreeMap::from([(key(5), client(1))]));
}

#[test]
fn no_more_leases_than_there_is_room_for() {
    let mut lab = Lab::settled();
    let clock = lab.nodes[0].at(lab.now_ns());
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
        expires_ns: Some(clock.monotonic_ns + 600 * S),
        committed_ns: clock.monotonic_ns,
        extra: BTreeMap::from([("subnet_id".to_owned(), "1".to_owned())]),
    };
    let tell = |lab: &mut Lab, changes: Vec<Change>| {
        let events = &mut lab.nodes[0].servers[0].events;
        events.push_back(Event::Changes(changes));
        lab.settle();
    };
    let changes = (0..20_486).map(|it| Change::Put(lease(it)));
    tell(&mut lab, changes.collect());
    assert_eq!(lab.number(0, "kea4.records_here"), 20_480);
    assert_eq!(lab.number(1, "kea4.records_here"), 20_480);
    assert_eq!(lab.number(0, "kea4.refused"), 6);
    let fault = "11.0.80.5: there is no room for more leases";
    assert_eq!(lab.text(0, "kea4.last_fault"), fault);
    let state = "cannot be replicated as a whole: 6 leases find no room here, or fit no server of this kind";
    assert!(lab.text(0, "kea4.state").contains(state));
    let why = format!("kea4 {state} on the active node");
    assert_eq!(lab.nodes[1].in_sync, (false, why));
    tell(&mut lab, vec![Change::Put(lease(20_485))]);
    assert_eq!(lab.number(0, "kea4.refused"), 6, "renewed, and the same");
    let gone = |number: u32| Change::Gone {
        key: lease(number).key,
        committed_ns: clock.monotonic_ns,
    };
    tell(&mut lab, vec![gone(0), Change::Put(lease(20_485))]);
    assert_eq!(lab.number(0, "kea4.refused"), 5);
    tell(&mut lab, (20_480..20_485).map(gone).collect());
    assert_eq!(lab.number(0, "kea4.refused"), 0);
    assert!(lab.nodes[1].in_sync.0, "{:?}", lab.nodes[1].in_sync);
}

fn no_difference() -> Difference {
    Difference {
        rows: vec![("all.differences".to_owned(), Value::Number(0))],
        is_any: false,
    }
}

#[test]
fn a_comparison_finds_what_differs_and_nothing_else() {
    let mut lab = Lab::settled();
    lab.commit(0, 5, 1);
    lab.commit(0, 6, 2);
    lab.run(10 * S);
    let compare = |lab: &mut Lab, node: usize| {
        let now_ns = lab.nodes[node].at(lab.now_ns()).now_ns();
        lab.nodes[node].engine.handle_diff(now_ns);
        lab.settle();
        lab.nodes[node].answers.pop().expect("an answer")
    };
    for node in [0, 1] {
        assert_eq!(compare(&mut lab, node), Ok(no_difference()));
    }
    let now_ns = lab.nodes[1].at(lab.now_ns()).now_ns();
    let book = &mut lab.nodes[1].engine.tables.servers[0].book;
    book.remove(&key(5), signed(now_ns) - 10 * S);
    let mut other = book.get(&key(6)).expect("it is there").clone();
    other.client = client(3);
    book.put(other, false);
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
                 on the peer 02:00:00:00:00:03 (host2), 590 s left",
            ),
        ),
        ("all.differences".to_owned(), Value::Number(2)),
    ];
    let (rows, is_any) = (expected, true);
    assert_eq!(compare(&mut lab, 0), Ok(Difference { rows, is_any }));
    let found = compare(&mut lab, 1);
    assert_eq!(found.map(|found| found.rows.len()), Ok(3));
}

#[test]
fn a_comparison_keeps_nothing_that_no_lease_is() {
    let mut lab = Lab::settled();
    lab.commit(0, 5, 1);
    let clock = lab.nodes[1].at(lab.now_ns());
    let value = {
        let book = &lab.nodes[1].engine.tables.servers[0].book;
        wire::write_lease(clock.now_ns(), book.get(&key(5)).expect("it"), true)
    };
    let engine = &mut lab.nodes[1].engine;
    engine.handle_diff(clock.now_ns());
    let id = engine.diff.id();
    let mut say = |id: u32, value: &[u8]| {
        let mut listed = Listed::new(id, "kea4");
        listed.put(RecordKey::Identity, &[1, 2, 3]);
        listed.put(RecordKey::Lease(key(5)), value);
        let heard = engine.handle_message(clock.now_ns(), &listed.bytes());
        (heard.is_ok(), engine.diff.kept())
    };
    assert_eq!(say(id + 1, &value), (true, 0), "another question");
    assert_eq!(say(id, &value[1..]), (false, 0));
    assert_eq!(say(id, &value), (true, 1));
}

#[test]
fn a_comparison_of_many_leases_takes_several_messages() {
    let mut lab = Lab::settled();
    for number in 0..2_000 {
        believe(&mut lab, 0, |it| {
            it.key = key(number);
            it.committed_ns -= 10 * S;
        });
    }
    lab.nodes[1].messages.clear();
    let now_ns = lab.nodes[0].at(lab.now_ns()).now_ns();
    lab.nodes[0].engine.handle_diff(now_ns);
    lab.settle();
    assert_eq!(lab.nodes[0].answers.pop(), Some(Ok(no_difference())));
    let listed = lab.nodes[1].messages.iter();
    assert!(listed.filter(|it| it[0] >= 128).count() > 2);
}

#[test]
fn a_comparison_without_a_peer_fails_at_once_and_with_a_mute_one_in_time() {
    let mut lab = Lab::settled();
    let now_ns = lab.nodes[0].at(lab.now_ns()).now_ns();
    lab.nodes[0].engine.handle_diff(now_ns);
    // the channel accepts it, and it is lost
    let lab_ns = lab.now_ns();
    lab.nodes[0].speak(lab_ns);
    lab.run(9 * S);
    assert!(lab.nodes[0].answers.is_empty());
    lab.run(2 * S);
    let found = lab.nodes[0].answers.pop().expect("an answer");
    assert_eq!(found, Err("the peer does not answer".to_owned()));
    lab.cut();
    let now_ns = lab.nodes[0].at(lab.now_ns()).now_ns();
    lab.nodes[0].engine.handle_diff(now_ns);
    lab.settle();
    let found = lab.nodes[0].answers.pop().expect("an answer");
    assert_eq!(found, Err("the peer is not connected".to_owned()));
}

#[test]
fn a_warm_server_that_stops_before_it_is_silenced_is_no_fault() {
    let mut lab = warm_pair();
    let fake = &mut lab.nodes[0].servers[0];
    (fake.hangs, fake.loses_answers) = (true, true);
    lab.tell_role(0, false);
    lab.stop(0, 0);
    let fake = &mut lab.nodes[0].servers[0];
    (fake.hangs, fake.loses_answers) = (false, false);
    fake.events.append(&mut fake.held);
    lab.run(S);
    assert_eq!(lab.nodes[0].engine.faults(), []);
    lab.start(0, 0);
    assert!(lab.nodes[0].servers[0].silent);
}

#[test]
fn the_summary_is_a_line_for_each_server() {
    let mut lab = Lab::settled();
    lab.commit(0, 5, 1);
    let line = |node: usize| {
        let node = &lab.nodes[node];
        node.engine
            .summary(node.at(lab.now_ns()).now_ns())
            .remove(0)
    };
    let one = ("kea4".to_owned(), Value::Text("1 lease".to_owned()));
    assert_eq!([line(0), line(1)], [one.clone(), one]);
}

#[test]
fn a_server_that_does_not_run_on_the_node_that_serves_is_trouble() {
    let mut lab = Lab::settled();
    let things = |lab: &Lab, node: usize| {
        let troubles = lab.nodes[node].engine.troubles().into_iter();
        let things = troubles.map(|it| format!("{} {}", it.thing, it.why));
        things.collect::<Vec<String>>()
    };
    assert_eq!(things(&lab, 0), [""; 0]);
    lab.stop(0, 0);
    lab.run(S);
    assert_eq!(things(&lab, 0), ["kea-dhcp4-server does not run"]);
    assert_eq!(things(&lab, 1), [""; 0], "it is cold, and is not to run");
    lab.start(0, 0);
    lab.run(S);
    assert_eq!(things(&lab, 0), [""; 0]);
}
