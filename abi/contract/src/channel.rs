//! A worker's channel to its peer plugin: records on a SOCK_SEQPACKET socket between the worker and the link's process,
//! without the host. The first byte of a record is its kind.
//!
//! Requests to sign and to verify use the same channel, also while no session is up, because only the link's process
//! has the keys. It answers a limited number of requests each second and drops the rest. An answer is lost if the
//! socket has no room for it.
//!
//! When the other end of a channel is closed, or another channel replaces it, the worker reads the rest of its records
//! before it treats the peer as gone.
//!
//! Back-pressure is a full socket. When the link holds its maximum for the peer, it stops reading, and then the
//! worker's `send` returns -EAGAIN.

use spared_abi::{LOCAL_MESSAGE_MAX, PEER_MESSAGE_MAX};

/// Maximum bytes of a record in a channel between two plugins of this node. Each worker holds one end, and each record
/// is a [`MESSAGE`].
pub const LOCAL_RECORD_MAX: usize = 1 + LOCAL_MESSAGE_MAX as usize;

/// Maximum bytes of a record.
pub const RECORD_MAX: usize = 1 + PEER_MESSAGE_MAX as usize;

/// Sent by the link: the peer is up. Four bytes follow, the wire version, big-endian.
pub const UP: u8 = 1;
/// Sent by the link: the peer is gone, and queued messages are lost.
pub const DOWN: u8 = 2;
/// Sent by both: a message follows. A worker sends [`message_kind`] instead.
pub const MESSAGE: u8 = 3;

/// Sent by the worker: requests this node's signature. The ticket follows, eight bytes, big-endian, then the statement.
pub const SIGN: u8 = 4;
/// Sent by the worker: asks if the peer signed a statement. The ticket follows, then a signature of [`SIGNATURE_SIZE`]
/// bytes, then the statement.
pub const VERIFY: u8 = 5;
/// Sent by the link: the ticket and the signature.
pub const SIGNED: u8 = 6;
/// Sent by the link: the ticket, and 1 if the signature is the peer's, otherwise 0.
pub const VERIFIED: u8 = 7;

/// Number of bytes of a signature.
pub const SIGNATURE_SIZE: usize = spared_abi::IDENTITY_SIGNATURE_SIZE as usize;
/// Maximum bytes of a statement.
pub const STATEMENT_MAX: usize = spared_abi::IDENTITY_STATEMENT_MAX as usize;

/// Kind of a [`MESSAGE`] from a worker that has read [`UP`] `ups` times from this channel. It lets the link drop
/// messages that were still in the socket and meant for an earlier peer.
pub const fn message_kind(ups: u8) -> u8 {
    MESSAGE | ups.wrapping_sub(1) << 4
}
