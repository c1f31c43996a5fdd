// SPDX-License-Identifier: MIT OR Apache-2.0
//! A reader that ends before it has read everything (`| head`) makes no program panic.

#![allow(clippy::unwrap_used)]

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use spared_tests::lab::build_dir;

#[test]
fn a_reader_that_ends_early_is_no_fault_of_the_program() {
    let programs = [
        ("demo", "nonsense"),
        ("bench-link", "--help"),
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
