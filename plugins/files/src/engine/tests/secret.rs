//! A program's output about a file is shown only to those who may read the file.

use spared_sdk::{Engine as _, Role};

use super::lab::{Lab, Node, S, tree};
use super::{pair, pull, push, text};

const WHY: &str =
    "the check refused it, nothing was changed: wg ended with exit code 1\nKey is not: `PLANTED'";

/// All texts that others than root may read.
fn published(node: &Node, now_ns: u64) -> String {
    let engine = &node.engine;
    let rows = engine.rows(now_ns);
    let troubles = engine.troubles();
    let (events, summary) = (&node.events, engine.summary());
    format!("{events:?} {rows:?} {troubles:?} {summary}")
}

fn assert_secret(lab: &Lab) {
    for node in &lab.nodes {
        let published = published(node, lab.now_ns);
        assert!(!published.contains("PLANTED"), "{published}");
    }
}

#[test]
fn only_who_asked_on_the_node_of_a_program_is_told_what_it_said() {
    let mut lab = pair();
    lab.nodes[0].tree.insert("a".to_owned(), "3".to_owned());
    lab.pass(11 * S);
    lab.nodes
        .iter_mut()
        .for_each(|it| it.refuses = Some(WHY.to_owned()));
    // the peer gave the program its files, and could have led it to any other
    lab.ask(0, push());
    let mut sent = Vec::new();
    while lab.step() {
        sent.extend(lab.wires[1].iter().cloned());
    }
    let is_secret = |it: &Vec<u8>| it.windows(7).any(|it| it == b"PLANTED");
    assert!(!sent.is_empty() && !sent.iter().any(is_secret));
    let (_, reply) = lab.nodes[0].replies.pop_first().expect("an answer");
    let why = "r2: the check refused it, nothing was changed: wg ended with exit code 1 (on that node `sparectl \
               files pull t --check` shows what a check says, and `sparectl files pull t --confirm 2m` what applying \
               does)";
    assert_eq!(text(&reply), why);
    assert_secret(&lab);
    let is_noted = |it: &String| {
        it == "tree \"t\": the check refused it, nothing was changed: wg ended with exit code 1"
    };
    assert!(
        lab.nodes[1].events.iter().any(is_noted),
        "{:?}",
        lab.nodes[1].events
    );
    let said = text(&lab.done(1, pull()));
    assert!(
        said.ends_with("exit code 1: Key is not: `PLANTED'"),
        "{said}"
    );
    assert_secret(&lab);
    // the answer comes when no command waits for it any more
    lab.nodes[1].is_slow = true;
    let token = lab.ask(0, push());
    lab.pass(11 * S);
    assert!(lab.nodes[0].replies.contains_key(&token));
    lab.nodes[1].is_slow = false;
    lab.pass(S);
    assert_secret(&lab);
}

#[test]
fn a_tree_that_does_not_follow_by_itself_tells_nobody_what_a_program_said() {
    let files = || tree(&[("a", "1")]);
    let mut lab = Lab::with_sync([files(), files()], "change");
    lab.role(0, Role::Active);
    lab.role(1, Role::Backup);
    lab.pass(11 * S);
    lab.nodes[1].refuses = Some(WHY.to_owned());
    lab.nodes[0].tree.insert("a".to_owned(), "2".to_owned());
    lab.pass(11 * S);
    let published = published(&lab.nodes[0], lab.now_ns);
    assert!(published.contains("was not copied"), "{published}");
    assert!(
        published.contains("wg ended with exit code 1"),
        "{published}"
    );
    assert_secret(&lab);
}
