//! Builds classic BPF programs for the sockets that workers get.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};

use spared_netlink::Ends;
use spared_netlink::bpf::*;

const ANCILLARY: u32 = (-0x1000i32) as u32;
const PROTOCOL: u32 = ANCILLARY;
const PACKET_TYPE: u32 = ANCILLARY + 4;
const VLAN_TAG_PRESENT: u32 = ANCILLARY + 48;
const OTHER_HOST: u32 = 3;
const UDP: u32 = 17;
/// Mask of the flag "more fragments" and the fragment offset.
const FRAGMENT: u32 = 0x3fff;
/// Source and destination port of a heartbeat: 3780.
const HEARTBEAT_PORTS: u32 = 0x0ec4_0ec4;

/// A virtual router whose adverts are accepted on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Admitted {
    pub ipv6: bool,
    pub vrid: u8,
    /// True if routers may forward its adverts, with any TTL.
    pub routed: bool,
}

/// Builds a filter that accepts adverts of the admitted virtual routers: protocol 112; TTL 255, or
/// any for a routed one; not tagged, not for another station, and not from the MAC address of this
/// interface. An advert with a broken header passes, as its VRID cannot be read: the elector counts
/// it.
pub fn vrrp_filter(own_mac: [u8; 6], admitted: &[Admitted]) -> Vec<Instruction> {
    let [a, b, c, d, e, f] = own_mac;
    let (ipv4, ipv6) = (ipv4_adverts(admitted), ipv6_adverts(admitted));
    let mut program = vec![
        (LOAD_BYTE, 0, 0, PACKET_TYPE),
        (JUMP_EQUAL, 0, 1, OTHER_HOST),
        DROP,
        (LOAD_BYTE, 0, 0, VLAN_TAG_PRESENT),
        (JUMP_EQUAL, 1, 0, 0),
        DROP,
        (LOAD_WORD, 0, 0, 6),
        (JUMP_EQUAL, 0, 3, u32::from_be_bytes([a, b, c, d])),
        (LOAD_HALF, 0, 0, 10),
        (JUMP_EQUAL, 0, 1, u32::from_be_bytes([0, 0, e, f])),
        DROP,
        (LOAD_HALF, 0, 0, 12),
        (JUMP_EQUAL, 0, 1, 0x0800),
        jump_over(3),
        (JUMP_EQUAL, 0, 1, 0x86dd),
        jump_over(1 + ipv4.len()),
        DROP,
    ];
    program.extend(ipv4);
    program.extend(ipv6);
    program
}

fn ipv4_adverts(admitted: &[Admitted]) -> Vec<Instruction> {
    const FRAGMENT_OFFSET: u32 = 0x1fff;
    let vrid = (LOAD_BYTE_AT_X, 0, 0, 15);
    let mut program = vec![
        (LOAD_BYTE, 0, 0, 23),
        (JUMP_EQUAL, 1, 0, 112),
        DROP,
        // version 4 and a header of 20 bytes or more
        (LOAD_BYTE, 0, 0, 14),
        (JUMP_AT_LEAST, 1, 0, 0x45),
        ACCEPT,
        (JUMP_AT_LEAST, 0, 1, 0x50),
        ACCEPT,
        (LOAD_HALF, 0, 0, 20),
        (JUMP_ANY_BIT, 0, 1, FRAGMENT_OFFSET),
        ACCEPT,
        (LOAD_X_HEADER_LENGTH, 0, 0, 14),
        (LOAD_BYTE, 0, 0, 22),
    ];
    program.extend(by_hops(vrid, admitted.iter().filter(|one| !one.ipv6)));
    program
}

fn ipv6_adverts(admitted: &[Admitted]) -> Vec<Instruction> {
    let vrid = (LOAD_BYTE, 0, 0, 55);
    let mut program = vec![
        (LOAD_BYTE, 0, 0, 20),
        (JUMP_EQUAL, 1, 0, 112),
        DROP,
        (LOAD_BYTE, 0, 0, 14),
        (JUMP_AT_LEAST, 1, 0, 0x60),
        ACCEPT,
        (JUMP_AT_LEAST, 0, 1, 0x70),
        ACCEPT,
        (LOAD_BYTE, 0, 0, 21),
    ];
    program.extend(by_hops(vrid, admitted.iter().filter(|one| one.ipv6)));
    program
}

// Passes all admitted VRIDs if the loaded TTL is 255, otherwise only the routed ones.
fn by_hops<'a>(
    vrid: Instruction,
    admitted: impl Iterator<Item = &'a Admitted> + Clone,
) -> Vec<Instruction> {
    let routed = among(vrid, admitted.clone().filter(|one| one.routed));
    let mut program = vec![(JUMP_EQUAL, 0, 1, 255), jump_over(routed.len())];
    program.extend(routed);
    program.extend(among(vrid, admitted));
    program
}

// Passes the admitted VRIDs. They are compared as ranges, as they are often consecutive.
fn among<'a>(vrid: Instruction, admitted: impl Iterator<Item = &'a Admitted>) -> Vec<Instruction> {
    let vrids: BTreeSet<u32> = admitted.map(|one| one.vrid.into()).collect();
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for vrid in vrids {
        match ranges.last_mut() {
            Some((_, end)) if *end == vrid => *end += 1,
            _ => ranges.push((vrid, vrid + 1)),
        }
    }
    let mut program = vec![vrid];
    for (first, end) in ranges {
        program.extend([
            (JUMP_AT_LEAST, 0, 2, first),
            (JUMP_AT_LEAST, 1, 0, end),
            ACCEPT,
        ]);
    }
    program.push(DROP);
    program
}

// Jumps over any number of instructions. A conditional jump reaches only 255.
fn jump_over(count: usize) -> Instruction {
    (JUMP, 0, 0, u32::try_from(count).unwrap_or(u32::MAX))
}

// Filter that accepts UDP from and to the port of the heartbeats: IPv4 without options and
// fragments, or IPv6; not tagged and not for another station.
pub const NETWORK_HEARTBEAT_FILTER: [Instruction; 21] = [
    (LOAD_BYTE, 0, 0, PACKET_TYPE),
    (JUMP_EQUAL, 18, 0, OTHER_HOST),
    (LOAD_BYTE, 0, 0, VLAN_TAG_PRESENT),
    (JUMP_EQUAL, 0, 16, 0),
    (LOAD_HALF, 0, 0, 12),
    (JUMP_EQUAL, 0, 8, 0x0800),
    (LOAD_BYTE, 0, 0, 14),
    (JUMP_EQUAL, 0, 12, 0x45),
    (LOAD_HALF, 0, 0, 20),
    (JUMP_ANY_BIT, 10, 0, FRAGMENT),
    (LOAD_BYTE, 0, 0, 23),
    (JUMP_EQUAL, 0, 8, UDP),
    (LOAD_WORD, 0, 0, 34),
    (JUMP_EQUAL, 5, 6, HEARTBEAT_PORTS),
    (JUMP_EQUAL, 0, 5, 0x86dd),
    (LOAD_BYTE, 0, 0, 20),
    (JUMP_EQUAL, 0, 3, UDP),
    (LOAD_WORD, 0, 0, 54),
    (JUMP_EQUAL, 0, 1, HEARTBEAT_PORTS),
    ACCEPT,
    DROP,
];

// Filter that accepts ARP, and ICMPv6 types 133 (router solicitation) to 137 (redirect); not
// tagged.
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
    ACCEPT,
    DROP,
];

/// Condition that a packet must meet.
struct Step {
    load: Vec<Instruction>,
    /// Code and operand of the jump; true if the packet goes on when the jump is taken.
    test: (u16, u32, bool),
}

/// Builds a filter that accepts UDP from the peer's end of a link to ours: unfragmented, not
/// tagged, not for another station. The packet begins with its IP header.
pub fn heartbeat_filter(ends: Ends) -> Vec<Instruction> {
    let mut steps = vec![
        Step {
            load: vec![(LOAD_BYTE, 0, 0, PACKET_TYPE)],
            test: (JUMP_EQUAL, OTHER_HOST, false),
        },
        equal(LOAD_BYTE, VLAN_TAG_PRESENT, 0),
    ];
    match (ends.peer, ends.own) {
        (IpAddr::V4(peer), IpAddr::V4(own)) => {
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
                    load: vec![(LOAD_X_HEADER_LENGTH, 0, 0, 0), (LOAD_HALF_AT_X, 0, 0, 0)],
                    test: (JUMP_EQUAL, ends.port.into(), true),
                },
                equal(LOAD_HALF_AT_X, 2, ends.port.into()),
            ]);
        }
        (IpAddr::V6(peer), IpAddr::V6(own)) => {
            // Extension headers, such as that of a fragment, are not skipped.
            steps.extend([equal(LOAD_HALF, PROTOCOL, 0x86dd), equal(LOAD_BYTE, 6, UDP)]);
            steps.extend(words(8, peer));
            steps.extend(words(24, own));
            steps.extend([
                equal(LOAD_HALF, 40, ends.port.into()),
                equal(LOAD_HALF, 42, ends.port.into()),
            ]);
        }
        // No configuration has a link with two families.
        _ => return vec![DROP],
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
        // The cast keeps the lowest 32 bits.
        let value = (bits >> (96 - 32 * word)) as u32;
        equal(LOAD_WORD, offset + 4 * word, value)
    })
}

// Joins the steps. A packet that fails one jumps behind all others.
fn assemble(steps: &[Step]) -> Vec<Instruction> {
    let length: usize = steps.iter().map(|step| step.load.len() + 1).sum();
    let mut program = Vec::with_capacity(length + 2);
    for Step { load, test } in steps {
        program.extend_from_slice(load);
        // The jump fits: there are few steps of few instructions.
        let away = u8::try_from(length - program.len()).unwrap_or(u8::MAX);
        let (code, operand, goes_on) = *test;
        let (taken, missed) = if goes_on { (0, away) } else { (away, 0) };
        program.push((code, taken, missed, operand));
    }
    program.extend([ACCEPT, DROP]);
    program
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const PEER: [u8; 6] = [2, 0, 0, 0, 0, 2];

    /// Returns true if a program passes a frame that is not tagged and not for another station.
    fn passes(program: &[Instruction], frame: &[u8]) -> bool {
        let load = |at: usize, count: usize| {
            let bytes = frame.get(at..at + count)?;
            Some(
                bytes
                    .iter()
                    .fold(0, |sum, byte| sum << 8 | u32::from(*byte)),
            )
        };
        let (mut a, mut x, mut at) = (0_u32, 0_usize, 0);
        loop {
            let (code, taken, missed, k) = program[at];
            let place = k as usize;
            at += 1;
            let loaded = match code {
                LOAD_BYTE if k >= ANCILLARY => Some(0),
                LOAD_WORD => load(place, 4),
                LOAD_HALF => load(place, 2),
                LOAD_BYTE => load(place, 1),
                LOAD_BYTE_AT_X => load(x + place, 1),
                _ => Some(a),
            };
            let Some(value) = loaded else { return false };
            a = value;
            let holds = match code {
                LOAD_X_HEADER_LENGTH => {
                    x = usize::from(frame[place] & 0x0f) * 4;
                    continue;
                }
                JUMP => {
                    at += place;
                    continue;
                }
                RETURN => return k != 0,
                JUMP_EQUAL => a == k,
                JUMP_AT_LEAST => a >= k,
                JUMP_ANY_BIT => a & k != 0,
                _ => continue,
            };
            at += usize::from(if holds { taken } else { missed });
        }
    }

    fn frame(ipv6: bool, source: [u8; 6], ttl: u8, vrid: u8) -> Vec<u8> {
        let mut frame = [&[1, 0, 0x5e, 0, 0, 18][..], &source].concat();
        if ipv6 {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 24, 112, ttl]);
            frame.extend([0; 32]);
        } else {
            frame.extend([8, 0, 0x45, 0, 0, 32, 0, 0, 0, 0, ttl, 112]);
            frame.extend([0; 10]);
        }
        frame.extend([0x31, vrid, 100, 1]);
        frame
    }

    fn admit(ipv6: bool, vrids: impl IntoIterator<Item = u8>) -> Vec<Admitted> {
        let one = |vrid| Admitted {
            ipv6,
            vrid,
            routed: false,
        };
        vrids.into_iter().map(one).collect()
    }

    #[test]
    fn the_routers_of_each_family_pass_and_no_others() {
        for vrids in [vec![], vec![51], vec![1, 2, 3, 9, 255], (1..=255).collect()] {
            let scattered: Vec<u8> = (1..=255).step_by(2).collect();
            let both = [admit(false, vrids.clone()), admit(true, scattered)].concat();
            let program = vrrp_filter(OWN, &both);
            assert!(program.len() <= 4096, "{}", program.len());
            for vrid in 0..=255 {
                let v4 = passes(&program, &frame(false, PEER, 255, vrid));
                assert_eq!(v4, vrids.contains(&vrid), "{vrid} of {vrids:?}");
                let v6 = passes(&program, &frame(true, PEER, 255, vrid));
                assert_eq!(v6, vrid % 2 == 1, "{vrid}");
            }
        }
    }

    #[test]
    fn another_ttl_passes_for_a_routed_router_alone() {
        for ipv6 in [false, true] {
            let mut admitted = admit(ipv6, [7, 8]);
            admitted[1].routed = true;
            let program = vrrp_filter(OWN, &admitted);
            for (ttl, vrid, expected) in [
                (255, 7, true),
                (255, 8, true),
                (254, 7, false),
                (254, 8, true),
                (254, 9, false),
            ] {
                let found = passes(&program, &frame(ipv6, PEER, ttl, vrid));
                assert_eq!(found, expected, "ttl {ttl}, vrid {vrid}");
            }
        }
    }

    #[test]
    fn own_frames_and_other_protocols_are_dropped_and_broken_headers_are_left_to_the_elector() {
        let program = vrrp_filter(OWN, &admit(false, [7]));
        assert!(!passes(&program, &frame(false, OWN, 255, 7)));
        let with = |at: usize, value: u8| {
            let mut frame = frame(false, PEER, 255, 9);
            frame[at] = value;
            passes(&program, &frame)
        };
        assert!(!with(23, 17));
        assert!(!with(13, 6));
        assert!(!with(14, 0x4f));
        for (at, value) in [(14, 0x55), (14, 0x44), (14, 0x40), (21, 1), (20, 1)] {
            assert!(with(at, value), "byte {at} is {value}");
        }
        // options change the offset of the message
        let mut options = frame(false, PEER, 255, 7);
        options[14] = 0x46;
        options.splice(34..34, [1, 1, 1, 1]);
        assert!(passes(&program, &options));
        options[39] = 9;
        assert!(!passes(&program, &options));
    }
}
