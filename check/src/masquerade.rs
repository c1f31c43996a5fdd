//! Finds nftables rules that translate connections to an address of the node's own: by `masquerade`, or by `snat` to
//! it.
//!
//! The other node does not have that address, so no such connection survives a failover.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::process::Command;

use serde_json::Value;
use spared_config_reader::IpNet;
use spared_firewall::listing::{matches, statements, text};
use spared_netlink::Link;

use super::outgoing::{Outgoing, virtuals};
use super::translation::{is_for_all, rules, source};
use super::wanted::Group;
use super::{Finding, Severity, Wanted};

/// Match that excludes packets of the node itself, which no failover moves.
const FORWARDED: &str = "fib saddr type != local ";

/// Rules as nft prints them, by family, table and handle.
#[derive(Clone, Debug, Default)]
pub struct Printed(BTreeMap<(String, String, u64), String>);

impl Printed {
    /// Reads the text of all rules in tables that translate sources.
    pub fn of(ruleset: &Value) -> Self {
        let mut printed = Self::default();
        let tables = rules(ruleset).into_iter().map(table);
        let mut tables: Vec<(&str, &str)> = tables.collect();
        tables.sort_unstable();
        tables.dedup();
        for (family, name) in tables {
            let words = ["-a", "-t", "list", "table", family, name];
            let output = Command::new("nft").args(words).output();
            if let Ok(output) = output {
                printed.add(family, name, &String::from_utf8_lossy(&output.stdout));
            }
        }
        printed
    }

    fn add(&mut self, family: &str, table: &str, listing: &str) {
        for line in listing.lines() {
            // chains and sets have handles as well, but their lines end in a brace
            let rule = line.trim().rsplit_once(" # handle ");
            let Some((rule, handle)) = rule.filter(|(rule, _)| !rule.ends_with('{')) else {
                continue;
            };
            if let Ok(handle) = handle.parse() {
                let key = (family.to_owned(), table.to_owned(), handle);
                self.0.insert(key, rule.to_owned());
            }
        }
    }

    fn get(&self, rule: &Value) -> &str {
        let (family, name) = table(rule);
        let handle = rule["handle"].as_u64().unwrap_or_default();
        let text = self.0.get(&(family.to_owned(), name.to_owned(), handle));
        text.map_or("", String::as_str)
    }
}

/// Translation to an address that does not move in a failover.
struct Lost<'o> {
    link: &'o Link,
    own: IpAddr,
    /// Virtual address to translate to instead.
    instead: Option<IpAddr>,
}

/// Groups whose connections a rule translates. Groups may be active on different nodes, and the fence of a node drops
/// packets from an address of a group that is not active there.
#[derive(Clone, Copy)]
enum Home<'r> {
    /// There is one group.
    Any,
    Of(&'r Group),
    /// The rule does not tell, or has connections of several.
    Several,
}

/// Warnings, one for each rule.
pub fn judge(ruleset: &Value, wanted: &Wanted, node: &Outgoing, printed: &Printed) -> Vec<Finding> {
    let mut judged: Vec<&Value> = Vec::new();
    let mut findings = Vec::new();
    for rule in rules(ruleset) {
        // several chains may jump to the same chain
        if judged.iter().any(|it| std::ptr::eq(*it, rule)) {
            continue;
        }
        judged.push(rule);
        let rule = Rule {
            rule,
            printed: printed.get(rule),
            wanted,
            node,
        };
        findings.extend(rule.judge());
    }
    findings
}

/// Rule, with the configuration and the state of this node.
struct Rule<'r> {
    rule: &'r Value,
    /// Text of the rule as nft prints it; empty if unknown.
    printed: &'r str,
    wanted: &'r Wanted,
    node: &'r Outgoing,
}

impl<'r> Rule<'r> {
    fn judge(&self) -> Option<Finding> {
        let is_local = |net| self.node.is_local(self.wanted, net);
        if sources(self.rule).is_some_and(is_local) {
            return None;
        }
        let is_said = |it: &Lost<'_>| self.wanted.dynamic.contains(&it.link.name);
        let lost = self.lost().into_iter().filter(|it| !is_said(it));
        let lost: Vec<Lost<'r>> = lost.collect();
        (!lost.is_empty()).then(|| self.finding(&lost))
    }

    fn lost(&self) -> Vec<Lost<'r>> {
        if let Some(own) = source(self.rule) {
            let link = self.node.holder(self.wanted, own);
            return link.map(|link| self.lose(link, own)).into_iter().collect();
        }
        if !self.is_masquerade() {
            return Vec::new();
        }
        let mut lost = Vec::new();
        for is_ipv4 in families(self.rule) {
            let links: Vec<&Link> = match outgoing(self.rule) {
                Some(names) => {
                    let named = names.into_iter().flat_map(|name| self.node.named(name));
                    named.collect()
                }
                None => self.node.uplinks(is_ipv4).collect(),
            };
            lost.extend(links.into_iter().filter_map(|link| {
                let own = self.node.own_source(self.wanted, link, is_ipv4)?;
                Some(self.lose(link, own))
            }));
        }
        lost
    }

    fn lose(&self, link: &'r Link, own: IpAddr) -> Lost<'r> {
        let home = self.home(own.is_ipv4());
        let fits = |address: IpAddr| match home {
            Home::Any => true,
            Home::Of(group) => group.addresses.contains(&address),
            Home::Several => false,
        };
        Lost {
            link,
            own,
            instead: self.node.virtual_in_place_of(self.wanted, link, own, fits),
        }
    }

    fn home(&self, is_ipv4: bool) -> Home<'r> {
        let groups = self.wanted.groups.iter();
        let groups = groups.filter(|it| it.addresses.iter().any(|it| it.is_ipv4() == is_ipv4));
        let groups: Vec<&Group> = groups.collect();
        if groups.len() < 2 {
            return Home::Any;
        }
        let Some(sources) = sources(self.rule) else {
            return Home::Several;
        };
        let is_within = |it: &&&Group| it.addresses.iter().any(|it| sources.contains(it));
        match groups.iter().filter(is_within).collect::<Vec<_>>()[..] {
            [one] => Home::Of(one),
            _ => Home::Several,
        }
    }

    /// Returns true for a `masquerade` of nft or of iptables. nft's JSON contains little about a target of iptables.
    fn is_masquerade(&self) -> bool {
        let mut words = self.printed.split_whitespace();
        let is_target = self.is_of_iptables()
            && words.any(|word| word.trim_matches('"').eq_ignore_ascii_case("masquerade"));
        let mut statements = statements(self.rule).iter();
        is_target || statements.any(|it| it.get("masquerade").is_some())
    }

    fn is_of_iptables(&self) -> bool {
        let mut statements = statements(self.rule).iter();
        statements.any(|it| it.get("xt").is_some())
    }

    fn finding(&self, lost: &[Lost<'_>]) -> Finding {
        let (family, table) = table(self.rule);
        let (chain, handle) = (text(self.rule, "chain"), &self.rule["handle"]);
        let printed = match self.printed {
            "" => String::new(),
            printed => format!(" `{printed}`"),
        };
        let each = lost
            .iter()
            .map(|it| format!("{} on {}", it.own, it.link.name));
        let each = each.collect::<Vec<String>>().join(" and ");
        let unnamed = match outgoing(self.rule) {
            None if source(self.rule).is_none() => "; it names no outgoing interface",
            _ => "",
        };
        let without = lost.iter().filter(|it| it.instead.is_none()).map(|it| {
            let (name, is_ipv4) = (&it.link.name, it.own.is_ipv4());
            let family = if is_ipv4 { "IPv4" } else { "IPv6" };
            match self.home(is_ipv4) {
                Home::Any => format!("; {name} has no virtual {family} address"),
                Home::Of(group) => {
                    format!("; {name} has no virtual {family} address of {}", group.name)
                }
                Home::Several => String::new(),
            }
        });
        let without: String = without.collect();
        let sentence = format!(
            "nftables rule {family} {table} {chain} handle {handle}{printed} translates to {each}, which stays on this \
             node: no connection that it translates survives a failover{unnamed}{without}"
        );
        let finding = Finding::new("ruleset-translation-lost", Severity::Warning, sentence);
        finding.fix(self.remedy(lost))
    }

    fn remedy(&self, lost: &[Lost<'_>]) -> String {
        let instead: Vec<(&str, IpAddr)> = lost
            .iter()
            .filter_map(|it| Some((it.link.name.as_str(), it.instead?)))
            .collect();
        let Some((name, _)) = instead.first() else {
            return self.remedy_without(&lost[0]);
        };
        if self.is_of_iptables() {
            let to = instead
                .iter()
                .map(|(name, to)| format!("`-o {name} -j SNAT --to-source {to}`"));
            let to = to.collect::<Vec<String>>().join(" and ");
            return format!("in iptables {to} in place of `-j MASQUERADE`");
        }
        let is_one = instead.iter().all(|(other, _)| other == name);
        let is_named = outgoing(self.rule).is_some_and(|names| names == [*name]);
        let is_exact = is_one && (is_named || source(self.rule).is_some());
        if is_exact && !self.printed.is_empty() && instead.len() == lost.len() {
            self.command(&instead, self.kept(lost))
        } else {
            let each = instead.iter();
            let each = each.map(|(name, to)| format!("`oifname \"{name}\" {}`", self.snat(*to)));
            let each = each.collect::<Vec<String>>().join(" and ");
            format!("in place of it, for each outgoing interface, {each}")
        }
    }

    /// Remedy if there is no virtual address to translate to.
    fn remedy_without(&self, lost: &Lost<'_>) -> String {
        let name = &lost.link.name;
        let first = match self.home(lost.own.is_ipv4()) {
            Home::Any => format!("give {name} a virtual address and translate to it"),
            Home::Of(group) => {
                format!(
                    "give {} a virtual address on {name} and translate to it",
                    group.name
                )
            }
            Home::Several => format!(
                "translate the connections of each group to a virtual address of that group on {name}, by a rule for its \
                 network such as `ip saddr 192.168.200.0/24`"
            ),
        };
        format!(
            "{first}, or name {name} in dynamic_nat of conntrack.toml if its connections may end"
        )
    }

    /// Command that replaces the rule in one transaction. If several rules take its place, the last one replaces it and
    /// the others are inserted.
    fn command(&self, instead: &[(&str, IpAddr)], kept: Option<&str>) -> String {
        let (family, table) = table(self.rule);
        let (chain, handle) = (text(self.rule, "chain"), &self.rule["handle"]);
        let new = instead.iter().map(|(_, to)| self.translating_to(*to));
        let kept = kept.map(|family| format!("meta nfproto {family} {}", self.printed));
        let new: Vec<String> = new.chain(kept).collect();
        let last = new.len().saturating_sub(1);
        let commands = new.iter().enumerate().map(|(number, new)| {
            let verb = if number == last { "replace" } else { "insert" };
            format!("{verb} rule {family} {table} {chain} handle {handle} {new}")
        });
        let commands = commands.collect::<Vec<String>>().join("; ");
        format!("nft '{commands}' (and the same in the file that loads the ruleset)")
    }

    /// Family in which the rule already takes a virtual address, if it takes an own address in the other family.
    fn kept(&self, lost: &[Lost<'_>]) -> Option<&'static str> {
        let is_lost = |is_ipv4: &bool| lost.iter().any(|it| it.own.is_ipv4() == *is_ipv4);
        let mut kept = families(self.rule).into_iter().filter(|it| !is_lost(it));
        let name = &lost.first()?.link.name;
        let is_used = |is_ipv4: &bool| !virtuals(self.wanted, name, *is_ipv4).is_empty();
        let is_ipv4 = kept.find(|it| source(self.rule).is_none() && is_used(it))?;
        Some(if is_ipv4 { "ipv4" } else { "ipv6" })
    }

    /// Text of the corrected rule.
    fn translating_to(&self, address: IpAddr) -> String {
        let snat = self.snat(address);
        let forwarded = if is_for_all(self.rule) { FORWARDED } else { "" };
        let new = format!("{forwarded}{snat}");
        let with_ports = match address {
            IpAddr::V4(_) => format!("{new}:"),
            IpAddr::V6(_) => new.replace(&address.to_string(), &format!("[{address}]:")),
        };
        outside_quotes(self.printed, |part| {
            if let Some(own) = source(self.rule) {
                let Some(at) = part.find("snat") else {
                    return part.to_owned();
                };
                let (before, after) = part.split_at(at);
                let after = after.replacen(&own.to_string(), &address.to_string(), 1);
                return format!("{before}{forwarded}{after}");
            }
            part.replacen("masquerade to :", &with_ports, 1)
                .replacen("masquerade", &new, 1)
        })
    }

    fn snat(&self, address: IpAddr) -> String {
        let family = match (text(self.rule, "family"), address) {
            ("inet", IpAddr::V4(_)) => " ip",
            ("inet", IpAddr::V6(_)) => " ip6",
            _ => "",
        };
        format!("snat{family} to {address}")
    }
}

fn table(rule: &Value) -> (&str, &str) {
    (text(rule, "family"), text(rule, "table"))
}

/// Families that a rule translates; true is IPv4.
fn families(rule: &Value) -> Vec<bool> {
    match text(rule, "family") {
        "ip" => return vec![true],
        "ip6" => return vec![false],
        _ => {}
    }
    let is_ipv4 = |word: &str| match word {
        "ip" | "ipv4" | "icmp" => Some(true),
        "ip6" | "ipv6" | "icmpv6" | "ipv6-icmp" => Some(false),
        _ => None,
    };
    let of_match = |it: &Value| {
        let left = &it["left"];
        let protocol = left["payload"]["protocol"].as_str().and_then(is_ipv4);
        let is_layer = matches!(left["meta"]["key"].as_str(), Some("nfproto" | "protocol"));
        let layer = it["right"]
            .as_str()
            .filter(|_| is_layer && it["op"] == "==");
        protocol.or(layer.and_then(is_ipv4))
    };
    let mut matches = matches(rule);
    match matches.find_map(of_match) {
        Some(one) => vec![one],
        None => vec![true, false],
    }
}

/// Names of the interfaces by which a rule's packets leave; None if the rule does not name them.
fn outgoing(rule: &Value) -> Option<Vec<&str>> {
    let mut matches = matches(rule);
    matches.find_map(|it| {
        let key = it["left"]["meta"]["key"].as_str();
        if !matches!(key, Some("oif" | "oifname")) || it["op"] != "==" {
            return None;
        }
        match &it["right"] {
            Value::String(name) => Some(vec![name.as_str()]),
            right => right["set"].as_array()?.iter().map(Value::as_str).collect(),
        }
    })
}

/// Network of a rule's sources, if the rule names one.
fn sources(rule: &Value) -> Option<IpNet> {
    let mut matches = matches(rule);
    matches.find_map(|it| {
        let is_source = it["left"]["payload"]["field"] == "saddr" && it["op"] == "==";
        let prefix = it["right"].get("prefix").filter(|_| is_source)?;
        let address = prefix["addr"].as_str()?.parse().ok()?;
        IpNet::new(address, prefix["len"].as_u64()?.try_into().ok()?).ok()
    })
}

/// Applies `change` to the parts of a rule's text outside quotes.
fn outside_quotes(printed: &str, change: impl Fn(&str) -> String) -> String {
    let parts = printed.split('"').enumerate();
    let parts = parts.map(|(number, part)| match number % 2 {
        0 => change(part),
        _ => part.to_owned(),
    });
    parts.collect::<Vec<String>>().join("\"")
}

#[cfg(test)]
mod tests;
