//! How the peer learns the key: messages over the plugin's channel, wire version 1.
//!
//! ```text
//!    +---------------+---------------+-------------------------------+
//!    |  Version, 1   |     Kind      |           Key id, 8 ...       |
//!    +---------------+---------------+-------------------------------+
//!    |  Secret, 32 (an offer's)                                      |
//!    +---------------------------------------------------------------+
//!
//! Kind: 1 offer: my heartbeats are under this key; 2 accepted: I have it
//! ```
//!
//! Both offer at each `up`. The channel is ordered, reliable and encrypted, so that nothing is
//! repeated within a session; an answer that is lost with a session is had in the next.

use std::fmt;

use zeroize::Zeroizing;

use super::key::{Key, SECRET_LEN};

/// Longest message.
pub const MESSAGE_MAX: usize = HEADER_LEN + SECRET_LEN;

const VERSION: u8 = 1;
const OFFER: u8 = 1;
const ACCEPTED: u8 = 2;
const HEADER_LEN: usize = 10;

/// What to send, or what came.
#[derive(Debug)]
pub enum Message {
    Offer(Key),
    Accepted(u64),
}

/// Why a message of the peer was not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalid {
    Version(u8),
    Kind(u8),
    Length(usize),
}

impl Message {
    pub fn parse(bytes: &[u8]) -> Result<Message, Invalid> {
        let wrong_length = Invalid::Length(bytes.len());
        let [version, kind, rest @ ..] = bytes else {
            return Err(wrong_length);
        };
        if *version != VERSION {
            return Err(Invalid::Version(*version));
        }
        let (id, secret) = rest.split_first_chunk::<8>().ok_or(wrong_length)?;
        let id = u64::from_be_bytes(*id);
        match *kind {
            OFFER => {
                let secret: &[u8; SECRET_LEN] = secret.try_into().map_err(|_| wrong_length)?;
                Ok(Message::Offer(Key::new(id, Zeroizing::new(*secret))))
            }
            ACCEPTED if secret.is_empty() => Ok(Message::Accepted(id)),
            ACCEPTED => Err(wrong_length),
            unknown => Err(Invalid::Kind(unknown)),
        }
    }
}

fn offer(key: &Key) -> Zeroizing<Vec<u8>> {
    let mut bytes = header(OFFER, key.id());
    bytes.extend_from_slice(key.secret());
    bytes
}

/// With room for the rest, so that growing leaves no copy of a secret behind.
fn header(kind: u8, id: u64) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(MESSAGE_MAX));
    bytes.extend_from_slice(&[VERSION, kind]);
    bytes.extend_from_slice(&id.to_be_bytes());
    bytes
}

/// What is to be said, and what the peer has said of our key.
///
/// Feed it with `handle_up`, `handle_down` and `handle_message`; then send what
/// [`Exchange::message`] holds, and say [`Exchange::handle_sent`], until it holds nothing.
#[derive(Debug, Default)]
pub struct Exchange {
    is_up: bool,
    to_offer: bool,
    /// The id of a key to acknowledge.
    to_accept: Option<u64>,
    accepted: bool,
}

impl Exchange {
    /// The peer is there, the same or another start of it.
    pub fn handle_up(&mut self) {
        *self = Exchange {
            is_up: true,
            to_offer: true,
            ..Exchange::default()
        };
    }

    /// It is gone from the channel; keys stay, and so may its heartbeats.
    pub fn handle_down(&mut self) {
        *self = Exchange {
            accepted: self.accepted,
            ..Exchange::default()
        };
    }

    /// The peer's message; its key, where it is an offer.
    pub fn handle_message(&mut self, own: &Key, bytes: &[u8]) -> Result<Option<Key>, Invalid> {
        match Message::parse(bytes)? {
            Message::Offer(key) => {
                self.to_accept = Some(key.id());
                Ok(Some(key))
            }
            Message::Accepted(id) => {
                self.accepted |= id == own.id();
                Ok(None)
            }
        }
    }

    /// The next message to send.
    pub fn message(&self, own: &Key) -> Option<Zeroizing<Vec<u8>>> {
        if !self.is_up {
            return None;
        }
        if self.to_offer {
            return Some(offer(own));
        }
        self.to_accept.map(|id| header(ACCEPTED, id))
    }

    /// That message was taken.
    pub fn handle_sent(&mut self) {
        if self.to_offer {
            self.to_offer = false;
        } else {
            self.to_accept = None;
        }
    }

    /// Whether the peer has this node's key.
    pub fn is_accepted(&self) -> bool {
        self.accepted
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Invalid::Version(version) => write!(f, "version {version} instead of {VERSION}"),
            Invalid::Kind(kind) => write!(f, "unknown kind {kind}"),
            Invalid::Length(length) => write!(f, "wrong length {length}"),
        }
    }
}

impl std::error::Error for Invalid {}
