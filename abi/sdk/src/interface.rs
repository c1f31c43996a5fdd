//! `spared.interface/1`: state of interfaces, and sockets on them.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::BitOr;
use std::os::fd::BorrowedFd;

use spared_abi as abi;

use crate::error::check;
use crate::host::{Host, c_text};
use crate::{Error, Plugin, text};

/// The part `interfaces`: is told the state of interfaces that it follows.
pub trait Interfaces: Plugin {
    /// Complete state of one interface: once after [`InterfaceHandle::follow`], then at each change.
    fn changed(&mut self, event: &InterfaceEvent<'_>);
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

/// Purpose of a socket; `plugin.h` says how each is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SocketKind {
    /// Whole frames of VRRP, both ways.
    VrrpLink,
    /// Unicast adverts over IPv4, sending only.
    VrrpIpv4,
    /// Unicast adverts over IPv6, sending only.
    VrrpIpv6,
    /// ARP and neighbour discovery of other stations.
    Stations,
    /// UDP packets of the peer's heartbeats, receiving only.
    HeartbeatIn,
    /// Connected to the peer's port for heartbeats, sending only.
    HeartbeatOut,
    /// ICMP.
    PingIpv4,
    /// ICMPv6.
    PingIpv6,
    /// Whole frames of heartbeats beside the adverts, receiving only.
    VrrpHeartbeat,
    /// A kind that this SDK does not know.
    Other(u32),
}

impl SocketKind {
    fn from_raw(kind: u32) -> Self {
        match kind {
            abi::SOCKET_VRRP_LINK => Self::VrrpLink,
            abi::SOCKET_VRRP_IPV4 => Self::VrrpIpv4,
            abi::SOCKET_VRRP_IPV6 => Self::VrrpIpv6,
            abi::SOCKET_STATIONS => Self::Stations,
            abi::SOCKET_HEARTBEAT_IN => Self::HeartbeatIn,
            abi::SOCKET_HEARTBEAT_OUT => Self::HeartbeatOut,
            abi::SOCKET_PING_IPV4 => Self::PingIpv4,
            abi::SOCKET_PING_IPV6 => Self::PingIpv6,
            abi::SOCKET_VRRP_HEARTBEAT => Self::VrrpHeartbeat,
            other => Self::Other(other),
        }
    }
}

/// A socket of an interface, non-blocking. The worker owns it: it stays open under the same number
/// until an event omits it. `fd.try_clone_to_owned()` keeps it for as long as you like.
#[derive(Clone, Copy, Debug)]
pub struct Socket<'a> {
    /// Its purpose.
    pub kind: SocketKind,
    /// The descriptor.
    pub fd: BorrowedFd<'a>,
}

/// Complete state of one interface.
#[derive(Debug)]
pub struct InterfaceEvent<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
    /// The interface exists.
    pub present: bool,
    /// The administrator set it up.
    pub up: bool,
    /// It has a carrier.
    pub carrier: bool,
    /// The kernel's index; 0 if absent.
    pub index: u32,
    /// Bytes of payload per frame.
    pub mtu: u32,
    /// Its own MAC, not a virtual one.
    pub mac: [u8; 6],
    /// The node's own addresses with their prefix lengths, without virtual ones of spared.
    pub addresses: Vec<(IpAddr, u8)>,
    /// The requested sockets, as far as they could be opened.
    pub sockets: Vec<Socket<'a>>,
}

impl<'a> InterfaceEvent<'a> {
    /// The first socket of a kind.
    pub fn socket(&self, kind: SocketKind) -> Option<BorrowedFd<'a>> {
        let found = self.sockets.iter().find(|socket| socket.kind == kind)?;
        Some(found.fd)
    }

    /// # Safety
    /// `raw` and all that it points to are valid for the lifetime.
    pub(crate) unsafe fn from_raw(raw: &'a abi::InterfaceEvent) -> Self {
        let [a, b, c, d, e, f, ..] = raw.mac;
        // SAFETY: the caller's promise, for each of the three.
        let (name, addresses, sockets) = unsafe {
            (
                text::read(raw.name),
                text::Sized::new(raw.addresses, raw.address_count, |address| address.size),
                text::Sized::new(raw.sockets, raw.socket_count, |socket| socket.size),
            )
        };
        Self {
            name,
            present: raw.flags & abi::INTERFACE_PRESENT != 0,
            up: raw.flags & abi::INTERFACE_UP != 0,
            carrier: raw.flags & abi::INTERFACE_CARRIER != 0,
            index: raw.index,
            mtu: raw.mtu,
            mac: [a, b, c, d, e, f],
            addresses: addresses.filter_map(own_address).collect(),
            sockets: sockets
                .filter(|socket| socket.fd >= 0)
                .map(socket)
                .collect(),
        }
    }
}

fn own_address(raw: &abi::OwnAddress) -> Option<(IpAddr, u8)> {
    let prefix = u8::try_from(raw.prefix).ok()?;
    match raw.family {
        4 => {
            let [a, b, c, d, ..] = raw.octets;
            Some((IpAddr::V4(Ipv4Addr::new(a, b, c, d)), prefix))
        }
        6 => Some((IpAddr::V6(Ipv6Addr::from(raw.octets)), prefix)),
        _ => None,
    }
}

fn socket<'a>(raw: &'a abi::Socket) -> Socket<'a> {
    // SAFETY: the host lends an open descriptor (checked not negative) for the call.
    let fd = unsafe { BorrowedFd::borrow_raw(raw.fd) };
    Socket {
        kind: SocketKind::from_raw(raw.kind),
        fd,
    }
}
