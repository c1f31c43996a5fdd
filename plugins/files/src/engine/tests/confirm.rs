//! Changes that are reverted unless they are confirmed.

use spared_sdk::{Engine as _, Value};

use super::super::relation::Relation;
use super::lab::{Lab, S};
use super::{Command, How, Message, encode, pair, relations, text};

pub fn confirmed() -> How {
    How {
        confirm_s: 120,
        ..How::default()
    }
}

/// Pair in which r1's edit is in place on r2 and waits for a confirmation.
fn waiting() -> Lab {
    let mut lab = pair();
    lab.nodes[0].tree.insert("b".to_owned(), "new".to_owned());
    let push = Command::Push("t".to_owned(), confirmed());
    assert_eq!(text(&lab.done(0, push)), "in place");
    lab
}

#[test]
fn a_change_that_nobody_confirms_is_pending_again_where_it_was_made() {
    let mut lab = waiting();
    assert_eq!(relations(&lab), [Relation::Same, Relation::Same]);
    let troubles = lab.nodes[1].engine.troubles();
    assert!(
        troubles[0].why.contains("sparectl files confirm"),
        "{troubles:?}"
    );
    lab.pass(30 * S);
    lab.go_back(1);
    lab.settle();
    assert_eq!(lab.nodes[1].tree["b"], "2");
    assert_eq!(relations(&lab), [Relation::Ours, Relation::Theirs]);
    let why = text(&lab.done(0, Command::Confirm(None)));
    assert_eq!(why, "nothing waits for a confirmation");
}

/// Checks that the node is not told to confirm: a confirmation would keep the change that cut it off.
#[test]
fn a_node_that_a_change_cut_off_is_not_told_to_confirm_it() {
    let mut lab = waiting();
    lab.cut();
    lab.pass(11 * S);
    let troubles = lab.nodes[1].engine.troubles();
    let why = "not confirmed, and r1 is not connected: the old files come back by themselves, at once by sparectl files back t";
    assert_eq!(troubles[0].why, why);
    let back = Command::GoBack("t".to_owned());
    assert_eq!(super::super::parse(&["back", "t"]), Some(back));
}

#[test]
fn a_push_that_is_done_replaces_the_refusal_before_it() {
    let mut lab = pair();
    let last = |lab: &Lab| {
        let rows = lab.nodes[0].engine.rows(lab.now_ns);
        let row = rows.into_iter().find(|(key, _)| key == "tree.t.last");
        match row {
            Some((_, Value::Text(text))) => text,
            other => panic!("{other:?}"),
        }
    };
    lab.nodes[0].tree.insert("b".to_owned(), "3".to_owned());
    lab.nodes[1].refuses = Some("the check refused it".to_owned());
    lab.done(0, super::push());
    assert!(
        last(&lab).starts_with("not pushed: r2: the check refused it"),
        "{}",
        last(&lab)
    );
    lab.nodes[1].refuses = None;
    assert_eq!(text(&lab.done(0, super::push())), "in place");
    assert_eq!(last(&lab), "pushed: in place");
    // or by a change that the other node requests
    lab.nodes[0].tree.insert("b".to_owned(), "4".to_owned());
    lab.nodes[1].refuses = Some("the check refused it".to_owned());
    lab.done(0, super::push());
    lab.nodes[1].refuses = None;
    assert_eq!(text(&lab.done(1, super::pull())), "in place");
    lab.pass(11 * S);
    assert_eq!(last(&lab), "-");
}

#[test]
fn a_confirmation_behind_other_work_is_answered_that_it_goes_on() {
    for at in 0..2 {
        let mut lab = waiting();
        lab.nodes[1].is_slow = true;
        let token = lab.ask(at, Command::Confirm(None));
        lab.pass(11 * S);
        let reply = lab.nodes[at].replies.remove(&token).expect("an answer");
        assert!(text(&reply).starts_with("still under way"), "{reply:?}");
        lab.nodes[1].is_slow = false;
        lab.pass(S);
        lab.go_back(1);
        lab.settle();
        assert_eq!(lab.nodes[1].tree["b"], "new");
        lab.assert_answered();
    }
}

#[test]
fn either_node_confirms() {
    for at in 0..2 {
        let mut lab = waiting();
        assert_eq!(text(&lab.done(at, Command::Confirm(None))), "confirmed: t");
        lab.go_back(1);
        lab.settle();
        assert_eq!(lab.nodes[1].tree["b"], "new");
        assert_eq!(relations(&lab), [Relation::Same, Relation::Same]);
        assert!(lab.nodes[1].engine.troubles().is_empty());
        // and now it is the state that both last had
        lab.nodes[0].tree.insert("c".to_owned(), "3".to_owned());
        lab.pass(11 * S);
        assert_eq!(relations(&lab), [Relation::Ours, Relation::Theirs]);
    }
}

#[test]
fn an_edit_before_the_confirmation_is_pending_after_it() {
    for is_pull in [false, true] {
        for at in 0..2 {
            let mut lab = if is_pull { pair() } else { waiting() };
            if is_pull {
                lab.nodes[0].tree.insert("b".to_owned(), "new".to_owned());
                let pull = Command::Pull("t".to_owned(), confirmed());
                assert_eq!(text(&lab.done(1, pull)), "in place");
            }
            lab.nodes[0].tree.insert("b".to_owned(), "newer".to_owned());
            lab.pass(11 * S);
            assert_eq!(text(&lab.done(at, Command::Confirm(None))), "confirmed: t");
            lab.pass(11 * S);
            assert_eq!(relations(&lab), [Relation::Ours, Relation::Theirs]);
            assert_eq!(text(&lab.done(0, super::push())), "in place");
            assert_eq!(lab.nodes[1].tree["b"], "newer");
        }
    }
    // what went back is no state that both had
    let mut lab = waiting();
    lab.nodes[0].tree.insert("b".to_owned(), "newer".to_owned());
    lab.pass(11 * S);
    lab.go_back(1);
    lab.pass(11 * S);
    assert_eq!(relations(&lab), [Relation::Ours, Relation::Theirs]);
}

/// Change that cuts the link for a while: the link is back before the apply command has ended.
#[test]
fn a_change_that_is_still_being_applied_has_not_gone_back() {
    let mut lab = pair();
    lab.nodes[0].tree.insert("b".to_owned(), "new".to_owned());
    lab.ask(0, Command::Push("t".to_owned(), confirmed()));
    while !lab.nodes[1].engine.is_installing("t") {
        assert!(lab.step());
    }
    lab.nodes[1].is_slow = true;
    lab.settle();
    lab.cut();
    lab.pass(5 * S);
    lab.link();
    lab.pass(40 * S);
    assert!(lab.nodes[0].engine.troubles().is_empty());
    lab.nodes[1].is_slow = false;
    lab.settle();
    let events = lab.nodes[0].events.iter();
    let went_back = |it: &&String| it.contains("put its previous files back");
    assert_eq!(
        events.filter(went_back).count(),
        0,
        "{:?}",
        lab.nodes[0].events
    );
    assert_eq!(relations(&lab), [Relation::Same, Relation::Same]);
    assert_eq!(text(&lab.done(0, Command::Confirm(None))), "confirmed: t");
    // and one that is refused is told as well
    lab.nodes[0].tree.insert("b".to_owned(), "newer".to_owned());
    lab.nodes[1].refuses = Some("the check refused it".to_owned());
    lab.ask(0, super::push());
    while !lab.nodes[1].engine.is_installing("t") {
        assert!(lab.step());
    }
    lab.cut();
    lab.link();
    lab.settle();
    assert_eq!(relations(&lab), [Relation::Ours, Relation::Theirs]);
}

#[test]
fn a_new_worker_knows_that_a_change_waits() {
    let mut lab = waiting();
    for at in 0..2 {
        lab.restart(at);
        lab.link();
        lab.pass(11 * S);
    }
    lab.go_back(1);
    lab.settle();
    assert_eq!(relations(&lab), [Relation::Ours, Relation::Theirs]);
}

#[test]
fn what_waits_on_the_peer_goes_back_when_this_node_asks() {
    let mut lab = waiting();
    let back = || Command::GoBackOnPeer("t".to_owned());
    let reply = lab.done(0, back());
    assert_eq!(text(&reply), "put back");
    let outcome = ("outcome".to_owned(), Value::Text("back".to_owned()));
    assert!(reply.rows.contains(&outcome), "{reply:?}");
    assert_eq!(lab.nodes[1].tree["b"], "2");
    assert_eq!(relations(&lab), [Relation::Ours, Relation::Theirs]);
    // only once
    assert_eq!(text(&lab.done(0, back())), "nothing waits");
    lab.cut();
    assert_eq!(text(&lab.done(0, back())), "r2 is not connected");
    lab.assert_answered();
}

#[test]
fn a_confirmation_of_a_tree_is_asked_for_by_its_name_and_of_no_other() {
    for at in 0..2 {
        let mut lab = waiting();
        lab.pass(11 * S);
        let confirm = |tree: &str| Command::Confirm(Some(tree.to_owned()));
        let why = text(&lab.done(at, confirm("spared")));
        assert!(why.starts_with("no tree \"spared\""), "{why}");
        let ticket = 9;
        let message = |tree: &str| {
            let tree = Some(tree.to_owned());
            encode(&Message::Confirm { ticket, tree })
        };
        let engine = &mut lab.nodes[1].engine;
        engine
            .handle_message(S, &message("spared"))
            .expect("a message");
        lab.settle();
        assert!(lab.nodes[1].engine.trees[0].own_waits_s.is_some());
        assert_eq!(text(&lab.done(at, confirm("t"))), "confirmed: t");
    }
}
