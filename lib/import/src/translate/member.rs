//! A `vrrp_instance` as a member of a group: its interface, its addresses, and what it asks of the election.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt::Write;

use spared_config_reader::toml_text;

use super::address::{Address, Contradiction, ELSEWHERE_TODO, Home, is_device};
use super::route::of_both;
use super::taken::{Once, Taken};
use super::{Both, SECONDS_MAX, Top, Translation, child};
use crate::sources::Place;
use crate::toml::{Each, each, list, time};
use crate::tree::Statement;

/// Priority of an instance that has none, as in keepalived.
const PRIORITY: i64 = 100;
const INTERVAL_MS: u64 = 1000;
/// Longest interval that spared accepts.
const INTERVAL_MS_MAX: u64 = 40_000;
/// Addresses in an advert of IPv4, which counts them in a byte.
const ADVERTISED_MAX: usize = 255;
/// Shortest interval for which the fence has time, whatever the kernel's tick and the number of lost adverts.
const FENCED_MS: u64 = 30;
/// Bytes of a password that keepalived sends.
const PASSWORD_MAX: usize = 8;
/// Longest delay of a start.
const START_SECONDS_MAX: u32 = 3600;
const CLEARED: &str = "keepalived clears it: this node takes its role back at once, by its priority. In the files of two spared nodes it does so by `prefer`, after `failback_delay`";

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

/// Wishes about an election, which a group has once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Election {
    pub priority: Each<i64>,
    pub preempts: bool,
    pub failback_ms: u64,
    pub version: u8,
    pub interval_ms: u64,
    /// Other keys of the group.
    pub keys: Vec<Key>,
}

/// A key of a group that needs no decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Word of keepalived that it is made of.
    pub word: &'static str,
    pub name: &'static str,
    pub value: String,
}

impl Election {
    /// Everything that members of a group have in common, by the word of keepalived.
    pub fn wishes(&self) -> BTreeMap<&'static str, (&'static str, String)> {
        let own = [
            ("priority", ("priority", format!("{:?}", self.priority))),
            ("advert_int", ("advert_interval", time(self.interval_ms))),
            ("version", ("version", self.version.to_string())),
        ];
        let keys = self.keys.iter();
        own.into_iter()
            .chain(keys.map(|it| (it.word, (it.name, it.value.clone()))))
            .collect()
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
        if let Some(secret) = self.auth_pass(&child(&both, "authentication"), election.version) {
            let secret = toml_text(&secret);
            let _ = writeln!(keys, "auth_pass = {secret}   # until both nodes run spared");
        }
        let mut devices: Vec<String> = interface.to_vec();
        let mut tables = String::new();
        for address in &elsewhere {
            devices.extend(address.device.iter().flatten().cloned());
            tables += &self.group_address(address, &interface);
        }
        tables += &self.routes(&child(&both, "virtual_routes"), &mut devices, &mut taken);
        tables += &self.rules(&child(&both, "virtual_rules"), &mut taken);
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
        let strict = match child(both, "strict_mode") {
            [None, None] => top.global("vrrp_strict"),
            own => own,
        };
        let is_strict = strict.iter().flatten().any(|it| !is_off(it.word(1)));
        let accepts = !is_strict || is_there(both, "accept");
        if self.setting(both, "no_accept").is_some() || !accepts {
            lines += "accept = false\n";
        }
        if self.setting(both, "dont_track_primary").is_some() {
            lines += "weight = 0\n";
        }
        lines + &self.unicast(both, is_ipv6)
    }

    fn election(&mut self, top: &Top<'_>, both: &Both<'_>, is_ipv6: bool) -> Election {
        let mut priority = [PRIORITY; 2];
        for (priority, statement) in priority.iter_mut().zip(child(both, "priority")) {
            if let Some(statement) = statement {
                *priority = self.number(statement, 1..=255).unwrap_or(PRIORITY);
                if *priority == 254 {
                    *priority = 253;
                    let why = "254 is reserved, and the files have 253";
                    self.advise(statement, why, "nothing, unless the other node has 253");
                }
            }
        }
        if self.is_one {
            priority[1] = other_priority(priority[0], child(both, "state")[0]);
        }
        let version = self.version(top, both, is_ipv6);
        let delay = self.setting(both, "preempt_delay");
        Election {
            priority,
            preempts: self.preempts(both, priority),
            failback_ms: delay
                .and_then(|it| self.milliseconds(it, 1, SECONDS_MAX))
                .unwrap_or(0),
            version,
            interval_ms: self.interval(both, version),
            keys: self.group_keys(top, both),
        }
    }

    /// True if the node of the greater priority takes the role back in keepalived.
    fn preempts(&mut self, both: &Both<'_>, [one, two]: Each<i64>) -> bool {
        let mut never = child(both, "nopreempt").map(|it| it.is_some());
        for node in [0, 1] {
            let state = child(both, "state")[node];
            // the state of the other node is in its own file
            let is_known = node == 0 || !self.is_one;
            if !is_known || state.is_none_or(|it| it.word(1) != "MASTER") {
                continue;
            }
            never[node] = false;
            for word in ["nopreempt", "preempt_delay"] {
                if let Some(statement) = child(both, word)[node] {
                    let what = format!("{word} with state MASTER");
                    let todo = "nothing, or `state BACKUP`, and import again";
                    self.tell(statement.place, &what, CLEARED, todo);
                }
            }
        }
        !match one.cmp(&two) {
            Ordering::Greater => never[0],
            Ordering::Less => never[1],
            Ordering::Equal => never.contains(&true),
        }
    }

    fn interval(&mut self, both: &Both<'_>, version: u8) -> u64 {
        let Some(statement) = self.setting(both, "advert_int") else {
            return INTERVAL_MS;
        };
        let found = self.milliseconds(statement, 1, SECONDS_MAX);
        let interval_ms = found.unwrap_or(INTERVAL_MS);
        let (unit, least) = if version == 2 {
            (1000, 1000)
        } else {
            (10, FENCED_MS)
        };
        let fitting = (interval_ms / unit * unit).clamp(least, INTERVAL_MS_MAX);
        if fitting != interval_ms {
            let why = format!(
                "version {version} of VRRP has intervals of {least} ms to 40 s in steps of {unit} ms"
            );
            self.list(statement, &why, "correct it on both nodes before you begin");
        }
        fitting
    }

    fn version(&mut self, top: &Top<'_>, both: &Both<'_>, is_ipv6: bool) -> u8 {
        let own = self.setting(both, "version");
        let statement = own.or_else(|| self.common(top.global("vrrp_version")));
        let found = statement.and_then(|it| self.number(it, 2..=3));
        if is_ipv6 || found == Some(3) { 3 } else { 2 }
    }

    /// Keys of the group that need no decision.
    fn group_keys(&mut self, top: &Top<'_>, both: &Both<'_>) -> Vec<Key> {
        let mut keys = Vec::new();
        let mut add = |word, name, value| keys.push(Key { word, name, value });
        let global = |own: &str, all: &str| match child(both, own) {
            [None, None] => top.global(all),
            own => own,
        };
        let loss = self.common(global("down_timer_adverts", "vrrp_down_timer_adverts"));
        let loss = loss.and_then(|it| self.number(it, 2..=100));
        if let Some(number) = loss.filter(|it| *it != 3) {
            add("down_timer_adverts", "advert_loss", number.to_string());
        }
        let refresh = self.common(global("garp_master_refresh", "vrrp_garp_master_refresh"));
        let refresh = refresh.and_then(|it| self.number(it, 0..=86_400));
        if let Some(seconds) = refresh.filter(|it| *it > 0) {
            add("garp_master_refresh", "refresh", format!("\"{seconds}s\""));
        }
        let delay = self.common(top.global("vrrp_startup_delay"));
        let delay = delay.and_then(|it| self.milliseconds(it, 1, START_SECONDS_MAX));
        if let Some(ms) = delay.filter(|it| *it > 0) {
            add("vrrp_startup_delay", "start_delay", time(ms));
        }
        if is_there(both, "dont_track_primary") && !self.is_final {
            add("dont_track_primary", "carrier_weight", "0".to_owned());
        }
        keys
    }

    /// The password of the adverts, if keepalived needs one.
    fn auth_pass(&mut self, secrets: &Both<'_>, version: u8) -> Option<String> {
        let kind = child(secrets, "auth_type");
        let secret = self.setting(secrets, "auth_pass");
        let secret = secret.map(|it| it.word(1)).filter(|it| !it.is_empty());
        let words = secrets.map(|it| it.map_or(&[][..], Statement::block));
        let words = words.into_iter().flatten();
        let words = words.filter(|it| matches!(it.word(0), "auth_type" | "auth_pass"));
        let is_other = kind.iter().flatten().any(|it| it.word(1) != "PASS");
        let needless = match secret {
            _ if is_other => {
                let why = "only passwords (PASS) can be sent";
                let todo = "remove `authentication` from keepalived on both nodes before you begin";
                for word in words {
                    self.list(word, why, todo);
                }
                return None;
            }
            None => Some("there is no password"),
            // keepalived itself sends none there
            Some(_) if version == 3 => Some("adverts of version 3 have no password"),
            Some(_) if self.is_final => Some("two nodes of spared need none"),
            Some(_) => None,
        };
        for word in words {
            self.resolve(&[Some(word), None], needless);
        }
        let mut secret = secret.filter(|_| needless.is_none())?.to_owned();
        while secret.len() > PASSWORD_MAX {
            secret.pop();
        }
        Some(secret)
    }
}

fn is_there(both: &Both<'_>, word: &str) -> bool {
    child(both, word).iter().any(Option::is_some)
}

fn is_off(word: &str) -> bool {
    matches!(word, "off" | "false" | "no")
}

/// A guess of the other node's priority, by what this one's file says about itself. Without a `state` the node is
/// backup below keepalived's default.
fn other_priority(own: i64, state: Option<&Statement>) -> i64 {
    match state.map(|it| it.word(1)) {
        Some("MASTER") => (own - 50).max(1),
        None if own >= PRIORITY => own - 50,
        _ => (own + 50).min(253),
    }
}
