//! The frames that announce an address: gratuitous ARP and unsolicited neighbour advertisement.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The announcement of an address that `mac` has.
pub fn announcement(address: IpAddr, mac: [u8; 6]) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => gratuitous_arp(address, mac),
        IpAddr::V6(address) => neighbour_advertisement(address, mac),
    }
}

// RFC 9568 §6.4.1 with errata 7947: sender and target are the address, the target's hardware
// address is the one that is announced.
fn gratuitous_arp(address: Ipv4Addr, mac: [u8; 6]) -> Vec<u8> {
    const REQUEST: [u8; 8] = [0, 1, 0x08, 0x00, 6, 4, 0, 1];
    let address = address.octets();
    [
        &[0xff; 6][..],
        &mac,
        &[0x08, 0x06],
        &REQUEST,
        &mac,
        &address,
        &mac,
        &address,
    ]
    .concat()
}

// RFC 4861 §4.4: Router and Override, not Solicited, with the target's link-layer address.
fn neighbour_advertisement(address: Ipv6Addr, mac: [u8; 6]) -> Vec<u8> {
    const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    const ALL_NODES_MAC: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];
    const ROUTER_AND_OVERRIDE: [u8; 4] = [0xa0, 0, 0, 0];
    let mut message = vec![136, 0, 0, 0];
    message.extend(ROUTER_AND_OVERRIDE);
    message.extend(address.octets());
    message.extend([2, 1]);
    message.extend(mac);
    let sum = checksum(address, ALL_NODES, &message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());

    let mut frame = [&ALL_NODES_MAC[..], &mac, &[0x86, 0xdd]].concat();
    frame.extend([0x60, 0, 0, 0]);
    frame.extend((message.len() as u16).to_be_bytes());
    frame.extend([58, 255]);
    frame.extend(address.octets());
    frame.extend(ALL_NODES.octets());
    frame.extend(message);
    frame
}

// RFC 4443 §2.3.
fn checksum(source: Ipv6Addr, destination: Ipv6Addr, message: &[u8]) -> u16 {
    let length = (message.len() as u32).to_be_bytes();
    let parts: [&[u8]; 5] = [
        &source.octets(),
        &destination.octets(),
        &length,
        &[0, 0, 0, 58],
        message,
    ];
    let mut sum = 0u32;
    for pair in parts.concat().chunks(2) {
        sum += u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: [u8; 6] = [0, 0, 0x5e, 0, 1, 50];

    #[test]
    fn a_gratuitous_arp_has_these_bytes() {
        let frame = announcement("192.168.200.1".parse().unwrap(), MAC);
        let golden = "ff ff ff ff ff ff 00 00 5e 00 01 32 08 06 \
                      00 01 08 00 06 04 00 01 \
                      00 00 5e 00 01 32 c0 a8 c8 01 \
                      00 00 5e 00 01 32 c0 a8 c8 01";
        assert_eq!(hex(&frame), golden);
    }

    #[test]
    fn a_neighbour_advertisement_has_these_bytes_and_its_checksum_folds_to_zero() {
        let address: Ipv6Addr = "fe80::1".parse().unwrap();
        let frame = announcement(address.into(), MAC);
        assert_eq!(
            hex(&frame[..22]),
            "33 33 00 00 00 01 00 00 5e 00 01 32 86 dd 60 00 00 00 00 20 3a ff"
        );
        assert_eq!(hex(&frame[54..56]), "88 00");
        assert_eq!(hex(&frame[58..62]), "a0 00 00 00");
        assert_eq!(hex(&frame[78..]), "02 01 00 00 5e 00 01 32");
        let all_nodes = "ff02::1".parse().unwrap();
        assert_eq!(checksum(address, all_nodes, &frame[54..]), 0);
    }

    fn hex(bytes: &[u8]) -> String {
        bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<Vec<_>>()
            .join(" ")
    }
}
