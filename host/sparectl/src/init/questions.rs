//! Questions to a person on a terminal, each with a proposal; a script answers them by options.

use std::io::{self, BufRead, IsTerminal, Write};
use std::net::IpAddr;

use spared_pairing::spared_toml;

use super::contradictions;
use super::findings::Findings;
use super::proposal::{VRRP, Wishes, no_link, other_name};
use super::virtual_address;
use crate::folder::host_text;
use crate::line::Init;
use crate::output;

const GROUP: &str = "main";
const VRID: u8 = 50;

/// All that the proposal needs: from the options, from what is there, or from a person.
///
/// # Errors
/// Something is missing, and there is nobody to ask.
pub fn wishes(found: &Findings, init: &Init) -> Result<Wishes, String> {
    let host = host_text(&found.texts);
    let nodes = spared_toml::nodes(host)?;
    let known = nodes
        .into_iter()
        .map(|(name, _)| name)
        .find(|it| *it != found.node);
    let peer = match (&init.peer, known) {
        (Some(peer), Some(known)) if *peer != known => {
            return Err(format!(
                "--peer {peer}: [nodes] of spared.toml names {known}, and stays: `sparectl unpair` leaves that pair, and \
                 `sparectl replace` takes another machine for {known}"
            ));
        }
        (_, Some(known)) => known,
        (Some(peer), None) => peer.clone(),
        (None, None) => ask("name of the other node", &other_name(&found.node), init),
    };
    let links = spared_toml::link_interfaces(host, &found.node);
    let link = match (&init.link, links.into_iter().next()) {
        (Some(link), Some(known)) if *link != known => {
            return Err(format!(
                "--link {link}: spared.toml has a [[link]] on {known}, and stays: write another one there"
            ));
        }
        (_, Some(known)) => known,
        (Some(link), None) => link.clone(),
        (None, None) => link(found, init)?,
    };
    contradictions::refuse(found, init)?;
    let has_groups = found.texts.contains_key(VRRP);
    let virtuals = if init.virtuals.is_empty() && !has_groups && init.asks() {
        asked_virtuals(found, &link)
    } else {
        init.virtuals.clone()
    };
    let gateway = match init.gateway {
        None if found.gateways.is_empty() && !has_groups && init.asks() => {
            asked_gateway(found, &virtuals)
        }
        gateway => gateway,
    };
    Ok(Wishes {
        gateway,
        peer,
        link,
        link_addresses: init.link_addresses,
        group: init.group.clone().unwrap_or_else(|| GROUP.to_owned()),
        vrid: init.vrid.unwrap_or(VRID),
        virtuals,
    })
}

fn link(found: &Findings, init: &Init) -> Result<String, String> {
    let possible = found.possible_links();
    match possible.as_slice() {
        [one] => Ok(ask(
            "interface of the link, a cable to the other node",
            one,
            init,
        )),
        [first, ..] if init.asks() => Ok(ask(
            &format!("interface of the link: one of {}", possible.join(", ")),
            first,
            init,
        )),
        [] if init.asks() => {
            let answer = ask("interface of the link, a cable to the other node", "", init);
            if answer.is_empty() {
                Err(no_link(found, ""))
            } else {
                Ok(answer)
            }
        }
        [] => Err(no_link(found, "")),
        several => Err(format!(
            "several interfaces may be the link: --link IF names one of {}",
            several.join(", ")
        )),
    }
}

/// Virtual addresses, one for each interface of a network.
fn asked_virtuals(found: &Findings, link: &str) -> Vec<(String, super::IpNet)> {
    let mut virtuals = Vec::new();
    let networks = found
        .interfaces
        .iter()
        .filter(|it| it.name != link && !it.addresses.is_empty());
    for interface in networks {
        let own: Vec<String> = interface
            .addresses
            .iter()
            .map(ToString::to_string)
            .collect();
        let question = format!(
            "virtual address of {} (this node has {}); empty for none",
            interface.name,
            own.join(", ")
        );
        loop {
            let answer = answer(&question, "");
            if answer.is_empty() {
                break;
            }
            match virtual_address(&format!("{}={answer}", interface.name)) {
                Ok(it) => {
                    virtuals.push(it);
                    break;
                }
                Err(_) => output::errors(&[
                    "an address with its length, such as 192.168.200.1/24".to_owned()
                ]),
            }
        }
    }
    virtuals
}

/// Gateway in the network of a virtual address on an interface that has no other, and so no route without it.
fn asked_gateway(found: &Findings, virtuals: &[(String, super::IpNet)]) -> Option<IpAddr> {
    let mut bare = virtuals
        .iter()
        .filter(|(name, it)| it.addr().is_ipv4() && found.is_bare(name));
    let (interface, network) = bare.next()?;
    let question = format!(
        "gateway of the default route in {} on {interface}, which the active node alone has; empty for none",
        network.trunc()
    );
    loop {
        let answer = answer(&question, "");
        if answer.is_empty() {
            return None;
        }
        match answer.parse::<IpAddr>() {
            Ok(gateway) if network.contains(&gateway) => return Some(gateway),
            _ => output::errors(&[format!("an address of {}", network.trunc())]),
        }
    }
}

/// The answer of a person; the proposal without one.
fn ask(question: &str, proposal: &str, init: &Init) -> String {
    if init.asks() {
        answer(question, proposal)
    } else {
        proposal.to_owned()
    }
}

fn answer(question: &str, proposal: &str) -> String {
    let shown = if proposal.is_empty() {
        String::new()
    } else {
        format!(" [{proposal}]")
    };
    output::text(&format!("{question}{shown}: "));
    let _ = io::stdout().flush();
    let mut line = String::new();
    let _ = io::stdin().lock().read_line(&mut line);
    let line = line.trim();
    if line.is_empty() {
        proposal.to_owned()
    } else {
        line.to_owned()
    }
}

/// Returns true if there is a person to ask.
pub fn has_terminal() -> bool {
    io::stdin().is_terminal()
}
