//! Entries of `virtual_ipaddress` and `virtual_ipaddress_excluded`.

use std::collections::BTreeSet;
use std::net::IpAddr;

use spared_config_reader::IpNet;

use super::{Both, Translation};
use crate::toml::Each;
use crate::tree::Statement;

/// A virtual address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// With its prefix and its label, as in the files.
    pub text: String,
    pub ip: IpAddr,
    /// Interface on each node, if it is not that of the instance.
    pub device: Each<Option<String>>,
}

/// Reads an address with or without a prefix; without one it is a host's.
pub fn address(text: &str) -> Option<IpNet> {
    if text.contains('/') {
        text.parse().ok()
    } else {
        text.parse::<IpAddr>().ok().map(IpNet::from)
    }
}

impl Translation<'_> {
    /// The addresses of a list, each once. Those without an interface of their own are on `interface`, which has no
    /// labels if it is virtual.
    pub(super) fn addresses(
        &mut self,
        both: &Both<'_>,
        interface: &Each<String>,
        is_virtual: bool,
        known: &mut BTreeSet<IpAddr>,
    ) -> Vec<Address> {
        let bare = |it: &Statement| it.word(0).split('/').next().unwrap_or_default().to_owned();
        let mut found: Vec<Address> = Vec::new();
        for entry in self.entries(both, bare) {
            let Some(statement) = entry[0].or(entry[1]) else {
                continue;
            };
            let Some(net) = address(statement.word(0)) else {
                self.list(statement, "it is no address", "write it into `addresses`");
                continue;
            };
            let ip = net.addr();
            if !known.insert(ip) {
                self.list(statement, "the address is there already", "once is enough");
                continue;
            }
            // an entry of one node alone is written for both
            let options = entry.map(|it| self.options(it.unwrap_or(statement)));
            let device = options.each_ref().map(|it| it.0.clone());
            let labels = [0, 1].map(|node| {
                let on = device[node].as_ref().unwrap_or(&interface[node]);
                let label = options[node].1.as_deref()?;
                Some(
                    label
                        .strip_prefix(on.as_str())
                        .and_then(|it| it.strip_prefix(':'))
                        .map(str::to_owned),
                )
            });
            let mut text = net.to_string();
            match labels {
                [None, None] => {}
                [Some(Some(one)), Some(Some(two))] if one == two && ip.is_ipv4() && !is_virtual => {
                    text += &format!(" label {one}");
                }
                _ => {
                    let why = "a label is INTERFACE:NAME with one name on both nodes, of an IPv4 address without `vmac`";
                    let todo = "look whether anything needs it; the address itself is in the files";
                    self.sources
                        .advise(statement.place, "label of an address", why, todo);
                }
            }
            found.push(Address { text, ip, device });
        }
        found
    }

    /// Interface and label of an entry.
    fn options(&mut self, statement: &Statement) -> (Option<String>, Option<String>) {
        let (mut device, mut label) = (None, None);
        let mut words = statement.words.iter().skip(1).map(|it| it.text.as_str());
        while let Some(word) = words.next() {
            match word {
                "dev" => device = words.next().map(str::to_owned),
                "label" => label = words.next().map(str::to_owned),
                "no_track" => {}
                "brd" if matches!(words.clone().next(), Some("+" | "-")) => {
                    words.next();
                }
                "brd" | "broadcast" => {
                    let given: Option<IpAddr> = words.next().and_then(|it| it.parse().ok());
                    if given != broadcast(statement.word(0)) {
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
        let todo = "look whether anything needs it";
        self.sources.advise(statement.place, &what, why, todo);
    }
}

/// The broadcast address of a network, as the kernel answers to it without being told.
fn broadcast(text: &str) -> Option<IpAddr> {
    address(text)
        .filter(|net| net.addr().is_ipv4())
        .map(|net| net.broadcast())
}
