//! A program that only sleeps, in the place of a process of the host, and its end of the host's socket.

use std::cell::RefCell;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::rc::Rc;

use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use spared_process::child::SOCKET_FD;
use spared_process::starter::Starter;
use spared_supervisor::starter::{Files, Launcher};

use crate::folder::Folder;

/// Starts it as a child of this process, whatever it is asked for.
pub(crate) fn starter(folder: &Folder) -> Starter {
    let program = folder.path().join("sleeper.sh");
    fs::write(&program, "#!/bin/sh\nexec sleep 1000\n").expect("a file of the test's own");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("its own file");
    let files = Files {
        config: folder.path().join("spared.toml"),
        plugin_dir: folder.path().to_owned(),
        state_dir: None,
    };
    Rc::new(RefCell::new(Launcher::with_program(program, files)))
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
