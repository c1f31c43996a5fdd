//! Plugins of other versions: binaries and sources kept in tests/abi, and one built with a later header.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use spared_contract::{Role, RoleEvent, ToPlugin};

use crate::lab::{Host, Lab, load, repository};
use crate::table::calls::{answered, claimed, published};

/// Folders of tests/abi.
fn versions() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(repository().join("tests/abi")).unwrap();
    let folders = entries.map(|entry| entry.unwrap().path());
    let versions: Vec<PathBuf> = folders.filter(|path| path.is_dir()).collect();
    assert!(!versions.is_empty());
    versions
}

fn binary(version: &Path, name: &str) -> Option<PathBuf> {
    let path = version.join(std::env::consts::ARCH).join(name);
    if !path.exists() {
        eprintln!("skipped: there is no {}", path.display());
        return None;
    }
    Some(path)
}

/// Exchanges most kinds of messages between a plugin and its host.
fn drive(probe: &Path) {
    let mut host = Host::started(probe, &load("probe"), "group = [ { name = \"office\" } ]\n");
    assert_eq!(host.query("get group.0.name").text("value"), "office");
    assert_eq!(host.query("len group").number("length"), 1);
    assert_eq!(host.query("get @node").text("value"), "r1");
    assert_eq!(host.query("timer 5 0").status, 0);
    while host.query("state").number("timers") != 1 {}
    let (call, status) = answered(&mut host, "claim office", 0);
    let claims = claimed(call);
    assert_eq!((status, claims.routers[0].vrid), (0, 50));
    assert_eq!(claims.addresses[0].address.to_string(), "192.168.200.1");
    let (call, _) = answered(&mut host, "publish office 2", 0);
    let publication = published(call);
    assert_eq!(publication.role, Role::Active);
    assert_eq!((publication.cause.own, publication.cause.theirs), (73, 100));
    assert_eq!(host.query("report lan1 100 50").status, 0);
    let event = RoleEvent {
        group: "office".to_owned(),
        role: Role::Active,
        before: Some(Role::Backup),
        epoch: 2,
        why: "because".to_owned(),
        deadline_ns: u64::MAX,
        ..RoleEvent::default()
    };
    let role = |token| ToPlugin::Role { token, event };
    assert_eq!(host.ask(role).status, 0);
    let refused = host.configure("wrong = 1", true);
    assert_eq!(refused.failures[0].key, "wrong");
    assert_eq!(host.ask(|token| ToPlugin::Stop { token }).status, 0);
    assert_eq!(host.ended(), 0);
}

#[test]
fn binaries_of_every_version_work() {
    let lab = Lab::new();
    for version in versions() {
        for name in ["smallest.so", "unit.so", "probe.so"] {
            let Some(kept) = binary(&version, name) else {
                return;
            };
            std::fs::copy(kept, lab.dir.join(name)).unwrap();
        }
        drive(&lab.dir.join("probe.so"));
        let mut host = Host::started(&lab.dir.join("smallest.so"), &load("smallest"), "");
        assert_eq!(host.ask(|token| ToPlugin::Stop { token }).status, 0);
        let toml = "start = [\"/bin/true\"]\nstop = [\"/bin/true\"]\n";
        let mut host = Host::started(&lab.dir.join("unit.so"), &load("unit"), toml);
        assert_eq!(host.query("status").text("state"), "stopped");
    }
}

#[test]
fn sources_of_every_version_compile_and_work() {
    for version in versions() {
        let lab = Lab::new();
        for name in ["smallest", "unit", "probe"] {
            let source = version.join(format!("{name}.c"));
            lab.compile(name, source.to_str().unwrap(), &["-lpthread"]);
        }
        drive(&lab.dir.join("probe.so"));
    }
}

/// Header as a later minor version may be: every sized struct is one field longer.
fn later_header() -> String {
    let header = repository().join("abi/include/spared/plugin.h");
    let header = std::fs::read_to_string(header).unwrap();
    let mut later = String::new();
    let (mut is_sized, mut count) = (false, 0);
    for line in header.lines() {
        if line.starts_with("struct ") {
            is_sized = false;
        }
        is_sized |= line.starts_with("\tuint32_t size");
        if line == "};" && is_sized {
            later += "\tvoid *of_a_later_minor[2];\n";
            count += 1;
        }
        let line = line.replace("#define SPARED_MINOR 0u", "#define SPARED_MINOR 1u");
        let _ = writeln!(later, "{line}");
    }
    assert!(count > 20, "{count} structs");
    later
}

#[test]
fn a_plugin_of_a_later_header_works_in_this_host() {
    let lab = Lab::new();
    let folder = lab.dir.join("include/spared");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("plugin.h"), later_header()).unwrap();
    let probe = "host/worker/tests/plugins/probe.c";
    let include = lab.dir.join("include");
    // The macros of a real later header would name the new fields.
    let options = ["-lpthread", "-Wno-missing-field-initializers"];
    let path = lab.compile_with(&include, "probe", probe, &options);
    let mut host = Host::spawn(&path, &load("probe"));
    assert_eq!(host.loaded().unwrap().minor, 1);
    drive(&path);
}
