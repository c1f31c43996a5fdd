//! Encodes a routing rule that looks up a table.

use spared_netlink::constants::TUNNEL_ROUTE_PROTOCOL;
use spared_netlink::{Message, put};

/// Message type RTM_NEWRULE.
pub const ADD: u16 = 32;
/// Message type RTM_DELRULE.
pub const DELETE: u16 = 33;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;
const FR_ACT_TO_TBL: u8 = 1;
const FRA_PRIORITY: u16 = 6;
const FRA_TABLE: u16 = 15;
const FRA_PROTOCOL: u16 = 21;
/// Layout of `struct fib_rule_hdr`.
const HEADER_LEN: usize = 12;
const ACTION_AT: usize = 7;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// Encodes "from all lookup TABLE", with this plugin's protocol number.
pub fn lookup(kind: u16, ipv4: bool, priority: u32, table: u32) -> Message {
    let mut payload = vec![0; HEADER_LEN];
    payload[0] = if ipv4 { AF_INET } else { AF_INET6 };
    payload[ACTION_AT] = FR_ACT_TO_TBL;
    put(&mut payload, FRA_PRIORITY, &priority.to_ne_bytes());
    put(&mut payload, FRA_TABLE, &table.to_ne_bytes());
    put(&mut payload, FRA_PROTOCOL, &[TUNNEL_ROUTE_PROTOCOL]);
    let flags = match kind {
        ADD => NLM_F_CREATE | NLM_F_EXCL,
        _ => 0,
    };
    Message::request(kind, flags, &payload)
}
