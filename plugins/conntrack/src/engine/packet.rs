//! Reads from an event that a packet caused more than the change: the time that packets give the flow, and whether the
//! packet leaves here with an address of the other node.
//!
//! A policy (`ct timeout`) replaces the timeouts of the protocol. The kernel neither shows it nor lets it be set, but
//! the packet has just given the flow its time. Copies are written with the lease, which says nothing of it: without
//! the policy's time, a failover would give them the protocol's.

use super::Engine;
use super::local::{By, seconds};
use super::own_address_flows::Translation;
use super::restore::Timeouts;
use crate::flow::{CLOSE, Flow, TCP, status};
use crate::wire::Address;

/// Rounding of times, in s.
const ROUNDING_S: u32 = 1;

/// Time that packets give a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// The protocol's timeout.
    Usual,
    /// A policy's timeout, in s.
    Other(u32),
    /// The event does not show it.
    Unknown,
}

#[derive(Clone, Copy, Debug)]
pub struct Packet {
    given: Given,
    /// The other node's address with which the packet leaves, and its destination.
    there: Option<(Address, Address)>,
}

impl Timeouts {
    /// Derives the given time; `flow` is in its state right after a packet.
    pub(super) fn given(&self, flow: &Flow) -> Given {
        let left_s = flow.timeout_s.filter(|left_s| *left_s > 0);
        let (Some(left_s), Some(_)) = (left_s, flow.state()) else {
            return Given::Unknown;
        };
        let is = |known_s: u32| left_s.abs_diff(known_s) <= ROUNDING_S;
        // unanswered segments and resets have times of their own, in any state
        let is_passing = flow.original.protocol == TCP
            && (self.tcp_unanswered.into_iter().any(is) || is(self.tcp[usize::from(CLOSE)]));
        match () {
            () if flow.status & status::FIXED_TIMEOUT != 0 => Given::Unknown,
            () if is(self.of(flow)) => Given::Usual,
            () if is_passing => Given::Unknown,
            () => Given::Other(left_s),
        }
    }
}

impl Engine {
    /// Reads the event; None if no packet caused it.
    pub(super) fn packet_of(&self, now_ns: u64, flow: &Flow, by: By) -> Option<Packet> {
        (by == By::Traffic).then(|| Packet {
            given: self.reports.timeouts.given(flow),
            there: self.leaves_there(now_ns, flow),
        })
    }

    pub(super) fn note_packet(&mut self, slot: u32, packet: Option<Packet>) {
        let Some(Packet { given, there }) = packet else {
            return;
        };
        if let Some((to, destination)) = there {
            self.note_destination(destination);
            self.set_translation(slot, Translation::ToPeer, to);
        }
        match given {
            Given::Usual => self.table.set_given(slot, 0),
            Given::Other(seconds) => self.table.set_given(slot, seconds),
            Given::Unknown => {}
        }
    }

    /// Stores the time that packets give the flow at the peer; 0 if it is the protocol's.
    pub(super) fn hear_given(&mut self, now_ns: u64, slot: u32, given_s: u32) {
        let is_own = self.roles.is_active() && self.table.get(slot).is_own(seconds(now_ns));
        // a packet that was seen here counts more
        if given_s > 0 || !is_own {
            self.table.set_given(slot, given_s);
        }
    }

    /// Returns the time that a packet gives the flow, as far as it is known.
    pub(super) fn full_s(&self, flow: &Flow) -> u32 {
        match self.table.given(self.table.hash(flow)) {
            0 => self.reports.timeouts.of(flow),
            given_s => given_s,
        }
    }
}
