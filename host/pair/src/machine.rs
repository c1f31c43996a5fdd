//! What must be equal on both machines although spared does not set it: rules of nftables, kernel settings, default routes,
//! rules of policy routing.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::facts::PairFacts;
use crate::finding::{Finding, Id};

/// Digests of the parts of nftables tables: by table ("inet filter") and part ("chain forward"). The second digest takes
/// all addresses of the nodes' own for the same: parts are equal if either is.
pub type RuleDigests = BTreeMap<String, BTreeMap<String, [u32; 2]>>;

/// Begin of the name of a part that has other elements.
const ELEMENTS: &str = "elements of ";
/// Begin of the name of an interface's MTU among the settings.
const MTU: &str = "mtu ";

/// What must be equal on both machines, as one of them has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MachineFacts {
    /// The program that listed the rules: another version prints them in another way, and they are not compared.
    pub rules_by: String,
    /// Digests of the rules; None: not known.
    pub rules: Option<RuleDigests>,
    /// Digests of the elements of sets and maps that nobody has changed for a while: by table and part ("set admins").
    pub elements: RuleDigests,
    /// Values of kernel settings, and "mtu lan" of interfaces of groups, without those that the kernel does not have.
    pub settings: BTreeMap<String, String>,
    /// Families with a default route, "IPv4" and "IPv6"; None: not known.
    pub default_routes: Option<BTreeSet<String>>,
    /// Rules of policy routing, "IPv4 100: from all iif lan lookup 100"; None: not known.
    pub routing_rules: Option<BTreeSet<String>>,
}

/// A difference between both machines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MachineDifference {
    /// A table of nftables that only one node has.
    Table {
        /// "inet filter".
        table: String,
        /// This node has it.
        is_here: bool,
    },
    /// A table of nftables with other rules.
    Rules {
        /// "inet filter".
        table: String,
        /// Parts that differ: "chain forward", "elements of set admins".
        parts: Vec<String>,
    },
    /// A kernel setting.
    Setting {
        /// "net.ipv4.ip_forward".
        setting: String,
        /// Value on this node.
        here: String,
        /// Value on the other node.
        there: String,
    },
    /// A default route that only one node has.
    DefaultRoute {
        /// "IPv4".
        family: String,
        /// This node has it.
        is_here: bool,
    },
    /// Rules of policy routing that only one node has.
    RoutingRules {
        /// Those of this node.
        here: Vec<String>,
        /// Those of the other node.
        there: Vec<String>,
    },
}

impl MachineDifference {
    /// What differs, as `equal.ignore` names it.
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

/// What lists the parts that differ; also the set, as `equal.ignore` names it, if there are only its elements.
fn commands(table: &str, parts: &[String]) -> (String, Option<String>) {
    let sets: Vec<&str> = parts
        .iter()
        .filter_map(|it| it.strip_prefix(ELEMENTS))
        .collect();
    match sets[..] {
        [] => (format!("nft -s -t list table {table}"), None),
        [set] if parts.len() == 1 => {
            let set = object_of(table, set);
            (format!("nft list {set}"), Some(set))
        }
        _ => (format!("nft -s list table {table}"), None),
    }
}

/// Which value is right, where that does not depend on the network.
fn right_value(setting: &str) -> &'static str {
    match setting.ends_with(".rp_filter") {
        true => {
            " The value 1 drops what arrives on another interface than answers leave by, as with `vmac = true`: 2 is \
             right there."
        }
        false => "",
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

/// Adds what differs and has no other finding: a default route goes with its
/// interface or the groups of the elector, and a router that does not forward
/// says so itself.
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

/// What differs, without what `ignored` names: "table inet filter", "chain inet filter forward", "set inet filter admins"
/// (its elements as well), "sysctl NAME",
/// "mtu lan", "default route IPv4", "rule IPv4 100: ...", each with a `*` at the end for all that begin so.
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
    // one that only one kernel has is of a module that is loaded when it is needed
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

fn of_rules(
    here: &RuleDigests,
    there: &RuleDigests,
    is_ignored: &dyn Fn(&str) -> bool,
) -> Vec<MachineDifference> {
    let tables: BTreeSet<&String> = here.keys().chain(there.keys()).collect();
    let mut found = Vec::new();
    for table in tables {
        let (Some(own), Some(other)) = (here.get(table), there.get(table)) else {
            found.push(MachineDifference::Table {
                table: table.clone(),
                is_here: here.contains_key(table),
            });
            continue;
        };
        let parts: BTreeSet<&String> = own.keys().chain(other.keys()).collect();
        let differ = parts.into_iter().filter(|part| {
            !are_equal(own.get(*part), other.get(*part)) && !is_ignored(&object_of(table, part))
        });
        let parts: Vec<String> = differ.cloned().collect();
        if !parts.is_empty() {
            let table = table.clone();
            found.push(MachineDifference::Rules { table, parts });
        }
    }
    found
}

/// Adds sets with other elements. Only those count of which both nodes know them.
fn add_elements(
    found: &mut Vec<MachineDifference>,
    [here, there]: &[&RuleDigests; 2],
    is_ignored: &dyn Fn(&str) -> bool,
) {
    for (table, own) in *here {
        let Some(other) = there.get(table) else {
            continue;
        };
        let differ = own.iter().filter(|(part, digests)| {
            let other = other.get(*part);
            other.is_some()
                && !are_equal(Some(digests), other)
                && !is_ignored(&object_of(table, part))
        });
        let more: Vec<String> = differ
            .map(|(part, _)| format!("{ELEMENTS}{part}"))
            .collect();
        let known = found.iter_mut().find_map(|it| match it {
            MachineDifference::Rules { table: of, parts } if of == table => Some(parts),
            _ => None,
        });
        match known {
            _ if more.is_empty() => {}
            Some(parts) => parts.extend(more),
            None => found.push(MachineDifference::Rules {
                table: table.clone(),
                parts: more,
            }),
        }
    }
}

fn are_equal(one: Option<&[u32; 2]>, other: Option<&[u32; 2]>) -> bool {
    let (Some(one), Some(other)) = (one, other) else {
        return false;
    };
    one[0] == other[0] || one[1] == other[1]
}

// "chain inet filter forward" of "inet filter" and "chain forward".
fn object_of(table: &str, part: &str) -> String {
    match part.split_once(' ') {
        Some((kind, name)) => format!("{kind} {table} {name}"),
        None => format!("{part} {table}"),
    }
}

fn names(pattern: &str, object: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => object.starts_with(start),
        None => pattern == object,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(tables: &[(&str, &str, [u32; 2])], settings: &[(&str, &str)]) -> MachineFacts {
        let mut rules = RuleDigests::new();
        for (table, part, digests) in tables {
            let parts = rules.entry((*table).to_owned()).or_default();
            parts.insert((*part).to_owned(), *digests);
        }
        let settings = settings.iter();
        MachineFacts {
            rules_by: "nftables v1.0.6".to_owned(),
            rules: Some(rules),
            settings: settings
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            ..MachineFacts::default()
        }
    }

    fn told(here: &MachineFacts, there: &MachineFacts, ignored: &[&str]) -> Vec<String> {
        let ignored: Vec<String> = ignored.iter().map(ToString::to_string).collect();
        let found = machine_differences(here, there, &ignored);
        found.iter().map(|it| it.finding("r1", "r2").text).collect()
    }

    #[test]
    fn a_chain_that_differs_is_named_with_its_table() {
        let here = facts(
            &[
                ("inet filter", "chain input", [1, 1]),
                ("inet filter", "chain forward", [2, 2]),
            ],
            &[],
        );
        let there = facts(
            &[
                ("inet filter", "chain input", [1, 1]),
                ("inet filter", "chain forward", [3, 3]),
            ],
            &[],
        );
        assert_eq!(
            told(&here, &there, &[]),
            [
                "rules: table inet filter differs between r1 and r2, in chain forward: filtering and translation \
                 change with the active node"
            ]
        );
        for ignored in [
            "chain inet filter forward",
            "table inet filter",
            "table inet *",
        ] {
            assert_eq!(told(&here, &there, &[ignored]), [""; 0], "{ignored}");
        }
        assert_eq!(told(&here, &there, &["table inet"]).len(), 1);
    }

    #[test]
    fn a_set_with_other_elements_is_named_if_both_nodes_know_them() {
        let with = |digest: Option<u32>, chain: u32| {
            let chain = ("inet filter", "chain input", [chain; 2]);
            let mut facts = facts(&[chain], &[]);
            let parts = digest.map(|it| ("set admins".to_owned(), [it; 2]));
            let parts = parts.into_iter().collect();
            facts.elements = [("inet filter".to_owned(), parts)].into();
            facts
        };
        let (here, there) = (with(Some(1), 1), with(Some(2), 1));
        let sentence = |parts: &str| {
            format!(
                "rules: table inet filter differs between r1 and r2, in {parts}: filtering and translation change with \
                 the active node"
            )
        };
        assert_eq!(
            told(&here, &there, &[]),
            [sentence("elements of set admins")]
        );
        let todo = |there: &MachineFacts| {
            let found = machine_differences(&here, there, &[]);
            found[0].finding("r1", "r2").todo
        };
        assert_eq!(
            todo(&there),
            "Compare `nft list set inet filter admins` of both nodes. If that is meant, name \"set inet filter admins\" in \
             `equal.ignore` of spared.toml."
        );
        assert_eq!(told(&here, &with(None, 1), &[]), [""; 0], "not known there");
        assert_eq!(told(&here, &with(Some(1), 1), &[]), [""; 0]);
        let both = with(Some(2), 2);
        let parts = "chain input, elements of set admins";
        assert_eq!(told(&here, &both, &[]), [sentence(parts)]);
        assert!(
            todo(&both).starts_with("Compare `nft -s list table inet filter` "),
            "{}",
            todo(&both)
        );
        for ignored in [
            "set inet filter admins",
            "set inet filter *",
            "table inet filter",
        ] {
            assert_eq!(told(&here, &there, &[ignored]), [""; 0], "{ignored}");
        }
        let by_address = MachineFacts {
            elements: [(
                "inet filter".to_owned(),
                [("set admins".to_owned(), [2, 1])].into(),
            )]
            .into(),
            ..facts(&[("inet filter", "chain input", [1; 2])], &[])
        };
        assert_eq!(told(&here, &by_address, &[]), [""; 0], "own addresses");
    }

    #[test]
    fn parts_are_equal_if_only_addresses_of_the_nodes_differ() {
        let here = facts(&[("ip nat", "chain post", [1, 9])], &[]);
        let by_address = facts(&[("ip nat", "chain post", [2, 9])], &[]);
        let with_both = facts(&[("ip nat", "chain post", [1, 8])], &[]);
        assert_eq!(told(&here, &by_address, &[]), [""; 0]);
        assert_eq!(told(&here, &with_both, &[]), [""; 0]);
    }

    #[test]
    fn a_table_that_one_node_lacks_is_its_fault() {
        let here = facts(&[("ip nat", "chain post", [1, 1])], &[]);
        let found = machine_differences(&here, &facts(&[], &[]), &[]);
        let finding = found[0].finding("r1", "r2");
        assert_eq!(
            (finding.node.as_str(), finding.id.as_str()),
            ("r2", "SP-0803")
        );
        assert!(
            finding
                .text
                .starts_with("rules: table ip nat is on r1 but not on r2"),
            "{finding:?}"
        );
        let other = MachineFacts {
            rules_by: "nftables v1.1.3".to_owned(),
            ..facts(&[], &[])
        };
        assert_eq!(told(&here, &other, &[]), [""; 0], "printed in another way");
        let unknown = MachineFacts {
            rules: None,
            ..facts(&[], &[])
        };
        assert_eq!(
            told(&here, &unknown, &[]),
            [""; 0],
            "nobody read them there"
        );
    }

    #[test]
    fn a_setting_differs_only_if_both_kernels_have_it() {
        let here = facts(&[], &[("net.a", "1"), ("net.b", "1")]);
        let there = facts(&[], &[("net.a", "2"), ("net.c", "1")]);
        assert_eq!(told(&here, &there, &[]), ["net.a is 1 on r1 and 2 on r2"]);
        assert_eq!(told(&here, &there, &["sysctl net.a"]), [""; 0]);
    }

    #[test]
    fn an_mtu_and_a_filter_that_differ_are_told_with_what_to_type() {
        let here = facts(&[], &[("mtu lan", "1500"), ("net.x.rp_filter", "1")]);
        let there = facts(&[], &[("mtu lan", "1280"), ("net.x.rp_filter", "2")]);
        let found = machine_differences(&here, &there, &[]);
        let found: Vec<Finding> = found.iter().map(|it| it.finding("r1", "r2")).collect();
        assert_eq!(found[0].text, "mtu lan is 1500 on r1 and 1280 on r2");
        assert!(
            found[0].todo.contains("`ip link set lan mtu SIZE`"),
            "{}",
            found[0].todo
        );
        assert!(
            found[1].todo.contains("2 is right there"),
            "{}",
            found[1].todo
        );
        let ignored = ["mtu lan", "sysctl net.x.rp_filter"];
        assert_eq!(told(&here, &there, &ignored), [""; 0]);
    }

    #[test]
    fn a_default_route_is_missing_on_the_node_that_has_none() {
        let with = |families: &[&str]| MachineFacts {
            default_routes: Some(families.iter().map(ToString::to_string).collect()),
            ..MachineFacts::default()
        };
        let found = machine_differences(&with(&["IPv4"]), &with(&["IPv4", "IPv6"]), &[]);
        let finding = found[0].finding("r1", "r2");
        assert_eq!((found.len(), finding.node.as_str()), (1, "r1"));
        assert!(
            finding
                .text
                .starts_with("r1 has no IPv6 default route, and r2 has one"),
            "{finding:?}"
        );
    }

    #[test]
    fn rules_of_policy_routing_that_differ_are_one_finding() {
        let with = |rules: &[&str]| MachineFacts {
            routing_rules: Some(rules.iter().map(ToString::to_string).collect()),
            ..MachineFacts::default()
        };
        let here = with(&[
            "IPv4 0: from all lookup 255",
            "IPv4 100: from all lookup 100",
        ]);
        let there = with(&[
            "IPv4 0: from all lookup 255",
            "IPv4 7: from all iif lan prohibit",
        ]);
        assert_eq!(
            told(&here, &there, &[]),
            [
                "`ip rule` differs between r1 and r2: IPv4 100: from all lookup 100 only on r1; IPv4 7: from all iif \
                 lan prohibit only on r2: packets take other routes after a failover"
            ]
        );
        assert_eq!(told(&here, &there, &["rule IPv4 7:*"]).len(), 1);
        assert_eq!(told(&here, &there, &["rule IPv4*"]), [""; 0]);
        assert_eq!(told(&here, &MachineFacts::default(), &[]), [""; 0]);
    }
}
