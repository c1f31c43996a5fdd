//! Sockets of the Internet protocols that are bound to an interface: datagrams to one peer, and
//! echo requests.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, Protocol, SocketFlags, SocketType, bind, connect, ipproto};

use crate::attach_filter;
use crate::packet::bind_to_device;
use crate::socket_options::{NOTHING, set_option};

const FLAGS: SocketFlags = SocketFlags::CLOEXEC.union(SocketFlags::NONBLOCK);

/// Addresses and port of a connection between two hosts on a network of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    pub own: IpAddr,
    pub peer: IpAddr,
    /// Port, the same on both hosts.
    pub port: u16,
}

/// Opens a UDP socket that sends to the peer through this interface and receives nothing; its datagrams may be
/// fragmented.
pub fn datagram_sender(index: u32, interface: &str, ends: Ends) -> io::Result<OwnedFd> {
    const NEVER: i32 = 0;
    let family = family(ends.own);
    let socket = rustix::net::socket_with(family, SocketType::DGRAM, FLAGS, None)?;
    bind_to_device(&socket, interface)?;
    attach_filter(&socket, &NOTHING, true)?;
    let (level, option) = match ends.own {
        IpAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER),
        IpAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER),
    };
    set_option(&socket, level, option, &NEVER)?;
    bind(&socket, &endpoint(index, ends.own, ends.port))?;
    connect(&socket, &endpoint(index, ends.peer, ends.port))?;
    Ok(socket)
}

// Address with the interface index for link-local addresses; other addresses need none.
fn endpoint(index: u32, address: IpAddr, port: u16) -> SocketAddr {
    match address {
        IpAddr::V6(v6) if v6.is_unicast_link_local() => {
            SocketAddrV6::new(v6, port, 0, index).into()
        }
        address => SocketAddr::new(address, port),
    }
}

/// Opens a raw ICMP or ICMPv6 socket that receives echo replies and errors (unreachable, time exceeded); bound to an
/// interface if one is given.
pub fn echo_socket(v6: bool, interface: Option<&str>) -> io::Result<OwnedFd> {
    let (family, protocol): (_, Protocol) = if v6 {
        (AddressFamily::INET6, ipproto::ICMPV6)
    } else {
        (AddressFamily::INET, ipproto::ICMP)
    };
    let socket = rustix::net::socket_with(family, SocketType::RAW, FLAGS, Some(protocol))?;
    if v6 {
        const ICMPV6_FILTER: i32 = 1;
        set_option(&socket, libc::IPPROTO_ICMPV6, ICMPV6_FILTER, &blocked_v6())?;
    } else {
        const SOL_RAW: i32 = 255;
        const ICMP_FILTER: i32 = 1;
        set_option(&socket, SOL_RAW, ICMP_FILTER, &blocked_v4())?;
    }
    if let Some(interface) = interface {
        bind_to_device(&socket, interface)?;
    }
    Ok(socket)
}

// Mask of blocked ICMP types. RFC 792: echo reply 0, unreachable 3, time exceeded 11.
const fn blocked_v4() -> u32 {
    !(1 << 0 | 1 << 3 | 1 << 11)
}

// Mask of blocked ICMPv6 types. RFC 4443: unreachable 1, time exceeded 3, echo reply 129.
const fn blocked_v6() -> [u32; 8] {
    let mut blocked = [u32::MAX; 8];
    blocked[0] = !(1 << 1 | 1 << 3);
    blocked[4] = !(1 << (129 - 128));
    blocked
}

fn family(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::INET,
        IpAddr::V6(_) => AddressFamily::INET6,
    }
}
