//! One host per runtime folder and per network namespace: a second one would remove the addresses of the
//! first as leftovers.

use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::Path;

use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use rustix::net::sockopt::socket_peercred;

/// Abstract names belong to a network namespace, and vanish with their process.
const NAME: &str = "spared-host";

/// Held while this host runs. Nothing is left behind, however the host ends.
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

fn take_namespace(name: &str) -> Result<Option<UnixListener>, String> {
    let say = |error: std::io::Error| format!("network namespace: {error}");
    let address = SocketAddr::from_abstract_name(name).map_err(say)?;
    match UnixListener::bind_addr(&address) {
        Ok(listener) => Ok(Some(listener)),
        // Any user may take the name: it counts only if its holder could run a host.
        Err(_) if holder(&address).is_some_and(|uid| !may_run_a_host(uid)) => Ok(None),
        Err(_) => Err("another spared runs in this network namespace".to_owned()),
    }
}

fn holder(address: &SocketAddr) -> Option<u32> {
    let stream = UnixStream::connect_addr(address).ok()?;
    Some(socket_peercred(&stream).ok()?.uid.as_raw())
}

fn may_run_a_host(uid: u32) -> bool {
    uid == 0 || uid == rustix::process::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
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
}
