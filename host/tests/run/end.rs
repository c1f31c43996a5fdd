//! Starts and ends of the daemon: what is left behind, what is refused, what is reported.

use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use spared_message::control::{Answer, ErrorCode, Force, Request};
use spared_tests::lab::signal_to;

use crate::lab::{Alone, VRRP};

#[test]
fn with_nothing_configured_it_runs_says_so_and_is_never_active() {
    let Some(mut lab) = Alone::new() else { return };
    lab.start();
    let status = lab.status();
    assert!(status.groups.is_empty() && status.plugins.is_empty());
    lab.wait_for_log("nothing configured");
    assert_eq!(lab.traces(), "");
    assert!(lab.stop().success());
}

#[test]
fn a_regular_end_leaves_nothing() {
    let Some(mut lab) = Alone::new() else { return };
    lab.enable("vrrp", VRRP);
    lab.start();
    lab.wait_until_active();
    assert_ne!(lab.traces(), "");
    assert!(lab.stop().success());
    assert_eq!(lab.traces(), "", "{}", lab.log());
    assert!(!lab.path("run/control.sock").exists());
}

#[test]
fn after_a_kill_of_everything_the_next_start_removes_what_is_ours_and_nothing_else() {
    let Some(mut lab) = Alone::new() else { return };
    lab.enable("vrrp", VRRP);
    lab.start();
    lab.wait_until_active();
    lab.inside("ip", &["addr", "add", "10.9.0.77/24", "dev", "lan"]);
    lab.inside("nft", &["add", "table", "inet", "other"]);
    lab.kill_all();
    assert!(lab.traces().contains("10.9.0.1/"));
    std::fs::remove_file(lab.path("plugins/vrrp.toml")).unwrap();
    lab.start();
    assert_eq!(lab.traces(), "", "{}", lab.log());
    lab.wait_for_log("removed what an earlier run left: ");
    let addresses = lab.prints("ip", &["addr", "show", "lan"]);
    assert!(addresses.contains("10.9.0.77/24"), "{addresses}");
    let tables = lab.prints("nft", &["list", "tables"]);
    assert!(tables.contains("inet other"), "{tables}");
}

#[test]
fn a_plugin_that_hangs_in_stop_delays_the_end_by_a_bounded_time() {
    let Some(mut lab) = Alone::new() else { return };
    lab.enable("vrrp", VRRP);
    lab.enable("faulty", "fault = \"hang-in-stop\"");
    lab.start();
    lab.wait_until_active();
    lab.wait_for_plugin("faulty", "running");
    let since = Instant::now();
    assert!(lab.stop().success());
    assert!(
        since.elapsed() < Duration::from_secs(8),
        "{:?}",
        since.elapsed()
    );
    assert_eq!(lab.traces(), "", "{}", lab.log());
}

#[test]
fn the_end_waits_for_followers_that_take_their_time_with_the_last_role() {
    let Some(mut lab) = Alone::new() else { return };
    lab.enable("vrrp", VRRP);
    lab.enable("faulty", "fault = \"late-done\"\nafter_ms = 3500");
    lab.start();
    lab.wait_until_active();
    lab.wait_for_plugin("faulty", "running");
    assert!(lab.stop().success());
    let log = lab.log();
    assert!(!log.contains("too long"), "{log}");
    assert_eq!(lab.traces(), "", "{log}");
}

#[test]
fn when_the_host_alone_is_killed_its_workers_end_and_the_address_is_silent() {
    let Some(mut lab) = Alone::new() else { return };
    lab.enable("vrrp", VRRP);
    lab.start();
    lab.wait_until_active();
    let worker = lab.plugin("vrrp").pid.unwrap();
    signal_to(lab.host_pid(), Signal::KILL).unwrap();
    lab.wait_for_end();
    lab.wait("the worker's end", || {
        !std::path::Path::new(&format!("/proc/{worker}")).exists()
    });
    lab.wait("silence", || !lab.pings());
}

#[test]
fn a_second_host_is_refused() {
    let Some(mut lab) = Alone::new() else { return };
    lab.start();
    let second = lab.output("run");
    assert_eq!(second.status.code(), Some(69));
    assert!(String::from_utf8_lossy(&second.stderr).contains("another spared runs here"));
    assert_eq!(lab.status().node, "r1");
}

#[test]
fn wrong_configurations_are_refused_with_all_their_faults() {
    let Some(lab) = Alone::new() else { return };
    lab.write(
        "spared.toml",
        "realtime = 1\nsettle_ms = -1\n[nodes]\na = {}\nb = {}\n",
    );
    let refused = lab.output("run");
    assert_eq!(refused.status.code(), Some(78));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        said.contains("spared.toml:1: realtime: found 1, allowed true or false"),
        "{said}"
    );
    assert!(
        said.contains("spared.toml:2: settle_ms: found -1, allowed 0-10000"),
        "{said}"
    );
    assert!(said.contains("[nodes] has a, b: set node.name"), "{said}");
}

#[test]
fn a_file_that_is_not_there_is_no_empty_configuration() {
    let Some(lab) = Alone::new() else { return };
    std::fs::remove_file(lab.path("spared.toml")).unwrap();
    assert_eq!(lab.output("run").status.code(), Some(66));
    assert_eq!(lab.output("check").status.code(), Some(66));
}

#[test]
fn a_wrong_plugin_file_keeps_that_plugin_from_running_and_no_other() {
    let Some(mut lab) = Alone::new() else { return };
    lab.enable("vrrp", VRRP);
    lab.enable("faulty", "fault = \"nonsense\"");
    lab.start();
    lab.wait_until_active();
    let faulty = lab.plugin("faulty");
    assert_eq!(faulty.state, "refused");
    assert!(
        faulty
            .why
            .starts_with("faulty.toml:1: fault: found \"nonsense\""),
        "{}",
        faulty.why
    );
}

#[test]
fn check_has_its_result_for_a_reader_that_is_gone_as_well() {
    let Some(lab) = Alone::new() else { return };
    lab.enable("vrrp", &VRRP.replace("vrid = 50", "vrid = 300"));
    let (reader, writer) = UnixStream::pair().unwrap();
    drop(reader);
    let mut command = lab.command("check");
    command.stdout(std::os::fd::OwnedFd::from(writer));
    assert_eq!(command.status().unwrap().code(), Some(78));
}

#[test]
fn check_tells_faults_of_plugins_with_their_lines() {
    let Some(lab) = Alone::new() else { return };
    lab.enable("vrrp", &VRRP.replace("vrid = 50", "vrid = 300"));
    let checked = lab.output("check");
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert_eq!(checked.status.code(), Some(78), "{said}");
    assert!(
        said.contains(
            "vrrp.toml:9: group \"office\" interface \"lan\": vrid: found 300, allowed 1-255"
        ),
        "{said}"
    );
    let said = || String::from_utf8_lossy(&lab.output("check").stdout).into_owned();
    lab.enable("vrrp", VRRP);
    assert!(said().contains("configuration OK"), "{}", said());
    let none = "vrrp.toml has no [[group]]: this node is never active";
    assert!(!said().contains(none), "{}", said());
    lab.enable("vrrp", "");
    assert!(said().contains(none), "{}", said());
}

#[test]
fn forcing_moves_the_role_and_reset_gives_it_back() {
    let Some(mut lab) = Alone::new() else { return };
    lab.enable("vrrp", VRRP);
    lab.start();
    lab.wait_until_active();
    let force = |to| {
        lab.ask(&Request::Force {
            group: Some("office".to_owned()),
            to,
            anyway: true,
        })
    };
    assert!(matches!(force(Force::Backup), Answer::Done { .. }));
    lab.wait_for_role("backup");
    assert_eq!(lab.group().forced, "backup");
    assert!(!lab.pings());
    assert!(matches!(force(Force::Reset), Answer::Done { .. }));
    lab.wait_until_active();
    let unknown = lab.ask(&Request::Force {
        group: Some("x".to_owned()),
        to: Force::Active,
        anyway: true,
    });
    assert!(
        matches!(
            unknown,
            Answer::Error {
                code: ErrorCode::Usage,
                ..
            }
        ),
        "{unknown:?}"
    );
}

#[test]
fn events_tell_the_failover_in_order() {
    let Some(mut lab) = Alone::new() else { return };
    lab.enable("vrrp", VRRP);
    lab.start();
    lab.wait_until_active();
    let events = lab.events();
    let told: Vec<&str> = events
        .iter()
        .filter(|event| event.group.as_deref() == Some("office"))
        .map(|event| event.event.as_str())
        .collect();
    assert_eq!(told, ["role", "fence", "addresses", "role"], "{events:#?}");
}

#[test]
fn an_address_that_is_deleted_comes_back_and_deleted_again_and_again_is_told_and_served() {
    let Some(mut lab) = Alone::new() else { return };
    lab.enable("vrrp", VRRP);
    lab.start();
    lab.wait_until_active();
    let delete = || lab.inside("ip", &["addr", "del", "10.9.0.1/24", "dev", "lan"]);
    delete();
    lab.wait("the address", || {
        let address = &lab.group().addresses[0];
        address.present && address.restored == 1
    });
    assert_eq!(lab.group().role, "active");
    lab.wait("the sentence", || {
        delete();
        let events = lab.events();
        events.iter().any(|event| event.event == "contested")
    });
    // a better node would get the role now; there is none, so this one keeps serving
    lab.wait("the role", || lab.group().role == "active");
    std::thread::sleep(Duration::from_secs(2));
    let group = lab.group();
    assert_eq!(group.role, "active");
    assert!(group.addresses[0].present);
}

#[test]
fn a_group_that_nobody_claims_is_missed_by_who_follows_it() {
    let Some(mut lab) = Alone::new() else { return };
    lab.enable("vrrp", VRRP);
    lab.enable("counter", "follow = [\"offise\"]");
    lab.start();
    lab.wait_until_active();
    let findings = lab.status().verdict.findings;
    let lines: Vec<(&str, &str)> = findings
        .iter()
        .map(|it| (it.id.as_str(), it.text.split_once(": ").unwrap().1))
        .collect();
    let text = "counter.toml: follow: there is no group \"offise\"";
    assert_eq!(lines, [("SP-0305", text)]);
}

#[test]
fn a_second_host_in_another_folder_does_not_remove_what_the_first_made() {
    let Some(mut lab) = Alone::new() else { return };
    lab.enable("vrrp", VRRP);
    lab.start();
    lab.wait_until_active();
    let (config, other) = (lab.path("spared.toml"), lab.path("other"));
    let arguments = [
        "run",
        "--config",
        config.to_str().unwrap(),
        "--runtime-dir",
        other.to_str().unwrap(),
    ];
    let second = lab.inside(env!("CARGO_BIN_EXE_spared"), &arguments);
    assert_eq!(second.status.code(), Some(69));
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(
        said.contains("another spared runs in this network namespace"),
        "{said}"
    );
    assert!(lab.pings());
}
