//! Heartbeats that the peer alone can make: numbers, keys, and how two runs agree on them.
//!
//! Sans-I/O. [`Sender`] seals what the engine says, once for each path and part; [`Receiver`] opens what
//! came over one; [`Agreement`] is the talk with the peer by which both have the keys; [`Pairing`] is all of
//! them. Neither sealing nor opening allocates.
//!
//! Keys belong to two runs, one start of the plugin on each node: nothing of them is stored, and nothing
//! that was recorded before this start can be a heartbeat to it. Numbers never go back within a run, so each
//! path remembers the highest that it heard, which parts of it, and nothing else. A path is a link, by its
//! place, or a network of a group.

mod agreement;
mod counters;
mod key;
mod pairing;
mod receiver;
mod sender;

#[cfg(test)]
mod tests;

pub use agreement::{Agreed, Agreement, Class, Refusal, Request};
pub use counters::Counters;
pub use key::{Key, NoRandomness, SECRET_LEN, random_run};
pub use pairing::{Pairing, PairingNews, Received};
pub use receiver::{Heard, News, Opened, Receiver};
pub use sender::{LeftOut, Sender};

/// Links that heartbeats go over; a configuration has one or two.
pub const LINKS_MAX: usize = 8;
