//! Reads from an event that a packet caused more than the change: the time that packets give the flow, and whether the
//! packet leaves here with an address of the other node.
//!
//! A policy (`ct timeout`) replaces the timeouts of the protocol. The kernel neither shows it nor lets it be set, but
//! the packet has just given the flow its time. Copies are written with the lease, which says nothing of it: without
//! the policy's time, a failover would give them the protocol's.

use super::kernel_events::By;
use super::own_address_counts::Translation;
use super::timeouts::Timeouts;
use super::{Engine, seconds};
use crate::flow::{CLOSE, Flow, TCP, status};
use crate::wire::Address;

/// Seconds by which an event may show another time than the one that its packet gave.
const DELAY_S: u32 = 1;

/// Timeout that a packet has given a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketTimeout {
    /// The protocol's timeout.
    Protocol,
    /// A policy's timeout, in s.
    Policy(u32),
    /// The event does not show it.
    Unknown,
}

#[derive(Clone, Copy, Debug)]
pub struct Packet {
    timeout: PacketTimeout,
    /// The other node's address with which the packet leaves, and its destination.
    there: Option<(Address, Address)>,
}

impl Timeouts {
    /// Derives the timeout that a packet has given; `flow` is in its state right after a packet.
    pub(super) fn given_by_packet(&self, flow: &Flow) -> PacketTimeout {
        let left_s = flow.timeout_s.filter(|left_s| *left_s > 0);
        let (Some(left_s), Some(_)) = (left_s, flow.state()) else {
            return PacketTimeout::Unknown;
        };
        let is = |known_s: u32| left_s.abs_diff(known_s) <= DELAY_S;
        // unanswered segments and resets have times of their own, in any state
        let is_passing = flow.original.protocol == TCP
            && (self.tcp_unanswered.into_iter().any(is) || is(self.tcp[usize::from(CLOSE)]));
        match () {
            () if flow.status & status::FIXED_TIMEOUT != 0 => PacketTimeout::Unknown,
            () if is(self.of(flow)) => PacketTimeout::Protocol,
            () if is_passing => PacketTimeout::Unknown,
            () => PacketTimeout::Policy(left_s),
        }
    }
}

impl Engine {
    /// Reads the event; None if no packet caused it.
    pub(super) fn packet_of(&self, now_ns: u64, flow: &Flow, by: By) -> Option<Packet> {
        (by == By::Traffic).then(|| Packet {
            timeout: self.reports.timeouts.given_by_packet(flow),
            there: self.leaves_there(now_ns, flow),
        })
    }

    pub(super) fn note_packet(&mut self, slot: u32, packet: Option<Packet>) {
        let Some(Packet { timeout, there }) = packet else {
            return;
        };
        if let Some((to, destination)) = there {
            self.note_destination(destination);
            self.set_translation(slot, Translation::ToPeer, to);
        }
        match timeout {
            PacketTimeout::Protocol => self.table.set_policy_timeout(slot, 0),
            PacketTimeout::Policy(seconds) => self.table.set_policy_timeout(slot, seconds),
            PacketTimeout::Unknown => {}
        }
    }

    /// Stores the timeout by a policy at the peer; 0 if it is the protocol's.
    pub(super) fn store_policy_timeout(&mut self, now_ns: u64, slot: u32, policy_timeout_s: u32) {
        let is_own = self.roles.is_active() && self.table.get(slot).is_own(seconds(now_ns));
        // a packet that was seen here counts more
        if policy_timeout_s > 0 || !is_own {
            self.table.set_policy_timeout(slot, policy_timeout_s);
        }
    }

    /// Returns the time that a packet gives the flow, as far as it is known.
    pub(super) fn whole_timeout_s(&self, flow: &Flow) -> u32 {
        match self.table.policy_timeout_s(self.table.hash(flow)) {
            0 => self.reports.timeouts.of(flow),
            policy_timeout_s => policy_timeout_s,
        }
    }
}
