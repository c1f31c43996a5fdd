//! Failover, switchover, rejoin, partition.

use super::*;

#[test]
fn a_failover_writes_the_file_once_before_the_role_is_done() {
    let mut pair = Pair::settled();
    pair.commit(0, 5, 1);
    pair.commit(0, 6, 2);
    pair.cut();
    let replaced = pair.nodes[1].servers[0].replaced;
    let ticket = pair.tell_role(1, true);
    assert!(pair.nodes[1].is_done(ticket));
    assert_eq!(pair.nodes[1].servers[0].replaced, replaced + 1);
    assert_eq!(pair.filed(1, 5), Some((client(1), 600)));
    assert_eq!(pair.filed_clients(1), pair.filed_clients(0));
    pair.run(70 * S);
    assert_eq!(pair.nodes[1].servers[0].replaced, replaced + 1);
    assert!(
        pair.nodes[1]
            .events
            .contains(&"kea4: 2 leases written".to_owned()),
        "{:?}",
        pair.nodes[1].events
    );
}

#[test]
fn a_failover_with_nothing_new_writes_nothing() {
    let mut pair = Pair::settled();
    pair.commit(0, 5, 1);
    pair.run(61 * S);
    pair.cut();
    let replaced = pair.nodes[1].servers[0].replaced;
    pair.activate(1);
    assert_eq!(pair.nodes[1].servers[0].replaced, replaced);
    assert_eq!(pair.filed_clients(1), BTreeMap::from([(key(5), client(1))]));
}

#[test]
fn a_switchover_waits_for_the_last_commit() {
    let mut pair = Pair::settled();
    pair.commit(0, 5, 1);
    pair.drain(0);
    let ticket = pair.tell_role(1, true);
    pair.run(2 * S);
    assert!(!pair.nodes[1].is_done(ticket), "the old server still runs");
    // its server gives one more before it is stopped
    pair.commit(0, 6, 2);
    pair.deactivate(0);
    assert!(pair.nodes[1].is_done(ticket));
    let expected = BTreeMap::from([(key(5), client(1)), (key(6), client(2))]);
    assert_eq!(pair.filed_clients(1), expected);
    pair.start(1, 0);
    pair.run(S);
    assert!(pair.nodes[0].in_sync.0, "{:?}", pair.nodes[0].in_sync);
    pair.assert_equal();
}

#[test]
fn a_switchover_does_not_wait_for_ever() {
    let mut pair = Pair::settled();
    pair.drain(0);
    let ticket = pair.tell_role(1, true);
    pair.run(4 * S);
    assert!(!pair.nodes[1].is_done(ticket));
    pair.run(S);
    assert!(pair.nodes[1].is_done(ticket));
    assert!(pair.nodes[1].warned[0].contains("did not say its last"));
}

#[test]
fn a_switchover_whose_giver_dies_waits_no_longer() {
    let mut pair = Pair::settled();
    pair.commit(0, 5, 1);
    pair.drain(0);
    let ticket = pair.tell_role(1, true);
    assert!(!pair.nodes[1].is_done(ticket));
    pair.cut();
    assert!(pair.nodes[1].is_done(ticket));
    assert!(pair.filed(1, 5).is_some());
}

#[test]
fn a_failover_by_death_waits_for_nothing() {
    let mut pair = Pair::settled();
    pair.commit(0, 5, 1);
    // the link still stands: the other daemon hangs
    let ticket = pair.tell_role(1, true);
    assert!(pair.nodes[1].is_done(ticket));
}

#[test]
fn a_word_of_handing_over_is_forgotten_after_a_while() {
    let mut pair = Pair::settled();
    pair.drain(0);
    pair.run(11 * S);
    let ticket = pair.tell_role(1, true);
    assert!(pair.nodes[1].is_done(ticket));
}

#[test]
fn a_role_that_is_taken_back_while_it_waits_is_none() {
    let mut pair = Pair::settled();
    pair.drain(0);
    let waiting = pair.tell_role(1, true);
    let back = pair.tell_role(1, false);
    assert!(pair.nodes[1].is_done(waiting) && pair.nodes[1].is_done(back));
    pair.run(10 * S);
    pair.commit(0, 5, 1);
    assert!(pair.has(1, 5));
    assert_eq!(pair.text(1, "all.role"), "backup");
}

#[test]
fn a_role_that_comes_back_while_it_goes_stays() {
    let mut pair = Pair::settled();
    pair.nodes[0].servers[0].hangs = true;
    let going = pair.tell_role(0, false);
    assert!(!pair.nodes[0].is_done(going));
    let back = pair.tell_role(0, true);
    assert!(pair.nodes[0].is_done(back));
    pair.nodes[0].servers[0].hangs = false;
    pair.run(10 * S);
    pair.commit(0, 5, 1);
    assert!(pair.has(1, 5));
}

#[test]
fn a_server_that_hangs_delays_a_role_by_a_bound() {
    let mut pair = Pair::settled();
    pair.nodes[1].servers[0].hangs = true;
    pair.commit(0, 5, 1);
    pair.cut();
    let ticket = pair.tell_role(1, true);
    assert!(!pair.nodes[1].is_done(ticket));
    pair.run(9 * S);
    assert!(pair.nodes[1].is_done(ticket));
}

#[test]
fn a_mute_peer_and_a_server_that_hangs_delay_a_role_by_one_bound() {
    let mut pair = Pair::settled();
    pair.commit(0, 5, 1);
    pair.commit(0, 6, 1);
    pair.nodes[1].servers[0].hangs = true;
    pair.drain(0);
    let ticket = pair.tell_role(1, true);
    assert!(!pair.nodes[1].is_done(ticket));
    pair.run(9 * S);
    assert!(pair.nodes[1].is_done(ticket));
}

#[test]
fn each_drain_ends() {
    let mut pair = Pair::settled();
    pair.nodes[0].servers[0].hangs = true;
    let clock = pair.nodes[0].at(pair.now_ms);
    for ticket in [70, 71] {
        assert!(
            !pair.nodes[0]
                .engine
                .handle_drain(clock.monotonic_ms, ticket)
        );
    }
    pair.run(4 * S);
    assert!(pair.nodes[0].is_done(70) && pair.nodes[0].is_done(71));
}

#[test]
fn groups_of_one_node_make_it_active_together() {
    let mut pair = Pair::settled();
    let now_ms = pair.nodes[0].at(pair.now_ms).monotonic_ms;
    assert!(
        pair.nodes[0]
            .engine
            .handle_role(now_ms, 900, "guests", true)
    );
    assert!(
        pair.nodes[0]
            .engine
            .handle_role(now_ms, 901, "office", false)
    );
    pair.settle();
    pair.commit(0, 5, 1);
    assert!(pair.has(1, 5));
}

#[test]
fn a_clean_backup_that_was_away_drops_what_has_gone() {
    let mut pair = Pair::settled();
    pair.commit(0, 5, 1);
    pair.commit(0, 6, 2);
    pair.cut();
    pair.release(0, 5);
    pair.run(2 * HOUR);
    pair.commit(0, 6, 2);
    pair.link();
    pair.run(S);
    assert!(!pair.has(1, 5) && !pair.has(0, 5));
    pair.assert_equal();
}

#[test]
fn who_was_active_offers_what_the_other_does_not_know() {
    let mut pair = Pair::settled();
    pair.commit(0, 5, 1);
    pair.cut();
    pair.commit(0, 6, 2);
    pair.run(3 * S);
    pair.release(0, 5);
    pair.run(3 * S);
    pair.activate(1);
    pair.commit(1, 7, 3);
    pair.deactivate(0);
    pair.link();
    pair.run(S);
    // 6 was given, 5 given back, without the other knowing
    let expected = BTreeMap::from([(key(6), client(2)), (key(7), client(3))]);
    assert_eq!(pair.clients(1), expected);
    pair.assert_equal();
    assert_eq!(pair.number(1, "kea4.conflicts"), 0);
    // the server there runs and cannot be told
    assert_eq!(pair.number(1, "kea4.waiting"), 2);
    // that its file is as it was changes nothing
    let clock = pair.nodes[1].at(pair.now_ms);
    pair.nodes[1].servers[0].tell_all(clock);
    pair.run(S);
    assert_eq!(pair.number(1, "kea4.waiting"), 2);
    assert_eq!(pair.clients(1), expected);
    pair.stop(1, 0);
    assert_eq!(pair.filed_clients(1), expected);
    assert_eq!(pair.number(1, "kea4.waiting"), 0);
}

#[test]
fn a_partition_resolves_by_the_later_commit_whoever_stays_active() {
    for winner in [0, 1] {
        let mut pair = Pair::settled();
        pair.commit(0, 1, 1);
        pair.cut();
        pair.activate(1);
        pair.commit(0, 5, 1);
        pair.run(10 * S);
        pair.commit(1, 5, 2);
        pair.commit(1, 6, 3);
        pair.run(10 * S);
        pair.commit(0, 6, 4);
        // both say active over the link for a while
        pair.link();
        pair.run(S);
        pair.commit(winner, 7, 5);
        pair.deactivate(1 - winner);
        pair.run(S);
        pair.assert_equal();
        let clients = pair.clients(0);
        assert_eq!(clients[&key(5)], client(2));
        assert_eq!(clients[&key(6)], client(4));
        assert_eq!(clients[&key(7)], client(5));
        assert_eq!(clients[&key(1)], client(1));
        assert_eq!(pair.number(winner, "kea4.conflicts"), 2);
        let now_ms = pair.nodes[winner].at(pair.now_ms).monotonic_ms;
        let listed = pair.nodes[winner].engine.conflicts(now_ms);
        assert_eq!(listed.len(), 3, "{listed:?}");
        let told = pair.nodes[winner].events.iter();
        assert_eq!(told.filter(|it| it.contains("given twice")).count(), 2);
    }
}

#[test]
fn a_boot_loader_is_the_client_that_it_boots() {
    let mut pair = Pair::settled();
    pair.commit(0, 5, 1);
    pair.cut();
    pair.activate(1);
    pair.run(5 * S);
    let clock = pair.nodes[1].at(pair.now_ms);
    let mut lease = pair.nodes[1].servers[0].leases(clock)[&key(5)].clone();
    lease.client.id = vec![9, 9, 9];
    lease.committed_ms = clock.monotonic_ms;
    let change = Event::Changes(vec![Change::Put(lease)]);
    pair.nodes[1].servers[0].events.push_back(change);
    pair.deactivate(0);
    pair.link();
    pair.run(S);
    assert_eq!(pair.number(1, "kea4.conflicts"), 0);
    pair.assert_equal();
}

#[test]
fn handed_to_and_fro_nothing_is_lost_and_nothing_grows() {
    let mut pair = Pair::settled();
    let mut active = 0;
    for round in 0_u16..20 {
        pair.commit(active, round, 1);
        pair.switch_over(active);
        active = 1 - active;
        pair.run(2 * S);
        let other = &pair.nodes[1 - active];
        assert!(other.in_sync.0, "{:?}", other.in_sync);
    }
    assert_eq!(pair.clients(active).len(), 20);
    pair.assert_equal();
    assert_eq!(pair.filed_clients(active), pair.clients(active));
    assert_eq!(pair.number(active, "kea4.conflicts"), 0);
}

#[test]
fn no_node_is_in_sync_before_one_was_active() {
    let mut pair = Pair::new(settings());
    pair.link();
    assert_eq!(
        pair.nodes[0].in_sync,
        (false, "kea4: no node is active".to_owned())
    );
    pair.activate(0);
    assert!(pair.nodes[1].in_sync.0);
    pair.cut();
    assert!(pair.nodes[1].in_sync.0, "it has everything that there was");
}
