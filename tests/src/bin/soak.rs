// SPDX-License-Identifier: MIT OR Apache-2.0
//! `make soak`: a pair with everything enabled, and a fault every few seconds, for SPARED_MINUTES, from
//! SPARED_SEED.

#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use spared_tests::Result;
use spared_tests::lab::{Lab, become_root, leave_when_told};
use spared_tests::random::number;
use spared_tests::soak;

/// Denominator: a run in which the machine stood still for a greater part than 1/20 proves nothing.
const VOID_PART: u32 = 20;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("soak: failed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<bool> {
    become_root()?;
    leave_when_told(|| ())?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let seed = number("SPARED_SEED", now.as_secs() % 10_000);
    let time = Duration::from_secs(number("SPARED_MINUTES", 60) * 60);
    let lab = Lab::new(2)?;
    let outcome = soak::run(&lab, seed, time);
    if outcome.as_ref().is_ok_and(|it| !it.wrong.is_empty()) || outcome.is_err() {
        eprintln!("{}", lab.logs());
    }
    let outcome = outcome?;
    spared_tests::say!("seed {seed}: to repeat it, SPARED_SEED={seed}");
    for line in outcome.figures.iter().chain(&outcome.wrong) {
        spared_tests::say!("{line}");
    }
    if outcome.stood > time / VOID_PART {
        return Err(format!("void: the machine stood still for {:.0?}", outcome.stood).into());
    }
    Ok(outcome.wrong.is_empty())
}
