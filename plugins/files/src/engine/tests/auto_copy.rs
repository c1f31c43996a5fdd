//! Automatic copies of trees.

use spared_sdk::{Engine as _, Role};

use super::super::relation::Relation;
use super::confirm::confirmed;
use super::lab::{Lab, S, Tree, tree};
use super::{Command, How, Message, encode, push, relations, text};

fn lab(sync: &'static str) -> Lab {
    let one = tree(&[("a", "1")]);
    let mut lab = Lab::with_sync([one.clone(), one], sync);
    lab.role(0, Role::Active);
    lab.role(1, Role::Backup);
    lab.pass(S);
    lab
}

fn edit(lab: &mut Lab, at: usize, content: &str) {
    lab.nodes[at]
        .tree
        .insert("a".to_owned(), content.to_owned());
}

fn same(lab: &Lab) -> bool {
    relations(lab) == [Relation::Same, Relation::Same]
}

#[test]
fn the_active_node_s_changes_follow_and_the_backup_s_do_not() {
    let mut lab = lab("change");
    edit(&mut lab, 0, "2");
    lab.pass(7 * S);
    assert_eq!(lab.nodes[1].tree["a"], "2");
    assert!(same(&lab));
    edit(&mut lab, 1, "3");
    lab.pass(60 * S);
    assert_eq!(relations(&lab), [Relation::Theirs, Relation::Ours]);
    assert_eq!(lab.nodes[0].tree["a"], "2");
    let troubles = lab.nodes[1].engine.troubles();
    let pending = "tree \"t\" is pending: /t/a changed here";
    assert!(troubles[0].why.starts_with(pending), "{troubles:?}");
    assert!(troubles[0].is_loss, "it waits, and nothing failed");
    // until that node becomes active
    lab.role(0, Role::Backup);
    lab.role(1, Role::Active);
    lab.pass(7 * S);
    assert_eq!(lab.nodes[0].tree["a"], "3");
    assert!(same(&lab));
}

#[test]
fn a_conflict_is_never_resolved_by_itself() {
    let mut lab = lab("change");
    lab.cut();
    edit(&mut lab, 0, "2");
    edit(&mut lab, 1, "3");
    lab.pass(11 * S);
    lab.link();
    for role in [Role::Active, Role::Backup, Role::Active] {
        lab.role(0, role);
        lab.role(1, Role::Active);
        lab.pass(60 * S);
    }
    assert_eq!(relations(&lab), [Relation::Conflict, Relation::Conflict]);
}

#[test]
fn a_tree_that_is_being_edited_rests_before_it_follows() {
    let mut lab = lab("change");
    for content in 0..10 {
        edit(&mut lab, 0, &content.to_string());
        lab.pass(2 * S);
        assert_eq!(lab.nodes[1].tree["a"], "1", "{content}");
    }
    lab.pass(7 * S);
    assert_eq!(lab.nodes[1].tree["a"], "9");
}

/// Lets time pass until the first node has offered its tree, which the second one does not yet know.
fn until_offered(lab: &mut Lab) {
    for _ in 0..10_000 {
        if lab.nodes[0].engine.offer.is_some() {
            return;
        }
        if !lab.step() {
            lab.now_ns += S;
            let now_ns = lab.now_ns;
            let nodes = lab.nodes.iter_mut();
            nodes.for_each(|it| it.engine.handle_timeout(now_ns));
        }
    }
    panic!("it is not offered");
}

#[test]
fn a_tree_that_is_edited_after_it_was_offered_does_not_follow_half_edited() {
    let mut lab = lab("change");
    edit(&mut lab, 0, "2");
    until_offered(&mut lab);
    edit(&mut lab, 0, "half");
    lab.settle();
    assert_eq!(lab.nodes[1].tree["a"], "1");
    let events = lab.nodes.each_ref().map(|it| it.events.as_slice());
    assert_eq!(events, [&[""; 0]; 2], "it will follow");
    edit(&mut lab, 0, "whole");
    lab.pass(7 * S);
    assert_eq!(lab.nodes[1].tree["a"], "whole");
    assert!(same(&lab) && lab.nodes[0].engine.troubles().is_empty());
}

#[test]
fn a_tree_that_changes_at_each_offer_is_a_trouble_that_names_what_changes() {
    let mut lab = lab("change");
    let begin_ns = lab.now_ns;
    edit(&mut lab, 0, "2");
    for edited in 3.. {
        until_offered(&mut lab);
        let troubles = lab.nodes[0].engine.troubles();
        let is_said = |it: &spared_sdk::Trouble| {
            it.why
                .ends_with("it keeps changing: /t/a; exclude such files")
        };
        if troubles.iter().any(is_said) {
            break;
        }
        assert!(lab.now_ns < begin_ns + 100 * S, "{troubles:?}");
        edit(&mut lab, 0, &edited.to_string());
        lab.settle();
        assert_eq!(lab.nodes[1].tree["a"], "1");
    }
    assert!(lab.now_ns >= begin_ns + 60 * S);
    lab.pass(7 * S);
    assert!(same(&lab) && lab.nodes[0].engine.troubles().is_empty());
}

#[test]
fn a_tree_that_never_rests_is_a_trouble_that_names_what_changes() {
    let mut lab = lab("change");
    for second in 0..600 {
        edit(&mut lab, 0, &second.to_string());
        let often = (second / 5).to_string();
        lab.nodes[0].tree.insert("A".to_owned(), often);
        lab.pass(S);
        let troubles = lab.nodes[0].engine.troubles();
        let is_loss = troubles.iter().all(|it| it.is_loss);
        assert!(second > 55 || is_loss, "{troubles:?}");
        let is_said = |it: &spared_sdk::Trouble| {
            it.why
                .ends_with("it keeps changing: /t/a; exclude such files")
        };
        assert!(second < 70 || troubles.iter().any(is_said), "{troubles:?}");
    }
    assert_eq!(lab.nodes[1].tree["a"], "1");
    lab.pass(7 * S);
    assert!(lab.nodes[0].engine.troubles().is_empty());
    assert!(same(&lab));
}

/// A failover loses the change until the peer has it: the headline must not say otherwise.
#[test]
fn a_change_that_will_follow_is_a_loss_until_it_has() {
    let mut lab = lab("change");
    edit(&mut lab, 0, "2");
    lab.nodes[1].is_slow = true;
    lab.pass(5 * S);
    let troubles = lab.nodes[0].engine.troubles();
    let why = "tree \"t\" is pending: /t/a changed here, and will be copied";
    assert_eq!(troubles, [spared_sdk::Trouble::loss("t", why)]);
    lab.nodes[1].is_slow = false;
    lab.pass(5 * S);
    assert!(same(&lab) && lab.nodes[0].engine.troubles().is_empty());
}

#[test]
fn at_intervals_a_change_waits_for_the_end_of_one() {
    let mut lab = lab("24h");
    lab.pass(30 * S);
    edit(&mut lab, 0, "2");
    lab.pass(86_000 * S);
    assert_eq!(lab.nodes[1].tree["a"], "1");
    assert!(
        lab.nodes[0].engine.troubles().is_empty(),
        "it is as configured"
    );
    lab.pass(400 * S);
    assert_eq!(lab.nodes[1].tree["a"], "2");
    assert!(lab.nodes[0].copies > 0 && same(&lab));
}

#[test]
fn a_refused_tree_is_offered_again_later_and_at_once_if_it_changes() {
    let mut lab = lab("change");
    lab.nodes[1].refuses = Some("the check refused it".to_owned());
    edit(&mut lab, 0, "bad");
    lab.pass(7 * S);
    let troubles = lab.nodes[0].engine.troubles();
    let why = "pending: /t/a changed here, and was not copied: r2: the check refused it";
    assert_eq!(troubles[0].why, why);
    let before = lab.nodes[1].installs;
    lab.pass(3600 * S);
    let tries = lab.nodes[1].installs - before;
    assert!((3..12).contains(&tries), "{tries}");
    lab.nodes[1].refuses = None;
    edit(&mut lab, 0, "good");
    lab.pass(7 * S);
    assert_eq!(lab.nodes[1].tree["a"], "good");
    assert!(lab.nodes[0].engine.troubles().is_empty());
}

#[test]
fn a_node_that_becomes_active_meanwhile_keeps_its_files() {
    let mut lab = lab("change");
    edit(&mut lab, 0, &"x".repeat(200_000));
    while lab.nodes[1].engine.transfer.is_none() {
        if !lab.step() {
            lab.now_ns += S;
            let now_ns = lab.now_ns;
            lab.nodes
                .iter_mut()
                .for_each(|it| it.engine.handle_timeout(now_ns));
        }
    }
    lab.role(1, Role::Active);
    lab.role(0, Role::Backup);
    lab.pass(60 * S);
    assert_eq!(lab.nodes[1].tree["a"], "1");
    assert_eq!(relations(&lab), [Relation::Ours, Relation::Theirs]);
}

/// Role that changes while the root half runs the check.
#[test]
fn a_node_that_becomes_active_during_the_check_keeps_its_files() {
    for is_told in [false, true] {
        let mut lab = lab("change");
        edit(&mut lab, 0, "2");
        until_offered(&mut lab);
        let is_checking = |lab: &Lab| {
            let transfer = lab.nodes[1].engine.transfer.as_ref();
            transfer.is_some_and(|it| it.is_installing())
        };
        while !is_checking(&lab) {
            assert!(lab.step());
        }
        lab.nodes[1].is_slow = true;
        lab.settle();
        if is_told {
            lab.role(0, Role::Backup);
        } else {
            lab.role(1, Role::Active);
        }
        lab.settle();
        lab.nodes[1].is_slow = false;
        lab.settle();
        assert_eq!(lab.nodes[1].tree["a"], "1", "{is_told}");
        assert_eq!(relations(&lab), [Relation::Ours, Relation::Theirs]);
    }
}

#[test]
fn a_node_that_becomes_active_while_it_reads_for_an_offer_keeps_its_files() {
    for is_told in [false, true] {
        let mut lab = lab("change");
        edit(&mut lab, 0, "2");
        lab.nodes[1].is_slow = true;
        lab.pass(11 * S);
        assert!(lab.nodes[0].engine.offer.is_some());
        lab.role(1, Role::Active);
        if is_told {
            lab.role(0, Role::Backup);
            lab.settle();
            assert!(lab.nodes[0].engine.offer.is_none());
        }
        lab.nodes[1].is_slow = false;
        lab.pass(S);
        assert_eq!(lab.nodes[1].tree["a"], "1", "{is_told}");
        assert_eq!(relations(&lab), [Relation::Ours, Relation::Theirs]);
    }
}

#[test]
fn what_waits_for_a_tree_to_be_read_can_be_stopped_on_either_node() {
    for (at, slow) in [(0, 1), (1, 1), (0, 0)] {
        let mut lab = lab("ask");
        edit(&mut lab, 0, "2");
        lab.nodes[slow].is_slow = true;
        let token = lab.ask(0, push());
        lab.settle();
        let stop = lab.ask(at, Command::Stop);
        lab.settle();
        let said = [(at, stop), (0, token)].map(|(at, token)| {
            let reply = lab.nodes[at].replies.remove(&token);
            text(&reply.expect("an answer"))
        });
        assert!(said[1].ends_with("stopped"), "{said:?}");
        lab.nodes[slow].is_slow = false;
        lab.pass(60 * S);
        assert_eq!(lab.nodes[1].tree["a"], "1", "{at} {slow}");
        assert_eq!(text(&lab.done(0, push())), "in place");
    }
}

#[test]
fn an_active_node_takes_nothing_that_nobody_asked_for() {
    let mut lab = lab("change");
    edit(&mut lab, 1, "2");
    lab.pass(11 * S);
    let how = How {
        is_automatic: true,
        anyway: true,
        ..How::default()
    };
    let offer = Message::Offer {
        ticket: 1,
        tree: "t".to_owned(),
        how,
        digest: None,
    };
    let engine = &mut lab.nodes[0].engine;
    engine
        .handle_message(S, &encode(&offer))
        .expect("a message");
    lab.settle();
    assert_eq!(lab.nodes[0].tree["a"], "1");
}

#[test]
fn a_group_that_is_gone_holds_up_no_tree() {
    let mut lab = lab("change");
    lab.nodes[0].engine.handle_role(S, "h", Role::Backup);
    edit(&mut lab, 0, "2");
    lab.pass(60 * S);
    assert_eq!(lab.nodes[1].tree["a"], "1");
    let now_ns = lab.now_ns;
    lab.nodes[0].engine.handle_group_gone(now_ns, "h");
    lab.pass(7 * S);
    assert_eq!(lab.nodes[1].tree["a"], "2");
    // a node that is active in no group copies nothing
    lab.nodes[0].engine.handle_group_gone(now_ns, "g");
    edit(&mut lab, 0, "3");
    lab.pass(60 * S);
    assert_eq!(lab.nodes[1].tree["a"], "2");
}

fn waiting(lab: &mut Lab) {
    edit(lab, 0, "harmful");
    let push = Command::Push("t".to_owned(), confirmed());
    assert_eq!(text(&lab.done(0, push)), "in place");
}

#[test]
fn what_nobody_confirmed_is_not_sent_again_by_itself() {
    for is_cut in [false, true] {
        let mut lab = lab("change");
        waiting(&mut lab);
        if is_cut {
            lab.cut();
        }
        lab.pass(30 * S);
        lab.go_back(1);
        lab.pass(11 * S);
        lab.link();
        lab.pass(600 * S);
        assert_eq!(lab.nodes[1].tree["a"], "1", "{is_cut}");
        let told = "tree \"t\": r2 put its previous files back, because nobody confirmed those of this node";
        let count = lab.nodes[0].events.iter().filter(|it| *it == told).count();
        assert_eq!(count, 1, "{is_cut}: {:?}", lab.nodes[0].events);
        let troubles = lab.nodes[0].engine.troubles();
        let why = "pending: /t/a changed here, and went back on r2 as nobody confirmed it";
        assert!(troubles[0].why.starts_with(why), "{troubles:?}");
        // another change is copied, and this one if somebody requests it
        if is_cut {
            drop(lab.done(0, push()))
        } else {
            edit(&mut lab, 0, "mended")
        }
        lab.pass(7 * S);
        assert!(same(&lab));
        assert!(lab.nodes[0].engine.troubles().is_empty());
    }
}

#[test]
fn what_went_back_does_not_follow_after_a_push_with_a_deadline_that_is_refused() {
    let mut lab = lab("change");
    waiting(&mut lab);
    lab.pass(30 * S);
    lab.go_back(1);
    lab.pass(11 * S);
    lab.nodes[1].refuses = Some("the check refused it".to_owned());
    lab.done(0, Command::Push("t".to_owned(), confirmed()));
    lab.nodes[1].refuses = None;
    lab.pass(600 * S);
    assert_eq!(lab.nodes[1].tree["a"], "1");
}

#[test]
fn what_cut_the_link_before_the_peer_could_say_that_it_waits_is_not_sent_again_either() {
    let mut lab = lab("change");
    edit(&mut lab, 0, "harmful");
    lab.ask(0, Command::Push("t".to_owned(), confirmed()));
    while lab.nodes[1].installs == 0 {
        assert!(lab.step());
    }
    lab.cut();
    lab.pass(30 * S);
    lab.go_back(1);
    lab.pass(11 * S);
    lab.link();
    lab.pass(600 * S);
    assert_eq!(lab.nodes[1].tree["a"], "1");
}

#[test]
fn what_could_not_be_saved_for_the_next_worker_is_saved_later() {
    let mut lab = lab("change");
    lab.nodes[0].is_full = true;
    waiting(&mut lab);
    lab.pass(11 * S);
    lab.nodes[0].is_full = false;
    lab.pass(63 * S);
    lab.restart(0);
    lab.go_back(1);
    lab.pass(11 * S);
    lab.link();
    lab.pass(600 * S);
    assert_eq!(lab.nodes[1].tree["a"], "1");
}

#[test]
fn a_new_worker_does_not_send_what_nobody_confirmed_either() {
    for is_before in [false, true] {
        let mut lab = lab("change");
        waiting(&mut lab);
        lab.pass(11 * S);
        if is_before {
            lab.restart(0);
        }
        lab.go_back(1);
        lab.pass(11 * S);
        if !is_before {
            lab.restart(0);
        }
        lab.link();
        lab.pass(600 * S);
        assert_eq!(lab.nodes[1].tree["a"], "1", "{is_before}");
        assert_eq!(text(&lab.done(0, push())), "in place");
        // and all of it happens again
        lab.restart(0);
        lab.link();
        edit(&mut lab, 0, "2");
        lab.pass(11 * S);
        assert!(same(&lab));
        edit(&mut lab, 0, "harmful");
        lab.pass(11 * S);
        assert!(same(&lab));
    }
}

#[test]
fn what_was_confirmed_follows_again_after_it_was_there_once_more() {
    let mut lab = lab("change");
    waiting(&mut lab);
    lab.pass(11 * S);
    lab.done(0, Command::Confirm(None));
    lab.pass(11 * S);
    for content in ["2", "harmful"] {
        edit(&mut lab, 0, content);
        lab.pass(7 * S);
        assert_eq!(lab.nodes[1].tree["a"], content);
    }
}

#[test]
fn divided_groups_send_nothing_by_themselves() {
    let mut lab = lab("change");
    lab.nodes[0].engine.handle_role(S, "h", Role::Backup);
    edit(&mut lab, 0, "2");
    lab.pass(60 * S);
    assert_eq!(
        lab.nodes[1].tree,
        Tree::from([("a".to_owned(), "1".to_owned())])
    );
    let rows = lab.nodes[0].engine.rows(lab.now_ns);
    let (_, sync) = rows
        .iter()
        .find(|(key, _)| key == "tree.t.sync")
        .expect("a row");
    let expected = "as files change, from the node that is active in all groups";
    assert_eq!(*sync, spared_sdk::Value::Text(expected.to_owned()));
}
