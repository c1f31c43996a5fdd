// SPDX-License-Identifier: MIT OR Apache-2.0
//! The files of a release: one version everywhere, notes, a bill of materials of what is in the package, and checksums.
//! What is built is none: a package of a script stands for it.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use spared_tests::lab::note_skip;

const VERSION: &str = env!("CARGO_PKG_VERSION");

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Packages as build-deb leaves them, of this checkout and a package with these notices.
struct Packages(PathBuf);

impl Packages {
    fn new() -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("release");
        let _ = fs::remove_dir_all(&folder);
        let packages = folder.join("packages");
        fs::create_dir_all(&packages).unwrap();
        symlink(root(), packages.join(format!("spared-{VERSION}"))).unwrap();
        for suffix in ["-1.dsc", ".orig.tar.xz", "-1.debian.tar.xz"] {
            fs::write(packages.join(format!("spared_{VERSION}{suffix}")), suffix).unwrap();
        }
        Self(folder)
    }

    fn pack(&self, program_says: &str, version: &str, notices: &str) {
        let inside = self.0.join("inside");
        let _ = fs::remove_dir_all(&inside);
        for (path, text) in [
            (
                "DEBIAN/control",
                format!(
                    "Package: spared\nVersion: {version}\nArchitecture: all\nMaintainer: m <m@localhost>\n\
                     Description: test\n"
                ),
            ),
            (
                "usr/sbin/spared",
                format!("#!/bin/sh\necho {program_says}\n"),
            ),
            ("usr/share/doc/spared/THIRD-PARTY", notices.to_owned()),
        ] {
            let path = inside.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let package = self
            .0
            .join(format!("packages/spared_{VERSION}-1_amd64.deb"));
        let mut build = Command::new("dpkg-deb");
        build.args(["--root-owner-group", "-Znone", "--build"]);
        let built = build.arg(inside).arg(package).output().unwrap();
        assert!(built.status.success(), "{built:?}");
    }

    /// Makes the files of the release. Returns whether they are as they must be, and what was said.
    fn release(&self) -> (bool, String) {
        let mut command = Command::new(root().join("packaging/release-files"));
        // those of the make that runs the tests
        for name in ["MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES"] {
            command.env_remove(name);
        }
        let command = command
            .arg(self.0.join("packages"))
            .arg(self.0.join("files"));
        let output = command.output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&text).into_owned(),
        )
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(self.0.join("files").join(name)).unwrap()
    }
}

/// Crates that the lock file names, with their checksums.
fn locked() -> BTreeMap<(String, String), String> {
    let text = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let value = |part: &str, key: &str| {
        let mut lines = part.lines();
        let value = lines.find_map(|it| it.strip_prefix(key)?.strip_prefix(" = \""));
        value.map(|it| it.trim_end_matches('"').to_owned())
    };
    let parts = text.split("[[package]]").skip(1);
    let foreign = parts.filter_map(|it| {
        let name = (value(it, "name")?, value(it, "version")?);
        Some((name, value(it, "checksum")?))
    });
    foreign.collect()
}

#[test]
fn a_release_has_one_version_notes_a_bill_of_materials_and_checksums() {
    if Command::new("dpkg-deb").arg("--version").output().is_err() {
        return note_skip("no dpkg-deb");
    }
    let packages = Packages::new();
    let says = format!("spared {VERSION}");
    let debian = format!("{VERSION}-1");
    packages.pack(&says, &debian, "");
    let (is_well, text) = packages.release();
    assert!(!is_well && text.contains("have different crates"), "{text}");

    // the lines that the comparison has printed are the crates
    let crates = text.lines().filter_map(|line| line.strip_prefix("> "));
    let rule = "-".repeat(78);
    let notices: String = crates
        .map(|it| format!("{rule}\n{it}, MIT\nhttps://example.org\n\nText\n"))
        .collect();
    for (says, debian, wrong) in [
        ("spared 9.9.9", debian.as_str(), "says 9.9.9"),
        (says.as_str(), "9.9.9-1", "has version 9.9.9-1"),
    ] {
        packages.pack(says, debian, &notices);
        let (is_well, text) = packages.release();
        assert!(!is_well && text.contains(wrong), "{text}");
    }
    packages.pack(&says, &debian, &notices);
    let (is_well, text) = packages.release();
    assert!(is_well, "{text}");

    let sums = packages.file("SHA256SUMS");
    let mut names: Vec<&str> = sums.lines().map(|it| &it[66..]).collect();
    names.sort_unstable();
    let bill = format!("spared-{VERSION}.cdx.json");
    let notes = format!("spared-{VERSION}.md");
    let others = ["-1.debian.tar.xz", "-1.dsc", "-1_amd64.deb", ".orig.tar.xz"];
    let others = others.map(|suffix| format!("spared_{VERSION}{suffix}"));
    let all = [vec![bill.clone(), notes.clone()], others.to_vec()].concat();
    assert_eq!(names, all);

    let notes = packages.file(&notes);
    assert!(notes.starts_with(&format!("## {VERSION}")), "{notes}");
    assert!(notes.matches("\n## ").count() == 0 && notes.contains("### ABI"));
    assert!(!notes.contains("](docs/"), "{notes}");

    let bill: Value = serde_json::from_str(&packages.file(&bill)).unwrap();
    assert_eq!(bill["metadata"]["component"]["version"], VERSION);
    let locked = locked();
    let components = bill["components"].as_array().unwrap();
    let foreign = components.iter().filter(|it| it["name"] != "rust");
    let names: Vec<&str> = foreign
        .map(|it| {
            let [name, version] = ["name", "version"].map(|key| it[key].as_str().unwrap());
            let checksum = it["hashes"][0]["content"].as_str();
            let of = (name.to_owned(), version.to_owned());
            assert_eq!(locked.get(&of).map(String::as_str), checksum, "{of:?}");
            name
        })
        .collect();
    // linked by a plugin alone; of tests alone; a macro, which is in no program
    assert!(names.contains(&"serde_json") && names.contains(&"neli"));
    assert!(!names.contains(&"proptest") && !names.contains(&"serde_derive"));
    fs::remove_dir_all(&packages.0).unwrap();
}
