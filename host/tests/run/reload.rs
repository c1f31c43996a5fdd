//! Reloads: all or nothing, only differences, and every fault at once.

use rustix::process::Signal;
use spared_message::control::{Answer, ErrorCode, Request};
use spared_tests::lab::signal_to;

use crate::lab::{Alone, VRRP};

fn running(vrrp: &str) -> Option<Alone> {
    let mut lab = Alone::new()?;
    lab.enable("vrrp", vrrp);
    lab.start();
    lab.wait_until_active();
    Some(lab)
}

fn reload(lab: &Alone) -> Vec<String> {
    lab.done(&Request::Reload { anyway: false })
}

fn refused(lab: &Alone) -> Vec<String> {
    match lab.ask(&Request::Reload { anyway: false }) {
        Answer::Error {
            code: ErrorCode::Config,
            lines,
        } => lines,
        other => panic!("{other:?}\n{}", lab.log()),
    }
}

#[test]
fn nothing_changed_is_said() {
    let Some(lab) = running(VRRP) else { return };
    assert_eq!(reload(&lab)[0], "nothing changed");
    assert_eq!(lab.plugin("vrrp").restarts, 0);
}

#[test]
fn a_new_address_comes_without_any_change_of_role() {
    let Some(lab) = running(VRRP) else { return };
    let pid = lab.plugin("vrrp").pid;
    lab.enable(
        "vrrp",
        &VRRP.replace("\"10.9.0.1/24\"", "\"10.9.0.1/24\", \"10.9.0.4/24\""),
    );
    assert_eq!(reload(&lab)[0], "vrrp: new configuration in force");
    lab.wait("the address", || {
        lab.group()
            .addresses
            .iter()
            .any(|address| address.address == "10.9.0.4/24" && address.present)
    });
    lab.is_undisturbed();
    assert_eq!(lab.plugin("vrrp").pid, pid);
}

#[test]
fn wrong_files_change_nothing_and_every_fault_is_told() {
    let Some(lab) = running(VRRP) else { return };
    let digest = lab.status().run.config;
    lab.enable(
        "vrrp",
        &VRRP
            .replace("vrid = 50", "vrid = 300")
            .replace("100ms", "1y"),
    );
    lab.enable("counter", "after = 5\n");
    let lines = refused(&lab);
    assert_eq!(lines.len(), 3, "{lines:#?}");
    for expected in [
        "counter.toml:1: after: found 5",
        "vrrp.toml:6: group \"office\": advert_interval",
        "vrrp.toml:9: group \"office\" interface \"lan\": vrid: found 300, allowed 1-255",
    ] {
        assert!(
            lines.iter().any(|line| line.starts_with(expected)),
            "{expected}: {lines:#?}"
        );
    }
    let status = lab.status();
    assert_eq!(status.run.config, digest);
    assert!(!status.plugins.iter().any(|plugin| plugin.name == "counter"));
    assert_eq!(lab.group().transitions, 1);
}

#[test]
fn a_wrong_host_file_changes_nothing() {
    let Some(lab) = running(VRRP) else { return };
    lab.write("spared.toml", "node.name = \"r1\"\nsetle_ms = 1\n");
    assert_eq!(
        refused(&lab),
        ["spared.toml:2: setle_ms: unknown key: did you mean \"settle_ms\"?"]
    );
    assert!(lab.pings());
}

#[test]
fn plugins_come_and_go_with_their_files() {
    let Some(lab) = running(VRRP) else { return };
    lab.enable("counter", "");
    assert_eq!(reload(&lab)[0], "counter: started");
    lab.wait_for_plugin("counter", "running");
    lab.wait_for_log("counter: office is active");
    lab.enable("counter", "enabled = false");
    assert_eq!(reload(&lab)[0], "counter: stopped");
    lab.wait_for_plugin("counter", "disabled");
    std::fs::remove_file(lab.path("plugins/counter.toml")).unwrap();
    reload(&lab);
    assert!(
        !lab.status()
            .plugins
            .iter()
            .any(|plugin| plugin.name == "counter")
    );
    assert_eq!(lab.group().transitions, 1);
    for (name, wanted) in [
        (
            "counter",
            "counter is not enabled: there is no plugins/counter.toml",
        ),
        ("conter", "there is no plugin \"conter\""),
    ] {
        let request = Request::Plugin {
            name: name.to_owned(),
            argv: Vec::new(),
        };
        match lab.ask(&request) {
            Answer::Error { lines, .. } => assert_eq!(lines, [wanted]),
            other => panic!("{other:?}"),
        }
    }
}

/// Asserts that a reload which would remove the group's address is refused, and changes nothing.
fn keeps_its_address(lab: &Alone) {
    let digest = lab.status().run.config;
    let Answer::Error { code, lines } = lab.ask(&Request::Reload { anyway: false }) else {
        panic!("{}", lab.log());
    };
    assert_eq!(code, ErrorCode::Refused);
    assert_eq!(
        lines,
        [
            "office: r1 is active, and would lose 10.9.0.1 at once",
            "use --anyway to override"
        ]
    );
    assert_eq!(lab.status().run.config, digest);
    lab.is_undisturbed();
}

#[test]
fn a_group_that_leaves_the_configuration_leaves_the_kernel() {
    let Some(lab) = running(VRRP) else { return };
    lab.enable("vrrp", "");
    keeps_its_address(&lab);
    lab.done(&Request::Reload { anyway: true });
    lab.wait("no group", || lab.status().groups.is_empty());
    assert_eq!(lab.traces_on_interfaces(), "");
}

#[test]
fn the_elector_that_is_disabled_leaves_nothing() {
    let Some(lab) = running(VRRP) else { return };
    lab.enable("vrrp", &format!("enabled = false\n{VRRP}"));
    keeps_its_address(&lab);
    signal_to(lab.host_pid(), Signal::HUP).unwrap();
    lab.wait_for_log("reload refused, an active group would be left, or lose addresses");
    let said = lab.done(&Request::Reload { anyway: true });
    assert_eq!(said[0], "vrrp: stopped");
    assert!(lab.status().groups.is_empty());
    assert_eq!(lab.traces_on_interfaces(), "");
}

#[test]
fn a_plugin_that_was_given_up_gets_another_chance() {
    let Some(lab) = running(VRRP) else { return };
    lab.enable("faulty", "fault = \"exit\"\nafter_ms = 1000\n");
    reload(&lab);
    lab.wait_for_plugin("faulty", "failed");
    lab.enable("faulty", "fault = \"none\"");
    reload(&lab);
    lab.wait_for_plugin("faulty", "running");
}

#[test]
fn a_hangup_reloads_too() {
    let Some(lab) = running(VRRP) else { return };
    lab.enable("counter", "");
    signal_to(lab.host_pid(), Signal::HUP).unwrap();
    lab.wait_for_plugin("counter", "running");
}

#[test]
fn many_reloads_at_once_are_all_answered() {
    let Some(lab) = running(VRRP) else { return };
    lab.enable("counter", "");
    std::thread::scope(|scope| {
        let asked: Vec<_> = (0..10).map(|_| scope.spawn(|| reload(&lab))).collect();
        asked
            .into_iter()
            .for_each(|asked| drop(asked.join().unwrap()));
    });
    lab.wait_for_plugin("counter", "running");
    assert_eq!(lab.group().transitions, 1, "{}", lab.log());
}

#[test]
fn a_plugin_that_does_not_start_is_told_at_once() {
    let Some(lab) = running(VRRP) else { return };
    lab.write("lib/text.so", "not a library");
    lab.write("plugins/text.toml", "");
    let lines = refused(&lab);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].starts_with("text.toml: text.so is not a shared object"),
        "{lines:?}"
    );
}

#[test]
fn a_plugin_is_restarted_when_it_may_do_less() {
    let Some(lab) = running(VRRP) else { return };
    lab.enable("counter", "");
    reload(&lab);
    let pid = lab.plugin("counter").pid;
    lab.enable("counter", "allow = []");
    assert_eq!(
        reload(&lab)[0],
        "counter: restarted with changed capabilities"
    );
    lab.wait_for_plugin("counter", "running");
    assert_ne!(lab.plugin("counter").pid, pid);
    assert_eq!(lab.plugin("counter").restarts, 0);
    assert_eq!(lab.group().transitions, 1);
}
