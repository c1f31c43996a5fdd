//! Compares what must be equal on both machines although spared does not set it: rules of nftables, kernel settings,
//! default routes, rules of policy routing.

mod rules;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::facts::PairFacts;
use crate::finding::{Finding, Id};
use rules::{add_elements, commands, of_rules};

pub use rules::RuleDigests;

/// Prefix of the name of an interface's MTU among the settings.
const MTU: &str = "mtu ";

/// Values of one machine that must be equal on both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MachineFacts {
    /// Program and version that listed the rules. Rules are not compared if the versions differ, as each version prints
    /// them in its own way.
    pub rules_by: String,
    /// Digests of the rules; None if not known.
    pub rules: Option<RuleDigests>,
    /// Digests of the elements of sets and maps that nobody has changed for a while, by table and part ("set admins").
    pub elements: RuleDigests,
    /// Values of kernel settings, and "mtu lan" of interfaces of groups, without those that the kernel does not have.
    pub settings: BTreeMap<String, String>,
    /// Families with a default route, "IPv4" and "IPv6"; None if not known.
    pub default_routes: Option<BTreeSet<String>>,
    /// Rules of policy routing, "IPv4 100: from all iif lan lookup 100"; None if not known.
    pub routing_rules: Option<BTreeSet<String>>,
}

/// A difference between both machines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MachineDifference {
    /// A table of nftables that only one node has.
    Table {
        /// Name of the table, "inet filter".
        table: String,
        /// True if this node has the table.
        is_here: bool,
    },
    /// A table of nftables whose rules differ.
    Rules {
        /// Name of the table, "inet filter".
        table: String,
        /// Parts that differ: "chain forward", "elements of set admins".
        parts: Vec<String>,
    },
    /// A kernel setting whose values differ.
    Setting {
        /// Name of the setting, "net.ipv4.ip_forward".
        setting: String,
        /// Value on this node.
        here: String,
        /// Value on the other node.
        there: String,
    },
    /// A default route that only one node has.
    DefaultRoute {
        /// Family of the route, "IPv4".
        family: String,
        /// True if this node has the route.
        is_here: bool,
    },
    /// Rules of policy routing that only one node has.
    RoutingRules {
        /// Rules that only this node has.
        here: Vec<String>,
        /// Rules that only the other node has.
        there: Vec<String>,
    },
}

impl MachineDifference {
    /// Returns the object that differs, as `equal.ignore` names it.
    pub fn object(&self) -> String {
        match self {
            Self::Table { table, .. } | Self::Rules { table, .. } => format!("table {table}"),
            Self::Setting { setting, .. } if setting.starts_with(MTU) => setting.clone(),
            Self::Setting { setting, .. } => format!("sysctl {setting}"),
            Self::DefaultRoute { family, .. } => format!("default route {family}"),
            Self::RoutingRules { here, there } => match here.iter().chain(there).next() {
                Some(rule) => format!("rule {rule}"),
                None => "rule".to_owned(),
            },
        }
    }

    pub(crate) fn finding(&self, own: &str, peer: &str) -> Finding {
        let sides = |is_here: bool| if is_here { (own, peer) } else { (peer, own) };
        let object = self.object();
        let ignore = ignorable(&object);
        match self {
            Self::Table { table, is_here } => {
                let (has, lacks) = sides(*is_here);
                let text = format!(
                    "rules: table {table} is on {has} but not on {lacks}: filtering and translation change with \
                     the active node"
                );
                let todo = format!(
                    "See `nft list table {table}` on {has}; load the table on {lacks} or delete it. {ignore}"
                );
                Finding::new(Id::RulesDiffer, lacks, object, text).todo(todo)
            }
            Self::Rules { table, parts } => {
                let text = format!(
                    "rules: table {table} differs between {own} and {peer}, in {}: filtering and translation \
                     change with the active node",
                    listed(parts)
                );
                let (command, of_set) = commands(table, parts);
                let ignore = of_set.map_or(ignore, |set| ignorable(&set));
                let todo = format!("Compare `{command}` of both nodes. {ignore}");
                Finding::new(Id::RulesDiffer, own, object, text).todo(todo)
            }
            Self::Setting {
                setting,
                here,
                there,
            } => {
                let text = format!("{setting} is {here} on {own} and {there} on {peer}");
                let todo = match setting.strip_prefix(MTU) {
                    Some(interface) => format!(
                        "Set the same on both nodes (`ip link set {interface} mtu SIZE`), and where it is configured. \
                         {ignore}"
                    ),
                    None => format!(
                        "Set the same value on both nodes (`sysctl -w {setting}=VALUE`), in a file in /etc/sysctl.d as \
                         well.{} {ignore}",
                        right_value(setting)
                    ),
                };
                Finding::new(Id::SettingDiffers, own, object, text).todo(todo)
            }
            Self::DefaultRoute { family, is_here } => {
                let (has, lacks) = sides(*is_here);
                let text = format!(
                    "{lacks} has no {family} default route, and {has} has one: while {lacks} is active, packets to \
                     other networks have no way out"
                );
                let flag = if family == "IPv6" { "-6 " } else { "" };
                let todo = format!("Compare `ip {flag}route show default` on both nodes. {ignore}");
                Finding::new(Id::NoDefaultRoute, lacks, object, text).todo(todo)
            }
            Self::RoutingRules { here, there } => {
                let of = |node: &str, rules: &[String]| match rules {
                    [] => None,
                    rules => Some(format!("{} only on {node}", listed(rules))),
                };
                let lone = of(own, here).into_iter().chain(of(peer, there));
                let lone: Vec<String> = lone.collect();
                let text = format!(
                    "`ip rule` differs between {own} and {peer}: {}: packets take other routes after a failover",
                    lone.join("; ")
                );
                let todo = format!("Compare `ip rule` and `ip -6 rule` on both nodes. {ignore}");
                Finding::new(Id::RoutingDiffers, own, "ip rule", text).todo(todo)
            }
        }
    }
}

fn ignorable(object: &str) -> String {
    format!("If that is meant, name \"{object}\" in `equal.ignore` of spared.toml.")
}

/// Returns which value of a setting is right, if that does not depend on the network.
fn right_value(setting: &str) -> &'static str {
    if setting.ends_with(".rp_filter") {
        " The value 1 drops what arrives on another interface than answers leave by, as with `vmac = true`: 2 is \
             right there."
    } else {
        ""
    }
}

fn listed(parts: &[String]) -> String {
    const TOLD_MAX: usize = 8;
    let told = parts.iter().take(TOLD_MAX).map(String::as_str);
    let told: Vec<&str> = told.collect();
    match parts.len().saturating_sub(TOLD_MAX) {
        0 => told.join(", "),
        more => format!("{} and {more} more", told.join(", ")),
    }
}

/// Adds findings for differences that no other finding explains. A default route goes with its interface or with the
/// elector's groups, and a router that does not forward reports that itself.
pub(crate) fn add(found: &mut Vec<Finding>, own: &str, pair: &PairFacts) {
    let differences = pair.machine_differences.iter();
    let new = differences.map(|it| it.finding(own, &pair.peer));
    let new = new.filter(|it| !is_explained(it, found));
    let new: Vec<Finding> = new.collect();
    found.extend(new);
}

fn is_explained(new: &Finding, found: &[Finding]) -> bool {
    found.iter().any(|it| {
        let of_node = it.is(Id::InterfaceDown) || it.is(Id::PluginDown);
        let is_down = of_node && it.node == new.node;
        let is_off = it.is(Id::NotForwarding) && new.thing == format!("sysctl {}", it.thing);
        new.is(Id::NoDefaultRoute) && is_down || is_off
    })
}

/// Returns the differences without those that `ignored` names: "table inet filter", "chain inet filter forward", "set
/// inet filter admins" (also ignores its elements), "sysctl NAME", "mtu lan", "default route IPv4", "rule IPv4 100:
/// ...". A `*` at the end of a name stands for all objects that begin so.
pub fn machine_differences(
    here: &MachineFacts,
    there: &MachineFacts,
    ignored: &[String],
) -> Vec<MachineDifference> {
    let is_ignored = |object: &str| ignored.iter().any(|it| names(it, object));
    let mut found = Vec::new();
    let is_one_version = here.rules_by == there.rules_by;
    let elements = [&here.elements, &there.elements];
    if let (Some(here), Some(there), true) = (&here.rules, &there.rules, is_one_version) {
        found.extend(of_rules(here, there, &is_ignored));
        add_elements(&mut found, &elements, &is_ignored);
    }
    // a setting that only one kernel has belongs to a module that is loaded when it is needed
    let settings = here.settings.iter();
    let settings = settings.filter_map(|(setting, value)| {
        let other = there
            .settings
            .get(setting)
            .filter(|other| *other != value)?;
        Some(MachineDifference::Setting {
            setting: setting.clone(),
            here: value.clone(),
            there: other.clone(),
        })
    });
    found.extend(settings);
    if let (Some(here), Some(there)) = (&here.default_routes, &there.default_routes) {
        let lone = here.symmetric_difference(there);
        found.extend(lone.map(|family| MachineDifference::DefaultRoute {
            family: family.clone(),
            is_here: here.contains(family),
        }));
    }
    if let (Some(here), Some(there)) = (&here.routing_rules, &there.routing_rules) {
        let alone = |one: &BTreeSet<String>, other: &BTreeSet<String>| -> Vec<String> {
            let lone = one.difference(other);
            let lone = lone.filter(|rule| !is_ignored(&format!("rule {rule}")));
            lone.cloned().collect()
        };
        let (here, there) = (alone(here, there), alone(there, here));
        if !(here.is_empty() && there.is_empty()) {
            found.push(MachineDifference::RoutingRules { here, there });
        }
    }
    found.retain(|it| !is_ignored(&it.object()));
    found
}

fn names(pattern: &str, object: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => object.starts_with(start),
        None => pattern == object,
    }
}
