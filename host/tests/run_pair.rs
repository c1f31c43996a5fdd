//! Two hosts and the link between them: what each shows, asks and tells of the other.

#![allow(clippy::unwrap_used)]

mod pair_lab;

use pair_lab::{NODES, Pair, VRRP};
use spared_control::{Answer, ErrorCode, Force, Request, Value};

const TWIN: &str = "weight = 300\n";

fn there(node: usize, request: Request) -> Request {
    Request::Node {
        node: NODES[node].to_owned(),
        request: Box::new(request),
    }
}

fn twin(words: &str) -> Request {
    Request::Plugin {
        name: "twin".to_owned(),
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
fn each_node_shows_both_columns() {
    let Some(mut pair) = Pair::new() else { return };
    pair.enable("twin", TWIN);
    pair.settle();
    for node in [0, 1] {
        pair.wait("the clocks to be compared", || {
            pair.peer(node).clock_ms.is_some()
        });
        let status = pair.status(node);
        assert_eq!(status.node, NODES[node]);
        assert_eq!(status.links[0].interface, "hot");
        assert_eq!(status.links[0].state, "up");
        let peer = *status.peer.unwrap();
        assert_eq!((peer.node.as_str(), peer.up), (NODES[1 - node], true));
        assert_eq!(peer.heard_on, ["hot"]);
        assert_eq!(peer.differences, []);
        assert_eq!(peer.refused, [""; 0]);
        assert!(peer.last_heard.is_some());
        assert!(peer.clock_ms.unwrap().abs() < 1000, "{:?}", peer.clock_ms);
        let there = peer.status.unwrap();
        assert_eq!(there.node, NODES[1 - node]);
        assert_eq!(there.peer, None);
        assert_eq!(there.quality, 100);
        assert!(there.rows.contains_key("twin"), "{:?}", there.rows);
    }
}

#[test]
fn checks_make_the_quality_that_the_other_node_sees() {
    let Some(mut pair) = Pair::new() else { return };
    pair.enable("twin", TWIN);
    pair.settle();
    pair.ask(0, &twin("check bad"));
    pair.wait("a lower quality", || pair.status(0).quality == 0);
    pair.wait("the other node to see it", || {
        let there = pair.peer(1).status;
        there.is_some_and(|there| there.quality == 0 && there.checks[0].state == 0)
    });
    let missing = pair.status(0).missing.unwrap();
    assert_eq!(missing, ["its quality is 0"]);
    pair.wait("the event", || pair.has_event(0, "quality", "lower"));
    pair.wait("the other's event", || {
        pair.has_event(1, "peer", "not-ready")
    });
    pair.ask(0, &twin("check good"));
    pair.wait("the quality of before", || pair.status(0).quality == 100);
}

#[test]
fn a_plugin_that_is_not_in_sync_makes_its_node_not_ready() {
    let Some(mut pair) = Pair::new() else { return };
    pair.enable("twin", TWIN);
    pair.settle();
    pair.ask(0, &twin("in-sync no"));
    pair.wait("what is missing", || {
        let missing = pair.status(0).missing.unwrap();
        missing
            .iter()
            .any(|it| it.starts_with("twin is not yet in sync"))
    });
    assert_eq!(pair.status(1).missing, Some(Vec::new()));
    pair.ask(0, &twin("in-sync yes"));
    pair.wait("readiness", || pair.status(0).missing == Some(Vec::new()));
}

#[test]
fn questions_reach_the_other_node_and_changes_do_not() {
    let Some(mut pair) = Pair::new() else { return };
    pair.enable("twin", TWIN);
    pair.settle();
    let Answer::Status(status) = pair.ask(0, &there(1, Request::Status)) else {
        panic!("no status");
    };
    assert_eq!((status.node.as_str(), status.peer), ("r2", None));
    let Answer::Plugins { plugins } = pair.ask(0, &there(1, Request::Plugins)) else {
        panic!("no plugins");
    };
    assert_eq!(plugins[0].name, "twin");
    let Answer::Events { events } = pair.ask(0, &there(1, Request::Events { limit: 1000 })) else {
        panic!("no events");
    };
    assert!(events.iter().any(|event| event.text.contains("on r2")));
    let Answer::Rows { rows } = pair.ask(0, &there(1, twin("status"))) else {
        panic!("no rows");
    };
    assert!(rows.values().any(|value| matches!(value, Value::Number(_))));
    let Answer::Status(own) = pair.ask(0, &there(0, Request::Status)) else {
        panic!("no status");
    };
    assert_eq!(own.node, "r1");
    for changing in [
        Request::Reload,
        Request::Freeze { for_ms: 1000 },
        twin("check bad"),
    ] {
        let lines = pair.refused(0, &there(1, changing));
        assert_eq!(lines, ["this changes something: ask it on r2 itself"]);
    }
    let Answer::Error { code, lines } = pair.ask(0, &there(1, there(1, Request::Status))) else {
        panic!("nested");
    };
    assert_eq!(code, ErrorCode::Usage, "{lines:?}");
    let unknown = Request::Node {
        node: "r3".to_owned(),
        request: Box::new(Request::Status),
    };
    assert_eq!(
        pair.refused(0, &unknown),
        ["there is no node \"r3\": r1, r2"]
    );
    pair.kill(1);
    pair.wait("silence", || !pair.peer(0).up);
    assert_eq!(
        pair.refused(0, &there(1, Request::Status)),
        ["r2 is not heard: no link is up"]
    );
    let peer = pair.peer(0);
    assert_eq!((peer.status, peer.heard_on), (None, vec!["hot".to_owned()]));
    assert!(pair.status(0).missing.unwrap()[0].starts_with("no link to r2 is up"));
}

#[test]
fn a_key_that_differs_is_shown_on_both_until_it_is_equal() {
    let Some(mut pair) = Pair::new() else { return };
    pair.enable("twin", TWIN);
    pair.settle();
    pair.write(1, "plugins/twin.toml", "weight = 200\nnote = \"rack 7\"\n");
    pair.done(1, &Request::Reload);
    let shown = |node: usize| {
        let found = pair.peer(node).differences.into_iter();
        found
            .map(|it| (it.file, it.key, it.here, it.there))
            .collect::<Vec<_>>()
    };
    let said = |here: &str, there: &str| {
        let (here, there) = (Some(here.to_owned()), Some(there.to_owned()));
        [("twin.toml".to_owned(), "weight".to_owned(), here, there)]
    };
    pair.wait("the difference on r1", || shown(0) == said("300", "200"));
    pair.wait("the difference on r2", || shown(1) == said("200", "300"));
    assert!(pair.has_event(0, "config", "differs"));
    assert_eq!(pair.status(0).missing, Some(Vec::new()));
    pair.write(0, "plugins/twin.toml", "weight = 200\n");
    pair.done(0, &Request::Reload);
    for node in [0, 1] {
        pair.wait("no difference", || shown(node).is_empty());
    }
}

#[test]
fn a_freeze_holds_on_both_and_ends_by_itself() {
    let Some(mut pair) = Pair::new() else { return };
    pair.enable("twin", TWIN);
    pair.settle();
    let lines = pair.done(0, &Request::Freeze { for_ms: 2000 });
    assert_eq!(lines[1], "the same on r2");
    pair.wait("r2 to be frozen", || pair.status(1).frozen_until.is_some());
    assert!(pair.status(0).frozen_until.is_some());
    for node in [0, 1] {
        pair.wait("the end", || pair.status(node).frozen_until.is_none());
        assert!(pair.has_event(node, "freeze", "over"));
    }
    pair.done(1, &Request::Freeze { for_ms: 600_000 });
    pair.wait("r1 to be frozen", || pair.status(0).frozen_until.is_some());
    pair.done(1, &Request::Freeze { for_ms: 0 });
    pair.wait("r1 to thaw", || pair.status(0).frozen_until.is_none());
    let lines = pair.refused(0, &Request::Freeze { for_ms: 3_600_001 });
    assert_eq!(lines, ["allowed times: at most 1 hour; 0 ends it"]);
}

#[test]
fn maintenance_and_force_outlive_a_kill() {
    let Some(mut pair) = Pair::new() else { return };
    pair.enable("twin", TWIN);
    pair.enable("vrrp", VRRP);
    pair.settle();
    pair.wait_for_active(0);
    let lines = pair.done(1, &maintenance(true, Some(3600)));
    assert!(
        lines[0].starts_with("r2 is in maintenance until "),
        "{lines:?}"
    );
    let lines = pair.done(1, &force(Force::Backup));
    assert_eq!(lines[0], "office: forced backup by root");
    pair.kill(1);
    pair.start(1);
    assert!(pair.has_event(1, "maintenance", "restored"));
    pair.wait("the force", || {
        let groups = pair.status(1).groups;
        groups.iter().any(|group| group.forced == "backup")
    });
    let kept = pair.status(1).maintenance.unwrap();
    assert_eq!(kept.by, "root");
    assert!(kept.until.is_some());
    let missing = pair.status(1).missing.unwrap();
    assert_eq!(missing[0], "it is in maintenance");
    assert_eq!(missing[1], "office is forced backup on it");
    pair.done(1, &maintenance(false, None));
    pair.done(1, &force(Force::Reset));
    pair.kill(1);
    pair.start(1);
    assert_eq!(pair.status(1).maintenance, None);
    pair.wait("the group", || !pair.status(1).groups.is_empty());
    assert_eq!(pair.status(1).groups[0].forced, "no");
}

#[test]
fn maintenance_ends_when_its_time_is_over() {
    let Some(mut pair) = Pair::new() else { return };
    pair.enable("twin", TWIN);
    pair.settle();
    pair.done(1, &maintenance(true, Some(2)));
    pair.wait("r1 to hear of it", || {
        let there = pair.peer(0).status;
        there.is_some_and(|there| there.maintenance.is_some())
    });
    pair.wait("the end", || pair.status(1).maintenance.is_none());
    assert!(pair.has_event(1, "maintenance", "over"));
}

#[test]
fn nobody_is_asked_to_leave_while_the_other_is_not_ready() {
    let Some(mut pair) = Pair::new() else { return };
    pair.enable("twin", TWIN);
    pair.enable("vrrp", VRRP);
    pair.settle();
    pair.wait_for_active(0);
    pair.ask(1, &twin("in-sync no"));
    pair.wait("r1 to know", || {
        let there = pair.peer(0).status;
        there.is_some_and(|there| there.missing != Some(Vec::new()))
    });
    let not_ready = |lines: &[String]| {
        lines[0] == "office: r2 is not ready to take over:"
            && lines[1].starts_with("twin is not yet in sync")
            && lines.last().unwrap().starts_with("--anyway")
    };
    for request in [
        maintenance(true, None),
        force(Force::Backup),
        switch(None, false),
    ] {
        let lines = pair.refused(0, &request);
        assert!(not_ready(&lines), "{lines:?}");
    }
    let lines = pair.refused(1, &switch(Some("r2"), false));
    assert!(not_ready(&lines), "{lines:?}");
    let lines = pair.refused(1, &switch(Some("r9"), false));
    assert_eq!(lines, ["there is no node \"r9\": r1, r2"]);
    pair.ask(1, &twin("in-sync yes"));
    pair.wait("r2 to be ready", || {
        pair.status(1).missing == Some(Vec::new())
    });
    let lines = pair.done(0, &switch(Some("r1"), false));
    assert_eq!(lines, ["office: r1 is active already"]);
}

#[test]
fn both_nodes_are_not_forced_active() {
    let Some(mut pair) = Pair::new() else { return };
    pair.enable("vrrp", VRRP);
    pair.settle();
    pair.wait_for_active(0);
    pair.done(0, &force(Force::Active));
    let anyway = Request::Force {
        group: None,
        to: Force::Active,
        anyway: true,
    };
    pair.wait("r2 to know", || match pair.ask(1, &anyway) {
        Answer::Error { lines, .. } => {
            lines[0].contains("r1 is forced active, and both may not be")
        }
        // r1 had only just said it
        _ => {
            pair.done(1, &force(Force::Reset));
            false
        }
    });
    let lines = pair.refused(1, &switch(Some("r2"), true));
    assert!(lines[0].contains("forced active on r1"), "{lines:?}");
}

#[test]
fn a_switch_from_either_node_moves_the_group() {
    let Some(mut pair) = Pair::new() else { return };
    pair.enable("twin", TWIN);
    pair.enable("vrrp", VRRP);
    pair.settle();
    pair.wait_for_active(0);
    let moved = |node: usize, request: &Request, sentence: &str| {
        pair.wait(sentence, || match pair.ask(node, request) {
            Answer::Done { lines } => {
                assert!(lines[0].starts_with(sentence), "{lines:?}");
                true
            }
            // the addresses of the last time are still on their way out
            Answer::Error { lines, .. } => {
                assert!(lines[0].contains("not left the group yet"), "{lines:?}");
                false
            }
            other => panic!("{other:?}"),
        });
    };
    moved(0, &switch(None, false), "office: r2 takes over from r1, ");
    pair.wait_for_active(1);
    moved(
        0,
        &switch(Some("r1"), false),
        "office: r1 takes over from r2, ",
    );
    pair.wait_for_active(0);
    let relayed = there(0, switch(Some("r2"), false));
    moved(1, &relayed, "office: r2 takes over from r1, ");
    pair.wait_for_active(1);
}

#[test]
fn the_reason_of_a_role_names_the_check_that_made_it() {
    let Some(mut pair) = Pair::new() else { return };
    pair.enable("twin", TWIN);
    pair.enable("vrrp", VRRP);
    pair.settle();
    pair.wait_for_active(0);
    pair.ask(1, &twin("check bad"));
    let why = |node: usize| match pair.ask(node, &Request::Why { group: None }) {
        Answer::Why { groups } => groups[0].sentence.clone(),
        other => panic!("{other:?}"),
    };
    pair.wait("both to say why", || {
        let quality = "quality is 25 (check \"";
        let there = "r2's is 25 (check \"";
        why(1).contains(quality) && why(0).contains(there)
    });
    pair.done(0, &force(Force::Active));
    pair.wait("who forced it", || {
        let why = why(0);
        why.starts_with("r1 is active because root forced it at ")
            && why.ends_with(". Undo: sparectl force reset")
    });
}
