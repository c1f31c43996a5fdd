//! Services that keep their state while the node is in maintenance.

use super::*;

fn keeping() -> Lab {
    Lab::new(&format!("{THREE}[maintenance]\nkeep = [\"squid\"]\n"))
}

#[test]
fn maintenance_keeps_what_is_to_be_kept_until_its_end() {
    let mut lab = keeping().rested();
    lab.active();
    lab.pass(S);
    lab.report_role("office", Role::Active, true);
    lab.report_role("office", Role::Backup, true);
    lab.pass(S);
    assert_eq!(lab.runs(), ["squid"]);
    lab.sim("squid").running = false;
    lab.pass(10 * S);
    assert_eq!(lab.runs(), ["squid"], "it is asserted as on an active node");
    let ticket = lab.report_role("office", Role::Backup, false);
    lab.pass(S);
    assert!(lab.runs().is_empty());
    assert!(lab.is_done(ticket));
}

#[test]
fn maintenance_starts_nothing_on_a_backup() {
    let mut lab = keeping().rested();
    lab.report_role("office", Role::Backup, true);
    lab.pass(10 * S);
    assert!(lab.begun.is_empty());
    lab.remembered.clear();
    lab.restart(&[]);
    lab.report_role("office", Role::Backup, true);
    lab.sim("squid").running = true;
    lab.pass(20 * S);
    assert_eq!(lab.runs(), ["squid"], "nobody knows what it was before");
    let why = "kept as it is: this node is in maintenance";
    assert_eq!(lab.row("squid.wish"), text(&format!("leave: {why}")));
    assert_eq!(lab.checks["service.squid"], (UNKNOWN, why.to_owned()));
    assert!(lab.events.is_empty(), "{:?}", lab.events);
    lab.report_role("office", Role::Backup, false);
    lab.pass(S);
    assert!(lab.runs().is_empty());
}

#[test]
fn what_maintenance_keeps_is_kept_by_the_next_worker() {
    let mut lab = keeping().rested();
    lab.active();
    lab.pass(S);
    lab.report_role("office", Role::Active, true);
    lab.report_role("office", Role::Backup, true);
    lab.pass(S);
    lab.events.clear();
    for _ in 0..2 {
        lab.restart(&[]);
        lab.report_role("office", Role::Backup, true);
        lab.sim("squid").running = false;
        lab.pass(20 * S);
        assert_eq!(lab.runs(), ["squid"], "it is asserted as on an active node");
    }
    let mut events = lab.events.iter();
    assert!(
        !events.any(|it| it.contains("not known")),
        "{:?}",
        lab.events
    );
    lab.report_role("office", Role::Backup, false);
    lab.pass(S);
    assert!(lab.runs().is_empty());
    lab.restart(&[("office", Role::Backup)]);
    lab.pass(S);
    lab.report_role("office", Role::Backup, true);
    lab.sim("squid").running = true;
    lab.pass(20 * S);
    assert!(lab.runs().is_empty(), "that maintenance has ended");
}
