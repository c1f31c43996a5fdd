// SPDX-License-Identifier: MIT OR Apache-2.0
//! Findings of systemd about the packaged units: their exposure does not grow, and SECURITY.md has a reason for each
//! point that they leave open, and for no other. The files of the configuration are writable for the starter's alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use spared_tests::lab::note_skip;

/// The daemon's unit, and the starter's, which leaves the same open and more. Beside each the greatest exposure: ten
/// times what systemd-analyze prints, as its option has it.
const UNITS: [(&str, &str); 2] = [
    ("packaging/debian/spared.service", "--threshold=25"),
    (
        "packaging/debian/spared.spared-starter.service",
        "--threshold=32",
    ),
];
const HEADINGS: [&str; 2] = [
    "### What spared.service leaves open",
    "### What spared-starter.service leaves open besides",
];

/// A line of systemd-analyze.
#[derive(Deserialize)]
struct Point {
    name: String,
    /// Its part of the exposure; none if the unit closes it, or if it does not apply.
    exposure: Option<String>,
}

#[test]
fn the_exposure_of_the_units_does_not_grow() {
    for (unit, most) in UNITS {
        let Some((ended, text)) = analyze(unit, most) else {
            return;
        };
        assert!(ended, "{}", text.lines().last().unwrap_or_default());
    }
}

#[test]
fn every_point_that_a_unit_leaves_open_has_a_reason_and_no_other_has_one() {
    let [Some(daemon), Some(starter)] = UNITS.map(|(unit, _)| open_points(unit)) else {
        return;
    };
    let [of_daemon, of_starter] = HEADINGS.map(reasons);
    let of_both = [of_daemon.clone(), of_starter.clone()].concat();
    for (open, reasons) in [(&daemon, &of_daemon), (&starter, &of_both)] {
        let has_reason = |point: &[String]| point.iter().any(|word| is_listed(word, reasons));
        let missing: Vec<_> = open.iter().filter(|point| !has_reason(point)).collect();
        assert!(
            missing.is_empty(),
            "SECURITY.md has no reason for {missing:?}"
        );
    }
    for (open, reasons) in [(&daemon, &of_daemon), (&starter, &of_starter)] {
        let is_open = |reason: &str| open.iter().flatten().any(|word| matches(word, reason));
        let closed: Vec<_> = reasons.iter().filter(|reason| !is_open(reason)).collect();
        assert!(closed.is_empty(), "the unit does not leave open {closed:?}");
    }
}

#[test]
fn root_alone_in_the_units_may_write_the_configuration() {
    let [daemon, starter] = UNITS.map(|(unit, _)| written_by(unit));
    // files that nobody confirmed go back there
    assert!(starter.contains(&"-/etc/spared".to_owned()), "{starter:?}");
    let is_configuration = |path: &String| path.trim_start_matches('-').starts_with("/etc");
    assert!(!daemon.iter().any(is_configuration), "{daemon:?}");
    assert_eq!(starter.iter().filter(|it| is_configuration(it)).count(), 1);
}

/// Paths that a unit may write.
fn written_by(unit: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(unit)).expect("it is there");
    let lines = text.lines();
    let lists = lines.filter_map(|line| line.strip_prefix("ReadWritePaths="));
    let paths = lists.flat_map(str::split_whitespace);
    paths.map(str::to_owned).collect()
}

/// Points that a unit leaves open, each with the words for it.
fn open_points(unit: &str) -> Option<Vec<Vec<String>>> {
    let (_, text) = analyze(unit, "--json=short")?;
    let points: Vec<Point> = serde_json::from_str(&text).expect("a list of points");
    let open = points.iter().filter(|point| point.exposure.is_some());
    let open: Vec<Vec<String>> = open.map(|point| words_of(&point.name)).collect();
    assert!(open.len() > 10, "{text}");
    Some(open)
}

/// Runs `systemd-analyze security` on the unit, without systemd. Returns whether it succeeded, and its output.
/// None if there is no program that can.
fn analyze(unit: &str, option: &str) -> Option<(bool, String)> {
    let mut command = Command::new("systemd-analyze");
    command.args(["security", "--no-pager", "--offline=true"]);
    command.arg(option).arg(root().join(unit));
    let output = command.output();
    let output = output.ok().filter(|output| !output.stdout.is_empty());
    let Some(output) = output else {
        note_skip(
            "needs systemd-analyze of systemd 250 or later, which reads a unit without running it",
        );
        return None;
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Some((output.status.success(), text))
}

/// Words of SECURITY.md for a point's name, any of which will do: "CAP_SETUID" and others for
/// "CapabilityBoundingSet=~CAP_SET(UID|GID|PCAP)", "User" and "DynamicUser" for "User=/DynamicUser=".
fn words_of(point: &str) -> Vec<String> {
    let Some((_, value)) = point.split_once("=~") else {
        let options = point.split('/').map(|option| option.trim_end_matches('='));
        return options.map(str::to_owned).collect();
    };
    match value.split_once('(') {
        Some((start, ends)) => {
            let ends = ends.trim_end_matches(')').split('|');
            ends.map(|end| format!("{start}{end}")).collect()
        }
        None => vec![value.to_owned()],
    }
}

fn is_listed(word: &str, reasons: &[String]) -> bool {
    reasons.iter().any(|reason| matches(word, reason))
}

/// True if they are the same, or the word is the start of it with a star, such as "CAP_DAC_*".
fn matches(word: &str, reason: &str) -> bool {
    match word.strip_suffix('*') {
        Some(start) => reason.starts_with(start),
        None => word == reason,
    }
}

/// First column of the table below a heading of SECURITY.md.
fn reasons(heading: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join("SECURITY.md")).expect("it is there");
    let (_, after) = text.split_once(heading).expect("its heading is there");
    let rows = after.lines().skip_while(|line| !line.starts_with("|---"));
    let rows = rows.skip(1).take_while(|line| line.starts_with('|'));
    let cells = rows.filter_map(|row| row.split('|').nth(1));
    let words = cells.flat_map(|cell| cell.split(',').map(str::trim));
    words.map(str::to_owned).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
