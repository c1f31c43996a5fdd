//! Finds rules in the output of `nft -s -t` that translate all that leaves an interface to a virtual address. They also
//! translate this node's own packets.

use std::collections::BTreeSet;
use std::net::IpAddr;

use spared_message::firewall::OwnTranslation;

/// Maximum number of rules that are reported.
const RULES_MAX: usize = 4;
/// Maximum bytes of a reported chain name or rule.
const TEXT_MAX: usize = 512;
/// Words of matches that do not restrict the source of packets. Names are quoted, and sets begin with "@".
const ANY_SOURCE: [&str; 15] = [
    "oif", "oifname", "meta", "nfproto", "protocol", "ipv4", "ipv6", "ip", "ip6", "counter", "==",
    "!=", "{", "}", ",",
];

/// Returns the rules, without their handles.
pub fn own_translations(listing: &str, virtuals: &BTreeSet<IpAddr>) -> Vec<OwnTranslation> {
    let (mut table, mut chain, mut translates) = ("", "", false);
    let mut found = Vec::new();
    for line in listing.lines() {
        let inner = line.trim_start_matches('\t');
        match line.len() - inner.len() {
            _ if inner.is_empty() => {}
            0 => table = opened(inner, "table "),
            1 => (chain, translates) = (opened(inner, "chain "), false),
            _ if inner.starts_with("type nat hook postrouting ") => translates = true,
            _ if translates && found.len() < RULES_MAX => {
                let address = translated_to(inner).filter(|it| virtuals.contains(it));
                let chain = format!("{table} {chain}");
                let is_short = chain.len() <= TEXT_MAX && inner.len() <= TEXT_MAX;
                found.extend(address.filter(|_| is_short).map(|address| OwnTranslation {
                    chain,
                    handle: 0,
                    rule: inner.to_owned(),
                    address,
                }));
            }
            _ => {}
        }
    }
    found
}

/// Handle of a rule in its chain, from the output of `nft -s -t -a`.
pub fn handle_of(rule: &str, listing: &str) -> Option<u64> {
    let lines = listing.lines().map(str::trim);
    let mut handles = lines.filter_map(|line| line.strip_prefix(rule)?.strip_prefix(" # handle "));
    handles.next()?.parse().ok()
}

fn opened<'l>(line: &'l str, kind: &str) -> &'l str {
    let name = line.strip_prefix(kind).and_then(|it| it.strip_suffix(" {"));
    name.unwrap_or_default()
}

/// Address to which a rule translates the source of all packets.
fn translated_to(rule: &str) -> Option<IpAddr> {
    let mut words = rule.split_whitespace();
    let is_for_any = |word: &str| word.starts_with(['"', '@']) || ANY_SOURCE.contains(&word);
    let other = words.find(|word| !is_for_any(word))?;
    let mut words = words.filter(|_| other == "snat");
    words.find(|word| *word == "to")?;
    address(words.next()?)
}

// Parses "192.0.2.1", "192.0.2.1:1024-65535", "2001:db8::1" or "[2001:db8::1]:1024".
fn address(word: &str) -> Option<IpAddr> {
    let bracketed = word.strip_prefix('[').and_then(|it| it.split(']').next());
    let whole = bracketed.unwrap_or(word);
    let without_port = || whole.split_once(':')?.0.parse().ok();
    whole.parse().ok().or_else(without_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(rule: &str) -> Vec<(String, String)> {
        let listing = format!(
            "table inet nat {{\n\tchain pre {{\n\t\ttype nat hook prerouting priority dstnat; policy accept;\n\t\tsnat to \
             192.0.2.1\n\t}}\n\n\tchain post {{\n\t\ttype nat hook postrouting priority srcnat; policy accept;\n\t\t{rule}\n\t}}\n}}\n"
        );
        let virtuals = ["192.0.2.1", "2001:db8::1"].map(|it| it.parse().expect("an address"));
        let found = own_translations(&listing, &virtuals.into());
        let found = found.into_iter();
        found.map(|it| (it.chain, it.address.to_string())).collect()
    }

    #[test]
    fn a_rule_for_all_that_leaves_by_an_interface_is_found_and_one_for_a_source_is_not() {
        for (rule, address) in [
            ("oifname \"wan\" snat to 192.0.2.1", "192.0.2.1"),
            (
                "meta nfproto ipv4 oifname { \"wan\", \"wan2\" } counter snat ip to 192.0.2.1:1024-65535 random",
                "192.0.2.1",
            ),
            (
                "oifname != @inner snat ip6 to [2001:db8::1]:1024-65535",
                "2001:db8::1",
            ),
            ("snat ip6 to 2001:db8::1", "2001:db8::1"),
        ] {
            let wanted = [("inet nat post".to_owned(), address.to_owned())];
            assert_eq!(found(rule), wanted, "{rule}");
        }
        for rule in [
            "ip saddr 10.0.0.0/8 oifname \"wan\" snat to 192.0.2.1",
            "iifname \"lan\" oifname \"wan\" snat to 192.0.2.1",
            "oifname \"wan\" fib saddr type != local snat to 192.0.2.1",
            "oifname \"wan\" tcp dport 25 snat to 192.0.2.1",
            "oifname \"wan\" snat to 192.0.2.9",
            "oifname \"wan\" masquerade",
            "oifname \"snat to 192.0.2.1\" accept",
        ] {
            assert_eq!(found(rule), [], "{rule}");
        }
    }

    #[test]
    fn the_handle_is_that_of_the_whole_rule() {
        let rule = "oifname \"wan\" snat to 192.0.2.1";
        let listing = format!("\t\t{rule} random # handle 3\n\t\t{rule} # handle 4\n");
        assert_eq!(handle_of(rule, &listing), Some(4));
        assert_eq!(handle_of("masquerade", &listing), None);
    }
}
