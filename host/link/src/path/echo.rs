//! Whether the machine of a silent peer answers a ping.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{RecvFlags, SendFlags, recvfrom, sendto};

use super::socket;
use crate::message::PathSetup;

const EVERY_NS: u64 = 1_000_000_000;
/// Time for which an answer counts.
const FRESH_NS: u64 = 3 * EVERY_NS;
/// Packets read in one go: the socket hears all ICMP of the interface.
const BUDGET: usize = 32;

const REQUEST_V4: u8 = 8;
const REPLY_V4: u8 = 0;
const REQUEST_V6: u8 = 128;
const REPLY_V6: u8 = 129;

/// A raw ICMP socket of the host's, bound to the path's interface.
#[derive(Debug)]
pub struct Echo {
    socket: OwnedFd,
    identifier: u16,
    number: u16,
    next_ns: u64,
    asked: bool,
    answered_ns: Option<u64>,
}

impl Echo {
    pub fn new(socket: OwnedFd, identifier: u16) -> Self {
        Self {
            socket,
            identifier,
            number: 0,
            next_ns: 0,
            asked: false,
            answered_ns: None,
        }
    }

    pub fn next_ns(&self) -> u64 {
        self.next_ns
    }

    /// None until the first request.
    pub fn answers(&self, now_ns: u64) -> Option<bool> {
        let fresh = |at: u64| now_ns.saturating_sub(at) < FRESH_NS;
        self.asked.then(|| self.answered_ns.is_some_and(fresh))
    }

    pub fn handle_timeout(&mut self, now_ns: u64, setup: &PathSetup) {
        if now_ns < self.next_ns {
            return;
        }
        self.next_ns = now_ns + EVERY_NS;
        self.number = self.number.wrapping_add(1);
        let request = request(setup.peer, self.identifier, self.number);
        let to = socket::address(setup, setup.peer, 0).ok();
        if let Some(to) = to.and_then(|to| to.as_socket()) {
            // Without a route the peer answers as little as without a machine.
            let _ = sendto(&self.socket, &request, SendFlags::DONTWAIT, &to);
            self.asked = true;
        }
    }

    pub fn handle_readable(&mut self, now_ns: u64, setup: &PathSetup) {
        let mut packet = [0; 256];
        for _ in 0..BUDGET {
            let Ok((_, length, from)) = recvfrom(
                &self.socket,
                &mut packet[..],
                RecvFlags::DONTWAIT | RecvFlags::TRUNC,
            ) else {
                return;
            };
            let from = from.and_then(|from| SocketAddr::try_from(from).ok());
            let packet = packet.get(..length.min(packet.len())).unwrap_or_default();
            if from.map(|from| from.ip()) == Some(setup.peer)
                && is_reply(setup.peer, packet, self.identifier, self.number)
            {
                self.answered_ns = Some(now_ns);
            }
        }
    }
}

impl AsFd for Echo {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// RFC 792 and RFC 4443. The kernel sums up ICMPv6.
fn request(peer: IpAddr, identifier: u16, number: u16) -> [u8; 8] {
    let kind = match peer {
        IpAddr::V4(_) => REQUEST_V4,
        IpAddr::V6(_) => REQUEST_V6,
    };
    let sum = u32::from(kind) * 256 + u32::from(identifier) + u32::from(number);
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    let checksum = !u16::try_from(folded).unwrap_or(0);
    let [c0, c1] = checksum.to_be_bytes();
    let [i0, i1] = identifier.to_be_bytes();
    let [n0, n1] = number.to_be_bytes();
    [kind, 0, c0, c1, i0, i1, n0, n1]
}

/// Only an answer to the latest request counts: one that lay unread during a session is outdated.
fn is_reply(peer: IpAddr, packet: &[u8], identifier: u16, number: u16) -> bool {
    let (message, reply) = match (peer, packet) {
        // A raw IPv4 socket shows the header too.
        (IpAddr::V4(_), [first, ..]) => {
            let header = usize::from(first & 0x0f) * 4;
            (packet.get(header..).unwrap_or_default(), REPLY_V4)
        }
        _ => (packet, REPLY_V6),
    };
    let [kind, 0, _, _, i0, i1, n0, n1, ..] = *message else {
        return false;
    };
    let answered = (u16::from_be_bytes([i0, i1]), u16::from_be_bytes([n0, n1]));
    kind == reply && answered == (identifier, number)
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const V6: IpAddr = IpAddr::V6(std::net::Ipv6Addr::LOCALHOST);

    #[test]
    fn a_request_sums_up_to_nothing() {
        let words = request(V4, 0xfedc, 0xffff);
        let sum: u32 = words
            .chunks(2)
            .map(|word| u32::from(word[0]) * 256 + u32::from(word[1]))
            .sum();
        assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff);
    }

    #[test]
    fn only_our_reply_is_one() {
        let mut packet = vec![0x45; 20];
        packet.extend([REPLY_V4, 0, 0, 0, 0x12, 0x34, 0, 1]);
        assert!(is_reply(V4, &packet, 0x1234, 1));
        assert!(!is_reply(V4, &packet, 0x1235, 1));
        assert!(!is_reply(V4, &packet, 0x1234, 2), "an earlier one");
        packet[20] = REQUEST_V4;
        assert!(!is_reply(V4, &packet, 0x1234, 1));
        assert!(is_reply(
            V6,
            &[REPLY_V6, 0, 0, 0, 0x12, 0x34, 0, 1],
            0x1234,
            1
        ));
        for length in 0..packet.len() {
            assert!(!is_reply(V4, &packet[..length], 0x1234, 1));
        }
    }
}
