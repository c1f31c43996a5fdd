//! E15: remembers for an hour which virtual identities passed on a network, and moves the role because of it.
//!
//! The virtual identity of a backup does not exist, so only the time when that node was active tells whether it passes.
//! A node that has not been active yet is *untried*.

use super::Context;
use super::group::Group;
use super::port::Port;
use crate::election::Rank;
use crate::wire::heartbeat::{Families, Identity};

/// Time for which the last observation counts, while there is no newer one.
const REMEMBERED_NS: u64 = 3_600_000_000_000;
/// Class of a node that is forced active (E0).
const FORCED: u8 = 3;

/// Last observations of the virtual identity of a node on a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct IdentityMemory {
    passed_ns: Option<u64>,
    dropped: Option<DroppedIdentity>,
}

/// A time in which a virtual identity does not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DroppedIdentity {
    pub families: Families,
    pub since_ns: u64,
    last_ns: u64,
}

impl IdentityMemory {
    pub fn note(&mut self, now_ns: u64, seen: Identity) {
        match seen {
            Identity::NoMac(families) => {
                let since_ns = self.dropped(now_ns).map_or(now_ns, |it| it.since_ns);
                self.dropped = Some(DroppedIdentity {
                    families,
                    since_ns,
                    last_ns: now_ns,
                });
            }
            // protocol 112 is filtered, and clients do not use it
            Identity::Heard | Identity::NoAdverts(_) => {
                *self = IdentityMemory {
                    passed_ns: Some(now_ns),
                    dropped: None,
                };
            }
            Identity::Unknown => {}
        }
    }

    /// Last time in which the identity did not pass; None if it has passed since, or if that is longer ago than an
    /// hour.
    pub fn dropped(&self, now_ns: u64) -> Option<DroppedIdentity> {
        self.dropped
            .filter(|it| now_ns < it.last_ns.saturating_add(REMEMBERED_NS))
    }

    /// Time when the identity passed last, within an hour.
    pub fn passed_ns(&self, now_ns: u64) -> Option<u64> {
        self.passed_ns
            .filter(|at_ns| now_ns < at_ns.saturating_add(REMEMBERED_NS))
    }
}

impl Group {
    /// Stores the observations, after each heartbeat of the peer and each answer of a station or the lack of one.
    pub(super) fn remember_identities(&mut self, now_ns: u64) {
        let find = |group: &Group, port: &Port| {
            let theirs = group.peer_port(port);
            let is_unusable_there = theirs.is_some_and(|theirs| !theirs.usable);
            (group.virtual_identity(now_ns, port), is_unusable_there)
        };
        self.review_ports(find, |port, ((is_own, seen), is_unusable_there)| {
            // an interface that comes back may be in another port of the switch
            if !port.can_send() {
                port.virtual_here = IdentityMemory::default();
            }
            if is_own && is_unusable_there {
                port.virtual_there = IdentityMemory::default();
            }
            let memory = if is_own {
                &mut port.virtual_here
            } else {
                &mut port.virtual_there
            };
            memory.note(now_ns, seen);
        });
    }

    /// True if the active node gives the role away because networks drop its virtual identity: more networks drop it
    /// than are known to drop the other node's, and that node is as fit and is heard there.
    pub(super) fn is_dropped_here(
        &self,
        now_ns: u64,
        own: &Rank,
        other: &Rank,
        by_priority: bool,
    ) -> bool {
        let is_equal = other.able && own.class < FORCED && own.equals(other, by_priority);
        if !is_equal || other.hurt > own.hurt {
            return false;
        }
        let (mut gained, mut lost) = (0, 0);
        for port in self.ports() {
            let is_here = self.is_dropped_now(now_ns, port);
            match (is_here, is_dropped_there(now_ns, port)) {
                // E3: the role does not move to a node that is not proven there
                (true, false) if self.is_heard_both_ways(now_ns, port) => gained += 1,
                (false, true) => lost += 1,
                _ => {}
            }
        }
        gained > lost
    }

    /// True if the other node is known to fail on some network, and would serve on no more networks than this one. Then
    /// preference, quality and hurt interfaces do not move the group there.
    pub(super) fn gains_nothing_there(&self, now_ns: u64, own: &Rank, other: &Rank) -> bool {
        let here = self.ports().filter(|it| self.is_dropped_now(now_ns, it));
        let there = self.ports().filter(|it| is_dropped_there(now_ns, it));
        let (here, there) = (here.count(), there.count());
        there > 0 && usize::from(own.hurt) + here <= usize::from(other.hurt) + there
    }

    /// Addresses of the backup's virtual identity that were dropped when that node was active last, by family; true:
    /// the backup is this node.
    pub(super) fn dropped_before(&self, now_ns: u64, port: &Port) -> Option<(bool, Families)> {
        let peer = self.mutual_peer(now_ns)?;
        let (is_own, memory) = match (self.is_active(), peer.is_active()) {
            (true, false) => (false, port.virtual_there),
            (false, true) => (true, port.virtual_here),
            _ => return None,
        };
        memory.dropped(now_ns).map(|it| (is_own, it.families))
    }

    /// Text about dropped virtual identities, as "lan1 drops its virtual MAC".
    pub(super) fn dropped_interfaces(&self, cx: &Context<'_>) -> String {
        let dropped = self.ports().filter(|it| self.is_dropped_now(cx.now_ns, it));
        let names = dropped.filter_map(|port| {
            let name = &cx.interface(port.interface)?.name;
            Some(match self.identity_by_backup(cx.now_ns, port).1 {
                Identity::NoMac(_) => format!("{name} drops its virtual MAC"),
                _ => format!("stations on {name} do not answer its virtual MAC"),
            })
        });
        names.collect::<Vec<_>>().join(", ")
    }

    /// True if this node is backup, and some network dropped its virtual identity when it was active last.
    pub(super) fn was_dropped_here(&self, now_ns: u64) -> bool {
        self.ports().any(|it| self.was_own_dropped(now_ns, it))
    }

    fn was_own_dropped(&self, now_ns: u64, port: &Port) -> bool {
        let before = self.dropped_before(now_ns, port);
        before.is_some_and(|(is_own, _)| is_own)
    }

    /// Text as "lan1 dropped its virtual MAC within the last hour".
    pub(super) fn interfaces_dropped_before(&self, cx: &Context<'_>) -> String {
        let dropped = self
            .ports()
            .filter(|it| self.was_own_dropped(cx.now_ns, it));
        let names = dropped.filter_map(|port| {
            let name = &cx.interface(port.interface)?.name;
            Some(format!(
                "{name} dropped its virtual MAC within the last hour"
            ))
        });
        names.collect::<Vec<_>>().join(", ")
    }

    /// True if this node is active and its virtual identity is dropped.
    fn is_dropped_now(&self, now_ns: u64, port: &Port) -> bool {
        matches!(
            self.virtual_identity(now_ns, port),
            (true, Identity::NoMac(_))
        )
    }
}

/// True if the peer's virtual identity was dropped within an hour of now, or of the time when this node's began to be
/// dropped: while neither passes, another hour is no reason to move back.
fn is_dropped_there(now_ns: u64, port: &Port) -> bool {
    let here = port.virtual_here.dropped(now_ns);
    let since_ns = here.map_or(now_ns, |it| it.since_ns);
    port.virtual_there.dropped(since_ns).is_some()
}
