//! Counts flows that are translated to an address of the other node, while both nodes are active and the flow's packets
//! pass here. On an interface with virtual addresses the fence drops these packets, and answers arrive at the other
//! node.
//!
//! A flow counts once a packet of it was seen in that state. Packets that passed before a group moved must not count,
//! so packets seen shortly after a change and the first walk after it are ignored.

use std::collections::HashSet;

use spared_sdk::Trouble;

use super::conflict::translated_to;
use super::own_address_counts::{Report, Told, Translation};
use super::{Action, Engine, SECOND_NS, seconds};
use crate::flow::{Flow, address};
use crate::wire::Address;

/// Time after a change: packets of a group that moves pass the old node for a second at most.
const AFTER_MOVE_NS: u64 = 2 * SECOND_NS;
/// Number of destinations whose route is looked up at a time.
const SAMPLE_MAX: usize = 64;

/// Numbers of such flows by the way on which they leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EgressCounts {
    /// Flows that leave by an interface with the fence: they end there.
    pub fenced: usize,
    pub unfenced: usize,
}

#[derive(Debug, Default)]
pub struct PeerAddressFlows {
    pub(super) report: Report,
    /// Time of the last change of either node's roles, or of the other node's addresses.
    pub(super) changed_ns: u64,
    /// Time at which this node's last complete resync had begun.
    walked_ns: u64,
    /// Destinations of such flows that were seen since the last lookup.
    destinations: HashSet<Address>,
    /// Sum of all lookups since the last walk, which sees all such flows; None before the first lookup.
    egress: Option<EgressCounts>,
    /// True if the next lookup replaces the sum.
    renews: bool,
    /// The present flows have been logged.
    is_warned: bool,
}

impl Engine {
    /// Adds the result of a lookup.
    pub fn handle_egress(&mut self, found: EgressCounts) {
        let renews = std::mem::take(&mut self.addresses.peer_address_counts.renews);
        let known = self
            .addresses
            .peer_address_counts
            .egress
            .filter(|_| !renews);
        let known = known.unwrap_or_default();
        self.addresses.peer_address_counts.egress = Some(EgressCounts {
            fenced: known.fenced + found.fenced,
            unfenced: known.unfenced + found.unfenced,
        });
    }

    /// Returns the destinations of flows that were seen since the last call; empty if there are none or nothing is new.
    pub fn take_destinations(&mut self) -> HashSet<Address> {
        std::mem::take(&mut self.addresses.peer_address_counts.destinations)
    }

    /// Adds the destination of such a flow to the next lookup.
    pub(super) fn note_destination(&mut self, destination: Address) {
        if self.addresses.peer_address_counts.destinations.len() < SAMPLE_MAX {
            self.addresses
                .peer_address_counts
                .destinations
                .insert(destination);
        }
    }

    /// Returns the number of flows whose packets pass here and whose answers arrive at the other node.
    pub(super) fn peer_address_flow_count(&self) -> usize {
        if self.is_shared() {
            self.table.translated(Translation::ToPeer)
        } else {
            0
        }
    }

    /// Takes note that roles or addresses of a node have changed.
    pub(super) fn note_move(&mut self, now_ns: u64) {
        self.addresses.peer_address_counts.changed_ns = now_ns;
        // flows that were counted may no longer be in that state
        if self.table.translated(Translation::ToPeer) > 0 {
            self.request_resync(now_ns);
        }
    }

    /// Takes note that a resync has ended.
    pub(super) fn note_walked(&mut self, began_ns: u64) {
        self.addresses.peer_address_counts.walked_ns = began_ns;
        self.addresses.peer_address_counts.renews = true;
    }

    /// Returns the other node's address with which a packet has just left, and its destination. `flow` is from the
    /// event that the packet caused.
    pub(super) fn leaves_there(&self, now_ns: u64, flow: &Flow) -> Option<(Address, Address)> {
        let is_quiet = now_ns
            >= self
                .addresses
                .peer_address_counts
                .changed_ns
                .saturating_add(AFTER_MOVE_NS);
        let to = self.answered_there(flow).filter(|_| is_quiet)?;
        Some((to, destination(flow)))
    }

    /// Returns the other node's address that the flow is translated to, if the flow counts: it counted before, or a
    /// packet has moved its end since the last walk.
    pub(super) fn translation_there(
        &self,
        now_ns: u64,
        slot: u32,
        flow: &Flow,
        moved: bool,
    ) -> Option<(Translation, Address)> {
        let entry = self.table.get(slot);
        let quiet_ns = self
            .addresses
            .peer_address_counts
            .changed_ns
            .saturating_add(AFTER_MOVE_NS);
        let is_seen = moved && self.addresses.peer_address_counts.walked_ns >= quiet_ns;
        let counts = is_seen || entry.translation() == Translation::ToPeer;
        let to = self.answered_there(flow)?;
        (counts && entry.is_own(seconds(now_ns))).then_some((Translation::ToPeer, to))
    }

    /// Returns the other node's address that a flow is translated to: answers arrive there.
    fn answered_there(&self, flow: &Flow) -> Option<Address> {
        let peer = self.peer.as_ref().filter(|_| self.is_shared())?;
        let is_there = |it: &Address| peer.holds.contains(it) && !self.filter.own.contains(it);
        translated_to(flow).filter(is_there)
    }

    /// Decides what is reported of these flows. If the fence does not drop them they work, as long as the other node
    /// receives its copy in time.
    pub(super) fn report_peer_address_flows(&mut self, now_ns: u64) {
        let (flows, of) = (self.peer_address_flow_count(), self.table.len());
        if flows == 0 {
            // the next ones may leave on other ways
            (
                self.addresses.peer_address_counts.egress,
                self.addresses.peer_address_counts.is_warned,
            ) = (None, false);
        }
        self.addresses
            .peer_address_counts
            .report
            .update(now_ns, flows, of);
        let passes = self
            .addresses
            .peer_address_counts
            .egress
            .is_some_and(|it| it.fenced == 0);
        if passes && !std::mem::replace(&mut self.addresses.peer_address_counts.is_warned, true) {
            let text = format!(
                "{flows} flows that pass here are translated to an address of the other node, where \
                 their answers go: give each group an address of its own to translate to"
            );
            self.actions.push_back(Action::Warn(text));
        }
    }

    pub(super) fn peer_address_trouble(&self) -> Option<Trouble> {
        let egress = self
            .addresses
            .peer_address_counts
            .egress
            .filter(|it| it.fenced > 0)?;
        let told = self.addresses.peer_address_counts.report.told.as_ref();
        let Told { flows, of, to } = told.filter(|_| self.is_shared())?;
        let verb = if *flows == 1 { "is" } else { "are" };
        let they = match (egress.unfenced, flows) {
            (0, 1) => "it carries",
            (0, _) => "they carry",
            _ => "those that leave by an interface with virtual addresses carry",
        };
        let (is_ipv6, bytes) = to;
        let why = format!(
            "{flows} of {of} connections {verb} translated to {} of the other node: {they} nothing; give each group its \
             own address",
            address(*is_ipv6, bytes)
        );
        Some(Trouble::new("asymmetric translation", why))
    }
}

/// Returns the destination of packets that leave with the router's address as their source.
pub(super) fn destination(flow: &Flow) -> Address {
    let destination = if flow.is_source_translated() {
        flow.reply.source
    } else {
        flow.original.source
    };
    (flow.original.is_ipv6, destination)
}
