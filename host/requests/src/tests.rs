use std::collections::BTreeMap;

use spared_control::{Answer, Force};
use spared_group::{Follower, Groups, Ticket};
use spared_message::worker::Claims;
use spared_pair::{Forced, GroupFacts, NodeFacts, Role};

use super::View;
use super::switch::Plan;

/// Groups of r1 with the group "office", which is backup.
fn groups() -> Groups {
    let mut groups = Groups::new(0, String::new);
    let ticket = Ticket {
        plugin: "vrrp".to_owned(),
        number: 1,
        part: 0,
    };
    groups.handle_plugin_up(0, "vrrp", Follower::default());
    groups.handle_checked(ticket, "office", Claims::default(), Ok(()));
    groups.handle_claimed(0, "office", Ok(()));
    groups
}

/// r2 as it reports itself: active in "office".
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

/// r1, asked with r2 heard as active.
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
    let plans = view(&groups, &there).plan_switch(None, Some("r1"), false);
    let Ok([Plan::Move(step)]) = plans.as_deref() else {
        panic!("{plans:?}");
    };
    assert_eq!((step.from.as_str(), step.to.as_str()), ("r2", "r1"));
    let already = view(&groups, &there).plan_switch(None, Some("r2"), false);
    let line = "office: r2 is active already".to_owned();
    assert_eq!(already, Ok(vec![Plan::Already(line)]));
}

#[test]
fn what_the_successor_lacks_refuses_a_switch_unless_it_is_wanted_anyway() {
    let (groups, there) = (groups(), r2());
    let missing = ["conntrack is not in sync".to_owned()];
    let asked = View {
        missing: &missing,
        ..view(&groups, &there)
    };
    let said = refusal(&asked, None, false);
    assert!(
        said.contains("r1 is not ready") && said.contains(&missing[0]),
        "{said}"
    );
    assert!(asked.plan_switch(None, None, true).is_ok());
}

#[test]
fn a_force_refuses_a_switch_against_it_always() {
    let (groups, mut there) = (groups(), r2());
    let asked = View {
        forced: BTreeMap::from([("office", false)]),
        ..view(&groups, &there)
    };
    let said = refusal(&asked, None, true);
    assert!(said.contains("forced backup on r1"), "{said}");
    there.groups[0].forced = Forced::Active;
    let said = refusal(&view(&groups, &there), None, true);
    assert!(said.contains("forced active on r2"), "{said}");
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
    assert_eq!(said, "there is no node \"r3\": r1, r2");
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
        let plans = asked.plan_switch(None, None, false).expect("r1 is ready");
        let [Plan::Move(step)] = &plans[..] else {
            panic!("{plans:?}");
        };
        assert_eq!(asked.goes_back(step).is_some(), is_told, "{quality}");
    }
}

#[test]
fn nobody_is_forced_active_beside_a_forced_node_or_unready() {
    let (groups, mut there) = (groups(), r2());
    let names = ["office".to_owned()];
    let against = |there: &NodeFacts, missing: &[String], anyway| {
        let asked = View {
            missing,
            ..view(&groups, there)
        };
        asked.against_force(&names, Force::Active, anyway).len()
    };
    assert_eq!(against(&there, &[], false), 0);
    assert_eq!(against(&there, &["joining".to_owned()], false), 3);
    assert_eq!(against(&there, &["joining".to_owned()], true), 0);
    there.groups[0].forced = Forced::Active;
    assert_eq!(against(&there, &[], true), 1);
}
