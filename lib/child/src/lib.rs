//! Runs programs without waiting for them and without a shell.
//!
//! After [`Child::start`] watch two descriptors: [`output`](Child::output), which is readable while
//! [`listen`](Child::listen) has something to read, and [`pidfd`](Child::pidfd), which is readable once
//! [`end`](Child::end) returns a result. Unwatch both before the child is dropped. The caller limits the
//! time: [`terminate`](Child::terminate), then [`kill`](Child::kill).

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod trust;

use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{self, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

pub use trust::{Refused, trusted};

/// `PATH` of every program, unless it is given another value.
pub const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
const LANG: &str = "C.UTF-8";
const OUTPUT_MAX: usize = 4096;
const WORDS_MAX: usize = 200;
/// Time that a dropped program has to end after it was killed, even on a busy machine. A program that hangs in the
/// kernel takes longer, and its status is not collected.
const DROP_WAIT: Duration = Duration::from_millis(200);

/// Program to start. The defaults of [`Program::default`] suit most programs.
#[derive(Clone, Copy, Debug)]
pub struct Program<'p> {
    /// The program and its arguments. A name without slash is looked up in `PATH`.
    pub argv: &'p [String],
    /// File to run instead of the one that `argv` names: the result of [`trusted`].
    pub executable: Option<&'p Path>,
    /// Environment in addition to `PATH` and `LANG=C.UTF-8`.
    pub env: &'p [(&'p str, &'p str)],
    /// User id and group id of the program, which then has no other groups; None: those of the caller.
    pub account: Option<(u32, u32)>,
    /// Working directory, default `/`.
    pub directory: &'p Path,
    /// Content of stdin, default empty.
    pub input: &'p [u8],
    /// True if stderr is discarded instead of being part of the output. Default false.
    pub only_stdout: bool,
    /// Maximum number of output bytes that are kept, default 4096. The rest is read and discarded, so that the program
    /// does not block on a full pipe.
    pub output_max: usize,
    /// True if processes that the program started may outlive it, as daemons do. By default its process group is killed
    /// when it ends.
    pub outlived: bool,
}

impl Default for Program<'_> {
    fn default() -> Self {
        Self {
            argv: &[],
            executable: None,
            env: &[],
            account: None,
            directory: Path::new("/"),
            input: &[],
            only_stdout: false,
            output_max: OUTPUT_MAX,
            outlived: false,
        }
    }
}

/// Result of a program that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Exit code; None if a signal ended the program.
    pub code: Option<i32>,
    /// Signal that ended the program.
    pub signal: Option<i32>,
    /// Output of the program, up to `output_max` bytes.
    pub text: Vec<u8>,
}

impl Ended {
    /// First line of the output that is not empty, without control characters, at most 200 characters.
    pub fn words(&self) -> String {
        let text = String::from_utf8_lossy(&self.text);
        let line = text.lines().map(str::trim).find(|line| !line.is_empty());
        let plain = line.unwrap_or("").chars().filter(|c| !c.is_control());
        plain.take(WORDS_MAX).collect()
    }
}

/// Running program, in a process group of its own. Dropping it kills the whole group. A killed worker drops nothing: if
/// it has a control group, the daemon kills the processes that are left in it.
#[derive(Debug)]
pub struct Child {
    child: process::Child,
    group: Pid,
    pidfd: OwnedFd,
    output: OwnedFd,
    text: Vec<u8>,
    output_max: usize,
    outlived: bool,
    /// True if the exit status was collected: the process id may be reused.
    ended: bool,
}

impl Child {
    /// Starts a program.
    ///
    /// # Errors
    /// A sentence with the reason why the program does not run.
    pub fn start(program: &Program<'_>) -> Result<Self, String> {
        let (name, words) = program.argv.split_first().ok_or("names no program")?;
        let executable = program.executable.unwrap_or(Path::new(name));
        let shown = |error: io::Error| format!("cannot run {name}: {error}");
        let (output, theirs) = pipe().map_err(shown)?;
        let errors = if program.only_stdout {
            Stdio::null()
        } else {
            Stdio::from(theirs.try_clone().map_err(shown)?)
        };
        let mut command = Command::new(executable);
        if let Some((user, group)) = program.account {
            // without CAP_SETGID the program does not run; other groups are dropped with it
            command.uid(user).gid(group);
        }
        let child = command
            .arg0(name)
            .args(words)
            .env_clear()
            .env("PATH", PATH)
            .env("LANG", LANG)
            .envs(program.env.iter().copied())
            .current_dir(program.directory)
            .stdin(input(program.input).map_err(shown)?)
            .stdout(theirs)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .map_err(shown)?;
        let (child, group, pidfd) = watchable(child).map_err(shown)?;
        Ok(Self {
            child,
            group,
            pidfd,
            output,
            text: Vec::new(),
            output_max: program.output_max,
            outlived: program.outlived,
            ended: false,
        })
    }

    /// Starts a program and waits for its end, on a thread that has no other work. After `limit` the program is
    /// killed, with its group.
    ///
    /// # Errors
    /// A sentence with the reason why the program does not run, or that it took too long.
    pub fn run(program: &Program<'_>, limit: Duration) -> Result<Ended, String> {
        let until = Instant::now() + limit;
        let mut child = Self::start(program)?;
        let mut speaks = true;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let name = program.argv.first().map_or("", String::as_str);
                let limit_s = limit.as_secs_f32();
                return Err(format!("{name} was killed: it ran longer than {limit_s} s"));
            }
            let output = speaks.then_some(child.output.as_fd());
            wait_any(output.into_iter().chain([child.pidfd.as_fd()]), left);
            speaks = speaks && child.listen();
            if let Some(ended) = child.end() {
                return Ok(ended);
            }
        }
    }

    /// Process id, for messages.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Descriptor that is readable once the program has ended.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Descriptor that is readable while there is output.
    pub fn output(&self) -> BorrowedFd<'_> {
        self.output.as_fd()
    }

    /// Reads the available output; false at its end, when there is nothing more to watch.
    pub fn listen(&mut self) -> bool {
        let mut buffer = [0; 4096];
        // bounded, because a program may write without end
        for _ in 0..16 {
            match rustix::io::read(&self.output, &mut buffer) {
                Ok(0) => return false,
                Ok(length) => {
                    let room = self.output_max.saturating_sub(self.text.len()).min(length);
                    self.text.extend(buffer.iter().take(room));
                }
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return true,
                Err(_) => return false,
            }
        }
        true
    }

    /// Sends SIGTERM to the program and its process group.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Kills the program and its process group.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// Result of the program, returned once; None while it runs, and on later calls.
    pub fn end(&mut self) -> Option<Ended> {
        if self.ended || !wait(self.pidfd.as_fd(), Duration::ZERO) {
            return None;
        }
        self.listen();
        if !self.outlived {
            self.kill();
        }
        let status = self.child.try_wait().ok().flatten()?;
        self.ended = true;
        Some(Ended {
            code: status.code(),
            signal: status.signal(),
            text: std::mem::take(&mut self.text),
        })
    }

    fn signal(&self, signal: Signal) {
        // until its status is collected, the process id is not reused
        if !self.ended {
            let _ = kill_process_group(self.group, signal);
        }
    }
}

impl Drop for Child {
    /// Kills the program and waits for its end, to collect its status.
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        self.kill();
        if wait(self.pidfd.as_fd(), DROP_WAIT) {
            let _ = self.child.try_wait();
        }
    }
}

fn watchable(mut child: process::Child) -> io::Result<(process::Child, Pid, OwnedFd)> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let Some(group) = pid else {
        return Err(io::Error::other("a process without id"));
    };
    match pidfd_open(group, PidfdFlags::empty()) {
        Ok(pidfd) => Ok((child, group, pidfd)),
        Err(errno) => {
            let _ = kill_process_group(group, Signal::KILL);
            let _ = child.wait();
            Err(errno.into())
        }
    }
}

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&reader, true)?;
    Ok((reader, writer))
}

/// File in memory with the input: writing to it does not block if the program does not read.
fn input(content: &[u8]) -> io::Result<Stdio> {
    if content.is_empty() {
        return Ok(Stdio::null());
    }
    let mut file = File::from(memfd_create("input", MemfdFlags::CLOEXEC)?);
    file.write_all(content)?;
    file.rewind()?;
    Ok(file.into())
}

fn wait(fd: BorrowedFd<'_>, most: Duration) -> bool {
    wait_any([fd].into_iter(), most)
}

fn wait_any<'f>(fds: impl Iterator<Item = BorrowedFd<'f>>, most: Duration) -> bool {
    let polled = fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
    let mut polled: Vec<_> = polled.collect();
    let timeout = Timespec::try_from(most).ok();
    matches!(poll(&mut polled, timeout.as_ref()), Ok(1..))
}
