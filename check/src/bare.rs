//! Interfaces from which no advert can be sent, because the node has no address of its own there.

use std::net::IpAddr;

use spared_fence::is_link_local;
use spared_netlink::{Address, Link, Requests};

use super::wanted::Interface;
use super::{Finding, Severity, Wanted};

pub fn examine(wanted: &Wanted) -> Vec<Finding> {
    // No findings if the kernel's tables cannot be read.
    let read = || {
        let mut requests = Requests::open().ok()?;
        Some((requests.links().ok()?, requests.addresses().ok()?))
    };
    read().map_or(Vec::new(), |(links, addresses)| {
        findings(wanted, &links, &addresses)
    })
}

fn findings(wanted: &Wanted, links: &[Link], addresses: &[Address]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, interface) in wanted.interfaces.iter().filter(|(_, it)| it.adverts) {
        let Some(link) = links.iter().find(|link| link.name == *name && link.up) else {
            continue;
        };
        let own = addresses.iter().filter(|it| it.index == link.index);
        let own: Vec<IpAddr> = own
            .filter(|it| !it.is_ours())
            .map(|it| it.address)
            .collect();
        findings.extend(missing(interface, &own).map(|family| finding(name, family)));
    }
    findings
}

/// Families of the interface's virtual routers for which adverts have no source address.
fn missing(interface: &Interface, own: &[IpAddr]) -> impl Iterator<Item = &'static str> {
    let ipv4 = interface.has_ipv4() && !own.iter().any(IpAddr::is_ipv4);
    let ipv6 = interface.has_ipv6() && !own.iter().any(|address| is_link_local(*address));
    let ipv4 = ipv4.then_some("IPv4");
    ipv4.into_iter().chain(ipv6.then_some("IPv6 link-local"))
}

fn finding(name: &str, family: &str) -> Finding {
    let sentence = format!(
        "{name} has no {family} address of its own: no advert leaves there, and the addresses there \
         do not answer"
    );
    let mend = match family {
        "IPv4" => format!("ip address add ADDRESS/PREFIX dev {name}"),
        _ => format!("ip link set dev {name} addrgenmode eui64"),
    };
    Finding::new("no-own-address", Severity::Warning, sentence).mend(mend)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(own: &[&str], protocol: u8) -> Vec<&'static str> {
        let mut wanted = Wanted::default();
        let text = "[[group.interface]]\ninterface = \"lan\"\nvrid = 7\naddresses = \
                    [\"10.0.0.1/24\", \"2001:db8::1/64\"]\n[[group.address]]\ninterface = \
                    \"wan\"\naddresses = [\"192.0.2.1/32\"]\n";
        wanted.read(text, "r1");
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
        let found = findings(&wanted, &[link(1, "lan"), link(2, "wan")], &own);
        found
            .iter()
            .map(|finding| {
                assert!(finding.sentence.starts_with("lan has no "), "{finding}");
                if finding.sentence.contains("IPv4") {
                    "IPv4"
                } else {
                    "IPv6"
                }
            })
            .collect()
    }

    #[test]
    fn an_interface_without_an_own_address_is_named_for_each_family_that_it_advertises_for() {
        assert_eq!(found(&[], 0), ["IPv4", "IPv6"]);
        assert_eq!(found(&["10.0.0.2", "2001:db8::2"], 0), ["IPv6"]);
        assert!(found(&["10.0.0.2", "fe80::2"], 0).is_empty());
        let ours = spared_netlink::constants::ADDRESS_PROTOCOL;
        assert_eq!(found(&["10.0.0.1", "fe80::1"], ours), ["IPv4", "IPv6"]);
    }
}
