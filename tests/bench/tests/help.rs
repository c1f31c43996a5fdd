// SPDX-License-Identifier: MIT OR Apache-2.0
//! Help of a bench: asked for it, a bench prints it and does not run. A reader that ends before it has read everything
//! (`| head`) makes none panic.

#![allow(clippy::unwrap_used)]

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Output, Stdio};

const BENCHES: [&str; 9] = [
    env!("CARGO_BIN_EXE_bench-conntrack"),
    env!("CARGO_BIN_EXE_bench-dhcp"),
    env!("CARGO_BIN_EXE_bench-failover"),
    env!("CARGO_BIN_EXE_bench-files"),
    env!("CARGO_BIN_EXE_bench-groups"),
    env!("CARGO_BIN_EXE_bench-idle"),
    env!("CARGO_BIN_EXE_bench-ipsec"),
    env!("CARGO_BIN_EXE_bench-link"),
    env!("CARGO_BIN_EXE_bench-sets"),
];

#[test]
fn every_bench_prints_its_help_and_does_not_run() {
    let manifest = include_str!("../Cargo.toml");
    assert_eq!(manifest.matches("[[bin]]").count(), BENCHES.len());
    for bench in BENCHES {
        for word in ["--help", "-h"] {
            let output = run(bench, word, Stdio::piped());
            let printed = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{bench} {word}: {output:?}");
            assert!(printed.starts_with("usage: "), "{bench} {word}: {printed}");
        }
    }
}

#[test]
fn a_reader_that_ends_early_makes_no_bench_panic() {
    for bench in BENCHES {
        let output = run(bench, "--help", unread().into());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(said, "", "{bench}: {:?}", output.status);
        // a panic ends with 101, or by a signal
        let code = output.status.code();
        assert!(code.is_some_and(|code| code != 101), "{bench}: {code:?}");
    }
}

/// A bench that ran would not end by then.
fn run(bench: &str, word: &str, output: Stdio) -> Output {
    let mut command = Command::new("timeout");
    command.args(["10", bench, word]).stdin(Stdio::null());
    let child = command.stdout(output).stderr(Stdio::piped()).spawn();
    child.unwrap().wait_with_output().unwrap()
}

/// Somewhere to write to that nobody reads.
fn unread() -> OwnedFd {
    let (_, writer) = UnixStream::pair().unwrap();
    writer.into()
}
