//! Reads lists of virtual addresses with their labels.

use std::net::IpAddr;
use std::str::FromStr;

use spared_sdk::config::{Cidr, IpNet, Section, is_host};

use super::{Address, is_link_local};
use crate::wire::Family;

/// Greatest length of a label in bytes, as of an interface's name.
const LABEL_MAX: usize = 15;
const ADDRESS: &str = "an address with its prefix, like \"192.0.2.1/24\"";

/// Labels of the addresses of a table.
pub(super) struct Labels {
    /// Interface of the addresses; empty if its name is a fault.
    interface: String,
    vmac: bool,
    found: Vec<(IpAddr, String)>,
}

impl Labels {
    pub(super) fn new(interface: Option<&str>, vmac: bool) -> Self {
        Self {
            interface: interface.unwrap_or_default().to_owned(),
            vmac,
            found: Vec::new(),
        }
    }

    /// Reads a list of addresses, and keeps their labels.
    pub(super) fn read(&mut self, section: &Section<'_>, key: &str) -> Option<Vec<IpNet>> {
        let list: Vec<LabelledAddress> = section.list(key, ADDRESS)?;
        for (position, found) in list.iter().enumerate() {
            let Some(name) = &found.label else { continue };
            match self.label(found.net, name) {
                Ok(label) => self.found.push((found.net.addr(), label)),
                Err(why) => section.fault(&format!("{key}.{position}"), why),
            }
        }
        Some(list.into_iter().map(|it| it.net).collect())
    }

    pub(super) fn address(&self, prefix: IpNet) -> Address {
        let address = prefix.addr();
        let mut found = self.found.iter();
        let label = found.find(|(labelled, _)| *labelled == address);
        Address {
            address,
            prefix: prefix.prefix_len(),
            source: false,
            label: label.map_or_else(String::new, |(_, label)| label.clone()),
        }
    }

    // Programs find the addresses of an interface by labels that begin with its name, and ip(8) sets no others.
    fn label(&self, net: IpNet, name: &str) -> Result<String, String> {
        if net.addr().is_ipv6() {
            return Err("label: only an IPv4 address has one".to_owned());
        }
        if self.vmac {
            return Err(
                "label: not with vmac = true, where the address is on another device".to_owned(),
            );
        }
        let label = format!("{}:{name}", self.interface);
        if label.len() > LABEL_MAX || !name.bytes().all(|it| it.is_ascii_graphic()) {
            let why = format!(
                "label: found {label:?}, allowed are up to {LABEL_MAX} letters, digits and signs"
            );
            return Err(why);
        }
        Ok(label)
    }
}

/// Address with its prefix, and with a label that begins with the interface's name: "192.0.2.1/24 label vip".
struct LabelledAddress {
    net: IpNet,
    /// Part of the label after the interface's name.
    label: Option<String>,
}

impl FromStr for LabelledAddress {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (net, label) = match text.split_once(" label ") {
            Some((net, label)) if !label.is_empty() => (net, Some(label.to_owned())),
            Some(_) => return Err(()),
            None => (text, None),
        };
        let Cidr(net) = net.parse()?;
        Ok(Self { net, label })
    }
}

pub(super) fn check_addresses(section: &Section<'_>, key: &str, prefixes: &[IpNet]) {
    for (position, prefix) in prefixes.iter().enumerate() {
        if !is_host(prefix.addr()) {
            section.fault(
                &format!("{key}.{position}"),
                format!("found \"{prefix}\", allowed is an address of a host"),
            );
        }
    }
}

/// Marks one address of each family as the node's source address: the first that other stations can
/// reach.
pub(super) fn mark_source(addresses: &mut [Address]) {
    for family in [Family::V4, Family::V6] {
        let first = addresses.iter_mut().find(|address| {
            Family::of(address.address) == family && !is_link_local(address.address)
        });
        if let Some(first) = first {
            first.source = true;
        }
    }
}
