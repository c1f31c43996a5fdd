//! Flows that are translated to an address of this node's own, and end with it.
//!
//! Each event and each walk shows what a flow is translated to, and the table counts.

use std::collections::HashMap;

use spared_sdk::Trouble;

use super::conflict::translated_to;
use super::{Engine, SECOND_NS};
use crate::flow::{Flow, address};
use crate::wire::Address;

/// Numbers that change are told so often at most.
const EVERY_NS: u64 = 10 * SECOND_NS;

/// Addresses of the node's own, and for each the virtual address of its network, if there is one here.
pub type NodeAddresses = HashMap<Address, Option<Address>>;

#[derive(Debug, Default)]
pub struct Translated {
    addresses: NodeAddresses,
    /// Address of a flow that was seen last.
    last: Option<Address>,
    told: Option<Told>,
    told_ns: u64,
}

/// What is reported of them.
#[derive(Clone, Copy, Debug)]
struct Told {
    flows: usize,
    of: usize,
    to: Address,
}

impl Engine {
    /// Addresses that this node does not share: no virtual ones.
    pub fn handle_node_addresses(&mut self, addresses: NodeAddresses) {
        self.translated.addresses = addresses;
    }

    /// A flow as it is now: what it is translated to decides whether it ends with this node.
    pub(super) fn note_translation(&mut self, slot: u32, flow: &Flow) {
        let to = self.own_translation(flow);
        self.table.set_translated(slot, to.is_some());
        self.translated.last = to.or(self.translated.last);
    }

    /// The node's own address that a forwarded flow is translated to. Addresses in `dynamic_nat` are expected to go.
    fn own_translation(&self, flow: &Flow) -> Option<Address> {
        if flow.reply.destination == flow.original.source {
            return None;
        }
        let is_own = |it: &Address| self.translated.addresses.contains_key(it);
        let is_expected = |it: &Address| self.dynamic.values().flatten().any(|known| known == it);
        let source = (flow.original.is_ipv6, flow.original.source);
        let to = translated_to(flow).filter(|_| !self.filter.own.contains(&source))?;
        (is_own(&to) && !is_expected(&to)).then_some(to)
    }

    /// Decides what is reported: the first such flow at once, then numbers that are not too old.
    pub(super) fn tell_translated(&mut self, now_ns: u64) {
        let flows = self.table.translated();
        let is_first = self.translated.told.is_none() && flows > 0;
        let is_due = now_ns >= self.translated.told_ns.saturating_add(EVERY_NS);
        if is_first || is_due {
            let of = self.table.len();
            let told = self.translated.last.map(|to| Told { flows, of, to });
            self.translated.told = told.filter(|told| told.flows > 0);
            self.translated.told_ns = now_ns;
        }
    }

    /// On the active node, while there is a peer that a failover would move to.
    pub(super) fn translation_trouble(&self) -> Option<Trouble> {
        let told = self.translated.told.as_ref();
        let Told { flows, of, to } = told.filter(|_| self.active && self.peer.is_some())?;
        let show = |(is_ipv6, bytes): &Address| address(*is_ipv6, bytes);
        let (verb, end) = match flows {
            1 => ("is", "ends"),
            _ => ("are", "end"),
        };
        let instead = match self.translated.addresses.get(to) {
            Some(Some(instead)) => format!("`snat to {}`", show(instead)),
            _ => "`snat to` a virtual address".to_owned(),
        };
        let why = format!(
            "{flows} of {of} connections {verb} translated to the node's own address {} and {end} with it: use {instead}",
            show(to)
        );
        Some(Trouble::loss("translation", why))
    }
}
