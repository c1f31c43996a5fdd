//! Behaviour of plugins with a loop of their own that differs from plugins in C: configuration, scopes, panics,
//! threads.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use spared_contract::{FromPlugin, Scope, ToPlugin};
use spared_message::load::Load;
use spared_process::worker::process::{self, CheckError, Configuration};

use crate::lab::{Host, Lab, executable, load};

const EINVAL: i32 = -22;
const ENOTRECOVERABLE: i32 = -131;
const RESTART: i32 = 2;
/// Exit status of a worker whose plugin is broken.
const BROKEN: i32 = 70;

fn started(lab: &Lab, toml: &str) -> Host {
    Host::started(&lab.example("probe"), &load("probe"), toml)
}

/// Started plugin that notes in its folder how it ends.
fn started_in(lab: &Lab, folder: &Path) -> Host {
    let folder = folder.to_str().unwrap();
    let load = Load {
        state_dir: Some(folder.to_owned()),
        ..load("probe")
    };
    let toml = format!("state_dir = {folder:?}\n");
    Host::started(&lab.example("probe"), &load, &toml)
}

fn is_scopes(message: &FromPlugin) -> bool {
    matches!(message, FromPlugin::Scopes { .. })
}

#[test]
fn its_descriptor_is_that_of_its_note() {
    let lab = Lab::new();
    let mut host = Host::spawn(&lab.example("probe"), &load("probe"));
    let it = host.loaded().unwrap();
    assert_eq!((it.name.as_str(), it.vendor.as_str()), ("probe", "tests"));
    assert_eq!((it.wire_min, it.wire_max, it.capabilities), (1, 2, 1 << 10));
    assert!(it.has_role && it.has_drain && it.has_settle && it.provides_groups);
    assert!(it.has_peer && it.has_identity && it.partners.is_empty());
    let words: Vec<_> = it.verbs.iter().map(|it| it.word.as_str()).collect();
    assert_eq!(words, ["in-sync", "state"]);
    let flags = spared_abi::PLUGIN_REALTIME | spared_abi::PLUGIN_DOCUMENTS;
    assert_eq!(it.flags, flags);
}

#[test]
fn a_file_under_another_name_is_refused() {
    let lab = Lab::new();
    let other = lab.dir.join("other.so");
    std::fs::copy(lab.example("probe"), &other).unwrap();
    let why = Host::spawn(&other, &load("other")).loaded().unwrap_err();
    assert_eq!(
        why,
        "other.so is the plugin \"probe\": rename it to probe.so"
    );
}

#[test]
fn a_wrong_configuration_changes_nothing_and_a_check_has_no_effect() {
    let lab = Lab::new();
    let mut host = Host::spawn(&lab.example("probe"), &load("probe"));
    host.loaded().unwrap();
    assert_eq!(host.configure("scope = 1", true).status, 0);
    assert!(!host.received.iter().any(is_scopes), "only checked");
    let wrong = host.configure("scope = 1\nwrong = 1", false);
    assert_eq!(wrong.status, EINVAL);
    let whys: Vec<_> = wrong
        .failures
        .iter()
        .map(|it| (it.key.as_str(), it.why.as_str()))
        .collect();
    let expected = [
        ("wrong", "found a value, allowed none"),
        ("group.0.name", "missing"),
    ];
    assert_eq!(whys, expected);
    assert!(!host.received.iter().any(is_scopes), "it was refused");
    assert_eq!(host.configure("scope = 1", false).status, 0);
    let scopes = host.received.iter().find_map(|message| match message {
        FromPlugin::Scopes { scopes } => Some(scopes.clone()),
        _ => None,
    });
    let expected = vec![
        ("server_interface".to_owned(), Scope::Node),
        ("server_secret".to_owned(), Scope::Local),
    ];
    assert_eq!(scopes, Some(expected), "before configure returned");
    assert_eq!(host.ask(|token| ToPlugin::Start { token }).status, 0);
    assert_eq!(host.query("node").text("value"), "r1");
    assert_eq!(host.configure("restart = 1", false).status, RESTART);
    assert_eq!(host.configure("wrong = 1", false).status, EINVAL);
    assert_eq!(host.query("state").text("order"), "start ", "it goes on");
}

#[test]
fn a_check_gives_every_fault_and_is_given_up_if_it_hangs() {
    let lab = Lab::new();
    let file = File::open(lab.example("probe")).unwrap();
    let checked = |toml: &str| {
        let configuration = Configuration {
            table: crate::lab::table(toml),
            ..Configuration::default()
        };
        let (exe, memory) = (executable("worker"), 256 << 20);
        process::check(
            &exe,
            "probe",
            file.as_fd(),
            None,
            memory,
            Some(&configuration),
        )
    };
    let (descriptor, failures) = checked("wrong = 1").unwrap();
    assert_eq!((descriptor.name.as_str(), failures.len()), ("probe", 2));
    let begun = Instant::now();
    let hung = checked("hang_in_check = 1").unwrap_err();
    assert!(matches!(hung, CheckError::Hung(_)), "{hung}");
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_panic_ends_the_process_and_nothing_is_called_again() {
    let lab = Lab::new();
    let folder = lab.state();
    let mut host = started_in(&lab, &folder);
    host.query("timer 999 0");
    host.log("panicked at");
    assert_eq!(host.ended(), BROKEN);
    assert!(!folder.join("stopped").exists() && !folder.join("destroyed").exists());
    // a panic in a function whose result is awaited
    let mut host = Host::spawn(&lab.example("probe"), &load("probe"));
    host.loaded().unwrap();
    let refused = host.configure("panic_in_read = 1", false);
    assert_eq!(refused.status, ENOTRECOVERABLE);
    assert_eq!(refused.failures[0].why, "the plugin panicked");
    assert_eq!(host.ended(), BROKEN);
}

#[test]
fn it_is_stopped_dropped_and_ends_with_nothing() {
    let lab = Lab::new();
    let folder = lab.state();
    let mut host = started_in(&lab, &folder);
    assert_eq!(host.ask(|token| ToPlugin::Stop { token }).status, 0);
    assert_eq!(host.ended(), 0);
    assert!(folder.join("stopped").exists() && folder.join("destroyed").exists());
}

#[test]
fn other_threads_wake_and_log() {
    let lab = Lab::new();
    let mut host = started(&lab, "");
    host.query("thread");
    host.log("from another thread");
    host.query("join");
    while host.query("state").number("woken") == 0 {}
    assert!(
        host.query("state").number("woken") < 1000,
        "not once for each"
    );
}

#[test]
fn a_callback_that_takes_long_is_counted() {
    let lab = Lab::new();
    let mut host = started(&lab, "");
    host.query("timer 667 0");
    while host.query("state").number("timers") != 1 {}
    host.send(&ToPlugin::Ping { number: 5 }, &[]);
    let slow = host.wait(|message| match message {
        FromPlugin::Pong { slow_calls, .. } => Some(*slow_calls),
        _ => None,
    });
    assert_eq!(slow, 1);
}

#[test]
fn a_plugin_without_descriptors_is_ended() {
    let lab = Lab::new();
    let mut host = started(&lab, "");
    host.query("leak");
    host.send(&ToPlugin::Ping { number: 1 }, &[]);
    host.log("has used up all its file descriptors");
    assert_eq!(host.ended(), BROKEN);
}
