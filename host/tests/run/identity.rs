//! Statements that one node signs and the other one verifies, without a link between them.

use rustix::process::Signal;
use spared_message::control::{Answer, Request, Value};
use spared_tests::lab::signal_to;

use crate::lab::{HOT, Node, Pair, keyed};

const NAMES_ALONE: &str = "[nodes]\nr1 = {}\nr2 = {}\n";

fn ask(node: &Node, words: &[&str]) -> Answer {
    node.ask(&Request::Plugin {
        name: "messenger".to_owned(),
        argv: words.iter().map(|word| (*word).to_owned()).collect(),
    })
}

/// Row of the answer, or the reason why there is none.
fn row(node: &Node, words: &[&str], key: &str) -> Result<String, String> {
    match ask(node, words) {
        Answer::Rows { rows, .. } => match rows.get(key) {
            Some(Value::Text(text)) => Ok(text.clone()),
            other => Err(format!("{other:?}")),
        },
        Answer::Error { lines, .. } => Err(lines.join("\n")),
        other => Err(format!("{other:?}")),
    }
}

fn prove(node: &Node, text: &str) -> Result<String, String> {
    row(node, &["prove", text], "signature")
}

fn is_genuine(node: &Node, signature: &str, text: &str) -> bool {
    row(node, &["verify", signature, text], "genuine").unwrap() == "yes"
}

/// Asserts that each node verifies the other's statement, and rejects its own.
fn prove_each_other(pair: &Pair) {
    for (one, other) in [(&pair.r1, &pair.r2), (&pair.r2, &pair.r1)] {
        let mut signature = String::new();
        one.wait("a signature", || {
            prove(one, "it is me").is_ok_and(|made| {
                signature = made;
                true
            })
        });
        other.wait("a verdict", || {
            row(other, &["verify", &signature, "x"], "genuine").is_ok()
        });
        assert!(is_genuine(other, &signature, "it is me"));
        assert!(!is_genuine(other, &signature, "it was me"));
        assert!(!is_genuine(one, &signature, "it is me"));
    }
}

/// Asserts that a pair without a `[[link]]` is shown as one: no path, no peer, and nothing missing except by the
/// plugin.
fn knows_no_link(node: &Node) {
    let status = node.status();
    assert!(status.links.is_empty() && status.peer.is_none() && status.missing.is_none());
    let findings = status.verdict.findings;
    let ids: Vec<&str> = findings.iter().map(|it| it.id.as_str()).collect();
    assert_eq!(ids, ["SP-0311"], "{findings:?}");
    assert_eq!(node.row("messenger", "peer"), "down");
    let switch = Request::Switch {
        group: None,
        to: None,
        anyway: false,
    };
    let refused = node.refused(&switch).concat();
    assert!(refused.contains("no group is configured"), "{refused}");
}

#[test]
fn two_nodes_without_a_link_prove_who_they_are() {
    let Some(mut pair) = Pair::new() else { return };
    pair.enable("messenger", "");
    pair.start(&keyed());
    prove_each_other(&pair);
    for (node, peer) in [(&pair.r1, "r2"), (&pair.r2, "r1")] {
        assert_eq!(node.row("messenger", "peer_with_keys"), peer);
        knows_no_link(node);
    }

    // one process of the link is killed, and one worker
    signal_to(pair.r1.link_pid().unwrap(), Signal::KILL).unwrap();
    signal_to(pair.r2.plugin("messenger").pid.unwrap(), Signal::KILL).unwrap();
    pair.r2
        .wait("a new worker", || pair.r2.plugin("messenger").restarts == 1);
    prove_each_other(&pair);
}

#[test]
fn a_passphrase_does_it_as_well() {
    let Some(mut pair) = Pair::new() else { return };
    for node in pair.nodes() {
        node.write_secret("secret", "correct-Horse7battery\n");
    }
    pair.enable("messenger", "");
    pair.start(&format!("secret_file = \"secret\"\n{NAMES_ALONE}"));
    prove_each_other(&pair);
}

#[test]
fn without_keys_no_process_runs_and_by_reload_it_comes_and_goes() {
    let Some(mut pair) = Pair::new() else { return };
    pair.enable("messenger", "");
    pair.start(NAMES_ALONE);
    for node in pair.nodes() {
        node.wait("the plugin", || node.plugin("messenger").state == "running");
        assert_eq!(node.link_pid(), None);
        assert_eq!(node.row("messenger", "peer_with_keys"), "");
        let refused = prove(node, "it is me").unwrap_err();
        assert!(refused.contains("not connected"), "{refused}");
        knows_no_link(node);
    }
    let reload = |text: &str| {
        pair.write_config(text);
        for node in pair.nodes() {
            node.done(&Request::Reload { anyway: false });
        }
    };
    reload(&keyed());
    prove_each_other(&pair);
    // a path is added and removed again: the keys stay
    reload(&(keyed() + HOT));
    pair.wait_for_link("hot", "up");
    prove_each_other(&pair);
    reload(&keyed());
    prove_each_other(&pair);
    for node in pair.nodes() {
        node.wait("no link", || node.row("messenger", "peer") == "down");
        knows_no_link(node);
    }
    reload(NAMES_ALONE);
    for node in pair.nodes() {
        node.wait("no process", || node.link_pid().is_none());
    }
}
