//! The kernel's messages about connections (`linux/netfilter/nfnetlink_conntrack.h`).
//!
//! [`parse`] reads dumps and notifications and cannot panic on any bytes; [`build`] writes
//! requests; [`expectation`] passes expectations on unchanged.

pub mod build;
pub mod expectation;
pub mod parse;

use spared_netlink::constants as c;

use crate::flow::{DCCP, SCTP};

pub const NEW: u16 = c::NFNL_SUBSYS_CTNETLINK << 8 | c::IPCTNL_MSG_CT_NEW;
pub const GET: u16 = c::NFNL_SUBSYS_CTNETLINK << 8 | c::IPCTNL_MSG_CT_GET;
pub const DELETE: u16 = c::NFNL_SUBSYS_CTNETLINK << 8 | c::IPCTNL_MSG_CT_DELETE;
pub const GET_STATS: u16 = c::NFNL_SUBSYS_CTNETLINK << 8 | c::IPCTNL_MSG_CT_GET_STATS;
pub const EXPECT_NEW: u16 = c::NFNL_SUBSYS_CTNETLINK_EXP << 8 | c::IPCTNL_MSG_EXP_NEW;
pub const EXPECT_GET: u16 = c::NFNL_SUBSYS_CTNETLINK_EXP << 8 | c::IPCTNL_MSG_EXP_GET;
pub const EXPECT_DELETE: u16 = c::NFNL_SUBSYS_CTNETLINK_EXP << 8 | c::IPCTNL_MSG_EXP_DELETE;

pub const CREATE: u16 = 0x400;
pub const EXCLUSIVE: u16 = 0x200;

/// `struct nfgenmsg`: family, version, resource.
pub const GENERIC_HEADER: usize = 4;
/// Header of a message for any family.
pub const ANY: [u8; GENERIC_HEADER] = [0; GENERIC_HEADER];

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// Returns true if the peer may send this attribute, in the kernel's encoding, for a flow of this
/// protocol.
pub fn is_passed_on(kind: u16, protocol: u8) -> bool {
    match kind {
        c::CTA_LABELS
        | c::CTA_SEQ_ADJ_ORIG
        | c::CTA_SEQ_ADJ_REPLY
        | c::CTA_HELP
        | c::CTA_TUPLE_MASTER
        | c::CTA_SYNPROXY => true,
        c::CTA_PROTOINFO => matches!(protocol, SCTP | DCCP),
        _ => false,
    }
}

/// Returns true if an attribute cannot be set in an existing entry.
pub fn only_at_creation(kind: u16) -> bool {
    matches!(kind, c::CTA_HELP | c::CTA_TUPLE_MASTER)
}

#[cfg(test)]
mod tests;
