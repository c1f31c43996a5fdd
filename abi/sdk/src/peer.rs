//! Messages to the peer plugin, the same plugin on the peer.

use std::fmt;

use spared_abi as abi;

use crate::error;
use crate::host::Host;
use crate::{Error, Plugin};

/// The part `peer`: exchanges messages with the peer plugin.
pub trait Peer: Plugin {
    /// Handles that the peer plugin is connected. `wire` is the highest version that both support.
    fn up(&mut self, wire: u32);

    /// Handles that the peer plugin is gone. Queued messages are lost.
    fn down(&mut self);

    /// Handles a message from the peer plugin: untrusted bytes, in order, each once.
    fn message(&mut self, message: &[u8]);

    /// Handles that [`PeerHandle::send`] has room again.
    fn writable(&mut self) {}
}

/// Handle that sends to the peer plugin; from [`Host::peer`].
#[derive(Clone, Copy, Debug)]
pub struct PeerHandle(pub(crate) Host);

impl PeerHandle {
    /// Queues one message. Messages are ordered and reliable while the peer plugin is up.
    ///
    /// # Errors
    /// See [`SendError`].
    pub fn send(&self, message: &[u8]) -> Result<(), SendError> {
        queued(self.0.core().send_to_peer(message))
    }

    /// Reports that this node holds all that a failover to it needs, or why not. The state is "no" until it is
    /// reported, and again after each [`Peer::up`] and [`Peer::down`].
    ///
    /// # Errors
    /// None at present.
    pub fn in_sync(&self, yes: bool, why: &str) -> Result<(), Error> {
        self.0.core().report_synchrony(yes, why);
        Ok(())
    }
}

pub(crate) fn queued(status: abi::Status) -> Result<(), SendError> {
    match status.saturating_neg() {
        ..=0 => Ok(()),
        error::EAGAIN => Err(SendError::Full),
        error::ENOTCONN => Err(SendError::Down),
        error::EMSGSIZE => Err(SendError::TooLong),
        errno => Err(SendError::Other(errno)),
    }
}

/// Reason why a message to the peer or to a partner on this node was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// The queue is full; [`Peer::writable`] follows, or
    /// [`Local::partner_writable`](crate::Local::partner_writable).
    Full,
    /// The other plugin is not connected.
    Down,
    /// The message is longer than [`abi::PEER_MESSAGE_MAX`] or [`abi::LOCAL_MESSAGE_MAX`], which are equal.
    TooLong,
    /// A positive errno.
    Other(i32),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("the queue is full"),
            Self::Down => f.write_str("the other plugin is not connected"),
            Self::TooLong => write!(f, "the message is longer than {}", abi::PEER_MESSAGE_MAX),
            Self::Other(errno) => std::io::Error::from_raw_os_error(*errno).fmt(f),
        }
    }
}

impl std::error::Error for SendError {}

impl From<SendError> for Error {
    fn from(error: SendError) -> Self {
        Self::Host {
            tried: "send a message".to_owned(),
            errno: match error {
                SendError::Full => error::EAGAIN,
                SendError::Down => error::ENOTCONN,
                SendError::TooLong => error::EMSGSIZE,
                SendError::Other(errno) => errno,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_a_message_was_not_sent_can_be_told_apart() {
        for (status, said) in [
            (0, Ok(())),
            (-11, Err(SendError::Full)),
            (-107, Err(SendError::Down)),
            (-90, Err(SendError::TooLong)),
            (-5, Err(SendError::Other(5))),
        ] {
            assert_eq!(queued(status), said);
        }
    }
}
