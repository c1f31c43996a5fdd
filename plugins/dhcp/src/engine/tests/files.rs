//! What is written into the servers: cold, warm, and when that fails.

use super::*;

fn warm() -> Settings {
    Settings {
        servers: vec![Server {
            warm: true,
            ..server("kea4")
        }],
        ..settings()
    }
}

/// Both servers run, and take changes; the backup's is silent.
fn warm_pair() -> Pair {
    let mut pair = Pair::new(warm());
    for node in [0, 1] {
        pair.nodes[node].servers[0].live = true;
        pair.start(node, 0);
    }
    pair.link();
    pair.tell_role(1, false);
    let ticket = pair.tell_role(0, true);
    pair.run(S);
    assert!(pair.nodes[0].is_done(ticket));
    assert!(pair.nodes[1].in_sync.0, "{:?}", pair.nodes[1].in_sync);
    pair
}

#[test]
fn a_backup_saves_at_intervals_and_only_what_changed() {
    let mut pair = Pair::settled();
    pair.commit(0, 5, 1);
    pair.run(S);
    assert!(pair.filed(1, 5).is_some(), "the first at once");
    pair.commit(0, 6, 1);
    pair.run(55 * S);
    assert!(pair.filed(1, 6).is_none(), "not yet");
    pair.run(6 * S);
    assert!(pair.filed(1, 6).is_some());
    let replaced = pair.nodes[1].servers[0].replaced;
    pair.run(HOUR);
    assert_eq!(pair.nodes[1].servers[0].replaced, replaced);
}

#[test]
fn people_are_told_where_the_file_is_or_why_nobody_knows() {
    let mut pair = Pair::settled();
    let row = |pair: &Pair| {
        let node = &pair.nodes[0];
        let now_ms = node.at(pair.now_ms).monotonic_ms;
        let mut rows = node.engine.rows(now_ms).into_iter();
        rows.find_map(|(key, value)| (key == "kea4.file").then_some(value))
    };
    assert_eq!(row(&pair), None);
    let fault = Event::Fault(Some("kea.conf: no such file".to_owned()));
    pair.nodes[0].servers[0].events.push_back(fault);
    pair.settle();
    let why = Value::Text("kea.conf: no such file".to_owned());
    assert_eq!(row(&pair), Some(why));
    let place = Event::Place("/var/lib/kea/leases".into());
    pair.nodes[0].servers[0].events.push_back(place);
    pair.settle();
    let file = Value::Text("/var/lib/kea/leases".to_owned());
    assert_eq!(row(&pair), Some(file));
}

#[test]
fn a_backup_that_stops_saves() {
    let mut pair = Pair::settled();
    pair.commit(0, 5, 1);
    pair.run(S);
    pair.commit(0, 6, 1);
    assert!(pair.filed(1, 6).is_none());
    let now_ms = pair.nodes[1].at(pair.now_ms).monotonic_ms;
    pair.nodes[1].engine.handle_stop(now_ms);
    assert!(pair.nodes[1].engine.is_writing(now_ms));
    pair.settle();
    assert!(!pair.nodes[1].engine.is_writing(now_ms));
    assert!(pair.filed(1, 6).is_some());
}

#[test]
fn a_warm_server_takes_leases_while_it_is_silent() {
    let mut pair = warm_pair();
    pair.commit(0, 5, 1);
    assert_eq!(pair.filed(1, 5), Some((client(1), 600)));
    let fake = &pair.nodes[1].servers[0];
    assert!(fake.silent && fake.replaced == 0 && fake.applied == 1);
    assert!(!pair.nodes[0].servers[0].silent);
    pair.release(0, 5);
    assert!(pair.filed(1, 5).is_none());
    pair.cut();
    let ticket = pair.tell_role(1, true);
    assert!(pair.nodes[1].is_done(ticket));
    assert!(!pair.nodes[1].servers[0].silent, "it has to answer now");
}

#[test]
fn a_switchover_waits_until_the_old_warm_server_is_silent() {
    let mut pair = warm_pair();
    pair.drain(0);
    let coming = pair.tell_role(1, true);
    pair.nodes[0].servers[0].mumbles = true;
    let going = pair.tell_role(0, false);
    pair.run(S / 2);
    assert!(!pair.nodes[0].is_done(going) && !pair.nodes[1].is_done(coming));
    assert!(pair.nodes[1].servers[0].silent, "both would answer");
    // nobody knows yet that it does not give any more
    pair.commit(0, 6, 2);
    pair.nodes[0].servers[0].mumbles = false;
    pair.run(S);
    assert!(pair.nodes[0].is_done(going) && pair.nodes[1].is_done(coming));
    assert!(pair.nodes[0].servers[0].silent && !pair.nodes[1].servers[0].silent);
    assert_eq!(pair.filed(1, 6), Some((client(2), 599)));
}

#[test]
fn a_warm_server_that_does_not_fall_silent_delays_a_switchover_by_a_bound() {
    let mut pair = warm_pair();
    pair.nodes[0].servers[0].mumbles = true;
    pair.drain(0);
    let coming = pair.tell_role(1, true);
    pair.tell_role(0, false);
    pair.run(2 * S);
    assert!(!pair.nodes[1].is_done(coming));
    pair.run(S);
    assert!(pair.nodes[1].is_done(coming));
    assert_eq!(pair.text(0, "kea4.last_fault"), "no answer");
    let (yes, why) = &pair.nodes[0].in_sync;
    assert!(!yes && why.contains("does not hear"), "{why}");
}

#[test]
fn a_warm_server_whose_role_comes_back_while_it_goes_answers_again() {
    let mut pair = warm_pair();
    pair.nodes[0].servers[0].mumbles = true;
    pair.tell_role(0, false);
    assert!(pair.nodes[0].servers[0].silent);
    pair.nodes[0].servers[0].mumbles = false;
    pair.tell_role(0, true);
    pair.run(2 * S);
    assert!(!pair.nodes[0].servers[0].silent);
}

#[test]
fn a_warm_server_that_starts_again_is_silent_again() {
    let mut pair = warm_pair();
    pair.stop(1, 0);
    pair.commit(0, 5, 1);
    pair.start(1, 0);
    assert!(pair.nodes[1].servers[0].silent);
    assert!(pair.filed(1, 5).is_some(), "what came meanwhile");
    assert!(pair.nodes[1].in_sync.0, "{:?}", pair.nodes[1].in_sync);
}

#[test]
fn the_active_node_s_warm_server_is_not_silenced_by_a_restart_of_the_plugin() {
    let mut pair = warm_pair();
    pair.nodes[0].servers[0].was_silenced = false;
    pair.restart(0, true, true);
    pair.run(S);
    assert!(!pair.nodes[0].servers[0].was_silenced);
    assert!(pair.nodes[1].in_sync.0, "{:?}", pair.nodes[1].in_sync);
}

#[test]
fn what_a_warm_server_refuses_is_said_and_tried_again() {
    let mut pair = warm_pair();
    pair.nodes[1].servers[0].refuses = true;
    pair.commit(0, 5, 1);
    let (yes, why) = &pair.nodes[1].in_sync;
    assert!(!yes && why == "kea4 does not take 1 lease", "{why}");
    assert_eq!(pair.number(1, "kea4.refused"), 1);
    assert_eq!(pair.text(1, "kea4.last_fault"), "10.0.0.5: no such subnet");
    let applied = pair.nodes[1].servers[0].applied;
    pair.run(59 * S);
    assert_eq!(
        pair.nodes[1].servers[0].applied, applied,
        "not all the time"
    );
    pair.nodes[1].servers[0].refuses = false;
    pair.run(2 * S);
    assert!(pair.nodes[1].in_sync.0);
    assert!(pair.filed(1, 5).is_some());
}

#[test]
fn what_a_warm_server_did_not_hear_is_said_again() {
    let mut pair = warm_pair();
    pair.nodes[1].servers[0].live = false;
    pair.commit(0, 5, 1);
    let why = "kea4 cannot be written: nobody listens";
    assert_eq!(pair.nodes[1].in_sync, (false, why.to_owned()));
    pair.nodes[1].servers[0].live = true;
    pair.run(11 * S);
    assert!(pair.filed(1, 5).is_some());
    assert!(pair.nodes[1].in_sync.0, "{:?}", pair.nodes[1].in_sync);
}

#[test]
fn a_commit_that_is_read_while_the_file_is_replaced_is_written_again() {
    let mut pair = Pair::settled();
    pair.commit(0, 5, 1);
    pair.run(S);
    pair.commit(0, 6, 2);
    pair.cut();
    pair.nodes[1].servers[0].hangs = true;
    pair.tell_role(1, true);
    let serial = pair.nodes[1].engine.stores[0].save.serial();
    pair.nodes[1].servers[0].hangs = false;
    // the server's thread read this before it wrote
    let clock = pair.nodes[0].at(pair.now_ms);
    let mut lease = pair.nodes[0].servers[0].leases(clock)[&key(5)].clone();
    lease.key = key(7);
    lease.expires_ms = None;
    lease.valid_s = u32::MAX;
    let fake = &mut pair.nodes[1].servers[0];
    fake.events
        .push_back(Event::Changes(vec![Change::Put(lease)]));
    fake.events.push_back(Event::Done {
        serial,
        result: Ok(()),
        refused: Vec::new(),
    });
    pair.run(S);
    assert!(pair.filed(1, 7).is_some());
    assert_eq!(pair.filed_clients(1).len(), 3);
}

#[test]
fn a_warm_server_that_has_it_otherwise_is_no_quarrel() {
    let mut pair = warm_pair();
    pair.commit(0, 5, 1);
    for _ in 0..5 {
        let clock = pair.nodes[1].at(pair.now_ms);
        let mut lease = pair.nodes[1].servers[0].leases(clock)[&key(5)].clone();
        lease.hostname = b"otherwise".to_vec();
        let event = Event::Changes(vec![Change::Put(lease)]);
        pair.nodes[1].servers[0].events.push_back(event);
        pair.run(S);
    }
    assert!(pair.nodes[1].servers[0].applied <= 2);
    assert_eq!(pair.lease(0, 5), pair.lease(1, 5));
}

#[test]
fn a_server_that_runs_on_a_cold_backup_is_said_and_written_when_it_stops() {
    let mut pair = Pair::settled();
    pair.start(1, 0);
    let why = "kea4 runs, though this node is backup: stop it";
    assert_eq!(pair.nodes[1].in_sync, (false, why.to_owned()));
    pair.commit(0, 5, 1);
    pair.run(70 * S);
    assert!(pair.filed(1, 5).is_none());
    assert_eq!(pair.number(1, "kea4.waiting"), 1);
    // what it gives there counts for nobody
    pair.commit(1, 9, 9);
    assert!(!pair.has(0, 9) && !pair.has(1, 9));
    pair.stop(1, 0);
    pair.run(S);
    assert_eq!(pair.filed_clients(1), BTreeMap::from([(key(5), client(1))]));
    assert!(pair.nodes[1].in_sync.0, "{:?}", pair.nodes[1].in_sync);
}

#[test]
fn a_failover_with_a_server_that_runs_waits_for_nothing() {
    let mut pair = Pair::settled();
    pair.start(1, 0);
    pair.commit(0, 5, 1);
    pair.cut();
    let ticket = pair.tell_role(1, true);
    assert!(pair.nodes[1].is_done(ticket));
    assert_eq!(pair.number(1, "kea4.waiting"), 1);
    pair.stop(1, 0);
    assert_eq!(pair.filed(1, 5), Some((client(1), 600)));
    let said = "kea4 runs already: 1 lease waits until it is stopped";
    let events = &pair.nodes[1].events;
    assert!(events.iter().any(|it| it == said), "{events:?}");
}

#[test]
fn what_cannot_be_written_is_said_and_tried_again() {
    let mut pair = Pair::settled();
    pair.nodes[1].servers[0].broken = Some("no space left".to_owned());
    pair.commit(0, 5, 1);
    pair.run(61 * S);
    let why = "kea4 cannot be written: no space left";
    assert_eq!(pair.nodes[1].in_sync, (false, why.to_owned()));
    let told = pair.nodes[1].events.iter().filter(|it| *it == why);
    assert_eq!(told.count(), 1, "once");
    pair.cut();
    let ticket = pair.tell_role(1, true);
    assert!(pair.nodes[1].is_done(ticket), "the role is no hostage");
    pair.nodes[1].servers[0].broken = None;
    pair.run(2 * S);
    assert!(pair.filed(1, 5).is_some());
}

#[test]
fn a_file_that_was_never_there_is_made() {
    let mut pair = Pair::new(settings());
    pair.nodes[1].servers[0].file = None;
    pair.restart(1, true, false);
    pair.link();
    pair.activate(0);
    pair.run(S);
    assert!(
        pair.nodes[1].servers[0].file.is_some(),
        "an empty one is a file, too"
    );
    assert!(pair.nodes[1].in_sync.0, "{:?}", pair.nodes[1].in_sync);
}

#[test]
fn a_running_server_that_takes_changes_gets_late_ones_on_the_active_node() {
    let mut pair = Pair::settled();
    pair.cut();
    pair.nodes[1].servers[0].live = true;
    pair.commit(0, 5, 1);
    pair.activate(1);
    pair.deactivate(0);
    pair.link();
    pair.run(S);
    assert!(pair.filed(1, 5).is_some());
    assert_eq!(pair.number(1, "kea4.waiting"), 0);
    pair.assert_equal();
}

#[test]
fn an_active_server_that_lost_its_file_does_not_empty_the_backup() {
    let mut pair = Pair::settled();
    pair.commit(0, 5, 1);
    pair.commit(0, 6, 2);
    pair.run(61 * S);
    pair.nodes[0].servers[0].file = Some(BTreeMap::new());
    let clock = pair.nodes[0].at(pair.now_ms);
    pair.nodes[0].servers[0].tell_all(clock);
    pair.run(61 * S);
    assert_eq!(pair.clients(1).len(), 2);
    assert_eq!(pair.filed_clients(1).len(), 2);
    assert_eq!(pair.number(0, "kea4.waiting"), 2);
    pair.stop(0, 0);
    assert_eq!(pair.filed_clients(0).len(), 2, "and gets them back");
}

#[test]
fn an_active_node_that_starts_without_its_file_gets_it_from_the_peer() {
    let mut pair = Pair::settled();
    pair.commit(0, 5, 1);
    pair.stop(0, 0);
    pair.nodes[0].servers[0].file = None;
    pair.restart(0, true, true);
    pair.run(S);
    assert_eq!(pair.lease(0, 5).map(|it| it.0), Some(client(1)));
    assert_eq!(pair.filed(0, 5).map(|it| it.0), Some(client(1)));
    pair.assert_equal();
    assert_eq!(pair.number(0, "kea4.conflicts"), 0);
}

#[test]
fn with_allow_empty_an_emptied_file_empties_the_backup() {
    let mut pair = Pair::settled_with(Settings {
        servers: vec![Server {
            allow_empty: true,
            ..server("kea4")
        }],
        ..settings()
    });
    pair.commit(0, 5, 1);
    pair.run(61 * S);
    pair.nodes[0].servers[0].file = Some(BTreeMap::new());
    let clock = pair.nodes[0].at(pair.now_ms);
    pair.nodes[0].servers[0].tell_all(clock);
    pair.run(61 * S);
    assert_eq!(pair.filed_clients(1).len(), 0);
}

#[test]
fn a_broken_reading_adds_and_never_removes() {
    let mut pair = Pair::settled();
    pair.commit(0, 5, 1);
    pair.commit(0, 6, 2);
    let clock = pair.nodes[0].at(pair.now_ms);
    let mut leases = pair.nodes[0].servers[0].leases(clock);
    leases.remove(&key(5));
    let mut new = leases[&key(6)].clone();
    new.key = key(7);
    leases.insert(key(7), new);
    let set = Set {
        leases,
        identity: None,
    };
    let broken = Some("line 3 is no lease".to_owned());
    let reading = Event::Reading { set, broken };
    pair.nodes[0].servers[0].events.push_back(reading);
    pair.settle();
    assert!(pair.has(1, 5) && pair.has(1, 6) && pair.has(1, 7));
    assert_eq!(pair.text(0, "kea4.last_fault"), "line 3 is no lease");
}

#[test]
fn a_whole_reading_removes_what_it_lacks() {
    let mut pair = Pair::settled();
    pair.commit(0, 5, 1);
    pair.commit(0, 6, 2);
    pair.nodes[0].servers[0].file().remove(&key(5));
    let clock = pair.nodes[0].at(pair.now_ms);
    pair.nodes[0].servers[0].tell_all(clock);
    pair.settle();
    assert!(!pair.has(1, 5) && pair.has(1, 6));
}

#[test]
fn a_foreign_file_on_the_backup_is_put_right() {
    let mut pair = Pair::settled();
    pair.commit(0, 5, 1);
    pair.run(61 * S);
    let clock = pair.nodes[1].at(pair.now_ms);
    pair.nodes[1].servers[0].file().clear();
    pair.nodes[1].servers[0].tell_all(clock);
    pair.run(61 * S);
    assert_eq!(pair.filed_clients(1), pair.clients(0));
}

#[test]
fn a_foreign_running_identity_on_a_warm_backup_is_said() {
    let mut pair = warm_pair();
    pair.nodes[0].servers[0]
        .events
        .push_back(Event::Identity(vec![1, 2, 3]));
    pair.run(S);
    assert!(
        pair.nodes[1].in_sync.1.contains("DUID"),
        "{:?}",
        pair.nodes[1].in_sync
    );
    pair.stop(1, 0);
    pair.start(1, 0);
    assert!(pair.nodes[1].in_sync.0, "{:?}", pair.nodes[1].in_sync);
    assert_eq!(pair.nodes[1].servers[0].identity, Some(vec![1, 2, 3]));
}

#[test]
fn what_the_peer_offered_before_the_file_was_read_waits_for_nothing() {
    let mut pair = Pair::settled();
    pair.commit(0, 5, 1);
    let clock = pair.nodes[0].at(pair.now_ms);
    let book = &mut pair.nodes[0].engine.stores[0].book;
    // the same lease, whose age was on its way for a moment
    book.touch(&key(5), clock.monotonic_ms + 5);
    book.unfiled.insert(key(5));
    assert_eq!(pair.number(0, "kea4.waiting"), 1);
    pair.nodes[0].servers[0].tell_all(clock);
    pair.settle();
    assert_eq!(pair.number(0, "kea4.waiting"), 0);
}

#[test]
fn a_broken_file_is_not_replaced_by_nothing() {
    let mut pair = Pair::settled();
    let fake = &mut pair.nodes[1].servers[0];
    let replaced = fake.replaced;
    let event = Event::Reading {
        set: Set::default(),
        broken: Some("line 3: it is no lease".to_owned()),
    };
    fake.events.push_back(event);
    pair.run(100 * S);
    assert_eq!(pair.nodes[1].servers[0].replaced, replaced);
}
