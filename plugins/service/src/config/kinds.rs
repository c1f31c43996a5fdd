//! Reads the tables other than `[[service]]`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use spared_sdk::Role;
use spared_sdk::config::{IpNet, Network, Section, node};

use super::read::{CommonKeys, fitting_name, path};
use super::{ByRole, Item, Kind};
use crate::job::Route;

const VALUE_MAX: usize = 1024;

pub(super) fn interface(section: &Section<'_>, _position: usize) -> Option<Vec<Item>> {
    let common = CommonKeys::read(section);
    let interface = section.required(node("name"), section.text(node("name")));
    let interface = interface.filter(|name| section.fits_interface("name", name));
    let words = [("up", Some(true)), ("down", Some(false)), ("leave", None)];
    let active = section.choice("while_active", &[("up", Some(true)), ("leave", None)]);
    let backup = section
        .choice("while_backup", &words)
        .unwrap_or(Some(false));
    let fault = section.choice("while_fault", &words).unwrap_or(backup);
    let bounce = section.duration(
        "bounce",
        Duration::from_millis(100)..=Duration::from_secs(10),
    );
    if bounce.is_some() && backup == Some(false) {
        section.fault(
            "bounce",
            "has an effect only if while_backup is \"up\" or \"leave\": it is down then anyway",
        );
    }
    let interface = interface?;
    let kind = Kind::Interface {
        interface: interface.clone(),
        up: ByRole {
            active: active.unwrap_or(Some(true)),
            backup,
            fault,
        },
        bounce_ms: bounce.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
    };
    Some(vec![common.item(format!("interface.{interface}"), kind)])
}

pub(super) fn setting(section: &Section<'_>, _position: usize) -> Option<Vec<Item>> {
    let common = CommonKeys::read(section);
    let key = section.required(node("key"), section.text(node("key")));
    let key = key.filter(|key| is_setting(section, key));
    let value = |role: &str| {
        let value = section.text(node(role));
        value.filter(|value| {
            let fits = !value.is_empty()
                && value.len() <= VALUE_MAX
                && !value.contains(|c: char| c.is_control() && c != '\t');
            if !fits {
                section.fault(role, format!("found {value:?}, allowed is one line"));
            }
            fits
        })
    };
    let values = by_role(section, value);
    let key = key?;
    let name = format!("sysctl.{key}");
    Some(vec![common.item(name, Kind::Setting { key, values })])
}

fn is_setting(section: &Section<'_>, key: &str) -> bool {
    let parts_fit = key.split(['.', '/']).all(|part| !part.is_empty());
    let fits = key.contains(['.', '/']) && parts_fit && key.chars().all(|c| c.is_ascii_graphic());
    if !fits {
        section.fault(
            "key",
            format!("found {key:?}, allowed is a sysctl like \"net.ipv4.conf.lan.forwarding\""),
        );
    }
    fits
}

pub(super) fn rules(section: &Section<'_>, position: usize) -> Option<Vec<Item>> {
    let common = CommonKeys::read(section);
    let files = by_role(section, |role| path(section, role));
    let name = format!("nftables.{}", position.saturating_add(1));
    Some(vec![common.item(name, Kind::Rules { files })])
}

pub(super) fn file(section: &Section<'_>, _position: usize) -> Option<Vec<Item>> {
    let common = CommonKeys::read(section);
    let to = section.required(node("path"), path(section, "path"));
    let sources = by_role(section, |role| path(section, role));
    let same = |source: &&PathBuf| Some(*source) == to.as_ref();
    if let Some(source) = sources.iter().flatten().find(same) {
        let why = format!("{} would be copied to itself", source.display());
        section.fault("path", why);
    }
    let path = to?;
    let name = format!("file.{}", path.display());
    Some(vec![common.item(name, Kind::File { path, sources })])
}

/// Reads the three keys `while_...`, one of which is required.
fn by_role<T>(section: &Section<'_>, value: impl Fn(&str) -> Option<T>) -> ByRole<Option<T>>
where
    T: Clone,
{
    let keys = ["while_active", "while_backup", "while_fault"];
    if !keys.iter().any(|key| section.has(node(key))) {
        let why = "missing: one of while_active, while_backup, while_fault";
        section.fault("while_active", why);
    }
    let backup = value("while_backup");
    ByRole {
        active: value("while_active"),
        fault: if section.has(node("while_fault")) {
            value("while_fault")
        } else {
            backup.clone()
        },
        backup,
    }
}

pub(super) fn route(section: &Section<'_>, position: usize) -> Option<Vec<Item>> {
    let common = CommonKeys::read(section);
    let roles = [
        ("active", Role::Active),
        ("backup", Role::Backup),
        ("fault", Role::Fault),
    ];
    let role = section.required("while", section.choice("while", &roles));
    let allowed = "\"default\" or a network like \"192.0.2.0/24\"";
    let to = section.required(
        node("to"),
        section.parsed::<Destination>(node("to"), allowed),
    );
    let gateway = section.parsed::<IpAddr>(node("via"), "an IPv4 or IPv6 address");
    let interface = section.text(node("interface"));
    let interface = interface.filter(|name| section.fits_interface("interface", name));
    let metric = section.integer("metric", 0..=u64::from(u32::MAX));
    let table = section.integer("table", 1..=u64::from(u32::MAX));
    let name = section.text("name");
    let name = name.filter(|name| fitting_name(section, "name", name));
    let destination = to?.0;
    if !section.has(node("via")) && destination.is_none() {
        section.fault(
            "via",
            "missing: without a gateway say which default, to = \"0.0.0.0/0\" or \"::/0\"",
        );
        return None;
    }
    if !section.has(node("via")) && !section.has(node("interface")) {
        section.fault("via", "missing: via or interface");
    }
    if let (Some(to), Some(via)) = (destination.map(|net| net.addr()), gateway) {
        if to.is_ipv4() != via.is_ipv4() {
            section.fault("via", format!("{via} is not of the family of {to}"));
        }
    }
    let number = |number: Option<u64>| number.and_then(|number| u32::try_from(number).ok());
    let route = Route {
        destination: destination.map(|net| (net.addr(), net.prefix_len())),
        gateway,
        interface,
        metric: number(metric),
        table: number(table),
    };
    let name = match name {
        Some(name) => format!("route.{name}"),
        None => format!("route.{}", position.saturating_add(1)),
    };
    let role = role?;
    Some(vec![common.item(name, Kind::Route { route, role })])
}

/// Destination of a route; None: the default route.
struct Destination(Option<IpNet>);

impl FromStr for Destination {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if text == "default" {
            return Ok(Self(None));
        }
        // the kernel would refuse a network with host bits
        let network: Network = text.parse()?;
        network.exact().map(|net| Self(Some(net))).ok_or(())
    }
}
