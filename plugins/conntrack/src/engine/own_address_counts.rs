//! Counts flows by their translation: those translated to this node's own address end with the node.
//!
//! Each event and each walk shows a flow's translation, and the table keeps the counts.

use std::collections::HashMap;

use spared_sdk::Trouble;

use super::conflict::translated_to;
use super::peer_address_counts::destination;
use super::{Engine, SECOND_NS};
use crate::flow::{Flow, address};
use crate::wire::Address;

/// Shortest time between two reports of changed numbers.
const EVERY_NS: u64 = 10 * SECOND_NS;

/// Kind of the address that a flow is translated to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Translation {
    /// The flow is not translated, or to an address that moves with its group.
    #[default]
    None,
    /// An address of this node's own: the flow ends with this node.
    Own,
    /// An own address of an interface in `dynamic_nat`: the flow ends with this node, as expected.
    Dynamic,
    /// An address of the other node, while the flow's packets pass here (`peer_address_counts.rs`).
    ToPeer,
}

impl Translation {
    /// Number of kinds: values of two bits.
    pub const KINDS: usize = 4;

    pub(super) fn from_bits(bits: u8) -> Self {
        match bits % 4 {
            1 => Self::Own,
            2 => Self::Dynamic,
            3 => Self::ToPeer,
            _ => Self::None,
        }
    }
}

/// Addresses of the node's own, each with the virtual address of its network, if there is one here.
pub type NodeAddresses = HashMap<Address, Option<Address>>;

#[derive(Debug, Default)]
pub struct OwnAddressFlows {
    addresses: NodeAddresses,
    report: Report,
}

/// Report about the flows of one kind: the first flow at once, then numbers of limited age.
#[derive(Debug, Default)]
pub struct Report {
    /// Address of the flow that was seen last.
    last: Option<Address>,
    pub(super) told: Option<Told>,
    told_ns: u64,
}

#[derive(Clone, Copy, Debug)]
pub struct Told {
    pub(super) flows: usize,
    pub(super) of: usize,
    pub(super) to: Address,
}

impl Report {
    pub(super) fn update(&mut self, now_ns: u64, flows: usize, of: usize) {
        let is_first = self.told.is_none() && flows > 0;
        if is_first || now_ns >= self.told_ns.saturating_add(EVERY_NS) {
            let told = self.last.map(|to| Told { flows, of, to });
            self.told = told.filter(|told| told.flows > 0);
            self.told_ns = now_ns;
        }
    }
}

impl Engine {
    /// Takes the addresses that this node does not share; no virtual ones.
    pub fn handle_node_addresses(&mut self, addresses: NodeAddresses) {
        self.addresses.own_address_counts.addresses = addresses;
    }

    /// Updates the translation of a flow. `moved` is true if a packet has moved its end since it was seen last.
    pub(super) fn note_translation(&mut self, now_ns: u64, slot: u32, flow: &Flow, moved: bool) {
        let found = self.own_translation(flow);
        let found = found.or_else(|| self.translation_there(now_ns, slot, flow, moved));
        let (how, to) = found.unwrap_or_default();
        if how == Translation::ToPeer {
            self.note_destination(destination(flow));
        }
        self.set_translation(slot, how, to);
    }

    pub(super) fn set_translation(&mut self, slot: u32, how: Translation, to: Address) {
        self.table.set_translation(slot, how);
        match how {
            Translation::Own => self.addresses.own_address_counts.report.last = Some(to),
            Translation::ToPeer => self.addresses.peer_address_counts.report.last = Some(to),
            Translation::None | Translation::Dynamic => {}
        }
    }

    /// Returns the node's own address that a forwarded flow is translated to. Addresses in `dynamic_nat` are expected
    /// to go.
    fn own_translation(&self, flow: &Flow) -> Option<(Translation, Address)> {
        if flow.reply.destination == flow.original.source {
            return None;
        }
        let source = (flow.original.is_ipv6, flow.original.source);
        let to = translated_to(flow).filter(|_| !self.filter.own.contains(&source))?;
        let is_expected = self.addresses.dynamic().any(|known| known == to);
        let how = if is_expected {
            Translation::Dynamic
        } else {
            Translation::Own
        };
        self.addresses
            .own_address_counts
            .addresses
            .contains_key(&to)
            .then_some((how, to))
    }

    /// Returns the number of flows that a failover from this node ends, as expected.
    pub(super) fn dynamic_flows(&self) -> usize {
        if self.roles.is_active() {
            self.table.translated(Translation::Dynamic)
        } else {
            0
        }
    }

    /// Updates the reports about translated flows.
    pub(super) fn tell_translated(&mut self, now_ns: u64) {
        let (flows, of) = (self.table.translated(Translation::Own), self.table.len());
        self.addresses
            .own_address_counts
            .report
            .update(now_ns, flows, of);
        self.report_peer_address_flows(now_ns);
    }

    /// Returns the fault to report, on the active node while there is a peer to fail over to.
    pub(super) fn translation_trouble(&self) -> Option<Trouble> {
        let told = self.addresses.own_address_counts.report.told.as_ref();
        let Told { flows, of, to } =
            told.filter(|_| self.roles.is_active() && self.peer.is_some())?;
        let show = |(is_ipv6, bytes): &Address| address(*is_ipv6, bytes);
        let (verb, end) = match flows {
            1 => ("is", "ends"),
            _ => ("are", "end"),
        };
        let instead = match self.addresses.own_address_counts.addresses.get(to) {
            // an address of another group may be on the other node
            _ if self.roles.are_several() => {
                "`snat to` a virtual address of their group (`sparectl check` names the rule)"
                    .to_owned()
            }
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
