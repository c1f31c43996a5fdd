//! IKE sessions: what charon's plugin `ha` tells of its IKE SAs, kept as records, so that a charon on the other node
//! goes on with them.
//!
//! `socket.rs` has the sockets to charon, `message.rs` reads its messages, `running.rs` is an IKE SA that it has,
//! `table.rs` keeps what another charon needs,
//! and `wire.rs` is the form of that between the nodes. `engine/sessions` decides what charon gets, and when.

pub mod message;
mod running;
mod socket;
pub mod table;
#[cfg(test)]
mod tests;
pub mod wire;
#[cfg(test)]
pub mod written;

pub use message::IkeSpis;
pub use running::RunningIke;
pub use socket::Charon;
pub use table::{Child, IkeSa, SessionId, Sessions};
