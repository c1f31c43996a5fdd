// SPDX-License-Identifier: MIT OR Apache-2.0
//! The report: a table on the screen and a list in target/bench/NAME.json.

use std::fs;

use serde_json::{Value, json};

use spared_tests::Result;
use spared_tests::lab::build_dir;

/// Two measures of the same thing: ours and another program's.
pub struct Row {
    /// Name of the measure, if it is not the outage.
    pub what: &'static str,
    pub ours: f64,
    /// Measure of keepalived, or of what the report's title names.
    pub beside: f64,
    /// Most that ours may be, if something is promised.
    pub allowed: Option<f64>,
    /// Spread and discarded runs, for the table.
    pub note: String,
}

pub struct Report {
    pub(crate) name: &'static str,
    /// Names of both measures in the file.
    fields: [&'static str; 2],
    /// Titles of both measures on the screen.
    titles: [&'static str; 2],
    /// Title of the second column.
    scale: &'static str,
    entries: Vec<Value>,
    /// Number of broken promises.
    pub(crate) missed: usize,
}

impl Report {
    pub fn new(name: &'static str, fields: [&'static str; 2], titles: [&'static str; 2]) -> Self {
        Self {
            name,
            fields,
            titles,
            scale: "interval",
            entries: Vec::new(),
            missed: 0,
        }
    }

    /// Sets another scale than the interval.
    pub fn by(mut self, scale: &'static str) -> Self {
        self.scale = scale;
        self
    }

    pub fn add(&mut self, case: &str, interval: &str, row: Row) {
        if self.entries.is_empty() {
            spared_tests::say!(
                "{:<44}{:>9}{:>10}{:>12}{:>8}{:>9}",
                "case (medians)",
                self.scale,
                self.titles[0],
                self.titles[1],
                "ratio",
                "allowed"
            );
        }
        let case = if row.what.is_empty() {
            case.to_owned()
        } else {
            format!("{case}: {}", row.what)
        };
        let ratio = (row.beside > 0.0).then(|| round(row.ours / row.beside));
        let shown = ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.3}"));
        // a promise relative to another program needs its measure
        let allowed = row.allowed.filter(|it| !it.is_nan());
        let verdict = match allowed {
            None => format!("{:>9}", "-"),
            Some(allowed) if row.ours <= allowed => format!("{allowed:>9.1}"),
            Some(allowed) => {
                self.missed += 1;
                format!("{allowed:>9.1} MISSED")
            }
        };
        let beside = if row.beside.is_nan() {
            "-".to_owned()
        } else {
            format!("{:.1}", row.beside)
        };
        spared_tests::say!(
            "{case:<44}{interval:>9}{:>10.1}{beside:>12}{shown:>8}{verdict}  {}",
            row.ours,
            row.note
        );
        let [ours, beside] = self.fields;
        self.entries.push(json!({
            "case": case,
            self.scale: interval,
            ours: round(row.ours),
            beside: round(row.beside),
            "ratio": ratio,
            "allowed": allowed.map(round),
            "note": row.note,
        }));
    }

    pub fn write(&self) -> Result<()> {
        let build = build_dir()?;
        let dir = build.parent().unwrap_or(&build).join("bench");
        fs::create_dir_all(&dir)?;
        let file = dir.join(format!("{}.json", self.name));
        fs::write(&file, serde_json::to_string_pretty(&self.entries)? + "\n")?;
        spared_tests::say!("{}", file.display());
        Ok(())
    }
}

fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
