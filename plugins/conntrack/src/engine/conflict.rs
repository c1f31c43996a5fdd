//! Resolves conflicts: two flows, one of each node, with the same translated ends.
//!
//! With both nodes active, each translates independently, and may give two connections one port of one address. Answers
//! come to the node that has the address, so its flow works and stays. If neither or both have the address, the greater
//! key decides, with the same result on both nodes.

use std::collections::HashSet;

use super::{Engine, How, KernelChange};
use crate::flow::Flow;
use crate::wire::{Address, Message};

impl Engine {
    /// Handles a flow of the peer that the kernel refuses because of a conflicting one. Returns the change to make, if
    /// the peer's flow stays.
    pub(super) fn decide_conflict(&mut self, change: KernelChange) -> Option<KernelChange> {
        self.counters.conflicts += 1;
        if self.roles.is_active() && self.decides(&change.flow) {
            self.forget_entry(self.table.hash(&change.flow));
            return None;
        }
        self.replace(change, How::DeleteReply);
        None
    }

    fn decides(&self, flow: &Flow) -> bool {
        let Some(peer) = self.peer.as_ref().filter(|peer| peer.active == Some(true)) else {
            return true;
        };
        let address = translated_to(flow);
        let here = address.is_some_and(|it| self.filter.own.contains(&it));
        let there = address.is_some_and(|it| peer.holds.contains(&it));
        match (here, there) {
            (true, false) => true,
            (false, true) => false,
            _ => self.replica.replica().has_greater_key(),
        }
    }

    pub(super) fn tell_held_addresses(&mut self) {
        if self.peer.as_ref().is_some_and(|peer| peer.active.is_some()) {
            let held = held(&self.filter.own);
            self.channel
                .outbox
                .push_message(Message::Holds(held).encode());
            self.channel.outbox.flush_now();
        }
    }
}

/// Returns the router's address that a flow is translated to.
pub(super) fn translated_to(flow: &Flow) -> Option<Address> {
    let is_ipv6 = flow.original.is_ipv6;
    match (
        flow.is_source_translated(),
        flow.is_destination_translated(),
    ) {
        (true, _) => Some((is_ipv6, flow.reply.destination)),
        (false, true) => Some((is_ipv6, flow.original.destination)),
        (false, false) => None,
    }
}

/// Returns the addresses by which others reach this node, sorted.
fn held(own: &HashSet<Address>) -> Vec<Address> {
    let is_held = |(is_ipv6, bytes): &&Address| {
        if *is_ipv6 {
            // without loopback and link-local addresses
            bytes[..2] != [0xfe, 0x80] && bytes[..15] != [0; 15]
        } else {
            bytes[0] != 127
        }
    };
    let mut held: Vec<Address> = own.iter().filter(is_held).copied().collect();
    held.sort_unstable();
    held
}
