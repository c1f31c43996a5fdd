//! A program that only sleeps, in the place of a process of the host, and its end of the host's socket.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use spared_process::child::SOCKET_FD;

use crate::folder::Folder;

pub(crate) fn program(folder: &Folder) -> PathBuf {
    let program = folder.path().join("sleeper.sh");
    fs::write(&program, "#!/bin/sh\nexec sleep 1000\n").expect("a file of the test's own");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("its own file");
    program
}

/// Its end of the socket, taken from it.
pub(crate) fn socket_of(pid: Option<u32>) -> OwnedFd {
    let socket = pid.and_then(|pid| {
        let pid = Pid::from_raw(i32::try_from(pid).ok()?)?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        pidfd_getfd(&pidfd, SOCKET_FD, PidfdGetfdFlags::empty()).ok()
    });
    socket.expect("a process with a socket")
}
