//! ARP (RFC 826) and neighbour discovery (RFC 4861): whether a wire still speaks.

use std::net::{IpAddr, Ipv4Addr};

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

/// What a frame says of an address: the station with that MAC address has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    pub mac: Mac,
    pub address: IpAddr,
}

/// What a frame says of an address, if anything. A question for one that nobody may have yet says nothing, and neither
/// does the answer of a proxy (RFC 4861: without the flag Override).
pub fn claim(frame: &[u8]) -> Option<Claim> {
    let frame = ethernet::Packet::new_checked(frame).ok()?;
    let (address, mac): (IpAddr, Mac) = match frame.ethertype() {
        ethernet::ARP => {
            let packet = arp::Packet::new_checked(frame.payload()).ok()?;
            let address = packet.sender();
            (!address.is_unspecified()).then_some((address.into(), packet.sender_mac()))?
        }
        ethernet::IPV6 => {
            let packet = ipv6::Packet::new_checked(frame.payload()).ok()?;
            let (address, mac) = ndisc::claim(&packet)?;
            (address.into(), mac.unwrap_or(frame.source()))
        }
        _ => return None,
    };
    Some(Claim { mac, address })
}

/// A frame by which the station with `mac` announces that it has `address`: of RFC 5227, or RFC 4861.
pub fn announcement(mac: Mac, address: IpAddr) -> Vec<u8> {
    let mut out = Vec::new();
    match address {
        IpAddr::V4(address) => request(mac, address, address, &mut out),
        IpAddr::V6(target) => ndisc::Repr::Advertisement { target }.emit_frame(mac, &mut out),
    }
    out
}

/// A frame that asks `target` to answer; None where the families differ.
pub fn probe(mac: Mac, own: IpAddr, target: IpAddr) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    match (own, target) {
        (IpAddr::V4(own), IpAddr::V4(target)) => request(mac, own, target, &mut out),
        (IpAddr::V6(own), IpAddr::V6(target)) => {
            ndisc::Repr::Solicitation { own, target }.emit_frame(mac, &mut out);
        }
        _ => return None,
    }
    Some(out)
}

fn request(mac: Mac, sender: Ipv4Addr, target: Ipv4Addr, out: &mut Vec<u8>) {
    let header = ethernet::Repr {
        destination: ethernet::BROADCAST,
        source: mac,
        ethertype: ethernet::ARP,
    };
    header.emit(out);
    let request = arp::Request {
        sender_mac: mac,
        sender,
        target_mac: [0; 6],
        target,
    };
    request.emit(out);
}
