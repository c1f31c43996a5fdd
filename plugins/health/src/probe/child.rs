//! Runs a script or another program, and derives the finding from its end.

use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process_group};
use spared_sdk::child::{self, Child, Ended, trusted};

use super::{Root, process};
use crate::engine::Finding;

/// Running program.
#[derive(Debug)]
pub struct Running {
    child: Child,
    /// True if the state is the number in the first line of the output.
    graded: bool,
    has_ended: bool,
}

/// Program to start, and its environment.
#[derive(Clone, Copy, Debug)]
pub struct Program<'p> {
    pub argv: &'p [String],
    /// True if the state is the number in the first line of the output.
    pub graded: bool,
    /// True for a program of the system, which is found by PATH.
    pub system: bool,
    pub node: &'p str,
    pub check: &'p str,
}

impl Running {
    /// # Errors
    /// The reason why the program does not run, as a sentence.
    pub fn start(program: &Program<'_>) -> Result<Self, String> {
        let name = program.argv.first().ok_or("names no program")?;
        let executable: Option<PathBuf> = if program.system {
            None
        } else {
            Some(trusted(Path::new(name)).map_err(|refused| refused.to_string())?)
        };
        let child = Child::start(&child::Program {
            argv: program.argv,
            executable: executable.as_deref(),
            env: &[
                ("SPARED_NODE", program.node),
                ("SPARED_CHECK", program.check),
            ],
            only_stdout: program.graded,
            ..child::Program::default()
        })?;
        Ok(Self {
            child,
            graded: program.graded,
            has_ended: false,
        })
    }

    /// Descriptor that is readable once the program has ended.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.child.pidfd()
    }

    /// Descriptor that is readable while there is output.
    pub fn output(&self) -> BorrowedFd<'_> {
        self.child.output()
    }

    /// Reads the available output; false at its end.
    pub fn listen(&mut self) -> bool {
        self.child.listen()
    }

    /// Kills the program and its process group.
    pub fn kill(&self) {
        self.child.kill();
    }

    /// Result of the program, once it has ended; its process group ends with it.
    pub fn end(&mut self) -> Option<Finding> {
        let ended = self.child.end()?;
        self.has_ended = true;
        Some(judge(&ended, self.graded))
    }

    /// True if a killed program is gone with its process group: after its end, a process that it started may still hang
    /// in the kernel.
    pub fn is_gone(&mut self) -> bool {
        let has_ended = self.has_ended || self.end().is_some();
        has_ended && !self.is_group_alive()
    }

    fn is_group_alive(&self) -> bool {
        let group = self.child.pid();
        let pid = i32::try_from(group).ok().and_then(Pid::from_raw);
        let is_empty = pid.is_none_or(|pid| test_kill_process_group(pid) == Err(Errno::SRCH));
        // an init that does not collect processes, as in containers, leaves dead ones in the group
        !is_empty && process::is_group_alive(&Root::new("/"), group)
    }
}

fn judge(ended: &Ended, is_graded: bool) -> Finding {
    let words = ended.words();
    match (ended.code, ended.signal) {
        (Some(0), _) if is_graded => graded(&words),
        (Some(0), _) if words.is_empty() => Finding::good("exit code 0"),
        (Some(0), _) => Finding::good(words),
        (Some(code), _) if words.is_empty() => Finding::failed(format!("exit code {code}")),
        (Some(code), _) => Finding::failed(format!("{words} (exit code {code})")),
        (None, signal) => Finding::failed(format!("was ended by signal {}", signal.unwrap_or(0))),
    }
}

/// Finding for a line such as "75", or "75 two of eight lines are down".
fn graded(line: &str) -> Finding {
    let (number, words) = line.split_once(' ').unwrap_or((line, ""));
    match number.parse::<u8>() {
        Ok(level @ 0..=100) if words.is_empty() => Finding::new(level, format!("says {level}")),
        Ok(level @ 0..=100) => Finding::new(level, words.trim()),
        _ => Finding::failed(format!("printed {line:?}, expected a number from 0 to 100")),
    }
}
