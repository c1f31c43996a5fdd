// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs the tests, then prints their times by test file, slowest first, what grew, the tests that needed a second try,
//! and machines that stood still. `minutes COMMAND...`: COMMAND runs nextest, and its exit code is passed on. If all
//! tests passed but took too long, the exit code is 1.

#![forbid(unsafe_code)]

mod growth;
mod report;
mod sources;
mod table;

use std::env;
use std::ffi::OsString;
use std::fs;
use std::num::NonZero;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::available_parallelism;

use jiff::ZonedDateTime;
use signal_hook::consts::SIGINT;

use spared_tests::Result;
use spared_tests::machine::tally::{self, Tally};

use growth::Minutes;
use report::Case;
use sources::Sources;
use table::Cost;

fn main() -> ExitCode {
    let words: Vec<OsString> = env::args_os().skip(1).collect();
    match run(&words) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("minutes: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[OsString]) -> Result<ExitCode> {
    let (program, arguments) = words.split_first().ok_or("usage: minutes COMMAND...")?;
    let sources = Sources::of_this_workspace()?;
    let (report, machines) = (
        report_file(&sources.target),
        sources.target.join("machines.txt"),
    );
    for file in [&report, &machines].into_iter().filter(|it| it.exists()) {
        fs::remove_file(file).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    // ^C ends the tests, which are in the same process group; their times are printed even then.
    signal_hook::flag::register(SIGINT, Arc::new(AtomicBool::new(false)))?;
    let status = Command::new(program)
        .args(arguments)
        .env(tally::FILE, &machines)
        .status()
        .map_err(|error| format!("{}: {error}", program.to_string_lossy()))?;
    let cases = match cases(&report) {
        Ok(cases) => cases,
        Err(error) => {
            eprintln!("minutes: not measured: {error}");
            return Ok(code(status));
        }
    };
    let costs = table::costs(&cases, &sources);
    let growth = growth(&costs, &sources, status.success())
        .unwrap_or_else(|error| format!("growth is not known: {error}\n"));
    // the file does not exist if no machine was started
    let machines = Tally::read(&fs::read_to_string(&machines).unwrap_or_default());
    let remarks = table::remarks(&cases, &machines);
    spared_tests::say::put(&(table::of(&costs) + &growth + &remarks));
    if status.success() && table::is_too_long(&cases) {
        Ok(ExitCode::FAILURE)
    } else {
        Ok(code(status))
    }
}

/// Describes the growth since the kept run. If all tests passed, writes the minutes of this run for `make minutes`,
/// which keeps them.
fn growth(costs: &[(String, Cost)], sources: &Sources, passed: bool) -> Result<String> {
    let files = costs.iter().map(|(file, cost)| (file.clone(), cost.clock));
    let now = Minutes {
        run: this_run(),
        files: files.collect(),
    };
    if passed {
        let file = sources.target.join("minutes.txt");
        let written = fs::write(&file, now.to_string());
        written.map_err(|error| format!("{}: {error}", file.display()))?;
    }
    let kept = sources.root.join("tests/minutes.txt");
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", kept.display());
    let text = fs::read_to_string(&kept).map_err(|error| named(&error))?;
    let earlier = Minutes::parse(&text).map_err(|error| named(&error))?;
    Ok(now.growth_since(&earlier))
}

fn this_run() -> String {
    let output = Command::new("git")
        .args(["describe", "--always", "--dirty"])
        .output();
    let commit = output.ok().filter(|it| it.status.success());
    let commit = commit.map_or("an unknown commit".to_owned(), |it| {
        String::from_utf8_lossy(&it.stdout).trim().to_owned()
    });
    let day = ZonedDateTime::now().date();
    let processors = available_parallelism().map_or(0, NonZero::get);
    format!(
        "{commit} ({day}, profile {}, {processors} processors)",
        profile().to_string_lossy()
    )
}

fn profile() -> OsString {
    env::var_os("NEXTEST_PROFILE").unwrap_or("default".into())
}

fn report_file(target: &Path) -> PathBuf {
    target.join("nextest").join(profile()).join("junit.xml")
}

fn cases(file: &Path) -> Result<Vec<Case>> {
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let text = fs::read_to_string(file).map_err(|error| named(&error))?;
    Ok(report::parse(&text).map_err(|error| named(&error))?)
}

/// Returns the command's exit code, or a shell's code for the signal that ended it.
fn code(status: ExitStatus) -> ExitCode {
    let signal = status.signal().map(|signal| 128 + signal);
    let code = status.code().or(signal).unwrap_or(1);
    u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from)
}
