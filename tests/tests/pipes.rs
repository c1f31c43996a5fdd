// SPDX-License-Identifier: MIT OR Apache-2.0
//! What programs print: a reader that ends before it has read everything (`| head`) makes none panic, and a bench asked
//! for help prints it and does not run.

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

#[test]
fn every_bench_prints_its_help_and_does_not_run() {
    let manifest = include_str!("../Cargo.toml");
    let names = manifest.lines().filter_map(|line| {
        let name = line.strip_prefix("name = \"")?.strip_suffix('"')?;
        (name == "demo" || name.starts_with("bench-")).then_some(name)
    });
    let names: Vec<&str> = names.collect();
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        for word in ["--help", "-h"] {
            // a bench that ran would not end by then
            let output = Command::new("timeout")
                .args([
                    "10",
                    build_dir().unwrap().join(name).to_str().unwrap(),
                    word,
                ])
                .output()
                .unwrap();
            let printed = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{name} {word}: {output:?}");
            assert!(printed.starts_with("usage: "), "{name} {word}: {printed}");
        }
    }
}
