//! Reads plugins/conntrack.toml. spared-conntrack(5) describes each key.

use std::str::FromStr;
use std::time::Duration;

use spared_packet::protocol::TCP_STATES;
use spared_sdk::config::{Config, Network, Section, node};
use spared_sdk::nanoseconds;

use crate::filter::{Filter, Rule};
use crate::flow::{DCCP, PROTOCOLS, SCTP, TCP};

pub const MIN_AGE_MAX: Duration = Duration::from_secs(3600);
pub const BATCH: Duration = Duration::from_millis(2);
pub const RESYNC: Duration = Duration::from_secs(40);
pub const EVENT_BUFFER_KIB: u64 = 64 * 1024;

const RULE_KEYS: [&str; 9] = [
    "protocol",
    "address",
    "source",
    "destination",
    "port",
    "zone",
    "mark",
    "label",
    "state",
];

/// Names of a protocol's states in the kernel, from number 0 on.
const STATES: [(u8, &[&str]); 3] = [
    (TCP, &TCP_STATES),
    (
        SCTP,
        &[
            "none",
            "closed",
            "cookie_wait",
            "cookie_echoed",
            "established",
            "shutdown_sent",
            "shutdown_recd",
            "shutdown_ack_sent",
            "heartbeat_sent",
        ],
    ),
    (
        DCCP,
        &[
            "none", "request", "respond", "partopen", "open", "closereq", "closing", "timewait",
        ],
    ),
];

/// Returns the kernel's name of a state in lower case; None for a protocol without states.
pub fn state_name(protocol: u8, state: u8) -> Option<&'static str> {
    let (_, names) = STATES.iter().find(|(known, _)| *known == protocol)?;
    names.get(usize::from(state)).copied()
}

#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Age below which flows are not replicated.
    pub min_age_ns: u64,
    /// Time for which changes are gathered into one message.
    pub batch_ns: u64,
    pub resync_ns: u64,
    /// Size of the kernel's buffer for notifications, in bytes.
    pub event_buffer: usize,
    pub filter: Filter,
    pub expectations: bool,
    pub dynamic_nat: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            min_age_ns: 0,
            batch_ns: nanoseconds(BATCH),
            resync_ns: nanoseconds(RESYNC),
            event_buffer: EVENT_BUFFER_KIB as usize * 1024,
            filter: Filter::default(),
            expectations: true,
            dynamic_nat: Vec::new(),
        }
    }
}

/// Reads the settings. Faults are recorded in `config`.
pub fn read(config: &Config) -> Option<Settings> {
    let root = config.root();
    let ms = Duration::from_millis;
    let duration = |key, range, default| root.duration(key, range).unwrap_or(default);
    let settings = Settings {
        min_age_ns: nanoseconds(duration("min_age", ms(0)..=MIN_AGE_MAX, ms(0))),
        batch_ns: nanoseconds(duration("batch_interval", ms(0)..=ms(1000), BATCH)),
        resync_ns: nanoseconds(duration("resync_interval", ms(1000)..=MIN_AGE_MAX, RESYNC)),
        event_buffer: root
            .integer(node("event_buffer_kib"), 64..=1 << 20)
            .unwrap_or(EVENT_BUFFER_KIB) as usize
            * 1024,
        filter: Filter {
            include: rules(&root, "include"),
            exclude: rules(&root, "exclude"),
            mark_bit: root.integer("mark_bit", 0..=31).map(|bit| bit as u8),
            local: root.flag("local").unwrap_or(false),
            proxied: root.flag("proxied").unwrap_or(false),
            ..Filter::default()
        },
        expectations: root.flag("expectations").unwrap_or(true),
        dynamic_nat: root
            .list::<Interface>(node("dynamic_nat"), "names of interfaces")
            .unwrap_or_default()
            .into_iter()
            .map(|Interface(name)| name)
            .collect(),
    };
    config.finish().is_ok().then_some(settings)
}

fn rules(root: &Section<'_>, key: &str) -> Vec<Rule> {
    let sections = root.sections(key);
    sections.iter().map(rule).collect()
}

fn rule(section: &Section<'_>) -> Rule {
    let prefixes = |key| {
        let networks: Vec<Network> = list(section, key, "addresses like \"192.0.2.0/24\"");
        networks.into_iter().map(|it| it.net().into()).collect()
    };
    let protocols: Vec<Protocol> = list(section, "protocol", &protocol_names());
    let states: Vec<State> = list(section, "state", &state_names());
    let rule = Rule {
        protocols: protocols.iter().map(|protocol| protocol.0).collect(),
        addresses: prefixes("address"),
        sources: prefixes("source"),
        destinations: prefixes("destination"),
        ports: numbers(section, "port", u16::MAX),
        zones: numbers(section, "zone", u16::MAX),
        mark: section
            .parsed("mark", "a value, or value/mask, like \"0x10/0xf0\"")
            .map(|Mark(value, mask)| (value, mask)),
        labels: numbers(section, "label", 127u8),
        states: states.into_iter().flat_map(|state| state.0).collect(),
    };
    if !RULE_KEYS.iter().any(|key| section.has(*key)) {
        section.fault("", "matches every flow: name at least one key");
    }
    rule
}

fn list<T: FromStr>(section: &Section<'_>, key: &str, allowed: &str) -> Vec<T> {
    some(section, key, section.list(key, allowed))
}

fn numbers<T: TryFrom<u64> + Into<u64>>(section: &Section<'_>, key: &str, most: T) -> Vec<T> {
    let list = some(section, key, section.integers(key, 0..=most.into()));
    let numbers = list.into_iter();
    numbers
        .filter_map(|number| number.try_into().ok())
        .collect()
}

/// Returns the list, and records a fault if it is empty: an empty list would match every flow.
fn some<T>(section: &Section<'_>, key: &str, list: Option<Vec<T>>) -> Vec<T> {
    if list.as_ref().is_some_and(Vec::is_empty) {
        section.fault(key, "is empty, which would match every flow");
    }
    list.unwrap_or_default()
}

fn protocol_names() -> String {
    let names = PROTOCOLS.iter().map(|(name, _)| format!("\"{name}\""));
    format!(
        "{}, or a number as text",
        names.collect::<Vec<_>>().join(", ")
    )
}

fn state_names() -> String {
    let mut names: Vec<&str> = STATES
        .iter()
        .flat_map(|(_, names)| *names)
        .copied()
        .collect();
    names.sort_unstable();
    names.dedup();
    names.join(", ")
}

pub(crate) struct Protocol(pub u8);

impl FromStr for Protocol {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let known = PROTOCOLS.iter().find(|(name, _)| *name == text);
        let number = known
            .map(|(_, number)| *number)
            .or_else(|| text.parse().ok());
        number.filter(|number| *number != 0).map(Self).ok_or(())
    }
}

pub(crate) struct State(pub Vec<(u8, u8)>);

impl FromStr for State {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let of = |(protocol, names): &(u8, &[&str])| {
            let number = names.iter().position(|name| *name == text)?;
            Some((*protocol, number as u8))
        };
        let states: Vec<(u8, u8)> = STATES.iter().filter_map(of).collect();
        (!states.is_empty()).then_some(Self(states)).ok_or(())
    }
}

pub(crate) struct Mark(pub u32, pub u32);

impl FromStr for Mark {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let number = |text: &str| match text.strip_prefix("0x") {
            Some(hex) => u32::from_str_radix(hex, 16).map_err(drop),
            None => text.parse().map_err(drop),
        };
        match text.split_once('/') {
            Some((value, mask)) => Ok(Self(number(value)?, number(mask)?)),
            None => Ok(Self(number(text)?, u32::MAX)),
        }
    }
}

struct Interface(String);

impl FromStr for Interface {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let fits = !text.is_empty() && text.len() < 16 && !text.contains(['/', ' ']);
        fits.then(|| Self(text.to_owned())).ok_or(())
    }
}

#[cfg(test)]
mod tests;
