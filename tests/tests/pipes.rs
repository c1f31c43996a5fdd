// SPDX-License-Identifier: MIT OR Apache-2.0
//! Output of programs: a reader that ends before it has read everything (`| head`) makes none panic, and a program
//! that is asked for help prints it and does not run. tests/bench/tests has the same for the benches.

#![allow(clippy::unwrap_used)]

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use spared_tests::lab::build_dir;

#[test]
fn a_reader_that_ends_early_is_no_fault_of_the_program() {
    let programs = [
        ("demo", "nonsense"),
        ("bench-pairs", "--help"),
        ("spared", "--help"),
        ("sparectl", "help"),
        ("spared-plugin-check", "--help"),
    ];
    for (program, word) in programs {
        let mut command = Command::new(build_dir().unwrap().join(program));
        command.arg(word).stdin(Stdio::null());
        let (reader, writer) = UnixStream::pair().unwrap();
        drop(reader);
        let output = command
            .stdout(OwnedFd::from(writer))
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(said, "", "{program} {word}: {:?}", output.status);
        // a panic ends with 101, or by a signal
        let code = output.status.code();
        assert!(code.is_some_and(|code| code != 101), "{program}: {code:?}");
    }
}

#[test]
fn the_demo_and_bench_pairs_print_their_help_and_do_not_run() {
    for name in ["demo", "bench-pairs"] {
        for word in ["--help", "-h"] {
            // one that ran would not end by then
            let output = Command::new("timeout")
                .arg("10")
                .args([build_dir().unwrap().join(name), word.into()])
                .output()
                .unwrap();
            let printed = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{name} {word}: {output:?}");
            assert!(printed.starts_with("usage: "), "{name} {word}: {printed}");
        }
    }
}
