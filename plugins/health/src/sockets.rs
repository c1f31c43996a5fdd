//! Sockets for pings, which the daemon opens.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::net::{RecvFlags, SendFlags, recv, recvfrom, sendto};
use spared_netlink::attach_filter;
use spared_sdk::{Host, Interest, OpenSockets, SocketKind};

use crate::wire::icmp::{Heard, Prefix, filter_ipv4, filter_ipv6, parse_ipv4, parse_ipv6};

/// Maximum length of a packet that is read, in bytes: echoes are much shorter.
const PACKET_MAX: usize = 9216;
/// Maximum number of packets read at a time from one socket: a raw socket also receives the echoes of others.
const PACKETS_AT_ONCE: usize = 64;
/// Maximum number of packets read before an echo counts as lost, because its answer may be among them: more than a
/// socket holds.
const PACKETS_MAX: usize = 4096;

/// Watched sockets of all interfaces.
#[derive(Debug)]
pub struct AllSockets {
    host: Host,
    /// Sockets by interface, or [`ANY_INTERFACE`](crate::engine::ANY_INTERFACE).
    sockets: BTreeMap<String, Sockets>,
    /// First bytes of the tokens of this process's echoes.
    prefix: Prefix,
    buffer: Vec<u8>,
}

impl AllSockets {
    pub fn new(host: Host, prefix: Prefix) -> Self {
        Self {
            host,
            prefix,
            sockets: BTreeMap::new(),
            buffer: vec![0; PACKET_MAX],
        }
    }

    /// Takes the sockets of the event, and closes those that it leaves out.
    pub fn update(&mut self, interface: &str, offered: &OpenSockets<'_>) {
        let sockets = self.sockets.entry(interface.to_owned());
        let (gone, new) = sockets.or_default().update(offered, self.prefix);
        for fd in gone {
            self.host.unwatch_fd(fd.as_raw_fd());
        }
        for fd in new {
            if let Err(error) = self.host.watch_fd(fd, Interest::READ) {
                log::error!("{interface}: {error}");
            }
        }
    }

    pub fn close(&mut self, interface: &str) {
        for fd in self
            .sockets
            .remove(interface)
            .iter()
            .flat_map(Sockets::numbers)
        {
            self.host.unwatch_fd(fd);
        }
    }

    pub fn close_all(&mut self) {
        for fd in self.sockets.values().flat_map(Sockets::numbers) {
            self.host.unwatch_fd(fd);
        }
        self.sockets.clear();
    }

    /// True if the daemon has reported this interface, with or without sockets.
    pub fn is_known(&self, via: &str) -> bool {
        self.sockets.contains_key(via)
    }

    /// Sends one echo.
    ///
    /// # Errors
    /// The kernel's error, or there is no socket.
    pub fn send(&self, via: &str, to: IpAddr, packet: &[u8]) -> io::Result<()> {
        let sockets = self.sockets.get(via).ok_or(io::ErrorKind::NotConnected)?;
        sockets.send(to, packet)
    }

    /// Reads a socket; false if `fd` is not one of these sockets.
    pub fn receive(&mut self, fd: RawFd, hear: impl FnMut(&Heard)) -> bool {
        let Some(sockets) = self.sockets.values().find(|sockets| sockets.has(fd)) else {
            return false;
        };
        sockets.receive_some(fd, &mut self.buffer, PACKETS_AT_ONCE, hear);
        true
    }

    /// Reads all pending packets.
    pub fn receive_all(&mut self, mut hear: impl FnMut(&Heard)) {
        for sockets in self.sockets.values() {
            for fd in sockets.numbers() {
                sockets.receive_some(fd, &mut self.buffer, PACKETS_MAX, &mut hear);
            }
        }
    }
}

/// Sockets of one interface, or those bound to no interface.
#[derive(Debug, Default)]
struct Sockets {
    ipv4: Option<OwnedFd>,
    ipv6: Option<OwnedFd>,
}

impl Sockets {
    /// Takes the sockets of the event; returns those that are gone, to be unwatched, and the new ones.
    fn update(&mut self, offered: &OpenSockets<'_>, prefix: Prefix) -> (Vec<OwnedFd>, Vec<RawFd>) {
        let mut gone = Vec::new();
        let mut new = Vec::new();
        for (place, kind) in [
            (&mut self.ipv4, SocketKind::PingIpv4),
            (&mut self.ipv6, SocketKind::PingIpv6),
        ] {
            let theirs = offered.get(kind);
            if same(place.as_ref(), theirs) {
                continue;
            }
            let ours = theirs.and_then(|fd| fd.try_clone_to_owned().ok());
            if let Some(socket) = &ours {
                drop_answers_to_others(socket, kind, prefix);
            }
            new.extend(ours.as_ref().map(AsRawFd::as_raw_fd));
            gone.extend(std::mem::replace(place, ours));
        }
        (gone, new)
    }

    fn numbers(&self) -> impl Iterator<Item = RawFd> + use<> {
        let number = |socket: &Option<OwnedFd>| socket.as_ref().map(AsRawFd::as_raw_fd);
        [number(&self.ipv4), number(&self.ipv6)]
            .into_iter()
            .flatten()
    }

    fn has(&self, fd: RawFd) -> bool {
        self.numbers().any(|number| number == fd)
    }

    /// Sends one echo.
    ///
    /// # Errors
    /// The kernel's error, or there is no socket.
    fn send(&self, to: IpAddr, packet: &[u8]) -> io::Result<()> {
        let (socket, address): (_, SocketAddr) = match to {
            IpAddr::V4(to) => (&self.ipv4, SocketAddrV4::new(to, 0).into()),
            IpAddr::V6(to) => (&self.ipv6, SocketAddrV6::new(to, 0, 0, 0).into()),
        };
        let socket = socket.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        sendto(socket, packet, SendFlags::DONTWAIT, &address)?;
        Ok(())
    }

    /// Reads up to `most` packets.
    fn receive_some(
        &self,
        fd: RawFd,
        buffer: &mut [u8],
        most: usize,
        mut hear: impl FnMut(&Heard),
    ) {
        for _ in 0..most {
            let Some(packet) = self.receive(fd, buffer) else {
                break;
            };
            packet.iter().for_each(&mut hear);
        }
    }

    /// Receives the next packet; the outer None if there is none, the inner if it answers no echo.
    fn receive(&self, fd: RawFd, buffer: &mut [u8]) -> Option<Option<Heard>> {
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

/// Has the kernel drop the answers to echoes of other processes, such as the daemon's own: each would wake this one.
fn drop_answers_to_others(socket: &OwnedFd, kind: SocketKind, prefix: Prefix) {
    let attached = match kind {
        SocketKind::PingIpv4 => attach_filter(socket, &filter_ipv4(prefix), false),
        _ => attach_filter(socket, &filter_ipv6(prefix), false),
    };
    if let Err(error) = attached {
        log::info!("answers to echoes of other processes are read as well: {error}");
    }
}

/// True if both descriptors lead to the same socket, whatever their numbers.
fn same(ours: Option<&OwnedFd>, theirs: Option<BorrowedFd<'_>>) -> bool {
    let number = |fd: BorrowedFd<'_>| rustix::fs::fstat(fd).ok().map(|about| about.st_ino);
    match (ours, theirs) {
        (None, None) => true,
        (Some(ours), Some(theirs)) => number(ours.as_fd()) == number(theirs),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use spared_packet::icmp;

    use super::*;
    use crate::wire::icmp::tests::packet;

    /// Answer as a raw socket receives it.
    fn answer(sequence: u16) -> Vec<u8> {
        let message = icmp::Echo {
            kind: icmp::V4_ECHO_REPLY,
            identifier: 1,
            sequence,
            payload: b"abcdefgh",
        };
        let mut payload = Vec::new();
        message.emit(&mut payload);
        packet([192, 0, 2, 1], [192, 0, 2, 2], &payload)
    }

    #[test]
    fn an_answer_behind_many_packets_is_read() {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let to = socket.local_addr().expect("it has one");
        let last = 2 * PACKETS_AT_ONCE as u16;
        for sequence in 0..=last {
            socket
                .send_to(&answer(sequence), to)
                .expect("there is room");
        }
        let sockets = Sockets {
            ipv4: Some(socket.into()),
            ipv6: None,
        };
        let fd = sockets.numbers().next().expect("it has one");
        let mut heard = Vec::new();
        sockets.receive_some(fd, &mut [0; PACKET_MAX], PACKETS_MAX, |it| match it {
            Heard::Reply { echo, .. } => heard.push(echo.sequence),
            Heard::Unreachable { .. } => panic!("{it:?}"),
        });
        assert_eq!(heard.last(), Some(&last));
    }
}
