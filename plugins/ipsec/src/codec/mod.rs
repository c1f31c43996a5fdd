//! Encodes and parses the kernel's messages about SAs and policies: `linux/xfrm.h` on 64-bit
//! machines.
//!
//! This module does no I/O and cannot panic on any bytes.

pub mod body;
mod check;
mod expression;
pub mod hold;
pub mod openings;
pub mod port_guard;
mod read;
pub mod silence;
#[cfg(test)]
mod tests;
mod write;

use spared_netlink::constants::*;

pub use check::{check_policy, check_sa};
pub use read::{ReadContext, last_numbers, read};
pub use write::{Request, WriteContext, deletion, hides_keys, plain_sa, requests};

#[cfg(not(target_pointer_width = "64"))]
compile_error!("the layouts of xfrm's structures are those of 64-bit machines");

/// Offsets in `struct xfrm_usersa_info`.
mod sa_field {
    use std::ops::Range;

    pub const INTERFACE: Range<usize> = 48..52;
    pub const DESTINATION: Range<usize> = 56..72;
    pub const SPI: Range<usize> = 72..76;
    pub const PROTOCOL: usize = 76;
    pub const SOURCE: Range<usize> = 80..96;
    /// Field of type `struct xfrm_lifetime_cur`.
    pub const USED: Range<usize> = 160..192;
    /// Counters of errors, and the number of an acquire.
    pub const TRANSIENT: Range<usize> = 192..208;
    pub const FAMILY: Range<usize> = 212..214;
    pub const MODE: usize = 214;
    pub const WINDOW: usize = 215;
}

/// Offsets in `struct xfrm_userpolicy_info`.
mod policy_field {
    use std::ops::Range;

    pub const INTERFACE: Range<usize> = 48..52;
    pub const USED: Range<usize> = 120..152;
    pub const INDEX: Range<usize> = 156..160;
    pub const DIRECTION: usize = 160;
}

/// Attributes of algorithms: an SA under negotiation has none.
const ALGORITHMS: [u16; 5] = [
    XFRMA_ALG_AUTH,
    XFRMA_ALG_CRYPT,
    XFRMA_ALG_COMP,
    XFRMA_ALG_AEAD,
    XFRMA_ALG_AUTH_TRUNC,
];

/// Size of `struct xfrm_selector`.
const SELECTOR_LEN: usize = 56;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// Appends a netlink attribute, padded.
fn append(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    bytes.extend_from_slice(&((value.len() + 4) as u16).to_ne_bytes());
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}
