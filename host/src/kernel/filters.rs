//! Classic BPF programs of the sockets that are handed out.

use std::net::{IpAddr, Ipv6Addr};

use spared_netlink::{Ends, Instruction};

const LOAD_WORD: u16 = 0x20;
const LOAD_BYTE: u16 = 0x30;
const LOAD_HALF: u16 = 0x28;
/// The same behind the header whose length [`LOAD_HEADER_LENGTH`] found.
const LOAD_HALF_BEHIND: u16 = 0x48;
const LOAD_HEADER_LENGTH: u16 = 0xb1;
const JUMP_ANY_BIT: u16 = 0x45;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_AT_LEAST: u16 = 0x35;
const RETURN: u16 = 0x06;
const ANCILLARY: u32 = (-0x1000i32) as u32;
const PROTOCOL: u32 = ANCILLARY;
const PACKET_TYPE: u32 = ANCILLARY + 4;
const VLAN_TAG_PRESENT: u32 = ANCILLARY + 48;
const OTHER_HOST: u32 = 3;
const ALL: u32 = u32::MAX;

// IPv4 protocol 112 and IPv6 next header 112; neither tagged, nor another station's.
pub const VRRP_FILTER: [Instruction; 13] = [
    (LOAD_BYTE, 0, 0, PACKET_TYPE),
    (JUMP_EQUAL, 10, 0, OTHER_HOST),
    (LOAD_BYTE, 0, 0, VLAN_TAG_PRESENT),
    (JUMP_EQUAL, 0, 8, 0),
    (LOAD_HALF, 0, 0, 12),
    (JUMP_EQUAL, 0, 2, 0x0800),
    (LOAD_BYTE, 0, 0, 23),
    (JUMP_EQUAL, 3, 4, 112),
    (JUMP_EQUAL, 0, 3, 0x86dd),
    (LOAD_BYTE, 0, 0, 20),
    (JUMP_EQUAL, 0, 1, 112),
    (RETURN, 0, 0, ALL),
    (RETURN, 0, 0, 0),
];

// ARP, and ICMPv6 types 133 (router solicitation) to 137 (redirect); not tagged.
pub const STATION_FILTER: [Instruction; 12] = [
    (LOAD_BYTE, 0, 0, VLAN_TAG_PRESENT),
    (JUMP_EQUAL, 0, 9, 0),
    (LOAD_HALF, 0, 0, 12),
    (JUMP_EQUAL, 6, 0, 0x0806),
    (JUMP_EQUAL, 0, 6, 0x86dd),
    (LOAD_BYTE, 0, 0, 20),
    (JUMP_EQUAL, 0, 4, 58),
    (LOAD_BYTE, 0, 0, 54),
    (JUMP_AT_LEAST, 2, 0, 138),
    (JUMP_AT_LEAST, 0, 1, 133),
    (RETURN, 0, 0, ALL),
    (RETURN, 0, 0, 0),
];

/// One thing that a packet must be.
struct Step {
    load: Vec<Instruction>,
    /// Code and operand of the jump, and whether the packet goes on when it is taken.
    test: (u16, u32, bool),
}

/// UDP from the peer's end of a link to ours, whole, neither tagged nor another station's. The
/// packet begins with its IP header.
pub fn beat_filter(ends: Ends) -> Vec<Instruction> {
    const UDP: u32 = 17;
    let mut steps = vec![
        Step {
            load: vec![(LOAD_BYTE, 0, 0, PACKET_TYPE)],
            test: (JUMP_EQUAL, OTHER_HOST, false),
        },
        equal(LOAD_BYTE, VLAN_TAG_PRESENT, 0),
    ];
    match (ends.peer, ends.own) {
        (IpAddr::V4(peer), IpAddr::V4(own)) => {
            const FRAGMENT: u32 = 0x3fff;
            steps.extend([
                equal(LOAD_HALF, PROTOCOL, 0x0800),
                equal(LOAD_BYTE, 9, UDP),
                Step {
                    load: vec![(LOAD_HALF, 0, 0, 6)],
                    test: (JUMP_ANY_BIT, FRAGMENT, false),
                },
                equal(LOAD_WORD, 12, peer.into()),
                equal(LOAD_WORD, 16, own.into()),
                Step {
                    load: vec![(LOAD_HEADER_LENGTH, 0, 0, 0), (LOAD_HALF_BEHIND, 0, 0, 0)],
                    test: (JUMP_EQUAL, ends.port.into(), true),
                },
                equal(LOAD_HALF_BEHIND, 2, ends.port.into()),
            ]);
        }
        (IpAddr::V6(peer), IpAddr::V6(own)) => {
            // Extension headers, a fragment's among them, are not passed over.
            steps.extend([equal(LOAD_HALF, PROTOCOL, 0x86dd), equal(LOAD_BYTE, 6, UDP)]);
            steps.extend(words(8, peer));
            steps.extend(words(24, own));
            steps.extend([
                equal(LOAD_HALF, 40, ends.port.into()),
                equal(LOAD_HALF, 42, ends.port.into()),
            ]);
        }
        // The configuration has no such link.
        _ => return vec![(RETURN, 0, 0, 0)],
    }
    assemble(&steps)
}

fn equal(load: u16, offset: u32, value: u32) -> Step {
    Step {
        load: vec![(load, 0, 0, offset)],
        test: (JUMP_EQUAL, value, true),
    }
}

fn words(offset: u32, address: Ipv6Addr) -> impl Iterator<Item = Step> {
    let bits = u128::from(address);
    (0..4u32).map(move |word| {
        // The lowest 32 bits of what is left.
        let value = (bits >> (96 - 32 * word)) as u32;
        equal(LOAD_WORD, offset + 4 * word, value)
    })
}

// Whoever fails a step jumps behind all others.
fn assemble(steps: &[Step]) -> Vec<Instruction> {
    let length: usize = steps.iter().map(|step| step.load.len() + 1).sum();
    let mut program = Vec::with_capacity(length + 2);
    for Step { load, test } in steps {
        program.extend_from_slice(load);
        // A step is a few instructions, and there are a few steps.
        let away = u8::try_from(length - program.len()).unwrap_or(u8::MAX);
        let (code, operand, goes_on) = *test;
        let (taken, missed) = if goes_on { (0, away) } else { (away, 0) };
        program.push((code, taken, missed, operand));
    }
    program.extend([(RETURN, 0, 0, ALL), (RETURN, 0, 0, 0)]);
    program
}
