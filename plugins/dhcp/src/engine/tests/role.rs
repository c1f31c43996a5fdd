//! Tests failovers, switchovers, rejoins, partitions.

use spared_replica::CopyState;

use super::*;

#[test]
fn a_failover_writes_the_file_once_before_the_role_is_done() {
    let mut lab = Lab::settled();
    lab.commit(0, 5, 1);
    lab.commit(0, 6, 2);
    lab.cut();
    let replaced = lab.nodes[1].servers[0].replaced;
    let ticket = lab.tell_role(1, true);
    assert!(lab.nodes[1].is_done(ticket));
    assert_eq!(lab.nodes[1].servers[0].replaced, replaced + 1);
    assert_eq!(lab.filed(1, 5), Some((client(1), 600)));
    assert_eq!(lab.filed_clients(1), lab.filed_clients(0));
    lab.run(70 * S);
    assert_eq!(lab.nodes[1].servers[0].replaced, replaced + 1);
    assert!(
        lab.nodes[1]
            .events
            .contains(&"kea4: 2 leases written".to_owned()),
        "{:?}",
        lab.nodes[1].events
    );
}

#[test]
fn a_failover_with_nothing_new_writes_nothing() {
    let mut lab = Lab::settled();
    lab.commit(0, 5, 1);
    lab.run(61 * S);
    lab.cut();
    let replaced = lab.nodes[1].servers[0].replaced;
    lab.activate(1);
    assert_eq!(lab.nodes[1].servers[0].replaced, replaced);
    assert_eq!(lab.filed_clients(1), BTreeMap::from([(key(5), client(1))]));
}

#[test]
fn a_switchover_waits_for_the_last_commit() {
    let mut lab = Lab::settled();
    lab.commit(0, 5, 1);
    lab.drain(0);
    let ticket = lab.tell_role(1, true);
    lab.run(2 * S);
    assert!(!lab.nodes[1].is_done(ticket), "the old server still runs");
    // its server grants one more before it is stopped
    lab.commit(0, 6, 2);
    lab.deactivate(0);
    assert!(lab.nodes[1].is_done(ticket));
    let expected = BTreeMap::from([(key(5), client(1)), (key(6), client(2))]);
    assert_eq!(lab.filed_clients(1), expected);
    lab.start(1, 0);
    lab.run(S);
    assert!(lab.nodes[0].in_sync.0, "{:?}", lab.nodes[0].in_sync);
    lab.assert_equal();
}

#[test]
fn a_switchover_does_not_wait_for_ever() {
    let mut lab = Lab::settled();
    lab.drain(0);
    let ticket = lab.tell_role(1, true);
    lab.run(4 * S);
    assert!(!lab.nodes[1].is_done(ticket));
    lab.run(S);
    assert!(lab.nodes[1].is_done(ticket));
    assert!(lab.nodes[1].warned[0].contains("did not report its last"));
}

#[test]
fn a_switchover_whose_giver_dies_waits_no_longer() {
    let mut lab = Lab::settled();
    lab.commit(0, 5, 1);
    lab.drain(0);
    let ticket = lab.tell_role(1, true);
    assert!(!lab.nodes[1].is_done(ticket));
    lab.cut();
    assert!(lab.nodes[1].is_done(ticket));
    assert!(lab.filed(1, 5).is_some());
}

#[test]
fn a_failover_by_death_waits_for_nothing() {
    let mut lab = Lab::settled();
    lab.commit(0, 5, 1);
    // the link is still up: the other daemon hangs
    let ticket = lab.tell_role(1, true);
    assert!(lab.nodes[1].is_done(ticket));
}

#[test]
fn a_word_of_handing_over_is_forgotten_after_a_while() {
    let mut lab = Lab::settled();
    lab.drain(0);
    lab.run(11 * S);
    let ticket = lab.tell_role(1, true);
    assert!(lab.nodes[1].is_done(ticket));
}

#[test]
fn a_role_that_is_taken_back_while_it_waits_is_none() {
    let mut lab = Lab::settled();
    lab.drain(0);
    let waiting = lab.tell_role(1, true);
    let back = lab.tell_role(1, false);
    assert!(lab.nodes[1].is_done(waiting) && lab.nodes[1].is_done(back));
    lab.run(10 * S);
    lab.commit(0, 5, 1);
    assert!(lab.has(1, 5));
    assert_eq!(lab.text(1, "all.role"), "backup");
}

#[test]
fn a_role_that_comes_back_while_it_goes_stays() {
    let mut lab = Lab::settled();
    lab.nodes[0].servers[0].hangs = true;
    let going = lab.tell_role(0, false);
    assert!(!lab.nodes[0].is_done(going));
    let back = lab.tell_role(0, true);
    assert!(lab.nodes[0].is_done(back));
    lab.nodes[0].servers[0].hangs = false;
    lab.run(10 * S);
    lab.commit(0, 5, 1);
    assert!(lab.has(1, 5));
}

#[test]
fn a_role_that_comes_back_while_it_goes_waits_for_the_file_of_a_stopped_server() {
    let mut lab = Lab::settled();
    lab.cut();
    lab.commit(0, 6, 2);
    lab.activate(1);
    lab.deactivate(0);
    lab.link();
    lab.run(S);
    assert_eq!(lab.number(1, "kea4.waiting"), 1, "its server runs");
    lab.nodes[1].servers[0].hangs = true;
    lab.stop(1, 0);
    let going = lab.tell_role(1, false);
    let back = lab.tell_role(1, true);
    assert!(!lab.nodes[1].is_done(going) && !lab.nodes[1].is_done(back));
    assert_eq!(lab.filed(1, 6), None);
    let fake = &mut lab.nodes[1].servers[0];
    fake.hangs = false;
    fake.events.append(&mut fake.held);
    lab.settle();
    assert!(lab.nodes[1].is_done(going) && lab.nodes[1].is_done(back));
    assert_eq!(lab.filed(1, 6).map(|it| it.0), Some(client(2)));
}

#[test]
fn a_server_that_hangs_delays_a_role_by_a_bound() {
    let mut lab = Lab::settled();
    lab.nodes[1].servers[0].hangs = true;
    lab.commit(0, 5, 1);
    lab.cut();
    let ticket = lab.tell_role(1, true);
    assert!(!lab.nodes[1].is_done(ticket));
    lab.run(9 * S);
    assert!(lab.nodes[1].is_done(ticket));
}

#[test]
fn a_mute_peer_and_a_server_that_hangs_delay_a_role_by_one_bound() {
    let mut lab = Lab::settled();
    lab.commit(0, 5, 1);
    lab.commit(0, 6, 1);
    lab.nodes[1].servers[0].hangs = true;
    lab.drain(0);
    let ticket = lab.tell_role(1, true);
    assert!(!lab.nodes[1].is_done(ticket));
    lab.run(9 * S);
    assert!(lab.nodes[1].is_done(ticket));
}

#[test]
fn each_drain_ends() {
    let mut lab = Lab::settled();
    lab.nodes[0].servers[0].hangs = true;
    let clock = lab.nodes[0].at(lab.now_ns());
    lab.nodes[0].engine.start_drain(clock.now_ns());
    lab.run(S);
    assert!(!lab.nodes[0].engine.is_drained());
    lab.nodes[0].engine.start_drain(clock.now_ns() + SECOND);
    lab.run(4 * S);
    assert!(lab.nodes[0].engine.is_drained());
}

#[test]
fn a_drain_without_a_peer_has_nothing_to_do() {
    let mut lab = Lab::settled();
    let clock = lab.nodes[1].at(lab.now_ns());
    lab.nodes[1].engine.start_drain(clock.now_ns());
    assert!(lab.nodes[1].engine.is_drained(), "a backup");
    lab.cut();
    let clock = lab.nodes[0].at(lab.now_ns());
    lab.nodes[0].engine.start_drain(clock.now_ns());
    assert!(lab.nodes[0].engine.is_drained());
}

#[test]
fn groups_of_one_node_make_it_active_together() {
    let mut lab = Lab::settled();
    let now_ns = lab.nodes[0].at(lab.now_ns()).now_ns();
    let engine = &mut lab.nodes[0].engine;
    engine.handle_role(now_ns, 900, "guests", true);
    engine.handle_role(now_ns, 901, "office", false);
    lab.settle();
    assert!(lab.nodes[0].is_done(900) && lab.nodes[0].is_done(901));
    lab.commit(0, 5, 1);
    assert!(lab.has(1, 5));
}

#[test]
fn a_clean_backup_that_was_away_drops_what_has_gone() {
    let mut lab = Lab::settled();
    lab.commit(0, 5, 1);
    lab.commit(0, 6, 2);
    lab.cut();
    lab.release(0, 5);
    lab.run(2 * HOUR);
    lab.commit(0, 6, 2);
    lab.link();
    lab.run(S);
    assert!(!lab.has(1, 5) && !lab.has(0, 5));
    lab.assert_equal();
}

#[test]
fn who_was_active_offers_what_the_other_does_not_know() {
    let mut lab = Lab::settled();
    lab.commit(0, 5, 1);
    lab.cut();
    lab.commit(0, 6, 2);
    lab.run(3 * S);
    lab.release(0, 5);
    lab.run(3 * S);
    lab.activate(1);
    lab.commit(1, 7, 3);
    lab.deactivate(0);
    lab.link();
    lab.run(S);
    // 6 was granted, 5 released, without the other node's knowledge
    let expected = BTreeMap::from([(key(6), client(2)), (key(7), client(3))]);
    assert_eq!(lab.clients(1), expected);
    lab.assert_equal();
    assert_eq!(lab.number(1, "kea4.conflicts"), 0);
    // the server there runs and accepts no commands
    assert_eq!(lab.number(1, "kea4.waiting"), 2);
    // a report that its file is unchanged has no effect
    let clock = lab.nodes[1].at(lab.now_ns());
    lab.nodes[1].servers[0].tell_all(clock);
    lab.run(S);
    assert_eq!(lab.number(1, "kea4.waiting"), 2);
    assert_eq!(lab.clients(1), expected);
    lab.stop(1, 0);
    assert_eq!(lab.filed_clients(1), expected);
    assert_eq!(lab.number(1, "kea4.waiting"), 0);
}

#[test]
fn a_partition_resolves_by_the_later_commit_whoever_stays_active() {
    for winner in [0, 1] {
        let mut lab = Lab::settled();
        lab.commit(0, 1, 1);
        lab.cut();
        lab.activate(1);
        lab.commit(0, 5, 1);
        lab.run(10 * S);
        lab.commit(1, 5, 2);
        lab.commit(1, 6, 3);
        lab.run(10 * S);
        lab.commit(0, 6, 4);
        // both report to be active over the link for a while
        lab.link();
        lab.run(S);
        lab.commit(winner, 7, 5);
        lab.deactivate(1 - winner);
        lab.run(S);
        lab.assert_equal();
        let clients = lab.clients(0);
        assert_eq!(clients[&key(5)], client(2));
        assert_eq!(clients[&key(6)], client(4));
        assert_eq!(clients[&key(7)], client(5));
        assert_eq!(clients[&key(1)], client(1));
        // with both active, either node decides
        let decided = |node: &usize| lab.number(*node, "kea4.conflicts") == 2;
        let decider = [0, 1].into_iter().find(decided).expect("one has both");
        let now_ns = lab.nodes[decider].at(lab.now_ns()).now_ns();
        let listed = lab.nodes[decider].engine.conflicts(now_ns);
        assert_eq!(listed.len(), 3, "{listed:?}");
        let told = lab.nodes[decider].events.iter();
        assert_eq!(told.filter(|it| it.contains("given twice")).count(), 2);
    }
}

#[test]
fn a_boot_loader_is_the_client_that_it_boots() {
    let mut lab = Lab::settled();
    lab.commit(0, 5, 1);
    lab.cut();
    lab.activate(1);
    lab.run(5 * S);
    let clock = lab.nodes[1].at(lab.now_ns());
    let mut lease = lab.nodes[1].servers[0].leases(clock)[&key(5)].clone();
    lease.client.id = vec![9, 9, 9];
    lease.committed_ns = clock.monotonic_ns;
    let change = Event::Changes(vec![Change::Put(lease)]);
    lab.nodes[1].servers[0].events.push_back(change);
    lab.deactivate(0);
    lab.link();
    lab.run(S);
    assert_eq!(lab.number(1, "kea4.conflicts"), 0);
    lab.assert_equal();
}

#[test]
fn a_commit_that_is_read_between_two_roles_is_not_lost() {
    let mut lab = Lab::settled();
    lab.cut();
    lab.channels = channels(300);
    lab.link();
    lab.run(5 * S);
    lab.stop(0, 0);
    lab.tell_role(0, false);
    lab.run(5 * S);
    lab.tell_role(1, true);
    // the tail of the file comes after everything else was offered
    let is_offered = |lab: &Lab| {
        let engine = &lab.nodes[0].engine;
        engine.peer_grants_leases() && engine.replica.copy_state(0) == Some(CopyState::Offered)
    };
    for _ in 0..100 {
        if is_offered(&lab) {
            break;
        }
        lab.run(signed(20 * MS));
    }
    assert!(is_offered(&lab));
    lab.commit(0, 6, 2);
    lab.run(5 * S);
    assert!(lab.has(0, 6) && lab.has(1, 6));
}

#[test]
fn what_a_backup_only_knew_of_is_no_conflict() {
    let mut lab = Lab::settled();
    lab.commit(0, 5, 1);
    lab.run(S);
    // released, and granted to another client, while the plugin is being restarted
    let clock = lab.nodes[0].at(lab.now_ns());
    let mut lease = lab.nodes[0].servers[0].leases(clock)[&key(5)].clone();
    (lease.client, lease.committed_ns) = (client(2), clock.monotonic_ns);
    lab.nodes[0].servers[0].put(clock, &lease);
    lab.restart(0, true, true);
    lab.run(S);
    for node in [0, 1] {
        assert_eq!(lab.lease(node, 5).map(|it| it.0), Some(client(2)));
        assert_eq!(lab.number(node, "kea4.conflicts"), 0);
    }
}

/// A lab in which node 1's server grants a lease while its plugin is down, which then starts in
/// this role. The file shows the write, or its last write was too recent.
fn given_unseen(is_active: bool, is_shown: bool) -> Lab {
    let mut lab = Lab::settled();
    lab.commit(0, 5, 1);
    lab.run(61 * S);
    lab.deactivate(0);
    let clock = lab.nodes[1].at(lab.now_ns());
    let given = lab.lease_for(1, 9, 2, Some(600));
    let fake = &mut lab.nodes[1].servers[0];
    fake.runs = is_active;
    fake.put(clock, &given);
    fake.writes -= u64::from(!is_shown);
    if !is_active {
        lab.activate(0);
    }
    lab.restart(1, true, is_active);
    lab.run(S);
    lab
}

#[test]
fn what_a_server_gave_while_its_plugin_was_down_is_kept() {
    for (is_active, is_shown) in [(true, true), (true, false), (false, true)] {
        let lab = given_unseen(is_active, is_shown);
        for node in [0, 1] {
            let has = lab.has(node, 5) && lab.has(node, 9);
            assert!(has, "node {node}: {is_active}, {is_shown}");
        }
        assert_eq!(lab.filed(1, 9).map(|it| it.0), Some(client(2)));
        assert_eq!(lab.number(1, "kea4.conflicts"), 0);
    }
}

#[test]
fn handed_to_and_fro_nothing_is_lost_and_nothing_grows() {
    let mut lab = Lab::settled();
    let mut active = 0;
    for round in 0_u16..20 {
        lab.commit(active, round, 1);
        lab.switch_over(active);
        active = 1 - active;
        lab.run(2 * S);
        let other = &lab.nodes[1 - active];
        assert!(other.in_sync.0, "{:?}", other.in_sync);
    }
    assert_eq!(lab.clients(active).len(), 20);
    lab.assert_equal();
    assert_eq!(lab.filed_clients(active), lab.clients(active));
    assert_eq!(lab.number(active, "kea4.conflicts"), 0);
}

#[test]
fn no_node_is_in_sync_before_one_was_active() {
    let mut lab = Lab::new(settings());
    lab.link();
    assert_eq!(
        lab.nodes[0].in_sync,
        (false, "kea4: no node is active".to_owned())
    );
    lab.activate(0);
    assert!(lab.nodes[1].in_sync.0);
    lab.cut();
    assert!(lab.nodes[1].in_sync.0, "it has everything that there was");
}
