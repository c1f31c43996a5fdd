//! Records that the backup has of an active node.

use super::daemon::assert_up;
use super::*;

#[test]
fn backup_holds_sas_in_memory_and_policies_in_the_kernel() {
    let pair = Pair::settled(3);
    let backup = &pair.nodes[1];
    assert_eq!(backup.kernel.sas(), []);
    assert_eq!(backup.engine.store.held.sas().len(), 6);
    assert_eq!(backup.kernel.policies().len(), 9);
}

#[test]
fn what_the_active_node_deletes_is_deleted_at_the_backup() {
    let mut pair = Pair::settled(3);
    pair.end(0, 1);
    let backup = &pair.nodes[1];
    assert_eq!(backup.engine.store.held.sas().len(), 4);
    assert_eq!(backup.kernel.policies().len(), 6);
}

#[test]
fn counters_reach_the_backup_within_the_threshold() {
    let mut pair = Pair::settled(1);
    let id = in_of(0);
    for _ in 0..500 {
        pair.carry(0, &id, 1);
        pair.now_ns += MS;
        let here = pair.replay(0, &id).expect("it is there").seq;
        let held = &pair.nodes[1].engine.store.held.sas()[&id];
        let behind = here - held.sa.replay.seq;
        assert!(behind <= u64::from(held.pace.threshold), "{behind}");
    }
}

#[test]
fn a_busy_sa_has_a_threshold_of_its_packets_in_half_the_exposure() {
    let mut pair = Pair::settled(1);
    let id = in_of(0);
    for _ in 0..300 {
        pair.carry(0, &id, 50);
        pair.now_ns += 10 * MS;
    }
    pair.run(S / 10);
    let threshold = pair.nodes[0].kernel.threshold(&id).expect("it is there");
    // 5000 packets a second, 10 ms
    assert!((25..=100).contains(&threshold), "{threshold}");
    pair.run(30 * S);
    assert_eq!(pair.nodes[0].kernel.threshold(&id), Some(1));
}

#[test]
fn a_backup_says_once_how_long_it_took_until_it_had_all() {
    let mut pair = Pair::settled(2);
    let said = |pair: &Pair| {
        let events = pair.nodes.iter().flat_map(|it| &it.events);
        let replicated = events.filter(|it| it.contains("replicated within"));
        replicated.cloned().collect::<Vec<_>>()
    };
    let before = said(&pair);
    pair.kill(1);
    pair.link();
    pair.run(3 * S);
    let expected = "4 SAs replicated within 0 ms of hearing the peer";
    assert_eq!(
        (before.as_slice(), said(&pair)),
        (&[][..], vec![expected.to_owned()])
    );
}

#[test]
fn a_new_peer_waits_for_no_threshold_of_sas_that_were_taken_over() {
    let mut pair = Pair::settled(2);
    pair.run(5 * S);
    pair.kill(0);
    pair.activate(1);
    let kernel = &pair.nodes[1].kernel;
    for id in [in_of(0), out_of(0), in_of(1), out_of(1)] {
        assert_eq!(kernel.threshold(&id), Some(1), "as at the old node");
    }
    let before = kernel.done.len();
    pair.link();
    assert!(pair.nodes[0].in_sync.0, "{}", pair.nodes[0].in_sync.1);
    let after = &pair.nodes[1].kernel.done[before..];
    assert!(after.is_empty(), "{after:?}");
    let held = pair.nodes[0].engine.store.held.sas().values();
    let told: Vec<u32> = held.map(|it| it.pace.threshold).collect();
    assert_eq!(told, [1; 4]);
}

#[test]
fn a_tunnel_of_an_address_that_stays_is_not_told() {
    let mut pair = Pair::settled(1);
    let own = Sample {
        destination: Ipv4Addr::new(192, 0, 2, 77),
        spi: 7,
        ..Sample::default()
    };
    pair.nodes[0].kernel.add_sa(S, own.sa());
    pair.run(S);
    assert_eq!(pair.nodes[1].engine.store.held.sas().len(), 2);
}

#[test]
fn an_address_that_is_lost_for_long_takes_its_tunnel_along_and_brings_it_back() {
    let mut pair = Pair::settled(1);
    let now_ns = pair.now_ns;
    let engine = &mut pair.nodes[0].engine;
    engine.handle_endpoints(now_ns, BTreeSet::new());
    pair.run(4 * S);
    assert_eq!(pair.nodes[0].kernel.sas().len(), 2);
    pair.run(3 * S);
    assert_eq!(pair.nodes[0].kernel.sas().len(), 0);
    // either node may have the address next
    for node in &pair.nodes {
        assert_eq!(node.engine.store.held.sas().len(), 2);
        assert_eq!(node.kernel.policies().len(), 3);
    }
    let now_ns = pair.now_ns;
    let engine = &mut pair.nodes[0].engine;
    engine.handle_endpoints(now_ns, [IpAddr::from(VIP)].into());
    pair.run(S);
    assert_up(&pair, 0, 1);
}

/// The host reports that a role left only when the plugins have let go of it that leave before, which may take long.
#[test]
fn what_the_peer_negotiates_before_the_word_of_a_role_that_left_follows() {
    for keys in [[1, 2], [2, 1]] {
        for (is_planned, after_ms) in [(true, 20), (true, 400), (true, 2000), (false, 20)] {
            let mut pair = Pair::by_keys(keys, Settings::default());
            pair.link();
            pair.activate(0);
            pair.establish(0, 0);
            pair.run(3 * S);
            if is_planned {
                pair.move_addresses(0);
            } else {
                let now_ns = pair.now_ns;
                let engine = &mut pair.nodes[0].engine;
                engine.handle_endpoints(now_ns, BTreeSet::new());
                pair.activate(1);
            }
            pair.advance(after_ms * MS);
            // as a daemon does that starts there
            pair.end(1, 0);
            pair.establish(1, 1);
            pair.advance(S);
            let held = &pair.nodes[0].engine.store.held;
            let sas: Vec<SaId> = held.sas().keys().copied().collect();
            let case = format!("{keys:?}, planned {is_planned}, after {after_ms} ms");
            assert_eq!(sas, [in_of(1), out_of(1)], "{case}");
            assert_eq!(held.policies.len(), 3, "{case}");
            assert_eq!(pair.nodes[0].kernel.sas(), [], "{case}");
            // the peer dies, and both changes of the role are reported at once
            pair.kill(1);
            pair.role(0, false);
            pair.activate(0);
            pair.run(S);
            let sas = pair.nodes[0].kernel.sas();
            assert_eq!(sas, [in_of(1), out_of(1)], "{case}");
            assert_eq!(pair.nodes[0].kernel.policies().len(), 3, "{case}");
            roles::assert_policies_lead_to_sas(&pair, 0);
        }
    }
}

#[test]
fn a_suite_that_the_kernel_lacks_is_told_beforehand() {
    const ENOSYS: i32 = 38;
    let mut pair = Pair::settled(1);
    let missing = Sample {
        spi: 0xc267_4071,
        algorithm: "rfc4543(gcm(aes))",
        ..Sample::default()
    };
    pair.nodes[1]
        .kernel
        .remove_algorithm(&missing.body(), ENOSYS);
    pair.nodes[0].kernel.add_sa(S, missing.sa());
    pair.run(S);
    let (yes, why) = pair.nodes[1].in_sync.clone();
    assert!(!yes);
    assert_eq!(
        why,
        "the kernel here lacks rfc4543(gcm(aes)) for SA c2674071: function not implemented"
    );
    let row = |pair: &Pair, key: &str| {
        let rows = pair.nodes[0].engine.rows(pair.now_ns);
        let mut rows = rows.into_iter().filter(|(name, _)| name == key);
        rows.next().map(|(_, value)| value)
    };
    let refused = |pair: &Pair| row(pair, "sas.refused_there");
    assert_eq!(refused(&pair), Some(spared_sdk::Value::Number(1)));
    let there = row(&pair, "c2674071.peer");
    let there = there.expect("the SA is shown");
    assert_eq!(there, "not ready: see the other node".to_owned().into());
    // the module is loaded
    pair.nodes[1].kernel.lacks.clear();
    pair.run(61 * S);
    assert!(pair.nodes[1].in_sync.0, "{:?}", pair.nodes[1].in_sync);
    assert_eq!(refused(&pair), Some(spared_sdk::Value::Number(0)));
}

#[test]
fn an_sa_whose_keys_are_not_shown_is_not_installed_and_named() {
    let mut pair = Pair::settled(1);
    let mut hidden = tunnel(1)[0].clone();
    let mut bytes = hidden.body.bytes().to_vec();
    let end = bytes.len();
    bytes[end - 20..].fill(0);
    hidden.body = Body::new(bytes);
    pair.nodes[0].kernel.add_sa(S, hidden.clone());
    pair.run(S);
    let why = "no key of SA c0000001: the peer's kernel is locked down and shows none";
    assert_eq!(pair.nodes[1].in_sync, (false, why.to_owned()));
    pair.kill(0);
    pair.activate(1);
    assert_eq!(pair.nodes[1].kernel.sa(&hidden.id), None);
    assert_eq!(pair.nodes[1].kernel.sas().len(), 2, "the others");
}

#[test]
fn a_kernel_without_esp_is_named_as_that() {
    const EPROTONOSUPPORT: i32 = 93;
    let mut pair = Pair::new();
    let lacks = tunnel(0)[0].body.clone();
    pair.nodes[1]
        .kernel
        .remove_algorithm(&lacks, EPROTONOSUPPORT);
    pair.link();
    pair.activate(0);
    pair.establish(0, 0);
    pair.run(S);
    let said = (false, "this kernel has no ESP".to_owned());
    assert_eq!(pair.nodes[1].in_sync, said);
}

#[test]
fn keys_of_a_suite_make_no_difference() {
    let [one, two] = [tunnel(0)[0].clone(), tunnel(1)[0].clone()];
    assert_ne!(one.body, two.body);
    let pair = Pair::settled(20);
    let probes = pair.nodes[1].kernel.done.iter();
    let probes = probes.filter(|it| matches!(it, Change::Probe(_)));
    assert_eq!(probes.count(), 1);
}

#[test]
fn lost_notifications_make_the_backup_not_ready_until_a_reading() {
    let mut pair = Pair::settled(1);
    let id = in_of(0);
    pair.nodes[0].kernel.loses_notifications = true;
    pair.carry(0, &id, 1000);
    pair.establish(0, 1);
    pair.nodes[0].kernel.loses_notifications = false;
    let now_ns = pair.now_ns;
    pair.nodes[0].slow = true;
    pair.nodes[0].engine.handle_event(now_ns, XfrmEvent::Unsure);
    pair.settle();
    assert_eq!(
        pair.nodes[1].in_sync.1,
        "counters may be older than their bound"
    );
    pair.nodes[0].finish_readings(now_ns);
    pair.settle();
    let held = pair.nodes[1].engine.store.held.sas();
    assert_eq!(held.len(), 4);
    assert_eq!(held[&id].sa.replay.seq, 1000);
    assert!(pair.nodes[1].in_sync.0, "{:?}", pair.nodes[1].in_sync);
}

#[test]
fn a_policy_that_somebody_deletes_at_the_backup_is_put_back_once_a_second() {
    let mut pair = Pair::settled(1);
    let id = policies(0)[0].id;
    for _ in 0..50 {
        pair.nodes[1].kernel.delete_policy(&id, Deleter::Daemon);
        pair.run(100 * MS);
    }
    let puts = pair.nodes[1].kernel.done.iter();
    let puts = puts.filter(|it| matches!(it, Change::PutPolicy(policy) if policy.id == id));
    assert!(puts.count() <= 6);
    pair.run(2 * S);
    assert!(pair.nodes[1].kernel.policy(&id).is_some());
}

#[test]
fn a_policy_that_a_daemon_replaces_at_the_backup_is_put_back() {
    let mut pair = Pair::settled(1);
    let id = policies(0)[0].id;
    let reqid = |pair: &Pair| {
        pair.nodes[1]
            .kernel
            .policy(&id)
            .map(|it| it.templates[0].reqid)
    };
    let before = reqid(&pair);
    pair.nodes[1].kernel.put_policy(policy(0, id.direction, 1));
    assert_eq!(reqid(&pair), Some(1));
    pair.run(2 * S);
    assert_eq!(reqid(&pair), before);
    let puts = pair.nodes[1].kernel.done.iter();
    let puts = puts.filter(|it| matches!(it, Change::PutPolicy(policy) if policy.id == id));
    assert_eq!(puts.count(), 1);
}

#[test]
fn a_failover_puts_back_at_once_what_a_daemon_has_just_deleted() {
    let mut pair = Pair::settled(1);
    let id = policies(0)[0].id;
    pair.nodes[1].kernel.delete_policy(&id, Deleter::Daemon);
    pair.run(200 * MS);
    assert!(
        pair.nodes[1].kernel.delete_policy(&id, Deleter::Daemon),
        "it was put back"
    );
    pair.run(200 * MS);
    assert!(pair.nodes[1].kernel.policy(&id).is_none());
    pair.kill(0);
    pair.activate(1);
    pair.settle();
    assert!(pair.nodes[1].kernel.policy(&id).is_some());
}

#[test]
fn an_outbound_sa_of_the_peer_is_deleted_at_the_backup_after_the_snapshot() {
    let mut pair = Pair::new();
    pair.activate(0);
    pair.establish(0, 0);
    let [inbound, outbound] = tunnel(0);
    pair.nodes[1].kernel.add_sa(S, inbound.clone());
    pair.nodes[1].kernel.add_sa(S, outbound.clone());
    pair.run(S);
    assert_eq!(pair.nodes[1].kernel.sas().len(), 2);
    pair.link();
    assert_eq!(pair.nodes[1].kernel.sas(), []);
    let deleted = pair.nodes[1].kernel.done.iter().filter_map(|it| match it {
        Change::DeleteSa(id) => Some(*id),
        _ => None,
    });
    assert_eq!(deleted.collect::<Vec<_>>(), [outbound.id, inbound.id]);
    // the same whenever a daemon makes another one
    pair.nodes[1].kernel.add_sa(S, tunnel(5)[1].clone());
    pair.run(S);
    assert_eq!(pair.nodes[1].kernel.sas(), []);
}

#[test]
fn policies_that_a_killed_plugin_left_are_taken_over_or_deleted() {
    let mut pair = Pair::settled(2);
    let settings = Settings::default();
    pair.cut();
    let config = pair.next_run(1);
    pair.nodes[1].engine = Engine::new(pair.now_ns, settings, config);
    pair.end(0, 1);
    pair.link();
    pair.run(S);
    assert_eq!(pair.nodes[1].kernel.policies().len(), 3);
    pair.end(0, 0);
    assert_eq!(pair.nodes[1].kernel.policies().len(), 0);
}

#[test]
fn a_shunt_that_both_nodes_have_is_left_alone() {
    let mut pair = Pair::new();
    let mut bytes = policies(9)[0].body.bytes()[..168].to_vec();
    bytes[152] = 1;
    let shunt = parse_policy(Body::new(bytes)).expect("a policy");
    assert_eq!(shunt.templates, []);
    for node in &mut pair.nodes {
        node.kernel.put_policy(shunt.clone());
    }
    pair.link();
    pair.activate(0);
    pair.run(40 * S);
    pair.nodes[0]
        .kernel
        .delete_policy(&shunt.id, Deleter::Daemon);
    pair.run(S);
    assert!(pair.nodes[1].kernel.policy(&shunt.id).is_some());
    assert!(pair.nodes[1].in_sync.0, "{:?}", pair.nodes[1].in_sync);
}

#[test]
fn garbage_from_the_peer_is_counted_and_warned_of_once() {
    let mut pair = Pair::settled(1);
    let now_ns = pair.now_ns;
    for _ in 0..3 {
        let said = pair.nodes[1].engine.handle_message(now_ns, &[4, 1]);
        assert!(said.is_err());
        pair.settle();
    }
    assert_eq!(pair.nodes[1].count("malformed"), 3);
    let garbage = "the peer's message is too short; further ones are only counted";
    let told = pair.nodes[1].events.iter().filter(|it| *it == garbage);
    assert_eq!(told.count(), 1);
    assert!(!pair.nodes[1].in_sync.0);
    pair.run(11 * S);
    assert!(pair.nodes[1].in_sync.0, "{:?}", pair.nodes[1].in_sync);
}

#[test]
fn a_deletion_during_a_reading_counts_although_the_reading_lists_it() {
    let mut pair = Pair::settled(1);
    let now_ns = pair.now_ns;
    let node = &mut pair.nodes[0];
    let listed = node.kernel.dump(now_ns);
    node.engine.read_fresh();
    assert_eq!(node.engine.poll_action(), Some(Action::Read));
    node.kernel.delete_sa(&in_of(0), Deleter::Daemon);
    for seen in node.kernel.notifications().into_iter().chain(listed) {
        node.engine.handle_event(now_ns, seen);
    }
    node.engine.handle_read(now_ns, true);
    assert!(!node.engine.store.sas.contains_key(&in_of(0)));
    pair.settle();
    assert_eq!(pair.nodes[1].engine.store.held.sas().len(), 1);
}

#[test]
fn numbers_never_go_back_by_a_reading_that_is_older() {
    let mut pair = Pair::settled(1);
    let now_ns = pair.now_ns;
    let listed = pair.nodes[0].kernel.dump(now_ns);
    pair.carry(0, &in_of(0), 64);
    for seen in listed {
        pair.nodes[0].engine.handle_event(now_ns, seen);
    }
    pair.settle();
    assert_eq!(
        pair.nodes[1].engine.store.held.sas()[&in_of(0)]
            .sa
            .replay
            .seq,
        64
    );
}

#[test]
fn three_thousand_sas_cost_milliseconds() {
    let begun = std::time::Instant::now();
    let mut pair = Pair::new();
    for number in 0..1500 {
        for sa in tunnel(number) {
            pair.nodes[0].kernel.add_sa(S, sa);
        }
    }
    pair.activate(0);
    pair.run(S);
    let set_up = begun.elapsed();
    let begun = std::time::Instant::now();
    pair.link();
    let snapshot = begun.elapsed();
    pair.run(S);
    assert_eq!(pair.nodes[1].engine.store.held.sas().len(), 3000);
    pair.kill(0);
    let begun = std::time::Instant::now();
    pair.activate(1);
    let failover = begun.elapsed();
    assert_eq!(pair.nodes[1].kernel.sas().len(), 3000);
    eprintln!("set up {set_up:?}, snapshot {snapshot:?}, failover {failover:?}");
    // this includes the tests' kernel and both nodes
    assert!(failover < set_up * 20 && snapshot < set_up * 20);
}
