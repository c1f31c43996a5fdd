//! Tests roles that plugins did not take.

use spared_contract::Claims;
use spared_group::{Action, Follower, KernelStep, Ticket};

use super::*;

fn claim(groups: &mut Groups, claims: Option<Claims>) {
    let ticket = Ticket {
        plugin: "vrrp".to_owned(),
        number: 1,
        part: 0,
    };
    groups.handle_claim(ticket, "dmz".to_owned(), claims);
    while let Some(action) = groups.poll_action() {
        if let Action::Kernel(group, KernelStep::CheckClaim { ticket, claims }) = action {
            groups.handle_checked(ticket, &group, claims, Ok(()));
        }
    }
}

fn follower(groups: &[&str]) -> Follower {
    Follower {
        follow: Some(groups.iter().map(|&group| group.to_owned()).collect()),
        ..Follower::default()
    }
}

#[test]
fn a_role_is_missing_only_while_the_plugin_follows_the_group() {
    let mut groups = Groups::new(0, String::new);
    let mut pair = Pair::default();
    claim(&mut groups, Some(Claims::default()));
    groups.handle_plugin_up(0, "service", follower(&["dmz"]));
    let (plugin, group) = ("service".to_owned(), "dmz".to_owned());
    pair.handle_role(plugin, group, Err("named is masked".to_owned()));
    let failed = |pair: &Pair, groups: &Groups| pair.failed_roles("service", groups).len();
    assert_eq!(failed(&pair, &groups), 1);
    groups.handle_follower_changed(0, "service", follower(&["office"]));
    assert_eq!(failed(&pair, &groups), 0);
    groups.handle_follower_changed(0, "service", follower(&["dmz"]));
    assert_eq!(failed(&pair, &groups), 1);
    claim(&mut groups, None);
    assert_eq!(failed(&pair, &groups), 0);
}

#[test]
fn what_an_administrator_keeps_from_the_peer_is_no_part_of_its_joining() {
    let mut pair = Pair {
        up_at: Some(Instant::now()),
        ..Pair::default()
    };
    let told = |pair: &mut Pair, lack: Option<&str>, is_ordered| {
        let notice = pair.note_readiness("r2", lack, is_ordered);
        notice.map(|it| it.text)
    };
    assert_eq!(
        told(&mut pair, Some("conntrack is not in sync"), false),
        None
    );
    assert_eq!(told(&mut pair, Some("it is in maintenance"), true), None);
    assert_eq!(told(&mut pair, None, false).as_deref(), Some("r2 is ready"));
    let lack = "r2 is not ready: it is in maintenance";
    assert_eq!(
        told(&mut pair, Some("it is in maintenance"), true).as_deref(),
        Some(lack)
    );
    assert_eq!(told(&mut pair, Some("it is in maintenance"), true), None);
    pair.peer_ready = None;
    assert_eq!(
        told(&mut pair, Some("conntrack is not in sync"), false),
        None
    );
    let joined = told(&mut pair, None, false).unwrap_or_default();
    assert!(
        joined.starts_with("r2 joined, in sync after 0."),
        "{joined}"
    );
}

#[test]
fn facts_are_outdated_by_a_change_from_or_to_active() {
    let outdated = |from, to| {
        let mut pair = Pair::default();
        pair.peer.handle_facts(Instant::now(), NodeFacts::default());
        pair.handle_change("office", (from, to));
        !pair.outdated_groups().is_empty()
    };
    assert!(outdated(Role::Backup, Role::Active));
    assert!(outdated(Role::Active, Role::Backup));
    assert!(outdated(Role::Active, Role::Fault));
    assert!(!outdated(Role::Fault, Role::Backup));
}
