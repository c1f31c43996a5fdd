// SPDX-License-Identifier: MIT OR Apache-2.0
//! The far end of a machine's serial console (`spared_tests::machine`): `machine-console FOLDER TOKEN`.
//!
//! A line of standard input is `run NAME SECONDS` or `ask NAME SECONDS`. The first runs FOLDER/NAME.command by the shell, for at most as
//! many seconds; the second asks the daemon of the folder in the first line of that file the words in the second one. What comes
//! is in FOLDER/NAME.output when `TOKEN NAME CODE` is printed. A new program costs a machine of user-mode-linux a tenth
//! of a second, a question to the daemon a hundredth of that.

use std::fs::{self, File};
use std::io::{self, BufRead, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use spared_tests::ask;

/// Exit code of a command that took too long, as of timeout(1).
const TOO_LONG: i32 = 124;
/// Exit code of a command that could not be run, as of a shell.
const NOT_RUN: i32 = 126;
/// Time in which a command that is asked to end may do so.
const GRACE: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let (Some(folder), Some(token)) = (words.next(), words.next()) else {
        eprintln!("usage: machine-console FOLDER TOKEN");
        return ExitCode::FAILURE;
    };
    for line in io::stdin().lock().lines() {
        let Ok(line) = line else {
            return ExitCode::FAILURE;
        };
        if line.is_empty() {
            // sent so that the kernel reads what came before
            continue;
        }
        let mut words = line.split_whitespace();
        let (kind, name) = (words.next(), words.next().unwrap_or_default());
        let limit = words.next().and_then(|it| it.parse().ok()).unwrap_or(1);
        let files = Files {
            stem: Path::new(&folder).join(name),
        };
        let done = match kind {
            Some("ask") => files.ask(),
            _ => files.run(Duration::from_secs(limit)),
        };
        let code = done.unwrap_or_else(|error| {
            let _ = fs::write(files.output(), error.to_string());
            NOT_RUN
        });
        if writeln!(io::stdout(), "{token} {name} {code}").is_err() {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// Files of a command: what is wanted, and what came of it.
struct Files {
    stem: PathBuf,
}

impl Files {
    fn ask(&self) -> io::Result<i32> {
        let text = fs::read_to_string(self.command())?;
        let (folder, words) = text.split_once('\n').unwrap_or_default();
        let words: Vec<&str> = words.split_whitespace().collect();
        fs::write(
            self.output(),
            ask::answer(Path::new(folder), &words).to_string(),
        )?;
        Ok(0)
    }

    /// Runs the command in a process group of its own, so that all of it ends with its time.
    fn run(&self, limit: Duration) -> io::Result<i32> {
        let output = File::create(self.output())?;
        let mut shell = Command::new("sh")
            .arg(self.command())
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .spawn()?;
        if let Some(status) = wait(&mut shell, limit)? {
            return Ok(code(status));
        }
        let group = Pid::from_child(&shell);
        for signal in [Signal::TERM, Signal::KILL] {
            kill_process_group(group, signal)?;
            if wait(&mut shell, GRACE)?.is_some() {
                break;
            }
        }
        Ok(TOO_LONG)
    }

    fn command(&self) -> PathBuf {
        self.stem.with_extension("command")
    }

    fn output(&self) -> PathBuf {
        self.stem.with_extension("output")
    }
}

/// Waits until a child has ended; None if it still runs after `limit`.
fn wait(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let fd = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    let limit = Timespec::try_from(limit).map_err(io::Error::other)?;
    poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&limit))?;
    child.try_wait()
}

fn code(status: ExitStatus) -> i32 {
    let signal = || 128 + status.signal().unwrap_or_default();
    status.code().unwrap_or_else(signal)
}
