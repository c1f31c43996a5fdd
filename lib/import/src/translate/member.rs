//! A `vrrp_instance` as a member of a group: its interface, its addresses, and what it asks of the election.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::IpAddr;

use spared_config_reader::toml_text;

use super::address::Address;
use super::route::of_both;
use super::{Both, Top, Translation, child};
use crate::sources::Place;
use crate::toml::{Each, each, list};
use crate::tree::Statement;

/// Priority of an instance that has none, as in keepalived.
const PRIORITY: i64 = 100;
const INTERVAL_MS: u64 = 1000;
/// Longest interval that spared accepts.
const INTERVAL_MS_MAX: u64 = 40_000;
/// TTL of a keepalived's unicast adverts, at least.
const UNICAST_TTL: i64 = 64;
/// Letters of a device's name.
const DEVICE_LETTERS: usize = 15;

pub struct Member<'t> {
    pub name: &'t str,
    pub place: Place,
    pub both: Both<'t>,
    /// Interfaces of the member, of its addresses and routes.
    pub devices: Vec<String>,
    /// `[[group.interface]]` and the tables below it.
    pub tables: String,
    pub election: Election,
}

/// Wishes about an election, which a group has once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Election {
    pub priority: Each<i64>,
    pub preempts: bool,
    pub failback_ms: u64,
    pub version: u8,
    pub interval_ms: u64,
    /// Other keys of the group, as lines.
    pub keys: String,
}

impl Translation<'_> {
    /// Reads an instance; None if it cannot be one.
    pub(super) fn member<'t>(
        &mut self,
        top: &Top<'t>,
        name: &'t str,
        both: Both<'t>,
    ) -> Option<Member<'t>> {
        let first = both[0].or(both[1])?;
        let interface =
            of_both(child(&both, "interface").map(|it| it.map(|it| it.word(1).to_owned())));
        let Some(interface) = interface else {
            return self.refuse(
                &both,
                "it has no interface",
                "name its interface, and import again",
            );
        };
        let vrid = self.common(child(&both, "virtual_router_id"));
        let vrid = vrid.and_then(|it| self.number(it, 1..=255));
        let Some(vrid) = vrid else {
            return self.refuse(
                &both,
                "it has no number",
                "give it a `virtual_router_id`, and import again",
            );
        };
        let mut known = BTreeSet::new();
        let is_virtual = child(&both, "use_vmac").iter().any(Option::is_some);
        let excluded = child(&both, "virtual_ipaddress_excluded");
        let own = child(&both, "virtual_ipaddress");
        let mut addresses = self.addresses(&own, &interface, is_virtual, &mut known);
        let is_here = |it: &Address| {
            let mut pairs = it.device.iter().zip(&interface);
            pairs.all(|(device, own)| device.as_ref().is_none_or(|it| it == own))
        };
        let elsewhere: Vec<Address> = addresses
            .iter()
            .filter(|it| !is_here(it))
            .cloned()
            .collect();
        addresses.retain(is_here);
        let mut more = self.addresses(&excluded, &interface, is_virtual, &mut known);
        let moved: Vec<Address> = more.iter().filter(|it| !is_here(it)).cloned().collect();
        more.retain(is_here);
        let Some(is_ipv6) = addresses.first().map(|it| it.ip.is_ipv6()) else {
            let why = "no virtual address is on the interface of its adverts";
            return self.refuse(&both, why, "give it one there, and import again");
        };
        let mut tables = format!(
            "\n[[group.interface]]\ninterface = {}\nvrid = {vrid}\n",
            each(self.nodes, &interface.each_ref().map(|it| toml_text(it)))
        );
        for (key, addresses) in [("addresses", &addresses), ("unadvertised", &more)] {
            let texts: Vec<&str> = addresses.iter().map(|it| it.text.as_str()).collect();
            if !texts.is_empty() {
                let _ = writeln!(tables, "{key} = {}", list(&texts));
            }
        }
        tables += &self.interface_keys(top, &both, is_ipv6, vrid);
        let mut devices: Vec<String> = interface.to_vec();
        for address in elsewhere.iter().chain(&moved) {
            devices.extend(address.device.iter().flatten().cloned());
            tables += &self.group_address(address, &interface);
        }
        tables += &self.routes(&child(&both, "virtual_routes"), &mut devices);
        tables += &self.rules(&child(&both, "virtual_rules"));
        let election = self.election(top, &both, is_ipv6);
        let place = first.place;
        Some(Member {
            name,
            place,
            both,
            devices,
            tables,
            election,
        })
    }

    fn refuse<'t>(&mut self, both: &Both<'t>, why: &str, todo: &str) -> Option<Member<'t>> {
        for statement in both.iter().flatten() {
            self.sources
                .list_all(statement, &statement.text(), why, todo);
        }
        None
    }

    fn group_address(&self, address: &Address, own: &Each<String>) -> String {
        let device = |node: usize| {
            address.device[node]
                .clone()
                .unwrap_or_else(|| own[node].clone())
        };
        let devices = [device(0), device(1)].map(|it| toml_text(&it));
        format!(
            "\n[[group.address]]\ninterface = {}\naddresses = {}\n",
            each(self.nodes, &devices),
            list(&[&address.text])
        )
    }

    /// Further keys of `[[group.interface]]`.
    fn interface_keys(
        &mut self,
        top: &Top<'_>,
        both: &Both<'_>,
        is_ipv6: bool,
        vrid: i64,
    ) -> String {
        let mut lines = String::new();
        if let Some(vmac) = self.common(child(both, "use_vmac")) {
            lines += "vmac = true\n";
            let default = if is_ipv6 { "vrrp6" } else { "vrrp" };
            let name = match vmac.word(1) {
                "" => format!("{default}.{vrid}"),
                name => name.to_owned(),
            };
            if name.contains(':') || !vmac.word(2).is_empty() {
                self.list(vmac, "the MAC address is that of RFC 9568", "leave it out");
            }
            if name.len() > DEVICE_LETTERS {
                let why = "the name has more than 15 letters; the device has another name";
                self.list(
                    vmac,
                    why,
                    "`sparectl check` prints it: correct rules of the firewall",
                );
            } else if !name.contains(':') {
                let _ = writeln!(lines, "vmac_name = {}", toml_text(&name));
            }
        }
        let strict = match child(both, "strict_mode") {
            [None, None] => top.global("vrrp_strict"),
            own => own,
        };
        let is_strict = strict.iter().flatten().any(|it| !is_off(it.word(1)));
        let accepts = child(both, "accept").iter().any(Option::is_some);
        if child(both, "no_accept").iter().any(Option::is_some) || (is_strict && !accepts) {
            lines += "accept = false\n";
        }
        if child(both, "dont_track_primary")
            .iter()
            .any(Option::is_some)
        {
            lines += "weight = 0\n";
        }
        lines + &self.unicast(both, is_ipv6)
    }

    fn unicast(&mut self, both: &Both<'_>, is_ipv6: bool) -> String {
        let mut lines = String::new();
        let blocks = child(both, "unicast_peer");
        let mut sources = ["unicast_src_ip", "mcast_src_ip"]
            .map(|word| child(both, word).map(|it| it.map(|it| it.word(1).to_owned())))
            .into_iter()
            .reduce(|one, other| {
                [
                    one[0].clone().or(other[0].clone()),
                    one[1].clone().or(other[1].clone()),
                ]
            })
            .unwrap_or_default();
        let mut peers: Vec<String> = Vec::new();
        for peer in blocks.iter().flatten().flat_map(|it| it.block()) {
            for word in peer.words.iter().take(1) {
                if word
                    .text
                    .parse::<IpAddr>()
                    .is_ok_and(|it| it.is_ipv6() == is_ipv6)
                {
                    peers.push(word.text.clone());
                } else {
                    self.list(
                        peer,
                        "it is no address of the family",
                        "write it into `peers`",
                    );
                }
            }
            let options = peer.words.iter().skip(1).map(|it| it.text.as_str());
            if options
                .clone()
                .any(|it| it.parse::<u8>().is_err() && !matches!(it, "min_ttl" | "max_ttl"))
            {
                self.list(
                    peer,
                    "a line has one address",
                    "write the others into `peers`",
                );
            }
        }
        if self.is_one {
            // the other node's own address is the only peer of this one
            sources[1] = Some(peers.clone())
                .filter(|it| it.len() == 1 && sources[0].is_some())
                .map(|it| it[0].clone());
        }
        if !peers.is_empty() {
            peers.extend(sources.iter().flatten().cloned());
            peers.sort();
            peers.dedup();
            let ttl = child(both, "unicast_ttl")[0].and_then(|it| self.number(it, 0..=255));
            let least = blocks
                .iter()
                .flatten()
                .flat_map(|it| it.block())
                .filter_map(min_ttl)
                .min();
            let ttl = least.unwrap_or_else(|| ttl.unwrap_or(UNICAST_TTL).min(UNICAST_TTL));
            let _ = write!(lines, "unicast = true\npeers = {}\n", list(&peers));
            if !self.is_final || least.is_some() {
                let _ = writeln!(lines, "min_ttl = {}   # as keepalived sends", ttl.max(1));
            }
        }
        match sources {
            [Some(one), Some(two)] => {
                let both = [one, two].map(|it| toml_text(&it));
                let _ = writeln!(lines, "advert_source = {}", each(self.nodes, &both));
            }
            [None, None] => {}
            _ => {
                let named = child(both, "unicast_src_ip")
                    .into_iter()
                    .chain(child(both, "mcast_src_ip"));
                if let Some(statement) = named.flatten().next() {
                    let why = "the other node's address is not known";
                    self.list(
                        statement,
                        why,
                        "write `advert_source = { ... }`, if a node has several addresses there",
                    );
                }
            }
        }
        lines
    }

    fn election(&mut self, top: &Top<'_>, both: &Both<'_>, is_ipv6: bool) -> Election {
        let mut priority = [PRIORITY; 2];
        for (priority, statement) in priority.iter_mut().zip(child(both, "priority")) {
            if let Some(statement) = statement {
                *priority = self.number(statement, 1..=255).unwrap_or(PRIORITY);
                if *priority == 254 {
                    *priority = 253;
                }
            }
        }
        if self.is_one {
            priority[1] = other_priority(priority[0], child(both, "state")[0]);
        }
        let version = self.version(top, both, is_ipv6);
        let mut interval_ms = INTERVAL_MS;
        if let Some(statement) = self.common(child(both, "advert_int")) {
            interval_ms = self.milliseconds(statement, 1).unwrap_or(INTERVAL_MS);
            let unit = if version == 2 { 1000 } else { 10 };
            let fitting = (interval_ms / unit * unit).clamp(unit, INTERVAL_MS_MAX);
            if fitting != interval_ms {
                let why = format!(
                    "version {version} of VRRP has intervals of {unit} ms to 40 s in these steps"
                );
                self.list(statement, &why, "correct it on both nodes before you begin");
                interval_ms = fitting;
            }
        }
        let delay = self.common(child(both, "preempt_delay"));
        Election {
            priority,
            preempts: child(both, "nopreempt").iter().all(Option::is_none),
            failback_ms: delay.and_then(|it| self.milliseconds(it, 1)).unwrap_or(0),
            version,
            interval_ms,
            keys: self.group_keys(top, both, version),
        }
    }

    fn version(&mut self, top: &Top<'_>, both: &Both<'_>, is_ipv6: bool) -> u8 {
        let own = self.common(child(both, "version"));
        let statement = own.or_else(|| self.common(top.global("vrrp_version")));
        match statement.map(|it| it.word(1)) {
            _ if is_ipv6 => 3,
            Some("3") => 3,
            _ => 2,
        }
    }

    /// Keys of the group that need no decision.
    fn group_keys(&mut self, top: &Top<'_>, both: &Both<'_>, version: u8) -> String {
        let mut lines = String::new();
        let global = |own: &str, all: &str| match child(both, own) {
            [None, None] => top.global(all),
            own => own,
        };
        if let Some(loss) = self.common(global("down_timer_adverts", "vrrp_down_timer_adverts")) {
            if let Some(number) = self.number(loss, 2..=100).filter(|it| *it != 3) {
                let _ = writeln!(lines, "advert_loss = {number}");
            }
        }
        if let Some(refresh) =
            self.common(global("garp_master_refresh", "vrrp_garp_master_refresh"))
        {
            if let Some(seconds) = self.number(refresh, 0..=86_400).filter(|it| *it > 0) {
                let _ = writeln!(lines, "refresh = \"{seconds}s\"");
            }
        }
        if let Some(delay) = self.common(top.global("vrrp_startup_delay")) {
            if let Some(ms) = self.milliseconds(delay, 1).filter(|it| *it > 0) {
                let _ = writeln!(lines, "start_delay = {}", crate::toml::time(ms));
            }
        }
        if child(both, "dont_track_primary")
            .iter()
            .any(Option::is_some)
            && !self.is_final
        {
            lines += "carrier_weight = 0\n";
        }
        let secrets = child(both, "authentication");
        if let Some(pass) = self.common(child(&secrets, "auth_pass")) {
            lines += &self.auth_pass(pass, &child(&secrets, "auth_type"), version);
        }
        lines
    }

    fn auth_pass(&mut self, pass: &Statement, kind: &Both<'_>, version: u8) -> String {
        if kind[0].or(kind[1]).is_some_and(|it| it.word(1) != "PASS") {
            let why = "only passwords (PASS) can be sent";
            self.list(
                pass,
                why,
                "remove `authentication` from keepalived on both nodes before you begin",
            );
            return String::new();
        }
        // keepalived itself sends none in version 3
        if version == 3 || self.is_final || pass.word(1).is_empty() {
            return String::new();
        }
        let mut secret = pass.word(1);
        while secret.len() > 8 {
            let mut letters = secret.chars();
            letters.next_back();
            secret = letters.as_str();
        }
        format!(
            "auth_pass = {}   # until both nodes run spared\n",
            toml_text(secret)
        )
    }
}

fn is_off(word: &str) -> bool {
    matches!(word, "off" | "false" | "no")
}

fn min_ttl(peer: &Statement) -> Option<i64> {
    let at = peer.words.iter().position(|it| it.text == "min_ttl")?;
    peer.word(at + 1).parse().ok()
}

/// A guess of the other node's priority, by what this one's file says about itself.
fn other_priority(own: i64, state: Option<&Statement>) -> i64 {
    match state.map(|it| it.word(1)) {
        Some("BACKUP") => (own + 50).min(253),
        _ => (own - 50).max(1),
    }
}
