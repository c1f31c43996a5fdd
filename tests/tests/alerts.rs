// SPDX-License-Identifier: MIT OR Apache-2.0
//! The alerting rules of docs/examples: promtool accepts them, and sees each fire and be silent.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use spared_tests::dashboard::promtool;
use spared_tests::lab::find_program;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn each_alert_fires_and_is_silent() {
    if find_program(Path::new("promtool")).is_none() {
        eprintln!("skipped: promtool is not installed");
        return;
    }
    let rules = root().join("docs/examples/alerts.yml");
    let cases = root().join("tests/alerts/alerts.test.yml");
    promtool(&["check", "rules"], &rules).expect("the rules are accepted");
    promtool(&["test", "rules"], &cases).expect("the cases pass");
    let rules = fs::read_to_string(rules).expect("the rules are there");
    let names = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "));
    let names: BTreeSet<&str> = names.collect();
    let cases = fs::read_to_string(cases).expect("the cases are there");
    let tested = cases
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- name: "));
    let tested: BTreeSet<String> = tested.map(str::to_owned).collect();
    let wanted = names
        .iter()
        .flat_map(|name| [format!("{name} fires"), format!("{name} is silent")]);
    let wanted: BTreeSet<String> = wanted.collect();
    assert!(names.len() >= 12, "{names:?}");
    assert_eq!(tested, wanted);
}
