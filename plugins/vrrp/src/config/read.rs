//! Asks for every key of the file, with what is allowed.

use std::net::IpAddr;
use std::time::Duration;

use spared_sdk::config::{Config, Section, format_duration, node};

use super::{
    ADVERTISED_IPV6_MAX, Address, Election, Follower, Group, Prefix, Route, Router, Settings,
    cross, derived_link_local, is_link_local, lease_ns,
};
use crate::wire::Family;
use crate::wire::vrrp::{Form, Version};

const ZERO: Duration = Duration::ZERO;
const HOUR: Duration = Duration::from_secs(3600);
const ADDRESS: &str = "an IPv4 or IPv6 address";
const PREFIX: &str = "address/prefix, like \"192.0.2.1/24\"";
/// What RFC 5798 peers wait for; they do not know of `advert_loss`.
const RFC_ADVERT_LOSS: u32 = 3;

/// Reads the file; `tick` is the kernel's, as set timeouts are good to one. None where `config` has
/// noted faults.
pub fn read(config: &Config, tick: Duration) -> Option<Settings> {
    let sections = config.root().sections("group");
    let groups: Vec<_> = sections
        .iter()
        .map(|section| group(config, section, tick))
        .collect();
    let settings = Settings {
        groups: groups.into_iter().collect::<Option<_>>()?,
    };
    cross::check(&settings, &sections);
    Some(settings)
}

fn group(config: &Config, section: &Section<'_>, tick: Duration) -> Option<Group> {
    let name = section.required("name", group_name(section));
    let version = section
        .choice_of_numbers("version", &[(2, Version::V2), (3, Version::V3)])
        .unwrap_or(Version::V3);
    let forms = [
        ("pseudo-header", Form::PseudoHeader),
        ("message", Form::Message),
    ];
    let form = section
        .choice("checksum", &forms)
        .unwrap_or(Form::PseudoHeader);
    let any_router = section
        .choice("routers", &[("peer", false), ("any", true)])
        .unwrap_or(false);
    let advert_loss = section.integer("advert_loss", 2..=100).unwrap_or(3);
    let advert_loss = u32::try_from(advert_loss).unwrap_or(RFC_ADVERT_LOSS);
    let interval = interval(section, version);
    let lease = interval.and_then(|interval_ns| {
        // a peer that only learned our interval waits for three of them
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
    let vrid = section.integer("vrid", 1..=255);

    let routers = section.sections("router");
    if routers.is_empty() && !section.has("router") {
        section.fault(
            "router",
            "missing: a group needs at least one [[group.router]]",
        );
    }
    let routers: Vec<_> = routers
        .iter()
        .enumerate()
        .map(|(n, router)| pair(n, router, vrid, version))
        .collect();
    let addresses: Vec<_> = section
        .sections("address")
        .iter()
        .enumerate()
        .map(followers)
        .collect();
    let routes: Vec<_> = section.sections("route").iter().map(route).collect();
    Some(Group {
        name: name?,
        election: election?,
        carrier_weight: byte(carrier_weight),
        any_router,
        version,
        form,
        interval_ns: interval?,
        advert_loss,
        start_delay_ns: ns(start_delay),
        lease_ns: lease?,
        refresh_s: u32::try_from(refresh.as_secs()).unwrap_or(u32::MAX),
        routers: flatten(routers)?,
        addresses: flatten(addresses)?,
        routes: routes.into_iter().collect::<Option<_>>()?,
    })
}

fn group_name(section: &Section<'_>) -> Option<String> {
    let name = section.text("name")?;
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || name.len() > 32 || !name.chars().all(fits) {
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
        return Some(ns(default));
    }
    let interval = section.duration("advert_interval", range)?;
    if ns(interval) % ns(unit) != 0 {
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
    Some(ns(interval))
}

fn lease(
    section: &Section<'_>,
    version: Version,
    interval_ns: u64,
    advert_loss: u32,
    tick: Duration,
) -> Option<u64> {
    let lease = lease_ns(interval_ns, advert_loss, ns(tick));
    if lease.is_none() {
        let unit = if version == Version::V2 {
            1_000_000_000
        } else {
            10_000_000
        };
        let smallest = (1..=4000)
            .map(|n| n * unit)
            .find(|interval_ns| lease_ns(*interval_ns, advert_loss, ns(tick)).is_some());
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

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Quality,
    Priority,
}

fn election(config: &Config, section: &Section<'_>) -> Option<Election> {
    let modes = [("quality", Mode::Quality), ("priority", Mode::Priority)];
    let chosen = section.choice("election", &modes);
    // a priority alone says what is wanted
    let implied = if section.has(node("priority")) {
        Mode::Priority
    } else {
        Mode::Quality
    };
    let mode = chosen.unwrap_or(implied);

    let prefer = section.text("prefer");
    let fallback_delay = section.duration("fallback_delay", ZERO..=24 * HOUR);
    let hold = section.duration("hold", ZERO..=HOUR / 60);
    let priority = section.integer(node("priority"), 1..=255);
    let preempt = section.flag("preempt");
    let preempt_delay = section.duration("preempt_delay", ZERO..=24 * HOUR);
    match mode {
        Mode::Quality => {
            refuse(
                section,
                &["priority", "preempt", "preempt_delay"],
                "priority",
            );
            Some(Election::Quality {
                preferred: preferred(config, section, prefer)?,
                fallback_delay_ns: ns(fallback_delay.unwrap_or(Duration::from_secs(30))),
                hold_ns: ns(hold.unwrap_or(Duration::from_secs(2))),
            })
        }
        Mode::Priority => {
            refuse(section, &["prefer", "fallback_delay", "hold"], "quality");
            let priority = byte(section.required(node("priority"), priority)?);
            if priority == 254 {
                section.fault(
                    "priority",
                    "found 254, allowed 1-253, and 255 for the owner (254 is for claims)",
                );
            }
            if preempt == Some(false) && preempt_delay.is_some() {
                section.fault("preempt_delay", "has no effect with preempt = false");
            }
            Some(Election::Priority {
                priority,
                preempt: preempt.unwrap_or(true),
                preempt_delay_ns: ns(preempt_delay.unwrap_or(ZERO)),
            })
        }
    }
}

fn refuse(section: &Section<'_>, keys: &[&str], mode: &str) {
    for key in keys.iter().filter(|key| section.has(**key)) {
        section.fault(key, format!("only with election = \"{mode}\""));
    }
}

/// Whether `prefer` names this node; the outer None is a fault.
fn preferred(
    config: &Config,
    section: &Section<'_>,
    prefer: Option<String>,
) -> Option<Option<bool>> {
    let Some(prefer) = prefer else {
        // a wrong type is a fault already, and the group is not used
        return Some(None);
    };
    if !config.nodes().is_empty() && !config.nodes().contains(&prefer) {
        let allowed = config.nodes().join(", ");
        section.fault(
            "prefer",
            format!("found {prefer:?}, no such node, allowed: {allowed}"),
        );
        return None;
    }
    Some(Some(prefer == config.node()))
}

/// The virtual routers of one `[[group.router]]`: one for each family of its addresses.
fn pair(
    entry: usize,
    section: &Section<'_>,
    group_vrid: Option<u64>,
    version: Version,
) -> Option<Vec<Router>> {
    let interface = section.required(node("interface"), interface(section));
    let vrid = section.integer("vrid", 1..=255);
    if vrid.is_none() && group_vrid.is_none() && !section.has("vrid") {
        section.fault("vrid", "missing: give it to the router or to its group");
    }
    let advertised: Option<Vec<Prefix>> =
        section.required("addresses", section.list("addresses", PREFIX));
    let unadvertised: Vec<Prefix> = section.list("unadvertised", PREFIX).unwrap_or_default();
    let source = section.flag("source").unwrap_or(false);
    let vmac = section.flag("vmac").unwrap_or(false);
    let accept = section.flag("accept").unwrap_or(true);
    let peers: Vec<IpAddr> = section.list("peers", ADDRESS).unwrap_or_default();
    let unicast = section.flag("unicast").unwrap_or(false);
    let min_ttl = section.integer("min_ttl", 1..=255).unwrap_or(255);
    let advert_source: Option<Vec<IpAddr>> = sources(section);
    let witnesses: Vec<IpAddr> = section.list("witnesses", ADDRESS).unwrap_or_default();

    let (interface, advertised, vrid) = (interface?, advertised?, byte(vrid.or(group_vrid)?));
    if advertised.is_empty() {
        section.fault("addresses", "found none, allowed are one or more");
    }
    usable(section, "addresses", &advertised);
    usable(section, "unadvertised", &unadvertised);
    if unicast && peers.is_empty() {
        section.fault("unicast", "needs peers");
    }
    if min_ttl != 255 && !unicast {
        section.fault(
            "min_ttl",
            "only with unicast = true: on a link it is always 255",
        );
    }
    let families: Vec<Family> = [Family::V4, Family::V6]
        .into_iter()
        .filter(|family| {
            advertised
                .iter()
                .any(|prefix| Family::of(prefix.address) == *family)
        })
        .collect();
    if version == Version::V2 && families.contains(&Family::V6) {
        section.fault("addresses", "IPv6 addresses need version = 3");
    }
    // an address of the other family, kept out of the adverts, follows the first router
    let home = |family: Family| {
        if families.contains(&family) {
            Some(family)
        } else {
            families.first().copied()
        }
    };
    let routers = families.iter().map(|family| {
        let of_family = |address: &IpAddr| Family::of(*address) == *family;
        let mut advertised: Vec<Prefix> = advertised
            .iter()
            .filter(|prefix| of_family(&prefix.address))
            .copied()
            .collect();
        link_local_first(*family, vrid, &mut advertised);
        let kept_out = unadvertised
            .iter()
            .filter(|prefix| home(Family::of(prefix.address)) == Some(*family));
        let claimed = advertised.iter().chain(kept_out);
        let mut addresses: Vec<Address> = claimed.map(|prefix| without_source(*prefix)).collect();
        if source {
            mark_source(&mut addresses);
        }
        if *family == Family::V6 {
            advertised.truncate(ADVERTISED_IPV6_MAX);
        }
        Router {
            entry,
            interface: interface.clone(),
            family: *family,
            vrid,
            advertised: advertised.iter().map(|prefix| prefix.address).collect(),
            addresses,
            peers: peers.iter().copied().filter(of_family).collect(),
            unicast,
            min_ttl: byte(min_ttl),
            advert_source: advert_source.iter().flatten().copied().find(of_family),
            vmac,
            accept,
            witnesses: witnesses.iter().copied().filter(of_family).collect(),
        }
    });
    Some(routers.collect())
}

fn interface(section: &Section<'_>) -> Option<String> {
    let name = section.text(node("interface"))?;
    let fits = |c: char| !c.is_whitespace() && !c.is_control() && c != '/' && c != ':';
    if name.is_empty() || name.len() > 15 || !name.chars().all(fits) {
        section.fault(
            "interface",
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

fn usable(section: &Section<'_>, key: &str, prefixes: &[Prefix]) {
    for (position, prefix) in prefixes.iter().enumerate() {
        let address = prefix.address;
        let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
        if address.is_unspecified() || address.is_multicast() || address.is_loopback() || broadcast
        {
            section.fault(
                &format!("{key}.{position}"),
                format!("found \"{prefix}\", allowed is an address of a host"),
            );
        }
    }
}

/// Erratum 8300 of RFC 9568: the first IPv6 address is a link-local one.
fn link_local_first(family: Family, vrid: u8, advertised: &mut Vec<Prefix>) {
    if family != Family::V6 {
        return;
    }
    match advertised
        .iter()
        .position(|prefix| is_link_local(prefix.address))
    {
        Some(position) => {
            let first = advertised.remove(position);
            advertised.insert(0, first);
        }
        None => {
            let address = derived_link_local(vrid).into();
            advertised.insert(
                0,
                Prefix {
                    address,
                    length: 64,
                },
            );
        }
    }
}

fn without_source(prefix: Prefix) -> Address {
    Address {
        address: prefix.address,
        prefix: prefix.length,
        source: false,
    }
}

/// One address of each family is what the node sends from: the first that others can reach.
fn mark_source(addresses: &mut [Address]) {
    for family in [Family::V4, Family::V6] {
        let first = addresses.iter_mut().find(|address| {
            Family::of(address.address) == family && !is_link_local(address.address)
        });
        if let Some(first) = first {
            first.source = true;
        }
    }
}

fn followers((entry, section): (usize, &Section<'_>)) -> Option<Vec<Follower>> {
    let interface = section.required(node("interface"), interface(section));
    let prefixes: Option<Vec<Prefix>> =
        section.required("addresses", section.list("addresses", PREFIX));
    let source = section.flag("source").unwrap_or(false);
    let (interface, prefixes) = (interface?, prefixes?);
    if prefixes.is_empty() {
        section.fault("addresses", "found none, allowed are one or more");
    }
    usable(section, "addresses", &prefixes);
    let mut addresses: Vec<Address> = prefixes.into_iter().map(without_source).collect();
    if source {
        mark_source(&mut addresses);
    }
    let follower = |address| Follower {
        entry,
        interface: interface.clone(),
        address,
    };
    Some(addresses.into_iter().map(follower).collect())
}

fn route(section: &Section<'_>) -> Option<Route> {
    let destination: Option<Prefix> = section.required(
        "destination",
        section.parsed("destination", "address/prefix, like \"0.0.0.0/0\""),
    );
    let gateway: Option<IpAddr> = section.parsed("gateway", ADDRESS);
    let interface = interface(section);
    let source: Option<IpAddr> = section.parsed("source", ADDRESS);
    let number = |key| {
        let found = section.integer(key, 0..=u64::from(u32::MAX)).unwrap_or(0);
        u32::try_from(found).unwrap_or(u32::MAX)
    };
    let (metric, table) = (number("metric"), number("table"));
    if !section.has("gateway") && !section.has(node("interface")) {
        section.fault(
            "gateway",
            "missing: a route needs a gateway or an interface",
        );
    }
    let destination = destination?;
    for (key, address) in [("gateway", gateway), ("source", source)] {
        if address.is_some_and(|a| Family::of(a) != Family::of(destination.address)) {
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
    })
}

/// What the SDK's reader has no word for: a choice among numbers.
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

fn ns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn byte(number: u64) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}
