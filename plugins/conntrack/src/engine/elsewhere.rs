//! Flows that are translated to an address of the other node's, while both nodes are active and their packets pass
//! here: the fence drops what leaves here with that address, and answers come to the other node.
//!
//! A flow counts once a packet of it was seen in that state. What passed here before a group moved counts for
//! nothing, so neither does what was seen shortly after a change, nor the first walk after it.

use spared_sdk::Trouble;

use super::conflict::translated_to;
use super::local::seconds;
use super::translated::{Report, Told, Translation};
use super::{Action, Engine, SECOND_NS};
use crate::flow::{Flow, address};
use crate::wire::Address;

/// Packets of a group that moves pass the node that gives it up for a second at most.
const SETTLED_NS: u64 = 2 * SECOND_NS;

#[derive(Debug, Default)]
pub struct Elsewhere {
    pub(super) report: Report,
    /// Roles of either node, or the other node's addresses, changed last.
    pub(super) changed_ns: u64,
    /// The latest resync of this node that came to its end had begun then.
    walked_ns: u64,
    /// Whether the fence is in this kernel; None until somebody looked.
    has_fence: Option<bool>,
}

impl Engine {
    /// Whether the daemon's fence is in this kernel.
    pub fn handle_fence(&mut self, is_there: bool) {
        self.elsewhere.has_fence = Some(is_there);
    }

    /// Whether anything depends on that.
    pub fn asks_for_fence(&self) -> bool {
        self.flows_elsewhere() > 0
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
        self.elsewhere.changed_ns = now_ns;
        // what was counted may not be so any more
        if self.table.translated(Translation::Elsewhere) > 0 {
            self.request_resync(now_ns);
        }
    }

    /// A resync came to its end.
    pub(super) fn note_walked(&mut self, began_ns: u64) {
        self.elsewhere.walked_ns = began_ns;
    }

    /// The other node's address that a packet leaves with which has just caused an event.
    pub(super) fn leaves_there(&self, now_ns: u64, flow: &Flow) -> Option<Address> {
        let is_settled = now_ns >= self.elsewhere.changed_ns.saturating_add(SETTLED_NS);
        self.answered_there(flow).filter(|_| is_settled)
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
        let settled_ns = self.elsewhere.changed_ns.saturating_add(SETTLED_NS);
        let is_seen = moved && self.elsewhere.walked_ns >= settled_ns;
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

    /// Decides what is reported of them. Without the fence they work, as long as the other node's copy is in time.
    pub(super) fn tell_elsewhere(&mut self, now_ns: u64) {
        let (flows, of) = (self.flows_elsewhere(), self.table.len());
        let is_first = self.elsewhere.report.update(now_ns, flows, of);
        if is_first && self.elsewhere.has_fence == Some(false) {
            let text = format!(
                "{flows} flows that pass here are translated to an address of the other node, where \
                 their answers go: give each group an address of its own to translate to"
            );
            self.actions.push_back(Action::Warn(text));
        }
    }

    pub(super) fn elsewhere_trouble(&self) -> Option<Trouble> {
        let is_dropped = self.elsewhere.has_fence == Some(true) && self.is_shared();
        let told = self.elsewhere.report.told.as_ref();
        let Told { flows, of, to } = told.filter(|_| is_dropped)?;
        let (verb, they) = match flows {
            1 => ("is", "it carries"),
            _ => ("are", "they carry"),
        };
        let (is_ipv6, bytes) = to;
        let why = format!(
            "{flows} of {of} connections {verb} translated to {}, whose group is active on the other node: {they} \
             nothing through this node; translate each group to an address of its own",
            address(*is_ipv6, bytes)
        );
        Some(Trouble::new("asymmetric translation", why))
    }
}
