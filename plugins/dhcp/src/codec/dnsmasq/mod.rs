//! dnsmasq's lease file: one line for each lease of DHCPv4, then the server's DUID, then one line
//! for each lease of DHCPv6.
//!
//! dnsmasq reads words and stops at the first unexpected one, so nothing else is written.

mod reader;
mod writer;

pub use reader::line;
pub use writer::{is_name, write};

/// Placeholder for a missing value.
const NONE: &[u8] = b"*";
/// Mark before the identity association of a temporary address.
const TEMPORARY: &[u8] = b"T";
