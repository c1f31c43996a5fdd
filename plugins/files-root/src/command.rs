//! Commands of the configuration.
//!
//! spared's unit is confined: its processes may neither mount nor use all rights of root. If systemd is the first
//! process, it runs the command instead, in a transient unit.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use spared_sdk::child::{Child, Ended, PATH, Program, trusted};
use spared_tree::local::OUTPUT;

/// Maximum time of a check or an apply command.
pub const LIMIT: Duration = Duration::from_secs(90);
const STEP: Duration = Duration::from_millis(10);
const OUTPUT_MAX: usize = 16 << 10;

static UNITS: AtomicU64 = AtomicU64::new(0);

/// Reason why a command did not succeed.
#[derive(Debug, PartialEq, Eq)]
pub enum Failed {
    /// The command failed: a sentence.
    Why(String),
    /// The plugin is ending.
    Stopped,
}

/// Runs a command to its end.
///
/// # Errors
/// The command does not run, takes too long, or its exit code is not 0; its output follows [`OUTPUT`].
pub fn run(argv: &[String], stop: &AtomicBool) -> Result<(), Failed> {
    run_as(argv.first().map_or("", String::as_str), argv, stop)
}

/// Runs a command under another name in messages, for a command that itself runs the named one.
///
/// # Errors
/// See [`run`].
pub fn run_as(name: &str, argv: &[String], stop: &AtomicBool) -> Result<(), Failed> {
    let mut argv = argv.to_vec();
    let Some(first) = argv.first_mut() else {
        return Err(Failed::Why("names no program".to_owned()));
    };
    *first = find(first).map_err(Failed::Why)?.display().to_string();
    let unit = has_systemd().then(unit_name);
    if let Some(unit) = &unit {
        argv = outside(unit, argv);
    }
    let ended = wait(&argv, stop);
    if let (Err(_), Some(unit)) = (&ended, &unit) {
        kill(unit);
    }
    let ended = ended?;
    match ended.code {
        Some(0) => Ok(()),
        code => {
            let how = match code {
                Some(code) => format!("exit code {code}"),
                None => "a signal".to_owned(),
            };
            Err(Failed::Why(match told(&ended.text) {
                words if words.is_empty() => format!("{name} ended with {how}"),
                words => format!("{name} ended with {how}{OUTPUT}{words}"),
            }))
        }
    }
}

/// File of a program, if only root could have changed it.
///
/// # Errors
/// A sentence with the reason.
pub fn find(name: &str) -> Result<PathBuf, String> {
    if name.starts_with('/') {
        return trusted(Path::new(name)).map_err(|refused| refused.to_string());
    }
    let paths = PATH.split(':').map(|folder| Path::new(folder).join(name));
    let found = paths.into_iter().find(|path| path.exists());
    let Some(found) = found.filter(|_| !name.contains('/') && !name.is_empty()) else {
        let folders = PATH.replace(':', ", ");
        return Err(format!("{name:?} is in none of {folders}"));
    };
    trusted(&found).map_err(|refused| refused.to_string())?;
    // the given name, because some programs are links whose name selects what they do
    Ok(found)
}

/// Output of a program in one line: its first lines, for programs such as nft, whose very first line only names a file;
/// and its last lines, for programs such as swanctl, which first lists all missing plugins.
fn told(text: &[u8]) -> String {
    const FIRST: usize = 2;
    const LAST: usize = 3;
    const LENGTH_MAX: usize = 350;
    let text = String::from_utf8_lossy(text);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let lines: Vec<&str> = lines.collect();
    let (first, rest) = lines.split_at(FIRST.min(lines.len()));
    let last = &rest[rest.len().saturating_sub(LAST)..];
    let gap = (last.len() < rest.len()).then_some("...");
    let parts = first.iter().copied().chain(gap).chain(last.iter().copied());
    let plain = |c: &char| !c.is_control();
    let line = parts.collect::<Vec<_>>().join("; ");
    line.chars().filter(plain).take(LENGTH_MAX).collect()
}

fn wait(argv: &[String], stop: &AtomicBool) -> Result<Ended, Failed> {
    let program = Program {
        argv,
        output_max: OUTPUT_MAX,
        // the command may have started a service that it reloads
        outlived: true,
        ..Program::default()
    };
    let until = Instant::now() + LIMIT;
    let mut child = Child::start(&program).map_err(Failed::Why)?;
    loop {
        child.listen();
        if let Some(ended) = child.end() {
            return Ok(ended);
        }
        if stop.load(Ordering::Relaxed) {
            return Err(Failed::Stopped);
        }
        if Instant::now() > until {
            let limit_s = LIMIT.as_secs();
            let why = format!("took longer than {limit_s} s and was killed");
            return Err(Failed::Why(why));
        }
        thread::sleep(STEP);
    }
}

/// True if systemd can run the command: it runs, and in the network namespace of this process.
fn has_systemd() -> bool {
    let of = |process: &str| fs::read_link(format!("/proc/{process}/ns/net")).ok();
    let is_elsewhere = of("1").is_some() && of("1") != of("self");
    let bus = Path::new("/run/dbus/system_bus_socket").exists();
    Path::new("/run/systemd/system").is_dir() && bus && !is_elsewhere
}

fn unit_name() -> String {
    let number = UNITS.fetch_add(1, Ordering::Relaxed);
    format!("spared-files-{}-{number}.service", std::process::id())
}

fn outside(unit: &str, argv: Vec<String>) -> Vec<String> {
    let words = [
        "systemd-run",
        "--quiet",
        "--collect",
        "--no-ask-password",
        "--wait",
        "--pipe",
        "--property=KillMode=process",
        "--property=DefaultDependencies=no",
        "--property=LogLevelMax=notice",
        "--setenv=LANG=C.UTF-8",
    ];
    let mut words: Vec<String> = words.map(str::to_owned).into();
    words.push(format!("--unit={unit}"));
    words.push("--".to_owned());
    let mut argv = argv.into_iter();
    words.extend(argv.next());
    // systemd expands variables in arguments; two dollars become one
    words.extend(argv.map(|word| word.replace('$', "$$")));
    words
}

fn kill(unit: &str) {
    let words = ["systemctl", "kill", "--signal=KILL", "--", unit];
    let argv = words.map(str::to_owned);
    let program = Program {
        argv: &argv,
        ..Program::default()
    };
    if let Err(why) = Child::run(&program, Duration::from_millis(400)) {
        log::warn!("{unit}: {why}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split('|').map(str::to_owned).collect()
    }

    #[test]
    fn a_command_that_fails_says_its_first_and_its_last_lines() {
        let stop = AtomicBool::new(false);
        assert_eq!(run(&words("true"), &stop), Ok(()));
        let failed = run(&words("sh|-c|echo no luck; echo; echo more; exit 3"), &stop);
        let why = "sh ended with exit code 3\nno luck; more".to_owned();
        assert_eq!(failed, Err(Failed::Why(why)));
        let failed = run(&words("sh|-c|seq 9; exit 1"), &stop);
        let why = "sh ended with exit code 1\n1; 2; ...; 7; 8; 9".to_owned();
        assert_eq!(failed, Err(Failed::Why(why)));
    }

    #[test]
    fn a_program_that_others_could_have_changed_is_not_run() {
        let stop = AtomicBool::new(false);
        for name in [
            "no-such-program",
            "bin/true",
            "",
            "/etc/hostname",
            "../bin/true",
        ] {
            let failed = run(&[name.to_owned()], &stop);
            assert!(matches!(failed, Err(Failed::Why(_))), "{name}: {failed:?}");
        }
    }

    #[test]
    fn a_command_ends_with_the_plugin() {
        let stop = AtomicBool::new(true);
        assert_eq!(run(&words("sleep|1000"), &stop), Err(Failed::Stopped));
    }
}
