//! A network namespace for one test.

use std::process::Command;

const INSIDE: &str = "SPARED_TEST_NAMESPACE";

/// Runs this test again in a network namespace of its own; true where this is that one.
///
/// # Panics
/// The test fails there, or util-linux is not installed.
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
