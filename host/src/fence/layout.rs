//! What the table says: from a [`Plan`] to sets, elements, chains and rules.
//!
//! Every device has two base chains that only jump to `ingress` and `egress`; these hold a constant
//! number of lookups however many addresses there are. The virtual routers' own adverts get a chain
//! each, behind `adverts`, where only IP protocol 112 goes.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use spared_netlink::constants::*;
use spared_worker::message::Family;

use super::LeaseKey;
use super::expression::Expression::{self, *};
use super::key::{ETHER_ARP, ETHER_IPV4, ETHER_IPV6};
use super::object::{Element, Hook, SetKind, Type};

/// All that the fence guards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Devices that get chains: those of claims, and virtual-MAC devices.
    pub devices: Vec<Device>,
    pub routers: Vec<Router>,
    pub addresses: Vec<Guarded>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    pub name: String,
    pub index: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Router {
    pub interface: String,
    pub index: u32,
    pub family: Family,
    pub vrid: u8,
    pub key: LeaseKey,
    pub group: LeaseKey,
    pub lease: Duration,
    /// The virtual MAC and the device that has it.
    pub virtual_mac: Option<([u8; 6], u32)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guarded {
    pub address: IpAddr,
    pub index: u32,
    /// The lease that lets it through.
    pub key: LeaseKey,
    /// The virtual MAC that alone may answer for it, and the device that has it.
    pub virtual_mac: Option<([u8; 6], u32)>,
    /// Whether packets to it are accepted, beside neighbour discovery and ARP.
    pub accept: bool,
}

/// One table's chains and elements.
pub struct Content {
    pub chains: Vec<ChainContent>,
    pub elements: Vec<(&'static CStr, Vec<Element>)>,
}

pub struct ChainContent {
    pub name: CString,
    pub hook: Option<Hook>,
    pub rules: Vec<RuleContent>,
}

pub struct RuleContent {
    pub why: &'static CStr,
    pub expressions: Vec<Expression>,
}

pub const LEASE: &CStr = c"lease";
const GUARD4: &CStr = c"guard4";
const GUARD6: &CStr = c"guard6";
const GUARD6_LINK: &CStr = c"guard6-link";
const MAC: &CStr = c"mac";
const OWN4: &CStr = c"own4";
const MOVED4: &CStr = c"moved4";
const MOVED6: &CStr = c"moved6";
const RIGHTFUL4: &CStr = c"rightful4";
const RIGHTFUL6: &CStr = c"rightful6";
const SILENT4: &CStr = c"silent4";
const SILENT6: &CStr = c"silent6";

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

pub const LEASE_SET: SetKind = SetKind {
    name: LEASE,
    key: &[Type::Mark],
    verdicts: false,
    dynamic: true,
};

const fn map(name: &'static CStr, key: &'static [Type]) -> SetKind {
    SetKind {
        name,
        key,
        verdicts: true,
        dynamic: false,
    }
}

const fn set(name: &'static CStr, key: &'static [Type]) -> SetKind {
    SetKind {
        name,
        key,
        verdicts: false,
        dynamic: false,
    }
}

/// All sets of the fence but the leases.
pub const STATIC_SETS: [SetKind; 11] = [
    map(GUARD4, &[Type::Ipv4]),
    map(GUARD6, &[Type::Ipv6]),
    map(GUARD6_LINK, &[Type::Interface, Type::Ipv6]),
    map(MAC, &[Type::Interface, Type::Ether]),
    set(OWN4, &[Type::Ipv4]),
    set(MOVED4, &[Type::Interface, Type::Ipv4]),
    set(MOVED6, &[Type::Interface, Type::Ipv6]),
    set(RIGHTFUL4, &[Type::Ether, Type::Ipv4]),
    set(RIGHTFUL6, &[Type::Ether, Type::Ipv6]),
    set(SILENT4, &[Type::Ipv4]),
    set(SILENT6, &[Type::Interface, Type::Ipv6]),
];

// Ours come first when a packet comes in, and last when it goes out: an advert that somebody
// else's rules drop renews nothing.
const INGRESS_PRIORITY: i32 = -500;
const EGRESS_PRIORITY: i32 = 500;

/// The fence itself.
pub fn fence(plan: &Plan) -> Content {
    let mut chains = vec![
        chain("ingress", None, ingress(plan)),
        chain("egress", None, egress(plan)),
        adverts(plan),
    ];
    chains.extend(guard_chains(plan));
    chains.extend(advert_chains(plan, true));
    for device in &plan.devices {
        let jump = |to: &str| vec![rule(c"", vec![Jump(c_string(to))])];
        let hook = |number, priority| {
            Some(Hook {
                device: c_string(&device.name),
                number,
                priority,
            })
        };
        chains.push(chain(
            &format!("in-{}", device.name),
            hook(NF_NETDEV_INGRESS, INGRESS_PRIORITY),
            jump("ingress"),
        ));
        chains.push(chain(
            &format!("out-{}", device.name),
            hook(NF_NETDEV_EGRESS, EGRESS_PRIORITY),
            jump("egress"),
        ));
    }
    Content {
        chains,
        elements: elements(plan),
    }
}

/// The mirror: only the leases, renewed by the same adverts after the fence let them pass.
pub fn mirror(plan: &Plan) -> Content {
    let mut chains = vec![adverts(plan)];
    chains.extend(advert_chains(plan, false));
    for device in &plan.devices {
        if !plan
            .routers
            .iter()
            .any(|router| router.index == device.index)
        {
            continue;
        }
        let hook = Hook {
            device: c_string(&device.name),
            number: NF_NETDEV_EGRESS,
            priority: EGRESS_PRIORITY + 1,
        };
        let mut rules = vlan_rules(NFT_META_OIFTYPE);
        rules.push(adverts_rule());
        chains.push(chain(&format!("out-{}", device.name), Some(hook), rules));
    }
    Content {
        chains,
        elements: Vec::new(),
    }
}

fn ingress(plan: &Plan) -> Vec<RuleContent> {
    let mut rules = vlan_rules(NFT_META_IIFTYPE);
    rules.push(rule(
        c"frames to a virtual MAC",
        steps([
            ethernet(NFT_META_IIFTYPE),
            meta(NFT_META_IIF, 0),
            link_layer(0, 6, 1),
            guard(MAC, 0),
        ]),
    ));
    rules.push(rule(
        c"IPv4 to an address",
        steps([protocol(ETHER_IPV4), network(16, 4, 0), guard(GUARD4, 0)]),
    ));
    rules.push(rule(
        c"ARP from an address: nobody answers it, but it teaches",
        steps([
            protocol(ETHER_ARP),
            network(14, 4, 0),
            member(OWN4, 0),
            vec![Accept],
        ]),
    ));
    rules.push(rule(
        c"ARP for an address",
        steps([protocol(ETHER_ARP), network(24, 4, 0), guard(GUARD4, 0)]),
    ));
    for (map, device) in guards6(plan, NFT_META_IIF) {
        let key = 1 - device.len() as u32;
        rules.push(rule(
            c"IPv6 to an address",
            steps([
                protocol(ETHER_IPV6),
                device.clone(),
                network(24, 16, 1),
                guard(map, key),
            ]),
        ));
        rules.push(rule(
            c"solicitation of an address",
            steps([neighbour(SOLICITATION), device, target(1), guard(map, key)]),
        ));
    }
    rules.extend(silent(plan));
    rules
}

fn egress(plan: &Plan) -> Vec<RuleContent> {
    let mut rules = vlan_rules(NFT_META_OIFTYPE);
    rules.push(adverts_rule());
    rules.push(rule(
        c"frames from a virtual MAC",
        steps([
            ethernet(NFT_META_OIFTYPE),
            meta(NFT_META_OIF, 0),
            link_layer(6, 6, 1),
            guard(MAC, 0),
        ]),
    ));
    rules.push(rule(
        c"IPv4 from an address",
        steps([protocol(ETHER_IPV4), network(12, 4, 0), guard(GUARD4, 0)]),
    ));
    rules.push(rule(
        c"ARP from an address",
        steps([protocol(ETHER_ARP), network(14, 4, 0), guard(GUARD4, 0)]),
    ));
    for (map, device) in guards6(plan, NFT_META_OIF) {
        let key = 1 - device.len() as u32;
        rules.push(rule(
            c"IPv6 from an address",
            steps([
                protocol(ETHER_IPV6),
                device.clone(),
                network(8, 16, 1),
                guard(map, key),
            ]),
        ));
        rules.push(rule(
            c"advertisement of an address",
            steps([
                neighbour(ADVERTISEMENT),
                device.clone(),
                target(1),
                guard(map, key),
            ]),
        ));
        let unspecified = Equal {
            register: 1,
            value: Ipv6Addr::UNSPECIFIED.octets().to_vec(),
        };
        let detection = [network(8, 16, 1), vec![unspecified]].concat();
        rules.push(rule(
            c"duplicate detection of an address",
            steps([
                neighbour(SOLICITATION),
                detection,
                device,
                target(1),
                guard(map, key),
            ]),
        ));
    }
    rules.extend(wrong_mac(plan));
    rules
}

// The parent of a virtual-MAC device answers for its addresses too, with its own MAC.
fn wrong_mac(plan: &Plan) -> Vec<RuleContent> {
    let refuse = || vec![Count(COUNT_WRONG_MAC), Drop];
    if plan
        .addresses
        .iter()
        .all(|guarded| guarded.virtual_mac.is_none())
    {
        return Vec::new();
    }
    let device = || meta(NFT_META_OIF, 0);
    let stranger = |set| vec![NotMember { set, key: 0 }];
    vec![
        rule(
            c"ARP by another than the virtual MAC",
            steps([
                protocol(ETHER_ARP),
                [device(), network(14, 4, 1), member(MOVED4, 0)].concat(),
                ethernet(NFT_META_OIFTYPE),
                [link_layer(6, 6, 0), network(14, 4, 2), stranger(RIGHTFUL4)].concat(),
                refuse(),
            ]),
        ),
        rule(
            c"advertisement by another than the virtual MAC",
            steps([
                neighbour(ADVERTISEMENT),
                [device(), target(1), member(MOVED6, 0)].concat(),
                ethernet(NFT_META_OIFTYPE),
                [link_layer(6, 6, 0), target(2), stranger(RIGHTFUL6)].concat(),
                refuse(),
            ]),
        ),
    ]
}

// accept = false: neighbour discovery and ARP go on, everything else to the addresses does not.
fn silent(plan: &Plan) -> Vec<RuleContent> {
    let has = |v4: bool| {
        plan.addresses
            .iter()
            .any(|g| !g.accept && g.address.is_ipv4() == v4)
    };
    let refuse = || vec![Count(COUNT_NOT_ACCEPTED), Drop];
    let mut rules = Vec::new();
    if has(true) {
        let to = [protocol(ETHER_IPV4), network(16, 4, 0)].concat();
        rules.push(rule(
            c"not accepted",
            steps([to, member(SILENT4, 0), refuse()]),
        ));
    }
    if has(false) {
        for kind in [SOLICITATION, ADVERTISEMENT] {
            rules.push(rule(
                c"always accepted",
                steps([neighbour(kind), vec![Accept]]),
            ));
        }
        let to = [
            protocol(ETHER_IPV6),
            meta(NFT_META_IIF, 0),
            network(24, 16, 1),
        ]
        .concat();
        rules.push(rule(
            c"not accepted",
            steps([to, member(SILENT6, 0), refuse()]),
        ));
    }
    rules
}

// Where a guard map jumps to: back, while the lease lives.
fn guard_chains(plan: &Plan) -> Vec<ChainContent> {
    let keys = plan
        .routers
        .iter()
        .flat_map(|router| [router.key, router.group]);
    let unique: std::collections::BTreeSet<LeaseKey> = keys.collect();
    unique
        .into_iter()
        .map(|key| {
            let open = steps([lease(key), member(LEASE, 0), vec![Return]]);
            let rules = vec![
                rule(c"", open),
                rule(c"no lease", vec![Count(COUNT_REFUSED), Drop]),
            ];
            chain(&format!("guard-{}", lease_name(plan, key)), None, rules)
        })
        .collect()
}

fn adverts(plan: &Plan) -> ChainContent {
    let rules = plan.routers.iter().map(|router| {
        let index = Equal {
            register: 0,
            value: number(router.index),
        };
        let vrid = Equal {
            register: 0,
            value: vec![router.vrid],
        };
        let to = c_string(&format!("advert-{}", router_name(router)));
        rule(
            c"",
            steps([
                [meta(NFT_META_OIF, 0), vec![index]].concat(),
                protocol(ether_type(router.family)),
                [transport(1, 1, 0), vec![vrid, Jump(to)]].concat(),
            ]),
        )
    });
    chain("adverts", None, rules.collect())
}

// One advert renews its router's lease and the group's; priority 0 closes both, so that a worker
// whose host is dead closes the fence by resigning.
fn advert_chains(plan: &Plan, fence: bool) -> Vec<ChainContent> {
    let count = |counter| {
        if fence {
            vec![Count(counter)]
        } else {
            Vec::new()
        }
    };
    let chain_of = |router: &Router| {
        let resigns = || {
            [
                transport(2, 1, 0),
                vec![Equal {
                    register: 0,
                    value: vec![0],
                }],
            ]
            .concat()
        };
        let revoke = |key| [lease(key), vec![Revoke { set: LEASE, key: 0 }]].concat();
        let timeout_ms = router.lease.as_millis() as u64;
        let renew = |key| {
            [
                lease(key),
                vec![Renew {
                    set: LEASE,
                    key: 0,
                    timeout_ms,
                }],
            ]
            .concat()
        };
        let held = [lease(router.key), member(LEASE, 0)].concat();
        let mut rules = vec![
            rule(
                c"resigns",
                steps([
                    resigns(),
                    revoke(router.key),
                    revoke(router.group),
                    count(COUNT_RESIGNED),
                    vec![Accept],
                ]),
            ),
            rule(
                c"renews",
                steps([
                    held,
                    renew(router.key),
                    renew(router.group),
                    count(COUNT_ADVERTS),
                    vec![Accept],
                ]),
            ),
        ];
        if fence {
            rules.push(rule(c"no lease", vec![Count(COUNT_ADVERTS_REFUSED), Drop]));
        }
        chain(&format!("advert-{}", router_name(router)), None, rules)
    };
    plan.routers.iter().map(chain_of).collect()
}

fn elements(plan: &Plan) -> Vec<(&'static CStr, Vec<Element>)> {
    let mut sets = Sets(
        STATIC_SETS
            .iter()
            .map(|kind| (kind.name, BTreeMap::new()))
            .collect(),
    );
    for router in &plan.routers {
        if let Some((mac, device)) = router.virtual_mac {
            for index in [router.index, device] {
                sets.jump(MAC, [number(index), padded(mac)].concat(), plan, router.key);
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

fn put_ipv4(sets: &mut Sets, plan: &Plan, guarded: &Guarded, address: &[u8]) {
    sets.jump(GUARD4, address.to_vec(), plan, guarded.key);
    sets.member(OWN4, address.to_vec());
    if let Some((mac, _)) = guarded.virtual_mac {
        sets.member(MOVED4, [&number(guarded.index), address].concat());
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
        Some(guarded.index),
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
        sets.member(RIGHTFUL6, [&padded(mac), address].concat());
    }
}

// Elements by key: what two claims share is there once.
struct Sets(Vec<(&'static CStr, Members)>);

// Keys, and where a verdict map jumps to.
type Members = BTreeMap<Vec<u8>, Option<CString>>;

impl Sets {
    fn member(&mut self, set: &CStr, key: Vec<u8>) {
        self.put(set, key, None);
    }

    fn jump(&mut self, map: &CStr, key: Vec<u8>, plan: &Plan, lease: LeaseKey) {
        let chain = c_string(&format!("guard-{}", lease_name(plan, lease)));
        self.put(map, key, Some(chain));
    }

    fn put(&mut self, set: &CStr, key: Vec<u8>, jump: Option<CString>) {
        if let Some((_, elements)) = self.0.iter_mut().find(|(name, _)| *name == set) {
            elements.entry(key).or_insert(jump);
        }
    }
}

/// An address that means something else on every interface.
pub fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.segments()[0] & 0xffc0 == 0xfe80)
}

// A hook of a device sees the frames of its VLANs too; they are their own device's business.
fn vlan_rules(device_type: u32) -> Vec<RuleContent> {
    [0x8100u16, 0x88a8]
        .map(|tag| {
            let value = tag.to_be_bytes().to_vec();
            let tagged = vec![Equal { register: 0, value }, Accept];
            rule(
                c"",
                steps([ethernet(device_type), link_layer(12, 2, 0), tagged]),
            )
        })
        .into()
}

// Where there is a link-layer header to look at. PPP and tunnels have none.
fn ethernet(device_type: u32) -> Vec<Expression> {
    const ARPHRD_ETHER: u16 = 1;
    let value = ARPHRD_ETHER.to_ne_bytes().to_vec();
    steps([meta(device_type, 0), vec![Equal { register: 0, value }]])
}

fn adverts_rule() -> RuleContent {
    const VRRP: u8 = 112;
    let mut steps = meta(NFT_META_L4PROTO, 0);
    steps.extend([
        Equal {
            register: 0,
            value: vec![VRRP],
        },
        Jump(c_string("adverts")),
    ]);
    rule(c"", steps)
}

fn guard(map: &'static CStr, key: u32) -> Vec<Expression> {
    vec![VerdictMap { map, key }]
}

fn member(set: &'static CStr, key: u32) -> Vec<Expression> {
    vec![Member { set, key }]
}

// A lease's key, in register 0.
fn lease(key: LeaseKey) -> Vec<Expression> {
    let replace = Replace {
        register: 0,
        number: key.number(),
    };
    vec![
        Meta {
            key: NFT_META_MARK,
            register: 0,
        },
        replace,
    ]
}

// Maps of IPv6 addresses, and what their keys begin with: nothing, or the interface. The address
// itself comes to the registers 1-4.
fn guards6(plan: &Plan, device: u32) -> Vec<(&'static CStr, Vec<Expression>)> {
    let has = |link| {
        plan.addresses
            .iter()
            .any(|g| g.address.is_ipv6() && is_link_local(g.address) == link)
    };
    let mut maps = Vec::new();
    if has(false) {
        maps.push((GUARD6, Vec::new()));
    }
    if has(true) {
        maps.push((GUARD6_LINK, meta(device, 0)));
    }
    maps
}

const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;

fn neighbour(kind: u8) -> Vec<Expression> {
    const ICMPV6: u8 = 58;
    let is = |value| {
        vec![Equal {
            register: 0,
            value: vec![value],
        }]
    };
    steps([
        meta(NFT_META_L4PROTO, 0),
        is(ICMPV6),
        transport(0, 1, 0),
        is(kind),
    ])
}

// The target of neighbour discovery.
fn target(register: u32) -> Vec<Expression> {
    transport(8, 16, register)
}

fn protocol(ether_type: u16) -> Vec<Expression> {
    let mut steps = meta(NFT_META_PROTOCOL, 0);
    steps.push(Equal {
        register: 0,
        value: ether_type.to_be_bytes().to_vec(),
    });
    steps
}

fn meta(key: u32, register: u32) -> Vec<Expression> {
    vec![Meta { key, register }]
}

fn network(offset: u32, length: u32, register: u32) -> Vec<Expression> {
    vec![Payload {
        base: NFT_PAYLOAD_NETWORK_HEADER,
        offset,
        length,
        register,
    }]
}

fn transport(offset: u32, length: u32, register: u32) -> Vec<Expression> {
    vec![Payload {
        base: NFT_PAYLOAD_TRANSPORT_HEADER,
        offset,
        length,
        register,
    }]
}

fn link_layer(offset: u32, length: u32, register: u32) -> Vec<Expression> {
    vec![Payload {
        base: NFT_PAYLOAD_LL_HEADER,
        offset,
        length,
        register,
    }]
}

fn steps<const N: usize>(parts: [Vec<Expression>; N]) -> Vec<Expression> {
    parts.concat()
}

fn router_name(router: &Router) -> String {
    let family = if router.family == Family::V6 {
        "-v6"
    } else {
        ""
    };
    format!("{}-{}{family}", router.interface, router.vrid)
}

fn lease_name(plan: &Plan, key: LeaseKey) -> String {
    let router = plan.routers.iter().find(|router| router.key == key);
    router.map_or_else(|| format!("group-{}", key.number()), router_name)
}

fn ether_type(family: Family) -> u16 {
    match family {
        Family::V4 => ETHER_IPV4,
        Family::V6 => ETHER_IPV6,
    }
}

fn chain(name: &str, hook: Option<Hook>, rules: Vec<RuleContent>) -> ChainContent {
    ChainContent {
        name: c_string(name),
        hook,
        rules,
    }
}

fn rule(why: &'static CStr, expressions: Vec<Expression>) -> RuleContent {
    RuleContent { why, expressions }
}

pub(super) fn c_string(text: &str) -> CString {
    CString::new(text.replace('\0', "")).unwrap_or_default()
}

fn number(value: u32) -> Vec<u8> {
    value.to_ne_bytes().to_vec()
}

fn padded(mac: [u8; 6]) -> Vec<u8> {
    [&mac[..], &[0, 0]].concat()
}
