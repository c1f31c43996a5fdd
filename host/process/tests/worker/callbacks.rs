//! Callbacks and their results: roles, answers, timers, descriptors, pings.

use spared_contract::{FromPlugin, Role, ToPlugin};

use crate::lab::{Host, Lab, load};
use crate::life::role;

const ATTENTION: i32 = 3;
const EIO: i32 = -5;
const ENOENT: i32 = -2;
const EINVAL: i32 = -22;
const EMSGSIZE: i32 = -90;
const ECANCELED: i32 = -125;

fn query(word: &str) -> impl FnOnce(u64) -> ToPlugin {
    let argv = vec![word.to_owned()];
    move |token| ToPlugin::Query { token, argv }
}

#[test]
fn a_pending_role_ends_with_done_and_a_newer_one_replaces_it() {
    let lab = Lab::new();
    let mut host = Host::started(&super::probe(&lab), &load("probe"), "");
    let first = host.tell(role("pend", Role::Active));
    let second = host.tell(role("pend", Role::Backup));
    assert_eq!(host.returned(first).status, ECANCELED, "the newest wins");
    host.query("finish 0");
    assert_eq!(host.returned(second).status, 0);
    // A stale token is ignored, done() before the callback returns counts, and an error is passed on.
    host.query("finish 0");
    assert_eq!(host.ask(role("early", Role::Active)).status, 0);
    assert_eq!(host.ask(role("office", Role::Fault)).status, EIO);
}

#[test]
fn a_pending_answer_takes_rows_until_it_is_done() {
    let lab = Lab::new();
    let mut host = Host::started(&super::probe(&lab), &load("probe"), "");
    let pending = host.tell(query("pend"));
    assert_eq!(host.query("put flows 7").status, 0);
    assert_eq!(host.query("state").number("timers"), 0, "others go on");
    host.query("finish 0");
    let answer = host.returned(pending);
    assert_eq!((answer.status, answer.number("flows")), (0, 7));
    assert_eq!(host.query("put flows 8").status, ENOENT, "it is over");
}

#[test]
fn an_answer_may_want_attention() {
    let lab = Lab::new();
    let mut host = Host::started(&super::probe(&lab), &load("probe"), "");
    assert_eq!(host.query("attend").status, ATTENTION);
    let pending = host.tell(query("pend"));
    host.query("finish 3");
    assert_eq!(host.returned(pending).status, ATTENTION);
}

#[test]
fn of_too_many_pending_answers_the_oldest_ends() {
    let lab = Lab::new();
    let mut host = Host::started(&super::probe(&lab), &load("probe"), "");
    let pending: Vec<u64> = (0..66).map(|_| host.tell(query("pend"))).collect();
    for oldest in &pending[..2] {
        let answer = host.returned(*oldest);
        assert_eq!(answer.status, ECANCELED);
        assert_eq!(answer.failures[0].why, "too many newer questions");
    }
    host.query("finish 0");
    assert_eq!(host.returned(pending[65]).status, 0);
}

#[test]
fn an_answer_has_a_limit_and_unknown_words_a_usage() {
    let lab = Lab::new();
    let mut host = Host::started(&super::probe(&lab), &load("probe"), "");
    let full = host.query("fill");
    assert_eq!(full.status, EMSGSIZE);
    assert!((60..66).contains(&full.rows.len()), "{}", full.rows.len());
    let unknown = host.query("nonsense");
    assert_eq!(unknown.status, EINVAL);
    assert_eq!(unknown.failures[0].why, "usage: probe WORD");
}

#[test]
fn timers_run_out_and_descriptors_come_before_them() {
    let lab = Lab::new();
    let mut host = Host::started(&super::probe(&lab), &load("probe"), "");
    assert_eq!(host.query("timer 5 1").status, 0);
    host.query("timer 6 60000");
    while host.query("state").number("timers") != 1 {}
    host.query("both");
    let order = loop {
        let order = host.query("state").text("order").to_owned();
        if order.contains("timer") && order.contains("fd") {
            break order;
        }
    };
    assert!(order.starts_with("fd timer"), "{order}");
}

#[test]
fn pings_are_answered_from_the_loop() {
    let lab = Lab::new();
    let mut host = Host::started(&super::probe(&lab), &load("probe"), "");
    host.send(&ToPlugin::Ping { number: 42 }, &[]);
    let number = host.wait(|message| match message {
        FromPlugin::Pong { number, .. } => Some(*number),
        _ => None,
    });
    assert_eq!(number, 42);
}

/// The daemon may run nothing of a plugin that root has not enabled.
#[test]
fn a_process_for_checks_only_checks_whatever_the_daemon_asks_for() {
    let lab = Lab::new();
    let mut load = load("probe");
    load.check_only = true;
    let mut host = Host::spawn(&super::probe(&lab), &load);
    host.loaded().unwrap();
    let asked = host.tell(query("state"));
    assert_eq!(host.configure("scope = 1", false).status, 0);
    assert_eq!(host.ended(), 0);
    let is_effect = |it: &&FromPlugin| match it {
        FromPlugin::Returned { token, .. } => *token == asked,
        FromPlugin::Scopes { .. } => true,
        _ => false,
    };
    let effects: Vec<_> = host.received.iter().filter(is_effect).collect();
    assert!(effects.is_empty(), "{effects:?}");
}
