//! Commands that wait longer than the daemon does.

use spared_sdk::Value;

use super::lab::S;
use super::{Command, pair, push, text};
use crate::wire::How;

/// Root half that runs a check for a minute: the daemon waits 12 s for an answer.
#[test]
fn a_command_that_waits_for_a_scan_is_answered_that_it_goes_on() {
    let mut lab = pair();
    lab.nodes[0].tree.insert("b".to_owned(), "new".to_owned());
    lab.nodes[0].is_slow = true;
    let token = lab.ask(0, push());
    let list = lab.ask(0, Command::Diff("t".to_owned()));
    let log = lab.ask(0, Command::Log("t".to_owned()));
    lab.pass(9 * S);
    assert!(lab.nodes[0].replies.is_empty());
    lab.pass(2 * S);
    let mut reply = |token| lab.nodes[0].replies.remove(&token).expect("an answer");
    let later = reply(token);
    assert!(text(&later).starts_with("still under way"), "{later:?}");
    let outcome = ("outcome".to_owned(), Value::Text("later".to_owned()));
    assert!(later.rows.contains(&outcome), "{later:?}");
    for token in [list, log] {
        let why = text(&reply(token));
        assert!(why.starts_with("files-root is at work"), "{why}");
    }
    let rows = lab.nodes[0].engine.rows(lab.now_ns);
    let waits = ("transfer.tree".to_owned(), Value::Text("t".to_owned()));
    assert!(rows.contains(&waits), "{rows:?}");
    lab.pass(50 * S);
    lab.nodes[0].is_slow = false;
    lab.pass(S);
    assert_eq!(lab.nodes[1].tree["b"], "new");
    let rows = lab.nodes[0].engine.rows(lab.now_ns);
    let last = (
        "tree.t.last".to_owned(),
        Value::Text("pushed: in place".to_owned()),
    );
    assert!(rows.contains(&last), "{rows:?}");
    lab.assert_answered();
}

/// Peer that is at work for something else: a list cannot be had later.
#[test]
fn a_list_that_the_peer_does_not_send_is_refused_and_not_empty() {
    let dry = How {
        is_dry: true,
        ..How::default()
    };
    let pull = Command::Pull("t".to_owned(), dry);
    for command in [Command::Diff("t".to_owned()), pull] {
        let mut lab = pair();
        lab.nodes[1].is_slow = true;
        let token = lab.ask(0, command);
        lab.pass(11 * S);
        let reply = lab.nodes[0].replies.remove(&token).expect("an answer");
        assert!(text(&reply).starts_with("r2 does not answer"), "{reply:?}");
        assert!(reply.refused.is_some(), "{reply:?}");
        lab.nodes[1].is_slow = false;
        lab.pass(S);
        // the next one is not in its way
        text(&lab.done(0, Command::Diff("t".to_owned())));
    }
}

/// Wait that is split between the scan here and the work of the peer.
#[test]
fn a_command_waits_no_longer_in_two_steps_than_in_one() {
    let mut lab = pair();
    lab.nodes[0].tree.insert("b".to_owned(), "new".to_owned());
    lab.nodes[0].is_slow = true;
    let token = lab.ask(0, push());
    lab.pass(8 * S);
    lab.nodes[1].is_slow = true;
    lab.nodes[0].is_slow = false;
    lab.pass(3 * S);
    let reply = lab.nodes[0].replies.remove(&token).expect("an answer");
    assert!(text(&reply).starts_with("still under way"), "{reply:?}");
}
