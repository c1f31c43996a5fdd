//! Contents for a command that compares.

use spared_sdk::Value;
use spared_tree::{Hash, SHOWN_MAX};

use super::lab::{Lab, S};
use super::{Command, pair, pull, text};
use crate::engine::Reply;

const SECRET: &str = "PLANTED";

fn show() -> Command {
    Command::Show("t".to_owned())
}

/// Pair in which r1 has edited one file and created another.
fn edited() -> Lab {
    let mut lab = pair();
    let r1 = &mut lab.nodes[0].tree;
    r1.insert("a".to_owned(), SECRET.to_owned());
    let large = usize::try_from(SHOWN_MAX).expect("small") + 1;
    r1.insert("large".to_owned(), "x".repeat(large));
    lab.pass(11 * S);
    lab
}

fn row<'r>(reply: &'r Reply, key: &str) -> Option<&'r str> {
    reply.rows.iter().find_map(|(of, value)| match value {
        Value::Text(text) if of == key => Some(text.as_str()),
        _ => None,
    })
}

fn staged(lab: &Lab) -> Option<&[u8]> {
    let hash = Hash::of(SECRET.as_bytes());
    lab.nodes[1].staged(hash)
}

#[test]
fn contents_that_differ_are_staged_for_a_while_and_no_answer_has_them() {
    let mut lab = edited();
    let reply = lab.done(1, show());
    assert_eq!(row(&reply, "change.1"), Some("/t/a: changed"));
    assert_eq!(row(&reply, "change.2"), Some("/t/large: added"));
    assert_eq!(row(&reply, "file.1.path"), Some("/t/a"));
    let hash = Hash::of(SECRET.as_bytes()).name();
    assert_eq!(row(&reply, "file.1.content"), Some(hash.as_str()));
    assert_eq!(row(&reply, "file.1.mode"), Some("644"));
    // the second file is too large to be shown
    assert_eq!(row(&reply, "file.2.path"), None);
    assert!(reply.is_staged && reply.attention);
    assert_eq!(staged(&lab), Some(SECRET.as_bytes()));
    assert!(!format!("{reply:?} {:?}", lab.nodes[1].events).contains(SECRET));
    lab.pass(31 * S);
    assert_eq!(staged(&lab), None);
}

#[test]
fn contents_go_when_they_have_been_read_or_something_else_comes() {
    for next in [Command::EndShow, Command::Diff("t".to_owned()), pull()] {
        let mut lab = edited();
        lab.done(1, show());
        assert!(staged(&lab).is_some());
        lab.done(1, next.clone());
        assert_eq!(staged(&lab), None, "{next:?}");
    }
}

#[test]
fn contents_for_nobody_are_removed_and_equal_trees_have_none() {
    let mut lab = edited();
    lab.nodes[0].is_slow = true;
    let token = lab.ask(1, show());
    lab.pass(11 * S);
    let reply = lab.nodes[1].replies.remove(&token).expect("an answer");
    assert!(text(&reply).contains("does not answer"), "{reply:?}");
    lab.nodes[0].is_slow = false;
    lab.pass(S);
    assert_eq!(staged(&lab), None);
    assert_eq!(text(&lab.done(1, pull())), "in place");
    let reply = lab.done(1, show());
    assert_eq!(text(&reply), "both nodes have the same files");
    assert!(!reply.is_staged && !reply.attention);
    let reply = lab.done(1, Command::Diff("t".to_owned()));
    assert_eq!(text(&reply), "both nodes have the same files");
    assert!(!reply.attention);
}
