//! Checks the claims of a group.

use std::collections::{BTreeSet, HashSet};
use std::net::IpAddr;
use std::time::Duration;

use spared_contract::{AddressClaim, Claims, Family, RuleClaim};

use super::group_claims::{Group, router_id};

/// Checks claims against each other and against `others`, the other groups. The error says what is
/// wrong.
pub fn check<'a>(claims: &Claims, others: impl Iterator<Item = &'a Group>) -> Result<(), String> {
    const CLAIMS_MAX: usize = 4096;
    if claims
        .routers
        .len()
        .max(claims.addresses.len())
        .max(claims.routes.len())
        .max(claims.rules.len())
        > CLAIMS_MAX
    {
        return Err(format!("more than {CLAIMS_MAX} claims of a kind"));
    }
    if claims.routers.is_empty() && !claims.addresses.is_empty() {
        return Err("addresses without a virtual router to renew their lease".into());
    }
    if !claims.routers.is_empty() && Duration::from_nanos(claims.lease_ns) < super::fence::LEASE_MIN
    {
        let min = super::fence::LEASE_MIN.as_millis();
        return Err(format!("lease below the minimum of {min} ms"));
    }
    let mut routers = BTreeSet::new();
    let mut addresses = BTreeSet::new();
    let mut rules = HashSet::new();
    for group in others {
        rules.extend(group.claims.rules.iter().cloned());
        routers.extend(group.claims.routers.iter().map(router_id));
        addresses.extend(group.claims.addresses.iter().map(place));
    }
    for router in &claims.routers {
        check_name(&router.interface)?;
        if !router.vmac_name.is_empty() {
            check_name(&router.vmac_name)?;
        }
        if router.vrid == 0 {
            return Err(format!("{}: vrid 0, allowed 1-255", router.interface));
        }
        if !routers.insert(router_id(router)) {
            return Err(format!(
                "{}: vrid {} is claimed twice",
                router.interface, router.vrid
            ));
        }
    }
    for address in &claims.addresses {
        check_name(&address.interface)?;
        check_prefix(address.address, address.prefix)?;
        if !addresses.insert(place(address)) {
            return Err(format!("{} is claimed twice", address.address));
        }
        check_label(address)?;
        let Some(router) = address.router else {
            continue;
        };
        let router = claims
            .routers
            .get(router as usize)
            .ok_or("an address refers to a virtual router that does not exist")?;
        if router.interface != address.interface {
            return Err(format!(
                "{} is on another interface than its virtual router",
                address.address
            ));
        }
    }
    for route in &claims.routes {
        route.interface.as_deref().map_or(Ok(()), check_name)?;
        check_prefix(route.destination, route.prefix)?;
        if route.gateway.is_none() && route.interface.is_none() {
            return Err(format!(
                "route {}/{}: neither gateway nor interface",
                route.destination, route.prefix
            ));
        }
    }
    for rule in &claims.rules {
        check_rule(rule)?;
        if !rules.insert(rule.clone()) {
            return Err(format!("rule {} is claimed twice", rule.priority));
        }
    }
    Ok(())
}

fn check_rule(rule: &RuleClaim) -> Result<(), String> {
    for name in [&rule.iif, &rule.oif] {
        if !name.is_empty() {
            check_name(name)?;
        }
    }
    let is_of_family = |it: &IpAddr| it.is_ipv4() == (rule.family == Family::V4);
    for (network, prefix) in [(rule.from, rule.from_prefix), (rule.to, rule.to_prefix)] {
        let Some(address) = network else { continue };
        check_prefix(address, prefix)?;
        if !is_of_family(&address) {
            let number = rule.priority;
            return Err(format!("rule {number}: {address} is of another family"));
        }
    }
    // 0 is the priority of the rule that looks up the node's own addresses
    if rule.priority == 0 || rule.table == 0 {
        return Err(format!(
            "rule {}: needs a priority and a table",
            rule.priority
        ));
    }
    Ok(())
}

// A label is shown in lists of the kernel, each in a line of its own.
fn check_label(claim: &AddressClaim) -> Result<(), String> {
    let label = &claim.label;
    if label.len() > 15 || !label.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!("{label:?} is no label of an address"));
    }
    Ok(())
}

// Identity of an address. A link-local address is unique on its interface, any other one in the
// network.
fn place(claim: &AddressClaim) -> (IpAddr, Option<String>) {
    let link = super::fence::is_link_local(claim.address);
    (claim.address, link.then(|| claim.interface.clone()))
}

fn check_prefix(address: IpAddr, prefix: u8) -> Result<(), String> {
    let max = if address.is_ipv4() { 32 } else { 128 };
    if prefix > max {
        Err(format!("{address}/{prefix}: no such prefix"))
    } else {
        Ok(())
    }
}

/// Checks that the name is valid for an interface, and safe in a path.
pub fn check_name(name: &str) -> Result<(), String> {
    let fits = (1..=15).contains(&name.len()) && name != "." && name != "..";
    let letters = name
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'/' && byte != b':');
    if fits && letters {
        Ok(())
    } else {
        Err(format!("{name:?} is no interface name"))
    }
}
