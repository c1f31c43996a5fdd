//! `spared.interface/1`: state of interfaces, and sockets on them.

use std::ops::BitOr;
use std::os::fd::BorrowedFd;

use spared_abi as abi;
use spared_contract::{InterfaceEvent, SocketKind};

use crate::error::check;
use crate::host::{Host, c_text};
use crate::{Error, Plugin, text};

/// The part `interfaces`: is told the state of interfaces that it follows.
pub trait Interfaces: Plugin {
    /// Complete state of one interface: once after [`InterfaceHandle::follow`], then at each change.
    fn changed(&mut self, event: &InterfaceEvent, sockets: &OpenSockets<'_>);
}

/// Follows interfaces; from [`Host::interfaces`].
#[derive(Clone, Copy, Debug)]
pub struct InterfaceHandle {
    pub(crate) host: Host,
    pub(crate) table: *const abi::Interface,
}

impl InterfaceHandle {
    /// Makes the host call [`Interfaces::changed`], also for a name that does not exist yet.
    ///
    /// # Errors
    /// The host's, which has logged why.
    pub fn follow(&self, name: &str, sockets: Sockets) -> Result<(), Error> {
        if let Some(core) = self.host.core() {
            let status = core.follow(name, sockets.0);
            return check(&format!("follow interface {name}"), status);
        }
        let c_name = c_text(name)?;
        // SAFETY: the table is valid as long as the instance; the name lives through the call.
        let status = unsafe {
            call_ctx!(
                self.table,
                follow,
                self.host.ctx(),
                c_name.as_ptr(),
                sockets.0
            )
        };
        check(&format!("follow interface {name}"), status)
    }

    /// Stops following an interface; its sockets are closed when this returns.
    ///
    /// # Errors
    /// The host's, which has logged why.
    pub fn unfollow(&self, name: &str) -> Result<(), Error> {
        if let Some(core) = self.host.core() {
            return check(&format!("unfollow interface {name}"), core.unfollow(name));
        }
        let c_name = c_text(name)?;
        // SAFETY: as above.
        let status = unsafe { call_ctx!(self.table, unfollow, self.host.ctx(), c_name.as_ptr()) };
        check(&format!("unfollow interface {name}"), status)
    }
}

/// Calls a function of an extension's table; -ENOSYS if the table does not have it.
macro_rules! call_ctx {
    ($table:expr, $function:ident, $ctx:expr $(, $argument:expr)*) => {
        match (*$table).$function {
            Some(function) => function($ctx $(, $argument)*),
            None => -$crate::error::ENOSYS,
        }
    };
}
pub(crate) use call_ctx;

/// Sets of sockets to open on an interface.
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

/// Open sockets of an interface, non-blocking. The worker owns them: each stays open under the same
/// number until an event omits it. `fd.try_clone_to_owned()` keeps it for as long as you like.
#[derive(Clone, Debug, Default)]
pub struct OpenSockets<'a>(Vec<(SocketKind, BorrowedFd<'a>)>);

impl<'a> OpenSockets<'a> {
    /// The first socket of a kind.
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

/// # Safety
/// `raw` and all that it points to are valid for the lifetime.
pub(crate) unsafe fn read(raw: &abi::InterfaceEvent) -> (InterfaceEvent, OpenSockets<'_>) {
    // SAFETY: the caller's promise, for each of the three.
    let (name, addresses, sockets) = unsafe {
        (
            text::owned(raw.name),
            text::Sized::new(raw.addresses, raw.address_count, |address| address.size),
            text::Sized::new(raw.sockets, raw.socket_count, |socket| socket.size),
        )
    };
    let open = sockets.filter(|socket| socket.fd >= 0);
    let open: OpenSockets<'_> = open.map(socket).collect();
    let kinds = open.0.iter().map(|(kind, _)| *kind).collect();
    (InterfaceEvent::from_raw(raw, name, addresses, kinds), open)
}

fn socket(raw: &abi::Socket) -> (SocketKind, BorrowedFd<'_>) {
    // SAFETY: the host lends an open descriptor (checked not negative) for the call.
    let fd = unsafe { BorrowedFd::borrow_raw(raw.fd) };
    (raw.kind.into(), fd)
}
