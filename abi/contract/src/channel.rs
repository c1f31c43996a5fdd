//! A worker's channel to its peer plugin: records on a SOCK_SEQPACKET socket between the worker and
//! the link's process, past the host. The first byte of a record is its kind.
//!
//! Requests to sign and to verify use the same channel, also while no session is up, as only the
//! link's process has the keys. It answers some requests a second and drops the rest; an answer for
//! which the socket has no room is lost.
//!
//! When the other end of a channel is closed, or another channel replaces it, the worker reads what
//! is left in it before it takes the peer for gone.
//!
//! Back-pressure is a full socket: when the link holds as much for the peer as it may, it stops
//! reading, and then the worker's `send` returns -EAGAIN.

use spared_abi::{LOCAL_MESSAGE_MAX, PEER_MESSAGE_MAX};

/// Longest record of a channel between two plugins of this node. Both workers hold an end of it, and
/// each record is a [`MESSAGE`].
pub const LOCAL_RECORD_MAX: usize = 1 + LOCAL_MESSAGE_MAX as usize;

/// Longest record.
pub const RECORD_MAX: usize = 1 + PEER_MESSAGE_MAX as usize;

/// From the link: the peer is up. Four bytes follow, the wire version, big-endian.
pub const UP: u8 = 1;
/// From the link: the peer is gone, and what was queued is lost.
pub const DOWN: u8 = 2;
/// Both ways: a message follows. A worker sends [`message_kind`] in its place.
pub const MESSAGE: u8 = 3;

/// From the worker: request for this node's signature. The ticket follows, eight bytes,
/// big-endian, then the statement.
pub const SIGN: u8 = 4;
/// From the worker: question whether the peer signed a statement. The ticket follows, a signature
/// of [`SIGNATURE_SIZE`] bytes, and the statement.
pub const VERIFY: u8 = 5;
/// From the link: the ticket and the signature.
pub const SIGNED: u8 = 6;
/// From the link: the ticket, and 1 if the signature is the peer's, else 0.
pub const VERIFIED: u8 = 7;

/// Bytes of a signature.
pub const SIGNATURE_SIZE: usize = spared_abi::IDENTITY_SIGNATURE_SIZE as usize;
/// Longest statement.
pub const STATEMENT_MAX: usize = spared_abi::IDENTITY_STATEMENT_MAX as usize;

/// [`MESSAGE`] of a worker that has read [`UP`] `ups` times from this channel. By it the link drops
/// messages that were still in the socket and meant for an earlier peer.
pub const fn message_kind(ups: u8) -> u8 {
    MESSAGE | ups.wrapping_sub(1) << 4
}
