//! The SDK outside of this repository: a plugin in a folder of its own, without a network, and the packages.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Packages that a plugin is built with, each after those that it needs.
const PACKAGES: [&str; 7] = [
    "spared-abi",
    "spared-contract",
    "spared-records",
    "spared-config-reader",
    "spared-child",
    "spared-replica",
    "spared-sdk",
];

/// Option to package a crate whose dependencies are not published.
const LONE: &str = "--exclude-lockfile";

/// Heading of the page's part about such a plugin.
const PART: &str = "### Rust, outside of this repository";

fn repository() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().unwrap()
}

/// Folder that is removed after the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("spared-outside-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(path.join("src")).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs cargo without a network, with a build folder that stays for the next time.
fn cargo(folder: &Path, arguments: &[&str]) -> Output {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .arg("--offline")
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", target())
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .env("CARGO_INCREMENTAL", "0")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {arguments:?}: {said}");
    output
}

fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("outside")
}

/// The first indented block of the part of the page that begins with this line.
fn block(first: &str) -> String {
    let page = fs::read_to_string(repository().join("docs/plugin.md")).unwrap();
    let (_, part) = page.split_once(PART).unwrap();
    let lines = part
        .lines()
        .skip_while(|line| line.trim_start() != first || !line.starts_with("    "));
    let lines = lines.take_while(|line| line.is_empty() || line.starts_with("    "));
    let lines = lines.map(|line| line.strip_prefix("    ").unwrap_or(line));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_plugin_in_an_empty_folder_is_built_without_a_network() {
    let folder = Folder::new("plugin");
    let root = repository();
    let manifest = block("[package]").replace("../spared/", &format!("{}/", root.display()));
    fs::write(folder.0.join("Cargo.toml"), manifest).unwrap();
    fs::copy(root.join("Cargo.lock"), folder.0.join("Cargo.lock")).unwrap();
    let guests = fs::read_to_string(root.join("abi/examples/guests/src/lib.rs")).unwrap();
    let source = guests.replace("name: \"guests\"", "name: \"acme-guests\"");
    assert_ne!(source, guests);
    fs::write(folder.0.join("src/lib.rs"), source).unwrap();
    cargo(&folder.0, &["build", "--quiet"]);
    let library = fs::read(target().join("debug/libacme_guests.so")).unwrap();
    for text in ["\nname = acme-guests\n", "\0spared_plugin_main\0"] {
        let mut windows = library.windows(text.len());
        assert!(windows.any(|it| it == text.as_bytes()), "{text:?}");
    }
}

#[test]
fn the_packages_of_the_sdk_are_whole() {
    let root = repository();
    let help = cargo(&root, &["package", "-h"]);
    if !String::from_utf8_lossy(&help.stdout).contains(LONE) {
        eprintln!("skipped: this cargo makes packages only of crates that are published");
        return;
    }
    let mut arguments = vec!["package", "--no-verify", "--allow-dirty", LONE];
    for package in PACKAGES {
        arguments.extend(["-p", package]);
    }
    let packaged = cargo(&root, &arguments);
    let said = String::from_utf8_lossy(&packaged.stderr);
    assert!(!said.contains("warning"), "{said}");
    for package in PACKAGES {
        let file = format!("package/{package}-{}.crate", env!("CARGO_PKG_VERSION"));
        assert!(target().join(&file).exists(), "{file}: {said}");
        let list = ["package", "--list", "--allow-dirty", "-p", package];
        let list = cargo(&root, &list);
        let list = String::from_utf8_lossy(&list.stdout);
        assert!(list.lines().any(|line| line == "src/lib.rs"), "{list}");
    }
}
