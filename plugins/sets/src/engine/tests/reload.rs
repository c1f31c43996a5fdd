//! Reloads of a ruleset: sets lose the elements that were added at run time, and get them back.

use spared_sdk::{Trouble, Value};

use super::lab::*;
use crate::config::Reload;

/// Both nodes have elements 0 to 99.
fn filled(reload: Reload) -> Lab {
    let mut lab = Lab::in_sync_with(reload);
    for number in 0..100 {
        let life = (number % 2 == 0).then_some((600, 600));
        lab.add(0, element(number, life));
    }
    lab.run(S);
    lab.assert_in_sync();
    assert_eq!(lab.count(1), 100);
    lab
}

fn assert_whole(lab: &Lab, count: usize) {
    for node in [0, 1] {
        assert_eq!(lab.count(node), count, "node {node}");
    }
    lab.assert_in_sync();
}

const NODES: [&[usize]; 3] = [&[0], &[1], &[0, 1]];

#[test]
fn what_a_set_had_is_back_within_a_second_and_what_the_file_names_is_there() {
    for nodes in NODES {
        for linked in [true, false] {
            let mut lab = filled(Reload::Refill);
            if !linked {
                lab.cut();
            }
            let file = [element(3, None), element(500, None)];
            for node in nodes {
                lab.reload(*node, &file);
            }
            lab.run(S);
            for node in nodes {
                assert_eq!(lab.count(*node), 101, "{nodes:?}, linked: {linked}");
                assert!(lab.has(*node, 500));
            }
            if !linked {
                lab.link();
            }
            lab.run(3 * S);
            assert_whole(&lab, 101);
            assert_eq!(lab.left_s(1, 2).map(|it| it > 590), Some(true));
        }
    }
}

#[test]
fn the_other_node_writes_nothing_meanwhile() {
    for node in [0, 1] {
        let mut lab = filled(Reload::Refill);
        let written = lab.machine(1 - node).kernel.written;
        lab.reload(node, &[]);
        lab.run(5 * S);
        assert_whole(&lab, 100);
        assert_eq!(lab.machine(1 - node).kernel.written, written);
    }
}

#[test]
fn twice_within_a_second_and_in_two_steps_and_in_pieces() {
    for nodes in NODES {
        let mut lab = filled(Reload::Refill);
        for node in [0, 1] {
            lab.kernel(node).piece = 9;
        }
        for pause in [0, 1, 3, 20, 200] {
            for node in nodes {
                lab.kernel(*node).remove();
            }
            lab.run(pause * MS);
            let now_ns = lab.now_ns();
            for node in nodes {
                lab.kernel(*node).make(now_ns, &[element(1, None)]);
            }
            lab.run(pause * MS);
            for node in nodes {
                lab.reload(*node, &[element(2, Some((600, 600)))]);
            }
            lab.run(S);
            for node in nodes {
                assert_eq!(lab.count(*node), 100, "{nodes:?} after {pause} ms");
            }
        }
        lab.run(5 * S);
        assert_whole(&lab, 100);
    }
}

#[test]
fn during_a_switchover_and_a_failover() {
    for nodes in NODES {
        for ms in [0, 1, 2, 5, 50] {
            let mut lab = filled(Reload::Refill);
            lab.role(0, false);
            for node in nodes {
                lab.reload(*node, &[]);
            }
            lab.run(ms * MS);
            lab.role(1, true);
            for node in nodes {
                lab.reload(*node, &[]);
            }
            lab.run(3 * S);
            assert_whole(&lab, 100);
            lab.cut();
            lab.role(1, false);
            lab.role(0, true);
            for node in nodes {
                lab.reload(*node, &[]);
            }
            lab.run(ms * MS);
            lab.link();
            lab.run(3 * S);
            assert_whole(&lab, 100);
        }
    }
}

#[test]
fn what_is_added_and_deleted_meanwhile_holds() {
    for nodes in NODES {
        let mut lab = filled(Reload::Refill);
        for node in nodes {
            lab.reload(*node, &[]);
        }
        lab.add(0, element(200, None));
        lab.run(3 * MS);
        lab.add(0, element(201, None));
        lab.delete(0, 201);
        lab.run(S);
        lab.delete(0, 7);
        lab.run(2 * S);
        assert!(!lab.has(0, 7) && !lab.has(1, 7));
        assert!(lab.has(0, 200) && lab.has(1, 200));
        assert_whole(&lab, 100);
    }
}

#[test]
fn a_worker_that_was_not_there_during_it_gets_all_from_the_peer() {
    for node in [0, 1] {
        let mut lab = filled(Reload::Refill);
        lab.reload(node, &[]);
        lab.restart(node);
        lab.run(3 * S);
        assert_whole(&lab, 100);
    }
}

#[test]
fn a_set_that_is_gone_for_long_is_left_alone_at_the_peer_and_filled_when_it_is_back() {
    for (node, reload) in [
        (0, Reload::Refill),
        (1, Reload::Refill),
        (0, Reload::Flush),
        (1, Reload::Flush),
    ] {
        let mut lab = filled(reload);
        lab.kernel(node).remove();
        lab.run(10 * S);
        assert_eq!(lab.count(1 - node), 100);
        let warned = &lab.machine(node).warned;
        assert_eq!(warned, &["set inet filter bans does not exist"]);
        assert!(lab.machine(1).in_sync.is_err());
        let now_ns = lab.now_ns();
        lab.kernel(node).make(now_ns, &[]);
        lab.run(3 * S);
        assert_whole(&lab, 100);
    }
}

#[test]
fn a_smaller_set_keeps_what_fits_and_the_other_node_keeps_all() {
    for node in [0, 1] {
        let mut lab = filled(Reload::Refill);
        lab.kernel(node).room = 60;
        lab.reload(node, &[]);
        lab.run(10 * S);
        assert_eq!([lab.count(node), lab.count(1 - node)], [60, 100]);
        let row = lab.row(1, "inet filter bans.state");
        assert_ne!(row, Some(spared_sdk::Value::Text("in sync".to_owned())));
        lab.kernel(node).room = 1000;
        lab.run(130 * S);
        assert_whole(&lab, 100);
    }
}

#[test]
fn a_smaller_set_without_a_peer_gets_back_what_does_not_fit_once_there_is_room() {
    let mut lab = filled(Reload::Refill);
    lab.cut();
    lab.kernel(0).room = 60;
    lab.reload(0, &[]);
    lab.run(10 * S);
    assert_eq!(lab.count(0), 60);
    let full = "is full here: there is no room for more elements";
    let trouble = Trouble::new("inet filter bans", full);
    assert_eq!(lab.machine(0).engine.troubles(), [trouble]);
    assert_eq!(lab.machine(0).events, [""; 0]);
    let row = lab.row(0, "inet filter bans.refused_here");
    assert_eq!(row, Some(Value::Number(40)));
    lab.kernel(0).room = 1000;
    lab.run(10 * S);
    assert_eq!(lab.count(0), 100);
    assert_eq!(lab.machine(0).events, ["set inet filter bans: recovered"]);
    assert_eq!(lab.machine(0).engine.troubles(), []);
    lab.link();
    lab.run(3 * S);
    assert_whole(&lab, 100);
}

#[test]
fn what_a_smaller_set_without_a_peer_has_no_room_for_goes_to_the_peer() {
    let mut lab = filled(Reload::Refill);
    lab.cut();
    lab.kernel(0).room = 60;
    lab.reload(0, &[]);
    lab.run(10 * S);
    // the other machine starts with an empty set
    lab.restart(1);
    lab.reload(1, &[]);
    lab.run(S);
    lab.link();
    lab.run(10 * S);
    assert_eq!([lab.count(0), lab.count(1)], [60, 100]);
}

#[test]
fn where_the_file_says_so_a_reload_is_a_deletion_on_the_active_node() {
    let mut lab = filled(Reload::Flush);
    lab.reload(0, &[element(3, None), element(500, None)]);
    lab.run(S);
    assert_eq!(lab.count(0), 2);
    lab.run(2 * S);
    assert_whole(&lab, 2);
    // a reload on the backup deletes nothing
    lab.add(0, element(600, None));
    lab.run(S);
    lab.reload(1, &[]);
    lab.run(3 * S);
    assert_whole(&lab, 3);
}

#[test]
fn what_waits_to_be_written_into_a_set_that_does_not_come_back_holds_up_nothing() {
    let mut lab = filled(Reload::Refill);
    lab.kernel(1).remove();
    lab.add(0, element(200, None));
    lab.run(10 * MS);
    lab.cut();
    lab.run(3 * S);
    let now_ns = lab.now_ns();
    lab.kernel(1).make(now_ns, &[]);
    lab.run(S);
    lab.link();
    lab.run(3 * S);
    assert_whole(&lab, 101);
}
