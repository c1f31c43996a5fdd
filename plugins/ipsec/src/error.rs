//! Error of malformed messages and SAs. It never includes their bytes: keys may be among them.

/// Malformed bytes of the peer or the kernel. It is the replica's error, since a malformed value makes its message
/// malformed.
pub use spared_replica::Malformed;
