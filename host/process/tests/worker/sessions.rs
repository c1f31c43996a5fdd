//! The example in C that replicates a table, in two workers with connected channels.

use std::path::{Path, PathBuf};

use spared_contract::{Role, ToPlugin};

use crate::lab::{Host, Lab, Returned, eventually, load};
use crate::life::role;
use crate::messenger::tie;

fn library(lab: &Lab) -> PathBuf {
    lab.compile("sessions", "abi/c/examples/sessions.c", &[])
}

fn started(plugin: &Path, of: Role) -> Host {
    let mut host = Host::started(plugin, &load("sessions"), "");
    let told = host.ask(role("office", of));
    assert_eq!(told.status, 0);
    host
}

/// Sends `sparectl sessions` without words.
fn list(host: &mut Host) -> Returned {
    let argv = Vec::new();
    host.ask(|token| ToPlugin::Query { token, argv })
}

/// Waits until a node has this number of sessions.
fn has(host: &mut Host, count: u64) {
    eventually("the sessions", || {
        host.query("status").number("sessions") == count
    });
}

#[test]
fn sessions_of_the_active_node_are_at_the_other_one() {
    let lab = Lab::new();
    let plugin = library(&lab);
    let mut active = started(&plugin, Role::Active);
    let mut backup = started(&plugin, Role::Backup);
    assert_eq!(active.query("start 1 anna").status, 0);
    assert_eq!(active.query("start 2 bert").status, 0);
    tie(&active, &backup);
    has(&mut backup, 2);
    assert_eq!(active.query("stop 1").status, 0);
    assert_eq!(active.query("start 3 carl").status, 0);
    assert_eq!(active.query("start 2 dora").status, 0);
    eventually("the changes", || list(&mut backup).number("changes") == 5);
    let rows = list(&mut backup);
    assert_eq!(rows.number("sessions"), 2);
    assert_eq!(rows.text("session.2"), "dora");
    assert_eq!(rows.text("session.3"), "carl");
    assert!(backup.query("start 4 emil").status < 0, "a backup");
}

#[test]
fn an_active_worker_that_starts_anew_gets_its_sessions_from_the_peer() {
    let lab = Lab::new();
    let plugin = library(&lab);
    let mut first = started(&plugin, Role::Active);
    let mut backup = started(&plugin, Role::Backup);
    assert_eq!(first.query("start 1 anna").status, 0);
    assert_eq!(first.query("start 2 bert").status, 0);
    tie(&first, &backup);
    has(&mut backup, 2);
    drop(first);
    let mut second = started(&plugin, Role::Active);
    // before the peer is connected
    assert_eq!(second.query("start 3 carl").status, 0);
    tie(&second, &backup);
    has(&mut second, 3);
    has(&mut backup, 3);
}
