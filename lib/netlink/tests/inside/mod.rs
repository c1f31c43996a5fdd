//! A network namespace for one test.

use std::io::Write;
use std::process::{Command, Stdio};

const INSIDE: &str = "SPARED_TEST_NETLINK";

/// Runs this test again in a network namespace of its own; true where this is that one.
pub fn is_inside(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let is_root = rustix::process::geteuid().is_root();
    let as_user: &[&str] = &["--user", "--map-root-user"];
    let again = Command::new("unshare")
        .args(if is_root { &[] } else { as_user })
        .arg("--net")
        .arg(std::env::current_exe().expect("a test knows its own path"))
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "yes")
        .status();
    assert!(again.expect("unshare").success());
    false
}

pub fn feed(argv: &[&str], input: &str) {
    let mut child = Command::new(argv[0])
        .args(&argv[1..])
        .stdin(Stdio::piped())
        .spawn()
        .expect("it is installed");
    let stdin = child.stdin.take();
    let written = stdin.expect("a pipe").write_all(input.as_bytes());
    written.expect("it reads");
    assert!(child.wait().expect("its end").success());
}
