//! Contents of the table: converts a [`Plan`] to chains, rules and elements.
//!
//! Every device has two base chains, which only jump to `ingress` and `egress`, or to the chains for devices elsewhere.
//! The adverts of each virtual router have a chain of their own, to which `adverts` jumps by a map; only IP protocol
//! 112 reaches that. Every lease has a guard chain, to which the maps of addresses and virtual MACs jump. During a
//! switchover the guard chain continues in the chain `carried`.

use std::ffi::{CStr, CString};

use spared_contract::Family;
use spared_netlink::constants::*;

use super::LeaseKey;
use super::expression::Expression::{self, *};
use super::key::{ETHER_IPV4, ETHER_IPV6};
use super::object::{Element, Hook};
use super::plan::{Device, Plan, VirtualRouter};
use super::rules::{
    REFUSALS, REFUSE, adverts_rule, carried, egress, egress_elsewhere, ingress, ingress_elsewhere,
    refusal, refuse, tagged,
};
use super::sets::*;
use super::steps::*;

/// Chains and elements of a table.
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

// Our chains come first for incoming packets and last for outgoing ones: an advert that other rules
// drop renews no lease.
const INGRESS_PRIORITY: i32 = -500;
const EGRESS_PRIORITY: i32 = 500;

/// Contents of the fence.
pub fn fence(plan: &Plan) -> Content {
    let mut chains = vec![
        chain("ingress", None, ingress(plan)),
        chain("egress", None, egress(plan)),
        chain("ingress-elsewhere", None, ingress_elsewhere(plan)),
        chain("egress-elsewhere", None, egress_elsewhere(plan)),
        adverts(plan),
    ];
    chains.push(chain("carried", None, carried(plan)));
    chains.extend(REFUSALS.map(|(name, count)| chain(name, None, refusal(count))));
    chains.extend(guard_chains(plan));
    chains.extend(advert_chains(plan, true));
    let devices = plan.devices.iter().map(|it| (it, "ingress", "egress"));
    let elsewhere = plan.elsewhere.iter();
    let elsewhere = elsewhere.map(|it| (it, "ingress-elsewhere", "egress-elsewhere"));
    for (device, ingress, egress) in devices.chain(elsewhere) {
        let jump = |to: &str| vec![rule(c"", vec![Jump(c_string(to))])];
        let hook = |number, priority| {
            Some(Hook {
                device: Some(c_string(&device.name)),
                number,
                priority,
            })
        };
        chains.push(chain(
            &hook_name("in", device),
            hook(NF_NETDEV_INGRESS, INGRESS_PRIORITY),
            jump(ingress),
        ));
        chains.push(chain(
            &hook_name("out", device),
            hook(NF_NETDEV_EGRESS, EGRESS_PRIORITY),
            jump(egress),
        ));
    }
    Content {
        chains,
        elements: elements(plan),
    }
}

/// Contents of the mirror: only the leases. The same adverts renew them, after the fence has passed these.
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
            device: Some(c_string(&device.name)),
            number: NF_NETDEV_EGRESS,
            priority: EGRESS_PRIORITY + 1,
        };
        let name = hook_name("out", device);
        chains.push(chain(&name, Some(hook), vec![adverts_rule()]));
    }
    Content {
        chains,
        elements: advert_elements(plan),
    }
}

// Name of a device's base chain. It contains the index, because a chain stays on its device when another device takes
// the name.
fn hook_name(direction: &str, device: &Device) -> String {
    format!("{direction}-{}-{}", device.name, device.index)
}

// Guard chains, the targets of the guard maps. They return while the lease is valid. Without a lease they refuse
// everything; while the key is carried, they refuse only what would teach others that the address is here.
fn guard_chains(plan: &Plan) -> Vec<ChainContent> {
    let keys = plan
        .routers
        .iter()
        .flat_map(|router| [router.key, router.group]);
    let nowhere = plan.addresses.iter().map(|guarded| guarded.key);
    let nowhere = nowhere.filter(|key| *key == LeaseKey::NEVER);
    let unique: std::collections::BTreeSet<LeaseKey> = keys.chain(nowhere).collect();
    unique
        .into_iter()
        .map(|key| {
            let open = steps([lease(key), member(LEASE, 0), vec![Return]]);
            let closed = steps([lease(key), not_member(CARRY, 0), refuse(REFUSE)]);
            let rules = vec![
                rule(c"", open),
                rule(c"no lease", closed),
                rule(c"", vec![Jump(c_string("carried"))]),
            ];
            chain(&guard_chain_name(plan, key), None, rules)
        })
        .collect()
}

// Chain with one lookup for each advert, however many virtual routers there are.
fn adverts(plan: &Plan) -> ChainContent {
    let families = [Family::V4, Family::V6];
    let families = families.into_iter().filter(|family| {
        let mut routers = plan.routers.iter();
        routers.any(|router| router.family == *family)
    });
    let rules = families.map(|family| {
        rule(
            c"",
            steps([
                protocol(ether_type(family)),
                meta(NFT_META_OIF, 0),
                transport(1, 1, 1),
                guard(advert_map(family), 0),
            ]),
        )
    });
    let rules = tagged(NFT_META_OIFTYPE).into_iter().chain(rules);
    chain("adverts", None, rules.collect())
}

// Chains of adverts. An advert renews the leases of its virtual router and of the group. Priority 0 revokes both, so
// that a worker whose host is dead blocks the fence by resigning.
fn advert_chains(plan: &Plan, fence: bool) -> Vec<ChainContent> {
    let count = |counter| {
        if fence {
            vec![Count(counter)]
        } else {
            Vec::new()
        }
    };
    let chain_of = |router: &VirtualRouter| {
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
        chain(&advert_chain_name(router), None, rules)
    };
    plan.routers.iter().map(chain_of).collect()
}

/// Name of the chain for the adverts of a virtual router.
pub fn advert_chain_name(router: &VirtualRouter) -> String {
    format!("advert-{}", router_name(router))
}

fn router_name(router: &VirtualRouter) -> String {
    let family = if router.family == Family::V6 {
        "-v6"
    } else {
        ""
    };
    format!("{}-{}{family}", router.interface, router.vrid)
}

/// Name of the chain that passes the packets of a lease.
pub fn guard_chain_name(plan: &Plan, key: LeaseKey) -> String {
    if key == LeaseKey::NEVER {
        return "guard-absent".to_owned();
    }
    let router = plan.routers.iter().find(|router| router.key == key);
    let name = router.map_or_else(|| format!("group-{}", key.number()), router_name);
    format!("guard-{name}")
}

fn ether_type(family: Family) -> u16 {
    match family {
        Family::V4 => ETHER_IPV4,
        Family::V6 => ETHER_IPV6,
    }
}

pub fn chain(name: &str, hook: Option<Hook>, rules: Vec<RuleContent>) -> ChainContent {
    ChainContent {
        name: c_string(name),
        hook,
        rules,
    }
}

pub fn rule(why: &'static CStr, expressions: Vec<Expression>) -> RuleContent {
    RuleContent { why, expressions }
}

pub fn c_string(text: &str) -> CString {
    CString::new(text.replace('\0', "")).unwrap_or_default()
}
