//! Two hosts and the link between them: what each shows, asks and reports about the other.

use spared_message::control::{Answer, ErrorCode, Force, Request, Value};

use crate::lab::{HOT, Node, Pair, keyed};

const MESSENGER: (&str, &str) = ("messenger", "weight = 300\n");

/// Group for which r1 is active.
pub const VRRP: (&str, &str) = (
    "vrrp",
    r#"
[[group]]
name = "office"
prefer = "r1"
advert_interval = "100ms"
failback_delay = "1h"
[[group.interface]]
interface = "lan"
vrid = 50
addresses = ["10.9.0.1/24"]
"#,
);

/// Starts a pair that is in sync, and waits until each node knows that of the other: earlier changes are no events.
pub fn ready(plugins: &[(&str, &str)]) -> Option<Pair> {
    let mut pair = Pair::new()?;
    for (plugin, text) in plugins {
        pair.enable(plugin, text);
    }
    pair.start(&(keyed() + HOT));
    pair.wait("both nodes to be ready", || {
        pair.nodes().iter().all(|node| {
            let status = node.status();
            status.missing == Some(Vec::new())
                && status.links.iter().all(|link| link.state == "up")
                && node
                    .peer()
                    .status
                    .is_some_and(|there| there.missing == Some(Vec::new()))
                && node.has_event("peer", "ready")
        })
    });
    Some(pair)
}

fn wait_for_active(pair: &Pair, node: &Node) {
    let role = |of: &Node| {
        if of.name == node.name {
            "active"
        } else {
            "backup"
        }
    };
    pair.wait(&format!("{} to be active", node.name), || {
        pair.nodes().iter().all(|of| of.role() == role(of))
    });
}

/// Waits until r1 is active. If a busy machine made r1 too late, r2 is active, and would keep the role for an hour:
/// then r1 gets it by an order.
pub fn begin_at_r1(pair: &Pair) {
    pair.wait("r1 to be active at first", || {
        let [r1, r2] = pair.nodes().map(Node::role);
        if (r1.as_str(), r2.as_str()) == ("backup", "active") {
            pair.r1.ask(&switch(Some("r1"), true));
        }
        (r1.as_str(), r2.as_str()) == ("active", "backup")
    });
}

/// Waits until r1 is active and r2 is not ready.
fn begin_beside_unready(pair: &Pair) {
    begin_at_r1(pair);
    pair.r1.wait_for_log("r2 joined");
    pair.r2.ask(&peer("in-sync no"));
    // r2 answers with its present state, but reports it to r1 at a limited rate
    pair.r1
        .wait_for_log("r2 is not ready: messenger is not yet in sync");
}

fn there(node: &str, request: Request) -> Request {
    Request::Node {
        node: node.to_owned(),
        request: Box::new(request),
    }
}

fn peer(words: &str) -> Request {
    Request::Plugin {
        name: "messenger".to_owned(),
        argv: words.split(' ').map(str::to_owned).collect(),
    }
}

fn maintenance(on: bool, for_s: Option<u64>) -> Request {
    Request::Maintenance {
        on,
        for_s,
        anyway: false,
    }
}

fn switch(to: Option<&str>, anyway: bool) -> Request {
    Request::Switch {
        group: None,
        to: to.map(str::to_owned),
        anyway,
    }
}

fn force(to: Force) -> Request {
    Request::Force {
        group: None,
        to,
        anyway: false,
    }
}

#[test]
fn a_plugin_that_answers_nothing_there_hides_no_more_than_its_own_rows() {
    let Some(pair) = ready(&[MESSENGER, ("faulty", "fault = \"never-done\"\n")]) else {
        return;
    };
    for _ in 0..5 {
        for node in pair.nodes() {
            let there = node.peer().status.expect("the other node's half");
            let rows: Vec<&String> = there.rows.keys().collect();
            assert_eq!(rows, ["messenger"], "on {}", node.name);
        }
    }
}

#[test]
fn each_node_shows_both_columns() {
    let Some(pair) = ready(&[MESSENGER]) else {
        return;
    };
    for (node, other) in [(&pair.r1, &pair.r2), (&pair.r2, &pair.r1)] {
        pair.wait("the clocks to be compared", || {
            node.peer().clock_ms.is_some()
        });
        let status = node.status();
        assert_eq!(status.node, node.name);
        assert_eq!(status.links[0].interface, "hot");
        assert_eq!(status.links[0].state, "up");
        let peer = *status.peer.unwrap();
        assert_eq!((peer.node.as_str(), peer.up), (other.name, true));
        assert_eq!(peer.heard_on, ["hot"]);
        assert_eq!(peer.differences, []);
        assert!(peer.last_heard.is_some());
        assert!(peer.clock_ms.unwrap().abs() < 1000, "{:?}", peer.clock_ms);
        let there = peer.status.unwrap();
        assert_eq!(there.node, other.name);
        assert_eq!(there.peer, None);
        assert_eq!(there.quality, 100);
        assert!(there.rows.contains_key("messenger"), "{:?}", there.rows);
    }
}

#[test]
fn checks_make_the_quality_that_the_other_node_sees() {
    let Some(pair) = ready(&[MESSENGER]) else {
        return;
    };
    pair.r1.ask(&peer("check bad"));
    pair.wait("a lower quality", || pair.r1.status().quality == 0);
    pair.wait("the other node to see it", || {
        let there = pair.r2.peer().status;
        there.is_some_and(|there| there.quality == 0 && there.checks[0].state == 0)
    });
    let missing = pair.r1.status().missing.unwrap();
    assert_eq!(missing, ["its quality is 0"]);
    pair.wait("the event", || pair.r1.has_event("quality", "lower"));
    pair.wait("the other's event", || {
        pair.r2.has_event("peer", "not-ready")
    });
    pair.r1.ask(&peer("check good"));
    pair.wait("the quality of before", || pair.r1.status().quality == 100);
}

#[test]
fn a_plugin_that_is_not_in_sync_makes_its_node_not_ready() {
    let Some(pair) = ready(&[MESSENGER]) else {
        return;
    };
    pair.r1.ask(&peer("in-sync no"));
    pair.wait("what is missing", || {
        let missing = pair.r1.status().missing.unwrap();
        missing
            .iter()
            .any(|it| it.starts_with("messenger is not yet in sync"))
    });
    assert_eq!(pair.r2.status().missing, Some(Vec::new()));
    pair.r1.ask(&peer("in-sync yes"));
    pair.wait("readiness", || pair.r1.status().missing == Some(Vec::new()));
}

#[test]
fn questions_reach_the_other_node_and_changes_do_not() {
    let Some(mut pair) = ready(&[MESSENGER]) else {
        return;
    };
    let Answer::Status(status) = pair.r1.ask(&there("r2", Request::Status)) else {
        panic!("no status");
    };
    let peer_of = status.peer.as_ref().map(|peer| peer.node.as_str());
    assert_eq!((status.node.as_str(), peer_of), ("r2", Some("r1")));
    let own = pair.r2.status().verdict;
    assert_eq!(
        (status.verdict.word, status.verdict.findings),
        (own.word, own.findings)
    );
    let Answer::Plugins { plugins } = pair.r1.ask(&there("r2", Request::Plugins)) else {
        panic!("no plugins");
    };
    assert_eq!(plugins[0].name, "messenger");
    let Answer::Events { events } = pair.r1.ask(&there("r2", Request::Events { limit: 1000 }))
    else {
        panic!("no events");
    };
    assert!(events.iter().any(|event| event.text.contains("on r2")));
    let Answer::Rows { rows, .. } = pair.r1.ask(&there("r2", peer("status"))) else {
        panic!("no rows");
    };
    assert!(rows.values().any(|value| matches!(value, Value::Number(_))));
    let Answer::Status(own) = pair.r1.ask(&there("r1", Request::Status)) else {
        panic!("no status");
    };
    assert_eq!(own.node, "r1");
    for changing in [
        Request::Reload { anyway: false },
        Request::Freeze { for_ms: 1000 },
        peer("check bad"),
    ] {
        let lines = pair.r1.refused(&there("r2", changing));
        assert_eq!(lines, ["not a read-only command: run it on r2 itself"]);
    }
    let Answer::Error { code, lines } = pair.r1.ask(&there("r2", there("r2", Request::Status)))
    else {
        panic!("nested");
    };
    assert_eq!(code, ErrorCode::Usage, "{lines:?}");
    let unknown = Request::Node {
        node: "r3".to_owned(),
        request: Box::new(Request::Status),
    };
    assert_eq!(
        pair.r1.refused(&unknown),
        ["there is no node \"r3\": the nodes are r1 and r2"]
    );
    pair.r2.kill_all();
    pair.wait("silence", || !pair.r1.peer().up);
    assert_eq!(
        pair.r1.refused(&there("r2", Request::Status)),
        ["r2 is not heard: no link is up"]
    );
    let peer = pair.r1.peer();
    assert_eq!((peer.status, peer.heard_on), (None, vec!["hot".to_owned()]));
    assert!(pair.r1.status().missing.unwrap()[0].starts_with("no link to r2 is up"));
}

#[test]
fn a_key_that_differs_is_shown_on_both_until_it_is_equal() {
    let Some(pair) = ready(&[MESSENGER]) else {
        return;
    };
    pair.r2.write(
        "plugins/messenger.toml",
        "weight = 200\nnote = \"rack 7\"\n",
    );
    pair.r2.done(&Request::Reload { anyway: false });
    let shown = |node: &Node| {
        let found = node.peer().differences.into_iter();
        found
            .map(|it| (it.file, it.key, it.here, it.there))
            .collect::<Vec<_>>()
    };
    let said = |here: &str, there: &str| {
        let (here, there) = (Some(here.to_owned()), Some(there.to_owned()));
        [(
            "messenger.toml".to_owned(),
            "weight".to_owned(),
            here,
            there,
        )]
    };
    pair.wait("the difference on r1", || {
        shown(&pair.r1) == said("300", "200")
    });
    pair.wait("the difference on r2", || {
        shown(&pair.r2) == said("200", "300")
    });
    assert!(pair.r1.has_event("config", "differs"));
    assert_eq!(pair.r1.status().missing, Some(Vec::new()));
    pair.r1.write("plugins/messenger.toml", "weight = 200\n");
    pair.r1.done(&Request::Reload { anyway: false });
    for node in pair.nodes() {
        pair.wait("no difference", || shown(node).is_empty());
    }
}

#[test]
fn a_freeze_holds_on_both_and_ends_by_itself() {
    let Some(pair) = ready(&[MESSENGER]) else {
        return;
    };
    let lines = pair.r1.done(&Request::Freeze { for_ms: 2000 });
    assert_eq!(lines[1], "the same on r2");
    pair.wait("r2 to be frozen", || {
        pair.r2.status().orders.frozen_until.is_some()
    });
    assert!(pair.r1.status().orders.frozen_until.is_some());
    for node in pair.nodes() {
        pair.wait("the end", || node.status().orders.frozen_until.is_none());
        assert!(node.has_event("freeze", "over"));
    }
    pair.r2.done(&Request::Freeze { for_ms: 600_000 });
    pair.wait("r1 to be frozen", || {
        pair.r1.status().orders.frozen_until.is_some()
    });
    let lines = pair.r2.done(&Request::Freeze { for_ms: 0 });
    assert!(
        lines[0].starts_with("no longer frozen: ended by "),
        "{lines:?}"
    );
    let lines = pair.r2.done(&Request::Freeze { for_ms: 0 });
    assert_eq!(lines[0], "was not frozen");
    pair.wait("r1 to thaw", || {
        pair.r1.status().orders.frozen_until.is_none()
    });
    let lines = pair.r1.refused(&Request::Freeze { for_ms: 3_600_001 });
    assert_eq!(lines, ["allowed: up to 1 hour, or off"]);
}

#[test]
fn maintenance_and_force_outlive_a_kill() {
    let Some(mut pair) = ready(&[MESSENGER, VRRP, ("counter", "")]) else {
        return;
    };
    begin_at_r1(&pair);
    let changes = |pair: &Pair| pair.r2.row("counter", "changes").parse().unwrap_or(0);
    let heard = |pair: &Pair, wanted: u32| {
        pair.wait(&format!("{wanted} roles on r2"), || changes(pair) == wanted);
    };
    let mut before: u32 = 0;
    pair.wait("the last of the first roles on r2", || {
        before = changes(&pair);
        let log = pair.r2.log();
        let mut roles = log
            .lines()
            .filter(|line| line.contains("counter: office is "));
        let last = format!("office is backup, change {before}");
        roles.next_back().is_some_and(|role| role.ends_with(&last))
    });
    let lines = pair.r2.done(&maintenance(true, Some(3600)));
    assert!(
        lines[0].starts_with("r2 is in maintenance until "),
        "{lines:?}"
    );
    heard(&pair, before + 1);
    let lines = pair.r2.done(&force(Force::Backup));
    assert_eq!(lines[0], "office: forced backup by root");
    pair.r2.kill_all();
    pair.r2.start();
    assert!(pair.r2.has_event("maintenance", "restored"));
    pair.wait("the force", || {
        let groups = pair.r2.status().groups;
        groups.iter().any(|group| group.forced == "backup")
    });
    let kept = pair.r2.status().orders.maintenance.unwrap();
    assert_eq!(kept.by, "root");
    assert!(kept.until.is_some());
    let missing = pair.r2.status().missing.unwrap();
    assert_eq!(missing[0], "it is in maintenance");
    assert_eq!(missing[1], "office is forced backup on it");
    heard(&pair, 1);
    pair.r2.done(&maintenance(false, None));
    heard(&pair, 2);
    pair.r2.done(&force(Force::Reset));
    pair.r2.kill_all();
    pair.r2.start();
    assert_eq!(pair.r2.status().orders.maintenance, None);
    pair.wait("the group", || !pair.r2.status().groups.is_empty());
    assert_eq!(pair.r2.status().groups[0].forced, "no");
}

#[test]
fn maintenance_ends_when_its_time_is_over() {
    let Some(pair) = ready(&[MESSENGER]) else {
        return;
    };
    pair.r2.done(&maintenance(true, Some(2)));
    pair.wait("r1 to hear of it", || {
        let there = pair.r1.peer().status;
        there.is_some_and(|there| there.orders.maintenance.is_some())
    });
    pair.wait("the end", || pair.r2.status().orders.maintenance.is_none());
    assert!(pair.r2.has_event("maintenance", "over"));
}

#[test]
fn nobody_is_asked_to_leave_while_the_other_is_not_ready() {
    let Some(pair) = ready(&[MESSENGER, VRRP]) else {
        return;
    };
    begin_beside_unready(&pair);
    let not_ready = |lines: &[String]| {
        lines[0] == "office: r2 is not ready to take over:"
            && lines[1].starts_with("messenger is not yet in sync")
            && lines.last().unwrap().starts_with("use --anyway")
    };
    for request in [
        maintenance(true, None),
        force(Force::Backup),
        switch(None, false),
    ] {
        let lines = pair.r1.refused(&request);
        assert!(not_ready(&lines), "{lines:?}");
    }
    let lines = pair.r2.refused(&switch(Some("r2"), false));
    assert!(not_ready(&lines), "{lines:?}");
    let lines = pair.r2.refused(&switch(Some("r9"), false));
    assert_eq!(lines, ["there is no node \"r9\": the nodes are r1 and r2"]);
    pair.r2.ask(&peer("in-sync yes"));
    pair.wait("r2 to be ready", || {
        pair.r2.status().missing == Some(Vec::new())
    });
    let lines = pair.r1.done(&switch(Some("r1"), false));
    assert_eq!(lines, ["office: r1 is active already"]);
}

#[test]
fn an_order_given_anyway_moves_a_group_to_a_node_that_is_not_ready() {
    let Some(pair) = ready(&[MESSENGER, VRRP]) else {
        return;
    };
    begin_beside_unready(&pair);
    pair.r1.done(&Request::Maintenance {
        on: true,
        for_s: None,
        anyway: true,
    });
    pair.wait("r2 to be active for the maintenance", || {
        pair.r2.role() == "active"
    });
    pair.r1.done(&maintenance(false, None));
    pair.r1.ask(&peer("in-sync no"));
    pair.r1.done(&Request::Force {
        group: None,
        to: Force::Active,
        anyway: true,
    });
    pair.wait("r1 to be active by force", || pair.r1.role() == "active");
    assert_eq!(pair.r2.role(), "backup");
}

#[test]
fn both_nodes_are_not_forced_active() {
    let Some(pair) = ready(&[VRRP]) else {
        return;
    };
    begin_at_r1(&pair);
    pair.r1.done(&force(Force::Active));
    let anyway = Request::Force {
        group: None,
        to: Force::Active,
        anyway: true,
    };
    pair.wait("r2 to know", || match pair.r2.ask(&anyway) {
        Answer::Error { lines, .. } => {
            lines[0].contains("r1 is forced active, and both nodes cannot be")
        }
        // r1 had only just reported it
        _ => {
            pair.r2.done(&force(Force::Reset));
            false
        }
    });
    let lines = pair.r2.refused(&switch(Some("r2"), true));
    assert!(lines[0].contains("r1 is forced active"), "{lines:?}");
}

#[test]
fn a_switch_from_either_node_moves_the_group() {
    let Some(pair) = ready(&[MESSENGER, VRRP]) else {
        return;
    };
    begin_at_r1(&pair);
    let moved = |node: &Node, request: &Request, sentence: &str| {
        pair.wait(sentence, || match node.ask(request) {
            Answer::Done { lines } => {
                assert!(lines[0].starts_with(sentence), "{lines:?}");
                true
            }
            // the addresses of the last switchover are still being removed or added; the other node learns of that even
            // later, and may know of no active node
            Answer::Error { lines, .. } => {
                let text = lines.join("; ");
                let momentary = [
                    "not left the group yet",
                    "not ready",
                    "at this moment",
                    "there is nothing to",
                ];
                assert!(momentary.iter().any(|it| text.contains(it)), "{text}");
                false
            }
            other => panic!("{other:?}"),
        });
    };
    moved(
        &pair.r1,
        &switch(None, false),
        "office: r2 takes over from r1, ",
    );
    wait_for_active(&pair, &pair.r2);
    moved(
        &pair.r1,
        &switch(Some("r1"), false),
        "office: r1 takes over from r2, ",
    );
    wait_for_active(&pair, &pair.r1);
    let relayed = there("r1", switch(Some("r2"), false));
    moved(&pair.r2, &relayed, "office: r2 takes over from r1, ");
    wait_for_active(&pair, &pair.r2);
}

#[test]
fn the_reason_of_a_role_names_the_check_that_made_it() {
    let Some(pair) = ready(&[MESSENGER, VRRP]) else {
        return;
    };
    begin_at_r1(&pair);
    pair.r2.ask(&peer("check bad"));
    let why = |node: &Node| match node.ask(&Request::Why { group: None }) {
        Answer::Why { groups } => groups[0].sentence.clone(),
        other => panic!("{other:?}"),
    };
    pair.wait("both to say why", || {
        let quality = "quality is 25 (check \"";
        let there = "r2's is 25 (check \"";
        why(&pair.r2).contains(quality) && why(&pair.r1).contains(there)
    });
    pair.r1.done(&force(Force::Active));
    pair.wait("who forced it", || {
        let why = why(&pair.r1);
        why.starts_with("r1 is active because root forced it at ")
            && why.ends_with(". Undo: sparectl force reset")
    });
}
