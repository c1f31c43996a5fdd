//! Needs of the plugins' files, read without knowing any plugin. A table with a key `interface` is about that
//! interface, and its lists of address/prefix are addresses on it. A table with `family`, `table` and `name` is about
//! that nftables set.

use std::collections::BTreeMap;
use std::net::IpAddr;

use spared_config::Setup;
use spared_config_reader::{Cidr, IpNet};
use spared_contract::Family;
use spared_message::device_name;
use toml::{Table, Value};

/// Interfaces, groups and sets that the files name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    pub interfaces: BTreeMap<String, Interface>,
    /// Tables `[[group]]`; groups may be active on different nodes.
    pub groups: Vec<Group>,
    /// nftables sets that have to be replicated.
    pub sets: Vec<Set>,
    /// Names of the devices of virtual MACs, with their interfaces.
    pub devices: Vec<(String, String)>,
    /// Interfaces whose connections may end together with their address: keys `dynamic_nat`.
    pub dynamic: Vec<String>,
    /// Kernel settings that a plugin sets by role.
    pub by_role: Vec<String>,
    /// True if a group has this node as the owner of its addresses: priority 255.
    pub owner: bool,
}

/// An nftables set or map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    pub family: String,
    pub table: String,
    pub name: String,
}

impl Set {
    fn of(table: &Table, node: &str) -> Option<Self> {
        let text = |key| own(table, key, node)?.as_str().map(str::to_owned);
        Some(Self {
            family: text("family")?,
            table: text("table")?,
            name: text("name")?,
        })
    }
}

/// Group with the addresses that move with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    pub name: String,
    pub addresses: Vec<IpAddr>,
}

/// Needs of an interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    pub addresses: Vec<IpNet>,
    pub virtual_mac: bool,
    /// True if a virtual router is on the interface.
    pub adverts: bool,
    /// True if one of the virtual routers is `unicast`: its adverts pass the firewall's output hook.
    pub unicast: bool,
    pub peers: Vec<IpAddr>,
}

impl Interface {
    pub fn has_ipv4(&self) -> bool {
        self.addresses.iter().any(|net| net.addr().is_ipv4())
    }

    pub fn has_ipv6(&self) -> bool {
        self.addresses.iter().any(|net| net.addr().is_ipv6())
    }
}

impl Group {
    fn of(table: &Table, node: &str) -> Option<Self> {
        let mut inner = Wanted::default();
        inner.walk(table, node);
        let addresses = inner.interfaces.into_values().flat_map(|it| it.addresses);
        Some(Self {
            name: table.get("name")?.as_str()?.to_owned(),
            addresses: addresses.map(|net| net.addr()).collect(),
        })
    }
}

impl Wanted {
    pub fn of(setup: &Setup) -> Self {
        let mut wanted = Self {
            by_role: setup.settings(),
            ..Self::default()
        };
        for plugin in setup.plugins.iter().filter(|plugin| plugin.enabled) {
            wanted.read(&plugin.text, &setup.host.node);
        }
        wanted
    }

    pub(super) fn read(&mut self, text: &str, node: &str) {
        // the reader of the configuration reports text that is not TOML
        let table: Table = text.parse().unwrap_or_default();
        self.walk(&table, node);
        let dynamic = own(&table, "dynamic_nat", node).and_then(Value::as_array);
        let dynamic = dynamic.into_iter().flatten().filter_map(Value::as_str);
        self.dynamic.extend(dynamic.map(str::to_owned));
        let groups = table.get("group").and_then(Value::as_array);
        let groups = groups.into_iter().flatten().filter_map(Value::as_table);
        self.groups
            .extend(groups.filter_map(|group| Group::of(group, node)));
    }

    fn walk(&mut self, table: &Table, node: &str) {
        self.walk_within(table, node, None);
    }

    /// Reads a table. `of_group` is the VRID of the group for all its interfaces.
    fn walk_within(&mut self, table: &Table, node: &str, of_group: Option<&Value>) {
        let priority = own(table, "priority", node).and_then(Value::as_integer);
        self.owner |= priority == Some(255);
        self.sets.extend(Set::of(table, node));
        if let Some(Value::String(name)) = own(table, "interface", node) {
            let interface = self.interfaces.entry(name.clone()).or_default();
            let vrid = table.get("vrid").or(of_group);
            interface.adverts |= vrid.is_some();
            interface.virtual_mac |= flag(table, "vmac", node);
            interface.unicast |= flag(table, "unicast", node);
            let peers = own(table, "peers", node).and_then(Value::as_array);
            let peers = peers.into_iter().flatten().filter_map(Value::as_str);
            interface
                .peers
                .extend(peers.filter_map(|it| it.parse::<IpAddr>().ok()));
            let lists = table.values().filter_map(Value::as_array).flatten();
            let texts = lists.filter_map(Value::as_str);
            let addresses: Vec<IpNet> = texts.filter_map(address).collect();
            interface.addresses.extend(&addresses);
            if flag(table, "vmac", node) {
                self.name_devices(table, name, vrid, &addresses);
            }
        }
        for (key, value) in table {
            let of_group = table.get("vrid").filter(|_| key == "interface");
            match value {
                Value::Table(inner) => self.walk(inner, node),
                Value::Array(items) => {
                    for inner in items.iter().filter_map(Value::as_table) {
                        self.walk_within(inner, node, of_group);
                    }
                }
                _ => {}
            }
        }
    }
}

impl Wanted {
    // Notes the names of the devices of virtual MACs, one for each family, as plugins/vrrp chooses them.
    fn name_devices(
        &mut self,
        table: &Table,
        interface: &str,
        vrid: Option<&Value>,
        addresses: &[IpNet],
    ) {
        let vrid = vrid.and_then(Value::as_integer);
        let Some(vrid) = vrid.and_then(|vrid| u8::try_from(vrid).ok()) else {
            return;
        };
        let given = table.get("vmac_name").and_then(Value::as_str);
        let has = |is_v4: bool| addresses.iter().any(|net| net.addr().is_ipv4() == is_v4);
        let end = if has(true) { "v6" } else { "" };
        for (family, is_there, end) in [(Family::V4, has(true), ""), (Family::V6, has(false), end)]
        {
            if is_there {
                let default = || device_name(interface, family, vrid);
                let name = given.map_or_else(default, |given| format!("{given}{end}"));
                self.devices.push((interface.to_owned(), name));
            }
        }
    }
}

fn address(text: &str) -> Option<IpNet> {
    text.parse().ok().map(|Cidr(net)| net)
}

fn flag(table: &Table, key: &str, node: &str) -> bool {
    own(table, key, node).and_then(Value::as_bool) == Some(true)
}

// Value of a key. In a table by node name, it is the value of this node.
pub(super) fn own<'t>(table: &'t Table, key: &str, node: &str) -> Option<&'t Value> {
    match table.get(key)? {
        Value::Table(by_node) => by_node.get(node),
        value => Some(value),
    }
}
