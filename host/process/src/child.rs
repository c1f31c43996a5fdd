//! Starts this program in another mode, as a child process with its descriptors in place. In the child, it finds these
//! descriptors. A process that the starter has started is handled in the same way.
//!
//! The SDK's `child` runs other programs for their output, in safe Rust. This module places descriptors and gives up
//! privileges between fork and exec, which is `unsafe`, and keeps no output. Plugins need the former and must not have
//! the latter, so the two are separate.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{self, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, Uid, pidfd_open, pidfd_send_signal};
use rustix::process::{dumpable_behavior, set_dumpable_behavior};
use rustix::thread::set_thread_res_uid;
use spared_message::starter::Reaped;

use super::poller::is_readable;
use super::proc;
use super::starter::Starter;

/// Number of the socket to the host, in the child.
pub const SOCKET_FD: RawFd = 3;

/// PATH of the child. It inherits only SPARED_LOG and RUST_BACKTRACE from this process's environment.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// Child process of this process or of the starter. Dropping it kills the process.
#[derive(Debug)]
pub struct Child {
    process: Process,
    pidfd: OwnedFd,
    ended: Option<Ended>,
}

#[derive(Debug)]
enum Process {
    Own(process::Child),
    Started { number: u64, pid: u32, by: Starter },
}

/// Result that the kernel reported when the process was reaped.
#[derive(Clone, Copy, Debug)]
struct Ended {
    /// Exit status; None if the starter that could have reported it is gone.
    status: Option<ExitStatus>,
    /// Peak memory in bytes.
    peak: u64,
}

impl Child {
    /// Starts `exe`. It runs as `account` if one is given, with `errors` as its error output and each descriptor of
    /// `placed` under its number, from 3 up without a gap. The calling thread must outlive the child, which takes the
    /// end of that thread for the end of the host.
    ///
    /// # Errors
    /// The kernel's: no process or descriptor left, or `exe` is not there.
    pub fn spawn<const COUNT: usize>(
        exe: &Path,
        arguments: &[&str],
        account: Option<(u32, u32)>,
        errors: Stdio,
        placed: [(BorrowedFd<'_>, RawFd); COUNT],
    ) -> io::Result<Self> {
        let mut command = Command::new(exe);
        command
            .args(arguments)
            .env_clear()
            .env("PATH", PATH)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors)
            // Ctrl-C in a terminal must reach only the host, which lets its plugins resign.
            .process_group(0);
        for kept in ["SPARED_LOG", "RUST_BACKTRACE"] {
            if let Some(value) = std::env::var_os(kept) {
                command.env(kept, value);
            }
        }
        let placed = placed.map(|(descriptor, number)| (descriptor.as_raw_fd(), number));
        let prepare = move || {
            place(placed)?;
            account.map_or(Ok(()), |(uid, gid)| give_up_privileges(uid, gid))
        };
        // SAFETY: between fork and exec only system calls on numbers are made.
        unsafe { command.pre_exec(prepare) };
        let child = command.spawn()?;
        let pidfd = open_pidfd(child.id())?;
        Ok(Self {
            process: Process::Own(child),
            pidfd,
            ended: None,
        })
    }

    /// Wraps a process that the starter has started. The starter reaps it only when told to, so that its id is not used
    /// again.
    ///
    /// # Errors
    /// The kernel's: no descriptor left.
    pub fn started(number: u64, pid: u32, by: Starter) -> io::Result<Self> {
        let pidfd = open_pidfd(pid).inspect_err(|_| by.borrow_mut().kill_and_reap(number))?;
        Ok(Self {
            process: Process::Started { number, pid, by },
            pidfd,
            ended: None,
        })
    }

    /// Process id, for logs and status.
    pub fn pid(&self) -> u32 {
        match &self.process {
            Process::Own(child) => child.id(),
            Process::Started { pid, .. } => *pid,
        }
    }

    /// Descriptor that is readable once the process has ended.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Sends SIGKILL. [`exit`](Self::exit) reports when the process has ended.
    pub fn kill(&self) {
        if self.ended.is_some() {
            return;
        }
        match &self.process {
            Process::Started { number, by, .. } => by.borrow_mut().kill(*number),
            Process::Own(_) => {
                if pidfd_send_signal(&self.pidfd, Signal::KILL) == Err(Errno::PERM) {
                    let _ = self.kill_as_its_account();
                }
            }
        }
    }

    /// Exit reason, such as "was killed by SIGKILL"; None while the process runs. Waits for up to 2 ms, because a
    /// process may end shortly after its socket is closed.
    pub fn exit_reason(&mut self) -> Option<String> {
        const BEHIND: Duration = Duration::from_millis(2);
        self.wait(BEHIND);
        match self.reap()?.status {
            Some(status) => Some(sentence(status)),
            None => Some("ended with spared starter".to_owned()),
        }
    }

    /// Returns true if the process has ended and is reaped. Never waits.
    pub fn has_ended(&mut self) -> bool {
        self.reap().is_some()
    }

    /// Exit status, as wait(2) returns it; None while the process runs, and if nobody knows it. Never waits.
    pub fn exit(&mut self) -> Option<ExitStatus> {
        self.reap()?.status
    }

    fn reap(&mut self) -> Option<Ended> {
        if self.ended.is_none() {
            self.ended = match &self.process {
                Process::Own(child) => reap(child.id()),
                Process::Started { .. } if !self.wait(Duration::ZERO) => None,
                Process::Started { number, by, .. } => reaped(by.borrow_mut().reap(*number)),
            };
        }
        self.ended
    }

    /// Peak memory of the process or a child of it, in bytes; 0 while it runs.
    pub fn peak(&self) -> u64 {
        self.ended.map_or(0, |ended| ended.peak)
    }

    /// Sends SIGKILL without CAP_KILL, which systemd's unit lacks: it changes to the account of the process. Only the
    /// effective user of this thread changes meanwhile, so that the process may not signal or trace this one.
    fn kill_as_its_account(&self) -> io::Result<()> {
        let account = proc::account(self.pid()).ok_or(Errno::SRCH)?;
        let dumpable = dumpable_behavior()?;
        set_effective_user(Uid::from_raw(account))?;
        let killed = pidfd_send_signal(&self.pidfd, Signal::KILL);
        set_effective_user(Uid::ROOT)?;
        // A change of the user clears this setting, which a dump after a crash needs.
        set_dumpable_behavior(dumpable)?;
        Ok(killed?)
    }

    /// Waits at most for `most`. Returns true if the process has ended.
    pub fn wait(&self, most: Duration) -> bool {
        is_readable(&self.pidfd, most)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        const MOMENT: Duration = Duration::from_millis(20);
        self.kill();
        if self.has_ended() || self.wait(MOMENT) && self.has_ended() {
            return;
        }
        if let Process::Started { number, by, .. } = &self.process {
            by.borrow_mut().kill_and_reap(*number);
        }
    }
}

fn set_effective_user(user: Uid) -> rustix::io::Result<()> {
    set_thread_res_uid(None, user, None)
}

/// Reaps a process like `try_wait`, which does not report the memory. Nobody else waits for this child.
fn reap(pid: u32) -> Option<Ended> {
    let pid = libc::pid_t::try_from(pid).ok()?;
    let mut status = 0;
    // SAFETY: a plain struct of numbers.
    let mut used: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both are written by the call and live through it; it does not wait.
    let found = unsafe { libc::wait4(pid, &raw mut status, libc::WNOHANG, &raw mut used) };
    (found == pid).then(|| Ended {
        status: Some(ExitStatus::from_raw(status)),
        peak: u64::try_from(used.ru_maxrss).unwrap_or(0) * 1024,
    })
}

fn reaped(reaped: Reaped) -> Option<Ended> {
    match reaped {
        Reaped::Running => None,
        Reaped::Ended { status, peak } => Some(Ended {
            status: Some(ExitStatus::from_raw(status)),
            peak,
        }),
        Reaped::Unknown => Some(Ended {
            status: None,
            peak: 0,
        }),
    }
}

fn sentence(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => match signal_hook::low_level::signal_name(signal) {
            Some(name) => format!("was killed by {name}"),
            None => format!("was killed by signal {signal}"),
        },
        (None, Some(code)) => format!("exited with status {code}"),
        (None, None) => "ended".to_owned(),
    }
}

fn open_pidfd(pid: u32) -> io::Result<OwnedFd> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| io::Error::other("a process without id"))?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

/// Places descriptors at the numbers where the child expects them. Descriptors of the caller take the lowest numbers,
/// so no place is a number that `Command` uses itself.
fn place<const COUNT: usize>(mut placed: [(RawFd, RawFd); COUNT]) -> io::Result<()> {
    const ABOVE_ALL_PLACES: RawFd = 10;
    let errno = |result: i32| match result {
        -1 => Err(io::Error::last_os_error()),
        fd => Ok(fd),
    };
    // SAFETY: plain calls on numbers; each result is checked.
    unsafe {
        for (descriptor, _) in &mut placed {
            *descriptor = errno(libc::fcntl(
                *descriptor,
                libc::F_DUPFD_CLOEXEC,
                ABOVE_ALL_PLACES,
            ))?;
        }
        for (descriptor, number) in placed {
            errno(libc::dup2(descriptor, number))?;
        }
    }
    Ok(())
}

/// Changes the account and empties the bounding set, so that no capability can come back, not even by the capabilities
/// of a file.
fn give_up_privileges(uid: u32, gid: u32) -> io::Result<()> {
    const MORE_THAN_THERE_ARE: libc::c_ulong = 64;
    let check = |result: libc::c_long| match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    };
    // SAFETY: plain calls on numbers. The group goes first, as afterwards it may not be changed.
    unsafe {
        for capability in 0..MORE_THAN_THERE_ARE {
            // The kernel refuses numbers that it does not know.
            let _ = libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0);
        }
        check(libc::syscall(libc::SYS_setgroups, 0, 0))?;
        check(libc::syscall(libc::SYS_setresgid, gid, gid, gid))?;
        check(libc::syscall(libc::SYS_setresuid, uid, uid, uid))
    }
}

/// Socket to the host, in the child, if [`SOCKET_FD`] is one. To be called once.
pub fn inherited_socket() -> Option<OwnedFd> {
    // SAFETY: a number that is not open makes the checks below fail.
    let socket = unsafe { OwnedFd::from_raw_fd(SOCKET_FD) };
    let kind = rustix::net::sockopt::socket_type(&socket);
    if kind == Ok(rustix::net::SocketType::SEQPACKET) {
        let _ = rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC);
        return Some(socket);
    }
    std::mem::forget(socket);
    None
}

/// Closes all descriptors that the host forgot to mark close-on-exec. The child calls it before it opens anything.
/// `first` is the first number that the host did not place.
pub fn close_from(first: RawFd) {
    debug_assert!(first > SOCKET_FD);
    // SAFETY: nothing of ours is open above those that the host passed.
    unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
}
