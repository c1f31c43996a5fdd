//! Reason why a message or an SA's bytes are invalid. Never includes the bytes: keys may be among
//! them.

/// Bytes of the peer or the kernel that are not what they should be: the replica's own error, as what
/// is wrong in a value is wrong in its message.
pub use spared_replica::Malformed;
