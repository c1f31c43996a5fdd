//! ARP (RFC 826) and neighbour discovery (RFC 4861): whether a wire still speaks.

use std::net::IpAddr;

use spared_packet::{arp, ethernet, ipv6, ndisc};

use super::Mac;

/// The sender of an ARP or neighbour discovery frame.
pub fn station(frame: &[u8]) -> Option<Mac> {
    read(frame).map(|(mac, _)| mac)
}

/// The address that the sender of such a frame calls its own.
pub fn speaker(frame: &[u8]) -> Option<IpAddr> {
    read(frame).map(|(_, address)| address)
}

fn read(frame: &[u8]) -> Option<(Mac, IpAddr)> {
    let frame = ethernet::Packet::new_checked(frame).ok()?;
    let address = match frame.ethertype() {
        ethernet::ARP => arp::Packet::new_checked(frame.payload())
            .ok()?
            .sender()
            .into(),
        ethernet::IPV6 => {
            let packet = ipv6::Packet::new_checked(frame.payload()).ok()?;
            ndisc::is_discovery(&packet).then_some(packet.source().into())?
        }
        _ => return None,
    };
    Some((frame.source(), address))
}

/// A frame that asks `target` to answer; None where the families differ.
pub fn probe(mac: Mac, own: IpAddr, target: IpAddr) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    match (own, target) {
        (IpAddr::V4(own), IpAddr::V4(target)) => {
            let header = ethernet::Repr {
                destination: ethernet::BROADCAST,
                source: mac,
                ethertype: ethernet::ARP,
            };
            header.emit(&mut out);
            let request = arp::Request {
                sender_mac: mac,
                sender: own,
                target_mac: [0; 6],
                target,
            };
            request.emit(&mut out);
        }
        (IpAddr::V6(own), IpAddr::V6(target)) => {
            ndisc::Repr::Solicitation { own, target }.emit_frame(mac, &mut out);
        }
        _ => return None,
    }
    Some(out)
}
