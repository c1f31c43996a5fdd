//! Reads what is on this machine. What cannot be read is not there.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::IpAddr;

use spared_config_reader::IpNet;
use spared_key::PublicKey;
use spared_netlink::{Address, Link, Requests};
use spared_pairing::Texts;

use super::findings::{Findings, Interface, Kind, Program};

/// Routing table of the kernel's main routes.
const TABLE_MAIN: u32 = 254;
/// Flag of an address without an end (IFA_F_PERMANENT).
const PERMANENT: u32 = 0x80;

/// # Errors
/// The kernel does not answer.
pub fn gather(node: String, key: PublicKey, texts: Texts) -> io::Result<Findings> {
    let mut kernel = Requests::open()?;
    let links = kernel.links()?;
    let addresses = kernel.addresses()?;
    let is_own = |it: &&Link| it.is_ethernet && it.port_of.is_none() && it.name != "lo";
    let interfaces = links.iter().filter(is_own);
    let interfaces = interfaces.map(|link| interface(link, &addresses)).collect();
    let name = |index: u32| {
        links
            .iter()
            .find(|it| it.index == index)
            .map(|it| it.name.clone())
    };
    let mut routes = kernel.routes(None, None)?;
    routes.sort_by_key(|it| it.metric);
    let defaults = routes
        .iter()
        .filter(|it| it.prefix == 0 && it.table == TABLE_MAIN);
    let gateways = defaults.filter_map(|it| Some((name(it.index?)?, it.gateway?)));
    Ok(Findings {
        node,
        key,
        interfaces,
        gateways: gateways.collect(),
        programs: programs(),
        texts,
    })
}

fn interface(link: &Link, addresses: &[Address]) -> Interface {
    let is_link_local = |it: IpAddr| match it {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.segments()[0] & 0xffc0 == 0xfe80,
    };
    let here = addresses.iter().filter(|it| it.index == link.index);
    let here: Vec<&Address> = here
        .filter(|it| !is_link_local(it.address) && !it.is_ours())
        .collect();
    let network = |it: &&Address| IpNet::new(it.address, it.prefix).ok();
    Interface {
        name: link.name.clone(),
        has_carrier: link.up && link.carrier,
        addresses: here.iter().filter_map(network).collect(),
        is_dynamic: here.iter().any(|it| it.flags & PERMANENT == 0),
    }
}

/// Programs of this network namespace, each kind once.
fn programs() -> Vec<Program> {
    let own = fs::read_link("/proc/self/ns/net").ok();
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let folder = process.path();
        let Ok(name) = fs::read_to_string(folder.join("comm")) else {
            continue;
        };
        let Some(kind) = Kind::of(name.trim()) else {
            continue;
        };
        if fs::read_link(folder.join("ns/net")).ok() != own || !seen.insert(name) {
            continue;
        }
        let groups = fs::read_to_string(folder.join("cgroup")).unwrap_or_default();
        found.push(Program {
            kind,
            unit: unit(&groups),
        });
    }
    found
}

/// Unit of systemd, from a process's control group: `0::/system.slice/kea-dhcp4-server.service`.
fn unit(groups: &str) -> Option<String> {
    let path = groups.lines().find_map(|it| it.strip_prefix("0::"))?;
    let unit = path.rsplit('/').find(|it| it.ends_with(".service"))?;
    Some(unit.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_of_a_process_is_the_innermost_of_its_control_group() {
        for (groups, expected) in [
            (
                "0::/system.slice/kea-dhcp4-server.service\n",
                Some("kea-dhcp4-server.service"),
            ),
            ("0::/system.slice/x.service/worker\n", Some("x.service")),
            ("0::/user.slice/user-0.slice\n", None),
            ("", None),
        ] {
            assert_eq!(unit(groups).as_deref(), expected);
        }
    }
}
