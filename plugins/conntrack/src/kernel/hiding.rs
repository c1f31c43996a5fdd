//! Detects nftables rules with `ct event set`.
//!
//! The kernel sends no events for flows of such a rule, but a dump shows them. If there is such a rule, flows that were
//! only seen in a dump are probed.

use spared_netlink::{Message, Requests, attributes, constants as c, text};

/// Shortest time between two reads of the ruleset.
const EVERY_NS: u64 = 5_000_000_000;
/// `struct nfgenmsg`, whose first byte is the family.
pub(super) const HEADER: usize = 4;

#[derive(Default)]
pub struct Hiding {
    looked_ns: Option<u64>,
    found: bool,
}

impl Hiding {
    pub fn look(&mut self, now_ns: u64) -> bool {
        if self
            .looked_ns
            .is_none_or(|at| now_ns >= at.saturating_add(EVERY_NS))
        {
            self.looked_ns = Some(now_ns);
            // without a ruleset, or without the right to read it, nothing counts as hidden
            self.found = find().unwrap_or(false);
        }
        self.found
    }
}

fn find() -> std::io::Result<bool> {
    let mut found = false;
    Requests::open_netfilter()?.dump(all(c::NFT_MSG_GETRULE, 0), |_, payload| {
        found |= payload.get(HEADER..).is_some_and(sets_event_mask);
    })?;
    Ok(found)
}

/// Request for all objects of a kind. `family` 0 stands for all families.
pub(super) fn all(message: u16, family: u8) -> Message {
    Message::dump(c::NFNL_SUBSYS_NFTABLES << 8 | message, &[family, 0, 0, 0])
}

/// Values of all attributes of one kind.
pub(super) fn nested(bytes: &[u8], wanted: u16) -> impl Iterator<Item = &[u8]> {
    attributes(bytes)
        .filter(move |(kind, _)| *kind == wanted)
        .map(|(_, value)| value)
}

/// Returns true if a rule has `ct event set`, or iptables' `-j CT`, whose event mask is not examined.
fn sets_event_mask(rule: &[u8]) -> bool {
    let expressions =
        nested(rule, c::NFTA_RULE_EXPRESSIONS).flat_map(|list| nested(list, c::NFTA_LIST_ELEM));
    expressions.into_iter().any(|expression| {
        let name = nested(expression, c::NFTA_EXPR_NAME).next().map(text);
        let mut data = nested(expression, c::NFTA_EXPR_DATA);
        match (name.as_deref(), data.next()) {
            (Some("ct"), Some(data)) => {
                let key = nested(data, c::NFTA_CT_KEY).next();
                let set = nested(data, c::NFTA_CT_SREG).next().is_some();
                set && key == Some(&c::NFT_CT_EVENTMASK.to_be_bytes()[..])
            }
            (Some("target"), Some(data)) => {
                nested(data, 1).next().map(text).as_deref() == Some("CT")
            }
            _ => false,
        }
    })
}
