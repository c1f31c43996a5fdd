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

#[test]
fn the_manual_shows_the_replicated_example_as_it_is() {
    let file = root().join("abi/examples/guests/src/lib.rs");
    assert_eq!(example("rust"), fs::read_to_string(file).expect("the file"));
}
