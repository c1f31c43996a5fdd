//! Whatever a wire brings: the parsers of adverts and of neighbour discovery must not panic.

use std::net::IpAddr;

use spared_vrrp::wire::{frame, neighbour};

use crate::sample::{KEEPALIVED, adverts, hex};

pub fn run(bytes: &[u8]) {
    if let Ok(advert) = frame::parse(bytes) {
        assert!(advert.interval_ns > 0);
        assert!(advert.addresses.iter().count() > 0);
    }
    let _ = (neighbour::claim(bytes), neighbour::reply(bytes));
}

/// Adverts of this program, of keepalived 2.2.7, and questions for neighbours.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = adverts();
    seeds.extend(KEEPALIVED.map(hex));
    let (own, target) = (IpAddr::from([192, 0, 2, 2]), IpAddr::from([192, 0, 2, 1]));
    seeds.extend(neighbour::probe([2, 0, 0, 0, 0, 1], own, target));
    let (own, target) = ("fe80::1".parse(), "2001:db8::1".parse());
    if let (Ok(own), Ok(target)) = (own, target) {
        seeds.extend(neighbour::probe([2, 0, 0, 0, 0, 1], own, target));
    }
    seeds
}
