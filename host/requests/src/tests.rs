mod refusals;

use std::collections::BTreeMap;

use spared_contract::{Cause, Claims, Publication};
use spared_group::{Follower, Groups, Ticket};
use spared_message::control::{Answer, ErrorCode, Force, Request};
use spared_verdict::{Forced, GroupFacts, Maintenance, NodeFacts, Role};

use super::switch::Planned;
use super::{Caller, ForcePlan, Relay, View};

/// Makes the groups of r1: the group "office", which is backup.
fn groups() -> Groups {
    let mut groups = Groups::new(0, String::new);
    groups.handle_plugin_up(0, "vrrp", Follower::default());
    groups.handle_checked(ticket(), "office", Claims::default(), Ok(()));
    groups.handle_claimed(0, "office", Ok(()));
    groups.set_missing(Vec::new());
    groups
}

fn ticket() -> Ticket {
    Ticket {
        plugin: "vrrp".to_owned(),
        number: 1,
        part: 0,
    }
}

/// Makes a group active on r1.
fn become_active(groups: &mut Groups, name: &str) {
    let publication = Publication {
        role: spared_contract::Role::Active,
        reopens: false,
        cause: Cause::default(),
        sent_ns: 0,
    };
    groups.handle_lease(0, ticket(), name, publication, Ok(()));
}

/// Returns the facts that r2 reports: it is active in "office".
fn r2() -> NodeFacts {
    NodeFacts {
        quality: 100,
        groups: vec![GroupFacts {
            name: "office".to_owned(),
            role: Role::Active,
            ..GroupFacts::default()
        }],
        ..NodeFacts::default()
    }
}

/// Returns the view of r1, which hears that r2 is active.
fn view<'v>(groups: &'v Groups, there: &'v NodeFacts) -> View<'v> {
    View {
        own: "r1",
        peer: Some("r2"),
        is_peer_up: true,
        there: Some(there),
        missing: &[],
        quality: 100,
        groups,
        forced: BTreeMap::new(),
    }
}

fn refusal(view: &View<'_>, to: Option<&str>, anyway: bool) -> String {
    match view.plan_switch(None, to, anyway) {
        Err(Answer::Error { lines, .. }) => lines.join("\n"),
        planned => panic!("{planned:?}"),
    }
}

#[test]
fn a_group_that_is_active_there_moves_here() {
    let (groups, there) = (groups(), r2());
    let planned = view(&groups, &there).plan_switch(None, Some("r1"), false);
    let moves = planned.map(|it| it.moves);
    let Ok([step]) = moves.as_deref() else {
        panic!("{moves:?}");
    };
    assert_eq!((step.from.as_str(), step.to.as_str()), ("r2", "r1"));
    let already = view(&groups, &there).plan_switch(None, Some("r2"), false);
    let lines = vec!["office: r2 is active already".to_owned()];
    let planned = Planned {
        lines,
        ..Planned::default()
    };
    assert_eq!(already, Ok(planned));
}

#[test]
fn what_the_successor_lacks_refuses_a_switch_unless_it_is_wanted_anyway() {
    let (mut groups, there) = (groups(), r2());
    let missing = vec!["conntrack is not in sync".to_owned()];
    groups.set_missing(missing.clone());
    let asked = view(&groups, &there);
    let said = refusal(&asked, None, false);
    assert!(
        said.contains("r1 is not ready") && said.contains(&missing[0]),
        "{said}"
    );
    assert!(asked.plan_switch(None, None, true).is_ok());
}

#[test]
fn a_daemon_ends_to_be_started_again_only_as_backup_and_by_a_service_manager() {
    let (mut groups, there) = (groups(), r2());
    let said = |groups: &Groups, is_managed| match view(groups, &there).plan_restart(is_managed) {
        Ok(lines) => lines.join("; "),
        Err(Answer::Error { code, lines }) => format!("{code:?}: {}", lines.join("; ")),
        Err(answer) => panic!("{answer:?}"),
    };
    assert_eq!(said(&groups, true), "r1: spared ends, to be started again");
    let alone = said(&groups, false);
    assert!(
        alone.starts_with("Refused: r1: nothing would start spared again"),
        "{alone}"
    );
    become_active(&mut groups, "office");
    let active = said(&groups, true);
    assert_eq!(
        active,
        "Refused: office: r1 is active: switch over first (`sparectl switch`)"
    );
}

#[test]
fn a_force_refuses_a_switch_against_it_always() {
    let (mut groups, mut there) = (groups(), r2());
    let force = |groups: &mut Groups, forced| {
        let forced = groups.handle_force(None, forced, "root", "noon");
        forced.expect("there is a group");
    };
    force(&mut groups, Forced::Backup);
    let said = refusal(&view(&groups, &there), None, true);
    let why = "is forced backup: run `sparectl force reset` there first";
    assert_eq!(said, format!("office: r1 {why}"));
    force(&mut groups, Forced::No);
    there.groups[0].forced = Forced::Active;
    let said = refusal(&view(&groups, &there), None, true);
    let why = "is forced active: run `sparectl force reset` there first";
    assert_eq!(said, format!("office: r2 {why}"));
}

#[test]
fn maintenance_refuses_a_switch_to_its_node_always() {
    let (mut groups, mut there) = (groups(), r2());
    let why = |node: &str| {
        format!("office: {node} is in maintenance: run `sparectl maintenance off` there first")
    };
    groups.set_maintenance(0, true);
    for anyway in [false, true] {
        assert_eq!(refusal(&view(&groups, &there), None, anyway), why("r1"));
    }
    // the node that leaves may be in maintenance
    become_active(&mut groups, "office");
    there.groups[0].role = Role::Backup;
    assert!(view(&groups, &there).plan_switch(None, None, true).is_ok());
    there.orders.maintenance = Some(Maintenance::default());
    for anyway in [false, true] {
        assert_eq!(refusal(&view(&groups, &there), None, anyway), why("r2"));
    }
}

#[test]
fn who_cannot_be_asked_or_is_no_node_is_named() {
    let (groups, there) = (groups(), r2());
    let alone = View {
        peer: None,
        ..view(&groups, &there)
    };
    assert!(refusal(&alone, None, false).contains("no [[link]]"));
    let deaf = View {
        is_peer_up: false,
        ..view(&groups, &there)
    };
    assert!(refusal(&deaf, None, false).contains("r2 is not heard"));
    let said = refusal(&view(&groups, &there), Some("r3"), false);
    assert_eq!(said, "there is no node \"r3\": the nodes are r1 and r2");
}

#[test]
fn a_group_that_nobody_has_cannot_be_switched_over() {
    let (groups, mut there) = (groups(), r2());
    there.groups[0].role = Role::Backup;
    let said = refusal(&view(&groups, &there), None, true);
    assert!(said.contains("neither r1 nor r2 is active"), "{said}");
}

#[test]
fn a_switch_to_the_worse_node_says_that_it_goes_back() {
    let (groups, there) = (groups(), r2());
    for (quality, is_told) in [(95, true), (96, false)] {
        let asked = View {
            quality,
            ..view(&groups, &there)
        };
        let planned = asked.plan_switch(None, None, false).expect("r1 is ready");
        assert_eq!(planned.moves.len(), 1);
        assert_eq!(!planned.hints.is_empty(), is_told, "{quality}");
    }
}

#[test]
fn nobody_is_forced_active_beside_a_forced_node_or_unready() {
    let (groups, mut there) = (groups(), r2());
    let names = ["office".to_owned()];
    let objections = |there: &NodeFacts, missing: &[String], anyway| {
        let asked = View {
            missing,
            ..view(&groups, there)
        };
        asked
            .objections_to_force(&names, Force::Active, anyway)
            .len()
    };
    assert_eq!(objections(&there, &[], false), 0);
    assert_eq!(objections(&there, &["joining".to_owned()], false), 3);
    assert_eq!(objections(&there, &["joining".to_owned()], true), 0);
    there.groups[0].forced = Forced::Active;
    assert_eq!(objections(&there, &[], true), 1);
}

#[test]
fn a_force_of_a_group_that_is_gone_can_only_be_forgotten() {
    let (groups, there) = (groups(), r2());
    let asked = View {
        forced: BTreeMap::from([("guests", true)]),
        ..view(&groups, &there)
    };
    let forget = ForcePlan::Forget("guests".to_owned());
    let plan = |group, to| asked.plan_force(Some(group), to, false);
    assert_eq!(plan("guests", Force::Reset), Ok(forget));
    for (group, to) in [("guests", Force::Active), ("nobody", Force::Reset)] {
        let why = format!("there is no group \"{group}\"");
        let refused = spared_message::control::refusal(ErrorCode::Usage, why);
        assert_eq!(plan(group, to), Err(refused));
    }
    let office = ForcePlan::Groups(vec!["office".to_owned()]);
    assert_eq!(plan("office", Force::Active), Ok(office));
}

#[test]
fn a_node_leaves_for_maintenance_what_it_is_active_for_if_the_peer_is_ready() {
    let (mut groups, mut there) = (groups(), r2());
    let lines = view(&groups, &there).plan_maintenance(false);
    assert_eq!(lines, Ok(Vec::new()), "r2 is active");
    become_active(&mut groups, "office");
    there.groups[0].role = Role::Backup;
    let line = "office: r1 switches it over to r2".to_owned();
    let lines = view(&groups, &there).plan_maintenance(false);
    assert_eq!(lines, Ok(vec![line.clone()]));
    there.missing = vec!["joining".to_owned()];
    let refused = view(&groups, &there).plan_maintenance(false);
    let Err(Answer::Error { code, lines }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!((code, lines.len()), (ErrorCode::Refused, 3));
    let lines = view(&groups, &there).plan_maintenance(true);
    assert_eq!(lines, Ok(vec![line]));
}

#[test]
fn a_request_for_a_node_is_answered_there_if_it_may_pass() {
    let (groups, there) = (groups(), r2());
    let view = view(&groups, &there);
    let refused = |node: &str, request: &Request| match view.relay(node, request) {
        Relay::Refused(Answer::Error { lines, .. }) => lines.join("\n"),
        other => panic!("{other:?}"),
    };
    assert_eq!(view.relay("r1", &Request::Status), Relay::Here);
    // a request that may not cross the link may name this node itself
    let reload = Request::Reload { anyway: false };
    assert_eq!(view.relay("r1", &reload), Relay::Here);
    let why = "not a read-only command: run it on r2 itself";
    assert_eq!(refused("r2", &reload), why);
    let why = "there is no node \"r3\": the nodes are r1 and r2";
    assert_eq!(refused("r3", &reload), why);
    let nested = Request::Node {
        node: "r2".to_owned(),
        request: Box::new(Request::Status),
    };
    assert_eq!(refused("r1", &nested), "a request can name only one node");
    let switch = Request::Switch {
        group: None,
        to: None,
        anyway: false,
    };
    let times = [&Request::Status, &switch].map(|request| match view.relay("r2", request) {
        Relay::ToPeer(time) => time,
        other => panic!("{other:?}"),
    });
    assert!(times[0] < times[1], "a switchover takes longer");
}

#[test]
fn the_peer_may_ask_what_passes_and_nothing_else() {
    let (groups, there) = (groups(), r2());
    let view = view(&groups, &there);
    let asked = |request: &Request| {
        let text = serde_json::to_string(request).expect("plain data");
        view.request_of_peer(&text)
    };
    assert_eq!(asked(&Request::OwnStatus), Ok(Request::OwnStatus));
    let freeze = Request::Freeze { for_ms: 1 };
    assert!(!Caller::may_cross_link(&freeze));
    let why = "not a read-only command: run it on r1 itself";
    let refused = spared_message::control::refusal(ErrorCode::Permission, why);
    assert_eq!(asked(&freeze), Err(refused));
    let Err(Answer::Error { code, .. }) = view.request_of_peer("{}") else {
        panic!("it is no request");
    };
    assert_eq!(code, ErrorCode::Usage);
}

#[test]
fn who_arms_is_told_of_both_nodes() {
    let (groups, there) = (groups(), r2());
    let here = || vec!["r1 is armed, by root".to_owned()];
    let done = |lines: &[&str]| Answer::Done {
        lines: lines.iter().map(|it| (*it).to_owned()).collect(),
    };
    let heard = view(&groups, &there);
    assert_eq!(
        heard.armed(here(), Some(done(&["r2 was armed already"]))),
        done(&["r1 is armed, by root", "r2 was armed already"])
    );
    let refused =
        spared_message::control::refusal(ErrorCode::Failed, "r2 is still not armed: a full disk");
    let lines = ["r1 is armed, by root", "r2 is still not armed: a full disk"];
    assert_eq!(
        heard.armed(here(), Some(refused)),
        Answer::Error {
            code: ErrorCode::Failed,
            lines: lines.map(str::to_owned).to_vec(),
        }
    );
    let silent = "r2 does not answer: run `sparectl arm` there as well";
    assert_eq!(heard.armed(here(), None), done(&[&here()[0], silent]));
    let deaf = View {
        is_peer_up: false,
        ..view(&groups, &there)
    };
    let unheard = "r2 is not heard: no link is up: run `sparectl arm` there as well";
    assert_eq!(deaf.armed(here(), None), done(&[&here()[0], unheard]));
    let alone = View {
        peer: None,
        ..view(&groups, &there)
    };
    assert_eq!(alone.armed(here(), None), done(&["r1 is armed, by root"]));
}

#[test]
fn one_command_confirms_what_waits_on_either_node() {
    let (groups, there) = (groups(), r2());
    let view = view(&groups, &there);
    let done = |lines: &[&str]| Answer::Done {
        lines: lines.iter().map(|it| (*it).to_owned()).collect(),
    };
    let refused = |line: &str| spared_message::control::refusal(ErrorCode::Refused, line);
    let (here, nothing) = (done(&["r1: confirmed"]), refused("nothing waits on r1"));
    let peer = done(&["r2: confirmed"]);
    let both = done(&["r1: confirmed", "r2: confirmed"]);
    assert_eq!(view.confirmed(here.clone(), Some(peer.clone())), both);
    assert_eq!(view.confirmed(nothing.clone(), Some(peer.clone())), peer);
    let idle = Some(refused("nothing waits on r2"));
    assert_eq!(view.confirmed(here.clone(), idle.clone()), here);
    assert_eq!(view.confirmed(nothing.clone(), idle), nothing);
    let error = |code, lines: [&str; 2]| Answer::Error {
        code,
        lines: lines.map(str::to_owned).to_vec(),
    };
    let deaf = View {
        is_peer_up: false,
        ..self::view(&groups, &there)
    };
    let todo = "a reload that waits there has to be confirmed there";
    for (view, why) in [(&view, "does not answer"), (&deaf, "is not heard")] {
        let unasked = format!("r2 {why}: {todo}");
        assert_eq!(
            view.confirmed(here.clone(), None),
            done(&["r1: confirmed", &unasked])
        );
        assert_eq!(
            view.confirmed(nothing.clone(), None),
            error(ErrorCode::Refused, ["nothing waits on r1", &unasked])
        );
    }
    let failure = "r2: a full disk";
    let failed = || Some(spared_message::control::refusal(ErrorCode::Failed, failure));
    for (answer, line) in [(here, "r1: confirmed"), (nothing, "nothing waits on r1")] {
        assert_eq!(
            view.confirmed(answer, failed()),
            error(ErrorCode::Failed, [line, failure])
        );
    }
    let failed = spared_message::control::refusal(ErrorCode::Failed, "r1: a full disk");
    assert_eq!(
        view.confirmed(failed, Some(peer)),
        error(ErrorCode::Failed, ["r1: a full disk", "r2: confirmed"])
    );
}

#[test]
fn a_silent_peer_is_told_from_one_that_is_not_heard() {
    let (groups, there) = (groups(), r2());
    let deaf = View {
        is_peer_up: false,
        ..view(&groups, &there)
    };
    for (view, code) in [
        (view(&groups, &there), ErrorCode::Failed),
        (deaf, ErrorCode::Refused),
    ] {
        let Answer::Error { code: found, .. } = view.no_answer() else {
            panic!("it has no answer");
        };
        assert_eq!(found, code);
    }
}
