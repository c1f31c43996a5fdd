//! Configuration, failures, pending starts and stops, threads, sockets.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use spared_contract::{
    Call, FromPlugin, HOST_KEYS, InterfaceEvent, RootsFile, Scope, SocketKind, ToPlugin,
};

use crate::lab::{Host, Lab, code, eventually, load, table};

const ENOENT: i32 = -2;
const EINVAL: i32 = -22;
const EISDIR: i32 = -21;
const RESTART: i32 = 2;
const BROKEN: i32 = 70;
const SIGALRM: i32 = 14;

fn loaded(lab: &Lab) -> Host {
    let mut host = Host::spawn(&super::probe(lab), &load("probe"));
    host.loaded().unwrap();
    host
}

fn started(lab: &Lab, toml: &str) -> Host {
    Host::started(&super::probe(lab), &load("probe"), toml)
}

#[test]
fn a_configuration_is_read_key_by_key_and_a_wrong_one_changes_nothing() {
    let lab = Lab::new();
    let mut host = started(
        &lab,
        "name = \"office\"\nshare = 0.5\npriority = { r1 = 200, r2 = 100 }\n\
         addresses = { r1 = [\"10.0.0.1\", \"10.0.0.2\"] }\nenabled = true\n\
         [a]\n\"10.0.0.0/8\" = -3\n",
    );
    for (key, value) in [
        ("name", "office"),
        ("share", "0.5"),
        ("priority", "200"),
        ("addresses.1", "10.0.0.2"),
        ("a.10\\.0\\.0\\.0/8", "-3"),
        ("@node", "r1"),
        ("@nodes.1", "r2"),
        ("@links.0", "hot"),
        ("@peer", "r2"),
    ] {
        assert_eq!(host.query(&format!("get {key}")).text("value"), value);
    }
    for (key, status) in [("none", ENOENT), ("a", EISDIR), ("@state", ENOENT)] {
        assert_eq!(host.query(&format!("get {key}")).status, status, "{key}");
    }
    assert_eq!(host.query("len addresses").number("length"), 2);
    assert_eq!(host.query("key a 0").text("value"), "10\\.0\\.0\\.0/8");
    // "enabled" is the daemon's
    let last = host.query("key  5");
    assert_eq!(last.status, ENOENT);
    let wrong = host.configure("wrong = 1\nname = \"other\"", false);
    assert_eq!(wrong.status, EINVAL);
    assert_eq!(wrong.failures[1].key, "group.0.name");
    assert_eq!(host.configure("restart = 1", true).status, RESTART);
    assert_eq!(host.query("get name").text("value"), "office");
}

#[test]
fn the_library_hides_the_same_keys_of_a_file_as_the_sdk() {
    let lab = Lab::new();
    let lines = HOST_KEYS.map(|key| format!("{key} = 1\n"));
    let mut host = started(&lab, &format!("{}zone = 1\n", lines.concat()));
    assert_eq!(host.query("key  0").text("value"), "zone");
    assert_eq!(host.query("key  1").status, ENOENT);
}

/// It has no reader of TOML, and so cannot look into the file after a reload.
#[test]
fn of_root_it_takes_the_trees_of_roots_file_and_asks_for_a_restart_if_there_are_others() {
    let lab = Lab::new();
    let file = |text: &str| RootsFile {
        path: "/etc/spared/plugins/probe.toml".to_owned(),
        tables: vec![table("name = \"loaded\""), table(text)],
        state: Some("/of/root".to_owned()),
        node: "r1".to_owned(),
        nodes: vec!["r1".to_owned(), "r2".to_owned()],
    };
    let mut load = load("probe");
    load.roots = Some(file("name = \"now\""));
    let mut host = Host::spawn(&super::probe(&lab), &load);
    host.loaded().unwrap();
    let others = ToPlugin::RootsFile(file("name = \"other\""));
    host.send(&others, &[]);
    let refused = host.configure("name = \"other\"", false);
    assert_eq!(refused.status, EINVAL);
    let why = &refused.failures[0].why;
    assert!(why.contains("probe.toml: reload"), "{why}");
    let of_peer = host.configure_as("r2", "name = \"now\"", false);
    assert_eq!(of_peer.status, EINVAL);
    for name in ["loaded", "now"] {
        let toml = format!("name = {name:?}");
        assert_eq!(host.configure(&toml, false).status, 0, "{name}");
    }
    assert_eq!(host.ask(|token| ToPlugin::Start { token }).status, 0);
    assert_eq!(host.query("get @state").text("value"), "/of/root");
    assert_eq!(host.configure("name = \"other\"", false).status, RESTART);
    assert_eq!(host.query("get name").text("value"), "now");
}

#[test]
fn scopes_are_told_once_the_configuration_is_taken() {
    let lab = Lab::new();
    let mut host = loaded(&lab);
    assert_eq!(host.configure("scope = 1", true).status, 0);
    assert_eq!(host.configure("scope = 1\nwrong = 1", false).status, EINVAL);
    assert_eq!(host.configure("scope = 1", false).status, 0);
    let told: Vec<_> = host
        .received
        .iter()
        .filter_map(|message| match message {
            FromPlugin::Scopes { scopes } => Some(scopes.clone()),
            _ => None,
        })
        .collect();
    let expected = vec![
        ("server.interface".to_owned(), Scope::Node),
        ("server.secret".to_owned(), Scope::Local),
    ];
    assert_eq!(told, [expected]);
    host.log("declare(): unknown scope 9");
    host.log("declare(): a key of 0 bytes");
    assert_eq!(host.ask(|token| ToPlugin::Start { token }).status, 0);
    assert_eq!(host.query("declare later").status, EINVAL);
    host.log("declare(): may only be called in configure");
}

#[test]
fn in_a_check_worker_the_extensions_are_there_and_do_nothing() {
    let lab = Lab::new();
    let mut load = load("probe");
    load.check_only = true;
    let mut host = Host::spawn(&super::probe(&lab), &load);
    host.loaded().unwrap();
    // declares scopes, and reports a check
    assert_eq!(host.configure("scope = 1", true).status, 0);
    assert_eq!(host.ended(), 0);
    let is_effect =
        |it: &FromPlugin| matches!(it, FromPlugin::Check { .. } | FromPlugin::Scopes { .. });
    assert!(!host.received.iter().any(is_effect));
}

#[test]
fn a_callback_that_fails_is_a_state_that_ends() {
    let lab = Lab::new();
    let mut host = started(&lab, "");
    host.query("timer 888 0");
    assert_eq!(host.log("timer failed"), "timer failed: Input/output error");
    host.query("timer 1 0");
    for fails in [true, false] {
        let why = host.wait(|message| match message {
            FromPlugin::Callback { name, why } if name == "timer" => Some(why.clone()),
            _ => None,
        });
        assert_eq!(why.is_some(), fails);
    }
    host.query("timer 999 0");
    assert_eq!(host.ended(), BROKEN, "nothing is called again");
}

#[test]
fn a_text_that_is_no_utf8_is_told_with_question_marks() {
    let lab = Lab::new();
    let mut host = started(&lab, "");
    host.query("latin");
    assert_eq!(host.log("gr"), "gr??e");
}

#[test]
fn starts_and_stops_may_be_pending() {
    let lab = Lab::new();
    let mut host = loaded(&lab);
    let toml = "slow_start = 200\nslow_stop = 200\n";
    assert_eq!(host.configure(toml, false).status, 0);
    let messages: [fn(u64) -> ToPlugin; 2] = [
        |token| ToPlugin::Start { token },
        |token| ToPlugin::Stop { token },
    ];
    for message in messages {
        let begun = Instant::now();
        let token = host.tell(message);
        host.wait(|it| {
            matches!(it, FromPlugin::Pending { token: of } if *of == token).then_some(())
        });
        assert_eq!(host.returned(token).status, 0);
        assert!(begun.elapsed() >= Duration::from_millis(200));
    }
    assert_eq!(host.ended(), 0);
}

#[test]
fn a_host_that_died_leaves_a_pending_stop_two_seconds() {
    let lab = Lab::new();
    for (toml, exit) in [("slow_stop = 200", 0), ("slow_stop = 0", -SIGALRM)] {
        let mut child = started(&lab, toml).hang_up();
        eventually("the worker ended", || child.exit().is_some());
        assert_eq!(code(child.exit().unwrap()), exit, "{toml}");
    }
}

#[test]
fn other_threads_wake_and_log_and_a_flood_of_lines_is_cut() {
    let lab = Lab::new();
    let mut host = started(&lab, "");
    host.query("thread");
    host.log("from another thread");
    host.log("called timer() from a thread other than the loop's");
    host.log("was refused");
    host.query("join");
    while host.query("state").number("woken") == 0 {}
    host.query("flood");
    let lines = host.received.iter();
    let lines = lines.filter(|it| matches!(it, FromPlugin::Log { .. }));
    assert!(lines.count() < 1000);
    host.query("leak");
    host.send(&ToPlugin::Ping { number: 1 }, &[]);
    assert_eq!(host.ended(), BROKEN, "no descriptor is left");
}

#[test]
fn sockets_of_an_interface_are_its_own_until_an_event_omits_them() {
    let lab = Lab::new();
    let mut host = started(&lab, "");
    assert_eq!(host.query("follow lan1").status, 0);
    host.wait(|message| match message {
        FromPlugin::Call {
            call: Call::Follow { interface, .. },
            ..
        } if interface == "lan1" => Some(()),
        _ => None,
    });
    let (ours, theirs) = spared_records::pair().unwrap();
    let event = |generation, sockets| {
        ToPlugin::Interface(InterfaceEvent {
            name: "lan1".to_owned(),
            present: true,
            generation,
            sockets,
            ..InterfaceEvent::default()
        })
    };
    host.send(&event(1, vec![SocketKind::PingIpv4]), &[theirs.as_fd()]);
    drop(theirs);
    rustix::io::write(&ours, b"hello").unwrap();
    eventually("the bytes", || host.query("state").number("bytes") == 5);
    // the same again, without descriptors
    host.send(&event(1, vec![SocketKind::PingIpv4]), &[]);
    assert!(host.query("state").text("event").ends_with("sockets 1"));
    host.send(&event(2, Vec::new()), &[]);
    assert!(host.query("state").text("event").ends_with("sockets 0"));
    let closed = rustix::io::write(&ours, b"x");
    assert_eq!(closed, Err(rustix::io::Errno::PIPE));
}
