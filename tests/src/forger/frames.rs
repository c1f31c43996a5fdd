// SPDX-License-Identifier: MIT OR Apache-2.0
//! Composes forged adverts, and damages recorded heartbeats.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::lab::{VIRTUAL, Wire};
use crate::probe::{checksum, ethernet, ipv4, ipv6, vmac};

const VRRP: u8 = 112;
const UDP: u8 = 17;
const HEARTBEATS: [u8; 2] = 3780_u16.to_be_bytes();

/// Way in which adverts are sent on the lan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Multicast,
    Unicast,
    /// Multicast, from the virtual MAC.
    VirtualMac,
}

/// An advert that no node sent.
#[derive(Clone, Copy, Debug)]
pub struct Forged {
    pub mode: Mode,
    pub is_ipv6: bool,
    pub vrid: u8,
    pub priority: u8,
    pub interval_cs: u16,
}

impl Forged {
    /// Frame as host `from` would send it to host `to`.
    pub fn frame(&self, from: u8, to: u8) -> Vec<u8> {
        let source_mac = match self.mode {
            Mode::VirtualMac => vmac(self.is_ipv6, self.vrid),
            _ => Wire::Lan.mac(from),
        };
        if self.is_ipv6 {
            self.over_ipv6(source_mac, from, to)
        } else {
            self.over_ipv4(source_mac, from, to)
        }
    }

    fn over_ipv4(&self, source_mac: [u8; 6], from: u8, to: u8) -> Vec<u8> {
        let (mac, address) = match self.mode {
            Mode::Unicast => (Wire::Lan.mac(to), Wire::Lan.ipv4(to)),
            _ => ([1, 0, 0x5e, 0, 0, 18], Ipv4Addr::new(224, 0, 0, 18)),
        };
        let advert = summed(self.message(&Wire::Lan.ipv4(VIRTUAL).octets()), &[]);
        let packet = ipv4(Wire::Lan.ipv4(from), address, VRRP, 255, &advert);
        ethernet(mac, source_mac, 0x0800, &packet)
    }

    fn over_ipv6(&self, source_mac: [u8; 6], from: u8, to: u8) -> Vec<u8> {
        let (mac, address) = match self.mode {
            Mode::Unicast => (Wire::Lan.mac(to), link_local(to)),
            _ => (
                [0x33, 0x33, 0, 0, 0, 0x12],
                Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12),
            ),
        };
        let first = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x51);
        let advert = self.message(&first.octets());
        let length = u32::try_from(advert.len()).unwrap_or_default();
        let source = link_local(from);
        let header: [&[u8]; 4] = [
            &source.octets(),
            &address.octets(),
            &length.to_be_bytes(),
            &[0, 0, 0, VRRP],
        ];
        let advert = summed(advert, &header);
        let packet = ipv6(source, address, VRRP, 255, &advert);
        ethernet(mac, source_mac, 0x86dd, &packet)
    }

    fn message(&self, address: &[u8]) -> Vec<u8> {
        let [high, low] = self.interval_cs.to_be_bytes();
        let fixed = [0x31, self.vrid, self.priority, 1, high, low, 0, 0];
        [&fixed[..], address].concat()
    }
}

fn summed(mut message: Vec<u8>, header: &[&[u8]]) -> Vec<u8> {
    let sum = checksum(&[header, &[&message[..]]].concat());
    message[6..8].copy_from_slice(&sum.to_be_bytes());
    message
}

/// A router's own link-local address on the lan, which its kernel derives from its MAC.
pub fn link_local(host: u8) -> Ipv6Addr {
    let [a, b, c, d, e, f] = Wire::Lan.mac(host);
    let identifier = [a ^ 2, b, c, 0xff, 0xfe, d, e, f];
    let network = [0xfe, 0x80, 0, 0, 0, 0, 0, 0];
    let mut octets = [0; 16];
    octets[..8].copy_from_slice(&network);
    octets[8..].copy_from_slice(&identifier);
    octets.into()
}

/// Unicast peer in a mode: the neighbour to which a router's adverts go.
pub fn peer_of(mode: Mode, is_ipv6: bool, host: u8) -> Option<IpAddr> {
    let to = if is_ipv6 {
        link_local(host).into()
    } else {
        Wire::Lan.ipv4(host).into()
    };
    (mode == Mode::Unicast).then_some(to)
}

/// True if a frame carries a heartbeat.
pub fn is_heartbeat(frame: &[u8]) -> bool {
    let (protocol, port) = match frame.get(12..14) {
        Some([0x08, 0x00]) => (frame.get(23), frame.get(36..38)),
        Some([0x86, 0xdd]) => (frame.get(20), frame.get(56..58)),
        _ => return false,
    };
    protocol == Some(&UDP) && port == Some(&HEARTBEATS[..])
}

/// A heartbeat with one bit of its tag changed.
pub fn mangled(mut heartbeat: Vec<u8>) -> Vec<u8> {
    // over IPv4 the checksum of UDP is optional
    if heartbeat.get(12..14) == Some(&[0x08, 0x00]) {
        if let Some(sum) = heartbeat.get_mut(40..42) {
            sum.fill(0);
        }
    }
    if let Some(last) = heartbeat.last_mut() {
        *last ^= 1;
    }
    heartbeat
}
