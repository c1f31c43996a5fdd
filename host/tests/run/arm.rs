//! Nodes that are paired but not armed: they take part in everything and are never active, until `sparectl arm`.

use std::fs;

use spared_message::control::{Answer, Force, Request, Verdict};
use spared_verdict::{UNARMED, Word};

use crate::lab::{HOT, Node, Pair, keyed};
use crate::pair::VRRP;

pub const MESSENGER: (&str, &str) = ("messenger", "weight = 300\n");

/// Writes the mark as a pairing does, before the daemon's first start.
pub fn unarm(node: &mut Node) {
    let state = node.path("state");
    fs::create_dir_all(&state).unwrap();
    fs::write(state.join("unarmed"), "").unwrap();
    node.set("STATE_DIRECTORY", &state.display().to_string());
}

fn pair() -> Option<Pair> {
    let pair = Pair::new()?;
    for (plugin, text) in [VRRP, MESSENGER] {
        pair.enable(plugin, text);
    }
    Some(pair)
}

fn verdict(node: &Node) -> Verdict {
    node.status().verdict
}

pub fn headline(node: &Node) -> String {
    let headlines = verdict(node).headlines;
    headlines
        .first()
        .map(|it| it.text.clone())
        .unwrap_or_default()
}

fn has_finding(node: &Node, id: &str, of: &str) -> bool {
    let findings = verdict(node).findings;
    findings.iter().any(|it| it.id == id && it.node == of)
}

fn is_unserved(node: &Node) -> bool {
    let verdict = verdict(node);
    let text = verdict.headlines.first().map_or("", |it| it.text.as_str());
    verdict.word == Word::None && text.starts_with("office: nobody serves: ")
}

#[test]
fn a_node_that_is_not_armed_is_in_sync_and_never_active_until_it_is_armed() {
    let Some(mut pair) = pair() else { return };
    unarm(&mut pair.r2);
    pair.start(&(keyed() + HOT));
    let said = format!("office: r1 is active and r2 cannot take over: {UNARMED}.");
    pair.wait("both nodes to say it", || {
        pair.nodes().iter().all(|node| headline(node) == said)
    });
    // it is in sync: nothing else is missing
    pair.wait("r2 to be in sync", || {
        pair.r2.status().missing == Some(vec![UNARMED.to_owned()])
    });
    for node in pair.nodes() {
        assert_eq!(verdict(node).word, Word::Alone, "{}", node.name);
        assert!(has_finding(node, "SP-0704", "r2"), "{}", node.name);
    }
    let Answer::Why { groups } = pair.r2.ask(&Request::Why { group: None }) else {
        panic!("no reason");
    };
    assert_eq!(groups[0].sentence, format!("r2 is fault because {UNARMED}"));
    let switch = Request::Switch {
        group: None,
        to: Some("r2".to_owned()),
        anyway: true,
    };
    for node in pair.nodes() {
        assert_eq!(
            node.refused(&switch),
            [format!("office: r2 cannot take over: {UNARMED}")]
        );
    }
    let force = |to| Request::Force {
        group: None,
        to,
        anyway: true,
    };
    let lines = pair.r2.done(&force(Force::Active));
    assert!(
        lines[1].contains("not active until `sparectl arm`"),
        "{lines:?}"
    );

    // alone, also when it is started again
    pair.r1.kill_all();
    pair.r2.wait("nobody to serve", || is_unserved(&pair.r2));
    pair.r2.kill_all();
    pair.r2.start();
    pair.r2.wait("nobody to serve", || is_unserved(&pair.r2));
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert_eq!(pair.r2.role(), "fault");
    assert_eq!(
        pair.r2.done(&Request::Arm),
        [
            "r2 is armed, by root",
            "r1 is not heard: no link is up: run `sparectl arm` there as well"
        ]
    );
    pair.r2.wait_for_role("active");
    assert!(!pair.r2.path("state/unarmed").exists());
    assert!(pair.r2.has_event("arm", "on"));
}

#[test]
fn one_command_arms_both_nodes_and_may_be_repeated() {
    let Some(mut pair) = pair() else { return };
    for node in [&mut pair.r1, &mut pair.r2] {
        unarm(node);
    }
    pair.start(&(keyed() + HOT));
    pair.wait("nobody to serve, which each knows of the other", || {
        pair.nodes().iter().all(|node| {
            is_unserved(node)
                && node.status().missing == Some(vec![UNARMED.to_owned()])
                && headline(node).contains("are not armed")
        })
    });
    assert!(headline(&pair.r1).contains("r1 and r2 are not armed"));
    // a reload reads the mark again, and it is still there
    pair.r1.done(&Request::Reload { anyway: false });
    assert!(is_unserved(&pair.r1));
    assert_eq!(
        pair.r1.done(&Request::Arm),
        ["r1 is armed, by root", "r2 is armed, by a user on r1"]
    );
    pair.wait("a pair that lacks nothing", || {
        pair.nodes()
            .iter()
            .all(|node| verdict(node).word == Word::Ok)
    });
    for node in pair.nodes() {
        assert!(!node.path("state/unarmed").exists(), "{}", node.name);
        let other = if node.name == "r1" { "r2" } else { "r1" };
        assert_eq!(
            node.done(&Request::Arm),
            [
                format!("{} was armed already", node.name),
                format!("{other} was armed already")
            ]
        );
    }
}
