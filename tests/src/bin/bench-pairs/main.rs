// SPDX-License-Identifier: MIT OR Apache-2.0
//! `make bench-pairs BASE=commit BENCH=name N=15`: runs one bench of two builds in turns, and compares them.
//!
//! `bench-pairs BASE BENCH N [OPTION...]` builds two sides: the commit BASE, in a work tree below target/pairs/ that is
//! kept, and the present work tree. It runs `bench-BENCH OPTION...` of both N times, alternating which comes first, and
//! judges each row of their reports by the rule of [`judge`].
//!
//! With the option `--by-here` the bench of the work tree measures the programs of both sides: for a bench that the
//! base lacks, or that can do more than the base's (`--runs=1 --alone`).

#![forbid(unsafe_code)]

mod build;
mod judge;
mod rows;
mod table;

use std::env;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use serde_json::json;

use spared_tests::Result;
use spared_tests::say::wants_help;

use build::Side;
use rows::Row;

const USAGE: &str = "usage: make bench-pairs BASE=commit BENCH=name N=15";
const BY_HERE: &str = "--by-here";

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-pairs: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[String]) -> Result<()> {
    if wants_help(words) {
        spared_tests::say!("{USAGE}");
        return Ok(());
    }
    let [base, bench, count, options @ ..] = words else {
        return Err(USAGE.into());
    };
    let count: usize = count
        .parse()
        .ok()
        .filter(|count| *count > 0)
        .ok_or_else(|| format!("N={count} is no number of pairs; {USAGE}"))?;
    let root = env::current_dir()?;
    // BASE first, because its name is more likely to be wrong
    let sides = [build::base(&root, base)?, build::here(&root)?];
    let (base_bench, bench) = bench.split_once(':').unwrap_or((bench, bench));
    let (by_here, options): (Vec<_>, Vec<_>) = options.iter().partition(|it| *it == BY_HERE);
    let here = sides[1].bench(bench)?;
    let benches = if by_here.is_empty() {
        [sides[0].bench(base_bench)?, here]
    } else {
        [here.of(&sides[0]), here]
    };
    let mut runs: [Vec<Vec<Row>>; 2] = [Vec::new(), Vec::new()];
    for pair in 0..count {
        spared_tests::say!("pair {} of {count}", pair + 1);
        // Changes over time, and leftovers of the previous run, affect both sides equally.
        for side in [pair % 2, 1 - pair % 2] {
            runs[side].push(benches[side].run(&options)?);
        }
    }
    let pairs = rows::pair(&runs)?;
    keep(&root, bench, &sides, &pairs)?;
    spared_tests::say::put(&table::of(&pairs, [&sides[0].name, &sides[1].name]));
    Ok(())
}

/// Writes all measurements to a file, so that a verdict can be checked.
fn keep(root: &Path, bench: &str, sides: &[Side; 2], pairs: &[rows::Pairs]) -> Result<()> {
    let folder = root.join("target/bench");
    fs::create_dir_all(&folder)?;
    let rows = pairs
        .iter()
        .map(|row| json!({"row": row.name, "base": row.base, "here": row.here}));
    let report = json!({
        "base": sides[0].name,
        "here": sides[1].name,
        "rows": rows.collect::<Vec<_>>(),
    });
    let file = folder.join(format!("pairs-{bench}.json"));
    fs::write(&file, serde_json::to_string_pretty(&report)? + "\n")
        .map_err(|error| format!("{}: {error}", file.display()))?;
    spared_tests::say!("{}", file.display());
    Ok(())
}
