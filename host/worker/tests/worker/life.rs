//! A plugin from create to destroy: configuration, roles, queries, timers, descriptors.

use std::time::Duration;

use spared_contract::{Role, RoleEvent, ToPlugin};

use crate::lab::{Host, Lab, load};

const EIO: i32 = -5;
const ENOENT: i32 = -2;
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
fn the_smallest_plugin_in_c_hears_of_roles() {
    let lab = Lab::new();
    let path = lab.compile("smallest", "abi/examples/smallest/smallest.c", &[]);
    let mut host = Host::started(&path, &load("smallest"), "");
    assert_eq!(host.ask(role("office", Role::Active)).status, 0);
    host.log("office is active");
    assert_eq!(host.ask(role("office", Role::Backup)).status, 0);
    host.log("office is not active");
    assert_eq!(host.ask(|token| ToPlugin::Stop { token }).status, 0);
    assert_eq!(host.ended(), 0);
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
    let path = lab.compile("unit", "abi/examples/unit/unit.c", &[]);
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
    let path = lab.compile("unit", "abi/examples/unit/unit.c", &[]);
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
fn a_configuration_is_read_key_by_key_and_a_wrong_one_changes_nothing() {
    let lab = Lab::new();
    let toml = "name = \"a\"\npriority = { r1 = 200, r2 = 100 }\n[[group]]\nname = \"office\"\n";
    let mut host = Host::started(&lab.probe(), &load("probe"), toml);
    assert_eq!(host.query("get priority").text("value"), "200");
    assert_eq!(host.query("get group.0.name").text("value"), "office");
    assert_eq!(host.query("get @node").text("value"), "r1");
    assert_eq!(host.query("len @nodes").number("length"), 2);
    assert_eq!(host.query("get nothing").status, ENOENT);
    let wrong = host.configure("name = \"b\"\nwrong = 1", false);
    assert_eq!(wrong.status, EINVAL);
    let failures: Vec<_> = wrong
        .failures
        .iter()
        .map(|f| format!("{}: {}", f.key, f.why))
        .collect();
    assert_eq!(
        failures,
        [
            "wrong: found a value, allowed none",
            "group.0.name: missing"
        ]
    );
    assert_eq!(host.query("get name").text("value"), "a");
    assert_eq!(host.configure("name = \"c\"", true).status, 0);
    assert_eq!(
        host.query("get name").text("value"),
        "a",
        "a check changes nothing"
    );
    assert_eq!(
        host.configure("restart = 1", false).status,
        2,
        "SPARED_RESTART"
    );
}

#[test]
fn a_callback_that_fails_alone_is_logged() {
    let lab = Lab::new();
    let mut host = Host::started(&lab.probe(), &load("probe"), "");
    host.query("timer 888 0");
    let line = host.log("timer failed");
    assert_eq!(line, "timer failed: Input/output error (os error 5)");
}

#[test]
fn other_threads_may_wake_and_log_and_nothing_else() {
    let lab = Lab::new();
    let mut host = Host::started(&lab.probe(), &load("probe"), "");
    assert_eq!(host.query("thread").status, 0);
    host.log("from another thread");
    host.log("called timer() from a thread other than the loop's");
    host.log("was refused");
    host.query("join");
    while host.query("state").number("woken") == 0 {}
}

#[test]
fn a_plugin_that_takes_long_is_told_of() {
    let lab = Lab::new();
    let text = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/plugins/probe.c"
    ));
    let slow = text.unwrap().replace("note(\"start\");", "usleep(120000);");
    let path = lab.compile_text("probe", &slow, &["-lpthread"]);
    let mut host = Host::started(&path, &load("probe"), "");
    let line = host.log("limit is 50 ms");
    assert!(line.starts_with("start took 1"), "{line}");
    assert!(host.worker.exit().is_none(), "slow is not dead");
    std::thread::sleep(Duration::from_millis(1));
}
