//! E3: whether a network because of which the group has moved works in both directions again.
//!
//! A backup sends no adverts, so that the active node cannot hear whether its wire carries that
//! way too: it asks the peer for its MAC. Before that, nothing mild moves the group back.

use std::net::IpAddr;

use super::group::Group;
use super::unheard::{AGAIN_NS, WINDOW_NS};
use super::{Action, Context};
use crate::wire::neighbour;

/// A network being probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OneWayLoss {
    asking: bool,
    next_ns: u64,
}

impl OneWayLoss {
    pub(super) fn is_asking(self) -> bool {
        self.asking
    }
}

impl Group {
    /// The peer hears this node there again.
    pub(super) fn begin_both_ways_check(&mut self, cx: &mut Context<'_>, index: usize) {
        let askable = self.peer_on(index).is_some();
        let Some(port) = self.ports.get_mut(index).filter(|port| port.moved) else {
            return;
        };
        if !askable {
            port.moved = false;
        } else if port.one_way_loss.is_none() {
            port.one_way_loss = Some(OneWayLoss {
                asking: false,
                next_ns: cx.now_ns,
            });
        }
    }

    pub(super) fn both_ways_timeout(&self) -> Option<u64> {
        let losses = self.ports.iter().filter_map(|port| port.one_way_loss);
        losses.map(|loss| loss.next_ns).min()
    }

    pub(super) fn check_both_ways(&mut self, cx: &mut Context<'_>) {
        for index in 0..self.ports.len() {
            let port = self.ports.get(index);
            let due = port.and_then(|port| port.one_way_loss);
            if due.is_some_and(|loss| cx.now_ns >= loss.next_ns) {
                self.go_on_asking(cx, index);
            }
        }
    }

    fn go_on_asking(&mut self, cx: &mut Context<'_>, index: usize) {
        let frame = self.peer_on(index).and_then(|(own, peer)| {
            let port = self.ports.get(index)?;
            let mac = cx.interface(port.interface)?.facts.mac;
            neighbour::probe(mac, own, peer)
        });
        let Some(port) = self.ports.get_mut(index) else {
            return;
        };
        let Some(loss) = &mut port.one_way_loss else {
            return;
        };
        let interface = port.interface;
        loss.asking = !loss.asking;
        let pause_ns = if loss.asking { WINDOW_NS } else { AGAIN_NS };
        loss.next_ns = cx.now_ns.saturating_add(pause_ns);
        let on = loss.asking;
        cx.push(Action::Listen { interface, on });
        // groups of one network ask the same
        let probe = frame.map(|frame| Action::Probe { interface, frame });
        if let Some(probe) = probe.filter(|probe| on && !cx.actions.holds(probe)) {
            cx.push(probe);
        }
    }

    /// The peer's own address there.
    pub(super) fn is_peers(&self, index: usize, speaker: Option<IpAddr>) -> bool {
        let mut routers = self.routers.iter().filter(|router| router.port == index);
        speaker.is_some() && routers.any(|router| router.peers_address() == speaker)
    }

    /// Own and the peer's address on a port.
    pub(super) fn peer_on(&self, index: usize) -> Option<(IpAddr, IpAddr)> {
        let routers = self.routers.iter().filter(|router| router.port == index);
        routers
            .into_iter()
            .find_map(|router| Some((router.source?, router.peers_address()?)))
    }

    /// A station was heard there: the peer is recognised by its address, because adverts may come
    /// from a virtual MAC.
    pub(super) fn note_both_ways(
        &mut self,
        cx: &mut Context<'_>,
        index: usize,
        speaker: Option<IpAddr>,
    ) {
        let peers = self.is_peers(index, speaker);
        let port = self.ports.get_mut(index);
        if let Some(port) = port.filter(|port| peers && port.one_way_loss.is_some()) {
            port.moved = false;
            self.end_both_ways_check(cx, index);
        }
    }

    pub(super) fn end_both_ways_check(&mut self, cx: &mut Context<'_>, index: usize) {
        let Some(port) = self.ports.get_mut(index) else {
            return;
        };
        if port.one_way_loss.take().is_some_and(|loss| loss.asking) {
            let interface = port.interface;
            cx.push(Action::Listen {
                interface,
                on: false,
            });
        }
    }
}
