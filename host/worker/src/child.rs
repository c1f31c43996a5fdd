//! This program in another mode, in a process of its own with descriptors in place: how the host
//! starts it, and how it finds what it was given.
//!
//! The SDK's `child` runs other programs for what they print, in safe Rust. This one places descriptors
//! and gives up privileges between fork and exec, which is `unsafe`, and keeps no output: two pieces,
//! as a plugin needs the one and may not have the other.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{self, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::process::SOCKET_FD;

/// What it finds in its environment, beside SPARED_LOG and RUST_BACKTRACE of the host's.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// A child process. Dropped alive, it is killed.
#[derive(Debug)]
pub struct Child {
    child: process::Child,
    pidfd: OwnedFd,
    reaped: bool,
}

impl Child {
    /// Starts `exe` as `account`, where one is given, with `errors` as its error output and each descriptor of `placed` under its
    /// number, from 3 up without a gap. The calling thread must outlive the child, which takes
    /// its end for the host's.
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
            // A terminal's Ctrl-C is for the host, which lets its plugins resign.
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
        let pidfd = open_pidfd(&child)?;
        Ok(Self {
            child,
            pidfd,
            reaped: false,
        })
    }

    /// Its process id, for people and logs.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Readable once the process has ended.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// SIGKILL; [`exit`](Self::exit) tells when it is through.
    pub fn kill(&self) {
        if !self.reaped {
            let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
        }
    }

    /// Why it ended, as in "r1 was killed by SIGKILL"; None while it runs. A process may be a moment
    /// behind its socket, and is given it.
    pub fn exit_reason(&mut self) -> Option<String> {
        const BEHIND: Duration = Duration::from_millis(2);
        self.wait(BEHIND);
        self.exit().map(sentence)
    }

    /// How it ended; None while it runs. Never waits.
    pub fn exit(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait().ok().flatten();
        self.reaped |= status.is_some();
        status
    }

    /// Whether it ended in this time.
    fn wait(&self, most: Duration) -> bool {
        let mut ended = [PollFd::new(&self.pidfd, PollFlags::IN)];
        let most = Timespec::try_from(most).ok();
        matches!(poll(&mut ended, most.as_ref()), Ok(1..))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        const MOMENT: Duration = Duration::from_millis(20);
        self.kill();
        if self.exit().is_some() {
            return;
        }
        if self.wait(MOMENT) {
            let _ = self.exit();
        }
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

fn open_pidfd(child: &process::Child) -> io::Result<OwnedFd> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| io::Error::other("a process without id"))?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

/// Puts descriptors where the child looks for them. The caller's three descriptors keep the
/// lowest numbers taken, so that no place is one that `Command` uses itself.
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

/// For good: the account's programs find no capability to take up, in no file either.
fn give_up_privileges(uid: u32, gid: u32) -> io::Result<()> {
    const MORE_THAN_THERE_ARE: libc::c_ulong = 64;
    let check = |result: libc::c_long| match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    };
    // SAFETY: plain calls on numbers. The group goes first, as afterwards it may not be changed.
    unsafe {
        for capability in 0..MORE_THAN_THERE_ARE {
            // Those that the kernel does not know are refused.
            let _ = libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0);
        }
        check(libc::syscall(libc::SYS_setgroups, 0, 0))?;
        check(libc::syscall(libc::SYS_setresgid, gid, gid, gid))?;
        check(libc::syscall(libc::SYS_setresuid, uid, uid, uid))
    }
}

/// In the child: its socket to the host, if there is one where the host puts it. To be called once.
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

/// In the child, before it opens anything: closes whatever the host forgot to mark close-on-exec.
/// `first` is the first number that the host did not place.
pub fn close_from(first: RawFd) {
    debug_assert!(first > SOCKET_FD);
    // SAFETY: nothing of ours is open above those that the host passed.
    unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
}
