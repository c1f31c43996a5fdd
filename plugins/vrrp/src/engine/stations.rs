//! E3: other stations of a network: which spoke there, which this node asked, and which answers prove the network.
//!
//! A frame that arrives shows that the network carries to this node. Only the answer to a question shows that it
//! carries in the other direction as well: a card that no longer sends hears other stations all the same.

use std::net::IpAddr;

use crate::wire::Mac;
use crate::wire::neighbour::{Reply, probe};

/// Time after a question within which its answer counts.
const ANSWER_TIMEOUT_NS: u64 = 1_000_000_000;
/// Number of stations of a family that are remembered, those that spoke last: they are asked if the kernel knows no
/// neighbour.
const HEARD_MAX: usize = 4;

#[derive(Clone, Debug, Default)]
pub(super) struct Stations {
    /// Stations that spoke, the latest first.
    heard: Vec<IpAddr>,
    questions: Vec<Question>,
}

#[derive(Clone, Copy, Debug)]
struct Question {
    mac: Mac,
    own: IpAddr,
    target: IpAddr,
    asked_ns: u64,
}

impl Stations {
    /// Remembers a station, which said that it has an address.
    pub fn note_heard(&mut self, address: IpAddr) {
        if self.heard.first() == Some(&address) {
            return;
        }
        self.heard.retain(|it| *it != address);
        // a group of one family asks no station of the other
        let is_same = |it: &IpAddr| it.is_ipv4() == address.is_ipv4();
        let oldest = self.heard.iter().rposition(is_same);
        let is_full = self.heard.iter().filter(|it| is_same(it)).count() >= HEARD_MAX;
        if let Some(oldest) = oldest.filter(|_| is_full) {
            self.heard.remove(oldest);
        }
        self.heard.insert(0, address);
    }

    pub fn heard(&self) -> &[IpAddr] {
        &self.heard
    }

    /// Remembers a question and returns its frame; None if the families of the addresses differ.
    pub fn ask(&mut self, now_ns: u64, mac: Mac, own: IpAddr, target: IpAddr) -> Option<Vec<u8>> {
        let frame = probe(mac, own, target)?;
        let asked = (mac, own, target);
        self.questions.retain(|it| {
            (it.mac, it.own, it.target) != asked
                && now_ns.saturating_sub(it.asked_ns) <= ANSWER_TIMEOUT_NS
        });
        self.questions.push(Question {
            mac,
            own,
            target,
            asked_ns: now_ns,
        });
        Some(frame)
    }

    /// True if a reply proves the network in both directions: the station that was asked answers the address and MAC
    /// that asked, in time.
    pub fn is_answer(&self, now_ns: u64, reply: &Reply) -> bool {
        self.questions.iter().any(|it| {
            (reply.sender, reply.to_mac, reply.to) == (it.target, it.mac, it.own)
                && now_ns.saturating_sub(it.asked_ns) <= ANSWER_TIMEOUT_NS
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const OWN: Mac = [2, 0, 0, 0, 1, 2];
    const THIRD: Mac = [2, 0, 0, 0, 0, 0x99];

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn asked() -> (Stations, Reply) {
        let mut stations = Stations::default();
        let (own, target) = (ip("10.1.0.2"), ip("10.1.0.250"));
        assert!(stations.ask(SECOND, OWN, own, target).is_some());
        let reply = Reply {
            mac: THIRD,
            sender: target,
            to_mac: OWN,
            to: own,
        };
        (stations, reply)
    }

    #[test]
    fn only_who_was_asked_answers_and_only_who_asked() {
        let (stations, reply) = asked();
        assert!(stations.is_answer(SECOND, &reply));
        let (sender, to) = (ip("10.1.0.251"), ip("10.1.0.9"));
        for other in [
            Reply { sender, ..reply },
            Reply { to, ..reply },
            Reply {
                to_mac: THIRD,
                ..reply
            },
            Reply {
                to_mac: [0xff; 6],
                ..reply
            },
        ] {
            assert!(!stations.is_answer(SECOND, &other), "{other:?}");
        }
    }

    #[test]
    fn an_answer_counts_for_a_second() {
        let (mut stations, reply) = asked();
        assert!(stations.is_answer(2 * SECOND, &reply));
        assert!(!stations.is_answer(2 * SECOND + 1, &reply));
        assert!(
            stations
                .ask(2 * SECOND, OWN, reply.to, reply.sender)
                .is_some()
        );
        assert!(stations.is_answer(3 * SECOND, &reply));
        assert_eq!(stations.questions.len(), 1);
    }

    #[test]
    fn the_last_to_speak_are_remembered() {
        let mut stations = Stations::default();
        for host in [1, 2, 3, 4, 5, 6, 3, 3] {
            stations.note_heard(IpAddr::from([10, 1, 0, host]));
        }
        let heard = [3, 6, 5, 4].map(|host| IpAddr::from([10, 1, 0, host]));
        assert_eq!(stations.heard(), heard);
        for host in 1..9 {
            stations.note_heard(ip(&format!("fe80::{host}")));
        }
        assert_eq!(stations.heard().len(), 8);
        assert_eq!(stations.heard()[4..], heard);
    }
}
