//! Flows that are translated to an address of the other node's, while both nodes are active and their packets pass
//! here: the fence drops what leaves here with that address by an interface with virtual addresses, and answers come
//! to the other node.
//!
//! A flow counts once a packet of it was seen in that state. What passed here before a group moved counts for
//! nothing, so neither does what was seen shortly after a change, nor the first walk after it.

use std::collections::HashSet;

use spared_sdk::Trouble;

use super::conflict::translated_to;
use super::local::seconds;
use super::translated::{Report, Told, Translation};
use super::{Action, Engine, SECOND_NS};
use crate::flow::{Flow, address};
use crate::wire::Address;

/// Packets of a group that moves pass the node that gives it up for a second at most.
const SETTLED_NS: u64 = 2 * SECOND_NS;
/// Destinations of such flows of which the way is looked up at a time.
const SAMPLE_MAX: usize = 64;

/// The ways by which such flows leave here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ways {
    /// By interfaces with the fence: they end there.
    pub fenced: usize,
    pub unfenced: usize,
}

#[derive(Debug, Default)]
pub struct Elsewhere {
    pub(super) report: Report,
    /// Roles of either node, or the other node's addresses, changed last.
    pub(super) changed_ns: u64,
    /// The latest resync of this node that came to its end had begun then.
    walked_ns: u64,
    /// Destinations of such flows that were seen since somebody looked.
    destinations: HashSet<Address>,
    /// What was found since the last walk, which sees all such flows; None until somebody looked.
    ways: Option<Ways>,
    /// What is found next stands for itself.
    renews: bool,
    /// The journal has been told of the present ones.
    is_warned: bool,
}

impl Engine {
    /// The ways of the destinations that were taken.
    pub fn handle_ways(&mut self, found: Ways) {
        let renews = std::mem::take(&mut self.addresses.elsewhere.renews);
        let known = self.addresses.elsewhere.ways.filter(|_| !renews);
        let known = known.unwrap_or_default();
        self.addresses.elsewhere.ways = Some(Ways {
            fenced: known.fenced + found.fenced,
            unfenced: known.unfenced + found.unfenced,
        });
    }

    /// Destinations of flows that were seen since the last call; empty: there are no such flows, or nothing is new.
    pub fn take_destinations(&mut self) -> HashSet<Address> {
        std::mem::take(&mut self.addresses.elsewhere.destinations)
    }

    /// A flow to this destination counts as one of these.
    pub(super) fn note_destination(&mut self, destination: Address) {
        if self.addresses.elsewhere.destinations.len() < SAMPLE_MAX {
            self.addresses.elsewhere.destinations.insert(destination);
        }
    }

    /// Flows whose packets pass here and whose answers come to the other node.
    pub(super) fn flows_elsewhere(&self) -> usize {
        match self.is_shared() {
            true => self.table.translated(Translation::Elsewhere),
            false => 0,
        }
    }

    /// Roles or addresses of the nodes are others than before.
    pub(super) fn note_move(&mut self, now_ns: u64) {
        self.addresses.elsewhere.changed_ns = now_ns;
        // what was counted may not be so any more
        if self.table.translated(Translation::Elsewhere) > 0 {
            self.request_resync(now_ns);
        }
    }

    /// A resync came to its end.
    pub(super) fn note_walked(&mut self, began_ns: u64) {
        self.addresses.elsewhere.walked_ns = began_ns;
        self.addresses.elsewhere.renews = true;
    }

    /// The other node's address that a packet leaves with which has just caused an event, and its destination.
    pub(super) fn leaves_there(&self, now_ns: u64, flow: &Flow) -> Option<(Address, Address)> {
        let is_settled = now_ns
            >= self
                .addresses
                .elsewhere
                .changed_ns
                .saturating_add(SETTLED_NS);
        let to = self.answered_there(flow).filter(|_| is_settled)?;
        Some((to, destination(flow)))
    }

    /// The other node's address that the flow is translated to, if it counts: it did before, or a packet has moved its
    /// end since the walk before.
    pub(super) fn translation_there(
        &self,
        now_ns: u64,
        slot: u32,
        flow: &Flow,
        moved: bool,
    ) -> Option<(Translation, Address)> {
        let entry = self.table.get(slot);
        let settled_ns = self
            .addresses
            .elsewhere
            .changed_ns
            .saturating_add(SETTLED_NS);
        let is_seen = moved && self.addresses.elsewhere.walked_ns >= settled_ns;
        let counts = is_seen || entry.translation() == Translation::Elsewhere;
        let to = self.answered_there(flow)?;
        (counts && entry.is_own(seconds(now_ns))).then_some((Translation::Elsewhere, to))
    }

    /// The address of the other node's that a flow is translated to: its answers come there.
    fn answered_there(&self, flow: &Flow) -> Option<Address> {
        let peer = self.peer.as_ref().filter(|_| self.is_shared())?;
        let is_there = |it: &Address| peer.holds.contains(it) && !self.filter.own.contains(it);
        translated_to(flow).filter(is_there)
    }

    /// Decides what is reported of them. Where the fence does not drop them they work, as long as the other node's copy is in time.
    pub(super) fn tell_elsewhere(&mut self, now_ns: u64) {
        let (flows, of) = (self.flows_elsewhere(), self.table.len());
        if flows == 0 {
            // the next ones may leave by other ways
            (
                self.addresses.elsewhere.ways,
                self.addresses.elsewhere.is_warned,
            ) = (None, false);
        }
        self.addresses.elsewhere.report.update(now_ns, flows, of);
        let passes = self
            .addresses
            .elsewhere
            .ways
            .is_some_and(|it| it.fenced == 0);
        if passes && !std::mem::replace(&mut self.addresses.elsewhere.is_warned, true) {
            let text = format!(
                "{flows} flows that pass here are translated to an address of the other node, where \
                 their answers go: give each group an address of its own to translate to"
            );
            self.actions.push_back(Action::Warn(text));
        }
    }

    pub(super) fn elsewhere_trouble(&self) -> Option<Trouble> {
        let ways = self.addresses.elsewhere.ways.filter(|it| it.fenced > 0)?;
        let told = self.addresses.elsewhere.report.told.as_ref();
        let Told { flows, of, to } = told.filter(|_| self.is_shared())?;
        let verb = if *flows == 1 { "is" } else { "are" };
        let they = match (ways.unfenced, flows) {
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

/// Where packets of a flow go that leave with the router's address as their source.
pub(super) fn destination(flow: &Flow) -> Address {
    let destination = match flow.is_source_translated() {
        true => flow.reply.source,
        false => flow.original.source,
    };
    (flow.original.is_ipv6, destination)
}
