//! A plugin from create to destroy: configuration, roles, queries, timers, descriptors.

use std::time::Duration;

use spared_contract::{Role, RoleEvent, ToPlugin};

use crate::lab::{Host, Lab, load};

const EIO: i32 = -5;
const EINVAL: i32 = -22;

pub fn role(group: &str, role: Role) -> impl FnOnce(u64) -> ToPlugin {
    let event = RoleEvent {
        group: group.to_owned(),
        role,
        epoch: 1,
        why: "because".to_owned(),
        deadline_ns: u64::MAX,
        ..RoleEvent::default()
    };
    move |token| ToPlugin::Role { token, event }
}

#[test]
fn the_plugin_in_rust_counts_roles_and_answers() {
    let lab = Lab::new();
    let mut host = Host::started(&lab.example("counter"), &load("counter"), "");
    host.ask(role("office", Role::Active));
    host.ask(role("office", Role::Backup));
    host.log("office is backup, change 2");
    assert_eq!(host.query("status").number("changes"), 2);
    let refused = host.configure("colour = \"red\"", true);
    assert_eq!(refused.status, EINVAL);
    assert_eq!(refused.failures[0].key, "colour");
    assert_eq!(refused.failures[0].why, "unknown key, allowed: none here");
}

#[test]
fn the_useful_plugin_in_c_runs_commands_without_waiting() {
    let lab = Lab::new();
    let path = lab.compile("unit", "abi/c/examples/unit.c", &[]);
    let (state, mut load) = (lab.state(), load("unit"));
    load.state_dir = Some(state.display().to_string());
    // The start takes a while: its role stays pending, and a query is answered meanwhile.
    let toml = format!(
        "start = [\"/bin/sh\", \"-c\", \"while ! test -e {0}/go; do sleep 0.01; done; echo > {0}/up\"]\n\
         stop = [\"/bin/rm\", \"{0}/up\"]\n",
        state.display()
    );
    let mut host = Host::started(&path, &load, &toml);
    let start = host.tell(role("office", Role::Active));
    assert_eq!(host.query("status").text("state"), "changing");
    std::fs::write(state.join("go"), "").unwrap();
    assert_eq!(host.returned(start).status, 0);
    assert!(state.join("up").exists());
    assert_eq!(host.query("status").text("state"), "started");
    assert_eq!(host.ask(role("office", Role::Backup)).status, 0);
    assert!(!state.join("up").exists());
    // Stopping again fails, and the log has the reason.
    assert_eq!(host.ask(role("office", Role::Backup)).status, EIO);
    host.log("stop ended with status 1");
}

#[test]
fn the_useful_plugin_in_c_refuses_what_it_cannot_run() {
    let lab = Lab::new();
    let path = lab.compile("unit", "abi/c/examples/unit.c", &[]);
    let mut host = Host::spawn(&path, &load("unit"));
    host.loaded().unwrap();
    for (toml, key, why) in [
        ("", "unit", "missing: a unit, or both start and stop"),
        (
            "start = \"x\"",
            "start",
            "allowed: an array of 1 to 16 texts, a program and its arguments",
        ),
        ("start = [[\"x\"]]", "start.0", "allowed: a text"),
    ] {
        let refused = host.configure(toml, false);
        assert_eq!(refused.status, EINVAL, "{toml}");
        let found: Vec<_> = refused
            .failures
            .iter()
            .map(|f| (f.key.as_str(), f.why.as_str()))
            .collect();
        assert_eq!(found, [(key, why)], "{toml}");
    }
    assert_eq!(host.configure("unit = \"squid\"", false).status, 0);
}

#[test]
fn a_plugin_that_takes_long_is_told_of() {
    let lab = Lab::new();
    let text = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/plugins/probe.c"
    ));
    let slow = text.unwrap().replace("note(\"start\");", "usleep(120000);");
    let source = lab.dir.join("slow.c");
    std::fs::write(&source, slow).unwrap();
    let path = lab.compile("probe", source.to_str().unwrap(), &[]);
    let mut host = Host::started(&path, &load("probe"), "");
    let line = host.log("limit is 50 ms");
    assert!(line.starts_with("start took 1"), "{line}");
    assert!(host.worker.exit().is_none(), "slow is not dead");
    std::thread::sleep(Duration::from_millis(1));
}
