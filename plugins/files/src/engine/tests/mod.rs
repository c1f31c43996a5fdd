//! Two nodes in virtual time.

mod auto_copy;
mod confirm;
mod lab;
mod later;
mod random;
mod secret;
mod serve;
mod show;
mod states;

use std::collections::VecDeque;

use spared_sdk::{Engine as _, Value};

use self::lab::{Lab, S, Tree, manifest, tree};
use super::relation::Relation;
use super::{Command, Reply};
use crate::wire::{How, Message, TreeState, decode, encode};

fn push() -> Command {
    Command::Push("t".to_owned(), How::default())
}

fn pull() -> Command {
    Command::Pull("t".to_owned(), How::default())
}

fn anyway() -> How {
    How {
        anyway: true,
        ..How::default()
    }
}

fn text(reply: &Reply) -> String {
    match (&reply.refused, reply.rows.first()) {
        (Some(why), _) => why.clone(),
        (None, Some((_, Value::Text(text)))) => text.clone(),
        other => panic!("{other:?}"),
    }
}

fn pair() -> Lab {
    let mut lab = Lab::new([tree(&[("a", "1"), ("b", "2")]), Tree::new()]);
    assert_eq!(text(&lab.done(0, push())), "in place");
    lab
}

fn relations(lab: &Lab) -> [Relation; 2] {
    [0, 1].map(|at| lab.nodes[at].relation())
}

#[test]
fn a_push_or_a_pull_makes_both_equal() {
    let mut lab = pair();
    assert_eq!(relations(&lab), [Relation::Same, Relation::Same]);
    lab.nodes[1].tree.insert("c".to_owned(), "3".to_owned());
    lab.nodes[1].tree.remove("a");
    lab.pass(11 * S);
    assert_eq!(relations(&lab), [Relation::Theirs, Relation::Ours]);
    assert_eq!(text(&lab.done(0, pull())), "in place");
    assert_eq!(lab.nodes[0].tree, tree(&[("b", "2"), ("c", "3")]));
    assert_eq!(relations(&lab), [Relation::Same, Relation::Same]);
    assert_eq!(text(&lab.done(0, push())), "both nodes have the same files");
    lab.assert_answered();
}

#[test]
fn both_nodes_look_at_a_tree_at_once_when_it_is_pushed() {
    let mut lab = pair();
    for is_peer_slower in [false, true] {
        let before = lab.nodes[1].scans;
        lab.nodes[0].is_slow = true;
        lab.nodes[1].is_slow = is_peer_slower;
        let token = lab.ask(0, push());
        lab.settle();
        assert_eq!(lab.nodes[1].scans - before, usize::from(!is_peer_slower));
        lab.nodes[0].is_slow = false;
        lab.settle();
        lab.nodes[1].is_slow = false;
        lab.settle();
        let reply = lab.nodes[0].replies.remove(&token).expect("an answer");
        assert_eq!(text(&reply), "both nodes have the same files");
        assert_eq!(lab.nodes[1].scans - before, 1, "no second look");
    }
    // a scan for another offer is not used for this one
    lab.nodes[1].tree.insert("b".to_owned(), "hand".to_owned());
    let why = text(&lab.done(0, push()));
    assert!(why.contains("r2: tree \"t\" was changed"), "{why}");
}

#[test]
fn what_the_receiver_changed_is_replaced_only_anyway() {
    let mut lab = pair();
    lab.nodes[1].tree.insert("b".to_owned(), "hand".to_owned());
    // nobody has scanned the tree since: it is scanned before anything is replaced
    let why = text(&lab.done(0, push()));
    assert!(why.contains("r2: tree \"t\" was changed"), "{why}");
    lab.nodes[0].tree.insert("b".to_owned(), "other".to_owned());
    lab.pass(11 * S);
    assert_eq!(relations(&lab), [Relation::Conflict, Relation::Conflict]);
    assert!(text(&lab.done(0, pull())).contains("was changed"));
    lab.anyway = true;
    let command = Command::Pull("t".to_owned(), anyway());
    assert_eq!(text(&lab.done(0, command)), "in place");
    assert_eq!(lab.nodes[0].tree["b"], "hand");
    assert_eq!(relations(&lab), [Relation::Same, Relation::Same]);
}

/// Pair whose nodes remember different states: one was cut off before it noticed that both trees were equal.
fn config_differs() -> Lab {
    let mut lab = pair();
    let both = tree(&[("a", "by hand"), ("b", "2")]);
    lab.nodes[0].tree = both.clone();
    lab.nodes[1].tree = both.clone();
    // r1 receives from r2, but r2 no longer from r1
    while lab.nodes[0].engine.trees[0].base_digest() != Some(manifest(&both).digest()) {
        lab.now_ns += S;
        let now_ns = lab.now_ns;
        lab.nodes
            .iter_mut()
            .for_each(|it| it.engine.handle_timeout(now_ns));
        while lab.step() {
            lab.wires[0].clear();
        }
    }
    lab.cut();
    lab.nodes[1].tree = tree(&[("a", "later"), ("b", "2")]);
    lab.pass(11 * S);
    lab.link();
    lab.pass(11 * S);
    lab
}

#[test]
fn nodes_that_remember_different_states_are_in_conflict_and_equal_ones_are_not() {
    for at in 0..2 {
        let mut lab = config_differs();
        assert_eq!(relations(&lab), [Relation::Conflict, Relation::Conflict]);
        for command in [push(), pull()] {
            let why = text(&lab.done(at, command));
            assert!(why.contains("--anyway replaces it"), "{why}");
        }
        lab.anyway = true;
        let push = Command::Push("t".to_owned(), anyway());
        assert_eq!(text(&lab.done(at, push)), "in place");
        assert_eq!(relations(&lab), [Relation::Same, Relation::Same]);
    }
    let mut lab = config_differs();
    lab.nodes[1].tree = lab.nodes[0].tree.clone();
    lab.pass(11 * S);
    lab.nodes[1].tree.insert("c".to_owned(), "3".to_owned());
    lab.pass(11 * S);
    assert_eq!(relations(&lab), [Relation::Theirs, Relation::Ours]);
}

#[test]
fn a_new_node_without_files_never_empties_the_other_one() {
    let mut lab = pair();
    // r2 is replaced: the new node has neither files nor saved state
    lab.nodes[1].bases.clear();
    lab.nodes[1].tree.clear();
    lab.restart(1);
    lab.link();
    lab.pass(11 * S);
    assert_eq!(relations(&lab), [Relation::Ours, Relation::Theirs]);
    let why = text(&lab.done(1, push()));
    assert!(why.contains("--anyway replaces it"), "{why}");
    assert_eq!(text(&lab.done(1, pull())), "in place");
}

#[test]
fn an_edit_on_the_node_that_gives_is_only_pending_afterwards() {
    for command in [(0, push()), (1, pull())] {
        let mut lab = pair();
        lab.nodes[0].tree.insert("b".to_owned(), "new".to_owned());
        lab.ask(command.0, command.1);
        while lab.nodes[1]
            .engine
            .transfer
            .as_ref()
            .is_none_or(|it| it.files.1 == 0)
        {
            assert!(lab.step());
        }
        lab.nodes[0].tree.insert("a".to_owned(), "newer".to_owned());
        // and it is found before r2 reports that it has the new files
        lab.nodes[0].engine.scan("t");
        lab.pass(11 * S);
        assert_eq!(lab.nodes[1].tree["b"], "new");
        assert_eq!(relations(&lab), [Relation::Ours, Relation::Theirs]);
    }
}

#[test]
fn an_edit_while_contents_are_on_their_way_is_not_lost() {
    let mut lab = pair();
    lab.nodes[0].tree.insert("b".to_owned(), "new".to_owned());
    let token = lab.ask(0, push());
    let is_decided = |lab: &Lab| {
        let transfer = lab.nodes[1].engine.transfer.as_ref();
        transfer.is_some_and(|it| it.files.1 > 0)
    };
    while !is_decided(&lab) {
        assert!(lab.step());
    }
    // and the edit is found before the contents have arrived
    lab.nodes[1].tree.insert("a".to_owned(), "hand".to_owned());
    lab.nodes[1].engine.scan("t");
    lab.settle();
    let reply = lab.nodes[0].replies.remove(&token).expect("an answer");
    assert_eq!(text(&reply), "r2: has changed meanwhile");
    assert_eq!(lab.nodes[1].tree["a"], "hand");
}

#[test]
fn equal_trees_are_synchronized_from_the_start_and_different_ones_in_conflict() {
    let one = || tree(&[("a", "1")]);
    let lab = Lab::new([one(), one()]);
    assert_eq!(relations(&lab), [Relation::Same, Relation::Same]);
    let mut lab = Lab::new([one(), tree(&[("a", "2")])]);
    assert_eq!(relations(&lab), [Relation::Conflict, Relation::Conflict]);
    assert!(text(&lab.done(0, push())).contains("never was the same"));
}

#[test]
fn a_dry_run_and_a_diff_change_nothing() {
    let mut lab = pair();
    lab.nodes[0].tree.insert("b".to_owned(), "new".to_owned());
    let before = lab.nodes[1].tree.clone();
    let dry = How {
        is_dry: true,
        ..How::default()
    };
    let reply = lab.done(0, Command::Push("t".to_owned(), dry));
    assert_eq!(text(&reply), "/t/b: changed");
    assert!(!reply.attention, "it was asked what it would do");
    let reply = lab.done(1, Command::Diff("t".to_owned()));
    assert_eq!(text(&reply), "/t/b: changed");
    assert!(reply.attention, "something differs");
    assert_eq!(lab.nodes[1].tree, before);
}

#[test]
fn a_refusal_of_the_root_half_reaches_who_asked() {
    let mut lab = pair();
    lab.nodes[0].tree.insert("b".to_owned(), "bad".to_owned());
    lab.nodes[1].refuses = Some("the check refused it".to_owned());
    let why = text(&lab.done(0, push()));
    assert_eq!(why, "r2: the check refused it");
    assert_eq!(lab.nodes[1].tree["b"], "2");
}

#[test]
fn a_link_that_is_cut_after_any_message_leaves_the_old_tree_or_the_new() {
    let large: String = "x".repeat(200_000);
    for at in 0.. {
        let mut lab = pair();
        let old = lab.nodes[1].tree.clone();
        lab.nodes[0].tree.insert("large".to_owned(), large.clone());
        let new = lab.nodes[0].tree.clone();
        let token = lab.ask(0, push());
        let mut steps = 0..at;
        let is_done = loop {
            if steps.next().is_none() {
                break false;
            }
            if !lab.step() {
                break true;
            }
        };
        lab.cut();
        lab.pass(40 * S);
        assert!([&old, &new].contains(&&lab.nodes[1].tree), "{at}");
        assert!(lab.nodes[0].replies.remove(&token).is_some(), "{at}");
        lab.link();
        lab.pass(11 * S);
        lab.done(0, push());
        assert_eq!(lab.nodes[1].tree, new, "{at}");
        assert_eq!(relations(&lab), [Relation::Same, Relation::Same]);
        lab.assert_answered();
        if is_done {
            return;
        }
    }
}

#[test]
fn a_silent_peer_ends_a_transfer_and_a_slow_one_is_waited_for() {
    let mut lab = pair();
    lab.nodes[1].tree.insert("c".to_owned(), "3".to_owned());
    lab.end_root(1);
    // r2 cannot read, and reports it
    assert!(text(&lab.done(0, pull())).contains("files-root"));
    lab.start_root(1);
    lab.settle();
    let token = lab.ask(0, pull());
    // r2's answers are lost on the way
    for _ in 0..1000 {
        lab.step();
        lab.wires[1].clear();
    }
    lab.pass(9 * S);
    assert!(lab.nodes[0].replies.is_empty());
    lab.wires[1].clear();
    lab.pass(2 * S);
    let reply = lab.nodes[0].replies.remove(&token).expect("told to wait");
    assert!(text(&reply).contains("still under way"));
    lab.pass(40 * S);
    assert!(lab.nodes[0].engine.transfer.is_none());
    assert_eq!(text(&lab.done(0, pull())), "in place");
}

#[test]
fn a_peer_that_offers_what_does_not_belong_here_is_refused() {
    let mut lab = pair();
    let engine = &mut lab.nodes[0].engine;
    let offer = Message::Offer {
        ticket: 9,
        tree: "t".to_owned(),
        how: anyway(),
        digest: None,
    };
    engine
        .handle_message(S, &encode(&offer))
        .expect("a message");
    lab.settle();
    let sent = |lab: &mut Lab| -> VecDeque<Message> {
        let sent = std::mem::take(&mut lab.wires[0]);
        sent.iter().map(|it| decode(it).expect("ours")).collect()
    };
    // r2 also has the question, and its answer is the right one; this one arrives before
    let mut lab = pair();
    let engine = &mut lab.nodes[0].engine;
    engine
        .handle_message(S, &encode(&offer))
        .expect("a message");
    while !lab.wires[0]
        .iter()
        .any(|it| matches!(decode(it), Ok(Message::Ask { .. })))
    {
        assert!(lab.step());
    }
    let ask = sent(&mut lab).into_iter().find_map(|it| match it {
        Message::Ask { ticket, .. } => Some(ticket),
        _ => None,
    });
    let mut bad = manifest(&tree(&[("a", "1")]));
    bad.entries[1].path = "/t/../etc/passwd".to_owned();
    let piece = Message::Piece {
        ticket: ask.expect("asked"),
        bytes: bad.encode(),
        is_last: true,
    };
    let engine = &mut lab.nodes[0].engine;
    engine
        .handle_message(S, &encode(&piece))
        .expect("a message");
    while lab.wires[0].is_empty() {
        assert!(lab.step());
    }
    let report = sent(&mut lab).pop_front().expect("a report");
    let Message::Report { result, .. } = report else {
        panic!("{report:?}");
    };
    let why = result.expect_err("refused");
    assert!(
        why.starts_with("the files of r2 are refused: /t/../etc/passwd"),
        "{why}"
    );
    assert_eq!(lab.nodes[0].tree, tree(&[("a", "1"), ("b", "2")]));
}

#[test]
fn questions_without_end_do_not_fill_the_memory() {
    let mut lab = pair();
    let engine = &mut lab.nodes[0].engine;
    let tree = |name: &str| Message::Ask {
        ticket: 1,
        tree: name.to_owned(),
    };
    for _ in 0..10_000 {
        engine
            .handle_message(S, &encode(&tree("t")))
            .expect("a message");
        engine
            .handle_message(S, &encode(&tree("u")))
            .expect("a message");
        let fetch = Message::Fetch {
            ticket: 1,
            hash: spared_tree::Hash([0; 32]),
        };
        engine
            .handle_message(S, &encode(&fetch))
            .expect("a message");
    }
    assert!(
        engine
            .session
            .as_ref()
            .is_some_and(|it| it.waiting() <= super::session::OUTBOX_LIMIT)
    );
    assert!(engine.steps.waiting() <= super::steps::WAITING_MAX);
    lab.settle();
    assert_eq!(relations(&lab)[0], Relation::Same);
}

#[test]
fn nodes_that_mean_different_files_by_a_tree_exchange_nothing() {
    let mut lab = pair();
    let state = TreeState {
        tree: "t".to_owned(),
        scope: spared_tree::Hash([1; 32]),
        digest: Ok(spared_tree::Hash([2; 32])),
        base: None,
        changes: None,
        names: Vec::new(),
        waits_s: None,
    };
    let engine = &mut lab.nodes[0].engine;
    let message = encode(&Message::State(state));
    engine.handle_message(S, &message).expect("a message");
    assert_eq!(relations(&lab)[0], Relation::ConfigDiffers);
    let why = text(&lab.done(0, push()));
    assert!(why.contains("differ between the nodes"), "{why}");
}

#[test]
fn an_offer_of_what_a_node_has_is_answered_without_a_list_of_files() {
    let mut lab = pair();
    let digest = Some(manifest(&lab.nodes[1].tree).digest());
    let offer = |digest| Message::Offer {
        ticket: 9,
        tree: "t".to_owned(),
        how: How::default(),
        digest,
    };
    for (digest, asks) in [(digest, false), (None, true)] {
        let engine = &mut lab.nodes[1].engine;
        let bytes = encode(&offer(digest));
        engine.handle_message(S, &bytes).expect("a message");
        while lab.wires[1].is_empty() {
            assert!(lab.step());
        }
        let sent = std::mem::take(&mut lab.wires[1]);
        let sent = sent.iter().map(|it| decode(it).expect("ours"));
        let sent: Vec<Message> = sent.collect();
        let is_ask = |it: &Message| matches!(it, Message::Ask { .. });
        let is_report = |it: &Message| matches!(it, Message::Report { result: Ok(_), .. });
        assert_eq!(sent.iter().any(is_ask), asks, "{sent:?}");
        assert_eq!(sent.iter().any(is_report), !asks, "{sent:?}");
    }
}

#[test]
fn what_is_not_read_or_not_told_for_too_long_is_not_known_and_a_trouble() {
    let why = |lab: &Lab, at: usize| -> Vec<String> {
        let troubles = lab.nodes[at].engine.troubles().into_iter();
        troubles.map(|it| it.why).collect()
    };
    let mut lab = pair();
    lab.nodes[1].is_slow = true;
    lab.pass(280 * S);
    assert_eq!(relations(&lab), [Relation::Same, Relation::Same]);
    assert!(why(&lab, 1).is_empty());
    lab.pass(30 * S);
    assert_eq!(relations(&lab)[1], Relation::Unread);
    let unread = "not known: files-root has not read it for minutes";
    assert_eq!(why(&lab, 1), [unread]);
    // and the other node does not call it synchronized either
    let told = "files-root has not read it for minutes".to_owned();
    assert_eq!(relations(&lab)[0], Relation::PeerFault(told));
    lab.restart(1);
    lab.link();
    lab.pass(29 * S);
    assert_eq!(relations(&lab), [Relation::Untold, Relation::Unread]);
    assert!(why(&lab, 0).is_empty() && why(&lab, 1).is_empty());
    lab.pass(2 * S);
    assert_eq!(why(&lab, 0), ["not known: r2 has not reported its files"]);
    assert_eq!(why(&lab, 1), ["not known: not read yet"]);
    lab.nodes[1].is_slow = false;
    lab.pass(S);
    assert_eq!(relations(&lab), [Relation::Same, Relation::Same]);
    assert!(why(&lab, 0).is_empty() && why(&lab, 1).is_empty());
    lab.end_root(1);
    lab.pass(9 * S);
    assert_eq!(relations(&lab), [Relation::Same, Relation::Same]);
    lab.pass(2 * S);
    let told = Relation::PeerFault("files-root does not run".to_owned());
    assert_eq!(relations(&lab), [told, Relation::Unread]);
    lab.start_root(1);
    lab.pass(S);
    assert_eq!(relations(&lab), [Relation::Same, Relation::Same]);
    lab.cut();
    lab.pass(60 * S);
    assert_eq!(relations(&lab), [Relation::Untold, Relation::Untold]);
    assert!(why(&lab, 0).is_empty(), "the link's fault");
}

#[test]
fn a_list_of_changes_is_refused_as_the_changes_would_be() {
    let mut lab = pair();
    lab.nodes[0].tree.remove("a");
    lab.nodes[1].holding = vec![("/t/a".to_owned(), "x.local".to_owned())];
    let dry = How {
        is_dry: true,
        ..How::default()
    };
    for how in [dry, How::default()] {
        let why = text(&lab.done(0, Command::Push("t".to_owned(), how)));
        assert_eq!(
            why,
            "r2: /t/a cannot be removed: it holds x.local, which is excluded"
        );
    }
    assert_eq!(lab.nodes[1].tree["a"], "1");
    lab.nodes[1].holding.clear();
    assert_eq!(text(&lab.done(0, push())), "in place");
}
