//! Encodes chains and rules of nf_tables in the family inet. All expressions use the first
//! register.

use spared_netlink::constants::*;
use spared_netlink::{put, put_nested, put_text};

/// Ports of IKE, and of IKE and ESP behind NAT.
pub(super) const IKE_PORT: u16 = 500;
pub(super) const NAT_PORT: u16 = 4500;
const UDP: u8 = 17;

pub(super) fn named(names: &[(u16, &str)]) -> Vec<u8> {
    // struct nfgenmsg
    let mut payload = vec![NFPROTO_INET, 0, 0, 0];
    for (kind, name) in names {
        put_text(&mut payload, *kind, name);
    }
    payload
}

/// Encodes a filter chain at a hook (`NF_INET_*`), with its priority.
pub(super) fn base_chain(table: &str, chain: &str, hook: u32, priority: i32) -> Vec<u8> {
    let mut payload = named(&[(NFTA_CHAIN_TABLE, table), (NFTA_CHAIN_NAME, chain)]);
    put_nested(&mut payload, NFTA_CHAIN_HOOK, |out| {
        number(out, NFTA_HOOK_HOOKNUM, hook);
        put(out, NFTA_HOOK_PRIORITY, &priority.to_be_bytes());
    });
    put_text(&mut payload, NFTA_CHAIN_TYPE, "filter");
    payload
}

pub(super) fn rule(table: &str, chain: &str, expressions: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut payload = named(&[(NFTA_RULE_TABLE, table), (NFTA_RULE_CHAIN, chain)]);
    put_nested(&mut payload, NFTA_RULE_EXPRESSIONS, expressions);
    payload
}

/// Names all rules of a chain, to delete them.
pub(super) fn rules(table: &str, chain: &str) -> Vec<u8> {
    named(&[(NFTA_RULE_TABLE, table), (NFTA_RULE_CHAIN, chain)])
}

/// Continues the rule if this property of the packet equals the byte.
pub(super) fn meta(out: &mut Vec<u8>, key: u32, value: u8) {
    load_meta(out, key);
    compare(out, &[value]);
}

/// Continues the rule if a packet has this mark.
pub(super) fn marked(out: &mut Vec<u8>, mark: u32) {
    load_meta(out, NFT_META_MARK);
    compare(out, &mark.to_ne_bytes());
}

fn load_meta(out: &mut Vec<u8>, key: u32) {
    expression(out, "meta", |out| {
        number(out, NFTA_META_DREG, NFT_REG_1);
        number(out, NFTA_META_KEY, key);
    });
}

/// Sets the packet's mark to 0.
pub(super) fn unmark(out: &mut Vec<u8>) {
    expression(out, "immediate", |out| {
        number(out, NFTA_IMMEDIATE_DREG, NFT_REG_1);
        value(out, NFTA_IMMEDIATE_DATA, &[0; 4]);
    });
    expression(out, "meta", |out| {
        number(out, NFTA_META_KEY, NFT_META_MARK);
        number(out, NFTA_META_SREG, NFT_REG_1);
    });
}

/// Continues the rule if a packet has these bytes at this offset.
pub(super) fn payload(out: &mut Vec<u8>, base: u32, offset: u32, value: &[u8]) {
    load(out, base, offset, value.len());
    compare(out, value);
}

/// Continues the rule if the packet is UDP from this port.
pub(super) fn udp_from(out: &mut Vec<u8>, port: u16) {
    udp_between(out, true, port);
}

/// Continues the rule if the packet is UDP from this port, or to it.
pub(super) fn udp_between(out: &mut Vec<u8>, is_from: bool, port: u16) {
    let offset = if is_from { 0 } else { 2 };
    meta(out, NFT_META_L4PROTO, UDP);
    payload(
        out,
        NFT_PAYLOAD_TRANSPORT_HEADER,
        offset,
        &port.to_be_bytes(),
    );
}

pub(super) fn load(out: &mut Vec<u8>, base: u32, offset: u32, length: usize) {
    expression(out, "payload", |out| {
        number(out, NFTA_PAYLOAD_DREG, NFT_REG_1);
        number(out, NFTA_PAYLOAD_BASE, base);
        number(out, NFTA_PAYLOAD_OFFSET, offset);
        number(out, NFTA_PAYLOAD_LEN, length as u32);
    });
}

pub(super) fn bitwise_and(out: &mut Vec<u8>, mask: &[u8]) {
    expression(out, "bitwise", |out| {
        number(out, NFTA_BITWISE_SREG, NFT_REG_1);
        number(out, NFTA_BITWISE_DREG, NFT_REG_1);
        number(out, NFTA_BITWISE_LEN, mask.len() as u32);
        value(out, NFTA_BITWISE_MASK, mask);
        value(out, NFTA_BITWISE_XOR, &vec![0; mask.len()]);
    });
}

pub(super) fn compare(out: &mut Vec<u8>, bytes: &[u8]) {
    compare_by(out, NFT_CMP_EQ, bytes);
}

fn compare_by(out: &mut Vec<u8>, operator: u32, bytes: &[u8]) {
    expression(out, "cmp", |out| {
        number(out, NFTA_CMP_SREG, NFT_REG_1);
        number(out, NFTA_CMP_OP, operator);
        value(out, NFTA_CMP_DATA, bytes);
    });
}

/// Continues the rule if the packet was sent by a program of another user than these.
pub(super) fn sent_by_others_than(out: &mut Vec<u8>, users: &[u32]) {
    for user in users {
        load_meta(out, NFT_META_SKUID);
        compare_by(out, NFT_CMP_NEQ, &user.to_ne_bytes());
    }
}

/// Continues the rule if the socket that gets the packet has another mark.
pub(super) fn for_unmarked_socket(out: &mut Vec<u8>, mark: u32) {
    expression(out, "socket", |out| {
        number(out, NFTA_SOCKET_KEY, NFT_SOCKET_MARK);
        number(out, NFTA_SOCKET_DREG, NFT_REG_1);
    });
    compare_by(out, NFT_CMP_NEQ, &mark.to_ne_bytes());
}

pub(super) fn verdict(out: &mut Vec<u8>, code: i32, chain: Option<&str>) {
    expression(out, "immediate", |out| {
        number(out, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
        put_nested(out, NFTA_IMMEDIATE_DATA, |out| {
            put_nested(out, NFTA_DATA_VERDICT, |out| {
                put(out, NFTA_VERDICT_CODE, &code.to_be_bytes());
                if let Some(chain) = chain {
                    put_text(out, NFTA_VERDICT_CHAIN, chain);
                }
            });
        });
    });
}

pub(super) fn expression(out: &mut Vec<u8>, name: &str, data: impl FnOnce(&mut Vec<u8>)) {
    put_nested(out, NFTA_LIST_ELEM, |out| {
        put_text(out, NFTA_EXPR_NAME, name);
        put_nested(out, NFTA_EXPR_DATA, data);
    });
}

pub(super) fn number(out: &mut Vec<u8>, kind: u16, value: u32) {
    put(out, kind, &value.to_be_bytes());
}

pub(super) fn value(out: &mut Vec<u8>, kind: u16, bytes: &[u8]) {
    put_nested(out, kind, |out| put(out, NFTA_DATA_VALUE, bytes));
}

/// Continues the rule if the loaded bytes are in a set.
pub(super) fn lookup(out: &mut Vec<u8>, set: &str) {
    expression(out, "lookup", |out| {
        put_text(out, NFTA_LOOKUP_SET, set);
        number(out, NFTA_LOOKUP_SREG, NFT_REG_1);
    });
}

/// Continues the rule if the packet's destination is not an address of this node, and no multicast
/// or broadcast address.
pub(super) fn match_forwarded(out: &mut Vec<u8>) {
    expression(out, "fib", |out| {
        number(out, NFTA_FIB_DREG, NFT_REG_1);
        number(out, NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
        number(out, NFTA_FIB_FLAGS, NFTA_FIB_F_DADDR);
    });
    compare(out, &RTN_UNICAST.to_ne_bytes());
}

/// Sends packets to a queue of user space, or accepts them if no program reads it.
pub(super) fn enqueue(out: &mut Vec<u8>, queue: u16) {
    expression(out, "queue", |out| {
        put(out, NFTA_QUEUE_NUM, &queue.to_be_bytes());
        put(out, NFTA_QUEUE_TOTAL, &1u16.to_be_bytes());
        put(out, NFTA_QUEUE_FLAGS, &NFT_QUEUE_FLAG_BYPASS.to_be_bytes());
    });
}
