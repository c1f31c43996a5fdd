//! `sparectl status` of a daemon that is gone lists the addresses that carry its mark, and no others.

use std::process::{Command, Output};

use spared_netlink::{Message, Requests};

/// Network namespace of a test, deleted at the end.
struct Namespace(String);

impl Namespace {
    fn new() -> Option<Self> {
        let name = format!("spctl{}", std::process::id());
        ip(&["netns", "add", &name]).then_some(Self(name))
    }

    fn run(&self, words: &[&str]) -> Output {
        let program = ["netns", "exec", &self.0];
        Command::new("ip")
            .args(program)
            .args(words)
            .output()
            .expect("iproute2")
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        ip(&["netns", "del", &self.0]);
    }
}

fn ip(words: &[&str]) -> bool {
    Command::new("ip")
        .args(words)
        .status()
        .is_ok_and(|status| status.success())
}

/// Adds an address inside the namespace: it runs in this same test program, started again with a variable set.
fn add_marked_address() {
    let mut kernel = Requests::open().expect("a netlink socket");
    let links = kernel.links().expect("links");
    let lo = links
        .iter()
        .find(|link| link.name == "lo")
        .expect("lo is always there");
    let address = "192.0.2.77".parse().expect("an address");
    kernel
        .run_one(Message::add_address(lo.index, address, 24, true))
        .expect("root may add addresses");
}

#[test]
fn what_a_killed_daemon_left_is_listed() {
    if std::env::var_os("SPARECTL_TEST_INSIDE").is_some() {
        return add_marked_address();
    }
    let Some(namespace) = Namespace::new() else {
        eprintln!("skipped: no network namespaces without root");
        return;
    };
    namespace.run(&["ip", "addr", "add", "192.0.2.5/24", "dev", "lo"]);
    let this = std::env::current_exe().expect("a running program has a path");
    let this = this.to_str().expect("a path in UTF-8");
    let inside = namespace.run(&[
        "env",
        "SPARECTL_TEST_INSIDE=1",
        this,
        "--exact",
        "what_a_killed_daemon_left_is_listed",
    ]);
    assert!(
        inside.status.success(),
        "{}",
        String::from_utf8_lossy(&inside.stdout)
    );

    let sparectl = env!("CARGO_BIN_EXE_sparectl");
    let output = namespace.run(&[sparectl, "--runtime-dir", "/nonexistent", "status"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(4));
    assert!(text.contains("192.0.2.77/24 on lo"), "{text}");
    assert!(!text.contains("192.0.2.5"), "{text}");
}
