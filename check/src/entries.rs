//! Finds entries of groups that contradict each other or this node, with file and line. They start, but do not work as
//! intended: the reader of the configuration refuses all others.

use std::collections::BTreeMap;
use std::net::IpAddr;

use spared_config::{Fault, Plugin, Setup};
use spared_config_reader::{Cidr, IpNet};
use spared_kernel::fence::is_link_local;
use spared_netlink::{Address, Link, Requests};
use toml::{Table, Value};

use super::wanted::own;
use super::{Finding, Severity, Wanted};

pub fn examine(setup: &Setup, wanted: &Wanted) -> Vec<Finding> {
    // Facts that the kernel does not report are not compared.
    let read = || {
        let mut requests = Requests::open().ok()?;
        Some((requests.links().ok()?, requests.addresses().ok()?))
    };
    let (links, addresses) = read().unwrap_or_default();
    all(setup, wanted, &Kernel { links, addresses })
}

/// Findings that are the same on any machine.
pub fn of_files(setup: &Setup, wanted: &Wanted) -> Vec<Finding> {
    all(setup, wanted, &Kernel::default())
}

fn all(setup: &Setup, wanted: &Wanted, kernel: &Kernel) -> Vec<Finding> {
    let plugins = setup.plugins.iter().filter(|plugin| plugin.enabled);
    let of = |plugin: &Plugin| {
        let name = format!("plugins/{}.toml", plugin.name);
        let file = File {
            name: &name,
            text: &plugin.text,
            node: &setup.host.node,
            nodes: &setup.host.nodes,
        };
        findings(&file, wanted, kernel)
    };
    plugins.flat_map(of).collect()
}

/// Interfaces and addresses of this node.
#[derive(Default)]
struct Kernel {
    links: Vec<Link>,
    addresses: Vec<Address>,
}

impl Kernel {
    fn link(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.name == name)
    }

    /// Returns true if the node has this address in any role.
    fn is_own(&self, address: IpAddr) -> bool {
        let mut own = self.addresses.iter().filter(|it| !it.is_ours());
        own.any(|it| it.address == address)
    }

    /// Networks of the addresses of an interface; without a name, of all interfaces.
    fn networks(&self, interface: Option<&str>) -> impl Iterator<Item = IpNet> + '_ {
        let index = interface
            .and_then(|name| self.link(name))
            .map(|it| it.index);
        let addresses = self.addresses.iter();
        let there = addresses.filter(move |it| index.is_none_or(|index| it.index == index));
        there.filter_map(|it| IpNet::new(it.address, it.prefix).ok())
    }
}

/// File of a plugin, as this node reads it.
struct File<'f> {
    name: &'f str,
    text: &'f str,
    node: &'f str,
    nodes: &'f [String],
}

impl File<'_> {
    fn finding(&self, id: &'static str, severity: Severity, key: &str, why: String) -> Finding {
        let fault = Fault::of_key(self.name, self.text, key, why);
        Finding::new(id, severity, fault.to_string())
    }
}

/// Entry of an array of tables, with its path: "group.0.interface.1".
struct Entry<'t> {
    path: String,
    table: &'t Table,
}

impl<'t> Entry<'t> {
    fn of(table: &'t Table, path: &str, key: &str) -> Vec<Self> {
        let array = table.get(key).and_then(Value::as_array);
        let tables = array.into_iter().flatten().map(Value::as_table);
        let entry = |(position, table): (usize, Option<&'t Table>)| {
            let path = format!("{path}{key}.{position}");
            Some(Self {
                path,
                table: table?,
            })
        };
        tables.enumerate().filter_map(entry).collect()
    }

    fn below(&self, key: &str) -> Vec<Self> {
        Self::of(self.table, &format!("{}.", self.path), key)
    }

    fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.path)
    }

    fn text(&self, key: &str, node: &str) -> Option<&'t str> {
        own(self.table, key, node)?.as_str()
    }

    fn number(&self, key: &str) -> i64 {
        let number = self.table.get(key).and_then(Value::as_integer);
        number.unwrap_or_default()
    }

    fn list(&self, key: &str) -> impl Iterator<Item = &'t str> {
        let list = self.table.get(key).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str)
    }
}

fn findings(file: &File<'_>, wanted: &Wanted, kernel: &Kernel) -> Vec<Finding> {
    // The reader of the configuration reports text that is not TOML.
    let table: Table = file.text.parse().unwrap_or_default();
    let groups = Entry::of(&table, "", "group");
    let mut found = Vec::new();
    for group in &groups {
        found.extend(prefer(file, group));
        let interfaces = group.below("interface");
        // routers other than the peer may have a VRID for each
        if group.text("routers", file.node) != Some("any") {
            found.extend(interfaces_twice(file, &interfaces));
        }
        for entry in &interfaces {
            found.extend(peers(file, entry, kernel));
            found.extend(advert_source(file, entry, wanted, kernel));
        }
        let routes = group.below("route");
        found.extend(
            routes
                .iter()
                .filter_map(|it| gateway(file, it, wanted, kernel)),
        );
    }
    found.extend(destinations_twice(file, &groups));
    found
}

/// Reports an unknown name in `prefer`. With `[nodes]`, the reader of the configuration refuses it.
fn prefer(file: &File<'_>, group: &Entry<'_>) -> Option<Finding> {
    let name = group.text("prefer", file.node)?;
    if !file.nodes.is_empty() || name == file.node {
        return None;
    }
    let why = format!(
        "found \"{name}\", but [nodes] of spared.toml has no such node: {} takes any other router for the preferred one",
        file.node
    );
    Some(file.finding(
        "prefer-unknown",
        Severity::Warning,
        &group.key("prefer"),
        why,
    ))
}

/// Reports two entries of a group with the same interface. The virtual router of each sends adverts, and each can keep
/// the group from its role.
fn interfaces_twice(file: &File<'_>, entries: &[Entry<'_>]) -> Vec<Finding> {
    let mut seen = Vec::new();
    let mut found = Vec::new();
    for entry in entries {
        let Some(name) = entry.text("interface", file.node) else {
            continue;
        };
        let addresses: Vec<IpNet> = entry.list("addresses").filter_map(cidr).collect();
        for (is_ipv6, family) in [(false, "IPv4"), (true, "IPv6")] {
            if !addresses.iter().any(|it| it.addr().is_ipv6() == is_ipv6) {
                continue;
            }
            if seen.contains(&(name, is_ipv6)) {
                let why = format!(
                    "found {name} a second time in this group for {family}: one [[group.interface]] takes all addresses \
                     of an interface"
                );
                let key = entry.key("interface");
                found.push(file.finding("interface-twice", Severity::Warning, &key, why));
            }
            seen.push((name, is_ipv6));
        }
    }
    found
}

/// Reports `peers` that are this node's addresses: adverts of all other senders are ignored.
fn peers(file: &File<'_>, entry: &Entry<'_>, kernel: &Kernel) -> Vec<Finding> {
    let peers: Vec<IpAddr> = entry
        .list("peers")
        .filter_map(|it| it.parse().ok())
        .collect();
    let of = |is_ipv6: bool| {
        let peers = peers.iter().filter(|it| it.is_ipv6() == is_ipv6);
        let names: Vec<String> = peers.clone().map(ToString::to_string).collect();
        let are_own = !names.is_empty() && peers.clone().all(|it| kernel.is_own(*it));
        are_own.then(|| {
            let why = format!(
                "found {}, which is on this node: adverts of the other node are ignored; add the other node's address",
                names.join(", ")
            );
            file.finding("peers-own", Severity::Error, &entry.key("peers"), why)
        })
    };
    [false, true].into_iter().filter_map(of).collect()
}

fn advert_source(
    file: &File<'_>,
    entry: &Entry<'_>,
    wanted: &Wanted,
    kernel: &Kernel,
) -> Option<Finding> {
    let address: IpAddr = entry.text("advert_source", file.node)?.parse().ok()?;
    let interface = entry.text("interface", file.node)?;
    let mut virtuals = wanted.interfaces.values().flat_map(|it| &it.addresses);
    let key = entry.key("advert_source");
    if !wanted.owner && virtuals.any(|it| it.addr() == address) {
        let why = format!(
            "found {address}, a virtual address: adverts need an address that {} always has",
            file.node
        );
        return Some(file.finding("advert-source", Severity::Error, &key, why));
    }
    let link = kernel.link(interface)?;
    let has = |it: &Address| it.index == link.index && it.address == address;
    if kernel.addresses.iter().any(has) {
        return None;
    }
    let why = format!("found {address}, which {interface} does not have: no advert leaves there");
    Some(file.finding("advert-source", Severity::Warning, &key, why))
}

/// Reports a gateway that the kernel may refuse. It adds a route only if the gateway is in a network of the interface,
/// or another route leads to it.
fn gateway(
    file: &File<'_>,
    route: &Entry<'_>,
    wanted: &Wanted,
    kernel: &Kernel,
) -> Option<Finding> {
    let gateway: IpAddr = route.text("gateway", file.node)?.parse().ok()?;
    let interface = route.text("interface", file.node);
    let is_here = |name: &str| kernel.link(name).is_some_and(|it| it.is_ethernet);
    if is_link_local(gateway) || kernel.links.is_empty() || !interface.is_none_or(is_here) {
        return None;
    }
    let virtuals = wanted.interfaces.iter();
    let virtuals = virtuals.filter(|(name, _)| interface.is_none_or(|it| it == *name));
    let virtuals = virtuals.flat_map(|(_, it)| it.addresses.iter().copied());
    let mut networks = virtuals.chain(kernel.networks(interface));
    if networks.any(|net| net.contains(&gateway)) {
        return None;
    }
    let of = interface.map_or("of this node".to_owned(), |it| format!("of {it}"));
    let why = format!(
        "found {gateway}, which is in no network {of}, by an own or a virtual address: unless another route leads to it, \
         this one cannot be set"
    );
    Some(file.finding(
        "route-gateway",
        Severity::Warning,
        &route.key("gateway"),
        why,
    ))
}

/// Reports two routes with the same destination, table and metric: IPv4 keeps the first one, and IPv6 uses both in
/// turn.
fn destinations_twice(file: &File<'_>, groups: &[Entry<'_>]) -> Vec<Finding> {
    let mut seen: BTreeMap<(IpNet, i64, i64), String> = BTreeMap::new();
    let mut found = Vec::new();
    let routes = groups.iter().flat_map(|group| group.below("route"));
    for route in routes {
        let Some(destination) = route.text("destination", file.node).and_then(cidr) else {
            continue;
        };
        let by = |key: &str, word: &str| {
            let value = route.text(key, file.node)?;
            Some(format!("{word} {value}"))
        };
        let way = [by("gateway", "via"), by("interface", "dev")];
        let way: Vec<String> = way.into_iter().flatten().collect();
        let way = way.join(" ");
        let key = (destination, route.number("table"), route.number("metric"));
        match seen.get(&key) {
            None => {
                seen.insert(key, way);
            }
            Some(first) => {
                let why = format!(
                    "found {destination} {way}, and above {destination} {first} with the same metric: a node that is \
                     active for both uses the first or both in turn; give one of them a metric"
                );
                let key = route.key("destination");
                found.push(file.finding("route-twice", Severity::Warning, &key, why));
            }
        }
    }
    found
}

fn cidr(text: &str) -> Option<IpNet> {
    text.parse().ok().map(|Cidr(net)| net)
}

#[cfg(test)]
mod tests;
