//! Ensures that one host runs per runtime folder and per network namespace: a second host would remove the addresses of
//! the first as leftovers.

use std::io;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use rustix::io::Errno;
use rustix::net::sockopt::socket_peercred;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

/// Name of an abstract socket. It belongs to a network namespace, and vanishes with its process.
const NAME: &str = "spared-host";
/// Time between taking the name and listening under it.
const MOMENT: Duration = Duration::from_millis(50);

/// Claim that is held while this host runs. Nothing is left behind, however the host ends.
#[derive(Debug)]
pub struct Claim {
    _folder: OwnedFd,
    _namespace: Option<UnixListener>,
}

impl Claim {
    /// Claims the folder, which is created if it is missing, and the network namespace.
    ///
    /// # Errors
    /// A sentence, such as that another spared runs here.
    pub fn take(runtime_dir: &Path) -> Result<Self, String> {
        std::fs::create_dir_all(runtime_dir)
            .map_err(|error| format!("{}: {error}", runtime_dir.display()))?;
        Ok(Self {
            _folder: lock(runtime_dir)?,
            _namespace: take_namespace(NAME)?,
        })
    }
}

fn lock(runtime_dir: &Path) -> Result<OwnedFd, String> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = open(runtime_dir, flags, Mode::empty())
        .map_err(|error| format!("{}: {error}", runtime_dir.display()))?;
    flock(&folder, FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| format!("{}: another spared runs here", runtime_dir.display()))?;
    Ok(folder)
}

/// Takes the name. Any user may take it and hide from a query, so another holder counts only if it could run a host.
fn take_namespace(name: &str) -> Result<Option<UnixListener>, String> {
    let say = |error: io::Error| format!("network namespace: {error}");
    let address = SocketAddr::from_abstract_name(name).map_err(say)?;
    let error = match UnixListener::bind_addr(&address) {
        Ok(listener) => return Ok(Some(listener)),
        Err(error) => error,
    };
    if error.kind() != io::ErrorKind::AddrInUse {
        return Err(say(error));
    }
    let who = match holder(name) {
        Ok(uid) if may_run_a_host(uid) => {
            return Err("another spared runs in this network namespace".to_owned());
        }
        Ok(uid) => format!("user {uid}"),
        Err(errno) => format!("somebody unknown ({errno})"),
    };
    log::warn!(
        "network namespace: {who} holds the socket name @{name}: a second spared would not be detected here"
    );
    Ok(None)
}

/// User id of the name's holder. A holder that keeps its queue full or does not listen is not waited for.
fn holder(name: &str) -> rustix::io::Result<u32> {
    match ask(name) {
        Err(Errno::CONNREFUSED) => {
            // a host may have taken the name at this moment
            thread::sleep(MOMENT);
            ask(name)
        }
        asked => asked,
    }
}

fn ask(name: &str) -> rustix::io::Result<u32> {
    Ok(socket_peercred(connected(name)?)?.uid.as_raw())
}

fn connected(name: &str) -> rustix::io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect(
        &socket,
        &SocketAddrUnix::new_abstract_name(name.as_bytes())?,
    )?;
    Ok(socket)
}

fn may_run_a_host(uid: u32) -> bool {
    uid == 0 || uid == rustix::process::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use rustix::net::{bind, listen};

    use super::*;

    #[test]
    fn a_folder_has_one_host() {
        let folder = std::env::temp_dir().join(format!("spared-claim-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let first = lock(&folder).unwrap();
        let refused = lock(&folder).unwrap_err();
        assert!(refused.ends_with("another spared runs here"), "{refused}");
        drop(first);
        assert!(lock(&folder).is_ok());
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_namespace_has_one_host() {
        let name = format!("spared-test-{}", std::process::id());
        let first = take_namespace(&name).unwrap();
        assert!(first.is_some());
        assert_eq!(
            take_namespace(&name).unwrap_err(),
            "another spared runs in this network namespace"
        );
        drop(first);
        assert!(take_namespace(&name).unwrap().is_some());
    }

    /// Takes the name as any user could.
    fn squatted(name: &str) -> OwnedFd {
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
        let address = SocketAddrUnix::new_abstract_name(name.as_bytes()).unwrap();
        bind(&socket, &address).unwrap();
        socket
    }

    fn taken_in_time(name: &str) -> Result<Option<UnixListener>, String> {
        let (tell, told) = mpsc::channel();
        let name = name.to_owned();
        thread::spawn(move || tell.send(take_namespace(&name)));
        told.recv_timeout(Duration::from_secs(10))
            .expect("it waits without an end")
    }

    #[test]
    fn who_keeps_the_name_and_cannot_be_asked_keeps_no_host_from_starting() {
        let name = format!("spared-squatted-{}", std::process::id());
        let socket = squatted(&name);
        assert!(taken_in_time(&name).unwrap().is_none(), "it is deaf");
        listen(&socket, 0).unwrap();
        let mut waiting = Vec::new();
        while let Ok(one) = connected(&name) {
            waiting.push(one);
        }
        assert!(taken_in_time(&name).unwrap().is_none(), "its queue is full");
    }
}
