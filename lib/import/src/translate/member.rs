//! A `vrrp_instance` as a member of a group: its interface, its addresses, and what it asks of the election.

use std::fmt::Write;

use spared_config_reader::toml_text;

use super::address::{Address, Contradiction, ELSEWHERE_TODO, Home, is_device};
use super::election::Election;
use super::route::of_both;
use super::taken::{Once, Taken};
use super::{Both, Top, Translation, child};
use crate::sources::Place;
use crate::toml::{Each, each, list};
use crate::tree::Statement;

/// Addresses in an advert of IPv4, which counts them in a byte.
const ADVERTISED_MAX: usize = 255;

/// Words with which a keepalived and spared do not hear each other, with the reason.
const APART: [(&str, &str); 2] = [
    (
        "vmac_xmit_base",
        "keepalived with `vmac_xmit_base` sends from another MAC address than spared with `vmac = true`: with a mix both nodes are active",
    ),
    (
        "mcast_dst_ip",
        "spared sends to the address of RFC 9568 alone",
    ),
];

pub struct Member<'t> {
    pub name: &'t str,
    pub place: Place,
    pub both: Both<'t>,
    pub interface: Each<String>,
    pub is_ipv6: bool,
    vrid: i64,
    /// Texts of its addresses in adverts, and of those that are in none.
    advertised: Vec<String>,
    unadvertised: Vec<String>,
    /// Addresses on other interfaces that its adverts name.
    elsewhere: Vec<String>,
    /// Further keys of its `[[group.interface]]`, as lines.
    keys: String,
    /// Tables of the group that it brings.
    tables: String,
    /// Interfaces of the member, of its addresses and routes.
    pub devices: Vec<String>,
    pub election: Election,
}

impl Member<'_> {
    /// True if both have an interface of a node for one family.
    pub fn shares(&self, other: &Self) -> bool {
        let mut interfaces = self.interface.iter().zip(&other.interface);
        let are_written = !self.advertised.is_empty() && !other.advertised.is_empty();
        are_written && self.is_ipv6 == other.is_ipv6 && interfaces.any(|(one, two)| one == two)
    }

    /// True if the carrier of its interface does not count.
    pub fn is_blind(&self) -> bool {
        is_there(&self.both, "dont_track_primary")
    }

    /// Its first virtual address, without prefix and label.
    pub fn address(&self) -> String {
        let first = self.advertised.first().map_or("", String::as_str);
        first.split('/').next().unwrap_or_default().to_owned()
    }

    /// Takes all that another member brings to the files.
    pub fn absorb(&mut self, other: &mut Self) {
        self.advertised.append(&mut other.advertised);
        self.unadvertised.append(&mut other.unadvertised);
        self.elsewhere.append(&mut other.elsewhere);
        self.tables += &std::mem::take(&mut other.tables);
    }

    /// Keeps the member out of the files.
    pub fn clear(&mut self) {
        self.advertised.clear();
    }

    /// Leaves in the adverts what they have room for; false if that is all.
    pub fn limit_advert(&mut self) -> bool {
        let room = ADVERTISED_MAX.saturating_sub(self.elsewhere.len());
        let is_over = !self.is_ipv6 && self.advertised.len() > room;
        if is_over {
            let more = self.advertised.split_off(room);
            self.unadvertised.splice(0..0, more);
        }
        is_over
    }

    /// `[[group.interface]]` and the tables below it; empty if another member has taken its addresses.
    pub fn text(&self, nodes: &Each<String>) -> String {
        if self.advertised.is_empty() {
            return String::new();
        }
        let interface = self.interface.each_ref().map(|it| toml_text(it));
        let mut text = format!(
            "\n[[group.interface]]\ninterface = {}\nvrid = {}\n",
            each(nodes, &interface),
            self.vrid
        );
        let lists = [
            ("addresses", &self.advertised),
            ("unadvertised", &self.unadvertised),
            ("advertised", &self.elsewhere),
        ];
        for (key, texts) in lists.iter().filter(|it| !it.1.is_empty()) {
            let _ = writeln!(text, "{key} = {}", list(texts));
        }
        text + &self.keys + &self.tables
    }
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
        let fitting = interface.filter(|it| it.iter().all(|it| is_device(it)));
        let Some(interface) = fitting else {
            let why = "it has no interface";
            self.refuse(&both, why, "name its interface, and import again");
            return None;
        };
        let vrid = self.setting(&both, "virtual_router_id");
        let vrid = vrid.and_then(|it| self.number(it, 1..=255));
        let Some(vrid) = vrid else {
            let todo = "give it a `virtual_router_id`, and import again";
            self.refuse(&both, "it has no number", todo);
            return None;
        };
        let mut taken = Taken::default();
        let mut home = Home {
            interface: &interface,
            is_virtual: is_there(&both, "use_vmac"),
            has_one_family: true,
        };
        let own = self.addresses(&child(&both, "virtual_ipaddress"), &home, &mut taken);
        home.has_one_family = false;
        let excluded = child(&both, "virtual_ipaddress_excluded");
        let excluded = self.addresses(&excluded, &home, &mut taken);
        let (own, excluded) = match (own, excluded) {
            (Ok(own), Ok(excluded)) => (own, excluded),
            (Err(Contradiction(ip)), _) | (_, Err(Contradiction(ip))) => {
                let why = format!("the other node has {ip} in another instance");
                self.refuse(&both, &why, ELSEWHERE_TODO);
                return None;
            }
        };
        let is_here = |it: &Address| {
            let mut pairs = it.device.iter().zip(&interface);
            pairs.all(|(device, own)| device.as_ref().is_none_or(|it| it == own))
        };
        let (own, mut elsewhere): (Vec<_>, Vec<_>) = own.into_iter().partition(is_here);
        let (excluded, moved): (Vec<_>, Vec<_>) = excluded.into_iter().partition(is_here);
        let named = elsewhere.iter().map(|it| it.ip.to_string()).collect();
        elsewhere.extend(moved);
        let Some(is_ipv6) = own.first().map(|it| it.ip.is_ipv6()) else {
            let why = "no virtual address is on the interface of its adverts";
            self.refuse(&both, why, "give it one there, and import again");
            return None;
        };
        let router = interface.each_ref().map(|interface| Once::Router {
            interface: interface.clone(),
            is_ipv6,
            vrid,
        });
        if !taken.take(&self.taken, router) {
            let why = "another instance has its `virtual_router_id` on this interface";
            self.refuse(
                &both,
                why,
                "give it another one on both nodes, and import again",
            );
            return None;
        }
        let election = self.election(top, &both, is_ipv6);
        let mut keys = self.interface_keys(top, &both, is_ipv6, vrid, &mut taken);
        let is_strict = self.strict(top, &both).contains(&true);
        let secrets = child(&both, "authentication");
        if let Some(secret) = self.auth_pass(&secrets, election.version, is_strict) {
            let secret = toml_text(&secret);
            let _ = writeln!(keys, "auth_pass = {secret}   # until both nodes run spared");
        }
        let mut devices: Vec<String> = interface.to_vec();
        let mut tables = String::new();
        for address in &elsewhere {
            if !address.is_blind {
                devices.extend(address.device.iter().flatten().cloned());
            }
            tables += &self.group_address(address, &interface);
        }
        tables += &self.routes(&child(&both, "virtual_routes"), &mut devices, &mut taken);
        tables += &self.rules(&child(&both, "virtual_rules"), &mut taken);
        for (word, why) in APART {
            self.take_out(&child(&both, word), why);
        }
        if child(&both, "authentication").iter().flatten().any(is_ah) {
            self.take_out(
                &child(&both, "authentication"),
                "spared sends no AH, and keepalived refuses adverts without it",
            );
        }
        self.taken.join(taken);
        let texts = |found: Vec<Address>| found.into_iter().map(|it| it.text).collect();
        Some(Member {
            name,
            place: first.place,
            both,
            interface: interface.clone(),
            is_ipv6,
            vrid,
            advertised: texts(own),
            unadvertised: texts(excluded),
            elsewhere: named,
            keys,
            tables,
            devices,
            election,
        })
    }

    fn group_address(&self, address: &Address, own: &Each<String>) -> String {
        let device = |node: usize| {
            address.device[node]
                .clone()
                .unwrap_or_else(|| own[node].clone())
        };
        let devices = [device(0), device(1)].map(|it| toml_text(&it));
        format!(
            "\n[[group.address]]\ninterface = {}\naddresses = {}\n{}",
            each(self.nodes, &devices),
            list(&[&address.text]),
            if address.is_blind { "weight = 0\n" } else { "" }
        )
    }

    /// Further keys of `[[group.interface]]`.
    fn interface_keys(
        &mut self,
        top: &Top<'_>,
        both: &Both<'_>,
        is_ipv6: bool,
        vrid: i64,
        taken: &mut Taken,
    ) -> String {
        let mut lines = String::new();
        if let Some(vmac) = self.setting(both, "use_vmac") {
            lines += "vmac = true\n";
            let default = if is_ipv6 { "vrrp6" } else { "vrrp" };
            let name = match vmac.word(1) {
                "" => format!("{default}.{vrid}"),
                name => name.to_owned(),
            };
            if name.contains(':') || !vmac.word(2).is_empty() {
                self.list(vmac, "the MAC address is that of RFC 9568", "leave it out");
            }
            let once = [(); 2].map(|()| Once::Device(name.clone()));
            let todo = "`sparectl check` prints it: correct rules of the firewall";
            if name.contains(':') {
                // said above
            } else if !is_device(&name) {
                let why = "the name has more than 15 letters; the device has another name";
                self.list(vmac, why, todo);
            } else if !taken.take(&self.taken, once) {
                let why = "another instance has a device of this name; this device has another one";
                self.list(vmac, why, todo);
            } else {
                let _ = writeln!(lines, "vmac_name = {}", toml_text(&name));
            }
        }
        if self.setting(both, "no_accept").is_some() || !self.accepts(top, both, is_ipv6) {
            lines += "accept = false\n";
        }
        if self.setting(both, "dont_track_primary").is_some() {
            lines += "weight = 0\n";
        }
        lines + &self.unicast(both, is_ipv6)
    }
}

fn is_ah(block: &&Statement) -> bool {
    block
        .child("auth_type")
        .is_some_and(|it| it.word(1) == "AH")
}

pub fn is_there(both: &Both<'_>, word: &str) -> bool {
    child(both, word).iter().any(Option::is_some)
}
