//! Pings the peer's machine: to see if it answers while the peer is silent, and packets of which sizes pass.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{RecvFlags, SendFlags, recvfrom, sendto};

use super::socket;
use crate::message::PathSetup;

const EVERY_NS: u64 = 1_000_000_000;
/// Time for which an answer is valid.
const FRESH_NS: u64 = 3 * EVERY_NS;
/// Maximum number of packets read at once: the socket receives all ICMP of the interface.
const BUDGET: usize = 32;

const REQUEST_V4: u8 = 8;
const REPLY_V4: u8 = 0;
const REQUEST_V6: u8 = 128;
const REPLY_V6: u8 = 129;

/// Bit in the identifier of pings that test a size.
const OF_SIZE: u16 = 0x8000;
/// Number of requests that are remembered to match answers: more than one round of sizes.
const SIZES_MAX: usize = 64;

/// Sends pings through a raw ICMP socket from the host, which is bound to the path's interface.
#[derive(Debug)]
pub struct Echo {
    socket: OwnedFd,
    identifier: u16,
    number: u16,
    /// Number of the newest request that does not test a size. An answer to an earlier one is outdated.
    pinged: Option<u16>,
    /// Number and size of the newest requests that test a size.
    sizes: VecDeque<(u16, u32)>,
    next_ns: u64,
    /// Time of the first request that does not test a size.
    asked_ns: Option<u64>,
    answered_ns: Option<u64>,
}

impl Echo {
    pub fn new(socket: OwnedFd, identifier: u16) -> Self {
        Self {
            socket,
            identifier: identifier & !OF_SIZE,
            number: 0,
            pinged: None,
            sizes: VecDeque::new(),
            next_ns: 0,
            asked_ns: None,
            answered_ns: None,
        }
    }

    pub fn next_ns(&self) -> u64 {
        self.next_ns
    }

    /// Returns true if the machine answers; None before the first answer, for as long as one may take.
    pub fn answers(&self, now_ns: u64) -> Option<bool> {
        let age_ns = |at: u64| now_ns.saturating_sub(at);
        if let Some(at) = self.answered_ns {
            return Some(age_ns(at) < FRESH_NS);
        }
        let is_late = self.asked_ns.is_some_and(|at| age_ns(at) >= EVERY_NS);
        is_late.then_some(false)
    }

    /// Forgets what was asked and answered before a session, so that it counts for nothing when the session ends.
    pub fn forget(&mut self) {
        (self.pinged, self.asked_ns, self.answered_ns) = (None, None, None);
    }

    pub fn handle_timeout(&mut self, now_ns: u64, setup: &PathSetup) {
        if now_ns < self.next_ns {
            return;
        }
        self.next_ns = now_ns + EVERY_NS;
        self.number = self.number.wrapping_add(1);
        self.pinged = Some(self.number);
        let request = request(setup.peer, self.identifier, self.number);
        if self.send(setup, &request) {
            self.asked_ns.get_or_insert(now_ns);
        }
    }

    /// Sends a ping in an IP packet of this size in bytes.
    pub fn ask(&mut self, setup: &PathSetup, size: u32) {
        self.number = self.number.wrapping_add(1);
        let identifier = self.identifier | OF_SIZE;
        let mut packet = request(setup.peer, identifier, self.number).to_vec();
        let payload = usize::try_from(size)
            .unwrap_or(0)
            .saturating_sub(ip_header(setup.peer));
        // zero bytes do not change the checksum
        packet.resize(payload.max(packet.len()), 0);
        if self.sizes.len() >= SIZES_MAX {
            self.sizes.pop_front();
        }
        self.sizes.push_back((self.number, size));
        self.send(setup, &packet);
    }

    fn send(&self, setup: &PathSetup, packet: &[u8]) -> bool {
        let to = socket::address(setup, setup.peer, 0).ok();
        let Some(to) = to.and_then(|to| to.as_socket()) else {
            return false;
        };
        // An error is ignored: without a route there is no answer either.
        let _ = sendto(&self.socket, packet, SendFlags::DONTWAIT, &to);
        true
    }

    /// Reads the waiting answers. Calls `take` with the size of each answer to [`Echo::ask`].
    pub fn handle_readable(&mut self, now_ns: u64, setup: &PathSetup, mut take: impl FnMut(u32)) {
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
            if from.map(|from| from.ip()) != Some(setup.peer) {
                continue;
            }
            match reply_of(setup.peer, packet) {
                // an answer that was left unread during a session is outdated
                Some((id, number)) if id == self.identifier && self.pinged == Some(number) => {
                    self.answered_ns = Some(now_ns);
                }
                Some((id, number)) if id == self.identifier | OF_SIZE => {
                    let asked = self.sizes.iter().find(|(of, _)| *of == number);
                    let size = asked.map(|(_, size)| *size);
                    // for IPv6 the kernel returns the packet without its header
                    let shown = if setup.peer.is_ipv6() {
                        length + ip_header(setup.peer)
                    } else {
                        length
                    };
                    if let Some(size) = size.filter(|it| usize::try_from(*it) == Ok(shown)) {
                        take(size);
                    }
                }
                _ => {}
            }
        }
    }
}

impl AsFd for Echo {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Encodes an echo request (RFC 792 and RFC 4443). The kernel computes the checksum of ICMPv6.
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

/// Length of the IP header without options, in bytes.
fn ip_header(peer: IpAddr) -> usize {
    match peer {
        IpAddr::V4(_) => 20,
        IpAddr::V6(_) => 40,
    }
}

/// Returns identifier and number of the request that a packet answers.
fn reply_of(peer: IpAddr, packet: &[u8]) -> Option<(u16, u16)> {
    let (message, reply) = match (peer, packet) {
        // A raw IPv4 socket returns the header, too.
        (IpAddr::V4(_), [first, ..]) => {
            let header = usize::from(first & 0x0f) * 4;
            (packet.get(header..).unwrap_or_default(), REPLY_V4)
        }
        _ => (packet, REPLY_V6),
    };
    let [kind, 0, _, _, i0, i1, n0, n1, ..] = *message else {
        return None;
    };
    let of = (u16::from_be_bytes([i0, i1]), u16::from_be_bytes([n0, n1]));
    (kind == reply).then_some(of)
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

    /// An echo whose socket receives packets of this computer, and a way to answer its newest ping.
    struct Bed {
        echo: Echo,
        setup: PathSetup,
        to: SocketAddr,
    }

    impl Bed {
        fn new() -> Self {
            let socket = std::net::UdpSocket::bind((V4, 0)).unwrap();
            let to = socket.local_addr().unwrap();
            let setup = PathSetup {
                interface: "lo".to_owned(),
                own: V4,
                peer: V4,
            };
            let echo = Echo::new(socket.into(), 7);
            Self { echo, setup, to }
        }

        fn ask(&mut self, now_ns: u64) {
            self.echo.handle_timeout(now_ns, &self.setup);
        }

        /// Answers the newest ping. Packets on the loopback device arrive at once.
        fn answer(&mut self, now_ns: u64) {
            let mut packet = vec![0x45; 20];
            packet.extend([REPLY_V4, 0, 0, 0]);
            packet.extend(self.echo.identifier.to_be_bytes());
            packet.extend(self.echo.number.to_be_bytes());
            let socket = std::net::UdpSocket::bind((V4, 0)).unwrap();
            socket.send_to(&packet, self.to).unwrap();
            self.echo.handle_readable(now_ns, &self.setup, |_| {});
        }
    }

    #[test]
    fn a_machine_answers_no_ping_when_one_is_a_second_old_and_not_before() {
        let mut bed = Bed::new();
        assert_eq!(bed.echo.answers(0), None);
        bed.ask(0);
        assert_eq!(bed.echo.answers(EVERY_NS - 1), None);
        bed.ask(EVERY_NS);
        assert_eq!(bed.echo.answers(EVERY_NS), Some(false));
        bed.answer(EVERY_NS);
        assert_eq!(bed.echo.answers(EVERY_NS + FRESH_NS - 1), Some(true));
        assert_eq!(bed.echo.answers(EVERY_NS + FRESH_NS), Some(false));
    }

    #[test]
    fn what_was_asked_and_answered_before_a_session_counts_for_nothing_after_it() {
        let hour_ns = 3600 * EVERY_NS;
        let mut bed = Bed::new();
        bed.ask(0);
        bed.answer(0);
        assert_eq!(bed.echo.answers(0), Some(true));
        bed.echo.forget();
        assert_eq!(bed.echo.answers(hour_ns), None);
        // an answer that was left unread
        bed.answer(hour_ns);
        assert_eq!(bed.echo.answers(hour_ns), None);
        bed.ask(hour_ns);
        assert_eq!(bed.echo.answers(hour_ns), None);
        bed.answer(hour_ns);
        assert_eq!(bed.echo.answers(hour_ns), Some(true));
    }

    #[test]
    fn only_a_reply_is_one() {
        let mut packet = vec![0x45; 20];
        packet.extend([REPLY_V4, 0, 0, 0, 0x12, 0x34, 0, 1]);
        assert_eq!(reply_of(V4, &packet), Some((0x1234, 1)));
        let reply = [REPLY_V6, 0, 0, 0, 0x12, 0x34, 0, 1];
        assert_eq!(reply_of(V6, &reply), Some((0x1234, 1)));
        for length in 0..packet.len() {
            assert_eq!(reply_of(V4, &packet[..length]), None);
        }
        packet[20] = REQUEST_V4;
        assert_eq!(reply_of(V4, &packet), None);
    }
}
