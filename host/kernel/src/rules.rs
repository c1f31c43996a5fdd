//! Sets policy rules that exist while a group is active.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::net::IpAddr;

use spared_contract::{Claims, Family, RuleClaim};
use spared_netlink::constants::ROUTE_PROTOCOL;
use spared_netlink::{FR_ACT_TO_TBL, FRA_FWMARK, FRA_FWMASK, Message, Requests, Rule};
use spared_verdict::MissingRoute;

use super::refused::{Batch, Refused};

/// Returns the rules that an active group has. A rule that names an absent interface waits in the kernel for it.
pub fn desired(claims: &Claims) -> Vec<Rule> {
    claims.rules.iter().map(claimed).collect()
}

fn claimed(claim: &RuleClaim) -> Rule {
    let mark = [(FRA_FWMARK, claim.mark), (FRA_FWMASK, claim.mark_mask)];
    let mark = mark.map(|(kind, value)| (kind, value.to_ne_bytes().to_vec()));
    Rule {
        is_ipv6: claim.family == Family::V6,
        priority: claim.priority,
        from: claim.from.map(|it| (it, claim.from_prefix)),
        to: claim.to.map(|it| (it, claim.to_prefix)),
        iif: claim.iif.clone(),
        oif: claim.oif.clone(),
        action: FR_ACT_TO_TBL,
        table: claim.table,
        protocol: ROUTE_PROTOCOL,
        others: if claim.mark_mask == 0 {
            BTreeMap::new()
        } else {
            mark.into()
        },
        ..Rule::default()
    }
}

/// Returns true if a rule that is gone may be one of these. The kernel reports some attributes in another form than it
/// takes.
pub fn are_among(rules: &[Rule], gone: &Rule) -> bool {
    let key = |it: &Rule| (it.is_ipv6, it.priority, it.table, it.protocol);
    rules.iter().any(|rule| key(rule) == key(gone))
}

/// Adds rules. An existing rule is no error.
pub fn add(requests: &mut Requests, rules: &[Rule]) -> Refused<Rule> {
    let encode = |rule: &Rule| Ok(Message::add_rule(rule));
    batch("add", encode, libc::EEXIST).run(requests, rules)
}

/// Deletes rules of spared. A missing rule is no error.
pub fn delete(requests: &mut Requests, rules: &[Rule]) -> Refused<Rule> {
    let encode = |rule: &Rule| Ok(Message::delete_rule(rule));
    let batch = batch("delete", encode, libc::ENOENT);
    batch.run(requests, rules)
}

fn batch(
    verb: &'static str,
    encode: fn(&Rule) -> io::Result<Message>,
    harmless: i32,
) -> Batch<Rule> {
    Batch {
        kind: "rules",
        name: |rule| format!("rule {}", described(rule)),
        verb,
        encode,
        harmless,
    }
}

/// Returns rules that the kernel does not have, for the status.
pub fn missing(refused: &[Rule]) -> impl Iterator<Item = MissingRoute> + '_ {
    refused.iter().map(|rule| MissingRoute {
        route: described(rule),
        interface: String::new(),
        is_rule: true,
    })
}

/// Formats a rule as ip(8) does: "100: from 192.0.2.0/24 iif lan lookup 100".
pub fn described(rule: &Rule) -> String {
    let net = |net: (IpAddr, u8)| format!("{}/{}", net.0, net.1);
    let from = rule.from.map_or("all".to_owned(), net);
    let mut text = format!("{}: from {from}", rule.priority);
    if let Some(to) = rule.to {
        let _ = write!(text, " to {}", net(to));
    }
    let number = |kind: u16| {
        let bytes = rule.others.get(&kind)?.as_slice().try_into().ok()?;
        Some(u32::from_ne_bytes(bytes))
    };
    if let (Some(mark), Some(mask)) = (number(FRA_FWMARK), number(FRA_FWMASK)) {
        let _ = write!(text, " fwmark {mark:#x}/{mask:#x}");
    }
    for (word, name) in [("iif", &rule.iif), ("oif", &rule.oif)] {
        if !name.is_empty() {
            let _ = write!(text, " {word} {name}");
        }
    }
    let _ = write!(text, " lookup {}", rule.table);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_described_as_ip_does_it() {
        let claim = RuleClaim {
            family: Family::V4,
            priority: 100,
            from: Some([192, 0, 2, 0].into()),
            from_prefix: 24,
            to: Some([198, 51, 100, 1].into()),
            to_prefix: 32,
            mark: 16,
            mark_mask: 255,
            iif: "lan".to_owned(),
            oif: String::new(),
            table: 100,
        };
        assert_eq!(
            described(&claimed(&claim)),
            "100: from 192.0.2.0/24 to 198.51.100.1/32 fwmark 0x10/0xff iif lan lookup 100"
        );
    }
}
