//! State of interfaces, and sockets on them.

use std::ops::BitOr;
use std::os::fd::BorrowedFd;

use spared_abi as abi;
use spared_contract::{InterfaceEvent, SocketKind};

use crate::error::check;
use crate::host::Host;
use crate::{Error, Plugin};

/// The part `interfaces`: gets the state of interfaces that the plugin follows.
pub trait Interfaces: Plugin {
    /// Handles the complete state of one interface: once after [`InterfaceHandle::follow`], then at each change.
    fn changed(&mut self, event: &InterfaceEvent, sockets: &OpenSockets<'_>);
}

/// Handle that follows interfaces; from [`Host::interfaces`].
#[derive(Clone, Copy, Debug)]
pub struct InterfaceHandle(pub(crate) Host);

impl InterfaceHandle {
    /// Makes the loop call [`Interfaces::changed`], also for a name that does not exist yet.
    ///
    /// # Errors
    /// The daemon's, which has logged the reason.
    pub fn follow(&self, name: &str, sockets: Sockets) -> Result<(), Error> {
        let status = self.0.core().follow(name, sockets.0);
        check(&format!("follow interface {name}"), status)
    }

    /// Stops following an interface; its sockets are closed when this returns.
    ///
    /// # Errors
    /// The daemon's, which has logged the reason.
    pub fn unfollow(&self, name: &str) -> Result<(), Error> {
        let status = self.0.core().unfollow(name);
        check(&format!("unfollow interface {name}"), status)
    }
}

/// Set of sockets to open on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sockets(u32);

impl Sockets {
    /// No sockets.
    pub const NONE: Self = Self(abi::SOCKETS_NONE);
    /// Sockets to send and receive VRRP.
    pub const VRRP: Self = Self(abi::SOCKETS_VRRP);
    /// Sockets to send and receive heartbeats on a link.
    pub const HEARTBEAT: Self = Self(abi::SOCKETS_HEARTBEAT);
    /// Sockets to ping.
    pub const PING: Self = Self(abi::SOCKETS_PING);
}

impl BitOr for Sockets {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Open sockets of an interface, non-blocking. The worker owns them: each stays open under the same number until an
/// event omits it. Use `fd.try_clone_to_owned()` to keep one longer.
#[derive(Clone, Debug, Default)]
pub struct OpenSockets<'a>(Vec<(SocketKind, BorrowedFd<'a>)>);

impl<'a> OpenSockets<'a> {
    /// Returns the first socket of a kind.
    pub fn get(&self, kind: SocketKind) -> Option<BorrowedFd<'a>> {
        let found = self.0.iter().find(|(of, _)| *of == kind)?;
        Some(found.1)
    }
}

impl<'a> FromIterator<(SocketKind, BorrowedFd<'a>)> for OpenSockets<'a> {
    fn from_iter<T: IntoIterator<Item = (SocketKind, BorrowedFd<'a>)>>(sockets: T) -> Self {
        Self(sockets.into_iter().collect())
    }
}
