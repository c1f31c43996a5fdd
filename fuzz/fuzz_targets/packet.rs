//! Whatever a wire brings: no header's reader may panic, and no payload is longer than its packet.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spared_packet::{arp, ethernet, icmp, ipv4, ipv6, ndisc, udp};

fuzz_target!(|bytes: &[u8]| {
    let Ok(frame) = ethernet::Packet::new_checked(bytes) else { return };
    // also what the type does not say, so that the generator need not find it
    let inner = frame.payload();
    let _ = arp::Packet::new_checked(inner).map(|packet| packet.sender());
    for packet in [ipv4::Packet::new_checked(inner), ipv4::Packet::new_quoted(inner)] {
        let Ok(packet) = packet else { continue };
        let _ = (packet.is_from_a_host(), packet.destination(), packet.protocol());
        assert!(packet.payload().len() + ipv4::HEADER_LEN <= inner.len());
        message(packet.payload());
    }
    for packet in [ipv6::Packet::new_checked(inner), ipv6::Packet::new_quoted(inner)] {
        let Ok(packet) = packet else { continue };
        let _ = (packet.is_from_a_host(), packet.destination(), ndisc::is_discovery(&packet));
        assert!(packet.payload().len() + ipv6::HEADER_LEN <= inner.len());
        message(packet.payload());
    }
});

fn message(bytes: &[u8]) {
    if let Ok(datagram) = udp::Packet::new_checked(bytes) {
        assert_eq!(datagram.payload().len() + udp::HEADER_LEN, bytes.len());
    }
    for message in [icmp::Packet::new_checked(bytes), icmp::Packet::new_verified(bytes)] {
        let Ok(message) = message else { continue };
        let _ = (message.kind(), message.code(), message.identifier(), message.sequence());
        assert_eq!(message.payload().len() + icmp::HEADER_LEN, bytes.len());
    }
}
