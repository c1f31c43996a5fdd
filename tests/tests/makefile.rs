// SPDX-License-Identifier: MIT OR Apache-2.0
//! The Makefile in a clean clone: `make -n` of every target says what it would do, and does none of it.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Programs that a recipe must not reach.
const GUARDED: [&str; 4] = ["apt-get", "cargo", "git", "python3"];

/// The files of this checkout that a commit of it would have.
struct Clone {
    root: PathBuf,
    /// Programs in place of the guarded ones, which only note that they ran.
    guards: PathBuf,
    noted: PathBuf,
}

impl Clone {
    fn new() -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clone");
        let _ = fs::remove_dir_all(&folder);
        let clone = Self {
            root: folder.join("spared"),
            guards: folder.join("guards"),
            noted: folder.join("noted"),
        };
        clone.copy_files();
        clone.guard();
        clone
    }

    fn copy_files(&self) {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let listed = Command::new("git")
            // somebody else's, for root in a user namespace
            .args(["-c", "safe.directory=*", "-C"])
            .arg(here)
            .args(["ls-files", "-z", "--cached", "--others"])
            .arg("--exclude-standard")
            .output()
            .unwrap();
        assert!(listed.status.success(), "{listed:?}");
        let files = listed.stdout.split(|byte| *byte == 0);
        let files = files.map(|file| Path::new(OsStr::from_bytes(file)));
        // one that was removed is listed until that is staged
        for file in files.filter(|file| here.join(file).is_file()) {
            let copy = self.root.join(file);
            fs::create_dir_all(copy.parent().unwrap()).unwrap();
            fs::copy(here.join(file), copy).unwrap();
        }
    }

    fn guard(&self) {
        fs::create_dir_all(&self.guards).unwrap();
        for program in GUARDED {
            let path = self.guards.join(program);
            let script = format!(
                "#!/bin/sh\necho \"$0 $*\" >>{}\nexit 1\n",
                self.noted.display()
            );
            fs::write(&path, script).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    /// Output of `make -n TARGET`.
    fn make(&self, target: &str) -> String {
        let path = std::env::var("PATH").unwrap();
        let mut make = Command::new("make");
        // those of the make that runs the tests
        for name in ["MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES"] {
            make.env_remove(name);
        }
        let output = make
            .current_dir(&self.root)
            .env("PATH", format!("{}:{path}", self.guards.display()))
            .args(["-n", target])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "make -n {target}: {said}");
        assert_eq!(said, "", "make -n {target}");
        let ran = fs::read_to_string(&self.noted).unwrap_or_default();
        assert_eq!(ran, "", "make -n {target} ran this");
        let is_there = self.root.join("target").exists();
        assert!(!is_there, "make -n {target} made the folder target");
        String::from_utf8(output.stdout).unwrap()
    }
}

#[test]
fn make_n_of_every_target_prints_its_commands_and_runs_none() {
    let makefile = include_str!("../../Makefile");
    let targets = targets(makefile);
    assert!(targets.len() > 50, "{targets:?}");
    assert_eq!(targets, phony(makefile), "every target must be in .PHONY");
    let clone = Clone::new();
    for target in targets {
        let printed = clone.make(target);
        // one that only has others made has no command of its own
        assert!(!printed.is_empty(), "make -n {target} prints nothing");
    }
    fs::remove_dir_all(clone.root.parent().unwrap()).unwrap();
}

/// Every word before a colon at a line's start.
fn targets(makefile: &str) -> BTreeSet<&str> {
    let heads = makefile.lines().filter_map(|line| line.split_once(':'));
    let is_name = |name: &str| name.bytes().all(|it| it.is_ascii_lowercase() || it == b'-');
    heads
        .map(|(name, _)| name)
        .filter(|name| !name.is_empty() && is_name(name))
        .collect()
}

fn phony(makefile: &str) -> BTreeSet<&str> {
    let (_, list) = makefile.split_once(".PHONY:").unwrap();
    let (list, _) = list.split_once("\n\n").unwrap();
    let words = list.split_whitespace();
    words.filter(|word| *word != "\\").collect()
}
