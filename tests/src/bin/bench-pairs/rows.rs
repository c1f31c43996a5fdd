// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads the reports of a bench, and pairs the rows of two builds.

use std::path::Path;

use serde_json::{Map, Value};

use spared_tests::Result;

/// One row of one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Case and scale, such as `silent cut 10ms`.
    pub name: String,
    /// First number of the row, which is spared's own; the second one is a competitor's.
    pub ours: f64,
}

/// Values of a row, pair by pair.
pub struct Pairs {
    pub name: String,
    pub base: Vec<f64>,
    pub here: Vec<f64>,
}

/// Reads the report of a bench: target/bench/NAME.json.
pub fn read(file: &Path) -> Result<Vec<Row>> {
    let named = |why: String| format!("{}: {why}", file.display());
    let text = std::fs::read_to_string(file).map_err(|error| named(error.to_string()))?;
    let entries: Vec<Map<String, Value>> =
        serde_json::from_str(&text).map_err(|error| named(error.to_string()))?;
    let rows = entries.iter().map(row).collect::<Option<Vec<_>>>();
    let rows = rows.ok_or_else(|| named("a row without case and number".to_owned()))?;
    if rows.is_empty() {
        return Err(named("no rows: does CASES select any?".to_owned()).into());
    }
    Ok(rows)
}

// Each bench has its own column names: `ours`, `ours_ms`; `interval`, `flows`.
fn row(entry: &Map<String, Value>) -> Option<Row> {
    let case = entry.get("case")?.as_str()?;
    let is_text = |(key, value): (&String, &Value)| {
        let known = ["case", "note"].contains(&key.as_str());
        value.as_str().filter(|_| !known).map(str::to_owned)
    };
    let scale = entry.iter().find_map(is_text).unwrap_or_default();
    let ours = entry.iter().find(|(key, _)| key.starts_with("ours"))?.1;
    Some(Row {
        name: format!("{case} {scale}").trim_end().to_owned(),
        ours: ours.as_f64()?,
    })
}

/// Pairs the rows of all runs of both sides. A row has the same name in both, or, if it was renamed
/// since, the same place in reports of the same length.
pub fn pair(runs: &[Vec<Vec<Row>>; 2]) -> Result<Vec<Pairs>> {
    let [base, here] = [0, 1].map(|side| runs[side].first().map_or(&[][..], Vec::as_slice));
    for (runs, first) in runs.iter().zip([base, here]) {
        if let Some(other) = runs.iter().find(|run| names(run) != names(first)) {
            let (other, first) = (names(other).join(", "), names(first).join(", "));
            return Err(format!("one build's runs have different rows: {first}; {other}").into());
        }
    }
    let mut pairs = Vec::new();
    for (at, row) in here.iter().enumerate() {
        let Some(there) = partner(base, here, at) else {
            spared_tests::say!("{}: not in the base's report", row.name);
            continue;
        };
        let column = |side: usize, at: usize| runs[side].iter().map(|run| run[at].ours).collect();
        let was = &base[there].name;
        let renamed = (*was != row.name).then(|| format!(" (was {was})"));
        pairs.push(Pairs {
            name: row.name.clone() + &renamed.unwrap_or_default(),
            base: column(0, there),
            here: column(1, at),
        });
    }
    let paired = |at: usize| {
        here.iter()
            .enumerate()
            .any(|(it, _)| partner(base, here, it) == Some(at))
    };
    for (at, row) in base.iter().enumerate() {
        if !paired(at) {
            spared_tests::say!("{}: in the base's report only", row.name);
        }
    }
    Ok(pairs)
}

fn names(rows: &[Row]) -> Vec<&str> {
    rows.iter().map(|row| row.name.as_str()).collect()
}

fn partner(base: &[Row], here: &[Row], at: usize) -> Option<usize> {
    let named = base.iter().position(|row| row.name == here[at].name);
    let free = || {
        let taken = |row: &Row| here.iter().any(|it| it.name == row.name);
        let same_length = base.len() == here.len();
        base.get(at)
            .filter(|row| same_length && !taken(row))
            .map(|_| at)
    };
    named.or_else(free)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(rows: &[(&str, f64)]) -> Vec<Row> {
        let row = |&(name, ours): &(&str, f64)| Row {
            name: name.to_owned(),
            ours,
        };
        rows.iter().map(row).collect()
    }

    fn shown(pairs: &[Pairs]) -> Vec<(&str, &[f64], &[f64])> {
        pairs
            .iter()
            .map(|row| (row.name.as_str(), &row.base[..], &row.here[..]))
            .collect()
    }

    #[test]
    fn rows_meet_by_their_names_wherever_they_stand() {
        let base = run(&[("a", 1.0), ("b", 2.0), ("gone", 9.0)]);
        let here = run(&[("b", 3.0), ("a", 4.0)]);
        let pairs = pair(&[vec![base], vec![here]]).expect("pairs");
        assert_eq!(
            shown(&pairs),
            [("b", &[2.0][..], &[3.0][..]), ("a", &[1.0], &[4.0])]
        );
    }

    #[test]
    fn a_renamed_row_is_found_by_its_place() {
        let base = run(&[("earlier", 1.0), ("b", 2.0)]);
        let here = run(&[("failover", 3.0), ("b", 4.0)]);
        let pairs = pair(&[vec![base], vec![here]]).expect("pairs");
        assert_eq!(
            shown(&pairs),
            [
                ("failover (was earlier)", &[1.0][..], &[3.0][..]),
                ("b", &[2.0], &[4.0])
            ]
        );
    }

    #[test]
    fn runs_of_one_build_that_differ_in_their_rows_are_refused() {
        let runs = [vec![run(&[("a", 1.0)]), run(&[("b", 1.0)])], vec![]];
        assert!(pair(&runs).is_err());
    }

    #[test]
    fn columns_are_found_whatever_the_bench_calls_them() {
        let entry = serde_json::json!({
            "allowed": 5.0, "case": "silent cut", "interval": "10ms", "keepalived_ms": 30.0,
            "note": "2 discarded", "ours_ms": 33.1, "ratio": 1.1,
        });
        let row = row(entry.as_object().expect("an object")).expect("a row");
        assert_eq!((row.name.as_str(), row.ours), ("silent cut 10ms", 33.1));
    }
}
