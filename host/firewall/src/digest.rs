//! Digests of the administrator's rules, which must be equal on both nodes. Each part of each table has a digest,
//! computed from the output of `nft -s -t`, which has no counters, handles or elements of sets.
//!
//! Our rules are left out. So are those of other programs, which come and go with containers and banned addresses.

use std::net::IpAddr;

use spared_message::fingerprint;
use spared_message::firewall::{NodeNames, RuleDigests};

/// Prefixes of the names of our tables and of other programs' tables.
const FOREIGN_TABLES: [&str; 9] = [
    "spared", "f2b-", "netavark", "libvirt", "docker", "lxd", "incus", "crowdsec", "sshguard",
];
/// Prefixes of the names of other programs' chains in shared tables. Rules that jump there are left out as well.
const FOREIGN_CHAINS: [&str; 9] = [
    "DOCKER", "f2b-", "LIBVIRT_", "NETAVARK", "CNI-", "KUBE-", "cali-", "ts-", "sshguard",
];
/// Prefixes of the names of bridges for containers and virtual machines.
const FOREIGN_INTERFACES: [&str; 7] = [
    "docker", "virbr", "podman", "cni", "veth", "lxdbr", "incusbr",
];
/// Comment of our own rules.
const OURS: &str = "comment \"spared: link\"";
/// Text that replaces an address of a node.
pub(super) const NODE: &str = "NODE";
/// Maximum bytes of names of parts with a digest of their own; all further parts share one digest.
const NAMES_MAX: usize = 32 * 1024;
const NAME_MAX: usize = 280;

/// Computes the digests of a listing.
pub fn digests(listing: &str, names: &NodeNames) -> RuleDigests {
    let mut found = Digests {
        names,
        tables: RuleDigests::new(),
        bytes: 0,
        rest: Vec::new(),
    };
    let (mut table, mut part) = (None, None);
    for line in listing.lines() {
        if let Some(name) = line.strip_prefix("table ").and_then(opened) {
            table = Some(name).filter(|name| !is_foreign_table(name));
            continue;
        }
        let Some(of) = table else { continue };
        match (line.strip_prefix('\t').unwrap_or(line), &mut part) {
            ("}", None) => table = None,
            ("}", Some(_)) => {
                let ended: Option<Part<'_>> = part.take();
                ended.into_iter().for_each(|it| found.put(of, &it));
            }
            (inner, Some(part)) => part.lines.push(inner.trim()),
            (inner, None) => match opened(inner) {
                Some(name) => {
                    part = Some(Part {
                        name,
                        lines: Vec::new(),
                    });
                }
                None if inner.trim().is_empty() => {}
                None => found.put(
                    of,
                    &Part {
                        name: "the table",
                        lines: vec![inner.trim()],
                    },
                ),
            },
        }
    }
    found.finish()
}

// Returns "inet filter" for "inet filter {".
fn opened(line: &str) -> Option<&str> {
    line.strip_suffix(" {")
}

/// Returns true if a table such as "inet filter" is another program's or ours.
pub(super) fn is_foreign_table(name: &str) -> bool {
    let name = name.split_once(' ').map_or(name, |(_, name)| name);
    FOREIGN_TABLES.iter().any(|start| name.starts_with(start))
}

/// Returns true if the table of this name is ours.
pub(super) fn is_ours(table: &str) -> bool {
    table.starts_with(FOREIGN_TABLES[0])
}

/// A chain, a set or another object of a table, as nft prints it.
struct Part<'l> {
    name: &'l str,
    lines: Vec<&'l str>,
}

impl Part<'_> {
    fn is_chain(&self) -> bool {
        self.name.starts_with("chain ")
    }

    /// Returns true for a chain of another program.
    fn is_foreign(&self) -> bool {
        let chain = self.name.strip_prefix("chain ");
        chain.is_some_and(|chain| FOREIGN_CHAINS.iter().any(|it| chain.starts_with(it)))
    }

    /// Lines that the digest covers. A chain without rules counts as missing, unless its policy is drop.
    fn counted(&self) -> Vec<&str> {
        let lines = self.lines.iter().copied();
        let lines = lines.filter(|line| !line.is_empty());
        let lines: Vec<&str> = if self.is_chain() {
            lines.filter(|line| !is_foreign_rule(line)).collect()
        } else {
            lines.collect()
        };
        let mut rules = lines.iter().filter(|line| !is_of_hook(line));
        let drops = lines.iter().any(|line| line.ends_with("policy drop;"));
        if self.is_chain() && rules.next().is_none() && !drops {
            Vec::new()
        } else {
            lines
        }
    }
}

// Returns true for a line such as "type filter hook input priority filter; policy accept;".
fn is_of_hook(line: &str) -> bool {
    line.starts_with("type ") && line.contains(" hook ")
}

fn is_foreign_rule(line: &str) -> bool {
    if line.contains(OURS) {
        return true;
    }
    let words: Vec<&str> = line.split_whitespace().collect();
    words.windows(2).any(|pair| {
        let [before, word] = [pair[0], pair[1].trim_matches('"')];
        match before {
            "jump" | "goto" => FOREIGN_CHAINS.iter().any(|it| word.starts_with(it)),
            "iifname" | "oifname" | "iif" | "oif" | "!=" => is_foreign_interface(word),
            _ => false,
        }
    })
}

fn is_foreign_interface(name: &str) -> bool {
    // Docker names a bridge by twelve hexadecimal digits; "br-lan" is the administrator's.
    let of_docker = name.strip_prefix("br-");
    let is_hex = |it: &str| it.len() == 12 && it.chars().all(|c| c.is_ascii_hexdigit());
    of_docker.is_some_and(is_hex) || FOREIGN_INTERFACES.iter().any(|it| name.starts_with(it))
}

struct Digests<'n> {
    names: &'n NodeNames,
    tables: RuleDigests,
    bytes: usize,
    /// Digests of the parts beyond [`NAMES_MAX`].
    rest: Vec<[u32; 2]>,
}

impl Digests<'_> {
    fn put(&mut self, table: &str, part: &Part<'_>) {
        let lines = part.counted();
        if part.is_foreign() || lines.is_empty() {
            return;
        }
        let plain = lines.iter().map(|line| self.rewritten(line, false));
        let plain = mixed(plain);
        let by_node = lines.iter().map(|line| self.rewritten(line, true));
        let digests = [plain, mixed(by_node)];
        let name = self.rewritten(part.name, false);
        self.bytes += table.len() + name.len() + 32;
        if self.bytes > NAMES_MAX || table.len() > NAME_MAX || name.len() > NAME_MAX {
            return self.rest.push(digests);
        }
        let parts = self.tables.entry(table.to_owned()).or_default();
        let known = parts.entry(name).or_default();
        // several lines of the table itself have one name, so their digests are combined
        *known = [0, 1].map(|at| known[at].rotate_left(1) ^ digests[at]);
    }

    /// Replaces names of this node in a line: interfaces and, if `is_by_node`, addresses of nodes.
    fn rewritten(&self, line: &str, is_by_node: bool) -> String {
        let is_of_name = |c: char| c.is_ascii_alphanumeric() || "_.:@/-".contains(c);
        let mut rest = line;
        let mut text = String::with_capacity(line.len());
        while !rest.is_empty() {
            let end = rest.find(|c| !is_of_name(c)).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            match self.names.interfaces.get(word) {
                Some(first) => text += first,
                None if is_by_node && self.is_of_node(word) => text += &by_node(word),
                None => text += word,
            }
            let end = after.find(is_of_name).unwrap_or(after.len());
            let (between, after) = after.split_at(end);
            text += between;
            rest = after;
        }
        text
    }

    fn is_of_node(&self, word: &str) -> bool {
        address(word).is_some_and(|(address, _)| self.names.addresses.contains(&address))
    }

    fn finish(mut self) -> RuleDigests {
        if !self.rest.is_empty() {
            let all = [0, 1].map(|at| {
                let texts = self.rest.iter().map(|it| it[at].to_string());
                mixed(texts)
            });
            let parts = self.tables.entry("all further tables".to_owned());
            parts.or_default().insert("all parts".to_owned(), all);
        }
        self.tables
    }
}

pub(super) fn mixed(texts: impl Iterator<Item = String>) -> u32 {
    let texts: Vec<String> = texts.collect();
    let digest = fingerprint(texts.iter().map(String::as_str));
    (digest & 0xffff_ffff) as u32
}

fn by_node(word: &str) -> String {
    let end = address(word).map_or("", |(_, end)| end);
    format!("{NODE}{end}")
}

// Splits "192.0.2.1", "192.0.2.1:80" or "2001:db8::1/64" into the address and the text behind it.
fn address(word: &str) -> Option<(IpAddr, &str)> {
    let whole = word.parse().ok().map(|address| (address, ""));
    whole.or_else(|| {
        let end = word.find('/').or_else(|| word.rfind(':'))?;
        let (address, end) = word.split_at(end);
        Some((address.parse().ok()?, end))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTING: &str = "table inet filter {\n\tcomment \"ours\"\n\tset bans {\n\t\ttype ipv4_addr\n\t\tflags \
        timeout\n\t}\n\n\tchain input {\n\t\ttype filter hook input priority filter; policy drop;\n\t\tiifname \"lan\" \
        ip daddr 10.0.0.2 tcp dport { 22, 80 } counter accept\n\t\tip saddr @bans drop\n\t}\n\n\tchain output {\n\t\t\
        type filter hook output priority filter; policy accept;\n\t}\n}\ntable ip nat {\n\tchain post {\n\t\ttype nat \
        hook postrouting priority srcnat; policy accept;\n\t\toifname \"wan\" snat to 192.0.2.1\n\t}\n}\n";

    fn names(interfaces: &[(&str, &str)], addresses: &[&str]) -> NodeNames {
        let interfaces = interfaces.iter();
        let addresses = addresses.iter();
        NodeNames {
            interfaces: interfaces
                .map(|(own, first)| ((*own).to_owned(), (*first).to_owned()))
                .collect(),
            addresses: addresses.map(|it| it.parse().unwrap()).collect(),
            ..NodeNames::default()
        }
    }

    fn of(listing: &str) -> RuleDigests {
        digests(listing, &NodeNames::default())
    }

    #[test]
    fn each_part_of_a_table_has_digests() {
        let found = of(LISTING);
        let parts = |table: &str| found[table].keys().cloned().collect::<Vec<_>>();
        assert_eq!(
            parts("inet filter"),
            ["chain input", "set bans", "the table"]
        );
        assert_eq!(parts("ip nat"), ["chain post"]);
    }

    #[test]
    fn any_word_of_a_rule_and_the_order_of_rules_count() {
        let all = of(LISTING);
        let changed = |from: &str, to: &str| {
            assert!(LISTING.contains(from), "{from}");
            let other = of(&LISTING.replacen(from, to, 1));
            let tables = all
                .iter()
                .filter(|(table, parts)| other.get(*table) != Some(*parts));
            tables.map(|(table, _)| table.as_str()).collect::<Vec<_>>()
        };
        assert_eq!(changed("22, 80", "22, 81"), ["inet filter"]);
        assert_eq!(changed("policy drop;", "policy accept;"), ["inet filter"]);
        assert_eq!(changed("snat to 192.0.2.1", "masquerade"), ["ip nat"]);
        assert_eq!(changed("\t\tip saddr @bans drop\n", ""), ["inet filter"]);
        assert_eq!(changed("flags timeout", "flags interval"), ["inet filter"]);
        assert_eq!(changed("\"ours\"", "\"theirs\""), ["inet filter"]);
        let rules = "\t\ta accept\n\t\tb drop\n";
        let swapped = "\t\tb drop\n\t\ta accept\n";
        let chain = |rules: &str| of(&format!("table ip x {{\n\tchain c {{\n{rules}\t}}\n}}\n"));
        assert_ne!(chain(rules), chain(swapped));
    }

    #[test]
    fn a_table_without_rules_is_as_none() {
        let empty = "table ip filter {\n\tchain INPUT {\n\t\ttype filter hook input priority filter; policy \
                     accept;\n\t}\n\n\tchain mine {\n\t}\n}\n";
        assert!(of(empty).is_empty());
        assert_eq!(of(&empty.replace("accept;", "drop;")).len(), 1);
    }

    #[test]
    fn what_spared_and_other_programs_make_does_not_count() {
        let plain = "table ip filter {\n\tchain FORWARD {\n\t\ttype filter hook forward priority filter; policy \
                     drop;\n\t\tct state established accept\n\t}\n}\n";
        let more = plain.replace(
            "\t\tct state",
            "\t\tiifname \"hot\" accept comment \"spared: link\"\n\t\tcounter jump DOCKER-USER\n\t\toifname \"docker0\" \
             counter jump DOCKER\n\t\tiifname \"br-0a1b2c3d4e5f\" accept\n\t\tct state",
        ) + "table ip filter {\n\tchain DOCKER {\n\t\taccept\n\t}\n}\ntable inet f2b-table {\n\tchain f2b {\n\t\tdrop\n\t}\n}\n\
             table inet spared-unknown {\n\tchain x {\n\t\tdrop\n\t}\n}\n";
        assert_eq!(of(plain), of(&more));
    }

    #[test]
    fn interfaces_count_by_their_name_on_the_first_node() {
        let there = LISTING.replace("\"lan\"", "\"enp1s0\"");
        assert_ne!(of(LISTING), of(&there));
        assert_eq!(
            of(LISTING),
            digests(&there, &names(&[("enp1s0", "lan")], &[]))
        );
    }

    #[test]
    fn the_second_digest_takes_addresses_of_nodes_for_the_same() {
        let here = digests(LISTING, &names(&[], &["10.0.0.2", "10.9.0.1"]));
        let there = LISTING.replace("10.0.0.2", "10.0.0.3");
        let there = digests(&there, &names(&[], &["10.0.0.3", "10.9.0.1"]));
        let [one, other] = [&here, &there].map(|it| it["inet filter"]["chain input"]);
        assert_ne!(one[0], other[0]);
        assert_eq!(one[1], other[1]);
        for (word, is_of_node) in [
            ("10.0.0.2", true),
            ("10.0.0.2:8080", true),
            ("10.0.0.2/32", true),
            ("10.0.0.20", false),
            ("fd00::2", true),
        ] {
            let names = names(&[], &["10.0.0.2", "fd00::2"]);
            let found = address(word).is_some_and(|(it, _)| names.addresses.contains(&it));
            assert_eq!(found, is_of_node, "{word}");
        }
    }

    #[test]
    fn thousands_of_chains_are_bounded_and_each_counts() {
        let chain = |n: usize, rule: &str| format!("\tchain c{n:05} {{\n\t\t{rule}\n\t}}\n");
        let listing = |last: &str| {
            let chains: String = (0..4999).map(|n| chain(n, "accept")).collect();
            format!("table ip x {{\n{chains}{}}}\n", chain(4999, last))
        };
        let (one, other) = (of(&listing("accept")), of(&listing("drop")));
        assert!(
            one["ip x"].len() < 2000 && one.len() == 2,
            "{}",
            one["ip x"].len()
        );
        assert_ne!(one, other);
    }
}
