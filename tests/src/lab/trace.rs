// SPDX-License-Identifier: MIT OR Apache-2.0
//! Stops a process between two system calls.

use rustix::process::Signal;

use super::process::signal_to;
use crate::{Result, sys};

/// System calls by which an event loop waits.
const WAITS: [i64; 3] = [
    libc::SYS_epoll_wait,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
];

/// Stops a process by SIGSTOP, `calls` system calls after it woke from waiting for events. Returns false, without a
/// stop, if it waits again before that.
pub fn stop_after_calls(pid: u32, calls: usize) -> Result<bool> {
    let mut tracee = Tracee::attach(pid)?;
    while !WAITS.contains(&tracee.enter_call()?) {}
    tracee.leave_call()?;
    for _ in 0..calls {
        // all its work is done, and it is about to wait again
        if WAITS.contains(&tracee.enter_call()?) {
            return Ok(false);
        }
        tracee.leave_call()?;
    }
    signal_to(pid, Signal::STOP)?;
    Ok(true)
}

struct Tracee {
    pid: i32,
}

impl Tracee {
    fn attach(pid: u32) -> Result<Self> {
        let pid = i32::try_from(pid)?;
        sys::trace(libc::PTRACE_SEIZE, pid, libc::PTRACE_O_TRACESYSGOOD)?;
        let tracee = Self { pid };
        sys::trace(libc::PTRACE_INTERRUPT, pid, 0)?;
        sys::wait_traced(pid)?;
        Ok(tracee)
    }

    /// Continues to the next entry into a system call, and returns its number. Signals are passed on.
    fn enter_call(&mut self) -> Result<i64> {
        self.step_to(|at| match at {
            sys::CallStop::Entry(number) => Some(number),
            _ => None,
        })
    }

    /// Continues to the end of the call.
    fn leave_call(&mut self) -> Result<()> {
        self.step_to(|at| matches!(at, sys::CallStop::Exit).then_some(()))
    }

    fn step_to<T>(&mut self, wanted: impl Fn(sys::CallStop) -> Option<T>) -> Result<T> {
        const SYSCALL_STOP: i32 = libc::SIGTRAP | 0x80;
        let mut signal = 0;
        loop {
            sys::trace(libc::PTRACE_SYSCALL, self.pid, signal)?;
            signal = match sys::wait_traced(self.pid)? {
                SYSCALL_STOP => match wanted(sys::call_stop(self.pid)?) {
                    Some(found) => return Ok(found),
                    None => 0,
                },
                libc::SIGTRAP => 0,
                other => other,
            };
        }
    }
}

impl Drop for Tracee {
    fn drop(&mut self) {
        let _ = sys::trace(libc::PTRACE_DETACH, self.pid, 0);
    }
}
