//! Reads what follows a group without adverts: addresses, routes and policy rules.

use std::net::IpAddr;

use spared_sdk::config::{IpNet, Mark, Section, node};

use super::addresses::{Labels, check_addresses, mark_source};
use super::members::{ADDRESS, interface};
use super::{Address, GroupAddress, Route, Rule, is_link_local};
use crate::wire::Family;

/// Greatest weight of a check.
const WEIGHT_MAX: u64 = 9999;
const MARK: &str = "a mark, like \"16\" or \"0x10/0xff\", without bits beyond its mask";

pub(super) fn group_addresses(
    (section_index, section): (usize, &Section<'_>),
) -> Option<Vec<GroupAddress>> {
    let interface = section.required(node("interface"), interface(section, "interface"));
    let mut labels = Labels::new(interface.as_deref(), false);
    let prefixes = labels.read(section, "addresses");
    let prefixes: Option<Vec<IpNet>> = section.required("addresses", prefixes);
    let source = section.flag("source").unwrap_or(false);
    let weight = weight(section);
    let prefixes = prefixes?;
    if prefixes.is_empty() {
        section.fault("addresses", "found none, allowed are one or more");
    }
    check_addresses(section, "addresses", &prefixes);
    let addresses = prefixes.into_iter().map(|prefix| labels.address(prefix));
    let mut addresses: Vec<Address> = addresses.collect();
    if source {
        mark_source(&mut addresses);
    }
    let interface = interface?;
    let group_address = |address| GroupAddress {
        section_index,
        interface: interface.clone(),
        address,
        weight,
    };
    Some(addresses.into_iter().map(group_address).collect())
}

/// Reads a network; the kernel refuses a route to an address with host bits.
fn network(section: &Section<'_>, key: &str) -> Option<IpNet> {
    let written = section.cidr(key)?;
    if written != written.trunc() {
        let why = format!(
            "found \"{written}\", allowed is its network, \"{}\"",
            written.trunc()
        );
        section.fault(key, why);
        return None;
    }
    Some(written)
}

pub(super) fn route(section: &Section<'_>) -> Option<Route> {
    let destination = section.required("destination", network(section, "destination"));
    let gateway: Option<IpAddr> = section.parsed("gateway", ADDRESS);
    let interface = interface(section, "interface");
    let source: Option<IpAddr> = section.parsed("source", ADDRESS);
    let number = |key| {
        let found = section.integer(key, 0..=u64::from(u32::MAX)).unwrap_or(0);
        u32::try_from(found).unwrap_or(u32::MAX)
    };
    let (metric, table) = (number("metric"), number("table"));
    let weight = weight(section);
    if !section.has("gateway") && !section.has(node("interface")) {
        section.fault(
            "gateway",
            "missing: a route needs a gateway or an interface",
        );
    }
    let destination = destination?;
    for (key, address) in [("gateway", gateway), ("source", source)] {
        if address.is_some_and(|a| Family::of(a) != Family::of(destination.addr())) {
            section.fault(key, format!("is of another family than \"{destination}\""));
        }
    }
    if gateway.is_some_and(is_link_local) && interface.is_none() {
        section.fault("interface", "missing: a link-local gateway needs it");
    }
    Some(Route {
        destination,
        gateway,
        interface,
        source,
        metric,
        table,
        weight,
    })
}

pub(super) fn rule(section: &Section<'_>) -> Option<Rule> {
    let number = |key| {
        let found = section.integer(key, 1..=u64::from(u32::MAX));
        let found = section.required(key, found)?;
        u32::try_from(found).ok()
    };
    let (priority, table) = (number("priority"), number("table"));
    let (from, to) = (network(section, "from"), network(section, "to"));
    let families = [("ipv4", Family::V4), ("ipv6", Family::V6)];
    let chosen = section.choice("family", &families);
    let mark: Option<Mark> = section.parsed("fwmark", MARK);
    let (iif, oif) = (interface(section, "iif"), interface(section, "oif"));
    let of = |net: IpNet| Family::of(net.addr());
    let family = chosen.or(from.map(of)).or(to.map(of));
    let family = family.unwrap_or(Family::V4);
    for (key, net) in [("from", from), ("to", to)] {
        if let Some(net) = net.filter(|net| of(*net) != family) {
            let why = format!("found \"{net}\", the rule is for {}", family.name());
            section.fault(key, why);
        }
    }
    let narrower = |net: &IpNet| net.prefix_len() > 0;
    Some(Rule {
        family,
        priority: priority?,
        from: from.filter(narrower),
        to: to.filter(narrower),
        mark,
        iif,
        oif,
        table: table?,
    })
}

/// Reads the weight of an interface's check.
pub(super) fn weight(section: &Section<'_>) -> u32 {
    let weight = section.integer("weight", 0..=WEIGHT_MAX).unwrap_or(100);
    u32::try_from(weight).unwrap_or(u32::MAX)
}
