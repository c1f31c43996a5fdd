//! Checks that bytes from the peer are an SA or a policy that may be passed to the kernel.

use spared_netlink::constants::*;
use spared_netlink::{attributes, u32_of};

use super::{AF_INET, AF_INET6, ALGORITHMS, SELECTOR_LEN, policy_field, sa_field};
use crate::codec::body::{POLICY_LEN, SA_LEN};
use crate::error::Malformed;

/// Protocols of IPsec: ESP, AH, IPComp.
const PROTOCOLS: [u8; 3] = [50, 51, 108];
/// Greatest mode, from XFRM_MODE_TRANSPORT to XFRM_MODE_BEET.
const MODE_MAX: u8 = 4;
/// Size of `struct xfrm_user_tmpl`, and its greatest number in a policy, XFRM_MAX_DEPTH.
const TEMPLATE_LEN: usize = 64;
const TEMPLATES_MAX: usize = 6;
/// Longest key in bits; the kernel's longest ones are shorter.
const KEY_MAX: usize = 4096;
const SEC_CTX_MAX: usize = 1024;

// Attributes of kernels newer than the headers of Debian 12.
const XFRMA_SA_DIR: u16 = 33;
const XFRMA_NAT_KEEPALIVE_INTERVAL: u16 = 34;
const XFRMA_SA_PCPU: u16 = 35;
const XFRMA_IPTFS_DROP_TIME: u16 = 36;
const XFRMA_IPTFS_REORDER_WINDOW: u16 = 37;
const XFRMA_IPTFS_DONT_FRAG: u16 = 38;
const XFRMA_IPTFS_INIT_DELAY: u16 = 39;
const XFRMA_IPTFS_MAX_QSIZE: u16 = 40;
const XFRMA_IPTFS_PKT_SIZE: u16 = 41;

/// # Errors
/// The bytes are no SA as `codec::read` makes them.
pub fn check_sa(bytes: &[u8]) -> Result<(), Malformed> {
    let (head, attrs) = bytes.split_at_checked(SA_LEN).ok_or(Malformed::Short)?;
    selector(head.get(..SELECTOR_LEN).ok_or(Malformed::Short)?)?;
    let byte = |at: usize| head.get(at).copied().unwrap_or_default();
    let zero = |range| head.get(range).is_some_and(is_zero);
    let family = u16_at(head, sa_field::FAMILY.start);
    let sane = [AF_INET, AF_INET6].contains(&family)
        && PROTOCOLS.contains(&byte(sa_field::PROTOCOL))
        && byte(sa_field::MODE) <= MODE_MAX
        && zero(sa_field::INTERFACE)
        && zero(sa_field::USED)
        && zero(sa_field::TRANSIENT);
    if !sane {
        return Err(Malformed::Field("SA"));
    }
    if !attributes(attrs).any(|(kind, _)| ALGORITHMS.contains(&kind)) {
        return Err(Malformed::Field("SA"));
    }
    check_attributes(attrs, |kind, value| match kind {
        XFRMA_ALG_AUTH | XFRMA_ALG_CRYPT | XFRMA_ALG_COMP => algorithm(value, 68),
        XFRMA_ALG_AUTH_TRUNC | XFRMA_ALG_AEAD => algorithm(value, 72),
        XFRMA_ENCAP => value.len() == 24,
        XFRMA_COADDR => value.len() == 16,
        XFRMA_MARK => value.len() == 8,
        XFRMA_SEC_CTX => (8..=SEC_CTX_MAX).contains(&value.len()),
        XFRMA_PROTO | XFRMA_SA_DIR | XFRMA_IPTFS_DONT_FRAG => value.len() == 1,
        XFRMA_TFCPAD
        | XFRMA_SA_EXTRA_FLAGS
        | XFRMA_SET_MARK
        | XFRMA_SET_MARK_MASK
        | XFRMA_IF_ID
        | XFRMA_NAT_KEEPALIVE_INTERVAL
        | XFRMA_SA_PCPU
        | XFRMA_IPTFS_DROP_TIME
        | XFRMA_IPTFS_INIT_DELAY
        | XFRMA_IPTFS_MAX_QSIZE
        | XFRMA_IPTFS_PKT_SIZE => value.len() == 4,
        XFRMA_IPTFS_REORDER_WINDOW => value.len() == 2,
        _ => false,
    })
}

/// # Errors
/// The bytes are no policy as `codec::read` makes them.
pub fn check_policy(bytes: &[u8]) -> Result<(), Malformed> {
    let (head, attrs) = bytes.split_at_checked(POLICY_LEN).ok_or(Malformed::Short)?;
    selector(head.get(..SELECTOR_LEN).ok_or(Malformed::Short)?)?;
    let byte = |at: usize| head.get(at).copied().unwrap_or_default();
    let zero = |range| head.get(range).is_some_and(is_zero);
    let sane = byte(policy_field::DIRECTION) < 3
        && byte(policy_field::DIRECTION + 1) < 2
        && zero(policy_field::INTERFACE)
        && zero(policy_field::INDEX)
        && zero(policy_field::USED);
    if !sane {
        return Err(Malformed::Field("policy"));
    }
    check_attributes(attrs, |kind, value| match kind {
        XFRMA_TMPL => templates(value),
        XFRMA_POLICY_TYPE => value.len() == 6 && value.first().is_some_and(|kind| *kind < 2),
        XFRMA_MARK => value.len() == 8,
        XFRMA_IF_ID | XFRMA_SET_MARK | XFRMA_SET_MARK_MASK => value.len() == 4,
        XFRMA_SEC_CTX => (8..=SEC_CTX_MAX).contains(&value.len()),
        _ => false,
    })
}

fn selector(bytes: &[u8]) -> Result<(), Malformed> {
    const FAMILY: usize = 40;
    const PREFIXES: usize = 42;
    let longest = match u16_at(bytes, FAMILY) {
        AF_INET => 32,
        // SAs of tunnels have no family
        AF_INET6 | 0 => 128,
        _ => return Err(Malformed::Field("selector")),
    };
    let prefixes = bytes.get(PREFIXES..PREFIXES + 2).unwrap_or_default();
    if prefixes.iter().all(|prefix| *prefix <= longest) {
        Ok(())
    } else {
        Err(Malformed::Field("selector"))
    }
}

/// Checks that every attribute is complete and valid, and occurs once.
fn check_attributes(attrs: &[u8], is_valid: impl Fn(u16, &[u8]) -> bool) -> Result<(), Malformed> {
    let (mut seen, mut length) = (0u64, 0);
    for (kind, value) in attributes(attrs) {
        let bit = 1u64.checked_shl(kind.into()).unwrap_or(0);
        if bit == 0 || seen & bit != 0 || !is_valid(kind, value) {
            return Err(Malformed::Field("attribute"));
        }
        seen |= bit;
        length += (4 + value.len()).next_multiple_of(4);
    }
    if length == attrs.len() {
        Ok(())
    } else {
        Err(Malformed::Long)
    }
}

/// Checks an algorithm: a name of 64 bytes, the key's length in bits, perhaps another length, the
/// key.
fn algorithm(value: &[u8], key_at: usize) -> bool {
    let Some((name, rest)) = value.split_at_checked(64) else {
        return false;
    };
    let end = name.iter().position(|byte| *byte == 0);
    let named = end.is_some_and(|end| end > 0 && name[..end].iter().all(u8::is_ascii_graphic));
    let bits = rest.get(..4).and_then(u32_of).unwrap_or(u32::MAX) as usize;
    named && bits <= KEY_MAX && value.len() == key_at + bits.div_ceil(8)
}

fn templates(value: &[u8]) -> bool {
    let is_valid = |template: &[u8]| {
        let family = u16_at(template, 24);
        let mode = template.get(48).copied().unwrap_or(u8::MAX);
        [AF_INET, AF_INET6].contains(&family) && mode <= MODE_MAX
    };
    value.len() % TEMPLATE_LEN == 0
        && value.len() / TEMPLATE_LEN <= TEMPLATES_MAX
        && value.chunks_exact(TEMPLATE_LEN).all(is_valid)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    let half = bytes.get(at..).and_then(|rest| rest.first_chunk());
    half.map_or(u16::MAX, |half| u16::from_ne_bytes(*half))
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}
