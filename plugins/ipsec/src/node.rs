//! What tunnels are made of on this node: its kernel, its addresses, its IKE daemon.

use std::io;

use spared_sdk::{Error, Host, Interest};

use crate::config::Settings;
use crate::kernel::{Addresses, Kernel};
use crate::vici::Daemon;

pub struct Node {
    pub kernel: Kernel,
    pub addresses: Addresses,
    pub daemon: Daemon,
}

impl Node {
    /// None on a kernel without IPsec.
    ///
    /// # Errors
    /// Of the kernel, or of the host.
    pub fn open(host: Host, settings: &Settings) -> Result<Option<Self>, Error> {
        let mut kernel = match Kernel::open() {
            Err(error) if is_absent(&error) => {
                log::warn!("this kernel has no IPsec: no tunnels follow");
                return Ok(None);
            }
            kernel => kernel.map_err(Error::kernel("open netlink sockets"))?,
        };
        if !kernel.has_esp() {
            log::warn!("this kernel has no ESP: no tunnels follow to it");
        }
        let addresses = Addresses::open().map_err(Error::kernel("watch addresses"))?;
        let (waker, socket) = (host.waker(), settings.adopt.socket.clone());
        let daemon = Daemon::start(socket, move || waker.wake());
        for fd in [kernel.fd(), addresses.fd()] {
            host.watch_fd(fd, Interest::READ)?;
        }
        Ok(Some(Self {
            kernel,
            addresses,
            daemon: daemon.map_err(Error::kernel("start a thread"))?,
        }))
    }

    pub fn close(self, host: Host) {
        for fd in [self.kernel.fd(), self.addresses.fd()] {
            host.unwatch_fd(fd);
        }
        self.daemon.stop();
    }
}

/// There is no netlink of IPsec.
fn is_absent(error: &io::Error) -> bool {
    const EPROTONOSUPPORT: i32 = 93;
    error.raw_os_error() == Some(EPROTONOSUPPORT)
}
