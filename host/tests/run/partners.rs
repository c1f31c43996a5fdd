//! Two plugins of one node that name each other: messages, order, bounded queues, ends and restarts.

use std::fs;

use rustix::process::Signal;
use spared_message::control::Request;
use spared_tests::lab::signal_to;

use crate::lab::Node;

fn halves() -> Option<Node> {
    let mut node = Node::new("r1")?;
    let state = node.path("state");
    fs::create_dir_all(&state).unwrap();
    node.set("STATE_DIRECTORY", state.to_str().unwrap());
    node.enable("courier", "");
    node.enable("courier-root", "");
    Some(node)
}

fn connected() -> Option<Node> {
    let mut node = halves()?;
    node.start();
    wait_connected(&node);
    Some(node)
}

fn wait_connected(node: &Node) {
    wait_row(node, "courier", "root_half_up", "true");
    wait_row(node, "courier-root", "courier_up", "true");
}

fn wait_row(node: &Node, plugin: &str, key: &str, value: &str) {
    node.wait(&format!("{plugin}'s {key} {value}"), || {
        node.row(plugin, key) == value
    });
}

fn courier(node: &Node, words: &[&str]) {
    node.ask(&Request::Plugin {
        name: "courier".to_owned(),
        argv: words.iter().map(|word| (*word).to_owned()).collect(),
    });
}

fn kill(node: &Node, plugin: &str) {
    signal(node, plugin, Signal::KILL);
}

fn signal(node: &Node, plugin: &str, signal: Signal) {
    signal_to(node.plugin(plugin).pid.unwrap(), signal).unwrap();
}

#[test]
fn what_a_confined_plugin_receives_is_done_by_one_that_is_root() {
    let Some(node) = connected() else { return };
    courier(&node, &["say", "gates close at ten"]);
    node.wait("an answer", || {
        node.row("courier", "answer").contains("written by uid 0")
    });
    let notice = node.path("state/courier-root/notice");
    assert_eq!(fs::read_to_string(notice).unwrap(), "gates close at ten");
}

#[test]
fn messages_keep_their_order_and_none_is_lost_when_there_is_no_room() {
    let Some(node) = connected() else { return };
    let floods = [("50000", "100", 400), ("1000", "65536", 4)];
    for (round, (count, size, queued_min)) in floods.iter().enumerate() {
        // without a reader the queue fills up
        signal(&node, "courier-root", Signal::STOP);
        courier(&node, &["flood", count, size]);
        node.wait("a full queue", || node.row("courier", "refused") != "0");
        let queued: u64 = node.row("courier", "flood.sent").parse().unwrap();
        signal(&node, "courier-root", Signal::CONT);
        assert!(queued >= *queued_min, "{queued} of {size} bytes");
        println!("{queued} messages of {size} bytes fill the queue");
        node.wait("all of them", || {
            node.row("courier-root", "received") == *count
        });
        assert_eq!(node.row("courier-root", "gaps"), "0", "{size} bytes");
        // numbers begin again with each channel
        kill(&node, "courier");
        wait_row(&node, "courier-root", "ups", &(round + 2).to_string());
        wait_connected(&node);
    }
}

#[test]
fn each_half_is_told_when_the_other_one_ends_and_returns() {
    let Some(node) = connected() else { return };
    courier(&node, &["say", "one"]);
    let notice = node.path("state/courier-root/notice");
    node.wait("the notice", || notice.exists());
    fs::remove_file(&notice).unwrap();
    // a plugin that returns is told again what it needs to know
    kill(&node, "courier-root");
    node.wait("the notice once more", || notice.exists());
    wait_row(&node, "courier-root", "ups", "1");
    kill(&node, "courier");
    wait_row(&node, "courier-root", "ups", "2");
    wait_connected(&node);
}

#[test]
fn a_reload_disturbs_them_only_if_it_takes_one_away() {
    let Some(node) = connected() else { return };
    node.done(&Request::Reload { anyway: false });
    assert_eq!(node.row("courier-root", "ups"), "1");
    fs::remove_file(node.path("plugins/courier-root.toml")).unwrap();
    node.done(&Request::Reload { anyway: false });
    wait_row(&node, "courier", "root_half_up", "false");
    node.enable("courier-root", "");
    node.done(&Request::Reload { anyway: false });
    wait_connected(&node);
}

#[test]
fn a_plugin_that_the_other_one_does_not_name_gets_nothing() {
    let Some(mut node) = halves() else { return };
    node.enable_own("intruder");
    node.start();
    wait_connected(&node);
    node.wait_for_log(&format!("intruder: send: {}", -libc::ENOTCONN));
    assert!(!node.log().contains("is connected"), "{}", node.log());
}
