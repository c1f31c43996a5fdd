//! Rules for every packet: a constant number of lookups, however many addresses there are.

use std::ffi::CStr;
use std::net::Ipv6Addr;

use spared_netlink::constants::*;

use super::expression::Expression::{self, *};
use super::key::{ETHER_ARP, ETHER_IPV4, ETHER_IPV6};
use super::plan::{Plan, is_link_local};
use super::ruleset::{RuleContent, c_string, rule};
use super::sets::*;
use super::steps::*;

/// Rules for incoming packets.
pub fn ingress(plan: &Plan) -> Vec<RuleContent> {
    let mut rules = vec![rule(
        c"IPv4 to an address",
        steps([protocol(ETHER_IPV4), network(16, 4, 0), guard(GUARD4, 0)]),
    )];
    if has_virtual_macs(plan) {
        let frame = [meta(NFT_META_IIF, 0), link_layer(0, 6, 1), guard(MAC, 0)].concat();
        rules.push(rule(
            c"frames to a virtual MAC",
            steps([ethernet(NFT_META_IIFTYPE), frame]),
        ));
    }
    rules.extend(arp_to());
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
        rules.push(solicitation(map, device));
    }
    rules.extend(not_accepting(plan));
    rules
}

/// Rules for packets received by a device without an address of the plan: the kernel answers ARP on every device for
/// the addresses of all devices. Forwarded packets pass.
pub fn ingress_elsewhere(plan: &Plan) -> Vec<RuleContent> {
    let mut rules = arp_to();
    let guards = guards6(plan, NFT_META_IIF).into_iter();
    rules.extend(guards.map(|(map, device)| solicitation(map, device)));
    rules
}

/// Rules for packets sent by a device without an address of the plan.
pub fn egress_elsewhere(plan: &Plan) -> Vec<RuleContent> {
    let mut rules = vec![arp_from()];
    let guards = guards6(plan, NFT_META_OIF).into_iter();
    rules.extend(guards.map(|(map, device)| advertisement(map, device)));
    rules.extend(wrong_mac_elsewhere(plan));
    rules
}

fn arp_to() -> Vec<RuleContent> {
    let unanswered = [
        protocol(ETHER_ARP),
        network(14, 4, 0),
        member(OWN4, 0),
        vec![Accept],
    ];
    vec![
        rule(
            c"ARP from an address: unanswered, but updates neighbours",
            steps(unanswered),
        ),
        rule(
            c"ARP for an address",
            steps([protocol(ETHER_ARP), network(24, 4, 0), guard(GUARD4, 0)]),
        ),
    ]
}

fn arp_from() -> RuleContent {
    rule(
        c"ARP from an address",
        steps([protocol(ETHER_ARP), network(14, 4, 0), guard(GUARD4, 0)]),
    )
}

fn solicitation(map: &'static CStr, device: Vec<Expression>) -> RuleContent {
    let key = 1 - device.len() as u32;
    rule(
        c"solicitation of an address",
        steps([neighbour(SOLICITATION), device, target(1), guard(map, key)]),
    )
}

fn advertisement(map: &'static CStr, device: Vec<Expression>) -> RuleContent {
    let key = 1 - device.len() as u32;
    rule(
        c"advertisement of an address",
        steps([neighbour(ADVERTISEMENT), device, target(1), guard(map, key)]),
    )
}

/// Rules for outgoing packets.
pub fn egress(plan: &Plan) -> Vec<RuleContent> {
    let mut rules = vec![
        adverts_rule(),
        rule(
            c"IPv4 from an address",
            steps([protocol(ETHER_IPV4), network(12, 4, 0), guard(GUARD4, 0)]),
        ),
        arp_from(),
    ];
    if has_virtual_macs(plan) {
        let frame = [meta(NFT_META_OIF, 0), link_layer(6, 6, 1), guard(MAC, 0)].concat();
        rules.push(rule(
            c"frames from a virtual MAC",
            steps([ethernet(NFT_META_OIFTYPE), frame]),
        ));
    }
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
        rules.push(advertisement(map, device.clone()));
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

// Rules against another MAC: the parent of a virtual-MAC device also answers for its addresses, with the MAC of the
// parent.
fn wrong_mac(plan: &Plan) -> Vec<RuleContent> {
    let device = || meta(NFT_META_OIF, 0);
    wrong_mac_of(
        plan,
        [device(), network(14, 4, 1), member(MOVED4, 0)].concat(),
        [device(), target(1), member(MOVED6, 0)].concat(),
    )
}

// Rules against another MAC for all other devices, such as the device below a macvlan: they answer as well.
fn wrong_mac_elsewhere(plan: &Plan) -> Vec<RuleContent> {
    wrong_mac_of(
        plan,
        [network(14, 4, 0), member(MOVED4_ANYWHERE, 0)].concat(),
        [target(1), member(MOVED6_ANYWHERE, 1)].concat(),
    )
}

fn wrong_mac_of(plan: &Plan, is4: Vec<Expression>, is6: Vec<Expression>) -> Vec<RuleContent> {
    if !has_virtual_macs(plan) {
        return Vec::new();
    }
    let refuse = || refuse(REFUSE_WRONG_MAC);
    let stranger = |set| not_member(set, 0);
    vec![
        rule(
            c"ARP by another than the virtual MAC",
            steps([
                protocol(ETHER_ARP),
                is4,
                ethernet(NFT_META_OIFTYPE),
                [link_layer(6, 6, 0), network(14, 4, 2), stranger(RIGHTFUL4)].concat(),
                refuse(),
            ]),
        ),
        rule(
            c"advertisement by another than the virtual MAC",
            steps([
                neighbour(ADVERTISEMENT),
                is6,
                ethernet(NFT_META_OIFTYPE),
                [link_layer(6, 6, 0), target(2), stranger(RIGHTFUL6)].concat(),
                refuse(),
            ]),
        ),
    ]
}

// Rules for addresses with `accept = false`: neighbour discovery and ARP pass; all other packets to the addresses are
// dropped.
fn not_accepting(plan: &Plan) -> Vec<RuleContent> {
    let has = |v4: bool| {
        plan.addresses
            .iter()
            .any(|g| !g.accept && g.address.is_ipv4() == v4)
    };
    let refuse = || refuse(REFUSE_NOT_ACCEPTED);
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

/// Rules during a switchover. Packets pass, unless they teach a neighbour or a switch where the address is: ARP,
/// neighbour discovery, frames from the virtual MAC.
pub fn carried(plan: &Plan) -> Vec<RuleContent> {
    let refuse = || refuse(REFUSE);
    let mut rules = vec![
        rule(c"ARP", steps([protocol(ETHER_ARP), refuse()])),
        rule(c"solicitation", steps([neighbour(SOLICITATION), refuse()])),
        rule(
            c"advertisement",
            steps([neighbour(ADVERTISEMENT), refuse()]),
        ),
    ];
    if has_virtual_macs(plan) {
        let source = [meta(NFT_META_OIF, 0), link_layer(6, 6, 1)].concat();
        rules.push(rule(
            c"frames from a virtual MAC",
            steps([
                ethernet(NFT_META_OIFTYPE),
                source,
                member(VIRTUAL, 0),
                refuse(),
            ]),
        ));
    }
    rules
}

/// Chains that count and drop packets, except frames with a VLAN tag. The hook of a device sees those frames too, but
/// the chains of the VLAN's own device decide on them.
pub const REFUSALS: [(&str, &CStr); 3] = [
    (REFUSE, COUNT_REFUSED),
    (REFUSE_NOT_ACCEPTED, COUNT_NOT_ACCEPTED),
    (REFUSE_WRONG_MAC, COUNT_WRONG_MAC),
];
pub const REFUSE: &str = "refuse";
const REFUSE_NOT_ACCEPTED: &str = "refuse-not-accepted";
const REFUSE_WRONG_MAC: &str = "refuse-wrong-mac";

/// Rules of a chain in [`REFUSALS`].
pub fn refusal(count: &'static CStr) -> Vec<RuleContent> {
    let mut rules = tagged(NFT_META_IIFTYPE);
    rules.extend(tagged(NFT_META_OIFTYPE));
    rules.push(rule(c"", vec![Count(count), Drop]));
    rules
}

/// Ends a rule with a jump to a chain in [`REFUSALS`].
pub fn refuse(chain: &str) -> Vec<Expression> {
    vec![Jump(c_string(chain))]
}

/// Rules that leave the chain if the frame has a VLAN tag.
pub fn tagged(device_type: u32) -> Vec<RuleContent> {
    let leave = |tag: u16| {
        let value = tag.to_be_bytes().to_vec();
        let leave = vec![Equal { register: 0, value }, Return];
        rule(
            c"",
            steps([ethernet(device_type), link_layer(12, 2, 0), leave]),
        )
    };
    [0x8100, 0x88a8].map(leave).into()
}

fn has_virtual_macs(plan: &Plan) -> bool {
    plan.routers
        .iter()
        .any(|router| router.virtual_mac.is_some())
}

/// Jumps to `adverts`, both with our adverts and with VRRP of other routers.
pub fn adverts_rule() -> RuleContent {
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

// Maps of IPv6 addresses, each with the expressions that load the beginning of its key: nothing, or the interface. The
// address itself is loaded to the registers 1-4.
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
