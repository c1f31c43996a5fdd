//! How two nodes become a pair by a code of three words, and how their configuration is written for both.
//!
//! The first node makes an [`Invite`], whose code its administrator reads aloud or carries to the second node, which
//! [`Join`]s. Both prove by SPAKE2 that they know the code, and that nobody changed their names, interfaces, addresses
//! and public keys on the way. The result is a [`Channel`], which encrypts [`Message`]s.
//!
//! ```text
//! first node                          second node
//!    | ---------- greeting ----------> |  who it is
//!    | <----------- hello ------------ |  who it is, and its half of SPAKE2
//!    | ----------- answer -----------> |  its half, and a proof that it knows the code
//!    | <------- confirmation --------- |  the same proof of the second node
//!    | <=========== channel =========> |  messages
//! ```
//!
//! There is no I/O here: times are since the boot, with the time that the machine was suspended.

#![forbid(unsafe_code)]

mod channel;
mod code;
mod fault;
mod introduction;
mod invite;
mod join;
mod message;
mod proof;
pub mod spared_toml;
#[cfg(test)]
mod tests;
mod words;

pub use channel::Channel;
pub use code::{Code, CodeError};
pub use fault::Fault;
pub use introduction::Introduction;
pub use invite::{Invite, Inviting, LIFE};
pub use join::{Join, Joining};
pub use message::{Message, Texts};

/// Maximum bytes of a frame: a whole configuration.
pub const FRAME_MAX: usize = 1 << 20;
