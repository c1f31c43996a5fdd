//! Heartbeats that the peer alone can make: keys, numbers, and how the peer learns the key.
//!
//! Sans-I/O. [`Sender`] seals what the engine says, once for each path and part; [`Receiver`] opens what
//! came over one; [`Exchange`] is the talk over the plugin's channel by which each learns the
//! other's key. Neither sealing nor opening allocates.
//!
//! A key is random and of one start of the plugin, and it outlives the channel: heartbeats go on when
//! the session of the link ends, or the processes that keep it. Numbers never go back
//! under one key, so each path remembers the highest that it heard, which parts of it, and nothing else. A path is a link,
//! by its place, or a network of a group.

mod agreement;
mod counters;
mod exchange;
mod key;
mod receiver;
mod sender;

#[cfg(test)]
mod tests;

pub use agreement::{Agreed, Agreement, Class, Refusal, Request};
pub use counters::Counters;
pub use exchange::{Exchange, Invalid, MESSAGE_MAX, Message};
pub use key::{Key, NoRandomness, SECRET_LEN};
pub use receiver::{Heard, Opened, Receiver};
pub use sender::{LeftOut, Sender};

/// Links that heartbeats go over; a configuration has one or two.
pub const LINKS_MAX: usize = 8;
