//! Makes findings about addresses that are missing, or on a machine or device where they do not belong.

use serde::{Deserialize, Serialize};

use crate::facts::{GroupFacts, is_default};
use crate::finding::{Finding, Id};
use crate::setting::setting_of;

/// A virtual address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AddressStatus {
    /// Address with prefix, "192.0.2.1/24".
    pub address: String,
    /// Interface of the address.
    pub interface: String,
    /// True if the kernel has the address.
    pub present: bool,
    /// Number of times that the address was deleted by others and restored.
    pub restored: u64,
    /// Reason why the address is missing; empty if it is not known.
    #[serde(skip_serializing_if = "is_default")]
    pub why: String,
}

/// An interface of a group that has no address of the node's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default)]
pub struct BareInterface {
    /// Name of the interface.
    pub interface: String,
    /// Family of the missing address: "IPv4", "IPv6 link-local".
    pub family: String,
    /// Virtual addresses of that family that somebody other than the daemon has set there. They do not count as the
    /// node's own.
    #[serde(skip_serializing_if = "is_default")]
    pub virtuals: Vec<VirtualCopy>,
}

impl BareInterface {
    /// Returns true if the finding about the interface names this copy.
    pub(crate) fn is_told(&self, copy: &ForeignAddress) -> bool {
        let mut virtuals = self.virtuals.iter();
        self.interface == copy.interface && virtuals.any(|it| it.address == copy.address)
    }
}

/// A virtual address that is on an interface as if it were the node's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default)]
pub struct VirtualCopy {
    /// Address with prefix, "192.0.2.1/24".
    pub address: String,
    /// Group of the virtual address.
    pub group: String,
}

/// A copy of a virtual address that spared did not set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ForeignAddress {
    /// Address with the prefix of the copy, "192.0.2.1/32".
    pub address: String,
    /// Device that has the copy.
    pub interface: String,
}

/// A virtual address for which a machine answers that must not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DuplicateAddress {
    /// Address, "192.0.2.1".
    pub address: String,
    /// Interface on which the machine answers.
    pub interface: String,
    /// MAC addresses that answer: "02:00:00:00:00:99", "02:00:00:00:00:99, 02:00:00:00:00:98".
    pub by: String,
    /// True if the MAC address belongs to the other node.
    pub is_peer: bool,
}

/// Returns the findings of a group of `node` about its addresses.
pub(crate) fn findings<'f>(
    node: &'f str,
    group: &'f GroupFacts,
    peer: &'f str,
) -> impl Iterator<Item = Finding> + 'f {
    let name = &group.name;
    let bare = group.addresses.bare.iter();
    let bare = bare.map(move |it| no_own_address(node, name, it));
    let duplicates = group.addresses.duplicates.iter();
    bare.chain(duplicates.map(move |it| duplicate(node, name, it, peer)))
}

fn no_own_address(node: &str, group: &str, bare: &BareInterface) -> Finding {
    let (interface, family) = (&bare.interface, &bare.family);
    let copies = bare.virtuals.iter().map(|it| {
        let VirtualCopy { address, group } = it;
        format!("{address} there is a virtual address of group {group}")
    });
    let copies: Vec<String> = copies.collect();
    let but = if copies.is_empty() {
        String::new()
    } else {
        format!(" ({})", copies.join(", "))
    };
    let text = format!(
        "{node}: {group}: {interface} has no {family} address of its own{but}: no advert is sent there, \
         and its virtual addresses do not answer"
    );
    let finding = Finding::new(Id::NoOwnAddress, node, interface, text);
    let deletions = bare.virtuals.iter();
    let deletions = deletions.map(|it| format!("`ip address del {} dev {interface}`", it.address));
    let deletions: Vec<String> = deletions.collect();
    match deletions.is_empty() {
        // the kernel creates a link-local address by itself, unless a setting prevents that
        true if family.contains("IPv6") => finding.todo_there(format!(
            "If IPv6 is disabled, run `sysctl -w {}=0`; otherwise give the interface an address.",
            setting_of("ipv6", interface, "disable_ipv6")
        )),
        true => finding.todo("Give the interface an address of its own."),
        false => finding.todo_there(format!(
            "Give the interface an address that is in no group, and delete the other one: {}",
            deletions.join(", ")
        )),
    }
}

fn duplicate(node: &str, group: &str, duplicate: &DuplicateAddress, peer: &str) -> Finding {
    let DuplicateAddress {
        address,
        interface,
        by,
        is_peer,
    } = duplicate;
    let (who, todo) = if *is_peer {
        (
            format!("{peer} ({by}) is not active and"),
            format!(
                "On {peer}: see where it has {address} (`ip address show to {address}`) and delete it there, or start spared."
            ),
        )
    } else {
        (
            format!("another machine ({by})"),
            format!("The switch's table of MAC addresses shows its port. Take {address} from it."),
        )
    };
    let text = format!(
        "{node}: {group}: {who} answers for {address} on {interface}: it gets a part of the packets"
    );
    Finding::new(Id::DuplicateAddress, node, address, text).todo(todo)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_without_ipv6_is_told_of_the_setting_that_forbids_it() {
        let bare = |family: &str| BareInterface {
            interface: "lan.7".to_owned(),
            family: family.to_owned(),
            virtuals: Vec::new(),
        };
        let told = no_own_address("r2", "office", &bare("IPv6 link-local"));
        let command = "If IPv6 is disabled, run `sysctl -w net.ipv6.conf.lan/7.disable_ipv6=0`; otherwise give the interface an address.";
        assert_eq!(told.todo, command);
        let told = no_own_address("r2", "office", &bare("IPv4"));
        assert_eq!(told.todo, "Give the interface an address of its own.");
    }
}
