//! E15: the own and the virtual identity of both nodes on a network, in each direction, as far as they are proven.

use super::dropped_mac_memory::IdentityMemory;
use super::group::{Group, State};
use super::port::Port;
use super::unheard_port::Rating;
use crate::wire::heartbeat::{self, HeartbeatPort, Identity};

/// Time for which a proof is good.
const PROOF_NS: u64 = 3_000_000_000;
/// Time after a change of the role for which a missing proof is no fault.
const BEGIN_NS: u64 = 10_000_000_000;

/// Passage of a node's frames in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Delivery {
    #[default]
    Unknown,
    /// Proven at this time.
    Yes(u64),
    No,
}

/// Passage of an identity's frames on a network, in both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FrameDelivery {
    pub inward: Delivery,
    pub outward: Delivery,
    /// Time since which one of them is `No`, if it is known.
    pub since_ns: Option<u64>,
}

/// Both identities of a node on a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Identities {
    /// Identity with the node's own MAC and IP address.
    pub own: FrameDelivery,
    /// Identity with the group's addresses, and with `vmac` with the virtual MAC address. For a backup: as it was when
    /// that node was active last.
    pub group: FrameDelivery,
}

impl Delivery {
    fn within(now_ns: u64, for_ns: u64, at_ns: Option<u64>) -> Delivery {
        let fresh = at_ns.filter(|at_ns| now_ns < at_ns.saturating_add(for_ns));
        fresh.map_or(Delivery::Unknown, Delivery::Yes)
    }

    fn name(self) -> &'static str {
        match self {
            Delivery::Unknown => "unknown",
            Delivery::Yes(_) => "yes",
            Delivery::No => "no",
        }
    }
}

impl FrameDelivery {
    fn of(both: Delivery) -> FrameDelivery {
        FrameDelivery {
            inward: both,
            outward: both,
            since_ns: None,
        }
    }

    fn reversed(self) -> FrameDelivery {
        FrameDelivery {
            inward: self.outward,
            outward: self.inward,
            ..self
        }
    }

    /// Text as "in yes, out yes, proven 1 s ago", "in no, out yes, dropped for 12 s", or "in unknown, out unknown, not
    /// proven yet".
    pub fn text(self, now_ns: u64) -> String {
        let (inward, outward) = (self.inward, self.outward);
        let both = [inward, outward];
        let seconds = |at_ns: u64| now_ns.saturating_sub(at_ns) / 1_000_000_000;
        let proven = both.iter().filter_map(|it| match it {
            Delivery::Yes(at_ns) => Some(*at_ns),
            _ => None,
        });
        let what = match (both.contains(&Delivery::No), proven.min()) {
            (true, _) => match self.since_ns {
                Some(since_ns) => format!("dropped for {} s", seconds(since_ns)),
                None => "dropped".to_owned(),
            },
            (false, Some(at_ns)) => format!("proven {} s ago", seconds(at_ns)),
            (false, None) => "not proven yet".to_owned(),
        };
        format!("in {}, out {}, {what}", inward.name(), outward.name())
    }
}

impl Group {
    /// Identities of this node on a port, then the peer's.
    pub(super) fn identities(&self, now_ns: u64, port: &Port) -> [Identities; 2] {
        let [own, theirs] = self.own_delivery(now_ns, port);
        let is_peer_active = self
            .mutual_peer(now_ns)
            .is_some_and(|peer| peer.is_active());
        let active = |own| self.active_delivery(now_ns, port, own);
        let here = if self.is_active() {
            active(own)
        } else {
            remembered(now_ns, port.virtual_here)
        };
        let there = if is_peer_active && !self.is_active() {
            active(theirs)
        } else {
            remembered(now_ns, port.virtual_there)
        };
        let of = |own, group| Identities { own, group };
        [of(own, here), of(theirs, there)]
    }

    /// Networks of the group, if nothing proves on any of them that the active node is reached, and nothing else is
    /// reported of them.
    pub(super) fn unproven_networks(&self, now_ns: u64) -> Option<Vec<usize>> {
        let State::Active { since_ns, .. } = self.state else {
            return None;
        };
        let is_settled = now_ns >= since_ns.saturating_add(BEGIN_NS);
        let peer = self.mutual_peer(now_ns).filter(|peer| !peer.is_active())?;
        let is_long = now_ns >= peer.idle_since_ns.saturating_add(BEGIN_NS);
        let is_unproven = |port: &Port| {
            let [here, _] = self.identities(now_ns, port);
            let unknown = [here.own, here.group];
            let is_unknown = unknown.iter().all(|it| *it == FrameDelivery::default());
            let is_told = port.unheard.current().is_some() || port.is_one_way();
            port.can_send() && !port.has_small_mtu() && !is_told && is_unknown
        };
        let is_all = self.ports().all(is_unproven);
        let networks = self.ports().map(|port| port.interface);
        (is_settled && is_long && is_all && !self.networks.ports().is_empty())
            .then(|| networks.collect())
    }

    /// Own identities of this node and of the peer, by heartbeats and their contents; where none are heard, by the
    /// answers of stations (E3).
    fn own_delivery(&self, now_ns: u64, port: &Port) -> [FrameDelivery; 2] {
        let peer = self.mutual_peer(now_ns);
        let theirs = peer.and_then(|_| self.peer_port(port));
        let told_ns = peer.map(|peer| peer.heard_ns);
        let for_ns = self.proof_ns();
        let hears_this = theirs.is_some_and(|it| it.hears);
        let heard = FrameDelivery {
            inward: Delivery::within(
                now_ns,
                for_ns,
                port.reception.heard_ns().filter(|_| peer.is_some()),
            ),
            outward: Delivery::within(now_ns, for_ns, told_ns.filter(|_| hears_this)),
            since_ns: None,
        };
        let here = match port.unheard.current() {
            Some(unheard) if unheard.rating == Rating::Good => {
                FrameDelivery::of(Delivery::Yes(unheard.answered_ns()))
            }
            Some(unheard) if unheard.rating == Rating::Bad => FrameDelivery::of(Delivery::No),
            _ => heard,
        };
        let rating = |it: &HeartbeatPort| it.rating;
        let there = match (theirs.map(rating), told_ns) {
            (Some(heartbeat::Rating::Good), Some(at_ns)) => FrameDelivery::of(Delivery::Yes(at_ns)),
            (Some(heartbeat::Rating::Bad), _) => FrameDelivery::of(Delivery::No),
            _ => heard.reversed(),
        };
        [here, there]
    }

    /// Virtual identity of the active node, whose own identity is `own`.
    fn active_delivery(&self, now_ns: u64, port: &Port, own: FrameDelivery) -> FrameDelivery {
        let (is_own, heard) = self.identity_by_backup(now_ns, port);
        let (_, asked) = self.identity_by_stations(now_ns, port);
        let memory = if is_own {
            port.virtual_here
        } else {
            port.virtual_there
        };
        let mut routers = self.networks.routers_on(port);
        let has_mac = routers.any(|router| router.config.vmac.is_some());
        let told_ns = self.mutual_peer(now_ns).map(|peer| peer.heard_ns);
        let heard_at = Delivery::within(now_ns, self.proof_ns(), told_ns);
        let outward = match heard {
            Identity::Heard => heard_at,
            Identity::NoAdverts(_) if has_mac => heard_at,
            Identity::NoMac(_) => Delivery::No,
            Identity::NoAdverts(_) | Identity::Unknown => Delivery::Unknown,
        };
        let (inward, outward) = match asked {
            Identity::Heard => {
                let answered = Delivery::Yes(self.answered_ns(port).unwrap_or(now_ns));
                (answered, answered)
            }
            Identity::NoMac(_) => (Delivery::No, outward),
            // without `vmac` heartbeats and the group use the same MAC address
            _ if !has_mac => (own.inward, outward),
            _ => (Delivery::Unknown, outward),
        };
        FrameDelivery {
            inward,
            outward,
            since_ns: memory.dropped(now_ns).map(|it| it.since_ns),
        }
    }

    /// Time for which a proof is good: heartbeats of slow groups are further apart.
    fn proof_ns(&self) -> u64 {
        PROOF_NS.max(self.active_down_ns())
    }

    /// Time of the oldest of the last answers to the virtual MAC addresses of this node.
    fn answered_ns(&self, port: &Port) -> Option<u64> {
        let routers = self.networks.routers_on(port);
        routers.filter_map(|it| it.answers.answered_ns()).min()
    }
}

fn remembered(now_ns: u64, memory: IdentityMemory) -> FrameDelivery {
    let dropped = memory.dropped(now_ns);
    let passed = memory.passed_ns(now_ns);
    let both = match (dropped, passed) {
        (Some(_), _) => Delivery::No,
        (None, Some(at_ns)) => Delivery::Yes(at_ns),
        (None, None) => Delivery::Unknown,
    };
    FrameDelivery {
        since_ns: dropped.map(|it| it.since_ns),
        ..FrameDelivery::of(both)
    }
}
