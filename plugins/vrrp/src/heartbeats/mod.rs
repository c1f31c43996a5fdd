//! Authenticated heartbeats, which only the peer can produce: numbers, keys, and the agreement on keys.
//!
//! Sans-I/O. [`Sender`] seals the engine's heartbeats, once for each path and part; [`Receiver`] opens what arrived on
//! a path; [`Agreement`] agrees with the peer on keys; [`Authentication`] combines them. Neither sealing nor opening
//! allocates.
//!
//! Keys belong to two runs, one start of the plugin on each node. They are not stored, and a recording from before this
//! start cannot be a heartbeat to it. Numbers never go back within a run, so each path stores only the highest number
//! that it received, and which of its parts. A path is a link, by its position, or a network of a group.

mod agreement;
mod authentication;
mod counters;
mod key;
mod receiver;
mod sender;

#[cfg(test)]
mod tests;

pub use agreement::{AgreedKeys, Agreement, PathClass, Refusal, Request};
pub use authentication::{Authentication, AuthenticationEvents, Received};
pub use counters::Counters;
pub use key::{Key, NoRandomness, SECRET_LEN, random_run};
pub use receiver::{Heard, OpenedPart, Receiver, ReceiverEvents};
pub use sender::{Omitted, Sender};

/// Limit of links that carry heartbeats; a configuration has one or two.
pub const LINKS_MAX: usize = 8;
