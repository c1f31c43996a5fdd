//! Tests orders of an administrator, in the answer and in the directive.

use spared_contract::Directive;
use spared_verdict::UNARMED;

use super::*;

/// Performs all actions. Returns the latest directive and the events.
fn said(fixture: &mut Fixture) -> (Option<Directive>, Vec<String>) {
    let (mut latest, mut told) = (None, Vec::new());
    while let Some(action) = fixture.groups.poll_action() {
        match action {
            Action::Directive { directive, .. } => latest = Some(directive),
            Action::Tell(notice) => told.push(notice.text),
            action => drop(fixture.perform(action)),
        }
    }
    (latest, told)
}

fn force(fixture: &mut Fixture, forced: Forced) -> Vec<String> {
    let groups = &mut fixture.groups;
    groups.handle_force(None, forced, "root", "noon").unwrap()
}

#[test]
fn the_order_that_counts_is_the_reason() {
    let forced_why = "root forced it at noon";
    let aside_why = "it is in maintenance";
    for (forced, maintenance, why) in [
        (Forced::Active, false, forced_why),
        (Forced::Active, true, aside_why),
        (Forced::Backup, true, forced_why),
        (Forced::No, true, aside_why),
    ] {
        let mut fixture = Fixture::new();
        force(&mut fixture, forced);
        fixture.groups.set_maintenance(0, maintenance);
        let (directive, _) = said(&mut fixture);
        let directive = directive.expect("a directive");
        assert_eq!(directive.why, why, "{forced:?} {maintenance}");
    }
}

#[test]
fn no_order_but_one_lets_a_node_be_active_that_is_not_armed() {
    for forced in [Forced::No, Forced::Active, Forced::Backup] {
        for maintenance in [false, true] {
            let mut fixture = Fixture::new();
            fixture.groups.set_unarmed(true);
            fixture.groups.set_maintenance(0, maintenance);
            force(&mut fixture, forced);
            let (directive, _) = said(&mut fixture);
            let directive = directive.expect("a directive");
            assert!(!directive.eligible && !directive.resign);
            assert_eq!(directive.why, UNARMED, "{forced:?} {maintenance}");
            let status = format!("answer {}", -libc::ECANCELED);
            assert_eq!(fixture.publish(Role::Active), [status]);
            fixture.groups.set_unarmed(false);
            let (directive, _) = said(&mut fixture);
            assert!(directive.is_some_and(|it| it.eligible), "armed");
        }
    }
}

#[test]
fn an_active_node_that_is_found_not_armed_resigns() {
    let mut fixture = Fixture::new();
    fixture.publish(Role::Active);
    fixture.groups.set_unarmed(true);
    let (directive, _) = said(&mut fixture);
    let directive = directive.expect("a directive");
    assert!(directive.resign && !directive.eligible);
}

#[test]
fn who_forces_a_node_active_that_is_not_armed_is_told_what_it_waits_for() {
    let mut fixture = Fixture::new();
    fixture.groups.set_unarmed(true);
    let lines = force(&mut fixture, Forced::Active);
    assert_eq!(lines[0], "office: forced active by root");
    assert!(lines[1].ends_with("is not armed: it is not active until `sparectl arm`"));
    assert_eq!(force(&mut fixture, Forced::Backup).len(), 1);
}

#[test]
fn the_end_of_a_force_that_was_none_is_no_event() {
    let mut fixture = Fixture::new();
    assert_eq!(force(&mut fixture, Forced::No), ["office: was not forced"]);
    assert_eq!(said(&mut fixture), (None, Vec::new()));
    force(&mut fixture, Forced::Backup);
    said(&mut fixture);
    let text = "no longer forced: reset by root";
    assert_eq!(force(&mut fixture, Forced::No), [format!("office: {text}")]);
    assert_eq!(said(&mut fixture).1, [text]);
}

#[test]
fn who_forces_a_node_in_maintenance_active_is_told_that_it_stays_backup() {
    let mut fixture = Fixture::new();
    fixture.groups.set_maintenance(0, true);
    let lines = force(&mut fixture, Forced::Active);
    assert_eq!(lines[0], "office: forced active by root");
    assert!(lines[1].contains("is in maintenance: it stays backup"));
    let (_, told) = said(&mut fixture);
    assert_eq!(told, ["forced active by root"]);
    assert_eq!(force(&mut fixture, Forced::Backup).len(), 1);
}
