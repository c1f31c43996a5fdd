//! Chains of the leases: a guard chain refuses the packets of an address without a lease, and adverts renew it.

use spared_contract::Family;
use spared_netlink::constants::*;

use super::LeaseKey;
use super::expression::Expression::*;
use super::key::{ETHER_IPV4, ETHER_IPV6};
use super::plan::{Plan, VirtualRouter};
use super::rules::{REFUSE, refuse, tagged};
use super::ruleset::{ChainContent, c_string, chain, rule};
use super::sets::*;
use super::steps::*;

/// Guard chains, the targets of the guard maps. They return while the lease is valid. Without a lease they refuse
/// everything; while the key is carried, they refuse only what would teach others that the address is here.
pub fn guard_chains(plan: &Plan) -> Vec<ChainContent> {
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

/// Chain with one lookup for each advert, however many virtual routers there are.
pub fn adverts(plan: &Plan) -> ChainContent {
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

/// Chains of adverts. An advert renews the leases of its virtual router and of the group. Priority 0 revokes both, so
/// that a worker whose host is dead blocks the fence by resigning.
pub fn advert_chains(plan: &Plan, fence: bool) -> Vec<ChainContent> {
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
