//! The promises of the crate, one rule per test.

use super::lab::{Lab, MS, S};
use crate::wire::kind;
use crate::{Authority, Config, CopyState, Drain, Replica, Store, Strays};

fn both(lab: &Lab, key: u32) -> [Option<u32>; 2] {
    [0, 1].map(|node| lab.get(node, key))
}

/// Both nodes have records 0 to 5, and know it.
fn filled() -> Lab {
    let mut lab = Lab::in_sync();
    for key in 0..6 {
        lab.put(0, 0, key);
    }
    lab.run(S);
    lab.assert_in_sync();
    assert_eq!(lab.records(1, 0).len(), 6);
    lab
}

#[test]
fn a_change_is_there_within_a_round_trip() {
    let mut lab = filled();
    let value = lab.put(0, 0, 3);
    lab.run(3 * MS);
    assert_eq!(both(&lab, 3), [Some(value); 2]);
    lab.delete(0, 0, 3);
    lab.run(3 * MS);
    assert_eq!(both(&lab, 3), [None; 2]);
    lab.run(3 * MS);
    lab.assert_in_sync();
}

#[test]
fn with_both_active_changes_go_both_ways() {
    let mut lab = filled();
    lab.role(1, true);
    lab.run(S);
    let (one, other) = (lab.put(0, 0, 1), lab.put(1, 0, 2));
    lab.delete(1, 0, 0);
    lab.run(S);
    assert_eq!([both(&lab, 0), both(&lab, 1)], [[None; 2], [Some(one); 2]]);
    assert_eq!(both(&lab, 2), [Some(other); 2]);
    lab.assert_in_sync();
}

#[test]
fn of_changes_that_cross_one_holds_on_both() {
    let mut lab = filled();
    lab.role(1, true);
    lab.run(S);
    lab.put(0, 0, 1);
    let follower = 0;
    let value = lab.put(follower, 0, 2);
    lab.put(1, 0, 2);
    lab.run(S);
    // the second node decides: it takes the first node's change when it arrives
    assert_eq!(both(&lab, 2), [Some(value); 2]);
    lab.assert_in_sync();
}

#[test]
fn a_table_made_anew_is_filled_again_on_whichever_node() {
    for nodes in [&[0][..], &[1]] {
        let mut lab = filled();
        for node in nodes {
            lab.flush(*node, 0);
        }
        lab.run(S);
        assert_eq!(lab.records(0, 0).len(), 6, "{nodes:?}");
        lab.assert_in_sync();
    }
}

#[test]
fn a_table_made_anew_twice_within_a_second_and_while_apart_is_filled_again() {
    let mut lab = filled();
    lab.flush(0, 0);
    lab.run(3 * MS);
    lab.flush(0, 0);
    lab.run(S);
    assert_eq!(lab.records(0, 0).len(), 6);
    lab.cut();
    lab.flush(0, 0);
    lab.run(S);
    lab.link();
    lab.run(S);
    assert_eq!(lab.records(0, 0).len(), 6);
    lab.assert_in_sync();
}

#[test]
fn what_is_deleted_while_apart_is_deleted_on_both() {
    let mut lab = filled();
    lab.cut();
    lab.delete(0, 0, 1);
    lab.delete(1, 0, 2);
    lab.link();
    lab.run(S);
    assert_eq!([both(&lab, 1), both(&lab, 2)], [[None; 2]; 2]);
    assert_eq!(lab.records(0, 0).len(), 4);
    lab.assert_in_sync();
}

#[test]
fn what_is_deleted_before_a_restart_is_deleted_on_both() {
    for node in [0, 1] {
        let mut lab = filled();
        lab.cut();
        lab.delete(node, 0, 1);
        lab.restart(node);
        lab.link();
        lab.run(S);
        assert_eq!(both(&lab, 1), [None; 2], "node {node}");
        assert_eq!(lab.records(0, 0).len(), 5);
        lab.assert_in_sync();
    }
}

#[test]
fn a_follower_that_recalls_whose_copy_it_is_brings_nothing_back() {
    for recalls in [true, false] {
        let mut lab = filled();
        let known = lab.machine(1).replica.copied_incarnation(0);
        assert_eq!(known, lab.store(0).incarnations[0]);
        assert_eq!(
            lab.machine(0).replica.copied_incarnation(0),
            None,
            "the decider"
        );
        lab.cut();
        lab.delete(0, 0, 1);
        lab.flush_and_fill(1, 0);
        lab.restart(1);
        if recalls {
            lab.recall(1, 0, known.unwrap());
        }
        lab.link();
        lab.run(S);
        let expected = if recalls { 5 } else { 6 };
        assert_eq!(lab.records(0, 0).len(), expected, "{recalls}");
        lab.assert_in_sync();
    }
}

#[test]
fn what_is_recalled_of_another_life_is_offered() {
    let mut lab = filled();
    let known = lab.machine(1).replica.copied_incarnation(0).unwrap();
    lab.cut();
    lab.flush(0, 0);
    lab.restart(1);
    lab.recall(1, 0, known);
    lab.link();
    lab.run(S);
    assert_eq!(lab.records(0, 0).len(), 6);
    lab.assert_in_sync();
}

#[test]
fn values_that_tell_which_is_later_decide_whatever_was_forgotten() {
    for restarted in [0, 1] {
        let mut lab = filled();
        for node in [0, 1] {
            lab.store(node).is_counting = true;
        }
        lab.cut();
        lab.role(1, true);
        lab.put(0, 0, 1);
        lab.put(1, 0, 2);
        let later = [lab.put(1, 0, 1), lab.put(0, 0, 2)];
        lab.restart(restarted);
        lab.link();
        lab.run(S);
        assert_eq!(
            [both(&lab, 1), both(&lab, 2)],
            later.map(|it| [Some(it); 2])
        );
        for node in [0, 1] {
            assert!(lab.machine(node).replica.conflicts(0).is_empty());
        }
        lab.assert_in_sync();
    }
}

#[test]
fn a_follower_hears_of_the_drain_and_of_the_role_that_goes() {
    let mut lab = filled();
    assert_eq!(lab.machine(1).replica.peer_drain_ns(), None);
    let asked = lab.now_ns();
    lab.machine_mut(0).unwrap().replica.start_drain();
    lab.run(S);
    let heard = lab.machine(1).replica.peer_drain_ns();
    assert!(heard.is_some_and(|at| at >= asked), "{heard:?}");
    let groups = |lab: &Lab| lab.machine(1).replica.peer_groups().map(|it| it.len());
    assert_eq!(groups(&lab), Some(1));
    lab.put(0, 0, 1);
    lab.role(0, false);
    lab.run(S);
    assert_eq!(groups(&lab), Some(0));
    assert_eq!(both(&lab, 1)[0], both(&lab, 1)[1]);
    lab.cut();
    assert_eq!(groups(&lab), None);
    assert_eq!(lab.machine(1).replica.peer_drain_ns(), None);
}

#[test]
fn what_is_deleted_while_the_other_is_restarted_is_deleted_on_both() {
    for node in [0, 1] {
        let mut lab = filled();
        lab.cut();
        // the node that stays up is active when the other is back
        lab.role(0, node == 0);
        lab.role(1, node == 1);
        lab.delete(node, 0, 1);
        lab.delete(node, 0, 2);
        lab.put(node, 0, 2);
        lab.restart(1 - node);
        lab.link();
        lab.run(S);
        assert_eq!(both(&lab, 1), [None; 2], "node {node}");
        assert_eq!(lab.records(0, 0).len(), 5);
        lab.assert_in_sync();
        // after a new incarnation nobody knows which records the other node had
        lab.cut();
        lab.delete(node, 0, 3);
        lab.flush(1 - node, 0);
        lab.store(1 - node).put(0, 3, 77);
        lab.restart(1 - node);
        lab.link();
        lab.run(S);
        assert_eq!(both(&lab, 3), [Some(77); 2], "node {node}");
        lab.assert_in_sync();
    }
}

#[test]
fn what_is_deleted_before_a_restarted_backup_has_offered_it_is_deleted_on_both() {
    for node in [0, 1] {
        let mut lab = filled();
        lab.role(0, node == 0);
        lab.role(1, node == 1);
        lab.run(S);
        lab.restart(1 - node);
        lab.link();
        lab.delete(node, 0, 1);
        lab.delete(node, 0, 2);
        let value = lab.put(node, 0, 2);
        lab.run(S);
        assert_eq!(both(&lab, 1), [None; 2], "node {node}");
        assert_eq!(both(&lab, 2), [Some(value); 2], "node {node}");
        assert_eq!(lab.records(0, 0).len(), 5);
        lab.assert_in_sync();
    }
}

#[test]
fn a_change_while_apart_outranks_a_deletion_and_the_younger_outranks_the_older() {
    let mut lab = filled();
    lab.cut();
    lab.role(1, true);
    lab.delete(0, 0, 1);
    let kept = lab.put(1, 0, 1);
    lab.put(0, 0, 2);
    lab.run(10 * S);
    let younger = lab.put(1, 0, 2);
    lab.link();
    lab.run(S);
    assert_eq!(
        [both(&lab, 1), both(&lab, 2)],
        [[Some(kept); 2], [Some(younger); 2]]
    );
    let conflicts = |node: usize| lab.machine(node).replica.conflicts(0);
    assert_eq!(conflicts(0).len() + conflicts(1).len(), 1);
    for node in [0, 1] {
        // the second node's value won, whichever decided
        assert!(conflicts(node).iter().all(|it| it.peer_won == (node == 0)));
    }
    lab.assert_in_sync();
}

#[test]
fn a_backups_own_change_is_undone_at_once() {
    let mut lab = filled();
    let value = lab.get(0, 1);
    lab.put(1, 0, 1);
    lab.put(1, 0, 40);
    lab.delete(1, 0, 2);
    lab.run(20 * MS);
    assert_eq!(both(&lab, 1), [value; 2]);
    assert_eq!(both(&lab, 40), [None; 2]);
    assert!(lab.get(1, 2).is_some());
    lab.assert_in_sync();
}

#[test]
fn a_backups_own_change_is_offered_where_the_store_says_so() {
    let mut lab = filled();
    for node in [0, 1] {
        lab.store(node).strays = Strays::Offer;
    }
    let value = lab.put(1, 0, 1);
    lab.delete(1, 0, 2);
    lab.run(20 * MS);
    assert_eq!(
        [both(&lab, 1), both(&lab, 2)],
        [[Some(value); 2], [None; 2]]
    );
    lab.assert_in_sync();
}

#[test]
fn a_change_of_the_others_own_record_is_refused_and_answered() {
    let mut lab = filled();
    lab.store(0).ours = Some((3, 4));
    assert_eq!(
        lab.machine(0).store.authority(0, &crate::toy::Number(3)),
        Authority::Ours
    );
    lab.role(1, true);
    lab.run(S);
    let value = lab.get(0, 3);
    lab.put(1, 0, 3);
    lab.run(S);
    assert_eq!(both(&lab, 3), [value; 2]);
    let it = lab.machine(0);
    assert_eq!(it.replica.status(0, &it.store)[0].denied, 1);
    lab.assert_in_sync();
}

#[test]
fn changes_of_a_table_that_the_peer_lacks_wait_for_nobody_and_are_there_when_it_has_it() {
    let mut lab = Lab::new(0);
    lab.changes_max = 8;
    lab.role(0, true);
    lab.restart(0);
    lab.store(1).incarnations[0] = None;
    lab.link();
    // the peer's tables are not known yet
    lab.put(0, 0, 0);
    lab.latest(0, 0, 3);
    lab.run(S);
    let serial = lab.machine(0).replica.serial;
    for key in 1..10 {
        lab.put(0, 0, key);
    }
    lab.delete(0, 0, 1);
    lab.latest(0, 0, 4);
    lab.run(S);
    let it = lab.machine(0);
    assert_eq!(it.replica.serial, serial, "the other table is not compared");
    assert_eq!(it.replica.behind_ms(lab.now_ns()), 0);
    let table = &it.replica.tables[0];
    assert!(table.changes.pending.is_empty() && table.changes.queue.is_empty());
    assert!(table.latest.keys.is_empty());
    lab.store(1).incarnations[0] = Some(7);
    lab.run(S);
    assert_eq!(lab.records(1, 0).len(), 9);
    lab.assert_in_sync();
}

#[test]
fn what_finds_no_room_is_counted_tried_again_and_lost_nowhere() {
    let mut lab = filled();
    lab.store(1).capacity = 6;
    lab.put(0, 0, 7);
    lab.run(S);
    for node in [0, 1] {
        let it = lab.machine(node);
        let lack = it.replica.in_sync(&it.store).unwrap_err();
        assert!(lack.contains("refuse"), "{lack}");
        // the node that has all records could become active
        let lack = it.replica.ready(&it.store).err();
        let said = lack.is_some_and(|lack| lack.contains("refused here"));
        assert_eq!(said, node == 1);
    }
    lab.store(1).capacity = 10;
    lab.run(100 * S);
    assert_eq!(lab.records(1, 0).len(), 7);
    lab.assert_in_sync();
    // the other way round: a record that the decider has no room for stays on the follower
    lab.store(0).capacity = 7;
    lab.role(1, true);
    lab.run(S);
    lab.put(1, 0, 8);
    lab.run(200 * S);
    assert_eq!((lab.records(0, 0).len(), lab.records(1, 0).len()), (7, 8));
}

#[test]
fn what_the_decider_has_no_room_for_is_tried_again_ever_more_rarely() {
    let mut lab = filled();
    lab.cut();
    lab.store(0).capacity = 6;
    lab.put(1, 0, 7);
    lab.link();
    let resyncs = |lab: &Lab| {
        let it = lab.machine(0);
        it.replica.status(lab.now_ns(), &it.store)[0].resyncs
    };
    let before = resyncs(&lab);
    lab.run(120 * S);
    let count = resyncs(&lab) - before;
    assert!((3..12).contains(&count), "{count}");
    assert_eq!((lab.records(0, 0).len(), lab.records(1, 0).len()), (6, 7));
    lab.store(0).capacity = 7;
    lab.run(70 * S);
    assert_eq!(lab.records(0, 0).len(), 7);
    lab.assert_in_sync();
}

#[test]
fn a_record_that_is_too_long_counts_once_and_no_more_when_it_is_short() {
    let mut lab = filled();
    let too_long = |lab: &Lab| {
        let it = lab.machine(0);
        it.replica.status(lab.now_ns(), &it.store)[0].too_long
    };
    lab.store(0).long = Some(1);
    lab.put(0, 0, 1);
    for _ in 0..3 {
        lab.run(S);
        let it = lab.machine(0);
        let lack = it.replica.in_sync(&it.store).unwrap_err();
        assert!(lack.contains("too long"), "{lack}");
        assert_eq!(too_long(&lab), 1);
        lab.machine_mut(0).unwrap().replica.resync(0);
    }
    lab.store(0).long = None;
    lab.machine_mut(0).unwrap().replica.resync(0);
    lab.run(S);
    assert_eq!(too_long(&lab), 0);
    lab.assert_in_sync();
}

#[test]
fn an_acknowledgement_waits_for_the_verdict() {
    let mut lab = filled();
    lab.store(1).is_slow = true;
    lab.put(0, 0, 1);
    lab.run(S);
    let it = lab.machine(0);
    assert!(it.replica.in_sync(&it.store).is_err());
    assert!(it.replica.behind_ms(lab.now_ns()) >= 999);
    assert!(!lab.machine(1).replica.is_settled());
    lab.finish(1, 1);
    lab.run(S);
    assert!(lab.machine(1).replica.is_settled());
    lab.assert_in_sync();
}

#[test]
fn a_drain_ends_when_the_peer_has_its_last_verdict() {
    let mut lab = filled();
    lab.store(1).is_slow = true;
    lab.put(0, 0, 1);
    let it = lab.machine_mut(0).unwrap();
    it.replica.start_drain();
    lab.run(S);
    assert_eq!(lab.machine(0).replica.drain_state(), Drain::Pending);
    lab.finish(1, 1);
    lab.run(S);
    assert_eq!(lab.machine(0).replica.drain_state(), Drain::Done);
    lab.machine_mut(0).unwrap().replica.start_drain();
    lab.cut();
    assert_eq!(lab.machine(0).replica.drain_state(), Drain::Failed);
}

#[test]
fn what_ran_out_is_no_deletion() {
    let mut lab = filled();
    lab.end(0, 0, 1);
    lab.run(S);
    assert!(lab.get(1, 1).is_some());
    // the follower's copy expires too early: it gets the record again
    lab.end(1, 0, 2);
    lab.machine_mut(1).unwrap().replica.resync(0);
    lab.run(S);
    assert!(lab.get(0, 2).is_some());
    assert_eq!(both(&lab, 2)[0], both(&lab, 2)[1]);
}

#[test]
fn what_expires_during_a_snapshot_is_no_deletion_in_the_next() {
    for node in [0, 1] {
        let mut lab = filled();
        for key in 0..300 {
            lab.put(0, 0, key);
        }
        lab.run(S);
        lab.machine_mut(1).unwrap().replica.resync(0);
        // the snapshot has named the first record, and is not over
        lab.run(15 * MS);
        let state = lab.machine(1).replica.copy_state(0);
        assert_eq!(state, Some(CopyState::Received));
        lab.end(node, 0, 0);
        lab.run(S);
        assert!(lab.get(node, 0).is_none(), "it was named before");
        // the node where it expired follows
        lab.role(0, node == 1);
        lab.role(1, node == 0);
        lab.machine_mut(1).unwrap().replica.resync(0);
        lab.run(2 * S);
        assert!(lab.get(1 - node, 0).is_some(), "node {node}");
        assert_eq!(lab.get(0, 0), lab.get(1, 0), "node {node}");
        lab.assert_in_sync();
    }
}

#[test]
fn a_resync_mends_what_changed_unseen() {
    let mut lab = filled();
    let value = lab.get(0, 4);
    lab.unseen = true;
    lab.store(1).put(0, 4, 999);
    lab.store(1).put(0, 50, 1);
    lab.machine_mut(1).unwrap().replica.resync(0);
    lab.run(S);
    assert_eq!([both(&lab, 4), both(&lab, 50)], [[value; 2], [None; 2]]);
    lab.assert_in_sync();
}

/// Readiness that the follower reports while its copy is compared.
fn said_while_compared(lab: &mut Lab) -> Vec<Result<(), String>> {
    lab.machine_mut(1).unwrap().replica.resync(0);
    let mut said = Vec::new();
    for _ in 0..1_000 {
        lab.run(MS / 10);
        let it = lab.machine(1);
        if it.replica.copy_state(0) == Some(CopyState::Received) {
            said.push(it.replica.ready(&it.store));
        }
    }
    assert!(!said.is_empty(), "it takes a while");
    said
}

#[test]
fn a_whole_copy_is_ready_while_it_is_compared() {
    let mut lab = filled();
    for key in 0..300 {
        lab.put(0, 0, key);
    }
    lab.run(S);
    for said in said_while_compared(&mut lab) {
        assert_eq!(said, Ok(()));
    }
    let in_sync = lab.machine(1).replica.in_sync(&lab.machine(1).store);
    assert_eq!(in_sync, Ok(()));
    // a new pair knows nothing of the old copy
    lab.cut();
    lab.link();
    let mut lacks = Vec::new();
    for _ in 0..1_000 {
        lab.run(MS / 10);
        let it = lab.machine(1);
        if it.replica.copy_state(0) == Some(CopyState::Received) {
            lacks.push(it.replica.out_of_sync_reason(&it.store, 0));
        }
    }
    assert!(!lacks.is_empty() && lacks.iter().all(Option::is_some));
}

#[test]
fn a_copy_that_lacks_what_was_refused_is_not_ready_while_that_is_tried_again() {
    let mut lab = filled();
    lab.store(1).capacity = 100;
    for key in 0..300 {
        lab.put(0, 0, key);
    }
    lab.run(S / 2);
    let said = said_while_compared(&mut lab);
    assert!(said.iter().all(Result::is_err));
}

#[test]
fn too_many_changes_become_a_comparison() {
    let mut lab = Lab::new(0);
    lab.changes_max = 10;
    lab.restart(0);
    lab.role(0, true);
    lab.link();
    lab.run(S);
    for key in 0..30 {
        lab.put(0, 0, key);
    }
    lab.run(S);
    assert_eq!(lab.records(1, 0).len(), 30);
    lab.assert_in_sync();
}

#[test]
fn a_channel_that_takes_nothing_makes_no_timer_due_all_the_time() {
    let mut lab = filled();
    let mut now_ns = lab.now_ns() + S;
    for node in [0, 1] {
        let it = lab.machine_mut(node).expect("it runs");
        // one more record to report
        it.store.put(1, 0, 1);
        for _ in 0..3 {
            it.replica.handle_timeout(now_ns, &mut it.store);
            let next_ns = it.replica.next_timeout(now_ns).expect("it is paired");
            assert!(next_ns > now_ns, "node {node}");
            now_ns = next_ns;
        }
        let message = it.replica.poll_message(now_ns, &mut it.store);
        assert_eq!(message.map(|it| it[0]), Some(kind::COUNT));
    }
}

#[test]
fn a_number_of_records_that_is_lost_with_its_pair_is_told_in_the_next() {
    let mut lab = filled();
    let now_ns = lab.now_ns() + 20 * S;
    lab.unseen = true;
    let it = lab.machine_mut(0).unwrap();
    it.store.put(1, 0, 1);
    it.replica.handle_timeout(now_ns, &mut it.store);
    let message = it.replica.poll_message(now_ns, &mut it.store);
    assert_eq!(message.map(|it| it[0]), Some(kind::COUNT));
    // the message is in the channel when the pair ends
    lab.role(1, true);
    lab.run(30 * S);
    let it = lab.machine(1);
    let told = it.replica.status(lab.now_ns(), &it.store);
    assert_eq!(told[1].there, Some(1));
}

#[test]
fn the_newest_value_alone_waits_on_its_lane() {
    let mut lab = filled();
    let key = crate::toy::Number(1);
    for value in 0..100 {
        let it = lab.machine_mut(0).unwrap();
        it.store.latest.insert(key, value);
        it.replica.latest(0, key);
    }
    lab.run(S);
    assert_eq!(lab.machine(1).store.latest.get(&key), Some(&99));
    assert!(lab.sent[0][usize::from(kind::LATEST)] <= 2);
    lab.assert_in_sync();
}

#[test]
fn a_newest_value_outlasts_a_change_of_roles() {
    let mut lab = filled();
    let key = crate::toy::Number(1);
    lab.role(0, false);
    let it = lab.machine_mut(0).unwrap();
    it.store.latest.insert(key, 7);
    it.replica.latest(0, key);
    lab.run(S);
    assert_eq!(lab.machine(1).store.latest.get(&key), Some(&7));
}

#[test]
fn the_peers_groups_and_a_whole_snapshot_are_known() {
    let mut lab = filled();
    let known = |lab: &Lab| {
        [0, 1].map(|node| {
            let replica = &lab.machine(node).replica;
            let groups = replica.peer_groups().map(|it| it.len());
            (groups, replica.is_complete(0))
        })
    };
    assert_eq!(known(&lab), [(Some(0), true), (Some(1), true)]);
    lab.role(1, true);
    assert_eq!(known(&lab)[1], (Some(1), false), "a pair begins");
    lab.run(S);
    assert_eq!(known(&lab), [(Some(1), true); 2]);
    lab.cut();
    assert_eq!(known(&lab), [(None, false); 2]);
}

#[test]
fn tables_are_filled_in_their_order() {
    let mut lab = Lab::new(0);
    lab.role(0, true);
    for key in 0..50 {
        lab.put(0, 0, key);
        lab.put(0, 1, key);
    }
    lab.link();
    while lab.records(1, 1).is_empty() {
        lab.run(MS);
    }
    assert_eq!(lab.records(1, 0).len(), 50);
}

#[test]
fn the_same_tables_in_another_order_do_not_wait_for_each_other() {
    for active in [0, 1] {
        let mut lab = Lab::new(0);
        // the lab compares tables by their place
        lab.unseen = true;
        lab.machine_mut(1).unwrap().replica =
            Replica::new(Config::new(200, 2, ["second", "first"]));
        lab.role(active, true);
        for key in 0..5 {
            lab.put(0, 0, key);
            lab.put(1, 0, key);
        }
        lab.link();
        lab.machine_mut(active).unwrap().replica.start_drain();
        lab.run(S);
        for node in [0, 1] {
            let it = lab.machine(node);
            assert_eq!(it.replica.in_sync(&it.store), Ok(()), "node {node}");
            assert_eq!(lab.records(0, node), lab.records(1, 1 - node));
            assert_eq!(lab.records(0, node).len(), 5);
        }
        let state = lab.machine(active).replica.drain_state();
        assert_eq!(state, Drain::Done, "node {active} is active");
    }
}

#[test]
fn a_list_that_one_node_lacks_from_the_start_is_not_announced_without_end() {
    for lacking in [0, 1] {
        let mut lab = Lab::new(0);
        for node in [0, 1] {
            lab.store(node).is_list = true;
        }
        lab.store(lacking).incarnations[0] = None;
        lab.role(0, true);
        lab.link();
        lab.run(10 * S);
        let sent: u64 = lab.sent.iter().flatten().sum();
        assert!(sent < 100, "node {lacking} lacks it: {sent} messages");
        lab.store(lacking).incarnations[0] = Some(7);
        lab.run(S);
        lab.put(0, 0, 1);
        lab.run(S);
        assert_eq!(lab.records(1, 0).len(), 1, "node {lacking}");
        lab.assert_in_sync();
    }
}

#[test]
fn a_table_that_the_peer_lacks_is_named() {
    let mut lab = Lab::in_sync();
    lab.store(1).incarnations[1] = None;
    lab.run(2 * S);
    let it = lab.machine(0);
    let lack = it.replica.in_sync(&it.store).unwrap_err();
    assert_eq!(
        lack,
        "second: the peer does not have it, or has not read it yet"
    );
    lab.store(1).incarnations[1] = Some(9);
    lab.run(2 * S);
    lab.assert_in_sync();
}

#[test]
fn a_first_table_that_one_node_lacks_keeps_back_no_verdict_and_no_drain_of_the_others() {
    for lacking in [0, 1] {
        for active in [0, 1] {
            let mut lab = Lab::in_sync();
            lab.store(lacking).incarnations[0] = None;
            lab.role(0, active == 0);
            lab.role(1, active == 1);
            lab.run(2 * S);
            let value = lab.put(active, 1, 7);
            lab.machine_mut(active).unwrap().replica.start_drain();
            lab.run(S);
            let who = format!("node {lacking} lacks it, node {active} is active");
            assert_eq!(lab.records(1 - active, 1), [(7, value)], "{who}");
            let it = lab.machine(active);
            assert_eq!(it.replica.behind_ms(lab.now_ns()), 0, "{who}");
            assert_eq!(it.replica.drain_state(), Drain::Done, "{who}");
        }
    }
}

#[test]
fn tables_that_do_not_fit_are_left_alone_and_named() {
    for (matters, active) in [(true, 0), (true, 1), (false, 0), (false, 1)] {
        let mut lab = Lab::new(0);
        // the type matters to one node, to the other perhaps not
        lab.store(0).prefaces[0] = (5, matters);
        lab.role(active, true);
        lab.link();
        lab.put(0, 0, 1);
        lab.put(1, 0, 2);
        let value = lab.put(active, 1, 3);
        for node in [0, 1] {
            lab.machine_mut(node).unwrap().replica.start_drain();
        }
        lab.run(10 * S);
        assert_eq!([lab.records(0, 0).len(), lab.records(1, 0).len()], [1, 1]);
        assert_eq!(lab.machine(0).replica.garbage(), (0, 0));
        let it = lab.machine(1);
        let lack = it.replica.in_sync(&it.store).unwrap_err();
        assert_eq!(lack, "first: the peer's table is of type [5], ours of 0");
        assert!(
            lab.machine(0)
                .replica
                .in_sync(&lab.machine(0).store)
                .is_err()
        );
        for node in [0, 1] {
            let who = format!("node {node}, node {active} is active, {matters}");
            assert_eq!(lab.records(node, 1), [(3, value)], "{who}");
            let state = lab.machine(node).replica.drain_state();
            assert_eq!(state, Drain::Done, "{who}");
        }
    }
}

#[test]
fn a_table_that_is_made_anew_with_the_right_type_fits_again() {
    for node in [0, 1] {
        let mut lab = filled();
        lab.store(node).prefaces[0] = (5, true);
        lab.flush(node, 0);
        lab.run(S);
        for one in [0, 1] {
            let it = lab.machine(one);
            assert!(it.replica.in_sync(&it.store).is_err(), "node {one}");
        }
        lab.store(node).prefaces[0] = (0, true);
        lab.flush(node, 0);
        lab.run(S);
        assert_eq!(lab.records(node, 0).len(), 6, "node {node}");
        lab.assert_in_sync();
    }
}

#[test]
fn changes_made_while_apart_come_before_the_rest_of_a_large_table() {
    const COUNT: u32 = 400;
    let mut lab = Lab::in_sync();
    for key in 0..COUNT {
        lab.put(0, 0, key);
    }
    lab.run(S);
    lab.assert_in_sync();
    lab.cut();
    let last = COUNT - 1;
    let value = lab.put(0, 0, last);
    lab.delete(0, 0, last - 1);
    // the channel is lost again and again before all records are compared
    for _ in 0..3 {
        lab.link();
        lab.run(30 * MS);
        assert!(lab.machine(1).replica.copy_state(0) != Some(crate::CopyState::Complete));
        lab.cut();
    }
    assert_eq!(both(&lab, last), [Some(value); 2]);
    assert_eq!(both(&lab, last - 1), [None; 2]);
    lab.link();
    lab.run(S);
    lab.assert_in_sync();
}

#[test]
fn a_pair_at_rest_is_woken_for_its_numbers_now_and_then_and_tells_changes_within_a_second() {
    let mut lab = Lab::in_sync();
    lab.run(20 * S);
    let wakes_in = |lab: &mut Lab, time_ns: u64| {
        let until_ns = lab.now_ns() + time_ns;
        let mut wakes = 0;
        loop {
            let now_ns = lab.now_ns();
            let due_ns = lab.machine(0).replica.next_timeout(now_ns);
            let due_ns = due_ns.unwrap_or(until_ns).clamp(now_ns + 1, until_ns);
            lab.run(due_ns - now_ns);
            if due_ns == until_ns {
                return wakes;
            }
            wakes += 1;
        }
    };
    assert!((5..=7).contains(&wakes_in(&mut lab, 60 * S)));
    for key in 0..3 {
        lab.put(0, 0, key);
        lab.run(1100 * MS);
        let told = lab
            .machine(1)
            .replica
            .status(lab.now_ns(), &lab.machine(1).store);
        assert_eq!(told[0].there, Some(u64::from(key) + 1), "{key}");
    }
}
