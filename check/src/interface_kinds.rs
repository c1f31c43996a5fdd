//! Finds interfaces of a kind that cannot carry what the configuration puts on them.

use spared_netlink::{Link, Requests};

use super::wanted::Interface;
use super::{Finding, Severity, Wanted};

pub fn examine(wanted: &Wanted) -> Vec<Finding> {
    // If the kernel's table cannot be read, there are no findings.
    let read = || Requests::open().ok()?.links().ok();
    findings(wanted, &read().unwrap_or_default())
}

fn findings(wanted: &Wanted, links: &[Link]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, interface) in &wanted.interfaces {
        let Some(link) = links.iter().find(|link| link.name == *name) else {
            continue;
        };
        findings.extend(port(link, links));
        findings.extend(without_ethernet(link, interface));
        findings.extend(virtual_mac_in_vrf(link, interface, links));
        findings.extend(virtual_mac_on_macvlan(link, interface));
        findings.extend(ipv6_on_macvlan(link, interface));
        findings.extend(several_macs(link));
    }
    findings
}

/// Reports a port: its frames belong to the bridge or bond.
fn port(link: &Link, links: &[Link]) -> Option<Finding> {
    let master = link.port_of?;
    let master = links.iter().find(|it| it.index == master)?;
    let (name, above) = (&link.name, &master.name);
    let kind = master.kind.as_deref().unwrap_or("device");
    let sentence = format!(
        "{name} is a port of the {kind} {above}, which takes its frames: no advert is heard on {name}"
    );
    let finding = Finding::new("interface-port", Severity::Error, sentence);
    Some(finding.fix(format!("interface = \"{above}\"")))
}

/// Reports an interface without Ethernet: a virtual router needs multicast, and neighbours that ask for its addresses.
fn without_ethernet(link: &Link, interface: &Interface) -> Option<Finding> {
    let is_vrf = link.kind.as_deref() == Some("vrf");
    if !interface.adverts || link.is_ethernet && !is_vrf {
        return None;
    }
    let name = &link.name;
    let (what, fix) = if is_vrf {
        (
            "is a VRF, which is not connected to a network".to_owned(),
            format!("ip link show vrf {name}, and name one of these interfaces"),
        )
    } else {
        (
            "has no Ethernet address".to_owned(),
            format!("[[group.address]] for addresses on {name}"),
        )
    };
    let sentence = format!("{name} {what}: it cannot carry a virtual router");
    Some(Finding::new("interface-kind", Severity::Error, sentence).fix(fix))
}

/// Reports a virtual MAC in a VRF: the device of a virtual MAC is in no VRF.
fn virtual_mac_in_vrf(link: &Link, interface: &Interface, links: &[Link]) -> Option<Finding> {
    let vrf = link.vrf.filter(|_| interface.virtual_mac)?;
    let vrf = links.iter().find(|it| it.index == vrf)?;
    let sentence = format!(
        "{} is in the VRF {}, and the device of its virtual MAC would be outside: packets to the virtual MAC are \
         not routed by the VRF's table",
        link.name, vrf.name
    );
    Some(Finding::new("interface-kind", Severity::Error, sentence).fix("vmac = false"))
}

/// Reports a virtual MAC on a macvlan. The kernel creates a macvlan of a macvlan on the interface below, next to the
/// first one. Linux 6.1 returns to it the frames that it sends.
fn virtual_mac_on_macvlan(link: &Link, interface: &Interface) -> Option<Finding> {
    let is_macvlan = link.kind.as_deref() == Some("macvlan");
    let sentence = format!(
        "{} is a macvlan: its adverts from a virtual MAC may not leave, as on Linux 6.1",
        link.name
    );
    let finding = Finding::new("interface-kind", Severity::Error, sentence);
    (is_macvlan && interface.virtual_mac).then(|| finding.fix("vmac = false"))
}

/// Reports IPv6 on a macvlan, for which a fault was seen on Linux 6.1.
fn ipv6_on_macvlan(link: &Link, interface: &Interface) -> Option<Finding> {
    let is_macvlan = link.kind.as_deref() == Some("macvlan");
    let sentence = format!(
        "{} is a macvlan with an IPv6 virtual router: on Linux 6.1 the fence may block its addresses while the node is active",
        link.name
    );
    let finding = Finding::new("interface-kind", Severity::Warning, sentence);
    let is_concerned = is_macvlan && interface.adverts && interface.has_ipv6();
    is_concerned.then(|| finding.fix("another interface for the IPv6 addresses"))
}

/// Reports a bond with receive load balancing. Stations learn several MAC addresses for one address, so these show
/// neither who answers nor whether it is the peer.
fn several_macs(link: &Link) -> Option<Finding> {
    const BALANCE_ALB: u8 = 6;
    let sentence = format!(
        "{} is a bond in mode balance-alb: it answers for an address with the MAC address of each card in turn, \
         which the other node takes for another machine",
        link.name
    );
    let finding = Finding::new("interface-kind", Severity::Error, sentence);
    let fix = "mode active-backup, 802.3ad or balance-tlb for the bond";
    (link.bond_mode == Some(BALANCE_ALB)).then(|| finding.fix(fix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(link: Link, key: &str) -> Vec<String> {
        let bridge = Link {
            index: 9,
            name: "br0".into(),
            kind: Some("bridge".into()),
            ..Link::default()
        };
        let mut wanted = Wanted::default();
        let text = format!(
            "[[group]]\n[[group.{key}]]\ninterface = \"lan\"\naddresses = [\"10.0.0.1/24\"]\n"
        );
        let text = text.replace("[[group]]", "[[group]]\nvrid = 7");
        wanted.read(&text.replace("addresses", "vmac = true\naddresses"), "r1");
        let link = Link {
            index: 2,
            name: "lan".into(),
            ..link
        };
        findings(&wanted, &[bridge, link])
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    fn ethernet() -> Link {
        Link {
            is_ethernet: true,
            ..Link::default()
        }
    }

    #[test]
    fn a_port_of_a_bridge_is_refused_and_the_bridge_named() {
        let port = Link {
            port_of: Some(9),
            ..ethernet()
        };
        let said = "error[interface-port]: lan is a port of the bridge br0, which takes its frames: no advert is \
                    heard on lan; to fix: interface = \"br0\"";
        assert_eq!(found(port, "interface"), [said]);
        assert!(found(ethernet(), "interface").is_empty());
    }

    #[test]
    fn what_has_no_ethernet_carries_addresses_and_no_virtual_router() {
        let said = "error[interface-kind]: lan has no Ethernet address: it cannot carry a virtual router; to fix: \
                    [[group.address]] for addresses on lan";
        assert_eq!(found(Link::default(), "interface"), [said]);
        assert!(found(Link::default(), "address").is_empty());
        let vrf = Link {
            kind: Some("vrf".into()),
            ..ethernet()
        };
        assert_eq!(found(vrf, "interface").len(), 1);
    }

    #[test]
    fn a_virtual_mac_in_a_vrf_is_refused() {
        let inside = Link {
            vrf: Some(9),
            ..ethernet()
        };
        let said = &found(inside, "interface")[..];
        assert!(
            matches!(said, [one] if one.contains("lan is in the VRF br0")),
            "{said:?}"
        );
    }

    #[test]
    fn a_virtual_mac_on_a_macvlan_is_refused() {
        let macvlan = Link {
            kind: Some("macvlan".into()),
            ..ethernet()
        };
        let said = "error[interface-kind]: lan is a macvlan: its adverts from a virtual MAC may not leave, as on \
                    Linux 6.1; to fix: vmac = false";
        assert_eq!(found(macvlan, "interface"), [said]);
    }

    #[test]
    fn an_ipv6_virtual_router_on_a_macvlan_is_told() {
        let mut wanted = Wanted::default();
        let text = "[[group]]\nvrid = 7\n[[group.interface]]\ninterface = \"lan\"\naddresses = [\"fd01::1/64\"]\n";
        wanted.read(text, "r1");
        let link = Link {
            name: "lan".into(),
            kind: Some("macvlan".into()),
            ..ethernet()
        };
        let found = findings(&wanted, &[link]);
        let said: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert!(
            matches!(&said[..], [one] if one.starts_with("warning[interface-kind]: lan is a macvlan with an IPv6")),
            "{said:?}"
        );
    }

    #[test]
    fn a_bond_that_answers_by_several_macs_is_refused() {
        let bond = |mode| Link {
            kind: Some("bond".into()),
            bond_mode: Some(mode),
            ..ethernet()
        };
        let said = &found(bond(6), "address")[..];
        assert!(
            matches!(said, [one] if one.contains("lan is a bond in mode balance-alb")),
            "{said:?}"
        );
        assert!(found(bond(5), "interface").is_empty());
    }
}
