//! `spared-plugin-check FILE.so [--config FILE]`: tries a plugin as a host does, and worse.
//!
//! Each check runs in a process of its own with a time limit, so that a crash or a hang fails that
//! check alone. Exit codes: 0 passed (perhaps with warnings), 1 failed, 64 wrong arguments.

mod checks;
mod descriptor;
mod elf;
mod finding;
mod footprint;
mod host;
mod peer;
mod root;
mod watch;

use std::fmt::Display;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use spared_config_reader as config;
use spared_contract::Failure;

use finding::{Finding, Level};

const USAGE: &str = "usage: spared-plugin-check FILE.so [--config FILE] [--only CHECK]";
const EXIT_FAILED: u8 = 1;
const EXIT_USAGE: u8 = 64;

/// Last line of a check that came to its end.
const THE_END: &str = "the end";

/// Time limit of a check; one that takes longer is taken to hang.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Arguments of the command line.
struct Arguments {
    plugin: PathBuf,
    config: Option<PathBuf>,
    /// The one check to run, in this process.
    only: Option<String>,
}

fn main() -> ExitCode {
    // As the host starts a worker.
    if std::env::args().nth(1).is_some_and(|word| word == "worker") {
        return spared_process::worker::run();
    }
    let arguments = match parse() {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            say(USAGE);
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("spared-plugin-check: {error}\n{USAGE}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    match &arguments.only {
        Some(name) => run_here(&arguments, name),
        None => run_all(&arguments),
    }
}

fn parse() -> Result<Option<Arguments>, lexopt::Error> {
    let (mut plugin, mut config, mut only) = (None, None, None);
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            lexopt::Arg::Long("config") => config = Some(parser.value()?.into()),
            // For the children, and for debuggers: `gdb --args spared-plugin-check --only roles FILE.so`.
            lexopt::Arg::Long("only") => {
                only = Some(parser.value()?.to_string_lossy().into_owned())
            }
            lexopt::Arg::Short('h') | lexopt::Arg::Long("help") => return Ok(None),
            lexopt::Arg::Value(value) if plugin.is_none() => plugin = Some(value.into()),
            other => return Err(other.unexpected()),
        }
    }
    let plugin = plugin.ok_or("missing argument FILE.so")?;
    Ok(Some(Arguments {
        plugin,
        config,
        only,
    }))
}

/// In the child: one check, a line per finding.
fn run_here(arguments: &Arguments, name: &str) -> ExitCode {
    let Some(check) = checks::ALL.iter().find(|check| check.name == name) else {
        eprintln!("spared-plugin-check: there is no check {name:?}");
        return ExitCode::from(EXIT_USAGE);
    };
    let toml = match arguments
        .config
        .as_deref()
        .map(std::fs::read_to_string)
        .transpose()
    {
        Ok(toml) => toml.unwrap_or_default(),
        Err(error) => return refuse(&format!("cannot be read: {error}")),
    };
    let config = match config::table(&toml) {
        Ok(config) => config,
        Err(fault) => return refuse(&format!("is refused: {}", reason(&fault))),
    };
    for finding in (check.run)(&arguments.plugin, &config) {
        say(finding);
    }
    // Not reached if a plugin ends the process, with whatever exit code.
    say(THE_END);
    ExitCode::SUCCESS
}

fn reason(fault: &Failure) -> String {
    match fault.key.as_str() {
        "" => fault.why.clone(),
        key => format!("{key}: {}", fault.why),
    }
}

/// Says why the configuration is none.
fn refuse(why: &str) -> ExitCode {
    say(Finding::fail(format!("the configuration {why}")));
    say(THE_END);
    ExitCode::SUCCESS
}

/// Prints a line; a reader that has ended (`| head`) is no error.
fn say(line: impl Display) {
    let _ = writeln!(io::stdout(), "{line}");
}

fn run_all(arguments: &Arguments) -> ExitCode {
    let mut worst = Level::Ok;
    for check in &checks::ALL {
        let findings = run_in_child(arguments, check.name);
        let level = findings
            .iter()
            .map(|finding| finding.level)
            .max()
            .unwrap_or(Level::Ok);
        if level == Level::Ok {
            say(format_args!("ok    {}: {}", check.name, check.passed));
        }
        for finding in findings {
            say(format_args!(
                "{:<5} {}: {}",
                finding.level, check.name, finding.text
            ));
        }
        worst = worst.max(level);
        if check.needed && level == Level::Fail {
            say("      the other checks were skipped");
            break;
        }
    }
    match worst {
        Level::Fail => ExitCode::from(EXIT_FAILED),
        Level::Ok | Level::Warn => ExitCode::SUCCESS,
    }
}

fn run_in_child(arguments: &Arguments, name: &str) -> Vec<Finding> {
    match spawn(arguments, name) {
        Ok(findings) => findings,
        Err(why) => vec![Finding::fail(why)],
    }
}

fn spawn(arguments: &Arguments, name: &str) -> Result<Vec<Finding>, String> {
    let exe = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(exe);
    command
        .args(["--only", name])
        .arg(absolute(&arguments.plugin)?);
    if let Some(config) = &arguments.config {
        command.arg("--config").arg(config);
    }
    // std's process, not the SDK's: nothing else is going on, so this may block
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot start a process: {error}"))?;
    let output = child.stdout.take();
    let reader = std::thread::spawn(move || {
        output
            .and_then(|output| std::io::read_to_string(output).ok())
            .unwrap_or_default()
    });
    let deadline = Instant::now() + TIMEOUT;
    let status = loop {
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(status) => break Some(status),
            None if Instant::now() > deadline => {
                let _ = child.kill();
                let _ = child.wait();
                break None;
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    let Some(status) = status else {
        return Err(format!(
            "hangs: still running after {} s",
            TIMEOUT.as_secs()
        ));
    };
    let text = reader.join().unwrap_or_default();
    let mut findings: Vec<Finding> = text.lines().filter_map(Finding::parse).collect();
    if status.success() && text.lines().last() != Some(THE_END) {
        findings.push(Finding::fail("the check itself ended early"));
    }
    if !status.success() {
        findings.push(Finding::fail(format!(
            "the check itself crashed ({status})"
        )));
    }
    Ok(findings)
}

fn absolute(path: &Path) -> Result<PathBuf, String> {
    std::path::absolute(path).map_err(|error| error.to_string())
}
