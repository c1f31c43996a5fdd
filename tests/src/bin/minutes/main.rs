// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs the tests, then prints their times by test file, slowest first, and the tests that needed a
//! second try. `minutes COMMAND...`: COMMAND runs nextest, and its exit code is passed on.

#![forbid(unsafe_code)]

mod report;
mod sources;
mod table;

use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::SIGINT;

use spared_tests::Result;

use report::Case;
use sources::Sources;

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
    let file = report_file(&sources.target);
    if file.exists() {
        fs::remove_file(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    // ^C ends the tests, which are in the same process group; their times are printed even then.
    signal_hook::flag::register(SIGINT, Arc::new(AtomicBool::new(false)))?;
    let status = Command::new(program)
        .args(arguments)
        .status()
        .map_err(|error| format!("{}: {error}", program.to_string_lossy()))?;
    match cases(&file) {
        Ok(cases) => spared_tests::say::put(&table::of(&cases, &sources)),
        Err(error) => eprintln!("minutes: not measured: {error}"),
    }
    Ok(code(status))
}

fn report_file(target: &Path) -> PathBuf {
    let profile = env::var_os("NEXTEST_PROFILE").unwrap_or("default".into());
    target.join("nextest").join(profile).join("junit.xml")
}

fn cases(file: &Path) -> Result<Vec<Case>> {
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let text = fs::read_to_string(file).map_err(|error| named(&error))?;
    Ok(report::parse(&text).map_err(|error| named(&error))?)
}

/// The command's exit code, or a shell's code for the signal that ended it.
fn code(status: ExitStatus) -> ExitCode {
    let signal = status.signal().map(|signal| 128 + signal);
    let code = status.code().or(signal).unwrap_or(1);
    u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from)
}
