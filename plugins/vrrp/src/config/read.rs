//! Reads every key of the file, with its allowed values.

use std::time::Duration;

use spared_sdk::config::{Config, Section, format_duration};
use spared_sdk::nanoseconds;

use super::followers::{group_addresses, route, rule};
use super::members::{SharedKeys, password, virtual_routers};
use super::mode::election;
use super::{Followers, Group, Settings, VirtualRouter, consistency, lease_ns};
use crate::wire::vrrp::{ChecksumForm, Version};

pub(super) const ZERO: Duration = Duration::ZERO;
pub(super) const HOUR: Duration = Duration::from_secs(3600);
/// Limit of groups, since all are claimed in one call.
const GROUPS_MAX: usize = spared_sdk::abi::GROUPS_MAX as usize;
/// Number of intervals for which RFC 5798 peers wait; they do not know `advert_loss`.
const RFC_ADVERT_LOSS: u32 = 3;

/// Reads the file. `tick` is the kernel's, which is the precision of set timeouts. None if `config`
/// has recorded faults.
pub fn read(config: &Config, tick: Duration) -> Option<Settings> {
    let sections = config.root().sections("group");
    if sections.len() > GROUPS_MAX {
        let found = sections.len();
        let why = format!("found {found} groups, allowed at most {GROUPS_MAX}");
        config.root().fault("group", why);
    }
    let groups: Vec<_> = sections
        .iter()
        .map(|section| group(config, section, tick))
        .collect();
    let settings = Settings {
        groups: groups.into_iter().collect::<Option<_>>()?,
        peer: peer(config),
    };
    consistency::check(&settings, &sections);
    Some(settings)
}

/// Returns the name of the other one of two nodes.
fn peer(config: &Config) -> Option<String> {
    let (node, nodes) = (config.node(), config.nodes());
    let mut others = nodes.iter().filter(|other| *other != node);
    let other = others.next().filter(|_| nodes.len() == 2)?;
    Some(other.clone())
}

fn group(config: &Config, section: &Section<'_>, tick: Duration) -> Option<Group> {
    let name = section.required("name", group_name(section));
    let version = section
        .choice_of_numbers("version", &[(2, Version::V2), (3, Version::V3)])
        .unwrap_or(Version::V3);
    let forms = [
        ("pseudo-header", ChecksumForm::PseudoHeader),
        ("message", ChecksumForm::Message),
    ];
    let form = section
        .choice("checksum", &forms)
        .unwrap_or(ChecksumForm::PseudoHeader);
    let any_router = section
        .choice("routers", &[("peer", false), ("any", true)])
        .unwrap_or(false);
    let advert_loss = section.integer("advert_loss", 2..=100).unwrap_or(3);
    let advert_loss = u32::try_from(advert_loss).unwrap_or(RFC_ADVERT_LOSS);
    let interval = interval(section, version);
    let interval_max =
        interval.and_then(|interval_ns| interval_max(section, version, interval_ns, any_router));
    let lease = interval.and_then(|interval_ns| {
        // a peer that only knows our interval from adverts waits for three of them
        let loss = if any_router {
            advert_loss.min(RFC_ADVERT_LOSS)
        } else {
            advert_loss
        };
        lease(section, version, interval_ns, loss, tick)
    });
    let election = election(config, section);
    let carrier_weight = section.integer("carrier_weight", 0..=253).unwrap_or(253);
    let start_delay = section.duration("start_delay", ZERO..=HOUR).unwrap_or(ZERO);
    let refresh = section
        .duration("refresh", ZERO..=24 * HOUR)
        .unwrap_or(ZERO);
    if refresh.subsec_nanos() != 0 {
        section.fault("refresh", "allowed are whole seconds");
    }
    let mut shared = SharedKeys {
        vrid: section.integer("vrid", 1..=255),
        version,
        any_router,
        password: None,
    };
    shared.password = password(section, &shared);

    let routers = group_routers(section, &shared);
    let addresses: Vec<_> = section
        .sections("address")
        .iter()
        .enumerate()
        .map(group_addresses)
        .collect();
    let routes: Vec<_> = section.sections("route").iter().map(route).collect();
    let rules: Vec<_> = section.sections("rule").iter().map(rule).collect();
    Some(Group {
        name: name?,
        election: election?,
        carrier_weight: byte(carrier_weight),
        any_router,
        version,
        form,
        interval_ns: interval?,
        interval_max_ns: interval_max?,
        advert_loss,
        start_delay_ns: nanoseconds(start_delay),
        lease_ns: lease?,
        refresh_s: u32::try_from(refresh.as_secs()).unwrap_or(u32::MAX),
        routers: flatten(routers)?,
        followers: Followers {
            addresses: flatten(addresses)?,
            routes: routes.into_iter().collect::<Option<_>>()?,
            rules: rules.into_iter().collect::<Option<_>>()?,
        },
    })
}

/// Virtual routers of a group's interfaces; None for one with a fault.
fn group_routers(section: &Section<'_>, shared: &SharedKeys) -> Vec<Option<Vec<VirtualRouter>>> {
    let interfaces = section.sections("interface");
    if interfaces.is_empty() && !section.has("interface") {
        section.fault(
            "interface",
            "missing: a group needs at least one [[group.interface]]",
        );
    }
    let routers = interfaces.iter().enumerate().map(|(index, interface)| {
        if !section.has("vrid") && !interface.has("vrid") {
            interface.fault("vrid", "missing: give it to the interface or to its group");
        }
        virtual_routers(index, interface, shared)
    });
    routers.collect()
}

fn group_name(section: &Section<'_>) -> Option<String> {
    let name = section.text("name")?;
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || name.len() > 32 || !name.chars().all(is_allowed) {
        section.fault(
            "name",
            format!("found {name:?}, allowed up to 32 of a-z, A-Z, 0-9, \"-\", \"_\""),
        );
        return None;
    }
    Some(name)
}

fn interval(section: &Section<'_>, version: Version) -> Option<u64> {
    let (default, least, unit) = match version {
        Version::V2 => (
            Duration::from_secs(1),
            Duration::from_secs(1),
            Duration::from_secs(1),
        ),
        Version::V3 => (
            Duration::from_millis(100),
            Duration::from_millis(10),
            Duration::from_millis(10),
        ),
    };
    let range = least..=Duration::from_secs(40);
    if !section.has("advert_interval") {
        return Some(nanoseconds(default));
    }
    let interval = section.duration("advert_interval", range)?;
    if nanoseconds(interval) % nanoseconds(unit) != 0 {
        section.fault(
            "advert_interval",
            format!(
                "found \"{}\", allowed are multiples of \"{}\" in version {}",
                format_duration(interval),
                format_duration(unit),
                if version == Version::V2 { 2 } else { 3 }
            ),
        );
        return None;
    }
    Some(nanoseconds(interval))
}

/// Returns the longest accepted interval. Any station can send an advert with an interval for which
/// the group would then wait, so it is limited; if other routers decide, the protocol's maximum is
/// accepted.
fn interval_max(
    section: &Section<'_>,
    version: Version,
    interval_ns: u64,
    any_router: bool,
) -> Option<u64> {
    let most = match version {
        Version::V2 => Duration::from_secs(255),
        Version::V3 => Duration::from_millis(40_950),
    };
    if !section.has("interval_max") {
        let usual_ns = nanoseconds(Duration::from_secs(1)).max(interval_ns.saturating_mul(3));
        return Some(if any_router {
            nanoseconds(most)
        } else {
            usual_ns
        });
    }
    let range = Duration::from_nanos(interval_ns)..=most;
    section.duration("interval_max", range).map(nanoseconds)
}

fn lease(
    section: &Section<'_>,
    version: Version,
    interval_ns: u64,
    advert_loss: u32,
    tick: Duration,
) -> Option<u64> {
    let lease = lease_ns(interval_ns, advert_loss, nanoseconds(tick));
    if lease.is_none() {
        let unit = if version == Version::V2 {
            1_000_000_000
        } else {
            10_000_000
        };
        let smallest = (1..=4000)
            .map(|n| n * unit)
            .find(|interval_ns| lease_ns(*interval_ns, advert_loss, nanoseconds(tick)).is_some());
        let smallest = smallest.map_or_else(
            || "raise advert_loss".to_owned(),
            |ns| {
                format!(
                    "allowed from \"{}\"",
                    format_duration(Duration::from_nanos(ns))
                )
            },
        );
        section.fault(
            "advert_interval",
            format!(
                "found \"{}\", too short for the fence with advert_loss {advert_loss} and a kernel \
                 tick of {}: {smallest}",
                format_duration(Duration::from_nanos(interval_ns)),
                format_duration(tick),
            ),
        );
    }
    lease
}

/// Reads a choice among numbers, which the SDK's reader lacks.
trait ChoiceOfNumbers {
    fn choice_of_numbers<T: Copy>(&self, key: &str, choices: &[(u64, T)]) -> Option<T>;
}

impl ChoiceOfNumbers for Section<'_> {
    fn choice_of_numbers<T: Copy>(&self, key: &str, choices: &[(u64, T)]) -> Option<T> {
        let least = choices.iter().map(|(number, _)| *number).min()?;
        let most = choices.iter().map(|(number, _)| *number).max()?;
        let found = self.integer(key, least..=most)?;
        choices
            .iter()
            .find(|(number, _)| *number == found)
            .map(|(_, chosen)| *chosen)
    }
}

fn flatten<T>(lists: Vec<Option<Vec<T>>>) -> Option<Vec<T>> {
    let lists: Option<Vec<Vec<T>>> = lists.into_iter().collect();
    Some(lists?.into_iter().flatten().collect())
}

pub(super) fn byte(number: u64) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}
