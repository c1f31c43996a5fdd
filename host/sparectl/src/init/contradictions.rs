//! Options of `sparectl init` that contradict a file which is there, and which stays. Options that the file agrees with are
//! accepted: a script can run the same command again.

use std::net::IpAddr;

use spared_config_reader::{Config, IpNet, Section};

use super::findings::Findings;
use super::proposal::VRRP;
use crate::consent::says_anything;
use crate::folder::host_text;
use crate::line::Init;

/// Checks the options of the group and the addresses of the link.
///
/// # Errors
/// An option that would have no effect; a sentence says what to write.
pub fn refuse(found: &Findings, init: &Init) -> Result<(), String> {
    if let Some(addresses) = &init.link_addresses {
        link(found, addresses)?;
    }
    let groups = found.texts.get(VRRP).filter(|it| says_anything(it));
    groups.map_or(Ok(()), |it| group(found, it, init))
}

fn link(found: &Findings, addresses: &[IpNet; 2]) -> Result<(), String> {
    let config = parsed(found, host_text(&found.texts))?;
    let links = config.root().sections("link");
    let has = |link: &Section<'_>, address: &IpNet| {
        let known = link.every_text("address");
        known.iter().any(|it| it.parse::<IpNet>() == Ok(*address))
    };
    let is_there = |link: &Section<'_>| addresses.iter().all(|it| has(link, it));
    if links.is_empty() || links.iter().any(is_there) {
        return Ok(());
    }
    let [own, peer] = addresses;
    Err(format!(
        "--link-addresses {own},{peer}: spared.toml has a [[link]] without them, and stays: write `address` there, \
         on both nodes"
    ))
}

fn group(found: &Findings, text: &str, init: &Init) -> Result<(), String> {
    if init.group.is_none() && init.vrid.is_none() && init.gateway.is_none() {
        return Ok(());
    }
    let config = parsed(found, text)?;
    let groups = config.root().sections("group");
    let names: Vec<String> = groups.iter().filter_map(|it| it.text("name")).collect();
    let stays = format!("vrrp.toml has the group {}, and stays", names.join(", "));
    if let Some(name) = init.group.as_ref().filter(|it| !names.contains(it)) {
        return Err(format!(
            "--group {name}: {stays}: write another `[[group]]` there"
        ));
    }
    if let Some(vrid) = init
        .vrid
        .filter(|it| !vrids(&groups).contains(&(*it).into()))
    {
        return Err(format!(
            "--vrid {vrid}: {stays}: change `vrid` there, on both nodes"
        ));
    }
    let gateway = init.gateway.filter(|it| !gateways(&groups).contains(it));
    gateway.map_or(Ok(()), |gateway| {
        let destination = if gateway.is_ipv4() {
            "0.0.0.0/0"
        } else {
            "::/0"
        };
        Err(format!(
            "--gateway {gateway}: {stays}: write below it `[[group.route]]`, `destination = \"{destination}\"` and \
             `gateway = \"{gateway}\"`"
        ))
    })
}

/// Numbers of the groups and of their interfaces.
fn vrids(groups: &[Section<'_>]) -> Vec<u64> {
    let interfaces = groups.iter().flat_map(|it| it.sections("interface"));
    let all = groups.iter().cloned().chain(interfaces);
    all.filter_map(|it| it.integer("vrid", 1..=255)).collect()
}

/// Gateways of the groups' routes.
fn gateways(groups: &[Section<'_>]) -> Vec<IpAddr> {
    let routes = groups.iter().flat_map(|it| it.sections("route"));
    let texts = routes.flat_map(|it| it.every_text("gateway"));
    texts.filter_map(|it| it.parse().ok()).collect()
}

fn parsed(found: &Findings, text: &str) -> Result<Config, String> {
    Config::parse(text, &found.node, &[]).map_err(|error| error.to_string())
}
