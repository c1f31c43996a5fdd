//! ARP (RFC 826) and neighbour discovery (RFC 4861): detects whether a network works.

use std::net::{IpAddr, Ipv4Addr};

use spared_packet::{arp, ethernet, ipv6, ndisc};

use super::Mac;

/// Answer to a question for an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    pub mac: Mac,
    /// Address that was asked for.
    pub sender: IpAddr,
    /// MAC address and IP address of the node that asked, as the answer has them.
    pub to_mac: Mac,
    pub to: IpAddr,
}

/// Returns the answer in a frame: an ARP reply, or a solicited advertisement.
pub fn reply(frame: &[u8]) -> Option<Reply> {
    let frame = ethernet::Packet::new_checked(frame).ok()?;
    let (sender, to): (IpAddr, IpAddr) = match frame.ethertype() {
        ethernet::ARP => {
            let packet = arp::Packet::new_checked(frame.payload()).ok()?;
            let (sender, to) = (packet.sender(), packet.target());
            packet.is_reply().then_some((sender.into(), to.into()))?
        }
        ethernet::IPV6 => {
            let packet = ipv6::Packet::new_checked(frame.payload()).ok()?;
            let sender = ndisc::answer(&packet)?;
            (sender.into(), packet.destination().into())
        }
        _ => return None,
    };
    Some(Reply {
        mac: frame.source(),
        sender,
        to_mac: frame.destination(),
        to,
    })
}

/// Claim in a frame: the station with that MAC address has the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    pub mac: Mac,
    pub address: IpAddr,
}

/// Returns the claim in a frame, if any. A question for an address that may still be unassigned is none, and neither is
/// the answer of a proxy (RFC 4861: without the flag Override).
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

/// Returns a frame by which the station with `mac` announces that it has `address` (RFC 5227, RFC 4861).
pub fn announcement(mac: Mac, address: IpAddr) -> Vec<u8> {
    let mut out = Vec::new();
    match address {
        IpAddr::V4(address) => request(mac, address, address, &mut out),
        IpAddr::V6(target) => ndisc::Repr::Advertisement { target }.emit_frame(mac, &mut out),
    }
    out
}

/// Returns a frame that asks `target` to answer; None if the families differ.
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

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: Mac = [2, 0, 0, 0, 0, 0x0a];
    const THIRD: Mac = [2, 0, 0, 0, 0, 0x99];

    /// Answer to 192.0.2.2 about 192.0.2.99.
    const ARP_REPLY: [&[u8]; 7] = [
        &[2, 0, 0, 0, 0, 0x0a, 2, 0, 0, 0, 0, 0x99, 8, 6],
        &[0, 1, 8, 0, 6, 4, 0, 2],
        &THIRD,
        &[192, 0, 2, 99],
        &MAC,
        &[192, 0, 2, 2],
        &[0; 18],
    ];
    /// Answer to fe80::a about fe80::99.
    const ADVERTISEMENT: [&[u8]; 8] = [
        &[2, 0, 0, 0, 0, 0x0a, 2, 0, 0, 0, 0, 0x99, 0x86, 0xdd],
        &[0x60, 0, 0, 0, 0, 32, 58, 255],
        &[0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x99],
        &[0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x0a],
        &[0x88, 0, 0, 0, 0x60, 0, 0, 0],
        &[0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x99],
        &[2, 1],
        &THIRD,
    ];

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn an_answer_says_who_was_asked_and_who_asked() {
        let answer = |sender, to| Reply {
            mac: THIRD,
            sender: ip(sender),
            to_mac: MAC,
            to: ip(to),
        };
        let (arp, discovery) = (ARP_REPLY.concat(), ADVERTISEMENT.concat());
        assert_eq!(reply(&arp), Some(answer("192.0.2.99", "192.0.2.2")));
        assert_eq!(reply(&discovery), Some(answer("fe80::99", "fe80::a")));
        let questions = [("192.0.2.2", "192.0.2.99"), ("fe80::a", "fe80::b")];
        for (own, target) in questions.map(|(own, target)| (ip(own), ip(target))) {
            assert_eq!(reply(&probe(MAC, own, target).expect("one family")), None);
            let announced = announcement(THIRD, target);
            assert_eq!(reply(&announced), None, "nobody had asked");
        }
        // from another network
        let mut routed = discovery.clone();
        routed[21] = 64;
        assert_eq!(reply(&routed), None);
        for frame in [arp, discovery] {
            for end in 0..frame.len() {
                let _ = reply(&frame[..end]);
            }
        }
    }
}
