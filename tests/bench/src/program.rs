// SPDX-License-Identifier: MIT OR Apache-2.0
//! `main` of every bench: runs the cases that the command line selects, and reports them.

use std::process::ExitCode;

use spared_tests::Result;
use spared_tests::lab::{become_root, leave_when_told};
use spared_tests::say::wants_help;

use crate::report::{Report, Row};
use crate::series::Bench;

const RUNS: usize = 11;
const QUICK_RUNS: usize = 3;

/// A case: its name, its advert interval or other scale, and the measurement.
pub type Case = (&'static str, &'static str, fn(&Bench) -> Result<Vec<Row>>);

/// Runs a bench. `--quick` makes three runs instead of eleven, `--runs=N` N runs; `--alone` leaves out
/// keepalived and conntrackd; words select the cases whose name contains one of them.
pub fn program(report: Report, cases: &[Case]) -> ExitCode {
    program_with(report, cases, || ())
}

/// The same. If a signal ends the bench, `farewell` runs first.
pub fn program_with(mut report: Report, cases: &[Case], farewell: fn()) -> ExitCode {
    match run(&mut report, cases, farewell) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-{}: {error}", report.name);
            ExitCode::FAILURE
        }
    }
}

fn usage(name: &str, cases: &[Case]) -> String {
    let cases = cases
        .iter()
        .map(|(case, scale, _)| format!("{case} {scale}"));
    let cases: Vec<String> = cases.collect();
    format!(
        "usage: bench-{name} [--quick] [--runs=N] [--alone] [WORD...]\n\n\
         Words select the cases whose name contains one of them, of:\n  {}",
        cases.join("\n  ")
    )
}

fn run(report: &mut Report, cases: &[Case], farewell: fn()) -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let has = |option: &str| words.iter().any(|word| word == option);
    let said = words.iter().find_map(|word| word.strip_prefix("--runs="));
    let runs = match said {
        Some(text) => text
            .parse()
            .map_err(|_| format!("--runs={text} is no number"))?,
        None if has("--quick") => QUICK_RUNS,
        None => RUNS,
    };
    if wants_help(&words) {
        spared_tests::say!("{}", usage(report.name, cases));
        return Ok(());
    }
    let chosen: Vec<_> = words
        .iter()
        .filter(|word| !word.starts_with("--"))
        .collect();
    become_root()?;
    leave_when_told(farewell)?;
    let bench = Bench::new(runs, has("--alone"));
    for (case, interval, measure) in cases {
        let name = format!("{case} {interval}");
        if !chosen.is_empty() && !chosen.iter().any(|word| name.contains(word.as_str())) {
            continue;
        }
        for row in measure(&bench).map_err(|error| format!("{name}: {error}"))? {
            report.add(case, interval, row);
        }
    }
    report.write()?;
    match report.missed {
        0 => Ok(()),
        missed => Err(format!("{missed} missed").into()),
    }
}
