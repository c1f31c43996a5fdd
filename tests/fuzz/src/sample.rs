//! Messages of others, and of the programs themselves, that several targets begin with.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use spared_netlink::put;
use spared_packet::checksum::checksum;
use spared_vrrp::wire::Family;
use spared_vrrp::wire::frame::{emit_frame, emit_packet};
use spared_vrrp::wire::heartbeat::{
    Ack, Heartbeat, HeartbeatPort, HeartbeatRole, Identity, Rating, TAG_LEN, emit_group,
    emit_header, group_id, network_path, set_ack, set_parts,
};
use spared_vrrp::wire::vrrp::{ChecksumForm, Repr, Version};

/// Adverts of keepalived 2.2.7: version 3 by multicast, by unicast, over IPv6, and version 2.
pub(crate) const KEEPALIVED: [&str; 4] = [
    "0100 5e00 0012  0200 0000 000a  0800
     45c0 0024 0001 0000 ff70 1894 c000 0202 e000 0012
     3132 c802 000a e01f  c000 0201 c000 0209",
    "0200 0000 000b  0200 0000 000a  0800
     45c0 0020 0001 0000 ff70 365d c000 0202 c000 024d
     3134 9601 000a f1ee  c000 0204",
    "3333 0000 0012  0200 0000 000a  86dd
     6c05 5d35 0028 70ff  fe80 0000 0000 0000 0000 00ff fe00 000a
                          ff02 0000 0000 0000 0000 0000 0000 0012
     3132 c802 000a dd4c  fe80 0000 0000 0000 0000 0000 0000 0001
                          2001 0db8 0000 0000 0000 0000 0000 0001",
    "0100 5e00 0012  0200 0000 000a  0800
     45c0 0028 0001 0000 ff70 1890 c000 0202 e000 0012
     2133 6401 0001 b8c6  c000 0203  0000 0000 0000 0000",
];

/// Bytes of spaced hex.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| spared_sdk::hex::byte(pair).unwrap_or_default();
    digits.chunks(2).map(byte).collect()
}

/// A packet from 192.0.2.2 to 192.0.2.1.
pub(crate) fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = hex("4500 0000 0001 0000 ff00 0000 c000 0202 c000 0201");
    packet[2..4].copy_from_slice(&(20 + payload.len() as u16).to_be_bytes());
    packet[9] = protocol;
    let sum = checksum(&packet).to_be_bytes();
    packet[10..12].copy_from_slice(&sum);
    packet.extend(payload);
    packet
}

/// A packet from ::1 to ::1.
pub(crate) fn ipv6(next_header: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((payload.len() as u16).to_be_bytes());
    packet.extend([next_header, 255]);
    packet.extend(Ipv6Addr::LOCALHOST.octets().repeat(2));
    packet.extend(payload);
    packet
}

/// Adverts of both families and versions, by multicast and to one peer.
pub(crate) fn adverts() -> Vec<Vec<u8>> {
    let v4 = [IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 9])];
    let link_local = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
    let v6 = [
        IpAddr::V6(link_local),
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
    ];
    let mut frames = Vec::new();
    for (version, addresses) in [(Version::V3, &v4), (Version::V2, &v4), (Version::V3, &v6)] {
        for priority in [0, 100, 255] {
            let repr = Repr {
                version,
                family: Family::of(addresses[0]),
                vrid: 50,
                priority,
                interval_ns: 1_000_000_000,
                addresses,
                form: ChecksumForm::PseudoHeader,
                password: None,
            };
            let source = match addresses[0] {
                IpAddr::V4(_) => Ipv4Addr::new(192, 0, 2, 3).into(),
                IpAddr::V6(_) => Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 3).into(),
            };
            let mut frame = Vec::new();
            emit_frame([2, 0, 0, 0, 0, 3], source, &repr, &mut frame);
            frames.push(std::mem::take(&mut frame));
            emit_packet(source, addresses[1], &repr, &mut frame);
            frames.push([&[2; 12][..], &[8, 0], &frame].concat());
        }
    }
    frames
}

/// A heartbeat of one part, of a group with ports, to the run 1; without its tag's bytes.
pub(crate) fn part(run: u64, group: &str, ports: &[&str]) -> Vec<u8> {
    let port = |name: &&str| HeartbeatPort {
        network: network_path(&[name]),
        usable: true,
        hears: true,
        rating: Rating::Unknown,
        sends: false,
        identity: Identity::Unknown,
    };
    let heartbeat = Heartbeat {
        group: group_id(group),
        role: HeartbeatRole::Active,
        class: 2,
        quality: 63,
        priority: 176,
        preferred: true,
        ready: true,
        hears: true,
        advert_interval_ns: 100_000_000,
        term: 9,
        ports: ports.iter().map(port).collect(),
        ..Heartbeat::with_room()
    };
    let mut out = Vec::new();
    emit_header(run, 42, 0, &mut out);
    set_parts(&mut out, 1);
    set_ack(
        &mut out,
        Ack {
            run: 1,
            number: 7,
            is_second: false,
        },
    );
    emit_group(&heartbeat, &mut out);
    out.extend([0; TAG_LEN]);
    out
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// XFRM_MSG_NEWSA of 203.0.113.9 -> 192.0.2.7 with AES-GCM, 64-bit numbers and a mark.
pub(crate) fn sa() -> Vec<u8> {
    let mut bytes = vec![0; 224];
    // struct xfrm_usersa_info: id, source, lifetimes in use, request, family, mode
    bytes[56..60].copy_from_slice(&[192, 0, 2, 7]);
    bytes[72..76].copy_from_slice(&0xc000_0001_u32.to_be_bytes());
    bytes[76] = 50;
    bytes[80..84].copy_from_slice(&[203, 0, 113, 9]);
    bytes[208..212].copy_from_slice(&5_u32.to_ne_bytes());
    bytes[212..214].copy_from_slice(&2_u16.to_ne_bytes());
    bytes[214] = 1;
    let mut aead = b"rfc4106(gcm(aes))".to_vec();
    aead.resize(64, 0);
    aead.extend(words(&[160, 128]));
    aead.extend([0xaa; 20]);
    for (kind, value) in [
        (18, aead),
        (21, words(&[7, 0xff])),
        (23, words(&[2, 100, 90, 1, 2, 64, 0xf, 0xf0])),
        (11, words(&[32])),
    ] {
        put(&mut bytes, kind, &value);
    }
    bytes
}

/// XFRM_MSG_NEWPOLICY outwards from 10.1.0.0/16 to 10.2.0.0/16, with a template and a mark.
pub(crate) fn policy() -> Vec<u8> {
    let mut bytes = vec![0; 168];
    // struct xfrm_userpolicy_info: selector, lifetimes, priority, index, direction
    bytes[0..4].copy_from_slice(&[10, 2, 0, 0]);
    bytes[16..20].copy_from_slice(&[10, 1, 0, 0]);
    bytes[40..42].copy_from_slice(&2_u16.to_ne_bytes());
    bytes[42..44].copy_from_slice(&[16, 16]);
    bytes[152..156].copy_from_slice(&1000_u32.to_ne_bytes());
    bytes[160] = 1;
    let mut template = vec![0; 64];
    template[0..4].copy_from_slice(&[203, 0, 113, 9]);
    template[20] = 50;
    template[24..26].copy_from_slice(&2_u16.to_ne_bytes());
    template[28..32].copy_from_slice(&[192, 0, 2, 7]);
    template[44..48].copy_from_slice(&5_u32.to_ne_bytes());
    template[48] = 1;
    template[52..64].fill(0xff);
    put(&mut bytes, 5, &template);
    put(&mut bytes, 21, &words(&[7, 0xff]));
    bytes
}
