//! RULES.md names the tests that hold each rule of order and time: they must be there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All Rust code below a folder.
fn read_sources(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).expect("a folder of this repository") {
        let path = entry.expect("its entry").path();
        if path.is_dir() {
            read_sources(&path, text);
        } else if path.extension().is_some_and(|it| it == "rs") {
            text.push_str(&fs::read_to_string(&path).expect("text"));
        }
    }
}

#[test]
fn each_rule_is_held_by_tests_that_are_there() {
    let mut sources = String::new();
    for folder in ["abi", "host", "lib", "tests/tests"] {
        read_sources(&root().join(folder), &mut sources);
    }
    let tests: BTreeSet<&str> = sources
        .split("fn ")
        .filter_map(|rest| rest.split_once("() {").map(|(name, _)| name))
        .collect();
    let rules = fs::read_to_string(root().join("abi/RULES.md")).unwrap();
    let rows = rules.lines().filter_map(|line| line.strip_prefix("| "));
    let rows = rows.filter(|row| row.starts_with(|it: char| it.is_ascii_digit()));
    let mut count = 0;
    for row in rows {
        count += 1;
        let (number, rest) = row.split_once(" | ").unwrap();
        assert_eq!(number, count.to_string(), "rules are numbered from 1 on");
        let (_, names) = rest.trim_end_matches(" |").rsplit_once(" | ").unwrap();
        let names: Vec<&str> = names.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "rule {number} is held by no test");
        for name in names {
            assert!(
                tests.contains(name),
                "rule {number}: there is no test {name}"
            );
        }
    }
    assert!(count > 30, "{count} rules were read");
}
