//! New machine in the place of a dead node: the survivor takes its key by a reload, and serves throughout.

use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use spared_key::public_text;
use spared_message::control::Request;
use spared_tests::lab::signal_to;
use spared_verdict::{UNARMED, Word};

use crate::arm::{MESSENGER, headline, unarm};
use crate::lab::{HOT, Node, Pair, key, keyed};
use crate::pair::{VRRP, begin_at_r1};

/// Pings the group's address from the other machine, 50 times a second, until it is stopped.
fn ping(from: &Node) -> Child {
    let mut command = from.namespace.command("ping");
    command.args(["-n", "-q", "-i", "0.02", "-W", "2", "10.9.0.1"]);
    command.stdout(Stdio::piped()).spawn().unwrap()
}

/// Stops a ping, and returns its numbers of requests and answers.
fn counts(ping: Child) -> (u32, u32) {
    signal_to(ping.id(), Signal::INT).unwrap();
    let output = ping.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find(|line| line.contains("transmitted"));
    let words: Vec<&str> = line.unwrap_or_default().split(' ').collect();
    let number = |at: usize| words[at].parse().unwrap_or_else(|_| panic!("{text}"));
    (number(0), number(3))
}

#[test]
fn a_new_machine_with_a_key_of_its_own_joins_while_the_survivor_serves() {
    let Some(mut pair) = Pair::new() else { return };
    for (plugin, text) in [VRRP, MESSENGER] {
        pair.enable(plugin, text);
    }
    pair.start(&(keyed() + HOT));
    begin_at_r1(&pair);
    pair.r2.kill_all();
    pair.r1.wait("r2 to be gone", || {
        headline(&pair.r1).ends_with("no other node stands by.")
    });
    let known = |node: &Node| (node.group().transitions, node.plugin("vrrp").pid);
    let before = known(&pair.r1);
    let pinging = ping(&pair.r2);

    // the same name, another key
    let [old, new] = [2, 9].map(|number| public_text(&key(number).public()));
    let config = (keyed() + HOT).replace(&old, &new);
    pair.write_config(&config);
    let lines = pair.r1.done(&Request::Reload { anyway: false });
    assert!(
        lines.contains(&"nodes: new keys between this node and r2".to_owned()),
        "{lines:?}"
    );
    pair.r2.write_secret("key", &key(9).to_text());
    unarm(&mut pair.r2);
    pair.r2.start();
    pair.wait("the new r2 to be in sync, but for the command", || {
        pair.r2.status().missing == Some(vec![UNARMED.to_owned()])
    });
    assert_eq!(
        pair.r1.done(&Request::Arm),
        ["r1 was armed already", "r2 is armed, by a user on r1"]
    );
    pair.wait("a pair that lacks nothing", || {
        let words = pair.nodes().map(|node| node.status().verdict.word);
        words == [Word::Ok, Word::Ok]
    });
    std::thread::sleep(Duration::from_millis(200));
    let (sent, received) = counts(pinging);
    assert!(sent > 20 && received == sent, "{received} of {sent}");
    assert_eq!(known(&pair.r1), before, "{}", pair.r1.log());
}
