//! What the kernel says about links and addresses, kept by events.

use std::collections::BTreeMap;
use std::net::IpAddr;

use spared_netlink::{Address, Event, Link};

/// The tables of the namespace.
#[derive(Default)]
pub struct Interfaces {
    links: BTreeMap<u32, Link>,
    addresses: BTreeMap<(u32, IpAddr, u8), Address>,
    /// Carrier by the carrier thread, which is earlier than the kernel's events.
    carrier: BTreeMap<String, bool>,
}

/// What is new about a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkChange {
    /// It is a new device, or up again.
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

/// What an event changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Something about a link.
    Link { name: String, what: LinkChange },
    /// The node's own addresses.
    OwnAddress { name: String },
    /// One of spared's went away.
    AddressGone { index: u32, address: IpAddr },
}

impl Interfaces {
    /// Replaces everything by dumps; returns the names of links that differ.
    pub fn replace(&mut self, links: Vec<Link>, addresses: Vec<Address>) -> Vec<String> {
        let links: BTreeMap<u32, Link> = links.into_iter().map(|link| (link.index, link)).collect();
        let addresses: BTreeMap<_, _> = addresses.into_iter().map(|a| (key(&a), a)).collect();
        let mut changed: Vec<String> = self
            .links
            .values()
            .chain(links.values())
            .filter(|link| self.links.get(&link.index) != links.get(&link.index))
            .map(|link| link.name.clone())
            .collect();
        for address in self.addresses.values().chain(addresses.values()) {
            if self.addresses.contains_key(&key(address)) != addresses.contains_key(&key(address)) {
                changed.extend(links.get(&address.index).map(|link| link.name.clone()));
            }
        }
        changed.sort();
        changed.dedup();
        (self.links, self.addresses) = (links, addresses);
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
                if known.is_some_and(|known| known.is_ours()) || address.is_ours() {
                    vec![Change::AddressGone {
                        index: address.index,
                        address: address.address,
                    }]
                } else {
                    self.own_address(&address)
                }
            }
            Event::Route(_) | Event::RouteGone(_) => Vec::new(),
        }
    }

    fn set_link(&mut self, link: Link) -> Vec<Change> {
        let old = self.links.insert(link.index, link.clone());
        if old.as_ref() == Some(&link) {
            return Vec::new();
        }
        let mut changes = Vec::new();
        if let Some(old) = old.as_ref().filter(|old| old.name != link.name) {
            // Renamed: the old name is gone, with all that hung on it.
            self.carrier.remove(&old.name);
            let name = old.name.clone();
            changes.push(Change::Link {
                name,
                what: LinkChange::GONE,
            });
        }
        let old = old.filter(|old| old.name == link.name);
        let was = |what: fn(&Link) -> bool| old.as_ref().is_some_and(what);
        let what = LinkChange {
            appeared: link.up && !was(|old| old.up),
            carrier_lost: was(|old| old.up && old.carrier) && !(link.up && link.carrier),
            carrier_found: link.carrier && !was(|old| old.carrier),
            other_mac: old.as_ref().is_some_and(|old| old.mac != link.mac),
        };
        changes.push(Change::Link {
            name: link.name,
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

    /// Forgets the thread's word: the kernel's events are all there is.
    pub fn forget_carrier(&mut self, name: &str) {
        self.carrier.remove(name);
    }

    /// Notes carrier as the thread saw it; false where nothing changed.
    pub fn set_carrier(&mut self, name: &str, carrier: bool) -> bool {
        let before = self.carrier(name);
        self.carrier.insert(name.to_owned(), carrier);
        before != self.carrier(name)
    }

    /// Up, and with carrier.
    pub fn carrier(&self, name: &str) -> bool {
        self.link(name)
            .is_some_and(|link| link.up && self.carrier.get(name).copied().unwrap_or(link.carrier))
    }

    pub fn link(&self, name: &str) -> Option<&Link> {
        self.links.values().find(|link| link.name == name)
    }

    pub fn links(&self) -> impl Iterator<Item = &Link> {
        self.links.values()
    }

    /// Addresses of a link, spared's included.
    pub fn addresses(&self, index: u32) -> impl Iterator<Item = &Address> {
        self.addresses
            .values()
            .filter(move |address| address.index == index)
    }

    pub fn has_address(&self, index: u32, address: IpAddr) -> bool {
        self.addresses(index).any(|known| known.address == address)
    }

    /// Notes what was just done, before its event comes.
    pub fn note_address(&mut self, address: Address) {
        self.addresses.insert(key(&address), address);
    }

    /// The same for a deletion.
    pub fn forget_address(&mut self, index: u32, address: IpAddr, prefix: u8) {
        self.addresses.remove(&(index, address, prefix));
    }
}

fn key(address: &Address) -> (u32, IpAddr, u8) {
    (address.index, address.address, address.prefix)
}
