// SPDX-License-Identifier: MIT OR Apache-2.0
//! Builds both sides, each with a target folder of its own, and runs a bench of theirs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use spared_tests::Result;

use crate::rows::{self, Row};

pub struct Side {
    /// Name of the commit, or of the work tree.
    pub name: String,
    /// Target folder of cargo.
    target: PathBuf,
}

pub struct Bench {
    name: String,
    program: PathBuf,
    /// Folder of the measured programs.
    measured: PathBuf,
    report: PathBuf,
}

/// Builds the commit in a work tree of its own, which is kept: the next comparison needs no build.
pub fn base(root: &Path, commit: &str) -> Result<Side> {
    let revision = format!("{commit}^{{commit}}");
    let commit = output(git(root).args(["rev-parse", "--verify", "--quiet", &revision]))
        .map_err(|_| format!("BASE={commit} is no commit of this repository"))?;
    // Sockets of labs lie below this folder: their paths have room for a hundred bytes.
    let name = output(git(root).args(["rev-parse", "--short=8", &commit]))?;
    let target = root.join("target/pairs").join(&name);
    let tree = target.join("tree");
    if !tree.join("Cargo.toml").exists() {
        // folders that `make clean` removed are still registered
        succeed(git(root).args(["worktree", "prune"]))?;
        let path = tree.display().to_string();
        succeed(git(root).args([
            "worktree", "add", "--quiet", "--force", "--detach", &path, &commit,
        ]))?;
    }
    build(&tree, &target)?;
    Ok(Side { name, target })
}

/// Builds the work tree, including uncommitted changes.
pub fn here(root: &Path) -> Result<Side> {
    let target = root.join("target");
    build(root, &target)?;
    let name = output(git(root).args(["describe", "--always", "--dirty"]))?;
    Ok(Side { name, target })
}

fn build(tree: &Path, target: &Path) -> Result<()> {
    spared_tests::say!("building {}", tree.display());
    let words = ["build", "--locked", "--release", "--workspace"];
    let mut cargo = Command::new("cargo");
    let cargo = cargo.args(words).current_dir(tree);
    succeed(cargo.env("CARGO_TARGET_DIR", target))
}

impl Side {
    pub fn bench(&self, name: &str) -> Result<Bench> {
        let program = self.target.join(format!("release/bench-{name}"));
        if !program.is_file() {
            let has = self.benches().join(", ");
            return Err(format!(
                "{} has no bench-{name}, only {has}; BENCH=there:here compares benches of two names",
                self.name
            )
            .into());
        }
        Ok(Bench::new(name, program, &self.target))
    }

    fn benches(&self) -> Vec<String> {
        let entries = fs::read_dir(self.target.join("release"));
        let names = entries
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.file_name());
        let bench = |name: &str| name.starts_with("bench-") && !name.contains('.');
        let mut names: Vec<String> = names
            .filter_map(|name| name.into_string().ok())
            .filter(|name| bench(name) && name != "bench-pairs")
            .collect();
        names.sort();
        names
    }
}

impl Bench {
    fn new(name: &str, program: PathBuf, target: &Path) -> Self {
        Self {
            name: name.to_owned(),
            program,
            measured: target.join("release"),
            report: target.join(format!("bench/{name}.json")),
        }
    }

    /// Returns the bench's program for measuring another side.
    pub fn of(&self, side: &Side) -> Self {
        Self::new(&self.name, self.program.clone(), &side.target)
    }

    /// Runs the bench and returns its rows. A bench that misses its promise reports so and fails, but its measurement
    /// is complete.
    pub fn run(&self, options: &[&String]) -> Result<Vec<Row>> {
        if self.report.exists() {
            fs::remove_file(&self.report)?;
        }
        let program = self.program.display();
        let mut command = Command::new(&self.program);
        let command = command.args(options).stdin(Stdio::null());
        let command = command.env("SPARED_BUILD_DIR", &self.measured);
        let status = command
            .status()
            .map_err(|error| format!("{program}: {error}"))?;
        if !self.report.exists() {
            let report = self.report.display();
            return Err(format!("{program}: {status}, without writing {report}").into());
        }
        rows::read(&self.report)
    }
}

fn git(root: &Path) -> Command {
    let mut git = Command::new("git");
    git.arg("-C").arg(root);
    git
}

fn succeed(command: &mut Command) -> Result<()> {
    let status = command.status().map_err(|error| shown(command, error))?;
    if status.success() {
        Ok(())
    } else {
        Err(shown(command, status).into())
    }
}

fn output(command: &mut Command) -> Result<String> {
    let output = command.stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| shown(command, error))?;
    if output.status.success() {
        Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
    } else {
        Err(shown(command, output.status).into())
    }
}

fn shown(command: &Command, why: impl std::fmt::Display) -> String {
    let program = command.get_program().to_string_lossy();
    let words: Vec<_> = command
        .get_args()
        .map(|word| word.to_string_lossy())
        .collect();
    format!("{program} {}: {why}", words.join(" "))
}
