//! dnsmasq's lease file: a line each, those of DHCPv4, the server's DUID, those of DHCPv6.
//!
//! dnsmasq reads words and stops at the first that it does not expect, so nothing else is written.

mod reader;
mod writer;

pub use reader::line;
pub use writer::{is_name, write};

/// Placeholder for a missing value.
const NONE: &[u8] = b"*";
/// Before the identity association of a temporary address.
const TEMPORARY: &[u8] = b"T";
