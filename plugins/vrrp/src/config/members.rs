//! Reads the virtual routers of a group.

use std::net::IpAddr;

use spared_sdk::config::{IpNet, Section, node};

use super::addresses::{Labels, check_addresses, mark_source};
use super::followers::weight;
use super::read::byte;
use super::{ADVERTISED_IPV6_MAX, Address, VirtualRouter, derived_link_local, is_link_local};
use crate::wire::Family;
use crate::wire::heartbeat::network_path;
use crate::wire::vrrp::{PASSWORD_LEN, Password, Version};

pub(super) const ADDRESS: &str = "an IPv4 or IPv6 address";

/// Keys of a group that its interfaces share.
pub(super) struct SharedKeys {
    pub vrid: Option<u64>,
    pub version: Version,
    /// Adverts of routers outside `peers` count, too.
    pub any_router: bool,
    pub password: Option<Password>,
}

/// Returns the virtual routers of one `[[group.interface]]`: one for each family of its addresses.
pub(super) fn virtual_routers(
    section_index: usize,
    section: &Section<'_>,
    shared: &SharedKeys,
) -> Option<Vec<VirtualRouter>> {
    let interface = section.required(node("interface"), interface(section, "interface"));
    let path = network_path(&section.every_text("interface"));
    let vrid = section.integer("vrid", 1..=255);
    let vmac = section.flag("vmac").unwrap_or(false);
    let mut labels = Labels::new(interface.as_deref(), vmac);
    let advertised = labels.read(section, "addresses");
    let advertised: Option<Vec<IpNet>> = section.required("addresses", advertised);
    let unadvertised = labels.read(section, "unadvertised").unwrap_or_default();
    let followers: Vec<IpAddr> = section.list("advertised", ADDRESS).unwrap_or_default();
    let source = section.flag("source").unwrap_or(false);
    let vmac_name = section.text("vmac_name");
    let accept = section.flag("accept").unwrap_or(true);
    let peers: Vec<IpAddr> = section.list("peers", ADDRESS).unwrap_or_default();
    let unicast = section.flag("unicast").unwrap_or(false);
    let min_ttl = section.integer("min_ttl", 1..=255).unwrap_or(255);
    let advert_source: Option<Vec<IpAddr>> = sources(section);
    let witnesses: Vec<IpAddr> = section.list("witnesses", ADDRESS).unwrap_or_default();
    let weight = weight(section);
    let heartbeats = section.flag("heartbeats").unwrap_or(true);
    let own_password = password(section, shared);

    let (interface, advertised, vrid) = (interface?, advertised?, byte(vrid.or(shared.vrid)?));
    if advertised.is_empty() {
        section.fault("addresses", "found none, allowed are one or more");
    }
    check_addresses(section, "addresses", &advertised);
    check_addresses(section, "unadvertised", &unadvertised);
    check_unicast(section, unicast, &peers, min_ttl);
    let families = families_of(&advertised);
    check_families(section, &followers, &families);
    check_device_name(section, vmac, vmac_name.as_deref(), &families);
    let vmac_name = vmac_name.unwrap_or_default();
    let routers = families.iter().map(|family| {
        let of_family = |address: &IpAddr| Family::of(*address) == *family;
        let mut advertised: Vec<IpNet> = advertised
            .iter()
            .filter(|prefix| of_family(&prefix.addr()))
            .copied()
            .collect();
        link_local_first(*family, vrid, &mut advertised);
        let not_advertised = unadvertised
            .iter()
            .filter(|prefix| owning_family(prefix, &families) == Some(*family));
        let claimed = advertised.iter().chain(not_advertised);
        let mut addresses: Vec<Address> = claimed.map(|prefix| labels.address(*prefix)).collect();
        if source {
            mark_source(&mut addresses);
        }
        let mut advertised: Vec<IpAddr> = advertised.iter().map(|prefix| prefix.addr()).collect();
        advertised.extend(followers.iter().filter(|it| of_family(it)));
        if *family == Family::V6 {
            advertised.truncate(ADVERTISED_IPV6_MAX);
        }
        // Devices of two families need two names.
        let vmac_name = match (families.as_slice(), family) {
            ([_, _], Family::V6) if !vmac_name.is_empty() => format!("{vmac_name}v6"),
            _ => vmac_name.clone(),
        };
        VirtualRouter {
            section_index,
            interface: interface.clone(),
            family: *family,
            vrid,
            advertised,
            addresses,
            peers: peers.iter().copied().filter(of_family).collect(),
            unicast,
            min_ttl: byte(min_ttl),
            advert_source: advert_source.iter().flatten().copied().find(of_family),
            vmac: vmac.then_some(vmac_name),
            password: own_password.or(shared.password),
            accept,
            witnesses: witnesses.iter().copied().filter(of_family).collect(),
            weight,
            path,
            heartbeats,
        }
    });
    Some(routers.collect())
}

fn check_unicast(section: &Section<'_>, unicast: bool, peers: &[IpAddr], min_ttl: u64) {
    if unicast && peers.is_empty() {
        section.fault("unicast", "needs peers");
    }
    if min_ttl != 255 && !unicast {
        section.fault(
            "min_ttl",
            "only with unicast = true: on a link it is always 255",
        );
    }
}

/// Refuses addresses of a family for which the interface has no virtual router.
fn check_families(section: &Section<'_>, followers: &[IpAddr], families: &[Family]) {
    for (position, address) in followers.iter().enumerate() {
        let family = Family::of(*address);
        if !families.contains(&family) {
            let why = format!(
                "found {address}, and no {} address in addresses",
                family.name()
            );
            section.fault(&format!("advertised.{position}"), why);
        }
    }
}

/// Families of the advertised addresses: each has a virtual router of its own.
fn families_of(advertised: &[IpNet]) -> Vec<Family> {
    let has = |family: &Family| {
        let mut families = advertised.iter().map(|prefix| Family::of(prefix.addr()));
        families.any(|it| it == *family)
    };
    [Family::V4, Family::V6].into_iter().filter(has).collect()
}

/// Family of the router to which an address belongs. One of a family without adverts belongs to the first router.
fn owning_family(prefix: &IpNet, families: &[Family]) -> Option<Family> {
    let family = Family::of(prefix.addr());
    if families.contains(&family) {
        Some(family)
    } else {
        families.first().copied()
    }
}

/// Checks the name of the device with the virtual MAC. With both families the name of IPv6's device has two letters more.
fn check_device_name(section: &Section<'_>, vmac: bool, name: Option<&str>, families: &[Family]) {
    let Some(name) = name else { return };
    let letters_max = if families.len() > 1 { 13 } else { 15 };
    if !vmac {
        section.fault("vmac_name", "only with vmac = true");
    } else if !is_interface(name, letters_max) {
        let why =
            format!("found {name:?}, allowed is a device's name of up to {letters_max} letters");
        section.fault("vmac_name", why);
    }
}

/// Reads the password of version 2. Routers that speak with each other alone need none, so it is only for those that
/// also hear others.
pub(super) fn password(section: &Section<'_>, shared: &SharedKeys) -> Option<Password> {
    let text = section.text("auth_pass")?;
    if shared.version != Version::V2 || !shared.any_router {
        section.fault(
            "auth_pass",
            "only with version = 2 and routers = \"any\": it is for the time beside keepalived",
        );
    }
    if text.is_empty() || text.len() > PASSWORD_LEN {
        let why = format!(
            "found {} bytes, allowed 1-{PASSWORD_LEN} (keepalived uses the first {PASSWORD_LEN})",
            text.len()
        );
        section.fault("auth_pass", why);
        return None;
    }
    let mut password = [0; PASSWORD_LEN];
    for (byte, found) in password.iter_mut().zip(text.bytes()) {
        *byte = found;
    }
    Some(password)
}

pub(super) fn is_interface(name: &str, letters_max: usize) -> bool {
    let is_allowed = |c: char| !c.is_whitespace() && !c.is_control() && c != '/' && c != ':';
    !name.is_empty() && name.len() <= letters_max && name.chars().all(is_allowed)
}

pub(super) fn interface(section: &Section<'_>, key: &str) -> Option<String> {
    const LETTERS_MAX: usize = 15;
    let name = section.text(node(key))?;
    if !is_interface(&name, LETTERS_MAX) {
        section.fault(
            key,
            format!("found {name:?}, allowed is an interface's name"),
        );
        return None;
    }
    Some(name)
}

fn sources(section: &Section<'_>) -> Option<Vec<IpAddr>> {
    section
        .parsed::<IpAddr>(node("advert_source"), ADDRESS)
        .map(|address| vec![address])
}

/// Puts a link-local address first among the IPv6 addresses (erratum 8300 of RFC 9568).
fn link_local_first(family: Family, vrid: u8, advertised: &mut Vec<IpNet>) {
    if family != Family::V6 {
        return;
    }
    match advertised
        .iter()
        .position(|prefix| is_link_local(prefix.addr()))
    {
        Some(position) => {
            let first = advertised.remove(position);
            advertised.insert(0, first);
        }
        None => {
            let derived = IpNet::new(derived_link_local(vrid).into(), 64);
            advertised.splice(0..0, derived.ok());
        }
    }
}
