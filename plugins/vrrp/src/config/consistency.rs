//! Checks rules between groups and virtual routers.

use std::collections::HashMap;
use std::net::IpAddr;

use spared_sdk::config::Section;

use super::{ADVERTISED_IPV4_MAX, Settings, is_link_local};
use crate::wire::Family;

/// Records a fault for each duplicate, and for addresses that do not fit into one advert.
pub(super) fn check(settings: &Settings, sections: &[Section<'_>]) {
    names(settings, sections);
    for (group, section) in settings.groups.iter().zip(sections) {
        for router in &group.routers {
            if router.family == Family::V4 && router.advertised.len() > ADVERTISED_IPV4_MAX {
                section.fault(
                    &format!("interface.{}.addresses", router.section_index),
                    format!(
                        "found {}, allowed {ADVERTISED_IPV4_MAX} in an advert: move the rest to \
                         unadvertised",
                        router.advertised.len()
                    ),
                );
            }
        }
    }
    routers(settings, sections);
    advertised(settings, sections);
    addresses(settings, sections);
    rules(settings, sections);
}

fn names(settings: &Settings, sections: &[Section<'_>]) {
    for (position, (group, section)) in settings.groups.iter().zip(sections).enumerate() {
        let before = settings.groups.iter().take(position);
        if before.clone().any(|other| other.name == group.name) {
            section.fault(
                "name",
                format!("found {:?}, the name of another group", group.name),
            );
        }
    }
}

fn routers(settings: &Settings, sections: &[Section<'_>]) {
    let mut seen = HashMap::new();
    for (group, section) in settings.groups.iter().zip(sections) {
        for router in &group.routers {
            let key = (router.interface.clone(), router.family, router.vrid);
            if let Some(other) = seen.insert(key, &group.name) {
                section.fault(
                    &format!("interface.{}.vrid", router.section_index),
                    format!(
                        "found {} twice for {} on {}, also in group {other:?}",
                        router.vrid,
                        router.family.name(),
                        router.interface
                    ),
                );
            }
        }
    }
}

/// Records a fault for each address in adverts that nothing sets.
fn advertised(settings: &Settings, sections: &[Section<'_>]) {
    for (group, section) in settings.groups.iter().zip(sections) {
        let followers = &group.followers.addresses;
        for router in &group.routers {
            let own = router.addresses.iter().map(|it| it.address);
            let set: Vec<IpAddr> = own
                .chain(followers.iter().map(|it| it.address.address))
                .collect();
            for address in router.advertised.iter().filter(|it| !set.contains(it)) {
                section.fault(
                    &format!("interface.{}.advertised", router.section_index),
                    format!(
                        "found {address}, allowed are addresses of [[group.address]] in this group"
                    ),
                );
            }
        }
    }
}

fn addresses(settings: &Settings, sections: &[Section<'_>]) {
    // a link-local address may exist on every interface, any other only once
    let mut seen: HashMap<(IpAddr, Option<&str>), ()> = HashMap::new();
    for (group, section) in settings.groups.iter().zip(sections) {
        let of_routers = group.routers.iter().flat_map(|router| {
            let key = format!("interface.{}.addresses", router.section_index);
            let interface = router.interface.as_str();
            router
                .addresses
                .iter()
                .map(move |a| (key.clone(), a.address, interface))
        });
        let group_addresses = group.followers.addresses.iter().map(|group_address| {
            let key = format!("address.{}.addresses", group_address.section_index);
            (
                key,
                group_address.address.address,
                group_address.interface.as_str(),
            )
        });
        for (key, address, interface) in of_routers.chain(group_addresses) {
            let place = is_link_local(address).then_some(interface);
            if seen.insert((address, place), ()).is_some() {
                section.fault(&key, format!("found {address} twice"));
            }
        }
    }
}

fn rules(settings: &Settings, sections: &[Section<'_>]) {
    // the first group that leaves its role would take the rule away from the other
    let mut seen = HashMap::new();
    for (group, section) in settings.groups.iter().zip(sections) {
        for (position, rule) in group.followers.rules.iter().enumerate() {
            if let Some(other) = seen.insert(rule, &group.name) {
                section.fault(
                    &format!("rule.{position}"),
                    format!("found twice, also in group {other:?}"),
                );
            }
        }
    }
}
