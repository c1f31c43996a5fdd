//! Packet sockets, raw IP sockets and the state of links, with structures that rustix lacks.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, sockopt};

use crate::attach_filter;
use crate::bpf::Instruction;
use crate::socket_options::set_option;

/// AF_PACKET socket for whole frames, non-blocking.
#[derive(Debug)]
pub struct PacketSocket(OwnedFd);

impl PacketSocket {
    /// Opens a socket that only sends.
    pub fn sender() -> io::Result<Self> {
        Self::open(libc::SOCK_RAW)
    }

    fn open(kind: libc::c_int) -> io::Result<Self> {
        let flags = kind | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: a plain system call; protocol 0 receives nothing.
        let fd = unsafe { libc::socket(libc::AF_PACKET, flags, 0) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and nobody else's.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Opens a socket bound to an interface. It receives the frames that pass the locked filter, except those that this
    /// machine sends itself.
    pub fn receiver(index: u32, filter: &[Instruction]) -> io::Result<Self> {
        Self::bound(libc::SOCK_RAW, index, filter)
    }

    /// Opens such a socket for the payload of frames, without the header.
    pub fn packet_receiver(index: u32, filter: &[Instruction]) -> io::Result<Self> {
        Self::bound(libc::SOCK_DGRAM, index, filter)
    }

    fn bound(kind: libc::c_int, index: u32, filter: &[Instruction]) -> io::Result<Self> {
        let socket = Self::open(kind)?;
        attach_filter(&socket.0, filter, true)?;
        set_option(
            &socket.0,
            libc::SOL_PACKET,
            libc::PACKET_IGNORE_OUTGOING,
            &1i32,
        )?;
        let address = link_address(index, libc::ETH_P_ALL as u16);
        // SAFETY: the address is a whole sockaddr_ll and lives through the call.
        let status = unsafe {
            libc::bind(
                socket.0.as_raw_fd(),
                std::ptr::from_ref(&address).cast(),
                size_of::<libc::sockaddr_ll>() as libc::socklen_t,
            )
        };
        if status != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(socket)
    }

    /// Makes the interface receive a multicast MAC address as long as the socket lives.
    pub fn join(&self, index: u32, mac: [u8; 6]) -> io::Result<()> {
        let mut request = libc::packet_mreq {
            mr_ifindex: index as i32,
            mr_type: libc::PACKET_MR_MULTICAST as u16,
            mr_alen: 6,
            mr_address: [0; 8],
        };
        request.mr_address[..6].copy_from_slice(&mac);
        set_option(
            &self.0,
            libc::SOL_PACKET,
            libc::PACKET_ADD_MEMBERSHIP,
            &request,
        )
    }

    /// Sends a whole frame.
    pub fn send(&self, index: u32, frame: &[u8]) -> io::Result<()> {
        let ether_type = frame
            .get(12..14)
            .map_or(0, |b| u16::from_be_bytes([b[0], b[1]]));
        let address = link_address(index, ether_type);
        // SAFETY: frame and address live through the call; lengths are theirs.
        let sent = unsafe {
            libc::sendto(
                self.0.as_raw_fd(),
                frame.as_ptr().cast(),
                frame.len(),
                0,
                std::ptr::from_ref(&address).cast(),
                size_of::<libc::sockaddr_ll>() as libc::socklen_t,
            )
        };
        if sent < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }

    /// Receives a frame without waiting; None if there is none.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match rustix::net::recv(&self.0, buffer, RecvFlags::DONTWAIT) {
            Ok((length, _)) => Ok(Some(length)),
            Err(rustix::io::Errno::AGAIN) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Sets the size of the receive buffer in bytes.
    pub fn set_receive_buffer(&self, bytes: usize) -> io::Result<()> {
        Ok(sockopt::set_socket_recv_buffer_size(&self.0, bytes)?)
    }
}

impl From<PacketSocket> for OwnedFd {
    fn from(socket: PacketSocket) -> Self {
        socket.0
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn link_address(index: u32, ether_type: u16) -> libc::sockaddr_ll {
    libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: ether_type.to_be(),
        sll_ifindex: index as i32,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 6,
        sll_addr: [0; 8],
    }
}

/// Opens a raw socket whose sender writes the IP header, bound to an interface; it receives nothing.
pub fn raw_ip_socket(v6: bool, interface: &str) -> io::Result<OwnedFd> {
    let family = if v6 {
        AddressFamily::INET6
    } else {
        AddressFamily::INET
    };
    let raw = rustix::net::Protocol::from_raw(
        std::num::NonZeroU32::new(libc::IPPROTO_RAW as u32).ok_or(io::ErrorKind::InvalidInput)?,
    );
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::RAW, flags, Some(raw))?;
    if v6 {
        const IPV6_HDRINCL: i32 = 36;
        set_option(&socket, libc::IPPROTO_IPV6, IPV6_HDRINCL, &1i32)?;
    } else {
        set_option(&socket, libc::IPPROTO_IP, libc::IP_HDRINCL, &1i32)?;
    }
    bind_to_device(&socket, interface)?;
    Ok(socket)
}

/// Binds a socket to an interface, in and out, regardless of routes.
pub(crate) fn bind_to_device(socket: &impl AsRawFd, interface: &str) -> io::Result<()> {
    let mut name = [0u8; libc::IFNAMSIZ];
    let length = interface.len().min(libc::IFNAMSIZ - 1);
    name[..length].copy_from_slice(&interface.as_bytes()[..length]);
    set_option(socket, libc::SOL_SOCKET, libc::SO_BINDTODEVICE, &name)
}

/// Opens sockets that join the VRRP multicast groups, so that snooping switches forward them here; the caller keeps
/// them open. A family that the interface lacks is skipped.
pub fn join_groups(index: u32) -> Vec<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let open = |family| rustix::net::socket_with(family, SocketType::DGRAM, flags, None);
    let v4 = open(AddressFamily::INET).and_then(|socket| {
        let group = Ipv4Addr::new(224, 0, 0, 18);
        let any = Ipv4Addr::UNSPECIFIED;
        sockopt::set_ip_add_membership_with_ifindex(&socket, &group, &any, index)?;
        Ok(socket)
    });
    let v6 = open(AddressFamily::INET6).and_then(|socket| {
        let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);
        sockopt::set_ipv6_add_membership(&socket, &group, index)?;
        Ok(socket)
    });
    [v4, v6].into_iter().flatten().collect()
}

/// Returns true if the interface is up and has carrier, by the driver's present state (ETHTOOL_GLINK); None if the
/// driver does not report it. May wait for the kernel's RTNL lock.
pub fn link_state(socket: BorrowedFd<'_>, interface: &str) -> io::Result<Option<bool>> {
    const SIOCETHTOOL: libc::c_ulong = 0x8946;
    const ETHTOOL_GLINK: u32 = 0x0a;
    #[repr(C)]
    struct Value {
        command: u32,
        data: u32,
    }
    let mut value = Value {
        command: ETHTOOL_GLINK,
        data: 0,
    };
    // SAFETY: all-zero bytes are a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let length = interface.len().min(libc::IFNAMSIZ - 1);
    for (to, from) in request
        .ifr_name
        .iter_mut()
        .zip(&interface.as_bytes()[..length])
    {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_data = std::ptr::from_mut(&mut value).cast();
    // SAFETY: the request and the value that it points to live through the call.
    let status = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL as _, &raw mut request) };
    if status == 0 {
        return Ok(Some(value.data != 0));
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EOPNOTSUPP) => Ok(None),
        _ => Err(error),
    }
}
