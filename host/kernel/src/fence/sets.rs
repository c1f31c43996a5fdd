//! The sets, maps and counters of the table, and their elements.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::net::IpAddr;

use spared_contract::Family;

use super::LeaseKey;
use super::lease_chains::{advert_chain_name, guard_chain_name};
use super::object::{Element, SetKind, Type};
use super::plan::{Guarded, Plan, is_link_local};
use super::ruleset::c_string;

pub const LEASE: &CStr = c"lease";
pub const CARRY: &CStr = c"carry";
pub const ADVERT4: &CStr = c"advert4";
pub const ADVERT6: &CStr = c"advert6";
pub const GUARD4: &CStr = c"guard4";
pub const GUARD6: &CStr = c"guard6";
pub const GUARD6_LINK: &CStr = c"guard6-link";
pub const MAC: &CStr = c"mac";
pub const VIRTUAL: &CStr = c"virtual";
pub const OWN4: &CStr = c"own4";
pub const MOVED4: &CStr = c"moved4";
pub const MOVED6: &CStr = c"moved6";
pub const MOVED4_ANYWHERE: &CStr = c"moved4-anywhere";
pub const MOVED6_ANYWHERE: &CStr = c"moved6-anywhere";
pub const RIGHTFUL4: &CStr = c"rightful4";
pub const RIGHTFUL6: &CStr = c"rightful6";
pub const SILENT4: &CStr = c"silent4";
pub const SILENT6: &CStr = c"silent6";

pub const COUNT_ADVERTS: &CStr = c"adverts";
pub const COUNT_RESIGNED: &CStr = c"resigned";
pub const COUNT_ADVERTS_REFUSED: &CStr = c"adverts-refused";
pub const COUNT_REFUSED: &CStr = c"refused";
pub const COUNT_NOT_ACCEPTED: &CStr = c"not-accepted";
pub const COUNT_WRONG_MAC: &CStr = c"wrong-mac";
pub const COUNTERS: [&CStr; 6] = [
    COUNT_ADVERTS,
    COUNT_RESIGNED,
    COUNT_ADVERTS_REFUSED,
    COUNT_REFUSED,
    COUNT_NOT_ACCEPTED,
    COUNT_WRONG_MAC,
];

pub const LEASE_SET: SetKind = keys(LEASE);
/// Keys of leases that were switched over and whose packets are still carried.
pub const CARRY_SET: SetKind = keys(CARRY);

/// Sets of keys that expire.
pub const KEY_SETS: [SetKind; 2] = [LEASE_SET, CARRY_SET];

const fn keys(name: &'static CStr) -> SetKind {
    SetKind {
        dynamic: true,
        ..set(name, &[Type::Mark])
    }
}

const fn map(name: &'static CStr, key: &'static [Type]) -> SetKind {
    SetKind {
        verdicts: true,
        ..set(name, key)
    }
}

pub(super) const fn set(name: &'static CStr, key: &'static [Type]) -> SetKind {
    SetKind {
        name,
        key,
        verdicts: false,
        dynamic: false,
    }
}

/// Maps from the interface and VRID of an advert to the chain of its virtual router.
pub const ADVERT_MAPS: [SetKind; 2] = [
    map(ADVERT4, &[Type::Interface, Type::Mark]),
    map(ADVERT6, &[Type::Interface, Type::Mark]),
];

/// All sets of the fence except those of keys.
pub const STATIC_SETS: [SetKind; 16] = [
    ADVERT_MAPS[0],
    ADVERT_MAPS[1],
    map(GUARD4, &[Type::Ipv4]),
    map(GUARD6, &[Type::Ipv6]),
    map(GUARD6_LINK, &[Type::Interface, Type::Ipv6]),
    map(MAC, &[Type::Interface, Type::Ether]),
    set(VIRTUAL, &[Type::Interface, Type::Ether]),
    set(OWN4, &[Type::Ipv4]),
    set(MOVED4, &[Type::Interface, Type::Ipv4]),
    set(MOVED6, &[Type::Interface, Type::Ipv6]),
    set(MOVED4_ANYWHERE, &[Type::Ipv4]),
    set(MOVED6_ANYWHERE, &[Type::Ipv6]),
    set(RIGHTFUL4, &[Type::Ether, Type::Ipv4]),
    set(RIGHTFUL6, &[Type::Ether, Type::Ipv6]),
    set(SILENT4, &[Type::Ipv4]),
    set(SILENT6, &[Type::Interface, Type::Ipv6]),
];

/// Elements of every static set.
pub fn elements(plan: &Plan) -> Vec<(&'static CStr, Vec<Element>)> {
    let mut sets = Sets(
        STATIC_SETS
            .iter()
            .map(|kind| (kind.name, BTreeMap::new()))
            .collect(),
    );
    for router in &plan.routers {
        let place = [number(router.index), vec![router.vrid, 0, 0, 0]].concat();
        let to = c_string(&advert_chain_name(router));
        sets.put(advert_map(router.family), place, Some(to));
        if let Some((mac, device)) = router.virtual_mac {
            for index in [router.index, device] {
                let place = [number(index), padded(mac)].concat();
                sets.jump(MAC, place.clone(), plan, router.key);
                sets.member(VIRTUAL, place);
            }
        }
    }
    for guarded in &plan.addresses {
        match guarded.address {
            IpAddr::V4(address) => put_ipv4(&mut sets, plan, guarded, &address.octets()),
            IpAddr::V6(address) => put_ipv6(&mut sets, plan, guarded, &address.octets()),
        }
    }
    let elements = |(key, jump)| Element {
        key,
        jump,
        timeout_ms: None,
    };
    sets.0
        .into_iter()
        .map(|(name, set)| (name, set.into_iter().map(elements).collect()))
        .collect()
}

/// Elements of the maps of adverts.
pub fn advert_elements(plan: &Plan) -> Vec<(&'static CStr, Vec<Element>)> {
    let mut elements = elements(plan);
    elements.retain(|(set, _)| [ADVERT4, ADVERT6].contains(set));
    elements
}

pub fn advert_map(family: Family) -> &'static CStr {
    match family {
        Family::V4 => ADVERT4,
        Family::V6 => ADVERT6,
    }
}

fn put_ipv4(sets: &mut Sets, plan: &Plan, guarded: &Guarded, address: &[u8]) {
    sets.jump(GUARD4, address.to_vec(), plan, guarded.key);
    sets.member(OWN4, address.to_vec());
    if let Some((mac, _)) = guarded.virtual_mac {
        sets.member(MOVED4, [&number(guarded.index), address].concat());
        sets.member(MOVED4_ANYWHERE, address.to_vec());
        sets.member(RIGHTFUL4, [&padded(mac), address].concat());
    }
    if !guarded.accept {
        sets.member(SILENT4, address.to_vec());
    }
}

fn put_ipv6(sets: &mut Sets, plan: &Plan, guarded: &Guarded, address: &[u8]) {
    let link = is_link_local(guarded.address);
    if !link {
        sets.jump(GUARD6, address.to_vec(), plan, guarded.key);
    }
    let devices = [
        Some(guarded.index).filter(|index| *index != 0),
        guarded.virtual_mac.map(|(_, device)| device),
    ];
    for index in devices.into_iter().flatten() {
        let here = [&number(index), address].concat();
        if link {
            sets.jump(GUARD6_LINK, here.clone(), plan, guarded.key);
        }
        if !guarded.accept {
            sets.member(SILENT6, here);
        }
    }
    if let Some((mac, _)) = guarded.virtual_mac {
        sets.member(MOVED6, [&number(guarded.index), address].concat());
        if !link {
            sets.member(MOVED6_ANYWHERE, address.to_vec());
        }
        sets.member(RIGHTFUL6, [&padded(mac), address].concat());
    }
}

/// Device and address of an element's key in [`GUARD6_LINK`].
pub fn place(key: &[u8]) -> Option<(u32, IpAddr)> {
    let (index, address) = key.split_first_chunk::<4>()?;
    let address: [u8; 16] = address.try_into().ok()?;
    Some((u32::from_ne_bytes(*index), address.into()))
}

// Elements by set and key, so that two claims share one element.
struct Sets(Vec<(&'static CStr, Members)>);

// Keys; in verdict maps, each with its target.
type Members = BTreeMap<Vec<u8>, Option<CString>>;

impl Sets {
    fn member(&mut self, set: &CStr, key: Vec<u8>) {
        self.put(set, key, None);
    }

    fn jump(&mut self, map: &CStr, key: Vec<u8>, plan: &Plan, lease: LeaseKey) {
        self.put(map, key, Some(c_string(&guard_chain_name(plan, lease))));
    }

    fn put(&mut self, set: &CStr, key: Vec<u8>, jump: Option<CString>) {
        if let Some((_, elements)) = self.0.iter_mut().find(|(name, _)| *name == set) {
            elements.entry(key).or_insert(jump);
        }
    }
}

fn number(value: u32) -> Vec<u8> {
    value.to_ne_bytes().to_vec()
}

fn padded(mac: [u8; 6]) -> Vec<u8> {
    [&mac[..], &[0, 0]].concat()
}
