//! Input for programs in the namespace of a test.

use std::io::Write;
use std::process::{Command, Stdio};

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
