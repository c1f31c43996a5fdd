//! A worker's channel to its peer: records on a SOCK_SEQPACKET socket between worker and link
//! process, so that the host is not on the path. The first byte says what the rest is.
//!
//! What the plugin wants signed and verified goes the same way, also while no session is up: only the
//! link's process has the keys. It answers some requests a second and passes over the rest; an
//! answer for which the socket has no room is lost.
//!
//! A worker reads what lies in a channel whose other end was closed, or which another channel
//! replaces, before it takes the peer for gone.
//!
//! Back-pressure is the full socket: the link stops reading when it holds as much for the peer as
//! it may, then the worker's `send` is -EAGAIN.

use spared_abi::PEER_MESSAGE_MAX;

/// Longest record.
pub const RECORD_MAX: usize = 1 + PEER_MESSAGE_MAX as usize;

/// From the link: the peer is there; four bytes follow, the wire version, little-endian.
pub const UP: u8 = 1;
/// From the link: the peer is gone, and what was queued is lost.
pub const DOWN: u8 = 2;
/// Both ways: a message follows. From the worker, [`message_kind`].
pub const MESSAGE: u8 = 3;

/// From the worker: eight bytes of ticket follow, little-endian, then the statement of which it wants
/// this node's signature.
pub const SIGN: u8 = 4;
/// From the worker: the ticket, a signature of [`SIGNATURE_SIZE`] bytes, and the statement of which it
/// wants to know whether the peer signed it so.
pub const VERIFY: u8 = 5;
/// From the link: the ticket and the signature.
pub const SIGNED: u8 = 6;
/// From the link: the ticket, and 1 where the signature is the peer's, else 0.
pub const VERIFIED: u8 = 7;

/// Bytes of a signature.
pub const SIGNATURE_SIZE: usize = spared_abi::IDENTITY_SIGNATURE_SIZE as usize;
/// Longest statement.
pub const STATEMENT_MAX: usize = spared_abi::IDENTITY_STATEMENT_MAX as usize;

/// [`MESSAGE`] of a worker that has read so many times [`UP`] from this channel: the link passes
/// over what was meant for an earlier peer and still lay in the socket.
pub const fn message_kind(ups: u8) -> u8 {
    MESSAGE | ups.wrapping_sub(1) << 4
}
