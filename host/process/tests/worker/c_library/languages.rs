//! The examples in C++ and Go, with the library for C: two workers with connected channels.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use spared_contract::{FromPlugin, Role, ToPlugin};

use crate::lab::{Host, Lab, eventually, load, repository};
use crate::life::role;
use crate::messenger::tie;

const EINVAL: i32 = -22;
const EBUSY: i32 = -16;

/// True if the compiler is here; else says that the test is skipped.
fn is_there(compiler: &str, version: &str) -> bool {
    let is_there = Command::new(compiler).arg(version).output().is_ok();
    if !is_there {
        eprintln!("skipped: there is no {compiler} here");
    }
    is_there
}

/// The example in Go; None where there is no compiler.
fn in_go(lab: &Lab) -> Option<PathBuf> {
    if !is_there("go", "version") {
        return None;
    }
    let plugin = lab.dir.join("sessions.so");
    let output = Command::new("go")
        .args(["build", "-buildmode=c-shared", "-o"])
        .arg(&plugin)
        .arg(".")
        .current_dir(repository().join("abi/c/examples/go"))
        .env("GOCACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("go"))
        .env("GOFLAGS", "-mod=readonly -buildvcs=false")
        .env("GOPROXY", "off")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    Some(plugin)
}

/// The example in C++; None where there is no compiler.
fn in_cpp(lab: &Lab) -> Option<PathBuf> {
    if !is_there("g++", "--version") {
        return None;
    }
    let root = repository();
    let (object, plugin) = (lab.dir.join("library.o"), lab.dir.join("sessions.so"));
    let flags = ["-fPIC", "-fvisibility=hidden", "-Wall", "-Werror"];
    let run = |command: &mut Command| {
        let output = command.args(flags).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
    };
    let library = root.join("abi/c/spared_plugin.c");
    run(Command::new("cc")
        .args(["-std=c11", "-c", "-o"])
        .args([&object, &library]));
    let source = root.join("abi/c/examples/sessions.cpp");
    run(Command::new("g++")
        .args(["-std=c++20", "-shared", "-I"])
        .arg(root.join("abi/c"))
        .arg("-o")
        .args([&plugin, &source, &object])
        .arg("-lpthread"));
    Some(plugin)
}

fn started(plugin: &Path, node: &str, of: Role) -> Host {
    let mut host = Host::spawn(plugin, &load("sessions"));
    host.loaded().unwrap();
    assert_eq!(host.configure_as(node, "limit = 3", false).status, 0);
    assert_eq!(host.ask(|token| ToPlugin::Start { token }).status, 0);
    assert_eq!(host.ask(role("office", of)).status, 0);
    host
}

#[test]
fn a_table_in_cpp_is_at_the_other_node() {
    let lab = Lab::new();
    if let Some(plugin) = in_cpp(&lab) {
        keeps_a_table(&plugin);
    }
}

#[test]
fn a_table_in_go_is_at_the_other_node() {
    let lab = Lab::new();
    if let Some(plugin) = in_go(&lab) {
        keeps_a_table(&plugin);
        refuses_keys(&plugin);
    }
}

fn keeps_a_table(plugin: &Path) {
    let mut active = started(plugin, "r1", Role::Active);
    let mut backup = started(plugin, "r2", Role::Backup);
    assert_eq!(active.query("start 1 anna").status, 0);
    tie(&active, &backup);
    for host in [&mut active, &mut backup] {
        host.wait(|it| matches!(it, FromPlugin::InSync { yes: true, .. }).then_some(()));
    }
    assert_eq!(active.query("start 2 bert").status, 0);
    assert_eq!(active.query("stop 1").status, 0);
    eventually("session 2 alone", || {
        let argv = Vec::new();
        let rows = backup.ask(|token| ToPlugin::Query { token, argv });
        let is_there = rows.rows.iter().any(|row| row.key == "session.2");
        is_there && rows.number("sessions") == 1 && rows.text("session.2") == "bert"
    });
    let refused = backup.query("start 4 emil");
    assert_eq!(refused.status, EBUSY);
    assert_eq!(refused.failures[0].why, "this node is not active");
    assert_eq!(active.query("start 3 carl").status, 0);
    let why = active.wait(|it| match it {
        FromPlugin::Check { state: 0, why, .. } => Some(why.clone()),
        _ => None,
    });
    assert_eq!(why, "3 of 3 sessions");
    assert_eq!(active.ask(|token| ToPlugin::Stop { token }).status, 0);
    assert_eq!(active.ended(), 0);
}

#[test]
fn a_key_in_cpp_is_refused_in_a_sentence_and_an_exception_is_a_status() {
    let lab = Lab::new();
    if let Some(plugin) = in_cpp(&lab) {
        throws(&mut refuses_keys(&plugin));
    }
}

/// Returns the plugin, which goes on.
fn refuses_keys(plugin: &Path) -> Host {
    let mut host = started(plugin, "r1", Role::Active);
    for (toml, key, why) in [
        ("limit = 0", "limit", "found 0, allowed 1-100000"),
        ("limit = \"many\"", "limit", "found many, allowed 1-100000"),
        ("limt = 7", "limt", "unknown key, allowed: limit"),
    ] {
        let refused = host.configure(toml, true);
        assert_eq!(refused.status, EINVAL);
        assert_eq!(refused.failures[0].key, key);
        assert_eq!(refused.failures[0].why, why);
    }
    host
}

/// Sends a number that is none, over which the plugin throws.
fn throws(host: &mut Host) {
    let (link, worker) = spared_records::pair().unwrap();
    host.send(&ToPlugin::Channel, &[worker.as_fd()]);
    rustix::io::write(&link, &[1, 0, 0, 0, 1]).unwrap();
    rustix::io::write(&link, b"\x03id\nuser\nmany\nr2").unwrap();
    let why = host.wait(|it| match it {
        FromPlugin::Callback { name, why } if name == "message" => why.clone(),
        _ => None,
    });
    assert!(why.contains("stoull"), "{why}");
    assert_eq!(host.query("status").number("sessions"), 0, "it goes on");
}
