//! Reloads that are taken back, files and all, unless they are confirmed.

use std::fs;

use spared_message::control::Request;

use crate::lab::{HOT, Node, Pair, keyed};
use crate::pair::{VRRP, begin_at_r1};

/// Second interface of the group, with one more address.
const MORE: &str =
    "\n[[group.interface]]\ninterface = \"hot2\"\nvrid = 51\naddresses = [\"10.8.0.1/24\"]\n";

fn reload(within_s: u64) -> Request {
    Request::ReloadToConfirm {
        anyway: false,
        within_s,
        across_restarts: false,
    }
}

fn across_restarts() -> Request {
    Request::ReloadToConfirm {
        anyway: false,
        within_s: 3600,
        across_restarts: true,
    }
}

fn vrrp(node: &Node) -> String {
    fs::read_to_string(node.path("plugins/vrrp.toml")).unwrap()
}

/// Number of addresses of the group that are in force on the node.
fn addresses(node: &Node) -> usize {
    let groups = node.status().groups;
    groups.first().map_or(0, |group| group.addresses.len())
}

fn has_finding(node: &Node, of: &str) -> bool {
    let findings = node.status().verdict.findings;
    findings
        .iter()
        .any(|it| it.id == "SP-0705" && it.node == of)
}

/// Starts a pair for whose files there is a folder of the starter's, in which r1 is active.
fn pair() -> Option<Pair> {
    let mut pair = Pair::new()?;
    let (plugin, text) = VRRP;
    pair.enable(plugin, text);
    for node in [&mut pair.r1, &mut pair.r2] {
        let state = node.path("state");
        fs::create_dir_all(&state).unwrap();
        node.set("STATE_DIRECTORY", &state.display().to_string());
        node.ip(&format!(
            "addr add 10.8.0.{}/24 dev hot2",
            if node.name == "r1" { 2 } else { 3 }
        ));
    }
    pair.start(&(keyed() + HOT));
    begin_at_r1(&pair);
    Some(pair)
}

#[test]
fn a_reload_is_confirmed_on_both_nodes_or_taken_back_with_its_files() {
    let Some(mut pair) = pair() else { return };
    let before = VRRP.1;
    let after = format!("{before}{MORE}");
    let transitions = pair.r1.group().transitions;

    // both nodes are changed, and one command confirms both
    for node in [&pair.r2, &pair.r1] {
        node.write("plugins/vrrp.toml", &after);
        let lines = node.done(&reload(60));
        let last = lines.last().unwrap();
        assert!(
            last.starts_with("the configuration from before comes back in 60 s"),
            "{lines:?}"
        );
        assert_eq!(addresses(node), 2);
        let refused = node.refused(&Request::Reload { anyway: false });
        assert!(
            refused[0].contains("waits for `sparectl confirm`"),
            "{refused:?}"
        );
    }
    pair.wait("both nodes to say it", || {
        let both = |node: &Node| has_finding(node, "r1") && has_finding(node, "r2");
        pair.nodes().iter().all(|node| both(node))
    });
    assert!(pair.r1.status().orders.unconfirmed_until.is_some());
    let lines = pair.r2.done(&Request::Confirm);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        lines[0].starts_with("r2: configuration ") && lines[1].starts_with("r1: configuration ")
    );
    for node in pair.nodes() {
        let why = format!("{}: nothing waits for a confirmation", node.name);
        assert_eq!(node.refused(&Request::Confirm), [why]);
        assert_eq!((addresses(node), vrrp(node)), (2, after.clone()));
    }

    // nobody confirms, for want of a link
    let config = fs::read_to_string(pair.r1.path("spared.toml")).unwrap();
    pair.r1
        .write("spared.toml", &format!("port = 4000\n{config}"));
    pair.r1
        .write("plugins/vrrp.toml", &format!("# edited\n{after}"));
    pair.r1.done(&reload(5));
    pair.wait("the link to be down", || pair.r2.link("hot").state != "up");
    pair.wait("the link to be back", || pair.r2.link("hot").state == "up");
    pair.r1.wait("the files to be back", || {
        vrrp(&pair.r1) == after
            && fs::read_to_string(pair.r1.path("spared.toml")).unwrap() == config
    });
    assert!(pair.r1.has_event("reload", "taken-back"));
    let edited = fs::read_to_string(pair.r1.path("state/taken-back/plugins/vrrp.toml")).unwrap();
    assert!(edited.starts_with("# edited"));

    // the daemon dies before anybody confirms
    pair.r2.write("plugins/vrrp.toml", before);
    pair.r2.done(&reload(3600));
    assert_eq!(addresses(&pair.r2), 1);
    pair.r2.kill_all();
    pair.r2.start();
    pair.r2.wait("the group", || addresses(&pair.r2) == 2);
    assert_eq!(vrrp(&pair.r2), after);
    assert!(pair.r2.has_event("reload", "taken-back"));
    assert_eq!(pair.r2.status().orders.unconfirmed_until, None);
    let lines = pair.r2.done(&Request::Reload { anyway: false });
    assert_eq!(lines[0], "nothing changed");

    // across restarts it waits on, and is taken back by a command: here, and from the other node
    let there = Request::Node {
        node: "r2".to_owned(),
        request: Box::new(Request::TakeBack),
    };
    pair.r2.write("plugins/vrrp.toml", before);
    pair.r2.done(&across_restarts());
    pair.r2.kill_all();
    pair.r2.start();
    pair.r2.wait("the new group", || {
        addresses(&pair.r2) == 1 && pair.r2.status().orders.unconfirmed_until.is_some()
    });
    assert_eq!(vrrp(&pair.r2), before);
    let lines = pair.r2.done(&Request::TakeBack);
    assert!(
        lines
            .last()
            .unwrap()
            .starts_with("this is the configuration from before"),
        "{lines:?}"
    );
    assert_eq!((addresses(&pair.r2), vrrp(&pair.r2)), (2, after.clone()));
    pair.r2.write("plugins/vrrp.toml", before);
    pair.r2.done(&across_restarts());
    pair.wait("the link", || pair.r1.link("hot").state == "up");
    let lines = pair.r1.done(&there);
    assert!(
        lines[0].starts_with("r2: configuration ") && lines[0].ends_with("by a user on r1"),
        "{lines:?}"
    );
    pair.r2.wait("the old group", || addresses(&pair.r2) == 2);
    assert_eq!(vrrp(&pair.r2), after);
    assert_eq!(
        pair.r1.refused(&there),
        ["r2: nothing waits for a confirmation"]
    );

    // it dies on the way back: a restart does not stop that
    pair.r2.write("plugins/vrrp.toml", before);
    pair.r2.done(&across_restarts());
    pair.r1.done(&there);
    pair.r2.kill_all();
    pair.r2.start();
    pair.r2
        .wait("an answer", || !pair.r2.status().groups.is_empty());
    assert_eq!((addresses(&pair.r2), vrrp(&pair.r2)), (2, after.clone()));
    assert_eq!(pair.r2.status().orders.unconfirmed_until, None);
    assert_eq!(
        pair.r1.group().transitions,
        transitions,
        "{}",
        pair.r1.log()
    );
}
