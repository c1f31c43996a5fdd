//! `spared.peer/1`: messages to the same plugin on the other node.

use std::fmt;

use spared_abi as abi;
use zeroize::Zeroizing;

use crate::error::{self, check};
use crate::host::Host;
use crate::interface::call_ctx;
use crate::{Error, Plugin};

/// The part `peer`: talks to its peer.
pub trait Peer: Plugin {
    /// The peer is there; `wire` is the highest version that both speak.
    fn up(&mut self, wire: u32);

    /// It is gone; what was queued is lost.
    fn down(&mut self);

    /// Its message: untrusted bytes, in order, each once.
    fn message(&mut self, message: &[u8]);

    /// [`PeerHandle::send`] takes messages again.
    fn writable(&mut self) {}
}

/// Sends to the peer; from [`Host::peer`].
#[derive(Clone, Copy, Debug)]
pub struct PeerHandle {
    pub(crate) host: Host,
    pub(crate) table: *const abi::Peer,
}

impl PeerHandle {
    /// Queues one message, ordered and reliable while the peer is up.
    ///
    /// # Errors
    /// See [`SendError`].
    pub fn send(&self, message: &[u8]) -> Result<(), SendError> {
        // SAFETY: the table is valid as long as the instance; the bytes live through the call.
        let status =
            unsafe { call_ctx!(self.table, send, self.host.ctx(), abi::Bytes::of(message)) };
        match status.saturating_neg() {
            ..=0 => Ok(()),
            error::EAGAIN => Err(SendError::Full),
            error::ENOTCONN => Err(SendError::Down),
            error::EMSGSIZE => Err(SendError::TooLong),
            errno => Err(SendError::Other(errno)),
        }
    }

    /// Whether this node holds all that it needs to take over, and why where not. Until it is said
    /// it is no, and [`Peer::up`] and [`Peer::down`] end what was said.
    ///
    /// # Errors
    /// The host's.
    pub fn in_sync(&self, yes: bool, why: &str) -> Result<(), Error> {
        // SAFETY: as above.
        let status = unsafe {
            call_ctx!(
                self.table,
                in_sync,
                self.host.ctx(),
                u32::from(yes),
                abi::Str::of(why)
            )
        };
        check("report synchrony", status)
    }
}

/// The way of an engine's messages to the peer: one that found the channel full waits, and goes first
/// when there is room.
#[derive(Debug)]
pub struct Outlet {
    peer: PeerHandle,
    /// Overwritten when it has gone: messages may hold keys.
    waiting: Option<Zeroizing<Vec<u8>>>,
    /// `writable` or `up` follows.
    full: bool,
}

impl Outlet {
    /// Nothing waits yet.
    pub fn new(peer: PeerHandle) -> Self {
        Self {
            peer,
            waiting: None,
            full: false,
        }
    }

    /// For [`Peer::up`]: what was for an earlier peer is forgotten.
    pub fn up(&mut self) {
        (self.waiting, self.full) = (None, false);
    }

    /// For [`Peer::down`].
    pub fn down(&mut self) {
        self.waiting = None;
    }

    /// For [`Peer::writable`].
    pub fn writable(&mut self) {
        self.full = false;
    }

    /// No message waits for room.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_none()
    }

    /// Sends one message, the one that waits or else what `next` has; false where there is none, or
    /// no room for it.
    pub fn send(&mut self, next: impl FnOnce() -> Option<Vec<u8>>) -> bool {
        if self.full {
            return false;
        }
        let next = || next().map(Zeroizing::new);
        let Some(message) = self.waiting.take().or_else(next) else {
            return false;
        };
        match self.peer.send(&message) {
            Ok(()) => return true,
            Err(SendError::Full) => {
                self.full = true;
                self.waiting = Some(message);
            }
            // `down` follows, and whatever was said begins anew
            Err(SendError::Down) => self.full = true,
            Err(error) => log::error!("a message of {} bytes: {error}", message.len()),
        }
        false
    }
}

/// Why a message was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// The queue is full; [`Peer::writable`] follows.
    Full,
    /// The peer is not there.
    Down,
    /// Longer than [`abi::PEER_MESSAGE_MAX`].
    TooLong,
    /// A positive errno.
    Other(i32),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("the queue to the peer is full"),
            Self::Down => f.write_str("the peer is not there"),
            Self::TooLong => write!(f, "the message is longer than {}", abi::PEER_MESSAGE_MAX),
            Self::Other(errno) => std::io::Error::from_raw_os_error(*errno).fmt(f),
        }
    }
}

impl std::error::Error for SendError {}

impl From<SendError> for Error {
    fn from(error: SendError) -> Self {
        Self::Host {
            tried: "send to the peer".to_owned(),
            errno: match error {
                SendError::Full => error::EAGAIN,
                SendError::Down => error::ENOTCONN,
                SendError::TooLong => error::EMSGSIZE,
                SendError::Other(errno) => errno,
            },
        }
    }
}
