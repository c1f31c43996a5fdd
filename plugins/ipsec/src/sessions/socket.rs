//! Socket to charon's plugin `ha` on this node.
//!
//! charon's messages have keys in them, and no proof of who sent them. Any program may bind a port of the loopback
//! interface, so this end is connected to charon's, and neither sends nor reads anything before the kernel says that the
//! socket there is of charon's user; and rules of nf_tables keep other users from sending to either end, and from getting
//! what charon sends while this end is not bound. These stay when the plugin ends.

use std::io::{self, ErrorKind};
use std::mem;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use socket2::SockRef;
use zeroize::Zeroizing;

use crate::codec::hold::MARK;
use crate::codec::port_guard::Ends;
use crate::engine::NotTold;
use crate::kernel::{PortGuard, remove_port_guard};
use crate::sa::Body;
use crate::sessions::message::{self, MESSAGE_MAX};

/// Port of charon's `ha`.
const PORT: u16 = 4510;
/// Addresses of charon and of this plugin: `local` and `remote` of charon's settings.
const CHARON: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
const PLUGIN: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const SOCKETS: &str = "/proc/thread-self/net/udp";
/// Room for messages in bytes: a charon with thousands of IKE SAs says a lot at once.
const SOCKET_BYTES: usize = 8 << 20;
/// Number of messages that are read in one turn.
const READS_MAX: usize = 256;

pub struct Charon {
    socket: Option<UdpSocket>,
    /// None without an IKE daemon, or without nf_tables.
    guard: Option<PortGuard>,
    /// An IKE daemon can be asked.
    has_daemon: bool,
    /// Reason why there is no socket.
    fault: Option<String>,
    /// charon's end was there at the last look: messages that are read after it ended are still charon's.
    was_charons: bool,
}

impl Charon {
    /// Opens the socket, if an IKE daemon can be asked. Without the socket sessions do not follow, and all else does.
    pub fn open(now_ns: u64, has_daemon: bool) -> Self {
        let ends = Ends {
            port: PORT,
            plugin: PLUGIN,
            user: rustix::process::geteuid().as_raw(),
        };
        let mut charon = Self {
            socket: None,
            guard: has_daemon.then(|| PortGuard::open(ends).ok()).flatten(),
            has_daemon,
            fault: None,
            was_charons: false,
        };
        if has_daemon {
            charon.open_again(now_ns);
        } else {
            remove_port_guard();
        }
        charon
    }

    /// Tries to open the socket if there is none; returns its descriptor if it is new.
    pub fn open_again(&mut self, now_ns: u64) -> Option<RawFd> {
        self.keep_guard(now_ns);
        if self.socket.is_some() || !self.has_daemon {
            return None;
        }
        match open() {
            Ok(socket) => (self.socket, self.fault) = (Some(socket), None),
            Err(error) => {
                let why = format!("port {PORT} of {PLUGIN}: {error}");
                if self.fault.as_ref() != Some(&why) {
                    log::warn!("IKE sessions do not follow: {why}");
                }
                self.fault = Some(why);
            }
        }
        self.fd()
    }

    fn keep_guard(&mut self, now_ns: u64) {
        if let Some(guard) = &mut self.guard {
            guard.keep(now_ns);
        }
    }

    pub fn fd(&self) -> Option<RawFd> {
        self.socket.as_ref().map(|it| it.as_fd().as_raw_fd())
    }

    /// Returns charon's messages that wait. Those of another program at charon's end are left out.
    pub fn messages(&mut self, now_ns: u64) -> Vec<Body> {
        self.keep_guard(now_ns);
        let mut messages = self.received();
        if !messages.is_empty() && !self.are_charons(charons_socket()) {
            log::warn!(
                "{} messages for charon's peer are not charon's",
                messages.len()
            );
            messages.clear();
        }
        messages
    }

    fn are_charons(&mut self, found: io::Result<Option<FoundSocket>>) -> bool {
        let was_charons = mem::take(&mut self.was_charons);
        match found {
            Ok(Some(found)) => {
                self.was_charons = found.user == 0;
                self.was_charons
            }
            Ok(None) => was_charons,
            Err(_) => false,
        }
    }

    fn received(&self) -> Vec<Body> {
        let mut messages = Vec::new();
        let mut buffer = Zeroizing::new(vec![0; MESSAGE_MAX + 1]);
        let socket = self.socket.as_ref();
        for _ in 0..READS_MAX {
            match socket.map(|it| it.recv(&mut buffer)) {
                Some(Ok(length)) => messages.push(Body::new(buffer[..length].to_vec())),
                // charon has ended, and an earlier message found nobody
                Some(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => {}
                _ => break,
            }
        }
        messages
    }

    /// Tells charon whether it is to answer for its IKE SAs.
    ///
    /// # Errors
    /// charon does not listen, or another program does.
    pub fn set_segment(&self, version: u8, is_active: bool) -> Result<(), NotTold> {
        self.find()?;
        if let Some(why) = &self.fault {
            return Err(NotTold::Refused(why.clone()));
        }
        self.send(&message::segment(version, is_active))
    }

    /// True if charon has read all of its messages, or has ended.
    pub fn has_read(&self) -> bool {
        self.find().map_or(true, |found| found.waiting == 0)
    }

    /// Finds charon's socket.
    fn find(&self) -> Result<FoundSocket, NotTold> {
        let found = charons_socket().map_err(|error| NotTold::Refused(error.to_string()))?;
        match found {
            Some(found) if found.user == 0 => Ok(found),
            Some(found) => Err(NotTold::Stranger(format!(
                "port {PORT} of {CHARON} is not charon's: a program of user {} listens there",
                found.user
            ))),
            None => Err(NotTold::Refused(
                "charon's plugin ha does not listen".to_owned(),
            )),
        }
    }

    fn send(&self, message: &[u8]) -> Result<(), NotTold> {
        let refused = |error: io::Error| NotTold::Refused(error.to_string());
        let no_daemon = || NotTold::Refused("no IKE daemon is asked".to_owned());
        let socket = self.socket.as_ref().ok_or_else(no_daemon)?;
        socket.send(message).map(drop).map_err(refused)
    }

    /// Passes messages on.
    ///
    /// # Errors
    /// charon has not read the last ones, or does not listen.
    pub fn tell(&self, messages: &[Body]) -> Result<(), NotTold> {
        if self.find()?.waiting > 0 {
            return Err(NotTold::Busy);
        }
        messages.iter().try_for_each(|it| self.send(it.bytes()))
    }
}

fn open() -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(SocketAddrV4::new(PLUGIN, PORT))?;
    SockRef::from(&socket).set_mark(MARK)?;
    socket.connect(SocketAddrV4::new(CHARON, PORT))?;
    socket.set_nonblocking(true)?;
    let fd: BorrowedFd<'_> = socket.as_fd();
    rustix::net::sockopt::set_socket_recv_buffer_size_force(fd, SOCKET_BYTES)?;
    Ok(socket)
}

/// Socket of charon's end.
#[derive(Debug, PartialEq, Eq)]
struct FoundSocket {
    user: u32,
    /// Bytes that its program has not read.
    waiting: u64,
}

fn charons_socket() -> io::Result<Option<FoundSocket>> {
    let list = std::fs::read_to_string(SOCKETS)?;
    Ok(list.lines().find_map(found_socket))
}

/// Reads a line of the kernel's list, if it is about charon's end.
fn found_socket(line: &str) -> Option<FoundSocket> {
    let mut fields = line.split_whitespace();
    let address = fields.nth(1)?;
    // the kernel writes the bytes of an address as a number of this machine
    let charon = u32::from_ne_bytes(CHARON.octets());
    if address != format!("{charon:08X}:{PORT:04X}") {
        return None;
    }
    let (_, waiting) = fields.nth(2)?.split_once(':')?;
    Some(FoundSocket {
        waiting: u64::from_str_radix(waiting, 16).ok()?,
        user: fields.nth(2)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_charons_while_its_user_has_its_end_and_once_after_that() {
        let found = |user| Ok(Some(FoundSocket { user, waiting: 0 }));
        let mut charon = Charon::open(0, false);
        assert!(!charon.are_charons(Ok(None)), "before it was there");
        assert!(!charon.are_charons(found(65534)));
        assert!(!charon.are_charons(Ok(None)), "of a stranger that ended");
        assert!(charon.are_charons(found(0)));
        assert!(charon.are_charons(Ok(None)), "its last ones");
        assert!(!charon.are_charons(Ok(None)));
        assert!(charon.are_charons(found(0)));
        assert!(!charon.are_charons(Err(io::Error::other("no list"))));
    }

    #[test]
    fn charons_end_is_told_from_others_with_its_user_and_what_it_has_not_read() {
        let line = "  123: 0100007F:119E 0200007F:119E 01 00000000:00000A00 00:00000000 00000000   997        0 12345 2 0000000000000000 0";
        let found = FoundSocket {
            user: 997,
            waiting: 0xa00,
        };
        assert_eq!(found_socket(line), Some(found));
        let other = line.replacen("0100007F:119E", "0300007F:119E", 1);
        assert_eq!(found_socket(&other), None);
        assert_eq!(found_socket("  sl  local_address rem_address   st"), None);
    }
}
