//! What the table says: from a [`Plan`] to sets, elements, chains and rules.
//!
//! Every device has two base chains that only jump to `ingress` and `egress`; these hold a constant
//! number of lookups however many addresses there are. The virtual routers' own adverts get a chain
//! each, behind `adverts`, where only IP protocol 112 goes.

use std::ffi::{CStr, CString};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use spared_netlink::constants::*;

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
const MOVED4: &CStr = c"moved4";
const MOVED6: &CStr = c"moved6";
const RIGHTFUL4: &CStr = c"rightful4";
const RIGHTFUL6: &CStr = c"rightful6";
const SILENT4: &CStr = c"silent4";
const SILENT6: &CStr = c"silent6";

pub const COUNT_ADVERTS: &CStr = c"adverts";
pub const COUNT_RESIGNED: &CStr = c"resigned";
pub const COUNT_ADVERTS_REFUSED: &CStr = c"adverts-refused";
pub const COUNT_IN_REFUSED: &CStr = c"in-refused";
pub const COUNT_OUT_REFUSED: &CStr = c"out-refused";
pub const COUNTERS: [&CStr; 5] = [
    COUNT_ADVERTS,
    COUNT_RESIGNED,
    COUNT_ADVERTS_REFUSED,
    COUNT_IN_REFUSED,
    COUNT_OUT_REFUSED,
];

const KEY: &[Type] = &[Type::Interface, Type::EtherType, Type::Mark];

pub const LEASE_SET: SetKind = SetKind {
    name: LEASE,
    key: KEY,
    value: &[],
    dynamic: true,
};

const fn map(name: &'static CStr, key: &'static [Type]) -> SetKind {
    SetKind {
        name,
        key,
        value: KEY,
        dynamic: false,
    }
}

const fn set(name: &'static CStr, key: &'static [Type]) -> SetKind {
    SetKind {
        name,
        key,
        value: &[],
        dynamic: false,
    }
}

/// All sets of the fence but the leases.
pub const STATIC_SETS: [SetKind; 10] = [
    map(GUARD4, &[Type::Ipv4]),
    map(GUARD6, &[Type::Ipv6]),
    map(GUARD6_LINK, &[Type::Interface, Type::Ipv6]),
    map(MAC, &[Type::Interface, Type::Ether]),
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
    chains.extend(
        plan.routers
            .iter()
            .map(|router| chain(&router_chain(router), None, router_rules(router, true))),
    );
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
    chains.extend(
        plan.routers
            .iter()
            .map(|router| chain(&router_chain(router), None, router_rules(router, false))),
    );
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
        let mut rules = vlan_rules();
        rules.push(adverts_rule());
        chains.push(chain(&format!("out-{}", device.name), Some(hook), rules));
    }
    Content {
        chains,
        elements: Vec::new(),
    }
}

fn ingress(plan: &Plan) -> Vec<RuleContent> {
    let in_refused = || [Count(COUNT_IN_REFUSED), Drop];
    let mut rules = vlan_rules();
    rules.push(rule(
        c"frames to a virtual MAC",
        guarded_mac(NFT_META_IIF, 0, COUNT_IN_REFUSED),
    ));
    rules.push(rule(
        c"IPv4 to an address",
        [protocol(ETHER_IPV4), network(16, 4, 0)]
            .into_iter()
            .flatten()
            .chain(closed(GUARD4))
            .chain(in_refused())
            .collect(),
    ));
    rules.push(rule(
        c"ARP from an address: nobody answers it, but it teaches",
        [protocol(ETHER_ARP), network(14, 4, 0)]
            .into_iter()
            .flatten()
            .chain([
                Map {
                    map: GUARD4,
                    key: 0,
                    value: VALUE,
                },
                Accept,
            ])
            .collect(),
    ));
    rules.push(rule(
        c"ARP for an address",
        [protocol(ETHER_ARP), network(24, 4, 0)]
            .into_iter()
            .flatten()
            .chain(closed(GUARD4))
            .chain(in_refused())
            .collect(),
    ));
    for (map, link) in guards6(plan) {
        rules.push(rule(
            c"IPv6 to an address",
            [
                protocol(ETHER_IPV6),
                address6(link, NFT_META_IIF, network(24, 16, 1)),
            ]
            .into_iter()
            .flatten()
            .chain(closed_at(map, link))
            .chain(in_refused())
            .collect(),
        ));
        rules.push(rule(
            c"solicitation of an address",
            [
                neighbour(SOLICITATION),
                address6(link, NFT_META_IIF, target()),
            ]
            .into_iter()
            .flatten()
            .chain(closed_at(map, link))
            .chain(in_refused())
            .collect(),
        ));
    }
    rules.extend(silent(plan));
    rules
}

fn egress(plan: &Plan) -> Vec<RuleContent> {
    let out_refused = || [Count(COUNT_OUT_REFUSED), Drop];
    let mut rules = vlan_rules();
    rules.push(adverts_rule());
    rules.push(rule(
        c"frames from a virtual MAC",
        guarded_mac(NFT_META_OIF, 6, COUNT_OUT_REFUSED),
    ));
    rules.push(rule(
        c"IPv4 from an address",
        [protocol(ETHER_IPV4), network(12, 4, 0)]
            .into_iter()
            .flatten()
            .chain(closed(GUARD4))
            .chain(out_refused())
            .collect(),
    ));
    rules.push(rule(
        c"ARP from an address",
        [protocol(ETHER_ARP), network(14, 4, 0)]
            .into_iter()
            .flatten()
            .chain(closed(GUARD4))
            .chain(out_refused())
            .collect(),
    ));
    if plan
        .addresses
        .iter()
        .any(|guarded| guarded.virtual_mac.is_some())
    {
        rules.push(rule(
            c"ARP from an address by another than its MAC",
            [
                protocol(ETHER_ARP),
                meta(NFT_META_OIF, 0),
                network(14, 4, 1),
            ]
            .into_iter()
            .flatten()
            .chain([
                Member {
                    set: MOVED4,
                    key: 0,
                },
                link_layer(6, 6, 0),
                Payload {
                    base: NFT_PAYLOAD_NETWORK_HEADER,
                    offset: 14,
                    length: 4,
                    register: 2,
                },
                NotMember {
                    set: RIGHTFUL4,
                    key: 0,
                },
            ])
            .chain(out_refused())
            .collect(),
        ));
        rules.push(rule(
            c"advertisement of an address by another than its MAC",
            [neighbour(ADVERTISEMENT), meta(NFT_META_OIF, 0), target()]
                .into_iter()
                .flatten()
                .chain([
                    Member {
                        set: MOVED6,
                        key: 0,
                    },
                    link_layer(6, 6, 0),
                    Payload {
                        base: NFT_PAYLOAD_TRANSPORT_HEADER,
                        offset: 8,
                        length: 16,
                        register: 2,
                    },
                    NotMember {
                        set: RIGHTFUL6,
                        key: 0,
                    },
                ])
                .chain(out_refused())
                .collect(),
        ));
    }
    for (map, link) in guards6(plan) {
        rules.push(rule(
            c"IPv6 from an address",
            [
                protocol(ETHER_IPV6),
                address6(link, NFT_META_OIF, network(8, 16, 1)),
            ]
            .into_iter()
            .flatten()
            .chain(closed_at(map, link))
            .chain(out_refused())
            .collect(),
        ));
        rules.push(rule(
            c"advertisement of an address",
            [
                neighbour(ADVERTISEMENT),
                address6(link, NFT_META_OIF, target()),
            ]
            .into_iter()
            .flatten()
            .chain(closed_at(map, link))
            .chain(out_refused())
            .collect(),
        ));
        let unspecified = Equal {
            register: 1,
            value: Ipv6Addr::UNSPECIFIED.octets().to_vec(),
        };
        rules.push(rule(
            c"duplicate detection of an address",
            [
                neighbour(SOLICITATION),
                network(8, 16, 1),
                vec![unspecified],
                address6(link, NFT_META_OIF, target()),
            ]
            .into_iter()
            .flatten()
            .chain(closed_at(map, link))
            .chain(out_refused())
            .collect(),
        ));
    }
    rules
}

// accept = false: neighbour discovery and ARP go on, everything else to the addresses does not.
fn silent(plan: &Plan) -> Vec<RuleContent> {
    let has = |v4: bool| {
        plan.addresses
            .iter()
            .any(|g| !g.accept && g.address.is_ipv4() == v4)
    };
    let refused = [Count(COUNT_IN_REFUSED), Drop];
    let mut rules = Vec::new();
    if has(true) {
        rules.push(rule(
            c"not accepted",
            [protocol(ETHER_IPV4), network(16, 4, 0)]
                .into_iter()
                .flatten()
                .chain([Member {
                    set: SILENT4,
                    key: 0,
                }])
                .chain(refused.clone())
                .collect(),
        ));
    }
    if has(false) {
        for kind in [SOLICITATION, ADVERTISEMENT] {
            let mut accept = neighbour(kind);
            accept.push(Accept);
            rules.push(rule(c"always accepted", accept));
        }
        rules.push(rule(
            c"not accepted",
            [
                protocol(ETHER_IPV6),
                meta(NFT_META_IIF, 0),
                network(24, 16, 1),
            ]
            .into_iter()
            .flatten()
            .chain([Member {
                set: SILENT6,
                key: 0,
            }])
            .chain(refused)
            .collect(),
        ));
    }
    rules
}

fn adverts(plan: &Plan) -> ChainContent {
    let rules = plan.routers.iter().map(|router| {
        let mut steps = meta(NFT_META_OIF, 0);
        steps.push(Equal {
            register: 0,
            value: router.index.to_ne_bytes().to_vec(),
        });
        steps.extend(protocol(router.key.ether_type()));
        steps.push(transport(1, 1, 0));
        steps.push(Equal {
            register: 0,
            value: vec![router.key.number() as u8],
        });
        steps.push(Jump(c_string(&router_chain(router))));
        rule(c"", steps)
    });
    chain("adverts", None, rules.collect())
}

// One advert renews its router's lease and the group's; priority 0 closes both, so that a worker
// whose host is dead closes the fence by resigning.
fn router_rules(router: &Router, fence: bool) -> Vec<RuleContent> {
    let own = || Immediate {
        register: 0,
        value: router.key.bytes().to_vec(),
    };
    let group = || Immediate {
        register: 0,
        value: router.group.bytes().to_vec(),
    };
    let timeout_ms = router.lease.as_millis() as u64;
    let mut resign = vec![
        transport(2, 1, 0),
        Equal {
            register: 0,
            value: vec![0],
        },
    ];
    resign.extend([
        own(),
        Revoke { set: LEASE, key: 0 },
        group(),
        Revoke { set: LEASE, key: 0 },
    ]);
    let mut renew = vec![own(), Member { set: LEASE, key: 0 }];
    renew.push(Renew {
        set: LEASE,
        key: 0,
        timeout_ms,
    });
    renew.extend([
        group(),
        Renew {
            set: LEASE,
            key: 0,
            timeout_ms,
        },
    ]);
    // A revocation of what is not there ends the rule: the packet passes by the next one.
    let resigned = vec![
        transport(2, 1, 0),
        Equal {
            register: 0,
            value: vec![0],
        },
    ];
    let end = |mut steps: Vec<Expression>, count, verdict| {
        if fence {
            steps.push(Count(count));
        }
        steps.push(verdict);
        steps
    };
    let mut rules = vec![
        rule(c"resign: close the lease", resign),
        rule(c"resign: pass", end(resigned, COUNT_RESIGNED, Accept)),
        rule(c"renew the lease", end(renew, COUNT_ADVERTS, Accept)),
    ];
    if fence {
        rules.push(rule(c"no lease", vec![Count(COUNT_ADVERTS_REFUSED), Drop]));
    }
    rules
}

fn elements(plan: &Plan) -> Vec<(&'static CStr, Vec<Element>)> {
    let mut sets: Vec<(&'static CStr, Vec<Element>)> = STATIC_SETS
        .iter()
        .map(|kind| (kind.name, Vec::new()))
        .collect();
    let mut put = |set: &CStr, key: Vec<u8>, value: Vec<u8>| {
        if let Some((_, elements)) = sets.iter_mut().find(|(name, _)| *name == set) {
            let element = Element {
                key,
                value,
                timeout_ms: None,
            };
            if !elements.iter().any(|known| known.key == element.key) {
                elements.push(element);
            }
        }
    };
    for router in &plan.routers {
        if let Some((mac, device)) = router.virtual_mac {
            for index in [router.index, device] {
                put(
                    MAC,
                    [number(index), padded(mac)].concat(),
                    router.key.bytes().to_vec(),
                );
            }
        }
    }
    for guarded in &plan.addresses {
        let devices = [
            Some(guarded.index),
            guarded.virtual_mac.map(|(_, device)| device),
        ];
        let key = guarded.key.bytes().to_vec();
        match guarded.address {
            IpAddr::V4(address) => {
                let address = address.octets().to_vec();
                put(GUARD4, address.clone(), key);
                if let Some((mac, _)) = guarded.virtual_mac {
                    put(
                        MOVED4,
                        [number(guarded.index), address.clone()].concat(),
                        Vec::new(),
                    );
                    put(
                        RIGHTFUL4,
                        [padded(mac), address.clone()].concat(),
                        Vec::new(),
                    );
                }
                if !guarded.accept {
                    put(SILENT4, address, Vec::new());
                }
            }
            IpAddr::V6(address) => {
                let link = is_link_local(guarded.address);
                let address = address.octets().to_vec();
                if !link {
                    put(GUARD6, address.clone(), key.clone());
                }
                for index in devices.into_iter().flatten() {
                    let here = [number(index), address.clone()].concat();
                    if link {
                        put(GUARD6_LINK, here.clone(), key.clone());
                    }
                    if !guarded.accept {
                        put(SILENT6, here, Vec::new());
                    }
                }
                if let Some((mac, _)) = guarded.virtual_mac {
                    put(
                        MOVED6,
                        [number(guarded.index), address.clone()].concat(),
                        Vec::new(),
                    );
                    put(RIGHTFUL6, [padded(mac), address].concat(), Vec::new());
                }
            }
        }
    }
    sets
}

/// An address that means something else on every interface.
pub fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.segments()[0] & 0xffc0 == 0xfe80)
}

// A hook of a device sees the frames of its VLANs too; they are their own device's business.
fn vlan_rules() -> Vec<RuleContent> {
    [0x8100u16, 0x88a8]
        .map(|tag| {
            let value = tag.to_be_bytes().to_vec();
            rule(
                c"",
                vec![link_layer(12, 2, 0), Equal { register: 0, value }, Accept],
            )
        })
        .into()
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

fn guarded_mac(device: u32, offset: u32, count: &'static CStr) -> Vec<Expression> {
    let mut steps = meta(device, 0);
    steps.push(link_layer(offset, 6, 1));
    steps.extend(closed(MAC));
    steps.extend([Count(count), Drop]);
    steps
}

// Where maps put a lease key: behind the longest key.
const VALUE: u32 = 8;

// Goes on where the key in register 0 belongs to a lease that is not open.
fn closed(map: &'static CStr) -> [Expression; 2] {
    closed_from(map, 0)
}

fn closed_at(map: &'static CStr, link: bool) -> [Expression; 2] {
    closed_from(map, if link { 0 } else { 1 })
}

fn closed_from(map: &'static CStr, key: u32) -> [Expression; 2] {
    [
        Map {
            map,
            key,
            value: VALUE,
        },
        NotMember {
            set: LEASE,
            key: VALUE,
        },
    ]
}

// Maps of IPv6 addresses, and whether their key begins with the interface.
fn guards6(plan: &Plan) -> Vec<(&'static CStr, bool)> {
    let has = |link| {
        plan.addresses
            .iter()
            .any(|g| g.address.is_ipv6() && is_link_local(g.address) == link)
    };
    [(GUARD6, false), (GUARD6_LINK, true)]
        .into_iter()
        .filter(|(_, link)| has(*link))
        .collect()
}

// An IPv6 address in registers 1-4, for link-local ones behind the interface in register 0.
fn address6(link: bool, device: u32, load: Vec<Expression>) -> Vec<Expression> {
    if link {
        [meta(device, 0), load].concat()
    } else {
        load
    }
}

const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;

fn neighbour(kind: u8) -> Vec<Expression> {
    const ICMPV6: u8 = 58;
    let mut steps = meta(NFT_META_L4PROTO, 0);
    steps.push(Equal {
        register: 0,
        value: vec![ICMPV6],
    });
    steps.push(transport(0, 1, 0));
    steps.push(Equal {
        register: 0,
        value: vec![kind],
    });
    steps
}

// The target of neighbour discovery, in registers 1-4.
fn target() -> Vec<Expression> {
    vec![transport(8, 16, 1)]
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

fn transport(offset: u32, length: u32, register: u32) -> Expression {
    Payload {
        base: NFT_PAYLOAD_TRANSPORT_HEADER,
        offset,
        length,
        register,
    }
}

fn link_layer(offset: u32, length: u32, register: u32) -> Expression {
    Payload {
        base: NFT_PAYLOAD_LL_HEADER,
        offset,
        length,
        register,
    }
}

fn router_chain(router: &Router) -> String {
    let family = if router.key.ether_type() == ETHER_IPV6 {
        "-v6"
    } else {
        ""
    };
    format!(
        "advert-{}-{}{family}",
        router.interface,
        router.key.number()
    )
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
