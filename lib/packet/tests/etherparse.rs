//! Comparison with etherparse: it reads what this crate writes, and vice versa, for random fields. No bytes make this
//! crate panic.

#![allow(clippy::unwrap_used)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::{IpNumber, NetSlice, PacketBuilder, SlicedPacket, TransportSlice};
use proptest::collection::vec;
use proptest::prelude::*;
use spared_packet::checksum::Sum;
use spared_packet::{Mac, arp, ethernet, icmp, ipv4, ipv6, ndisc, udp};

fn ethernet_of(source: Mac, destination: Mac, ethertype: u16) -> Vec<u8> {
    let mut frame = Vec::new();
    ethernet::Repr {
        destination,
        source,
        ethertype,
    }
    .emit(&mut frame);
    frame
}

proptest! {
    #[test]
    fn our_ipv4_is_read(
        macs: (Mac, Mac), source: [u8; 4], destination: [u8; 4], hop_limit: u8, class: u8,
        payload in vec(any::<u8>(), 0..100),
    ) {
        let mut frame = ethernet_of(macs.0, macs.1, ethernet::IPV4);
        let repr = ipv4::Repr {
            source: source.into(),
            destination: destination.into(),
            protocol: 112,
            traffic_class: class,
            hop_limit,
            payload_len: payload.len(),
        };
        repr.emit(&mut frame);
        frame.extend(&payload);
        let theirs = SlicedPacket::from_ethernet(&frame).unwrap();
        let link = theirs.link.unwrap().to_header().unwrap().ethernet2().unwrap();
        prop_assert_eq!((link.source, link.destination), macs);
        let Some(NetSlice::Ipv4(ip)) = theirs.net else { panic!("no IPv4") };
        let header = ip.header().to_header();
        prop_assert_eq!(header.calc_header_checksum(), header.header_checksum);
        prop_assert_eq!((header.source, header.destination), (source, destination));
        prop_assert_eq!((header.protocol, header.time_to_live), (IpNumber(112), hop_limit));
        prop_assert_eq!(header.dscp.value() << 2 | header.ecn.value(), class);
        prop_assert!(header.dont_fragment && !ip.is_payload_fragmented());
        prop_assert_eq!(ip.payload().payload, payload);
    }

    #[test]
    fn our_ipv6_is_read(
        source: [u8; 16], destination: [u8; 16], hop_limit: u8, class: u8,
        payload in vec(any::<u8>(), 0..100),
    ) {
        let mut frame = ethernet_of([2; 6], [4; 6], ethernet::IPV6);
        let repr = ipv6::Repr {
            source: source.into(),
            destination: destination.into(),
            next_header: 112,
            traffic_class: class,
            hop_limit,
            payload_len: payload.len(),
        };
        repr.emit(&mut frame);
        frame.extend(&payload);
        let Some(NetSlice::Ipv6(ip)) = SlicedPacket::from_ethernet(&frame).unwrap().net else {
            panic!("no IPv6")
        };
        let header = ip.header().to_header();
        prop_assert_eq!((header.source, header.destination), (source, destination));
        prop_assert_eq!((header.next_header, header.hop_limit), (IpNumber(112), hop_limit));
        prop_assert_eq!(header.traffic_class, class);
        prop_assert_eq!(header.flow_label.value(), 0);
        prop_assert_eq!(ip.payload().payload, payload);
    }

    #[test]
    fn our_arp_is_read(sender_mac: Mac, target_mac: Mac, sender: [u8; 4], target: [u8; 4]) {
        let mut frame = ethernet_of(sender_mac, ethernet::BROADCAST, ethernet::ARP);
        arp::Request {
            sender_mac,
            sender: sender.into(),
            target_mac,
            target: target.into(),
        }
        .emit(&mut frame);
        let Some(NetSlice::Arp(packet)) = SlicedPacket::from_ethernet(&frame).unwrap().net else {
            panic!("no ARP")
        };
        let packet = packet.to_packet().try_eth_ipv4().unwrap();
        prop_assert_eq!(packet.operation, etherparse::ArpOperation::REQUEST);
        prop_assert_eq!((packet.sender_mac, packet.sender_ipv4), (sender_mac, sender));
        prop_assert_eq!((packet.target_mac, packet.target_ipv4), (target_mac, target));
    }

    #[test]
    fn our_neighbour_discovery_is_read(mac: Mac, own: [u8; 16], target: [u8; 16]) {
        let (own, target) = (Ipv6Addr::from(own), Ipv6Addr::from(target));
        let messages = [
            (ndisc::Repr::Solicitation { own, target }, own, ndisc::SOLICITATION),
            (ndisc::Repr::Advertisement { target }, target, ndisc::ADVERTISEMENT),
        ];
        for (repr, source, kind) in messages {
            let mut frame = Vec::new();
            repr.emit_frame(mac, &mut frame);
            let theirs = SlicedPacket::from_ethernet(&frame).unwrap();
            let Some(NetSlice::Ipv6(ip)) = theirs.net else { panic!("no IPv6") };
            let Some(TransportSlice::Icmpv6(message)) = theirs.transport else {
                panic!("no ICMPv6")
            };
            let header = ip.header().to_header();
            prop_assert!(message.is_checksum_valid(header.source, header.destination));
            prop_assert_eq!((header.source, header.hop_limit), (source.octets(), 255));
            prop_assert_eq!((message.type_u8(), message.code_u8()), (kind, 0));
            let body = message.payload();
            prop_assert_eq!(&body[..16], target.octets());
            prop_assert_eq!(&body[18..], mac);
        }
    }

    #[test]
    fn our_echo_is_read(identifier: u16, sequence: u16, payload in vec(any::<u8>(), 0..100)) {
        let mut message = Vec::new();
        icmp::Echo {
            kind: icmp::V4_ECHO_REQUEST,
            identifier,
            sequence,
            payload: &payload,
        }
        .emit(&mut message);
        let theirs = etherparse::Icmpv4Slice::from_slice(&message).unwrap();
        let summed = theirs.icmp_type().calc_checksum(&payload);
        prop_assert_eq!(theirs.checksum(), summed);
        let etherparse::Icmpv4Type::EchoRequest(echo) = theirs.icmp_type() else {
            panic!("no echo")
        };
        prop_assert_eq!((echo.id, echo.seq), (identifier, sequence));
        prop_assert_eq!(theirs.payload(), payload);
    }

    #[test]
    fn their_datagram_is_read(
        ports: (u16, u16), v4: ([u8; 4], [u8; 4]), v6: ([u8; 16], [u8; 16]), hop_limit: u8,
        payload in vec(any::<u8>(), 0..100),
    ) {
        let mut frame = Vec::new();
        PacketBuilder::ethernet2([2; 6], [4; 6])
            .ipv4(v4.0, v4.1, hop_limit)
            .udp(ports.0, ports.1)
            .write(&mut frame, &payload)
            .unwrap();
        let link = ethernet::Packet::new_checked(&frame).unwrap();
        prop_assert_eq!((link.source(), link.ethertype()), ([2; 6], ethernet::IPV4));
        let ip = ipv4::Packet::new_checked(link.payload()).unwrap();
        prop_assert_eq!((ip.source(), ip.destination()), (v4.0.into(), v4.1.into()));
        prop_assert_eq!((ip.protocol(), ip.hop_limit()), (udp::PROTOCOL, hop_limit));
        prop_assert_eq!(udp::Packet::new_checked(ip.payload()).unwrap().payload(), &payload);
        prop_assert_eq!(sum(ip.source().into(), ip.destination().into(), ip.payload()), 0);

        frame.clear();
        PacketBuilder::ipv6(v6.0, v6.1, hop_limit)
            .udp(ports.0, ports.1)
            .write(&mut frame, &payload)
            .unwrap();
        let ip = ipv6::Packet::new_checked(&frame).unwrap();
        prop_assert_eq!((ip.source(), ip.destination()), (v6.0.into(), v6.1.into()));
        prop_assert_eq!((ip.next_header(), ip.hop_limit()), (udp::PROTOCOL, hop_limit));
        prop_assert_eq!(udp::Packet::new_checked(ip.payload()).unwrap().payload(), &payload);
        prop_assert_eq!(sum(ip.source().into(), ip.destination().into(), ip.payload()), 0);
    }

    #[test]
    fn their_echo_is_read(identifier: u16, sequence: u16, payload in vec(any::<u8>(), 0..100)) {
        let mut packet = Vec::new();
        PacketBuilder::ipv4([192, 0, 2, 1], [192, 0, 2, 2], 64)
            .icmpv4_echo_reply(identifier, sequence)
            .write(&mut packet, &payload)
            .unwrap();
        let ip = ipv4::Packet::new_checked(&packet).unwrap();
        let message = icmp::Packet::new_checked(ip.payload()).unwrap();
        prop_assert_eq!(message.kind(), icmp::V4_ECHO_REPLY);
        prop_assert_eq!((message.identifier(), message.sequence()), (identifier, sequence));
        prop_assert_eq!(message.payload(), &payload);
    }

    #[test]
    fn their_arp_is_read(mac: Mac, sender: [u8; 4], target: [u8; 4]) {
        let theirs = etherparse::ArpPacket::new(
            etherparse::ArpHardwareId::ETHERNET,
            etherparse::EtherType::IPV4,
            etherparse::ArpOperation::REPLY,
            &mac,
            &sender,
            &[0; 6],
            &target,
        )
        .unwrap();
        let packet = arp::Packet::new_checked(&theirs.to_bytes()).unwrap();
        prop_assert_eq!(packet.sender(), Ipv4Addr::from(sender));
    }

    #[test]
    fn no_bytes_make_a_reader_panic(mut bytes in vec(any::<u8>(), 0..120), version in 0u8..16) {
        read_all(&bytes);
        // a version and a header length that lead the reader further
        if let Some(first) = bytes.first_mut() {
            *first = version << 4 | *first & 0x0f;
        }
        read_all(&bytes);
    }
}

/// Sum that is zero if the checksum in a UDP datagram is right.
fn sum(source: IpAddr, destination: IpAddr, bytes: &[u8]) -> u16 {
    let pseudo = Sum::of_pseudo_header(source, destination, udp::PROTOCOL, bytes.len());
    pseudo.plus(bytes).finish()
}

fn read_all(bytes: &[u8]) {
    let _ = arp::Packet::new_checked(bytes).map(|packet| packet.sender());
    let _ = udp::Packet::new_checked(bytes).map(|packet| packet.payload().len());
    let _ = icmp::Packet::new_verified(bytes).map(|packet| packet.sequence());
    let _ = ethernet::Packet::new_checked(bytes).map(|packet| packet.ethertype());
    for ip in [
        ipv4::Packet::new_checked(bytes),
        ipv4::Packet::new_quoted(bytes),
    ] {
        let _ = ip.map(|ip| (ip.is_from_a_host(), ip.destination()));
    }
    for ip in [
        ipv6::Packet::new_checked(bytes),
        ipv6::Packet::new_quoted(bytes),
    ] {
        let _ = ip.map(|ip| (ip.is_from_a_host(), ndisc::is_discovery(&ip)));
    }
}
