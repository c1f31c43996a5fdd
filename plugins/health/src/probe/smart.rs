//! Last reports of smartd or smartctl on the disks, which this plugin itself may not query.

use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use spared_sdk::config::format_duration;

use super::{bounded, names};
use crate::engine::Finding;

const FILE_MAX: u64 = 1 << 20;
/// Mask of raw values: some vendors use the upper bytes for something else.
const RAW_MASK: u64 = 0xffff_ffff;

/// Attributes whose raw value has to be zero.
const SECTORS: [(u64, &str); 2] = [(197, "pending sectors"), (198, "uncorrectable sectors")];
/// Kinds of mail by smartd that report a dying disk; smartd clears them once the disk is well.
const MAILS: [(&str, &str); 2] = [
    ("mail.1.count", "SMART says that it is failing"),
    ("mail.9.count", "it cannot be opened"),
];

/// Finding about disks; None if there is no report.
pub(super) fn read(directory: &Path, max_age_ns: Option<u64>) -> Result<Option<Finding>, String> {
    let mut disks = 0;
    let mut bad = Vec::new();
    for name in names(directory)? {
        let judge = match Path::new(&name).extension().and_then(|it| it.to_str()) {
            Some("state") => state,
            Some("json") => json,
            _ => continue,
        };
        let path = directory.join(&name);
        let fault = match bounded(&path, FILE_MAX) {
            Ok(bytes) => judge(&String::from_utf8_lossy(&bytes)),
            Err(error) => Some(format!("cannot be read: {error}")),
        };
        let fault = fault.or_else(|| too_old(&path, max_age_ns?));
        disks += 1;
        bad.extend(fault.map(|why| format!("{}: {why}", disk(&name))));
    }
    if disks == 0 {
        return Ok(None);
    }
    Ok(Some(if bad.is_empty() {
        Finding::good(format!("{disks} disks without fault"))
    } else {
        Finding::failed(bad.join("; "))
    }))
}

/// Name of the disk in a file name: "WDC_WD10-WD123" in "smartd.WDC_WD10-WD123.ata.state".
fn disk(file: &str) -> &str {
    let name = file.strip_prefix("smartd.").unwrap_or(file);
    name.split('.').next().unwrap_or(name)
}

/// Fault in a state file of smartd, which has lines "key = number".
fn state(text: &str) -> Option<String> {
    let lines: Vec<(&str, u64)> = text
        .lines()
        .filter_map(|line| {
            let (key, number) = line.split_once('=')?;
            Some((key.trim(), number.trim().parse().ok()?))
        })
        .collect();
    let value = |wanted: &str| {
        lines
            .iter()
            .find(|(key, _)| *key == wanted)
            .map(|(_, it)| *it)
    };
    for (key, why) in MAILS {
        if value(key).is_some_and(|count| count > 0) {
            return Some(why.to_owned());
        }
    }
    for (key, id) in &lines {
        let Some(stem) = key.strip_suffix(".id") else {
            continue;
        };
        let Some((_, what)) = SECTORS.iter().find(|(wanted, _)| wanted == id) else {
            continue;
        };
        let raw = value(&format!("{stem}.raw")).unwrap_or(0) & RAW_MASK;
        if raw > 0 {
            return Some(format!("{raw} {what}"));
        }
    }
    let errors = value("self-test-errors").filter(|errors| *errors > 0)?;
    Some(format!("{errors} failed self-tests"))
}

/// Fault in an output of `smartctl --json`.
fn json(text: &str) -> Option<String> {
    let Ok(report) = serde_json::from_str::<Value>(text) else {
        return Some("is not a report of smartctl".to_owned());
    };
    match report
        .pointer("/smart_status/passed")
        .and_then(Value::as_bool)
    {
        Some(true) => None,
        Some(false) => Some("SMART says that it is failing".to_owned()),
        None => Some("the report has no smart_status".to_owned()),
    }
}

fn too_old(path: &Path, max_age_ns: u64) -> Option<String> {
    let written = std::fs::metadata(path)
        .and_then(|about| about.modified())
        .ok()?;
    let age = SystemTime::now().duration_since(written).ok()?;
    let whole = Duration::from_secs(age.as_secs());
    let old = age > Duration::from_nanos(max_age_ns);
    old.then(|| format!("no update for {}", format_duration(whole)))
}
