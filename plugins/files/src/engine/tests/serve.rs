//! Contents of several pieces, which are read ahead for the peer.

use spared_tree::local::PIECE;

use super::lab::{Lab, Tree, tree};
use super::{push, text};

const PIECES: usize = 20;

fn large(letter: &str) -> Tree {
    tree(&[("a", &letter.repeat(PIECES * PIECE)), ("b", "small")])
}

/// Starts a push whose root half was asked for pieces, and has answered none.
fn read_ahead(lab: &mut Lab) -> u64 {
    let token = lab.ask(0, push());
    while lab.nodes[0].reads() == 0 {
        assert!(lab.step());
    }
    lab.nodes[0].is_slow = true;
    lab.settle();
    token
}

#[test]
fn pieces_are_read_ahead_and_sent_in_order() {
    let mut lab = Lab::new([large("x"), Tree::new()]);
    let token = read_ahead(&mut lab);
    let reads = lab.nodes[0].reads();
    assert!((4..PIECES).contains(&reads), "{reads}");
    lab.nodes[0].is_slow = false;
    lab.settle();
    let reply = lab.nodes[0].replies.remove(&token).expect("an answer");
    assert_eq!(text(&reply), "in place");
    assert_eq!(lab.nodes[1].tree, large("x"));
}

#[test]
fn answers_about_a_content_that_is_gone_are_for_nobody() {
    let mut lab = Lab::new([large("x"), Tree::new()]);
    let token = read_ahead(&mut lab);
    lab.nodes[0].tree = large("y");
    lab.nodes[0].is_slow = false;
    lab.settle();
    let reply = lab.nodes[0].replies.remove(&token).expect("an answer");
    assert!(text(&reply).contains("no such content"), "{reply:?}");
    assert_eq!(text(&lab.done(0, push())), "in place");
    assert_eq!(lab.nodes[1].tree, large("y"));
}

#[test]
fn answers_for_an_earlier_connection_are_for_nobody() {
    let mut lab = Lab::new([large("x"), Tree::new()]);
    read_ahead(&mut lab);
    lab.cut();
    lab.link();
    let token = lab.ask(0, push());
    lab.nodes[0].is_slow = false;
    lab.settle();
    let reply = lab.nodes[0].replies.remove(&token).expect("an answer");
    assert_eq!(text(&reply), "in place");
    assert_eq!(lab.nodes[1].tree, large("x"));
}
