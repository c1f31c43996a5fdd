//! What an event that a packet caused shows of its flow beside the change that it tells: the time that packets give
//! it, and whether it leaves here with an address of the other node's.
//!
//! A policy (`ct timeout`) gives flows other times than their protocol's. The kernel neither shows nor takes it, but
//! the packet has just given the flow that time. Copies are made with the lease, which says nothing of it: without
//! the policy's time, a failover would give them their protocol's.

use super::Engine;
use super::local::{By, seconds};
use super::restore::Timeouts;
use super::translated::Translation;
use crate::flow::{CLOSE, Flow, TCP, status};
use crate::wire::Address;

/// Times are rounded to a second.
const ROUNDING_S: u32 = 1;

/// The time that packets give a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// Its protocol's.
    Usual,
    /// A policy's, in seconds.
    Other(u32),
    /// The event does not tell.
    Unknown,
}

#[derive(Clone, Copy, Debug)]
pub struct Packet {
    given: Given,
    /// The other node's address that it leaves with.
    there: Option<(Address, Address)>,
}

impl Timeouts {
    /// `flow` is as it is right after a packet.
    pub(super) fn given(&self, flow: &Flow) -> Given {
        let left_s = flow.timeout_s.filter(|left_s| *left_s > 0);
        let (Some(left_s), Some(_)) = (left_s, flow.state()) else {
            return Given::Unknown;
        };
        let is = |known_s: u32| left_s.abs_diff(known_s) <= ROUNDING_S;
        // unanswered segments and resets have times of their own, whatever the state
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
    /// None of what a hand caused.
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
            self.set_translation(slot, Translation::Elsewhere, to);
        }
        match given {
            Given::Usual => self.table.set_given(slot, 0),
            Given::Other(seconds) => self.table.set_given(slot, seconds),
            Given::Unknown => {}
        }
    }

    /// The peer has told of the flow; 0 if packets there give it its protocol's time.
    pub(super) fn hear_given(&mut self, now_ns: u64, slot: u32, given_s: u32) {
        let is_own = self.roles.is_active() && self.table.get(slot).is_own(seconds(now_ns));
        // what a packet here showed counts
        if given_s > 0 || !is_own {
            self.table.set_given(slot, given_s);
        }
    }

    /// The time that a packet gives the flow, as far as is known.
    pub(super) fn full_s(&self, flow: &Flow) -> u32 {
        match self.table.given(self.table.hash(flow)) {
            0 => self.reports.timeouts.of(flow),
            given_s => given_s,
        }
    }
}
