//! Reports on deletions that the IKE daemon has not confirmed by an answer.

use super::daemon::{assert_up, delete, report_daemon_event, report_names};
use super::*;

#[test]
fn deletions_for_which_a_daemon_does_not_answer_are_told_once() {
    let mut pair = Pair::settled(3);
    report_names(&mut pair, 3);
    report_daemon_event(&mut pair, 0, DaemonEvent::Started);
    pair.run(20 * S);
    let before = pair.nodes[0].events.clone();
    let told = |pair: &Pair| pair.nodes[0].events[before.len()..].to_vec();
    delete(&mut pair, 0, 2, Deleter::Daemon);
    pair.run(1900 * MS);
    assert_eq!(told(&pair), [""; 0]);
    pair.run(100 * MS);
    let said = "the IKE daemon deleted 4 SAs and 6 policies, first c0000000 of office/net0, and has not answered for \
                2 s: the deletion counts if the IKE daemon answers, and is undone if it ends; if it hangs, restart it";
    assert_eq!(told(&pair), [said]);
    delete(&mut pair, 0, 3, Deleter::Daemon);
    pair.run(60 * S);
    assert_eq!(told(&pair), [said]);
    report_daemon_event(&mut pair, 0, DaemonEvent::Ended);
    assert_up(&pair, 0, 3);
    assert_eq!(told(&pair), [said]);
}

#[test]
fn each_silence_of_a_daemon_is_told_and_no_answer_that_is_in_time() {
    let mut pair = Pair::settled(3);
    report_daemon_event(&mut pair, 0, DaemonEvent::Started);
    pair.run(20 * S);
    let said = |pair: &Pair| {
        let events = pair.nodes[0].events.iter();
        let said = events.filter(|it| it.starts_with("the IKE daemon deleted "));
        said.cloned().collect::<Vec<_>>()
    };
    let end = |pair: &mut Pair, number: u32| {
        let kernel = &mut pair.nodes[0].kernel;
        for policy in policies(number) {
            kernel.delete_policy(&policy.id, Deleter::Daemon);
        }
        pair.settle();
    };
    // after its answer the daemon is asked about deletions in between
    for number in [0, 1] {
        end(&mut pair, number);
        pair.run(1500 * MS);
        report_daemon_event(&mut pair, 0, DaemonEvent::Answered);
    }
    pair.run(1500 * MS);
    report_daemon_event(&mut pair, 0, DaemonEvent::Answered);
    pair.run(60 * S);
    assert_eq!(said(&pair), [""; 0]);
    for times in [1, 2] {
        pair.establish(0, times);
        end(&mut pair, times);
        pair.run(3 * S);
        let told = said(&pair);
        assert_eq!(told.len(), times as usize);
        assert!(told[0].starts_with("the IKE daemon deleted 3 policies, first of 192.0.2.1, and "));
        for _ in 0..2 {
            report_daemon_event(&mut pair, 0, DaemonEvent::Answered);
        }
        pair.run(3 * S);
    }
}

/// The daemon was asked before these deletions, and may be told to stop since.
#[test]
fn an_answer_about_what_is_there_again_is_not_about_what_was_deleted_since() {
    let mut pair = Pair::settled(3);
    report_daemon_event(&mut pair, 0, DaemonEvent::Started);
    let end = |pair: &mut Pair, number: u32| {
        for policy in policies(number) {
            let kernel = &mut pair.nodes[0].kernel;
            kernel.delete_policy(&policy.id, Deleter::Daemon);
        }
        pair.settle();
    };
    let doubted = |pair: &Pair| {
        pair.nodes[0]
            .engine
            .ike
            .pending_deletions
            .policies()
            .count()
    };
    end(&mut pair, 0);
    assert_eq!((doubted(&pair), pair.nodes[0].pings), (3, 1));
    pair.establish(0, 0);
    assert_eq!(doubted(&pair), 0);
    end(&mut pair, 1);
    report_daemon_event(&mut pair, 0, DaemonEvent::Answered);
    assert_eq!((doubted(&pair), pair.nodes[0].pings), (3, 2));
    report_daemon_event(&mut pair, 0, DaemonEvent::Answered);
    assert_eq!(doubted(&pair), 0);
}
