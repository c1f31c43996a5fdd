//! Steps of rules, which load a field into a register or compare a register with a value.

use std::ffi::CStr;

use spared_netlink::constants::*;

use super::LeaseKey;
use super::expression::Expression::{self, *};

// Continues if there is an Ethernet header; PPP and tunnels have none.
pub fn ethernet(device_type: u32) -> Vec<Expression> {
    const ARPHRD_ETHER: u16 = 1;
    let value = ARPHRD_ETHER.to_ne_bytes().to_vec();
    steps([meta(device_type, 0), vec![Equal { register: 0, value }]])
}

pub fn guard(map: &'static CStr, key: u32) -> Vec<Expression> {
    vec![VerdictMap { map, key }]
}

pub fn member(set: &'static CStr, key: u32) -> Vec<Expression> {
    vec![Member { set, key }]
}

pub fn not_member(set: &'static CStr, key: u32) -> Vec<Expression> {
    vec![NotMember { set, key }]
}

// Loads the key of a lease into register 0.
pub fn lease(key: LeaseKey) -> Vec<Expression> {
    let replace = Replace {
        register: 0,
        number: key.number(),
    };
    vec![
        Meta {
            key: NFT_META_MARK,
            register: 0,
        },
        replace,
    ]
}

pub const SOLICITATION: u8 = 135;
pub const ADVERTISEMENT: u8 = 136;

pub fn neighbour(kind: u8) -> Vec<Expression> {
    const ICMPV6: u8 = 58;
    let is = |value| {
        vec![Equal {
            register: 0,
            value: vec![value],
        }]
    };
    steps([
        meta(NFT_META_L4PROTO, 0),
        is(ICMPV6),
        transport(0, 1, 0),
        is(kind),
    ])
}

// Loads the target address of neighbour discovery.
pub fn target(register: u32) -> Vec<Expression> {
    transport(8, 16, register)
}

pub fn protocol(ether_type: u16) -> Vec<Expression> {
    let mut steps = meta(NFT_META_PROTOCOL, 0);
    steps.push(Equal {
        register: 0,
        value: ether_type.to_be_bytes().to_vec(),
    });
    steps
}

pub fn meta(key: u32, register: u32) -> Vec<Expression> {
    vec![Meta { key, register }]
}

pub fn network(offset: u32, length: u32, register: u32) -> Vec<Expression> {
    vec![Payload {
        base: NFT_PAYLOAD_NETWORK_HEADER,
        offset,
        length,
        register,
    }]
}

pub fn transport(offset: u32, length: u32, register: u32) -> Vec<Expression> {
    vec![Payload {
        base: NFT_PAYLOAD_TRANSPORT_HEADER,
        offset,
        length,
        register,
    }]
}

pub fn link_layer(offset: u32, length: u32, register: u32) -> Vec<Expression> {
    vec![Payload {
        base: NFT_PAYLOAD_LL_HEADER,
        offset,
        length,
        register,
    }]
}

pub fn steps<const N: usize>(parts: [Vec<Expression>; N]) -> Vec<Expression> {
    parts.concat()
}
