//! `spared`: one binary for the host, its workers, the link and the check of a configuration.

#![forbid(unsafe_code)]

use std::io::{self, Write};
use std::process::ExitCode;

use spared::arguments::{HELP, Mode, parse};
use spared::run;
use spared::run::Failure;
use spared_config::exit;

fn main() -> ExitCode {
    let mode = match parse(std::env::args_os().skip(1)) {
        Ok(mode) => mode,
        Err(why) => {
            eprintln!("spared: {why}");
            return ExitCode::from(exit::USAGE);
        }
    };
    match mode {
        Mode::Run(options) => run::run(&options).map_or_else(end, |()| ExitCode::SUCCESS),
        Mode::Check(options) => ExitCode::from(spared_check::run(&options)),
        Mode::Report(options) => ExitCode::from(spared_journal::report::run(&options)),
        Mode::Worker => spared_process::worker::run(),
        Mode::Link => spared_link::run(),
        Mode::Firewall(account) => spared_firewall::run(account),
        Mode::Starter(files) => spared_supervisor::starter::run(files),
        Mode::Version => say(concat!("spared ", env!("CARGO_PKG_VERSION"))),
        Mode::Help => say(HELP),
    }
}

// Prints a text. If its reader has ended (`| head`), that is no error.
fn say(text: &str) -> ExitCode {
    let _ = writeln!(io::stdout(), "{text}");
    ExitCode::SUCCESS
}

fn end(failure: Failure) -> ExitCode {
    eprintln!("{failure}");
    ExitCode::from(failure.code())
}
