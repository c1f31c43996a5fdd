// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds the file of a test: its program's main file, or the file or folder of its first module.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use spared_tests::Result;

pub struct Sources {
    pub root: PathBuf,
    /// Folder in which cargo builds.
    pub target: PathBuf,
    /// Main file of each program, by nextest's name.
    programs: HashMap<String, PathBuf>,
}

#[derive(Deserialize)]
struct Metadata {
    workspace_root: PathBuf,
    target_directory: PathBuf,
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
    src_path: PathBuf,
}

impl Sources {
    pub fn of_this_workspace() -> Result<Self> {
        let output = Command::new("cargo")
            .args(["metadata", "--locked", "--no-deps", "--format-version=1"])
            .output()?;
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr);
            return Err(format!("cargo metadata: {}", why.trim_end()).into());
        }
        let found: Metadata = serde_json::from_slice(&output.stdout)?;
        let programs = found.packages.iter().flat_map(|package| {
            let id = |target: &Target| binary_id(&package.name, target);
            package
                .targets
                .iter()
                .map(move |target| (id(target), target.src_path.clone()))
        });
        Ok(Self {
            programs: programs.collect(),
            root: found.workspace_root,
            target: found.target_directory,
        })
    }

    /// Path from the workspace's folder: `tests/tests/end_to_end/sets.rs`.
    pub fn file_of(&self, program: &str, test: &str) -> String {
        let Some(main) = self.programs.get(program) else {
            return program.to_owned();
        };
        let found = module_file(main, test);
        let file = found.as_deref().unwrap_or(main);
        let shown = file.strip_prefix(&self.root).unwrap_or(file);
        shown.display().to_string()
    }
}

/// File or folder of the test's innermost module that has one: `timed::fence::it` is in `timed/fence.rs`.
fn module_file(main: &Path, test: &str) -> Option<PathBuf> {
    let mut folder = main.parent()?.to_owned();
    let mut found = None;
    for module in test.split("::") {
        let candidates = [folder.join(format!("{module}.rs")), folder.join(module)];
        let Some(path) = candidates.into_iter().find(|path| path.exists()) else {
            break;
        };
        folder.push(module);
        found = Some(path);
    }
    found
}

/// Nextest's name for a program: <https://nexte.st/docs/glossary/#binary-id>.
fn binary_id(package: &str, target: &Target) -> String {
    match target.kind.first().map_or("lib", String::as_str) {
        "test" => format!("{package}::{}", target.name),
        kind @ ("bin" | "example" | "bench") => format!("{package}::{kind}/{}", target.name),
        _ => package.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_in_its_module_file_or_folder_or_else_in_the_main_file() {
        let sources = Sources::of_this_workspace().expect("this is a workspace");
        let file = |program, test| sources.file_of(program, test);
        let end_to_end = "spared-tests::end_to_end";
        assert_eq!(
            file(end_to_end, "every_file_here_is_a_module"),
            "tests/tests/end_to_end/main.rs"
        );
        assert_eq!(
            file(end_to_end, "link::it_joins"),
            "tests/tests/end_to_end/link.rs"
        );
        assert_eq!(
            file(end_to_end, "timed::fence::it_is_silent"),
            "tests/tests/end_to_end/timed/fence.rs"
        );
        assert_eq!(
            file(end_to_end, "link::alone::it_is_fast"),
            "tests/tests/end_to_end/link.rs"
        );
        assert_eq!(file("spared-tests", "probe::tests::it"), "tests/src/probe");
        assert_eq!(
            file("spared-tests::bin/minutes", "sources::tests::it"),
            "tests/src/bin/minutes/sources.rs"
        );
        assert_eq!(file("another", "a::b"), "another");
    }
}
