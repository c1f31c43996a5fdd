//! Configurations that a plugin accepts which runs as root.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use spared_contract::{RootsFile, ToPlugin};
use spared_message::load::Load;

use crate::lab::{Host, Lab, load, table};

const EINVAL: i32 = -22;

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped: only root starts a plugin as root");
    }
    root
}

fn text(name: &str) -> String {
    format!("state_dir = \"/{name}\"")
}

/// Worker whose file contains `text("first")`.
fn loaded(lab: &Lab) -> Host {
    let load = Load {
        root: true,
        roots: Some(RootsFile {
            path: lab.dir.join("probe.toml").display().to_string(),
            tables: vec![table(&text("first"))],
            state: Some(lab.state().display().to_string()),
            node: "r1".to_owned(),
            nodes: vec!["r1".to_owned(), "r2".to_owned()],
        }),
        ..load("probe")
    };
    let mut host = Host::spawn(&lab.example("probe"), &load);
    host.loaded().unwrap();
    host
}

#[test]
fn a_plugin_that_runs_as_root_takes_what_roots_file_says_and_nothing_else() {
    if !is_root() {
        return;
    }
    let lab = Lab::new();
    let mut host = loaded(&lab);
    let refused = host.configure(&text("other"), false);
    assert_eq!(refused.status, EINVAL);
    let why = &refused.failures[0].why;
    assert!(why.contains("probe.toml: reload"), "{why}");
    assert_eq!(host.configure(&text("first"), false).status, 0);
    assert_eq!(host.ask(|token| ToPlugin::Start { token }).status, 0);
    // the test's daemon names no folder
    let folder = lab.state().display().to_string();
    assert_eq!(host.query("folder").text("value"), folder);
    let file = lab.dir.join("probe.toml");
    std::fs::write(&file, text("since")).unwrap();
    std::fs::set_permissions(&file, Permissions::from_mode(0o664)).unwrap();
    let of_a_group = host.configure(&text("since"), false);
    assert_eq!(of_a_group.status, EINVAL, "a group may write it");
    std::fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    for (name, status) in [("since", 0), ("first", 0), ("other", EINVAL)] {
        for check in [true, false] {
            let returned = host.configure(&text(name), check);
            assert_eq!(returned.status, status, "{name}, {check}");
        }
    }
}

#[test]
fn what_the_daemon_says_of_roots_file_has_no_effect() {
    if !is_root() {
        return;
    }
    let lab = Lab::new();
    let mut host = loaded(&lab);
    let others = ToPlugin::RootsFile(RootsFile {
        path: "/of/the/daemon".to_owned(),
        tables: vec![table(&text("other"))],
        state: Some("/of/the/daemon".to_owned()),
        node: "r1".to_owned(),
        nodes: vec!["r1".to_owned(), "r2".to_owned()],
    });
    host.send(&others, &[]);
    assert_eq!(host.configure(&text("other"), false).status, EINVAL);
    assert_eq!(host.configure(&text("first"), false).status, 0);
    assert_eq!(host.ask(|token| ToPlugin::Start { token }).status, 0);
    let folder = lab.state().display().to_string();
    assert_eq!(host.query("folder").text("value"), folder);
}

#[test]
fn the_daemon_does_not_say_whose_values_hold_of_a_table_by_node_name() {
    if !is_root() {
        return;
    }
    let lab = Lab::new();
    let mut host = loaded(&lab);
    for check in [true, false] {
        let refused = host.configure_as("r2", &text("first"), check);
        assert_eq!(refused.status, EINVAL);
        let why = &refused.failures[0].why;
        assert!(why.contains("restart spared"), "{why}");
    }
    assert_eq!(host.configure(&text("first"), false).status, 0);
}
