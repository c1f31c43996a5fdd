//! Builds the frames that announce an address: gratuitous ARP and unsolicited neighbour
//! advertisement.

use std::net::IpAddr;

use spared_packet::{Mac, arp, ethernet, ndisc};

/// Builds a frame which announces that `mac` has an address.
pub fn announcement(address: IpAddr, mac: Mac) -> Vec<u8> {
    let mut frame = Vec::new();
    match address {
        IpAddr::V4(address) => {
            let header = ethernet::Repr {
                destination: ethernet::BROADCAST,
                source: mac,
                ethertype: ethernet::ARP,
            };
            header.emit(&mut frame);
            // RFC 9568 section 6.4.1 with errata 7947: sender and target are the address, the
            // target's hardware address is the one that is announced
            let request = arp::Request {
                sender_mac: mac,
                sender: address,
                target_mac: mac,
                target: address,
            };
            request.emit(&mut frame);
        }
        IpAddr::V6(target) => ndisc::Repr::Advertisement { target }.emit_frame(mac, &mut frame),
    }
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: Mac = [0, 0, 0x5e, 0, 1, 50];

    #[test]
    fn a_gratuitous_arp_has_these_bytes() {
        let frame = announcement("192.168.200.1".parse().unwrap(), MAC);
        let golden = [
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0x5e, 0, 1, 0x32, 8, 6, // Ethernet
            0, 1, 8, 0, 6, 4, 0, 1, // request
            0, 0, 0x5e, 0, 1, 0x32, 0xc0, 0xa8, 0xc8, 0x01, // sender
            0, 0, 0x5e, 0, 1, 0x32, 0xc0, 0xa8, 0xc8, 0x01, // target
        ];
        assert_eq!(frame, golden);
    }

    #[test]
    fn an_ipv6_address_is_announced_to_all_nodes_by_an_advertisement() {
        let frame = announcement("fe80::1".parse().unwrap(), MAC);
        assert_eq!(frame[..6], [0x33, 0x33, 0, 0, 0, 1]);
        // flags router and override, and the MAC address
        assert_eq!(frame[54..56], [136, 0]);
        assert_eq!(frame[58..62], [0xa0, 0, 0, 0]);
        assert_eq!(frame[78..], [2, 1, 0, 0, 0x5e, 0, 1, 50]);
    }
}
