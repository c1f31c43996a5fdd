//! A script or another program: in a process group of its own, which ends as a whole.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use super::owner;
use crate::engine::Finding;

/// More output is read, so that nobody waits for a full pipe, and thrown away.
const OUTPUT_MAX: usize = 4096;
const WORDS_MAX: usize = 200;
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// A running program.
#[derive(Debug)]
pub struct Running {
    child: Child,
    group: Pid,
    pidfd: OwnedFd,
    output: OwnedFd,
    text: Vec<u8>,
    /// The state is the number in the first line.
    graded: bool,
}

/// What to start, and what it finds in its environment.
#[derive(Clone, Copy, Debug)]
pub struct Program<'p> {
    pub argv: &'p [String],
    /// The state is the number in the first line of the output.
    pub graded: bool,
    /// A program of the system, which is found by PATH.
    pub system: bool,
    pub node: &'p str,
    pub check: &'p str,
}

impl Running {
    /// # Errors
    /// Why the program does not run, in a sentence.
    pub fn start(program: &Program<'_>) -> Result<Self, String> {
        let (name, words) = program.argv.split_first().ok_or("names no program")?;
        let executable = if program.system {
            PathBuf::from(name)
        } else {
            owner::trusted(Path::new(name)).map_err(|refused| refused.to_string())?
        };
        let shown = |error: io::Error| format!("cannot run {name}: {error}");
        let (output, theirs) = pipe().map_err(shown)?;
        let errors = if program.graded {
            Stdio::null()
        } else {
            Stdio::from(theirs.try_clone().map_err(shown)?)
        };
        let child = Command::new(&executable)
            .arg0(name)
            .args(words)
            .env_clear()
            .env("PATH", PATH)
            .env("LANG", "C.UTF-8")
            .env("SPARED_NODE", program.node)
            .env("SPARED_CHECK", program.check)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(theirs)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .map_err(shown)?;
        Self::watchable(child, output, program.graded).map_err(shown)
    }

    fn watchable(mut child: Child, output: OwnedFd, graded: bool) -> io::Result<Self> {
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let Some(group) = pid else {
            return Err(io::Error::other("a process without id"));
        };
        match pidfd_open(group, PidfdFlags::empty()) {
            Ok(pidfd) => Ok(Self {
                child,
                group,
                pidfd,
                output,
                text: Vec::new(),
                graded,
            }),
            Err(errno) => {
                let _ = kill_process_group(group, Signal::KILL);
                let _ = child.wait();
                Err(errno.into())
            }
        }
    }

    /// Readable once the program has ended.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Readable while it has something to say.
    pub fn output(&self) -> BorrowedFd<'_> {
        self.output.as_fd()
    }

    /// Reads what is there; false once there will be nothing more.
    pub fn listen(&mut self) -> bool {
        let mut buffer = [0; 4096];
        // bounded: a program that writes without end must not keep this loop
        for _ in 0..16 {
            match rustix::io::read(&self.output, &mut buffer) {
                Ok(0) => return false,
                Ok(length) => {
                    let room = OUTPUT_MAX.saturating_sub(self.text.len()).min(length);
                    self.text.extend(buffer.iter().take(room));
                }
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return true,
                Err(_) => return false,
            }
        }
        true
    }

    /// Kills the program and all that it started in its group.
    pub fn kill(&self) {
        // not collected yet, so the number is still its own
        let _ = kill_process_group(self.group, Signal::KILL);
    }

    /// What it found, once it has ended; its group ends with it.
    pub fn end(&mut self) -> Option<Finding> {
        if !wait(self.pidfd.as_fd(), Duration::ZERO) {
            return None;
        }
        self.listen();
        self.kill();
        let status = self.child.try_wait().ok().flatten()?;
        Some(self.judge(status))
    }

    fn judge(&self, status: ExitStatus) -> Finding {
        let text = String::from_utf8_lossy(&self.text);
        let line = text.lines().map(str::trim).find(|line| !line.is_empty());
        let words: String = line
            .unwrap_or("")
            .chars()
            .filter(|c| !c.is_control())
            .take(WORDS_MAX)
            .collect();
        let said = |otherwise: String| {
            if words.is_empty() {
                otherwise
            } else {
                words.clone()
            }
        };
        match (status.code(), status.signal()) {
            (Some(0), _) if self.graded => graded(&words),
            (Some(0), _) => Finding::good(said("exit code 0".to_owned())),
            (Some(code), _) if words.is_empty() => Finding::failed(format!("exit code {code}")),
            (Some(code), _) => Finding::failed(format!("{words} (exit code {code})")),
            (None, signal) => {
                Finding::failed(format!("was ended by signal {}", signal.unwrap_or(0)))
            }
        }
    }
}

impl Drop for Running {
    /// A program that is still there is killed; the kernel is given a moment to do so.
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.kill();
            if wait(self.pidfd.as_fd(), Duration::from_millis(20)) {
                let _ = self.child.try_wait();
            }
        }
    }
}

/// "75", or "75 two of eight lines are down".
fn graded(line: &str) -> Finding {
    let (number, words) = line.split_once(' ').unwrap_or((line, ""));
    match number.parse::<u8>() {
        Ok(level @ 0..=100) if words.is_empty() => Finding::new(level, format!("says {level}")),
        Ok(level @ 0..=100) => Finding::new(level, words.trim()),
        _ => Finding::failed(format!("said {line:?}, wanted is a number from 0 to 100")),
    }
}

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&reader, true)?;
    Ok((reader, writer))
}

fn wait(fd: BorrowedFd<'_>, most: Duration) -> bool {
    let mut polled = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    let timeout = Timespec::try_from(most).ok();
    matches!(poll(&mut polled, timeout.as_ref()), Ok(1..))
}
