//! Stores links and addresses as the kernel reports them, and applies its events.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use spared_netlink::{Address, Event, Forwarding, Link};

/// Tables of the network namespace.
#[derive(Default)]
pub struct Interfaces {
    links: BTreeMap<u32, Link>,
    addresses: BTreeMap<(u32, IpAddr, u8), Address>,
    /// Setting `forwarding`, by family (true for IPv6) and index.
    forwarding: BTreeMap<(bool, i32), bool>,
    /// Carrier that the carrier thread reported, which is earlier than the kernel's events.
    carrier: BTreeMap<String, bool>,
}

/// Change of a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkChange {
    /// True if the link is new, or up again.
    pub appeared: bool,
    pub carrier_lost: bool,
    pub carrier_found: bool,
    pub other_mac: bool,
}

impl LinkChange {
    const GONE: Self = Self {
        appeared: false,
        carrier_lost: true,
        carrier_found: false,
        other_mac: false,
    };
}

/// Change that an event causes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A link has changed.
    Link {
        name: String,
        index: u32,
        what: LinkChange,
    },
    /// The node's own addresses have changed.
    OwnAddress { name: String },
    /// An address was deleted, whoever had set it.
    AddressGone { index: u32, address: IpAddr },
}

impl Interfaces {
    /// Replaces all links and addresses with dumps. Returns the names and indices of links that differ.
    pub fn replace(&mut self, links: Vec<Link>, addresses: Vec<Address>) -> Vec<(String, u32)> {
        let links: BTreeMap<u32, Link> = links.into_iter().map(|link| (link.index, link)).collect();
        let addresses: BTreeMap<_, _> = addresses.into_iter().map(|a| (key(&a), a)).collect();
        let mut changed: Vec<(String, u32)> = self
            .links
            .values()
            .chain(links.values())
            .filter(|link| self.links.get(&link.index) != links.get(&link.index))
            .map(place)
            .collect();
        for address in self.addresses.values().chain(addresses.values()) {
            if self.addresses.contains_key(&key(address)) != addresses.contains_key(&key(address)) {
                changed.extend(links.get(&address.index).map(place));
            }
        }
        changed.sort();
        changed.dedup();
        (self.links, self.addresses) = (links, addresses);
        // The carrier that the thread reported is older than the dump.
        self.carrier
            .retain(|name, _| !changed.iter().any(|(changed, _)| changed == name));
        changed
    }

    /// Applies one event.
    pub fn apply(&mut self, event: Event) -> Vec<Change> {
        match event {
            Event::Link(link) => self.set_link(link),
            Event::LinkGone(link) => {
                self.links.remove(&link.index);
                self.addresses.retain(|(index, ..), _| *index != link.index);
                self.carrier.remove(&link.name);
                vec![Change::Link {
                    name: link.name,
                    index: link.index,
                    what: LinkChange::GONE,
                }]
            }
            Event::Address(address) => {
                let new = self.addresses.insert(key(&address), address).is_none();
                if new && !address.is_ours() {
                    self.own_address(&address)
                } else {
                    Vec::new()
                }
            }
            Event::AddressGone(address) => {
                let known = self.addresses.remove(&key(&address));
                let mut changes = match known.is_some_and(|known| known.is_ours()) {
                    true => Vec::new(),
                    false if address.is_ours() => Vec::new(),
                    false => self.own_address(&address),
                };
                changes.push(Change::AddressGone {
                    index: address.index,
                    address: address.address,
                });
                changes
            }
            Event::Route(_)
            | Event::RouteGone(_)
            | Event::RuleGone(_)
            | Event::LocalRouteGone(_) => Vec::new(),
            Event::Forwarding(it) => {
                self.forwarding.insert((it.is_ipv6, it.index), it.is_on);
                Vec::new()
            }
            Event::ForwardingGone(it) => {
                self.forwarding.remove(&(it.is_ipv6, it.index));
                Vec::new()
            }
        }
    }

    /// Returns true if an event switches a forwarding setting off, or switches one on that was off.
    pub fn is_of_forwarding(&self, event: &Event) -> bool {
        let known = |it: &Forwarding| self.forwarding.get(&(it.is_ipv6, it.index)).copied();
        match event {
            Event::Forwarding(it) if it.is_on => known(it) == Some(false),
            Event::Forwarding(it) => known(it) != Some(false),
            Event::ForwardingGone(it) => known(it) == Some(false),
            _ => false,
        }
    }

    /// Returns true if IPv4 packets that arrive on any link are forwarded.
    pub fn forward_ipv4(&self) -> bool {
        let mut settings = self.forwarding.range((false, i32::MIN)..=(false, i32::MAX));
        settings.all(|(_, is_on)| *is_on)
    }

    /// Replaces the settings of forwarding with a dump.
    pub fn replace_forwarding(&mut self, dump: Vec<Forwarding>) {
        let settings = dump.into_iter();
        let settings = settings.map(|it| ((it.is_ipv6, it.index), it.is_on));
        self.forwarding = settings.collect();
    }

    /// Returns true if IPv4 packets that arrive on a link are forwarded; None if that is not known.
    pub fn forwards_ipv4(&self, link: &Link) -> Option<bool> {
        let index = i32::try_from(link.index).ok()?;
        self.forwarding.get(&(false, index)).copied()
    }

    /// Returns the forwarding setting "all" of a family; None if it is not known.
    pub fn forwards_everywhere(&self, is_ipv6: bool) -> Option<bool> {
        self.forwarding.get(&(is_ipv6, Forwarding::ALL)).copied()
    }

    fn set_link(&mut self, mut link: Link) -> Vec<Change> {
        // The notification of a new device lacks its alias, and may be read after the alias was set.
        let known = self.links.get(&link.index);
        let known = known.filter(|known| link.alias.is_none() && known.mac == link.mac);
        if let Some(known) = known {
            link.alias.clone_from(&known.alias);
        }
        let old = self.links.insert(link.index, link.clone());
        if old.as_ref() == Some(&link) {
            return Vec::new();
        }
        let mut changes = Vec::new();
        if let Some(old) = old.as_ref().filter(|old| old.name != link.name) {
            // The link was renamed: the old name is gone, with everything that belonged to it.
            self.carrier.remove(&old.name);
            let (name, index) = place(old);
            changes.push(Change::Link {
                name,
                index,
                what: LinkChange::GONE,
            });
        }
        let old = old.filter(|old| old.name == link.name);
        let was = |what: fn(&Link) -> bool| old.as_ref().is_some_and(what);
        let what = LinkChange {
            appeared: is_usable(&link) && !was(is_usable),
            carrier_lost: was(|old| is_usable(old) && old.carrier)
                && !(is_usable(&link) && link.carrier),
            carrier_found: link.carrier && !was(|old| old.carrier),
            other_mac: old.as_ref().is_some_and(|old| old.mac != link.mac),
        };
        changes.push(Change::Link {
            name: link.name,
            index: link.index,
            what,
        });
        changes
    }

    fn own_address(&self, address: &Address) -> Vec<Change> {
        let name = self.links.get(&address.index).map(|link| link.name.clone());
        name.map(|name| Change::OwnAddress { name })
            .into_iter()
            .collect()
    }

    /// Forgets the carrier that the thread reported, so that the kernel's events count.
    pub fn forget_carrier(&mut self, name: &str) {
        self.carrier.remove(name);
    }

    /// Sets the carrier that the thread reported. Returns false if nothing changed.
    pub fn set_carrier(&mut self, name: &str, carrier: bool) -> bool {
        let before = self.carrier(name);
        self.carrier.insert(name.to_owned(), carrier);
        before != self.carrier(name)
    }

    /// Returns true if the link is up, has carrier and is not a port.
    pub fn carrier(&self, name: &str) -> bool {
        let carrier = |link: &Link| self.carrier.get(name).copied().unwrap_or(link.carrier);
        self.link(name)
            .is_some_and(|link| is_usable(link) && carrier(link))
    }

    pub fn name_of(&self, index: u32) -> Option<&str> {
        self.links.get(&index).map(|link| link.name.as_str())
    }

    pub fn link(&self, name: &str) -> Option<&Link> {
        self.links.values().find(|link| link.name == name)
    }

    pub fn link_of(&self, index: u32) -> Option<&Link> {
        self.links.get(&index)
    }

    pub fn links(&self) -> impl Iterator<Item = &Link> {
        self.links.values()
    }

    /// Returns the addresses of all links, including those of spared.
    pub fn all_addresses(&self) -> impl Iterator<Item = &Address> {
        self.addresses.values()
    }

    /// Returns the addresses of a link, including those of spared.
    pub fn addresses(&self, index: u32) -> impl Iterator<Item = &Address> {
        const LOWEST: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let range = (index, LOWEST, 0)..(index.saturating_add(1), LOWEST, 0);
        self.addresses.range(range).map(|(_, address)| address)
    }

    pub fn address(&self, index: u32, address: IpAddr, prefix: u8) -> Option<&Address> {
        self.addresses.get(&(index, address, prefix))
    }

    /// Returns an address of a link, once for each prefix that it has.
    pub fn each_address(&self, index: u32, address: IpAddr) -> impl Iterator<Item = &Address> {
        let range = (index, address, 0)..=(index, address, u8::MAX);
        self.addresses.range(range).map(|(_, known)| known)
    }

    pub fn has_address(&self, index: u32, address: IpAddr) -> bool {
        self.each_address(index, address).next().is_some()
    }

    /// Returns true if the address is set with this prefix, or by others with any prefix.
    pub fn is_in_place(&self, index: u32, address: IpAddr, prefix: u8) -> bool {
        let mut there = self.each_address(index, address);
        there.any(|known| known.prefix == prefix || !known.is_ours())
    }

    /// Adds an address that was just set, before its event arrives.
    pub fn note_address(&mut self, address: Address) {
        self.addresses.insert(key(&address), address);
    }

    /// Removes an address that was just deleted.
    pub fn forget_address(&mut self, index: u32, address: IpAddr, prefix: u8) {
        self.addresses.remove(&(index, address, prefix));
    }
}

fn place(link: &Link) -> (String, u32) {
    (link.name.clone(), link.index)
}

/// Returns true if the link is up and can carry addresses: the frames of a port go to its bridge.
fn is_usable(link: &Link) -> bool {
    link.up && link.port_of.is_none()
}

fn key(address: &Address) -> (u32, IpAddr, u8) {
    (address.index, address.address, address.prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(index: u32, text: &str) -> Address {
        let address = text.parse().unwrap();
        Address {
            index,
            address,
            prefix: 24,
            flags: 0,
            protocol: 0,
        }
    }

    #[test]
    fn each_link_has_its_own_addresses_of_both_families() {
        let mut interfaces = Interfaces::default();
        let all = [
            (1, "10.0.0.1"),
            (2, "255.255.255.255"),
            (2, "ff02::1"),
            (2, "0.0.0.0"),
            (3, "::"),
        ];
        let all = all.map(|(index, text)| address(index, text));
        interfaces.replace(Vec::new(), all.to_vec());
        assert_eq!(interfaces.addresses(1).count(), 1);
        assert_eq!(interfaces.addresses(2).count(), 3);
        assert_eq!(interfaces.addresses(3).count(), 1);
        assert!(interfaces.has_address(2, "ff02::1".parse().unwrap()));
        assert!(!interfaces.has_address(3, "ff02::1".parse().unwrap()));
    }

    #[test]
    fn a_renamed_link_is_gone_under_its_old_name_and_appears_under_the_new() {
        let mut interfaces = Interfaces::default();
        let link = |name: &str| Link {
            index: 4,
            name: name.into(),
            up: true,
            carrier: true,
            ..Link::default()
        };
        interfaces.apply(Event::Link(link("lan2")));
        let changes = interfaces.apply(Event::Link(link("lan9")));
        let names: Vec<(&str, bool, bool)> = changes
            .iter()
            .map(|change| match change {
                Change::Link { name, what, .. } => {
                    (name.as_str(), what.appeared, what.carrier_lost)
                }
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(names, [("lan2", false, true), ("lan9", true, false)]);
        assert!(interfaces.carrier("lan9") && !interfaces.carrier("lan2"));
    }

    #[test]
    fn the_carrier_threads_word_counts_more_than_an_event() {
        let mut interfaces = Interfaces::default();
        let link = Link {
            index: 4,
            name: "lan2".into(),
            up: true,
            carrier: true,
            ..Link::default()
        };
        interfaces.apply(Event::Link(link.clone()));
        assert!(interfaces.set_carrier("lan2", false));
        assert!(!interfaces.carrier("lan2"));
        interfaces.apply(Event::Link(Link { mtu: 9000, ..link }));
        assert!(!interfaces.carrier("lan2"), "a late event");
    }
}
