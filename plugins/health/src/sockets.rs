//! The sockets that the host gives to ping with.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::net::{RecvFlags, SendFlags, recv, recvfrom, sendto};
use spared_sdk::{InterfaceEvent, SocketKind};

use crate::wire::icmp::{Heard, parse_ipv4, parse_ipv6};

/// The largest packet that is looked at: an echo's own size is bounded well below.
pub const PACKET_MAX: usize = 9216;

/// One interface's, or those of none.
#[derive(Debug, Default)]
pub struct Sockets {
    ipv4: Option<OwnedFd>,
    ipv6: Option<OwnedFd>,
}

impl Sockets {
    /// Takes what the event brings; what is gone comes back, to be unwatched, and then what is new.
    pub fn update(&mut self, event: &InterfaceEvent<'_>) -> (Vec<OwnedFd>, Vec<RawFd>) {
        let mut gone = Vec::new();
        let mut new = Vec::new();
        for (place, kind) in [
            (&mut self.ipv4, SocketKind::PingIpv4),
            (&mut self.ipv6, SocketKind::PingIpv6),
        ] {
            let theirs = event.socket(kind);
            if same(place.as_ref(), theirs) {
                continue;
            }
            let ours = theirs.and_then(|fd| fd.try_clone_to_owned().ok());
            new.extend(ours.as_ref().map(AsRawFd::as_raw_fd));
            gone.extend(std::mem::replace(place, ours));
        }
        (gone, new)
    }

    pub fn take(&mut self) -> impl Iterator<Item = OwnedFd> {
        [self.ipv4.take(), self.ipv6.take()].into_iter().flatten()
    }

    pub fn numbers(&self) -> impl Iterator<Item = RawFd> + use<> {
        let number = |socket: &Option<OwnedFd>| socket.as_ref().map(AsRawFd::as_raw_fd);
        [number(&self.ipv4), number(&self.ipv6)]
            .into_iter()
            .flatten()
    }

    pub fn has(&self, fd: RawFd) -> bool {
        self.numbers().any(|number| number == fd)
    }

    /// Sends one echo.
    ///
    /// # Errors
    /// The kernel's, or there is no socket.
    pub fn send(&self, to: IpAddr, packet: &[u8]) -> io::Result<()> {
        let (socket, address): (_, SocketAddr) = match to {
            IpAddr::V4(to) => (&self.ipv4, SocketAddrV4::new(to, 0).into()),
            IpAddr::V6(to) => (&self.ipv6, SocketAddrV6::new(to, 0, 0, 0).into()),
        };
        let socket = socket.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        sendto(socket, packet, SendFlags::DONTWAIT, &address)?;
        Ok(())
    }

    /// The next packet; the outer None where there is none, the inner where it is no answer.
    pub fn receive(&self, fd: RawFd, buffer: &mut [u8]) -> Option<Option<Heard>> {
        let is = |socket: &&OwnedFd| socket.as_raw_fd() == fd;
        if let Some(socket) = self.ipv4.as_ref().filter(is) {
            let (length, _) = recv(socket, &mut *buffer, RecvFlags::DONTWAIT).ok()?;
            return Some(buffer.get(..length).and_then(parse_ipv4));
        }
        let socket = self.ipv6.as_ref().filter(is)?;
        let (length, _, from) = recvfrom(socket, &mut *buffer, RecvFlags::DONTWAIT).ok()?;
        let from = from.and_then(|from| SocketAddrV6::try_from(from).ok());
        Some(from.and_then(|from| parse_ipv6(*from.ip(), buffer.get(..length)?)))
    }
}

/// Whether ours is still theirs: the same file, whatever its number.
fn same(ours: Option<&OwnedFd>, theirs: Option<BorrowedFd<'_>>) -> bool {
    let number = |fd: BorrowedFd<'_>| rustix::fs::fstat(fd).ok().map(|about| about.st_ino);
    match (ours, theirs) {
        (None, None) => true,
        (Some(ours), Some(theirs)) => number(ours.as_fd()) == number(theirs),
        _ => false,
    }
}
