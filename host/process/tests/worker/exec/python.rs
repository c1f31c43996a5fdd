//! The example in Python, as exec runs it: two workers with connected channels.

use std::fs;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;

use spared_contract::channel::{MESSAGE, UP};
use spared_contract::{FromPlugin, Role, ToPlugin};
use spared_message::load::Load;

use super::{EINVAL, Programs, toml};
use crate::lab::{Host, Lab, Returned, eventually, repository};
use crate::life::role;
use crate::messenger::tie;

const EBUSY: i32 = -16;
const ENOSPC: i32 = -28;
const RESTART: i32 = 2;

/// The example, in a folder of programs.
struct Python {
    lab: Lab,
    programs: Programs,
    toml: String,
}

impl Python {
    /// None, with a sentence, where there is nothing to run it.
    fn new() -> Option<Self> {
        if !Path::new("/usr/bin/python3").exists() {
            eprintln!("skipped: there is no /usr/bin/python3 here");
            return None;
        }
        let programs = Programs::new()?;
        let example = repository().join("plugins/exec/examples/sessions.py");
        let text = fs::read_to_string(example).unwrap();
        let toml = toml(&programs.script("sessions.py", &text));
        Some(Self {
            lab: Lab::new(),
            programs,
            toml,
        })
    }

    fn loaded(&self) -> Host {
        let mut host = Host::spawn(&self.lab.product("exec"), &self.programs.load());
        host.loaded().unwrap();
        host
    }

    fn started(&self, node: &str, of: Role, settings: &str) -> Host {
        let mut host = self.loaded();
        let configured = host.configure_as(node, &format!("{}{settings}", self.toml), false);
        assert_eq!(configured.status, 0, "{configured:?}");
        assert_eq!(host.ask(|token| ToPlugin::Start { token }).status, 0);
        assert_eq!(host.ask(role("office", of)).status, 0);
        host
    }
}

/// Last check that a program reported.
fn check(host: &mut Host) -> Option<(u32, String)> {
    host.query("status");
    host.received.iter().rev().find_map(|it| match it {
        FromPlugin::Check { state, why, .. } => Some((*state, why.clone())),
        _ => None,
    })
}

/// True if the program last reported that it is in sync.
fn is_in_sync(host: &mut Host) -> bool {
    host.query("status");
    let mut received = host.received.iter().rev();
    received.find_map(|it| match it {
        FromPlugin::InSync { yes, .. } => Some(*yes),
        _ => None,
    }) == Some(true)
}

fn list(host: &mut Host) -> Returned {
    host.query("ask list")
}

/// Waits until a node has this number of sessions.
fn has(host: &mut Host, count: u64) {
    eventually("the sessions", || {
        host.query("status").number("sessions") == count
    });
}

#[test]
fn a_key_is_refused_in_a_sentence_and_nothing_else_changes() {
    let Some(python) = Python::new() else {
        return;
    };
    let mut host = python.started("r1", Role::Active, "");
    for check in [true, false] {
        let with = |settings: &str| format!("{}[settings]\n{settings}\n", python.toml);
        let refused = host.configure(&with("limit = 0"), check);
        assert_eq!(refused.status, EINVAL);
        assert_eq!(refused.failures[0].key, "settings.limit");
        assert_eq!(refused.failures[0].why, "found 0, allowed 1-100000");
        let refused = host.configure(&with("limt = 7"), check);
        assert_eq!(refused.failures[0].key, "settings.limt");
        assert_eq!(refused.failures[0].why, "unknown key, allowed: limit");
        assert_eq!(host.configure(&with("limit = 7"), check).status, 0);
    }
    let other = format!("{}arguments = [\"-v\"]\n", python.toml);
    assert_eq!(host.configure(&other, false).status, RESTART);
    assert_eq!(host.query("change start 1 anna").status, 0, "it goes on");
    host.send(&ToPlugin::Ping { number: 300 }, &[]);
    host.wait(|it| matches!(it, FromPlugin::Pong { number: 300, .. }).then_some(()));
    assert_eq!(host.ask(|token| ToPlugin::Stop { token }).status, 0);
    assert_eq!(host.ended(), 0);
}

#[test]
fn a_process_for_checks_hears_of_it_from_the_first_message() {
    let Some(python) = Python::new() else {
        return;
    };
    for (settings, failures) in [("", 0), ("[settings]\nlimit = \"many\"\n", 1)] {
        let load = Load {
            check_only: true,
            ..python.programs.load()
        };
        let mut host = Host::spawn(&python.lab.product("exec"), &load);
        host.loaded().unwrap();
        let checked = host.configure(&format!("{}{settings}", python.toml), false);
        assert_eq!(checked.failures.len(), failures, "{checked:?}");
        assert_eq!(host.ended(), 0, "it ends by itself");
    }
}

#[test]
fn its_table_is_at_the_other_node() {
    let Some(python) = Python::new() else {
        return;
    };
    let mut active = python.started("r1", Role::Active, "");
    let mut backup = python.started("r2", Role::Backup, "");
    assert_eq!(active.query("change start 1 anna").status, 0);
    assert_eq!(active.query("change start 2 bert").status, 0);
    tie(&active, &backup);
    has(&mut backup, 2);
    for host in [&mut active, &mut backup] {
        eventually("in sync", || is_in_sync(host));
    }
    assert_eq!(active.query("change stop 1").status, 0);
    assert_eq!(active.query("change start 2 dora").status, 0);
    let drained = active.ask(|token| ToPlugin::Drain {
        token,
        deadline_ns: u64::MAX,
    });
    assert_eq!(drained.status, 0);
    let settled = backup.ask(|token| ToPlugin::Settle {
        token,
        deadline_ns: u64::MAX,
    });
    assert_eq!(settled.status, 0);
    let rows = list(&mut backup);
    assert_eq!(rows.rows.len(), 1, "{rows:?}");
    assert_eq!(rows.text("session.2"), "dora");
    let refused = backup.query("change start 4 emil");
    assert_eq!(refused.status, EBUSY);
    assert_eq!(refused.failures[0].why, "this node is not active");
    // a worker that starts again gets all from its peer
    drop(active);
    let mut active = python.started("r1", Role::Active, "");
    tie(&active, &backup);
    has(&mut active, 1);
    assert_eq!(active.query("change start 3 carl").status, 0);
    has(&mut backup, 2);
    assert_eq!(list(&mut active).text("session.2"), "dora");
}

#[test]
fn a_table_without_room_is_a_check_that_failed() {
    let Some(python) = Python::new() else {
        return;
    };
    let mut host = python.started("r1", Role::Active, "[settings]\nlimit = 1\n");
    let wanted = |state, count| Some((state, format!("{count} of 1 sessions")));
    assert_eq!(check(&mut host), wanted(100, 0));
    assert_eq!(host.query("change start 1 anna").status, 0);
    assert_eq!(check(&mut host), wanted(0, 1));
    let refused = host.query("change start 2 bert");
    assert_eq!(refused.status, ENOSPC);
    assert_eq!(refused.failures[0].why, "no room: settings.limit is 1");
}

#[test]
fn thousands_of_sessions_all_arrive() {
    const COUNT: u64 = 3000;
    let Some(python) = Python::new() else {
        return;
    };
    let settings = "[settings]\nlimit = 5000\n";
    let mut active = python.started("r1", Role::Active, settings);
    let mut backup = python.started("r2", Role::Backup, settings);
    let user = "u".repeat(300);
    for id in 0..COUNT {
        let started = active.query(&format!("change start {id} {user}"));
        assert_eq!(started.status, 0);
        active.received.clear();
    }
    tie(&active, &backup);
    has(&mut backup, COUNT);
    eventually("in sync", || is_in_sync(&mut backup));
}

#[test]
fn a_peer_that_sends_nonsense_is_a_line_in_the_log() {
    let Some(python) = Python::new() else {
        return;
    };
    let mut host = python.started("r1", Role::Active, "");
    let (link, worker) = spared_records::pair().unwrap();
    host.send(&ToPlugin::Channel, &[worker.as_fd()]);
    rustix::io::write(&link, &[UP, 0, 0, 0, 1]).unwrap();
    let deep = [0x81; 60];
    let wrong = [0x83, 0x61, b'1', 0x61, b'u', 0x82, 0x61, b'1', 0x61, b'r'];
    for nonsense in [&b""[..], b"\xff", b"\x83\x01", &deep, &wrong] {
        let record = [&[MESSAGE], nonsense].concat();
        rustix::io::write(&link, &record).unwrap();
        host.log("the peer plugin sent nonsense");
    }
    assert_eq!(host.query("status").number("sessions"), 0, "it goes on");
}

#[test]
fn a_copy_with_another_note_is_another_plugin() {
    let Some(python) = Python::new() else {
        return;
    };
    let lab = &python.lab;
    let (note, copy) = (lab.dir.join("note"), lab.dir.join("acme-mine.so"));
    let text = "contract = 1\nname = acme-mine\nversion = 2\nvendor = acme\nsummary = mine\n\
                flag = files\npart = query\nasks = status\t\tsays how it is\n";
    for text in [
        text.to_owned(),
        format!("{text}{}", "changes = long\tWORDS\tlong\n".repeat(50)),
    ] {
        fs::write(&note, &text).unwrap();
        let made = Command::new("/usr/bin/python3")
            .arg(repository().join("plugins/exec/examples/name.py"))
            .args([&lab.product("exec"), &note, &copy])
            .status();
        assert!(made.unwrap().success());
        let load = Load {
            name: "acme-mine".to_owned(),
            ..python.programs.load()
        };
        let mut host = Host::spawn(&copy, &load);
        let found = host.loaded();
        if text.contains("long") {
            // one word, fifty times
            assert!(found.unwrap_err().contains("said once"));
            continue;
        }
        let found = found.unwrap();
        assert_eq!((found.name.as_str(), found.wire_max), ("acme-mine", 0));
        assert_eq!(found.verbs.len(), 1);
        assert_eq!(host.configure(&python.toml, false).status, 0);
        assert_eq!(host.query("status").number("sessions"), 0);
    }
}
