//! Checks the node's own addresses. Reports interfaces that cannot send adverts because they have no own address, and
//! virtual addresses that are also a node's own.

use std::net::IpAddr;

use spared_kernel::fence::is_link_local;
use spared_netlink::{Address, Link, Requests};

use super::wanted::Interface;
use super::{Finding, Severity, Wanted};

pub fn examine(wanted: &Wanted) -> Vec<Finding> {
    // If the kernel's tables cannot be read, there are no findings.
    let read = || {
        let mut requests = Requests::open().ok()?;
        Some((requests.links().ok()?, requests.addresses().ok()?))
    };
    read().map_or(Vec::new(), |(links, addresses)| {
        findings(wanted, &links, &addresses)
    })
}

fn findings(wanted: &Wanted, links: &[Link], addresses: &[Address]) -> Vec<Finding> {
    let mut findings = own_and_virtual(wanted, links, addresses);
    for (name, interface) in wanted.interfaces.iter().filter(|(_, it)| it.adverts) {
        let Some(link) = links.iter().find(|link| link.name == *name && link.up) else {
            continue;
        };
        let own = addresses.iter().filter(|it| it.index == link.index);
        let own: Vec<IpAddr> = own
            .filter(|it| !it.is_ours())
            .map(|it| it.address)
            .filter(|it| wanted.owner || !is_virtual(wanted, name, *it))
            .collect();
        findings.extend(missing(interface, &own).map(|family| finding(name, family)));
    }
    findings
}

/// Virtual addresses that are also this node's own. An owner as in RFC 9568, with priority 255, has them on purpose.
fn own_and_virtual(wanted: &Wanted, links: &[Link], addresses: &[Address]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, interface) in wanted.interfaces.iter().filter(|_| !wanted.owner) {
        let is_there = |it: &&Address| {
            let link = links.iter().find(|link| link.index == it.index);
            link.is_some_and(|link| link.name == *name) && !it.is_ours()
        };
        for own in addresses.iter().filter(is_there) {
            let mut virtuals = interface.addresses.iter().map(|net| net.addr());
            if virtuals.any(|address| address == own.address) {
                let sentence = format!(
                    "{} on {name} is both this node's own address and a virtual address: the other node \
                     takes it over while this node still has it",
                    own.address
                );
                let finding = Finding::new("own-address-virtual", Severity::Error, sentence);
                findings.push(finding.fix("give one of them another address"));
            }
        }
    }
    findings
}

// Returns true if the address is virtual: no advert is sent from it. A link-local address is virtual only on its own
// interface.
fn is_virtual(wanted: &Wanted, name: &str, address: IpAddr) -> bool {
    wanted.interfaces.iter().any(|(of, interface)| {
        let is_there = of == name || !is_link_local(address);
        is_there && interface.addresses.iter().any(|net| net.addr() == address)
    })
}

/// Families of the interface's virtual routers whose adverts have no source address.
fn missing(interface: &Interface, own: &[IpAddr]) -> impl Iterator<Item = &'static str> {
    let ipv4 = interface.has_ipv4() && !own.iter().any(IpAddr::is_ipv4);
    let ipv6 = interface.has_ipv6() && !own.iter().any(|address| is_link_local(*address));
    let ipv4 = ipv4.then_some("IPv4");
    ipv4.into_iter().chain(ipv6.then_some("IPv6 link-local"))
}

fn finding(name: &str, family: &str) -> Finding {
    let sentence = format!(
        "{name} has no {family} address of its own: no advert is sent there, and its virtual addresses \
         do not answer"
    );
    let fix = match family {
        "IPv4" => format!("ip address add ADDRESS/PREFIX dev {name}"),
        _ => format!("ip link set dev {name} addrgenmode eui64"),
    };
    Finding::new("no-own-address", Severity::Warning, sentence).fix(fix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn families(own: &[&str], protocol: u8) -> Vec<&'static str> {
        let found = found(own, protocol, "");
        let bare = found.iter().filter(|it| it.id == "no-own-address");
        bare.map(|finding| {
            assert!(finding.sentence.starts_with("lan has no "), "{finding}");
            if finding.sentence.contains("IPv4") {
                "IPv4"
            } else {
                "IPv6"
            }
        })
        .collect()
    }

    /// Findings for an interface that has these addresses with this protocol, with further text of the file.
    fn found(own: &[&str], protocol: u8, more: &str) -> Vec<Finding> {
        let mut wanted = Wanted::default();
        let text = "[[group.interface]]\ninterface = \"lan\"\nvrid = 7\naddresses = \
                    [\"10.0.0.1/24\", \"2001:db8::1/64\"]\n[[group.address]]\ninterface = \
                    \"wan\"\naddresses = [\"192.0.2.1/32\"]\n";
        wanted.read(&format!("{text}{more}"), "r1");
        let link = |index: u32, name: &str| Link {
            index,
            name: name.into(),
            up: true,
            ..Link::default()
        };
        let address = |text: &&str| Address {
            index: 1,
            address: text.parse().unwrap(),
            prefix: 24,
            flags: 0,
            protocol,
        };
        let own: Vec<Address> = own.iter().map(address).collect();
        findings(&wanted, &[link(1, "lan"), link(2, "wan")], &own)
    }

    #[test]
    fn a_virtual_address_that_is_this_hosts_own_is_named_unless_it_is_the_owner() {
        let named = |own: &str, protocol, more| {
            let found = found(&[own], protocol, more);
            found.iter().any(|it| it.id == "own-address-virtual")
        };
        assert!(named("10.0.0.1", 0, ""));
        assert!(!named("10.0.0.2", 0, ""));
        assert!(!named("10.0.0.1", 0, "[[group]]\npriority = 255\n"));
        let ours = spared_netlink::constants::ADDRESS_PROTOCOL;
        assert!(!named("10.0.0.1", ours, ""), "it is active");
    }

    #[test]
    fn an_interface_without_an_own_address_is_named_for_each_family_that_it_advertises_for() {
        assert_eq!(families(&[], 0), ["IPv4", "IPv6"]);
        assert_eq!(families(&["10.0.0.2", "2001:db8::2"], 0), ["IPv6"]);
        assert!(families(&["10.0.0.2", "fe80::2"], 0).is_empty());
        // a virtual address of any interface is not the node's own
        assert_eq!(families(&["10.0.0.1", "fe80::2"], 0), ["IPv4"]);
        assert_eq!(families(&["192.0.2.1", "fe80::2"], 0), ["IPv4"]);
        let ours = spared_netlink::constants::ADDRESS_PROTOCOL;
        assert_eq!(families(&["10.0.0.1", "fe80::1"], ours), ["IPv4", "IPv6"]);
    }
}
