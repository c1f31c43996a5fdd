//! The commands of the configuration.
//!
//! spared's unit is confined: what it runs may neither mount nor do what root may. Where systemd is the first
//! process, it runs the command instead, in a unit of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use spared_sdk::child::{Child, Ended, PATH, Program, trusted};
use spared_tree::local::OUTPUT;

/// Longest time of a check or an apply.
pub const LIMIT: Duration = Duration::from_secs(90);
const STEP: Duration = Duration::from_millis(10);
const OUTPUT_MAX: usize = 16 << 10;

static UNITS: AtomicU64 = AtomicU64::new(0);

/// Why a command did not succeed.
#[derive(Debug, PartialEq, Eq)]
pub enum Failed {
    /// A sentence.
    Why(String),
    /// The plugin ends.
    Stopped,
}

/// Runs a command to its end.
///
/// # Errors
/// It does not run, takes too long, or its exit code is not 0; what it said stands behind [`OUTPUT`].
pub fn run(argv: &[String], stop: &AtomicBool) -> Result<(), Failed> {
    run_as(argv.first().map_or("", String::as_str), argv, stop)
}

/// The same under another name in messages, for a command that runs the one that is meant.
///
/// # Errors
/// As [`run`].
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

/// The file behind a name, if nobody but root could have changed it.
///
/// # Errors
/// A sentence.
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
    // by this name, as some programs are links whose name says what they are to do
    Ok(found)
}

/// What a program says, in one line: its first lines, as of nft, whose very first only names a file; and its last, as of
/// swanctl, which first names all plugins that it has not.
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
        // a service that it reloads may have been started by it
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

/// Whether systemd can run it: it is there, and this process lives in its network namespace.
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
    // systemd puts variables into words, but for two dollars, which are one
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
