//! docs/plugin.md shows plugins as they are: its examples compile, or are files of this repository.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// First example of the manual in this language.
fn example(language: &str) -> String {
    let manual = fs::read_to_string(root().join("docs/plugin.md")).expect("the manual");
    let opening = format!("```{language}\n");
    let (_, rest) = manual.split_once(&opening).expect("an example");
    let (text, _) = rest.split_once("```").expect("its end");
    text.to_owned()
}

#[test]
fn the_synopsis_of_the_manual_compiles() {
    let folder = std::env::temp_dir().join(format!("spared-manual-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder for it");
    let source = folder.join("mine.c");
    fs::write(&source, example("c")).expect("the file");
    let output = Command::new("cc")
        .args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic"])
        .args(["-fsyntax-only", "-I"])
        .arg(root().join("abi/c"))
        .arg(&source)
        .output()
        .expect("a compiler");
    fs::remove_dir_all(&folder).expect("the folder");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

/// Files that `make install` puts below share/doc/spared/examples.
fn installed() -> Vec<String> {
    let output = Command::new("make")
        .current_dir(root())
        .env_remove("MAKEFLAGS")
        .args(["--no-print-directory", "--eval"])
        .arg("listed: ; @echo $(vendor_files) $(vendor_programs)")
        .arg("listed")
        .output()
        .expect("make");
    let said = String::from_utf8_lossy(&output.stdout);
    said.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn what_the_manual_names_is_there_and_is_installed() {
    /// Installed elsewhere, or with a checkout alone, as the page says.
    const ELSEWHERE: [&str; 7] = [
        "abi/c",
        "abi/c/spared_plugin.h",
        "abi/c/spared_plugin.c",
        "abi/examples/",
        "abi/sdk",
        "plugins/vrrp",
        "host/",
    ];
    let manual = fs::read_to_string(root().join("docs/plugin.md")).expect("the manual");
    let installed = installed();
    let folders = ["abi/", "plugins/", "host/"];
    let words = manual.split(|it: char| it.is_whitespace() || "`()|,;:\"".contains(it));
    let words = words.map(|it| it.trim_start_matches("../").trim_end_matches(['.', '/']));
    let mut count = 0;
    for path in words.filter(|it| folders.iter().any(|folder| it.starts_with(folder))) {
        count += 1;
        assert!(root().join(path).exists(), "{path} is not there");
        let is_elsewhere = ELSEWHERE
            .iter()
            .any(|it| path == *it || it.ends_with('/') && path.starts_with(it));
        let is_installed = installed
            .iter()
            .any(|it| it == path || it.starts_with(&format!("{path}/")));
        assert!(is_elsewhere || is_installed, "{path} is not installed");
    }
    assert!(count > 20, "{count} paths are named");
}

#[test]
fn the_manual_shows_the_replicated_example_as_it_is() {
    let file = root().join("abi/examples/guests/src/lib.rs");
    assert_eq!(example("rust"), fs::read_to_string(file).expect("the file"));
}
