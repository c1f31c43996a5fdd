// SPDX-License-Identifier: MIT OR Apache-2.0
//! Daemons under test: their output goes to a file, and they are ended by process id.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio, id};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::clock::poll;
use crate::{Result, sys};

pub struct Daemon {
    pub name: String,
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts `command` with both outputs appended to `log`.
    pub fn start(name: &str, mut command: Command, log: &Path) -> Result<Self> {
        let output = File::options().create(true).append(true).open(log)?;
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        Self::spawn(name, command, log)
    }

    /// Starts `command` with pipes to its standard input and output.
    pub fn start_piped(
        name: &str,
        mut command: Command,
        log: &Path,
    ) -> Result<(Self, (ChildStdin, ChildStdout))> {
        let errors = File::options().create(true).append(true).open(log)?;
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors);
        let mut daemon = Self::spawn(name, command, log)?;
        let pipes = daemon.child.stdin.take().zip(daemon.child.stdout.take());
        Ok((daemon, pipes.ok_or("a program without its pipes")?))
    }

    fn spawn(name: &str, mut command: Command, log: &Path) -> Result<Self> {
        // Ctrl-C must reach only the program that runs the lab, which ends its daemons itself.
        command.process_group(0);
        let child = command.spawn().map_err(|error| {
            format!(
                "{name}: {}: {error}",
                command.get_program().to_string_lossy()
            )
        })?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log: log.to_owned(),
        })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    pub fn signal(&self, signal: Signal) -> Result<()> {
        signal_to(self.pid(), signal)
    }

    /// This process and all its descendants.
    pub fn tree(&self) -> Vec<u32> {
        let parents = parents();
        let mut tree = vec![self.pid()];
        let mut next = 0;
        while next < tree.len() {
            let parent = tree[next];
            tree.extend(
                parents
                    .iter()
                    .filter(|(_, of)| *of == parent)
                    .map(|(pid, _)| *pid),
            );
            next += 1;
        }
        tree
    }

    /// Sends a signal to the whole tree, parents first.
    pub fn signal_all(&self, signal: Signal) -> Result<()> {
        for pid in self.tree() {
            // it may have ended meanwhile
            let _ = signal_to(pid, signal);
        }
        Ok(())
    }

    pub fn terminate(&mut self, limit: Duration) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.wait(limit)
    }

    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let mut status = None;
        poll(limit, Duration::from_millis(1), || {
            status = self.child.try_wait().ok().flatten();
            status.is_some()
        });
        status.ok_or_else(|| format!("{}: still running after {limit:?}", self.name).into())
    }

    /// Sends SIGKILL to the whole tree at once.
    pub fn kill_all(&mut self) {
        let tree = self.tree();
        // stopped first: a worker whose host dies would have time to resign
        for signal in [Signal::STOP, Signal::KILL] {
            for pid in &tree {
                let _ = signal_to(*pid, signal);
            }
        }
        let _ = self.child.wait();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.is_running() {
            self.kill_all();
        }
    }
}

pub fn signal_to(pid: u32, signal: Signal) -> Result<()> {
    let raw = Pid::from_raw(pid as i32).ok_or("no such process id")?;
    kill_process(raw, signal).map_err(|error| format!("signal to {pid}: {error}").into())
}

pub fn is_alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| state_and_parent(&stat).is_none_or(|(state, _)| state != 'Z'))
}

/// True if a process was stopped by a signal.
pub fn is_stopped(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    state_and_parent(&stat).is_some_and(|(state, _)| state == 'T')
}

/// Runs `work` with the highest real-time priority, as the kernel takes packets from a card.
pub fn urgently<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    const HIGHEST: i32 = 99;
    thread::scope(|scope| {
        let urgent = scope.spawn(|| {
            sys::realtime(HIGHEST);
            work()
        });
        urgent.join().map_err(|_| "urgent work panicked")?
    })
}

/// Returns the processor time used so far, and resident bytes.
pub fn usage(pid: u32) -> (Duration, u64) {
    let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
    // CLOCK_PROCESS_CPUTIME's sum in nanoseconds is the first field of schedstat, per thread.
    let tasks = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten();
    let used = tasks
        .filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok())
        .filter_map(|text| text.split(' ').next()?.parse::<u64>().ok())
        .sum();
    let resident = read("status")
        .lines()
        .find_map(|line| {
            line.strip_prefix("VmRSS:")?
                .split_whitespace()
                .next()?
                .parse::<u64>()
                .ok()
        })
        .unwrap_or(0);
    (Duration::from_nanos(used), resident * 1024)
}

/// Returns the time so far for which threads of a process were ready to run and had no processor.
pub fn starved(pid: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"));
    let texts = tasks.into_iter().flatten().flatten();
    let texts = texts.filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok());
    let waited = texts.filter_map(|text| text.split(' ').nth(1)?.parse::<u64>().ok());
    Duration::from_nanos(waited.sum())
}

/// Returns how often threads of a process have waited and were woken.
pub fn wakeups(pid: u32) -> u64 {
    const KEY: &str = "voluntary_ctxt_switches:";
    let tasks = fs::read_dir(format!("/proc/{pid}/task"));
    let tasks = tasks.into_iter().flatten().flatten();
    let texts = tasks.filter_map(|task| fs::read_to_string(task.path().join("status")).ok());
    let count = |text: String| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(KEY))?;
        line.trim().parse().ok()
    };
    texts.filter_map(count).sum()
}

/// Returns a process and all its descendants.
fn tree(root: u32) -> Vec<u32> {
    let parents = parents();
    let mut tree = vec![root];
    let mut next = 0;
    while next < tree.len() {
        let parent = tree[next];
        tree.extend(
            parents
                .iter()
                .filter(|(_, of)| *of == parent)
                .map(|(pid, _)| *pid),
        );
        next += 1;
    }
    tree
}

/// Kills all descendants of this process.
pub fn kill_descendants() {
    for pid in tree(id()).into_iter().skip(1) {
        let _ = signal_to(pid, Signal::KILL);
    }
}

/// Kills all processes with a path below a lab's directory in their command line: processes that went to the background
/// by themselves do not die with their parent.
pub fn end_users(dir: &Path) {
    let below = format!("{}/", dir.display());
    let Ok(entries) = fs::read_dir("/proc") else {
        return;
    };
    let pids = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    for pid in pids.filter(|pid| *pid != id()) {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&line).contains(&below) {
            let _ = signal_to(pid, Signal::KILL);
        }
    }
}

fn parents() -> Vec<(u32, u32)> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        Some((pid, state_and_parent(&stat)?.1))
    })
    .collect()
}

// The name in parentheses may contain spaces and parentheses.
fn state_and_parent(stat: &str) -> Option<(char, u32)> {
    let mut fields = stat[stat.rfind(')')? + 1..].split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}
