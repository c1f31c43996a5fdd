//! The files that `sparectl init` proposes: a function of what was found and what was asked for.

use std::fmt::Write;
use std::net::IpAddr;

use spared_config_reader::{IpNet, toml_key};
use spared_key::public_text;
use spared_pairing::{Texts, spared_toml};

use super::findings::{Findings, Kind};
use crate::consent::says_anything;
use crate::folder::{HOST_FILE, host_text};

/// File of the groups.
pub const VRRP: &str = "plugins/vrrp.toml";
/// First network that is proposed for the link.
const LINK_NETWORK: [u8; 3] = [192, 168, 180];

/// Wishes of a person or a script.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// Name of the other node.
    pub peer: String,
    /// Interface of the link.
    pub link: String,
    /// Addresses of the link, this node's first; None for those that are proposed.
    pub link_addresses: Option<[IpNet; 2]>,
    pub group: String,
    pub vrid: u8,
    /// Virtual addresses, each with its interface.
    pub virtuals: Vec<(String, IpNet)>,
    /// Gateway of a default route that moves with the group.
    pub gateway: Option<IpAddr>,
}

/// Name of the other node, from this one's: r1 has r2, gw-a has gw-b.
pub fn other_name(node: &str) -> String {
    let Some((before, last)) = node
        .char_indices()
        .next_back()
        .map(|(at, c)| (&node[..at], c))
    else {
        return "r2".to_owned();
    };
    match last {
        '1' | 'a' | 'A' => format!("{before}{}", char::from(last as u8 + 1)),
        '2' | 'b' | 'B' => format!("{before}{}", char::from(last as u8 - 1)),
        '0' => format!("{before}1"),
        _ => format!("{node}-2"),
    }
}

/// Returns all files as they would be.
///
/// # Errors
/// A wish that cannot be met; a sentence says what can.
pub fn propose(found: &Findings, wishes: &Wishes) -> Result<Texts, String> {
    let mut texts = found.texts.clone();
    let host = host_text(&found.texts);
    texts.insert(HOST_FILE.to_owned(), host_file(found, wishes, host)?);
    let groups = found.texts.get(VRRP).filter(|it| says_anything(it));
    match groups {
        Some(groups) => have_virtuals(groups, wishes)?,
        None if wishes.virtuals.is_empty() => {}
        None => {
            texts.insert(VRRP.to_owned(), vrrp(found, wishes)?);
        }
    }
    let mut add = |plugin: &str, text: Option<String>| {
        if let Some(text) = text {
            texts
                .entry(format!("plugins/{plugin}.toml"))
                .or_insert(text);
        }
    };
    add("conntrack", Some(conntrack(found)));
    add("health", health(found));
    add("dhcp", dhcp(found));
    add("ipsec", has(found, Kind::Strongswan).then(String::new));
    add("service", service(found));
    Ok(texts)
}

fn has(found: &Findings, kind: Kind) -> bool {
    found.programs.iter().any(|it| it.kind == kind)
}

/// spared.toml with the nodes and the link, below what is there.
fn host_file(found: &Findings, wishes: &Wishes, text: &str) -> Result<String, String> {
    let (own, peer) = (&found.node, &wishes.peer);
    if own == peer {
        return Err(format!("--peer: {peer} is this node: name the other one"));
    }
    let (own_key, peer_key) = (toml_key(own), toml_key(peer));
    let nodes = spared_toml::nodes(host_text(&found.texts))?;
    let has_keys = spared_toml::secret_file(text).is_none();
    let is_keyless = has_keys && nodes.iter().any(|(name, key)| name == own && key.is_none());
    let mut text = if is_keyless {
        // `sparectl import` writes the names alone
        spared_toml::with_key(text, own, &found.key)?
    } else {
        text.to_owned()
    };
    let mut append = |block: String| {
        let between = if text.is_empty() { "" } else { "\n" };
        let _ = write!(text, "{between}{block}");
    };
    if nodes.is_empty() {
        let own = if has_keys {
            format!("{own_key}.public_key = \"{}\"", public_text(&found.key))
        } else {
            format!("{own_key} = {{}}")
        };
        append(format!("[nodes]\n{own}\n{peer_key} = {{}}\n"));
    }
    let has_link = found
        .texts
        .get(HOST_FILE)
        .is_some_and(|it| !spared_toml::link_interfaces(it, own).is_empty());
    if !has_link {
        let link = found
            .interface(&wishes.link)
            .ok_or_else(|| no_link(found, &wishes.link))?;
        let [here, there] = match wishes.link_addresses {
            Some(addresses) => addresses,
            None => link_addresses(found, &link.addresses)?,
        };
        append(format!(
            "[[link]]\ninterface = \"{}\"\naddress = {{ {own_key} = \"{here}\", {peer_key} = \"{there}\" }}\n",
            link.name
        ));
    }
    Ok(text)
}

/// Why there is no link.
pub fn no_link(found: &Findings, asked: &str) -> String {
    let names: Vec<&str> = found.interfaces.iter().map(|it| it.name.as_str()).collect();
    let there = if asked.is_empty() {
        "no interface is free for the link: it needs a cable to the other node and no address of a network".to_owned()
    } else {
        format!("there is no interface {asked}")
    };
    format!("{there}; --link IF names one of {}", names.join(", "))
}

/// Addresses of the link: those of the network that its interface has, or two of a network that nobody uses here.
fn link_addresses(found: &Findings, there: &[IpNet]) -> Result<[IpNet; 2], String> {
    if let Some(own) = there.first() {
        let mut hosts = own.trunc().hosts().take(3).filter(|it| *it != own.addr());
        return match (hosts.next(), hosts.next()) {
            (Some(other), None) => Ok([*own, IpNet::new(other, own.prefix_len()).unwrap_or(*own)]),
            _ => Err(format!(
                "the interface of the link has {own}: name the address of the other node as well, --link-addresses \
                 {own},ADDRESS/{}",
                own.prefix_len()
            )),
        };
    }
    let [a, b, c] = LINK_NETWORK;
    let net = |third: u8, host: u8| IpNet::new([a, b, third, host].into(), 30);
    let is_free = |it: &IpNet| {
        let mut all = found.interfaces.iter().flat_map(|it| &it.addresses);
        !all.any(|own| own.contains(&it.addr()) || it.contains(&own.addr()))
    };
    let pairs = (c..=250).filter_map(|third| Some([net(third, 1).ok()?, net(third, 2).ok()?]));
    let mut free = pairs.filter(|[one, _]| is_free(one));
    let [first, second] = free
        .next()
        .ok_or("--link-addresses: no network is free for the link")?;
    Ok([first, second])
}

/// Checks that groups which somebody has written already, and which stay, have all virtual addresses.
fn have_virtuals(groups: &str, wishes: &Wishes) -> Result<(), String> {
    let is_there = |address: &IpNet| groups.contains(&format!("\"{address}\""));
    match wishes.virtuals.iter().find(|(_, it)| !is_there(it)) {
        None => Ok(()),
        Some((name, address)) => Err(format!(
            "--virtual {name}={address}: vrrp.toml has groups without it, and stays: add it there to the addresses of {name}"
        )),
    }
}

fn vrrp(found: &Findings, wishes: &Wishes) -> Result<String, String> {
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let mut text = format!(
        "[[group]]\nname = {}\nvrid = {}\n",
        quoted(&wishes.group),
        wishes.vrid
    );
    let mut names: Vec<&String> = Vec::new();
    for (name, address) in &wishes.virtuals {
        let interface = found.interface(name).ok_or_else(|| {
            format!(
                "--virtual {name}={address}: there is no interface {name}; `ip -br link` lists them"
            )
        })?;
        if interface
            .addresses
            .iter()
            .any(|it| it.addr() == address.addr())
        {
            return Err(format!(
                "--virtual {name}={address}: this is the node's own address; a virtual address is a third one of that \
                 network, which moves"
            ));
        }
        if !names.contains(&name) {
            names.push(name);
        }
    }
    for name in names {
        let of_interface = wishes.virtuals.iter().filter(|(it, _)| it == name);
        let addresses: Vec<String> = of_interface.map(|(_, it)| format!("\"{it}\"")).collect();
        let _ = write!(
            text,
            "\n[[group.interface]]\ninterface = {}\naddresses = [{}]\n",
            quoted(name),
            addresses.join(", ")
        );
    }
    if let Some(gateway) = moving_gateway(found, wishes)? {
        let destination = if gateway.is_ipv4() {
            "0.0.0.0/0"
        } else {
            "::/0"
        };
        let _ = write!(
            text,
            "\n[[group.route]]\ndestination = \"{destination}\"\ngateway = \"{gateway}\"\n"
        );
    }
    Ok(text)
}

/// Gateway of the default route that moves with the group: the one that was asked for, or that of an interface which has no
/// address but the virtual one, with which the kernel would remove the route of the node.
///
/// # Errors
/// No virtual address is in the network of the gateway.
fn moving_gateway(found: &Findings, wishes: &Wishes) -> Result<Option<IpAddr>, String> {
    let is_near = |gateway: &IpAddr| wishes.virtuals.iter().any(|(_, it)| it.contains(gateway));
    if let Some(gateway) = wishes.gateway {
        return if is_near(&gateway) {
            Ok(Some(gateway))
        } else {
            Err(format!(
                "--gateway {gateway}: it is in the network of no virtual address, and must be in that of --virtual IF=ADDRESS/LEN"
            ))
        };
    }
    let of_bare = |(name, gateway): &&(String, IpAddr)| {
        gateway.is_ipv4() && found.is_bare(name) && is_near(gateway)
    };
    Ok(found
        .gateways
        .iter()
        .find(of_bare)
        .map(|(_, gateway)| *gateway))
}

/// A sentence about the default route, if no group takes one along.
pub fn about_route(found: &Findings, wishes: &Wishes) -> Option<String> {
    let is_moving = moving_gateway(found, wishes).is_ok_and(|it| it.is_some());
    if wishes.virtuals.is_empty() || is_moving {
        return None;
    }
    Some(match found.gateways.first() {
        Some((name, gateway)) => format!(
            "the default route by {gateway} on {name} is each node's own and stays, so that no [[group.route]] is needed: the \
             other node needs one as well"
        ),
        None => {
            "there is no default route: --gateway ADDRESS adds one that the active node alone has"
                .to_owned()
        }
    })
}

/// conntrack.toml: empty, but for uplinks whose address does not move.
fn conntrack(found: &Findings) -> String {
    let is_uplink = |name: &str| found.gateways.iter().any(|(it, _)| it == name);
    let dynamic = found
        .interfaces
        .iter()
        .filter(|it| it.is_dynamic && is_uplink(&it.name));
    let names: Vec<String> = dynamic.map(|it| format!("\"{}\"", it.name)).collect();
    if names.is_empty() {
        return String::new();
    }
    format!(
        "dynamic_nat = [{}]   # its address is of this node alone: what is translated to it ends in a failover\n",
        names.join(", ")
    )
}

fn health(found: &Findings) -> Option<String> {
    let (name, gateway) = found.gateways.first()?;
    let mut text = format!(
        "[[ping]]\nname = \"uplink\"\ntargets = [\"{gateway}\"]   # gateway of the default route\n"
    );
    if gateway.is_ipv4() && found.is_bare(name) {
        text += "only = \"active\"   # the backup has no address there\n";
    }
    Some(text)
}

fn dhcp(found: &Findings) -> Option<String> {
    let kinds = found.programs.iter().filter_map(|it| match it.kind {
        Kind::Dhcp(kind) => Some(format!("[[server]]\nkind = \"{kind}\"\n")),
        _ => None,
    });
    let servers: Vec<String> = kinds.collect();
    (!servers.is_empty()).then(|| servers.join("\n"))
}

/// service.toml: units whose state is replicated run on the active node alone.
fn service(found: &Findings) -> Option<String> {
    let is_moved = |kind: Kind| matches!(kind, Kind::Dhcp(_) | Kind::Strongswan);
    let moved = found.programs.iter().filter(|it| is_moved(it.kind));
    let units: Vec<String> = moved
        .filter_map(|it| it.unit.as_ref())
        .map(|it| format!("\"{it}\""))
        .collect();
    if units.is_empty() {
        return None;
    }
    let has_dhcp = found
        .programs
        .iter()
        .any(|it| matches!(it.kind, Kind::Dhcp(_)));
    let after = [
        (has_dhcp, "\"dhcp\""),
        (has(found, Kind::Strongswan), "\"ipsec\""),
    ];
    let after: Vec<&str> = after.iter().filter(|it| it.0).map(|it| it.1).collect();
    Some(format!(
        "after = [{}]\n\n[[service]]\nunits = [{}]   # stopped while this node is backup\n",
        after.join(", "),
        units.join(", ")
    ))
}

#[cfg(test)]
mod tests;
