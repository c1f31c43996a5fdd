//! Tests writes to the servers: cold, warm, and failed ones.

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

/// A pair whose servers both run and accept changes; the backup's is silent.
pub(super) fn warm_pair() -> Lab {
    let mut lab = Lab::new(warm());
    for node in [0, 1] {
        lab.nodes[node].servers[0].live = true;
        lab.start(node, 0);
    }
    lab.link();
    lab.tell_role(1, false);
    let ticket = lab.tell_role(0, true);
    lab.run(S);
    assert!(lab.nodes[0].is_done(ticket));
    assert!(lab.nodes[1].in_sync.0, "{:?}", lab.nodes[1].in_sync);
    lab
}

#[test]
fn a_backup_saves_at_intervals_and_only_what_changed() {
    let mut lab = Lab::settled();
    lab.commit(0, 5, 1);
    lab.run(S);
    assert!(lab.filed(1, 5).is_some(), "the first at once");
    lab.commit(0, 6, 1);
    lab.run(55 * S);
    assert!(lab.filed(1, 6).is_none(), "not yet");
    lab.run(6 * S);
    assert!(lab.filed(1, 6).is_some());
    let replaced = lab.nodes[1].servers[0].replaced;
    lab.run(HOUR);
    assert_eq!(lab.nodes[1].servers[0].replaced, replaced);
}

#[test]
fn people_are_told_where_the_file_is_or_why_nobody_knows() {
    let mut lab = Lab::settled();
    let row = |lab: &Lab| {
        let node = &lab.nodes[0];
        let now_ns = node.at(lab.now_ns()).now_ns();
        let mut rows = node.engine.rows(now_ns).into_iter();
        rows.find_map(|(key, value)| (key == "kea4.file").then_some(value))
    };
    let file = Value::Text("/leases".to_owned());
    assert_eq!(row(&lab), Some(file));
    let unnamed = Event::UnnamedFile(true);
    lab.nodes[0].servers[0].events.push_back(unnamed);
    lab.settle();
    let file = "/leases (the server writes to a file that was moved away or removed)";
    assert_eq!(row(&lab), Some(Value::Text(file.to_owned())));
}

#[test]
fn a_server_whose_leases_are_nowhere_is_not_followed_and_not_written() {
    let why = "kea.conf: leases in a database (mysql) cannot follow";
    for node in [0, 1] {
        let mut lab = Lab::settled();
        lab.commit(0, 5, 1);
        let (replaced, failures) = (
            lab.nodes[node].servers[0].replaced,
            lab.nodes[node].events.len(),
        );
        lab.stop(0, 0);
        let events = &mut lab.nodes[node].servers[0].events;
        events.push_back(Event::Place(None));
        events.push_back(Event::Fault(Some(why.to_owned())));
        lab.commit(0, 6, 1);
        lab.run(100 * S);
        assert_eq!(lab.nodes[node].servers[0].replaced, replaced);
        assert_eq!(lab.nodes[node].events.len(), failures);
        assert_eq!(lab.text(node, "kea4.last_fault"), why);
        let state = format!("cannot be replicated: {why}");
        assert!(lab.text(node, "kea4.state").contains(&state));
        let now_ns = lab.nodes[node].at(lab.now_ns()).now_ns();
        let rows = lab.nodes[node].engine.rows(now_ns);
        assert!(!rows.iter().any(|(key, _)| key == "kea4.file"), "{rows:?}");
        let (yes, said) = &lab.nodes[1].in_sync;
        assert!(!yes && said.contains(&state), "{said}");
    }
}

#[test]
fn a_backup_that_stops_saves() {
    let mut lab = Lab::settled();
    lab.commit(0, 5, 1);
    lab.run(S);
    lab.commit(0, 6, 1);
    assert!(lab.filed(1, 6).is_none());
    let now_ns = lab.nodes[1].at(lab.now_ns()).now_ns();
    lab.nodes[1].engine.handle_stop(now_ns);
    assert!(lab.nodes[1].engine.is_writing(now_ns));
    lab.settle();
    assert!(!lab.nodes[1].engine.is_writing(now_ns));
    assert!(lab.filed(1, 6).is_some());
}

#[test]
fn a_warm_server_takes_leases_while_it_is_silent() {
    let mut lab = warm_pair();
    lab.commit(0, 5, 1);
    assert_eq!(lab.filed(1, 5), Some((client(1), 600)));
    let fake = &lab.nodes[1].servers[0];
    assert!(fake.silent && fake.replaced == 0 && fake.applied == 1);
    assert!(!lab.nodes[0].servers[0].silent);
    lab.release(0, 5);
    assert!(lab.filed(1, 5).is_none());
    lab.cut();
    let ticket = lab.tell_role(1, true);
    assert!(lab.nodes[1].is_done(ticket));
    assert!(!lab.nodes[1].servers[0].silent, "it has to answer now");
}

#[test]
fn a_switchover_waits_until_the_old_warm_server_is_silent() {
    let mut lab = warm_pair();
    lab.drain(0);
    let coming = lab.tell_role(1, true);
    lab.nodes[0].servers[0].loses_answers = true;
    let going = lab.tell_role(0, false);
    lab.run(S / 2);
    assert!(!lab.nodes[0].is_done(going) && !lab.nodes[1].is_done(coming));
    assert!(lab.nodes[1].servers[0].silent, "both would answer");
    // it is not known yet that it no longer grants leases
    lab.commit(0, 6, 2);
    lab.nodes[0].servers[0].loses_answers = false;
    lab.run(S);
    assert!(lab.nodes[0].is_done(going) && lab.nodes[1].is_done(coming));
    assert!(lab.nodes[0].servers[0].silent && !lab.nodes[1].servers[0].silent);
    assert_eq!(lab.filed(1, 6), Some((client(2), 599)));
}

#[test]
fn a_warm_server_that_does_not_fall_silent_delays_a_switchover_by_a_bound() {
    let mut lab = warm_pair();
    lab.nodes[0].servers[0].loses_answers = true;
    lab.drain(0);
    let coming = lab.tell_role(1, true);
    lab.tell_role(0, false);
    lab.run(2 * S);
    assert!(!lab.nodes[1].is_done(coming));
    lab.run(S);
    assert!(lab.nodes[1].is_done(coming));
    assert_eq!(lab.text(0, "kea4.last_fault"), "no answer");
    let (yes, why) = &lab.nodes[0].in_sync;
    assert!(!yes && why.contains("cannot be silenced"), "{why}");
}

#[test]
fn a_warm_server_whose_role_comes_back_while_it_goes_answers_again() {
    let mut lab = warm_pair();
    lab.nodes[0].servers[0].loses_answers = true;
    lab.tell_role(0, false);
    assert!(lab.nodes[0].servers[0].silent);
    lab.nodes[0].servers[0].loses_answers = false;
    lab.tell_role(0, true);
    lab.run(2 * S);
    assert!(!lab.nodes[0].servers[0].silent);
}

#[test]
fn a_warm_server_that_cannot_answer_is_told_less_and_less_often() {
    let mut lab = warm_pair();
    lab.nodes[0].servers[0].loses_answers = true;
    lab.stop(0, 0);
    lab.start(0, 0);
    let before = lab.nodes[0].servers[0].orders;
    lab.run(10 * 60 * S);
    let orders = lab.nodes[0].servers[0].orders - before;
    assert!((10..20).contains(&orders), "{orders}");
    lab.nodes[0].servers[0].loses_answers = false;
    lab.run(60 * S);
    let before = lab.nodes[0].servers[0].orders;
    lab.run(10 * 60 * S);
    assert_eq!(
        lab.nodes[0].servers[0].orders, before,
        "it does as it was told"
    );
}

#[test]
fn a_warm_server_that_starts_again_is_silent_again() {
    let mut lab = warm_pair();
    lab.stop(1, 0);
    lab.commit(0, 5, 1);
    lab.start(1, 0);
    assert!(lab.nodes[1].servers[0].silent);
    assert!(lab.filed(1, 5).is_some(), "what came meanwhile");
    assert!(lab.nodes[1].in_sync.0, "{:?}", lab.nodes[1].in_sync);
}

#[test]
fn the_active_node_s_warm_server_is_not_silenced_by_a_restart_of_the_plugin() {
    let mut lab = warm_pair();
    lab.nodes[0].servers[0].was_silenced = false;
    lab.restart(0, true, true);
    lab.run(S);
    assert!(!lab.nodes[0].servers[0].was_silenced);
    assert!(lab.nodes[1].in_sync.0, "{:?}", lab.nodes[1].in_sync);
}

#[test]
fn what_a_warm_server_refuses_is_said_and_tried_again() {
    let mut lab = warm_pair();
    lab.nodes[1].servers[0].refuses = true;
    lab.commit(0, 5, 1);
    let (yes, why) = &lab.nodes[1].in_sync;
    assert!(!yes && why == "kea4 does not take 1 lease", "{why}");
    assert_eq!(lab.number(1, "kea4.refused"), 1);
    assert_eq!(lab.text(1, "kea4.last_fault"), "10.0.0.5: no such subnet");
    let applied = lab.nodes[1].servers[0].applied;
    lab.run(59 * S);
    assert_eq!(lab.nodes[1].servers[0].applied, applied, "not all the time");
    lab.nodes[1].servers[0].refuses = false;
    lab.run(2 * S);
    assert!(lab.nodes[1].in_sync.0);
    assert!(lab.filed(1, 5).is_some());
}

#[test]
fn a_command_that_takes_long_is_waited_for_though_more_is_due() {
    let mut lab = warm_pair();
    lab.nodes[1].servers[0].refuses = true;
    lab.commit(0, 5, 1);
    lab.nodes[1].servers[0].hangs = true;
    lab.commit(0, 6, 2);
    lab.run(61 * S);
    let now_ns = lab.nodes[1].at(lab.now_ns()).now_ns();
    assert!(lab.nodes[1].engine.next_timeout(now_ns) > now_ns);
}

#[test]
fn what_a_warm_server_did_not_hear_is_said_again() {
    let mut lab = warm_pair();
    lab.nodes[1].servers[0].live = false;
    lab.commit(0, 5, 1);
    let why = "kea4 cannot be written: nobody listens";
    assert_eq!(lab.nodes[1].in_sync, (false, why.to_owned()));
    lab.nodes[1].servers[0].live = true;
    lab.run(11 * S);
    assert!(lab.filed(1, 5).is_some());
    assert!(lab.nodes[1].in_sync.0, "{:?}", lab.nodes[1].in_sync);
}

#[test]
fn a_commit_that_is_read_while_the_file_is_replaced_is_written_again() {
    let mut lab = Lab::settled();
    lab.commit(0, 5, 1);
    lab.run(S);
    lab.commit(0, 6, 2);
    lab.cut();
    lab.nodes[1].servers[0].hangs = true;
    lab.tell_role(1, true);
    let serial = lab.nodes[1].engine.tables.servers[0].save.serial();
    lab.nodes[1].servers[0].hangs = false;
    // the server's thread read this before it wrote
    let clock = lab.nodes[0].at(lab.now_ns());
    let mut lease = lab.nodes[0].servers[0].leases(clock)[&key(5)].clone();
    lease.key = key(7);
    lease.expires_ns = None;
    lease.valid_s = u32::MAX;
    let fake = &mut lab.nodes[1].servers[0];
    fake.events
        .push_back(Event::Changes(vec![Change::Put(lease)]));
    fake.events.push_back(Event::Done {
        serial,
        result: Ok(()),
        refused: Vec::new(),
    });
    lab.run(S);
    assert!(lab.filed(1, 7).is_some());
    assert_eq!(lab.filed_clients(1).len(), 3);
}

#[test]
fn a_warm_server_that_has_it_otherwise_is_no_quarrel() {
    let mut lab = warm_pair();
    lab.commit(0, 5, 1);
    for _ in 0..5 {
        let clock = lab.nodes[1].at(lab.now_ns());
        let mut lease = lab.nodes[1].servers[0].leases(clock)[&key(5)].clone();
        lease.hostname = b"otherwise".to_vec();
        let event = Event::Changes(vec![Change::Put(lease)]);
        lab.nodes[1].servers[0].events.push_back(event);
        lab.run(S);
    }
    assert!(lab.nodes[1].servers[0].applied <= 2);
    assert_eq!(lab.lease(0, 5), lab.lease(1, 5));
}

#[test]
fn a_server_that_runs_on_a_cold_backup_is_said_and_written_when_it_stops() {
    let mut lab = Lab::settled();
    lab.start(1, 0);
    let why = "kea4 runs, though this node is backup: stop it";
    assert_eq!(lab.nodes[1].in_sync, (false, why.to_owned()));
    lab.commit(0, 5, 1);
    lab.run(70 * S);
    assert!(lab.filed(1, 5).is_none());
    assert_eq!(lab.number(1, "kea4.waiting"), 1);
    // leases that it grants there count for no client
    lab.commit(1, 9, 9);
    assert!(!lab.has(0, 9) && !lab.has(1, 9));
    lab.stop(1, 0);
    lab.run(S);
    assert_eq!(lab.filed_clients(1), BTreeMap::from([(key(5), client(1))]));
    assert!(lab.nodes[1].in_sync.0, "{:?}", lab.nodes[1].in_sync);
}

#[test]
fn a_failover_with_a_server_that_runs_waits_for_nothing() {
    let mut lab = Lab::settled();
    lab.start(1, 0);
    lab.commit(0, 5, 1);
    lab.cut();
    let ticket = lab.tell_role(1, true);
    assert!(lab.nodes[1].is_done(ticket));
    assert_eq!(lab.number(1, "kea4.waiting"), 1);
    lab.stop(1, 0);
    assert_eq!(lab.filed(1, 5), Some((client(1), 600)));
    let said = "kea4 is already running: 1 lease waits until it is stopped";
    let events = &lab.nodes[1].events;
    assert!(events.iter().any(|it| it == said), "{events:?}");
}

#[test]
fn what_cannot_be_written_is_said_and_tried_again() {
    let mut lab = Lab::settled();
    lab.nodes[1].servers[0].broken = Some("no space left".to_owned());
    lab.commit(0, 5, 1);
    lab.run(61 * S);
    let why = "kea4 cannot be written: no space left";
    assert_eq!(lab.nodes[1].in_sync, (false, why.to_owned()));
    let told = lab.nodes[1].events.iter().filter(|it| *it == why);
    assert_eq!(told.count(), 1, "once");
    lab.cut();
    let ticket = lab.tell_role(1, true);
    assert!(lab.nodes[1].is_done(ticket), "the role is no hostage");
    lab.nodes[1].servers[0].broken = None;
    lab.run(2 * S);
    assert!(lab.filed(1, 5).is_some());
}

#[test]
fn a_file_that_was_never_there_is_made() {
    let mut lab = Lab::new(settings());
    lab.nodes[1].servers[0].file = None;
    lab.restart(1, true, false);
    lab.link();
    lab.activate(0);
    lab.run(S);
    assert!(
        lab.nodes[1].servers[0].file.is_some(),
        "an empty one is a file, too"
    );
    assert!(lab.nodes[1].in_sync.0, "{:?}", lab.nodes[1].in_sync);
}

#[test]
fn a_server_that_needs_its_file_to_start_gets_one_on_both_fresh_nodes() {
    let dhcpd = Settings {
        servers: vec![Server {
            format: Format::Dhcpd4,
            ..server("dhcpd4")
        }],
        ..settings()
    };
    for (settings, is_made) in [(dhcpd, true), (settings(), false)] {
        let mut lab = Lab::new(settings);
        for node in [0, 1] {
            let fake = &mut lab.nodes[node].servers[0];
            fake.file = None;
            fake.place = Some("/leases".into());
            lab.restart(node, true, false);
        }
        lab.link();
        let ticket = lab.tell_role(0, true);
        assert!(lab.nodes[0].is_done(ticket));
        assert_eq!(lab.nodes[0].servers[0].file.is_some(), is_made);
        lab.run(S);
        assert_eq!(lab.nodes[0].servers[0].replaced, usize::from(is_made));
        assert!(lab.nodes[1].servers[0].file.is_some());
    }
}

#[test]
fn a_running_server_that_takes_changes_gets_late_ones_on_the_active_node() {
    let mut lab = Lab::settled();
    lab.cut();
    lab.nodes[1].servers[0].live = true;
    lab.commit(0, 5, 1);
    lab.activate(1);
    lab.deactivate(0);
    lab.link();
    lab.run(S);
    assert!(lab.filed(1, 5).is_some());
    assert_eq!(lab.number(1, "kea4.waiting"), 0);
    lab.assert_equal();
}

#[test]
fn an_active_server_that_lost_its_file_does_not_empty_the_backup() {
    let mut lab = Lab::settled();
    lab.commit(0, 5, 1);
    lab.commit(0, 6, 2);
    lab.run(61 * S);
    lab.nodes[0].servers[0].file = Some(BTreeMap::new());
    let clock = lab.nodes[0].at(lab.now_ns());
    lab.nodes[0].servers[0].tell_all(clock);
    lab.run(61 * S);
    assert_eq!(lab.clients(1).len(), 2);
    assert_eq!(lab.filed_clients(1).len(), 2);
    assert_eq!(lab.number(0, "kea4.waiting"), 2);
    lab.stop(0, 0);
    assert_eq!(lab.filed_clients(0).len(), 2, "and gets them back");
}

#[test]
fn an_active_node_that_starts_without_its_file_gets_it_from_the_peer() {
    let mut lab = Lab::settled();
    lab.commit(0, 5, 1);
    lab.stop(0, 0);
    lab.nodes[0].servers[0].file = None;
    lab.restart(0, true, true);
    lab.run(S);
    assert_eq!(lab.lease(0, 5).map(|it| it.0), Some(client(1)));
    assert_eq!(lab.filed(0, 5).map(|it| it.0), Some(client(1)));
    lab.assert_equal();
    assert_eq!(lab.number(0, "kea4.conflicts"), 0);
}

#[test]
fn with_allow_empty_an_emptied_file_empties_the_backup() {
    let mut lab = Lab::settled_with(Settings {
        servers: vec![Server {
            allow_empty: true,
            ..server("kea4")
        }],
        ..settings()
    });
    lab.commit(0, 5, 1);
    lab.run(61 * S);
    lab.nodes[0].servers[0].file = Some(BTreeMap::new());
    let clock = lab.nodes[0].at(lab.now_ns());
    lab.nodes[0].servers[0].tell_all(clock);
    lab.run(61 * S);
    assert_eq!(lab.filed_clients(1).len(), 0);
}

#[test]
fn a_broken_reading_adds_and_never_removes() {
    let mut lab = Lab::settled();
    lab.commit(0, 5, 1);
    lab.commit(0, 6, 2);
    let clock = lab.nodes[0].at(lab.now_ns());
    let mut leases = lab.nodes[0].servers[0].leases(clock);
    leases.remove(&key(5));
    let mut new = leases[&key(6)].clone();
    new.key = key(7);
    leases.insert(key(7), new);
    let set = Set {
        leases,
        identity: None,
    };
    let broken = Some("line 3 is not a lease".to_owned());
    let reading = Event::Reading { set, broken };
    lab.nodes[0].servers[0].events.push_back(reading);
    lab.settle();
    assert!(lab.has(1, 5) && lab.has(1, 6) && lab.has(1, 7));
    assert_eq!(lab.text(0, "kea4.last_fault"), "line 3 is not a lease");
}

#[test]
fn a_whole_reading_removes_what_it_lacks() {
    let mut lab = Lab::settled();
    lab.commit(0, 5, 1);
    lab.commit(0, 6, 2);
    let tell = |lab: &mut Lab| {
        lab.nodes[0].servers[0].file().remove(&key(5));
        let clock = lab.nodes[0].at(lab.now_ns());
        lab.nodes[0].servers[0].tell_all(clock);
        lab.settle();
    };
    tell(&mut lab);
    assert!(
        lab.has(1, 5),
        "its server knows it, and would say that it has gone"
    );
    lab.stop(0, 0);
    assert!(lab.filed(0, 5).is_some());
    tell(&mut lab);
    assert!(!lab.has(1, 5) && lab.has(1, 6));
}

#[test]
fn a_foreign_file_on_the_backup_is_put_right() {
    let mut lab = Lab::settled();
    lab.commit(0, 5, 1);
    lab.run(61 * S);
    let clock = lab.nodes[1].at(lab.now_ns());
    lab.nodes[1].servers[0].file().clear();
    lab.nodes[1].servers[0].tell_all(clock);
    lab.run(61 * S);
    assert_eq!(lab.filed_clients(1), lab.clients(0));
}

#[test]
fn a_foreign_running_identity_on_a_warm_backup_is_said() {
    let mut lab = warm_pair();
    lab.nodes[0].servers[0]
        .events
        .push_back(Event::Identity(vec![1, 2, 3]));
    lab.run(S);
    assert!(
        lab.nodes[1].in_sync.1.contains("DUID"),
        "{:?}",
        lab.nodes[1].in_sync
    );
    lab.stop(1, 0);
    lab.start(1, 0);
    assert!(lab.nodes[1].in_sync.0, "{:?}", lab.nodes[1].in_sync);
    assert_eq!(lab.nodes[1].servers[0].identity, Some(vec![1, 2, 3]));
}

#[test]
fn what_the_peer_offered_before_the_file_was_read_waits_for_nothing() {
    let mut lab = Lab::settled();
    lab.commit(0, 5, 1);
    let clock = lab.nodes[0].at(lab.now_ns());
    let book = &mut lab.nodes[0].engine.tables.servers[0].book;
    // the same lease, whose age differs by a moment in transit
    book.touch(&key(5), clock.monotonic_ns + signed(5 * MS));
    book.not_in_file.insert(key(5));
    assert_eq!(lab.number(0, "kea4.waiting"), 1);
    lab.nodes[0].servers[0].tell_all(clock);
    lab.settle();
    assert_eq!(lab.number(0, "kea4.waiting"), 0);
}

#[test]
fn a_broken_file_is_not_replaced_by_nothing() {
    let mut lab = Lab::settled();
    let fake = &mut lab.nodes[1].servers[0];
    let replaced = fake.replaced;
    let event = Event::Reading {
        set: Set::default(),
        broken: Some("line 3: it is not a lease".to_owned()),
    };
    fake.events.push_back(event);
    lab.run(100 * S);
    assert_eq!(lab.nodes[1].servers[0].replaced, replaced);
}
