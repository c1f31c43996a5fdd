//! Entries of `virtual_ipaddress` and `virtual_ipaddress_excluded`.

use std::collections::BTreeSet;
use std::net::IpAddr;

use spared_config_reader::{Cidr, IpNet, is_host, is_interface, reserved_in_network};

use super::command::shell_word;
use super::taken::{Occupied, Once, Taken};
use super::{Both, Edit, LOOK, Translation};
use crate::limits::ADDRESSES_MAX;
use crate::toml::Each;
use crate::tree::Statement;

/// Maximum bytes of a label, as of an interface's name.
const LABEL_MAX: usize = 15;
const BROADCAST: &str = "the kernel answers to the broadcast address of the prefix without it";
const COUNTED: &str = "the address is there already; keepalived has it twice in its adverts, and refuses adverts with another number of addresses";
const COUNTED_WHY: &str = "keepalived refuses adverts with another number of addresses than its own: with these lines both nodes would be active after `sparectl force active`";
const ELSEWHERE: &str = "the other node has the address in another instance";
pub const ELSEWHERE_TODO: &str = "give the instances of both nodes the same `virtual_router_id`, interface and addresses, and import again";
const COUNTED_TODO: &str =
    "take this line out of keepalived.conf on both nodes before you begin, as the steps say";

/// A virtual address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// With its prefix and its label, as in the files.
    pub text: String,
    pub ip: IpAddr,
    /// Interface on each node, if it is not that of the instance.
    pub device: Each<Option<String>>,
    /// The carrier of that interface does not count.
    pub is_blind: bool,
}

/// An address that the nodes have in different instances.
#[derive(Clone, Copy, Debug)]
pub struct Contradiction(pub IpAddr);

/// Home of the addresses of a list, if they name no other interface.
pub struct Home<'h> {
    pub interface: &'h Each<String>,
    /// It is the device of a virtual MAC, which has no labels.
    pub is_virtual: bool,
    /// All addresses are in adverts.
    pub has_one_family: bool,
}

/// Reads an address with or without a prefix; without one it is a host's.
pub fn address(text: &str) -> Option<IpNet> {
    match text.parse() {
        Ok(Cidr(net)) => Some(net),
        Err(()) => text.parse::<IpAddr>().ok().map(IpNet::from),
    }
}

/// True for a name of an interface; an alias (`eth0:1`) is none.
pub fn is_device(name: &str) -> bool {
    is_interface(name) && !name.contains(':')
}

pub fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(it) if it.is_unicast_link_local())
}

impl Translation<'_> {
    /// The addresses of a list that nobody else has: `taken` gets them. Those without an interface of their own are on
    /// that of their home.
    pub(super) fn addresses(
        &mut self,
        both: &Both<'_>,
        home: &Home<'_>,
        taken: &mut Taken,
    ) -> Result<Vec<Address>, Contradiction> {
        let bare = |it: &Statement| it.word(0).split('/').next().unwrap_or_default().to_owned();
        // the other list is in no advert
        let is_advertised = home.has_one_family && !self.is_final;
        let mut found: Vec<Address> = Vec::new();
        let mut contradiction = None;
        for entry in self.entries(both, bare) {
            let Some(statement) = entry[0].or(entry[1]) else {
                continue;
            };
            if let [Some(one), Some(two)] = entry {
                if one.word(0) != two.word(0) {
                    let why = format!("{} has {}", self.nodes[0], one.word(0));
                    self.list(two, &why, "give both nodes the same prefix");
                }
            }
            let Some(mut net) = address(statement.word(0)) else {
                self.list_both(&entry, "it is no address", "write it into `addresses`");
                continue;
            };
            let ip = net.addr();
            if option(statement, "peer").is_some() {
                // keepalived ignores the prefix
                net = ip.into();
            }
            if found.len() >= ADDRESSES_MAX {
                let why = format!("more than {ADDRESSES_MAX} addresses are not translated");
                for statement in entry.iter().flatten() {
                    self.list_at(statement.place, "addresses", &why, "divide the list");
                }
                continue;
            }
            let other = found.first().filter(|it| it.ip.is_ipv6() != ip.is_ipv6());
            if home.has_one_family && other.is_some() {
                let why = "an instance has one family: keepalived ignores the address";
                self.list_both(&entry, why, "an instance of its own for it");
                continue;
            }
            if !is_host(ip) || reserved_in_network(net).is_some() {
                let why =
                    "no host can have it: it is a network's, a broadcast or no unicast address";
                self.list_both(&entry, why, "write another one, or correct its prefix");
                if is_advertised {
                    self.take_out(&entry, COUNTED_WHY);
                }
                continue;
            }
            // an entry of one node alone is written for both
            let options = entry.map(|it| self.options(it.unwrap_or(statement)));
            let device = options.each_ref().map(|it| it.0.clone());
            let on = [0, 1].map(|node| device[node].as_ref().unwrap_or(&home.interface[node]));
            if !on.iter().all(|it| is_device(it)) {
                self.list_both(&entry, "no interface has such a name", "name the interface");
                continue;
            }
            let once = on.map(|on| {
                let on = if is_link_local(ip) { on.as_str() } else { "" };
                Once::Address(ip, on.to_owned())
            });
            let is_own = entry.map(|it| it.is_some());
            if let Err(occupied) = taken.take_own(&self.taken, once, is_own) {
                let (why, todo) = match occupied {
                    Occupied::Twice if is_advertised => {
                        self.uncounted.insert(ip);
                        self.take_out(&entry, COUNTED_WHY);
                        (COUNTED, COUNTED_TODO)
                    }
                    Occupied::Elsewhere if home.has_one_family => {
                        contradiction.get_or_insert(ip);
                        (ELSEWHERE, ELSEWHERE_TODO)
                    }
                    _ => ("the address is there already", "nothing: once is enough"),
                };
                self.list_both(&entry, why, todo);
                continue;
            }
            let mut text = net.to_string();
            let labels = [0, 1].map(|node| Some(label(options[node].1.as_deref()?, on[node])));
            match labels {
                [None, None] => {}
                [Some(Some(one)), Some(Some(two))]
                    if one == two && ip.is_ipv4() && !home.is_virtual =>
                {
                    text += &format!(" label {one}");
                }
                _ => {
                    let why = "a label is INTERFACE:NAME of 15 letters with one name on both nodes, of an IPv4 address without `vmac`";
                    let todo = "look whether anything needs it; the address itself is in the files";
                    self.tell(statement.place, "label of an address", why, todo);
                }
            }
            let is_blind = statement.words.iter().any(|it| it == "no_track");
            found.push(Address {
                text,
                ip,
                device,
                is_blind,
            });
        }
        contradiction.map_or(Ok(found), |ip| Err(Contradiction(ip)))
    }

    /// Asks for a line to go with which keepalived and spared do not understand each other.
    pub(super) fn take_out(&mut self, entry: &Both<'_>, why: &'static str) {
        for (node, statement) in entry.iter().enumerate() {
            let Some(statement) = statement else { continue };
            let line = format!(
                "take the line `{}` out ({})",
                statement.text(),
                self.sources.shown(statement.place)
            );
            let node = Some(node).filter(|_| !self.is_one);
            self.edit(Edit { node, line, why });
        }
    }

    /// Interface and label of an entry.
    fn options(&mut self, statement: &Statement) -> (Option<String>, Option<String>) {
        let (mut device, mut label) = (None, None);
        let mut words = statement.words.iter().skip(1).map(String::as_str);
        while let Some(word) = words.next() {
            match word {
                "dev" => device = words.next().map(str::to_owned),
                "label" => label = words.next().map(str::to_owned),
                "no_track" => {}
                "brd" if matches!(words.clone().next(), Some("+" | "-")) => {
                    words.next();
                    self.sources
                        .needless(statement.place, "brd of an address", BROADCAST);
                }
                "brd" | "broadcast" => {
                    let given: Option<IpAddr> = words.next().and_then(|it| it.parse().ok());
                    if given == broadcast(statement.word(0)) {
                        self.sources
                            .needless(statement.place, "brd of an address", BROADCAST);
                    } else {
                        self.list_option(statement, word);
                    }
                }
                "scope" if matches!(words.clone().next(), Some("global")) => {
                    words.next();
                }
                "scope" | "peer" | "preferred_lft" => {
                    words.next();
                    self.list_option(statement, word);
                }
                _ => self.list_option(statement, word),
            }
        }
        (device, label)
    }

    fn list_option(&mut self, statement: &Statement, option: &str) {
        let what = format!("{option} of an address");
        let why = "spared's addresses have no such option; the address itself is in the files";
        self.tell(statement.place, &what, why, LOOK);
    }
}

/// Commands of each node that put these addresses back as the first line of its file has them.
pub fn restores(trees: Each<&[Statement]>, addresses: &BTreeSet<IpAddr>) -> Each<Vec<String>> {
    trees.map(|tree| {
        let instances = tree.iter().filter(|it| it.word(0) == "vrrp_instance");
        let lines = instances.flat_map(|instance| {
            let lists = ["virtual_ipaddress", "virtual_ipaddress_excluded"];
            let lists = lists.into_iter().filter_map(|it| instance.child(it));
            lists
                .flat_map(|it| it.block())
                .map(move |it| (instance, it))
        });
        let mut missing = addresses.clone();
        let first = lines.filter_map(|(instance, line)| {
            let net = address(line.word(0)).filter(|it| missing.remove(&it.addr()))?;
            let device = option(line, "dev").or_else(|| vmac_name(instance, net.addr()));
            let device = device.unwrap_or_else(|| value(instance, "interface"));
            let label = option(line, "label")
                .map_or(String::new(), |it| format!(" label {}", shell_word(&it)));
            let ip = net.addr();
            Some(format!(
                "ip -br address | grep -qwF {ip} || ip address add {net} dev {}{label}",
                shell_word(&device)
            ))
        });
        first.collect()
    })
}

fn option(line: &Statement, word: &str) -> Option<String> {
    let at = line.words.iter().position(|it| it == word)?;
    line.words.get(at + 1).cloned()
}

fn value(instance: &Statement, word: &str) -> String {
    instance
        .child(word)
        .map_or_else(String::new, |it| it.word(1).to_owned())
}

/// Device of an instance's virtual MAC.
fn vmac_name(instance: &Statement, ip: IpAddr) -> Option<String> {
    let own = instance.child("use_vmac")?.word(1);
    let default = if ip.is_ipv6() { "vrrp6" } else { "vrrp" };
    Some(match own {
        "" => format!("{default}.{}", value(instance, "virtual_router_id")),
        name => name.to_owned(),
    })
}

/// The part of a label after the interface's name, if spared can set it.
fn label<'l>(label: &'l str, interface: &str) -> Option<&'l str> {
    let name = label.strip_prefix(interface)?.strip_prefix(':')?;
    let fits = !name.is_empty()
        && label.len() <= LABEL_MAX
        && name.bytes().all(|it| it.is_ascii_graphic());
    fits.then_some(name)
}

/// The broadcast address of a network, as the kernel answers to it without being told.
fn broadcast(text: &str) -> Option<IpAddr> {
    address(text)
        .filter(|net| net.addr().is_ipv4())
        .map(|net| net.broadcast())
}
