// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table on the screen and the list in target/bench/takeover.json.

use std::fs;

use serde::Serialize;

use spared_tests::Result;
use spared_tests::lab::build_dir;

/// Ours and keepalived's measure of the same thing.
pub struct Row {
    /// What of the case this is, where it is not the outage.
    pub what: &'static str,
    pub ours: f64,
    pub keepalived: f64,
    /// What ours may be at most, where something is promised.
    pub allowed: Option<f64>,
    /// Spread and discarded runs, for the table.
    pub note: String,
}

/// The fields are the issue's; what is no time (transitions, KiB) says so in `case`.
#[derive(Serialize)]
struct Entry {
    case: String,
    interval: String,
    ours_ms: f64,
    keepalived_ms: f64,
    /// None where keepalived's is 0.
    ratio: Option<f64>,
}

#[derive(Default)]
pub struct Report {
    entries: Vec<Entry>,
    /// How many promises were broken.
    pub missed: usize,
}

impl Report {
    pub fn add(&mut self, case: &str, interval: &str, row: Row) {
        if self.entries.is_empty() {
            println!(
                "{:<44}{:>9}{:>10}{:>12}{:>8}{:>9}",
                "case (medians, ms)", "interval", "spared", "keepalived", "ratio", "allowed"
            );
        }
        let case = if row.what.is_empty() {
            case.to_owned()
        } else {
            format!("{case}: {}", row.what)
        };
        let ratio = (row.keepalived > 0.0).then(|| round(row.ours / row.keepalived));
        let shown = ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.3}"));
        let verdict = match row.allowed {
            None => format!("{:>9}", "-"),
            Some(allowed) if row.ours <= allowed => format!("{allowed:>9.1}"),
            Some(allowed) => {
                self.missed += 1;
                format!("{allowed:>9.1} MISSED")
            }
        };
        println!(
            "{case:<44}{interval:>9}{:>10.1}{:>12.1}{shown:>8}{verdict}  {}",
            row.ours, row.keepalived, row.note
        );
        self.entries.push(Entry {
            case,
            interval: interval.to_owned(),
            ours_ms: round(row.ours),
            keepalived_ms: round(row.keepalived),
            ratio,
        });
    }

    pub fn write(&self) -> Result<()> {
        let build = build_dir()?;
        let dir = build.parent().unwrap_or(&build).join("bench");
        fs::create_dir_all(&dir)?;
        let file = dir.join("takeover.json");
        fs::write(&file, serde_json::to_string_pretty(&self.entries)? + "\n")?;
        println!("{}", file.display());
        Ok(())
    }
}

fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
