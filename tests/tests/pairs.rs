// SPDX-License-Identifier: MIT OR Apache-2.0
//! `bench-pairs` in a repository of two commits whose bench is a program that knows its figures.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A bench that reports these values of three rows, a little more with each run, and fails as
/// benches do that miss a promise.
fn bench(values: [f64; 3]) -> String {
    format!(
        r##"
fn main() {{
    let target = std::env::current_exe().unwrap();
    let target = target.parent().unwrap().parent().unwrap().join("bench");
    std::fs::create_dir_all(&target).unwrap();
    let count = std::fs::read_to_string(target.join("count")).unwrap_or_default().len();
    std::fs::write(target.join("count"), "x".repeat(count + 1)).unwrap();
    assert_eq!(std::env::args().nth(1).as_deref(), Some("--quick"));
    let rows = ["steady", "grown", "wild"].iter().zip({values:?}).map(|(case, value)| {{
        let wild = if *case == "wild" {{ value * (count % 4) as f64 }} else {{ 0.0 }};
        let ours = value + count as f64 / 100.0 + wild;
        format!(r#"{{{{"case": "{{case}}", "interval": "10ms", "ours_ms": {{ours}}, "note": ""}}}}"#)
    }});
    let rows: Vec<String> = rows.collect();
    std::fs::write(target.join("fake.json"), format!("[{{}}]", rows.join(","))).unwrap();
    std::process::exit(1);
}}
"##
    )
}

struct Repository(PathBuf);

impl Repository {
    fn new(name: &str) -> Self {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(root.join("src/bin")).unwrap();
        let manifest = "[package]\nname = \"fake\"\nedition = \"2024\"\n[workspace]\n";
        fs::write(root.join("Cargo.toml"), manifest).unwrap();
        let lock = "version = 4\n[[package]]\nname = \"fake\"\nversion = \"0.0.0\"\n";
        fs::write(root.join("Cargo.lock"), lock).unwrap();
        fs::write(root.join(".gitignore"), "target/\n").unwrap();
        let repository = Self(root);
        repository.git(&["init", "--quiet"]);
        repository
    }

    fn git(&self, words: &[&str]) {
        let identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"];
        let status = Command::new("git")
            .current_dir(&self.0)
            .args(identity)
            .args(words)
            .status();
        assert!(status.unwrap().success(), "git {words:?}");
    }

    fn write(&self, values: [f64; 3]) {
        fs::write(self.0.join("src/bin/bench-fake.rs"), bench(values)).unwrap();
    }

    fn pairs(&self, words: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_bench-pairs"))
            .current_dir(&self.0)
            .env_remove("CARGO_TARGET_DIR")
            .args(words)
            .output()
            .unwrap()
    }
}

impl Drop for Repository {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn two_builds_are_compared_pair_by_pair() {
    let repository = Repository::new("pairs");
    repository.write([100.0, 100.0, 100.0]);
    repository.git(&["add", "."]);
    repository.git(&["commit", "--quiet", "-m", "base"]);
    // what is not committed is compared
    repository.write([100.0, 110.0, 100.0]);
    let output = repository.pairs(&["HEAD", "fake", "5", "--quick"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{text}{errors}");
    let row = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap();
    assert!(row("steady 10ms").ends_with("  same"), "{text}");
    assert!(row("grown 10ms").contains("+10.0 %"), "{text}");
    assert!(row("grown 10ms").ends_with("  slower"), "{text}");
    assert!(text.contains("medians of 5 pairs"), "{text}");
    assert!(row("base: ").contains("-dirty"), "{text}");
    assert!(repository.0.join("target/bench/pairs-fake.json").exists());

    // by chance alone the next one differs: the pairs of "wild" are out of step
    let wild = repository.0.join("target/bench/count");
    fs::write(&wild, "xx").unwrap();
    let output = repository.pairs(&["HEAD", "fake", "5", "--quick"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let row = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap();
    assert!(row("wild 10ms").contains("  undecided ("), "{text}");
    assert!(row("steady 10ms").ends_with("  same"), "{text}");
}

#[test]
fn what_cannot_be_compared_is_said() {
    let repository = Repository::new("no-pairs");
    repository.write([1.0, 1.0, 1.0]);
    repository.git(&["add", "."]);
    repository.git(&["commit", "--quiet", "-m", "base"]);
    let error = |words: &[&str]| {
        let output = repository.pairs(words);
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(error(&["HEAD", "fake"]).contains("usage: make bench-pairs BASE="));
    assert!(error(&["HEAD", "fake", "none"]).contains("N=none is no number of pairs"));
    assert!(error(&["nothing", "fake", "1"]).contains("BASE=nothing is no commit"));
    assert!(error(&["HEAD", "other", "1"]).contains("has no bench-other, only bench-fake"));
    // the bench fails without its word: nothing is written
    let silent = error(&["HEAD", "fake", "1", "--slow"]);
    assert!(silent.contains("without writing"), "{silent}");
}
