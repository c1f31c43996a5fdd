//! Requests to the kernel: many in one system call, with a verdict on each.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use neli::consts::socket::{Msg, NlFamily};
use neli::socket::NlSocket;
use neli::utils::Groups;

use crate::Message;
use crate::socket_options::{NOTHING, attach_filter};

/// Maximum number of requests in one system call: their verdicts fit the default receive buffer.
const BATCH_MAX: usize = 64;
const RECEIVE_BYTES: usize = 64 * 1024;
const DUMP_ATTEMPTS: usize = 5;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_DUMP_INTR: u16 = 0x10;

/// Socket for requests and dumps.
pub struct Requests {
    socket: NlSocket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Requests {
    /// Opens a rtnetlink socket.
    pub fn open() -> io::Result<Self> {
        Self::open_family(NlFamily::Route)
    }

    /// Opens a netlink socket of the netfilter family.
    pub fn open_netfilter() -> io::Result<Self> {
        Self::open_family(NlFamily::Netfilter)
    }

    /// Opens a socket for queries about sockets (sock_diag).
    pub fn open_sock_diag() -> io::Result<Self> {
        Self::open_family(NlFamily::SockOrInetDiag)
    }

    fn open_family(family: NlFamily) -> io::Result<Self> {
        let socket = NlSocket::connect(family, None, Groups::empty())?;
        // dumps honour their filters (strict), errors come without a copy of the request
        for option in [libc::NETLINK_GET_STRICT_CHK, libc::NETLINK_CAP_ACK] {
            let _ = crate::socket_options::set_option(&socket, libc::SOL_NETLINK, option, &1i32);
        }
        Ok(Self {
            socket,
            sequence: 0,
            buffer: vec![0; RECEIVE_BYTES],
        })
    }

    /// Runs all requests in order, and returns the verdict on each.
    pub fn run(&mut self, requests: &[Message]) -> io::Result<Vec<io::Result<()>>> {
        let mut verdicts = Vec::with_capacity(requests.len());
        for chunk in requests.chunks(BATCH_MAX) {
            self.run_chunk(chunk, &mut verdicts)?;
        }
        Ok(verdicts)
    }

    /// Runs one request.
    pub fn run_one(&mut self, request: io::Result<Message>) -> io::Result<()> {
        self.run(&[request?])?.pop().unwrap_or(Ok(()))
    }

    /// Sends a request without reading its verdict.
    pub(crate) fn send_unanswered(&mut self, request: &Message) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut bytes = Vec::new();
        request.append_to(&mut bytes, self.sequence, false);
        self.socket.send(&bytes, Msg::empty()).map(drop)
    }

    /// Drops everything that the kernel sends from now on. Requests get no verdict.
    pub(crate) fn drop_received(&self) -> io::Result<()> {
        attach_filter(&self.socket, &NOTHING, true)
    }

    fn run_chunk(
        &mut self,
        chunk: &[Message],
        verdicts: &mut Vec<io::Result<()>>,
    ) -> io::Result<()> {
        self.drain();
        let first = self.sequence.wrapping_add(1);
        let base = verdicts.len();
        let mut bytes = Vec::with_capacity(chunk.len() * 96);
        for (position, request) in chunk.iter().enumerate() {
            self.sequence = self.sequence.wrapping_add(1);
            // failures are always reported; one acknowledgement proves that all requests were processed
            request.append_to(&mut bytes, self.sequence, position + 1 == chunk.len());
            verdicts.push(Ok(()));
        }
        self.socket.send(&bytes, Msg::empty())?;
        let last = self.sequence;
        loop {
            let length = receive_from(&self.socket, &mut self.buffer)?
                .ok_or_else(|| io::Error::other("the kernel does not answer"))?;
            for (header, payload) in messages(&self.buffer[..length]) {
                if header.kind != NLMSG_ERROR {
                    continue;
                }
                let position = base + header.sequence.wrapping_sub(first) as usize;
                if let (Some(error), Some(verdict)) =
                    (error_of(payload), verdicts.get_mut(position))
                {
                    *verdict = Err(error);
                }
                if header.sequence == last {
                    return Ok(());
                }
            }
        }
    }

    /// Runs a dump; `each` gets the type and the payload of every message.
    pub fn dump(&mut self, request: Message, mut each: impl FnMut(u16, &[u8])) -> io::Result<()> {
        for _ in 0..DUMP_ATTEMPTS {
            let mut found = Vec::new();
            if self.dump_once(&request, &mut found)? {
                for (kind, payload) in &found {
                    each(*kind, payload);
                }
                return Ok(());
            }
        }
        Err(io::Error::other(
            "the tables change faster than they can be read",
        ))
    }

    // Runs a dump once; false if the table changed meanwhile and the dump may be incomplete.
    fn dump_once(
        &mut self,
        request: &Message,
        found: &mut Vec<(u16, Vec<u8>)>,
    ) -> io::Result<bool> {
        self.drain();
        self.sequence = self.sequence.wrapping_add(1);
        let mut bytes = Vec::new();
        request.append_to(&mut bytes, self.sequence, false);
        self.socket.send(&bytes, Msg::empty())?;
        let mut consistent = true;
        loop {
            let length = receive_from(&self.socket, &mut self.buffer)?
                .ok_or_else(|| io::Error::other("the kernel does not answer"))?;
            for (header, payload) in messages(&self.buffer[..length]) {
                if header.sequence != self.sequence {
                    continue;
                }
                consistent &= header.flags & NLM_F_DUMP_INTR == 0;
                match header.kind {
                    NLMSG_DONE => return Ok(consistent),
                    NLMSG_ERROR => match error_of(payload) {
                        Some(error) if error.raw_os_error() == Some(libc::EINTR) => {
                            return Ok(false);
                        }
                        Some(error) => return Err(error),
                        None => return Ok(consistent),
                    },
                    kind => found.push((kind, payload.to_vec())),
                }
            }
        }
    }

    // Discards the rest of an interrupted earlier request.
    fn drain(&mut self) {
        let socket = &self.socket;
        while socket
            .recv(&mut self.buffer[..], Msg::DONTWAIT)
            .is_ok_and(|(n, _)| n > 0)
        {}
    }
}

impl AsFd for Requests {
    fn as_fd(&self) -> BorrowedFd<'_> {
        borrow(&self.socket)
    }
}

pub(crate) fn borrow(socket: &NlSocket) -> BorrowedFd<'_> {
    // SAFETY: the descriptor is open as long as the socket, which outlives the borrow.
    unsafe { BorrowedFd::borrow_raw(socket.as_raw_fd()) }
}

pub(crate) fn receive_from(socket: &NlSocket, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    receive(borrow(socket), buffer)
}

/// Receives one datagram without waiting; None if there is none.
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    use rustix::net::{RecvFlags, recv};
    match recv(socket, buffer, RecvFlags::DONTWAIT) {
        Ok((length, _)) => Ok(Some(length)),
        Err(rustix::io::Errno::AGAIN) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Header of a netlink message.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    /// `nlmsg_type`.
    pub kind: u16,
    /// `nlmsg_flags`.
    pub flags: u16,
    /// `nlmsg_seq`.
    pub sequence: u32,
    /// `nlmsg_pid`: port that caused a notification.
    pub port: u32,
}

/// Messages in a datagram; ends at the first malformed one.
pub fn messages(datagram: &[u8]) -> impl Iterator<Item = (Header, &[u8])> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let word = |at: usize| Some(u32::from_ne_bytes(rest.get(at..at + 4)?.try_into().ok()?));
        let half = |at: usize| Some(u16::from_ne_bytes(rest.get(at..at + 2)?.try_into().ok()?));
        let length = word(0)? as usize;
        let header = Header {
            kind: half(4)?,
            flags: half(6)?,
            sequence: word(8)?,
            port: word(12)?,
        };
        let payload = rest.get(16..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((header, payload))
    })
}

pub(crate) fn error_of(payload: &[u8]) -> Option<io::Error> {
    let errno = errno_of(payload);
    (errno != 0).then(|| io::Error::from_raw_os_error(errno))
}

/// Error code of a verdict, or of the end of a dump; 0 on success.
pub(crate) fn errno_of(payload: &[u8]) -> i32 {
    let word = payload.first_chunk().map(|word| i32::from_ne_bytes(*word));
    word.map_or(0, i32::saturating_neg)
}

/// Opens a socket of the netfilter family whose errors come without a copy of the request.
pub(crate) fn open_netfilter() -> io::Result<NlSocket> {
    open(NlFamily::Netfilter)
}

/// Opens a socket of any family whose errors come without a copy of the request.
pub(crate) fn open(family: NlFamily) -> io::Result<NlSocket> {
    let socket = NlSocket::connect(family, None, Groups::empty())?;
    let _ =
        crate::socket_options::set_option(&socket, libc::SOL_NETLINK, libc::NETLINK_CAP_ACK, &1i32);
    Ok(socket)
}

/// Sets the receive buffer in bytes, beyond the system's limit if this process may; returns the size that the kernel
/// reports.
pub(crate) fn set_receive_buffer(socket: &NlSocket, bytes: usize) -> usize {
    use rustix::net::sockopt;
    let fd = borrow(socket);
    if sockopt::set_socket_recv_buffer_size_force(fd, bytes).is_err() {
        // inside a user namespace: up to net.core.rmem_max
        let _ = sockopt::set_socket_recv_buffer_size(fd, bytes);
    }
    sockopt::socket_recv_buffer_size(fd).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Address, Link, Route};

    #[test]
    fn no_bytes_at_all_panic_a_parser() {
        let mut state = 7u64;
        for round in 0..20_000 {
            let bytes: Vec<u8> = (0..round % 200)
                .map(|_| {
                    state = state
                        .wrapping_mul(6364136223846793005)
                        .wrapping_add(1442695040888963407);
                    // small numbers make plausible lengths, types and families
                    (state >> 33) as u8 & if round % 3 == 0 { 0xff } else { 0x1f }
                })
                .collect();
            let _ = (
                Link::parse(&bytes),
                Address::parse(&bytes),
                Route::parse(&bytes),
            );
            for (header, payload) in messages(&bytes) {
                let _ = (header, error_of(payload));
            }
        }
    }

    #[test]
    fn a_message_that_claims_more_than_there_is_ends_the_walk() {
        let mut bytes = vec![0; 40];
        bytes[..4].copy_from_slice(&20u32.to_ne_bytes());
        bytes[20..24].copy_from_slice(&400u32.to_ne_bytes());
        assert_eq!(messages(&bytes).count(), 1);
        bytes[..4].copy_from_slice(&8u32.to_ne_bytes());
        assert_eq!(messages(&bytes).count(), 0, "shorter than its own header");
    }
}
