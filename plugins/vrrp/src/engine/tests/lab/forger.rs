//! A station on one wire that sends anything, to both nodes.

use std::net::IpAddr;

use super::{Lab, LabEvent, MS};
use crate::wire::Family;
use crate::wire::frame::emit_frame;
use crate::wire::vrrp::{ChecksumForm, Repr, Version};

/// Frames that the forger sends, again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forgery {
    /// Advert in the name of the other node, with a priority and an interval.
    Advert(u8, u64),
    /// Advert in the receiver's own name.
    Own,
    /// Heartbeats of both nodes that the forger has recorded.
    Replay,
    /// Recorded heartbeats, delayed by this number of heartbeats.
    HeldBack(usize),
    /// All of these in turn.
    Everything,
}

/// The longest interval that an advert can name.
pub const LONGEST_NS: u64 = 40_950 * MS;

#[derive(Clone, Debug)]
pub struct Forger {
    wire: String,
    forgery: Forgery,
    every_ns: u64,
    turn: u64,
}

impl Lab {
    /// Begins to forge on a wire, a number of times a second.
    pub fn forge(&mut self, wire: &str, forgery: Forgery, per_second: u64) {
        self.forger = Some(Forger {
            wire: wire.to_owned(),
            forgery,
            every_ns: 1000 * MS / per_second,
            turn: 0,
        });
        self.agenda.retain(|(_, what)| *what != LabEvent::Forge);
        self.enqueue(self.clock.now_ns(), 0, LabEvent::Forge);
    }

    pub fn end_forging(&mut self) {
        self.forger = None;
    }

    pub(super) fn send_forgery(&mut self) {
        let Some(forger) = &mut self.forger else {
            return;
        };
        forger.turn += 1;
        let (turn, wire) = (forger.turn, forger.wire.clone());
        let (forgery, every_ns) = (forger.forgery, forger.every_ns);
        self.enqueue(self.clock.now_ns() + every_ns, 0, LabEvent::Forge);
        let forgery = match (forgery, turn % 6) {
            (Forgery::Everything, 0) => Forgery::Advert(255, LONGEST_NS),
            (Forgery::Everything, 1) => Forgery::Advert(0, 100 * MS),
            (Forgery::Everything, 2) => Forgery::Own,
            (Forgery::Everything, 3) => Forgery::Replay,
            (Forgery::Everything, 4) => Forgery::HeldBack(10),
            (Forgery::Everything, _) => Forgery::Advert(1, 10 * MS),
            (forgery, _) => forgery,
        };
        for to in 0..2 {
            match forgery {
                Forgery::Advert(priority, interval_ns) => {
                    let frame = self.forged(&wire, 1 - to, priority, interval_ns);
                    self.deliver(to, &wire, &frame);
                }
                Forgery::Own => {
                    let frame = self.forged(&wire, to, 255, LONGEST_NS);
                    self.deliver(to, &wire, &frame);
                }
                Forgery::Replay => self.replay(to, &wire, 1),
                Forgery::HeldBack(later) => self.replay(to, &wire, later),
                Forgery::Everything => {}
            }
        }
    }

    fn forged(&self, wire: &str, from: usize, priority: u8, interval_ns: u64) -> Vec<u8> {
        let facts = &self.nodes[from].facts[wire];
        let source = facts.addresses[0];
        let virtual_one = match source {
            IpAddr::V4(source) => {
                let [a, b, c, _] = source.octets();
                IpAddr::from([a, b, c, 1])
            }
            IpAddr::V6(_) => source,
        };
        let repr = Repr {
            version: Version::V3,
            family: Family::of(source),
            vrid: 7,
            priority,
            interval_ns,
            addresses: &[virtual_one],
            form: ChecksumForm::Message,
            password: None,
        };
        let mut frame = Vec::new();
        emit_frame(facts.mac, source, &repr, &mut frame);
        frame
    }
}
