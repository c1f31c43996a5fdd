//! `[equal]`: differences between the machines that are allowed. Also finds the values by node name in all files: they
//! name the same thing on each node.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::IpAddr;
use std::time::Duration;

use spared_config_reader::{Cidr, Section};
use toml::{Table, Value};

use super::Setup;

/// Default time for which a difference lasts before it is reported.
const AFTER: Duration = Duration::from_secs(60);
const AFTER_MAX: Duration = Duration::from_secs(24 * 3600);
const IGNORED_MAX: usize = 128;
/// Maximum bytes of a file of rules whose tables are read.
const RULES_MAX: u64 = 1024 * 1024;
const FAMILIES: [&str; 6] = ["ip", "ip6", "inet", "bridge", "arp", "netdev"];
const OBJECTS: [&str; 9] = [
    "table ",
    "chain ",
    "set ",
    "map ",
    "flowtable ",
    "sysctl ",
    "mtu ",
    "default route ",
    "rule ",
];

/// Settings of the comparison of both machines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Equal {
    /// Objects that may differ: "table inet filter", "sysctl net.ipv4.ip_forward".
    pub ignore: Vec<String>,
    /// Time for which a difference lasts before it is reported.
    pub after: Duration,
}

impl Default for Equal {
    fn default() -> Self {
        Self {
            ignore: Vec::new(),
            after: AFTER,
        }
    }
}

impl Equal {
    pub(super) fn read(root: &Section<'_>) -> Self {
        let Some(section) = root.section("equal") else {
            return Self::default();
        };
        let ignore: Vec<String> = section.list("ignore", "a text").unwrap_or_default();
        for (position, object) in ignore.iter().enumerate() {
            let is_known = OBJECTS.iter().any(|start| object.starts_with(start)) || object == "*";
            if !is_known || object.len() > 300 {
                let why = format!(
                    "found {object:?}, allowed \"table FAMILY NAME\", \"chain FAMILY TABLE NAME\" (or set, map, flowtable), \"sysctl NAME\", \
                     \"mtu INTERFACE\", \"default route IPv4\" or \"default route IPv6\", \"rule IPv4 100*\", each with * at the end to match all names that begin with it"
                );
                section.fault(&format!("ignore.{position}"), why);
            }
        }
        if ignore.len() > IGNORED_MAX {
            let found = ignore.len();
            section.fault(
                "ignore",
                format!("found {found}, allowed at most {IGNORED_MAX}"),
            );
        }
        let after = section.duration("after", Duration::from_secs(1)..=AFTER_MAX);
        Self {
            ignore,
            after: after.unwrap_or(AFTER),
        }
    }
}

/// Things with another name on each node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ByNode {
    /// Names of this node's interfaces, with the name of each on the first node.
    pub interfaces: BTreeMap<String, String>,
    /// Addresses of nodes: values by node name, and `peers`.
    pub addresses: BTreeSet<IpAddr>,
    /// Tables of nftables that a plugin loads with the role, named as in `equal.ignore`: they may differ.
    pub tables: BTreeSet<String>,
    /// Sets of nftables that a plugin keeps equal: "inet filter bans".
    pub sets: BTreeSet<String>,
}

impl Setup {
    /// Things that the files of enabled plugins and `spared.toml` name by node.
    pub fn by_node(&self) -> ByNode {
        let mut found = ByNode::default();
        let plugins = self.plugins.iter().filter(|plugin| plugin.enabled);
        let texts = plugins.map(|plugin| plugin.text.as_str());
        for text in texts.chain([self.text.as_str()]) {
            // text that is not TOML names nothing
            let table: Table = text.parse().unwrap_or_default();
            found.walk(&table, &self.host.node, &self.host.nodes);
        }
        found.interfaces.retain(|own, first| own != first);
        found
    }
}

impl ByNode {
    fn walk(&mut self, table: &Table, node: &str, nodes: &[String]) {
        let named = ["family", "table", "name"].map(|key| table.get(key).and_then(Value::as_str));
        if let [Some(family), Some(table), Some(name)] = named {
            self.sets.insert(format!("{family} {table} {name}"));
        }
        // a table with a `key` is a kernel setting
        let loads = !table.contains_key("key");
        for (key, value) in table {
            let own = value.get(node).unwrap_or(value).as_str();
            if let Some(path) = own.filter(|_| loads && key.starts_with("while_")) {
                self.tables.extend(tables_of(path));
            }
            match value {
                Value::Table(inner) if is_by_node(inner, nodes) => {
                    self.note(key, inner, node);
                }
                Value::Table(inner) => self.walk(inner, node, nodes),
                Value::Array(items) => {
                    if key == "peers" {
                        let peers = items.iter().filter_map(Value::as_str);
                        self.addresses
                            .extend(peers.filter_map(|it| it.parse::<IpAddr>().ok()));
                    }
                    let inner = items.iter().filter_map(Value::as_table);
                    inner.for_each(|inner| self.walk(inner, node, nodes));
                }
                _ => {}
            }
        }
    }

    fn note(&mut self, key: &str, by_node: &Table, node: &str) {
        let texts: BTreeMap<&String, &str> = by_node
            .iter()
            .filter_map(|(name, value)| Some((name, value.as_str()?)))
            .collect();
        let own = by_node.get(node).and_then(Value::as_str);
        let first = texts.values().next();
        if let (true, Some(own), Some(first)) = (key.ends_with("interface"), own, first) {
            self.interfaces.insert(own.to_owned(), (*first).to_owned());
        }
        self.addresses
            .extend(texts.values().filter_map(|it| address(it)));
    }
}

// Returns true if all keys of the table are nodes. Without [nodes] there is no other node to compare with.
fn is_by_node(table: &Table, nodes: &[String]) -> bool {
    !table.is_empty()
        && table
            .iter()
            .all(|(key, value)| nodes.contains(key) && value.is_str())
}

// Tables that a file of rules names, such as "table inet t"; none if the file cannot be read.
fn tables_of(path: &str) -> Vec<String> {
    if !path.starts_with('/') || fs::metadata(path).is_ok_and(|it| it.len() > RULES_MAX) {
        return Vec::new();
    }
    let text = fs::read_to_string(path).unwrap_or_default();
    let words: Vec<&str> = text.split_whitespace().collect();
    let named = words.windows(3).filter_map(|three| match *three {
        ["table", family @ ("ip" | "ip6" | "inet" | "bridge"), name] => Some(format!(
            "table {family} {}",
            name.trim_end_matches(['{', ';', '}'])
        )),
        // without a family the table is "ip"
        ["table", name, _] if !FAMILIES.contains(&name) => Some(format!("table ip {name}")),
        _ => None,
    });
    named.collect()
}

fn address(text: &str) -> Option<IpAddr> {
    let plain = text.parse::<IpAddr>().ok();
    plain.or_else(|| text.parse().ok().map(|Cidr(net)| net.addr()))
}

#[cfg(test)]
mod tests {
    use spared_config_reader::Config;

    use super::*;

    #[test]
    fn interfaces_and_addresses_by_node_name_are_found_in_all_tables() {
        let text = "[nodes]\nr1 = {}\nr2 = {}\n[[group]]\npriority = { r1 = 1, r2 = 2 }\n[[group.interface]]\n\
                    interface = { r1 = \"lan\", r2 = \"enp1s0\" }\npeers = [\"10.0.0.2\", \"10.0.0.3\"]\n\
                    [[link]]\ninterface = { r1 = \"hot\", r2 = \"hot\" }\n\
                    address = { r1 = \"10.9.0.1/24\", r2 = \"10.9.0.2/24\" }\n";
        let nodes = ["r1".to_owned(), "r2".to_owned()];
        let of = |node: &str| {
            let mut found = ByNode::default();
            found.walk(&text.parse().unwrap_or_default(), node, &nodes);
            found
        };
        let [one, other] = [of("r1"), of("r2")];
        assert_eq!(one.interfaces.get("lan").map(String::as_str), Some("lan"));
        assert_eq!(
            other.interfaces.get("enp1s0").map(String::as_str),
            Some("lan")
        );
        assert_eq!(one.addresses, other.addresses);
        let all: Vec<String> = one.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(all, ["10.0.0.2", "10.0.0.3", "10.9.0.1", "10.9.0.2"]);
    }

    #[test]
    fn each_kind_of_object_may_be_ignored_and_another_word_not() {
        let faults = |object: &str| {
            let text = format!("[equal]\nignore = [{object:?}]\n");
            let config = Config::parse(&text, "r1", &[]).expect("TOML");
            let _ = Equal::read(&config.root());
            config.finish().err().map_or(0, |it| it.len())
        };
        for kind in ["table", "chain", "set", "map", "flowtable"] {
            assert_eq!(faults(&format!("{kind} inet office x")), 0, "{kind}");
        }
        assert_eq!(faults("rules inet office x"), 1);
    }

    #[test]
    fn sets_that_a_plugin_keeps_equal_are_found() {
        let text = "[[set]]\nfamily = \"inet\"\ntable = \"filter\"\nname = \"bans\"\n[[group]]\nname = \"office\"\n";
        let mut found = ByNode::default();
        found.walk(&text.parse().unwrap_or_default(), "r1", &[]);
        let sets: Vec<&str> = found.sets.iter().map(String::as_str).collect();
        assert_eq!(sets, ["inet filter bans"]);
    }

    #[test]
    fn tables_that_are_loaded_with_the_role_are_found() {
        let path = std::env::temp_dir().join(format!("spared-role-{}.nft", std::process::id()));
        fs::write(
            &path,
            "table inet guests {}\nflush table inet guests\ntable t { chain c { } }\n",
        )
        .expect("a temporary file");
        let text = format!(
            "[[ruleset]]\nwhile_active = {path:?}\n[[sysctl]]\nkey = \"net.ipv4.ip_forward\"\nwhile_active = \"/etc/x\"\n"
        );
        let mut found = ByNode::default();
        found.walk(&text.parse().unwrap_or_default(), "r1", &[]);
        fs::remove_file(&path).expect("our own file");
        let tables: Vec<&str> = found.tables.iter().map(String::as_str).collect();
        assert_eq!(tables, ["table inet guests", "table ip t"]);
    }
}
