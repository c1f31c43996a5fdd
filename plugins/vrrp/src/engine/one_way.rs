//! E3: checks whether a network because of which the group has moved works in both directions again.
//!
//! Heartbeats show it. If a network has none, a backup sends nothing there, so that the active node cannot hear whether
//! the network carries in that direction too: it asks the peer for its MAC. Until an answer, preference and priority do
//! not move the group back.

use std::net::IpAddr;

use super::Context;
use super::group::Group;
use super::port::Port;
use super::unheard_port::{AGAIN_NS, WINDOW_NS};

/// Check of a network, as long as it is not known to work in both directions.
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
    /// Begins the check: the peer hears this node there again.
    pub(super) fn begin_both_ways_check(&mut self, cx: &mut Context<'_>, index: usize) {
        let asks =
            |port: &Port| !self.is_heard_both_ways(cx.now_ns, port) && self.peer_on(port).is_some();
        let must_ask = self.networks.port(index).is_some_and(asks);
        let port = self.networks.port_mut(index);
        let Some(port) = port.filter(|port| port.unheard.has_moved()) else {
            return;
        };
        if !must_ask {
            port.unheard.end_move();
            self.end_both_ways_check(index);
        } else if port.one_way_loss.is_none() {
            port.one_way_loss = Some(OneWayLoss {
                asking: false,
                next_ns: cx.now_ns,
            });
        }
    }

    pub(super) fn both_ways_timeout(&self) -> Option<u64> {
        let losses = self.ports().filter_map(|port| port.one_way_loss);
        losses.map(|loss| loss.next_ns).min()
    }

    pub(super) fn check_both_ways(&mut self, cx: &mut Context<'_>) {
        for index in 0..self.networks.ports().len() {
            let port = self.networks.port(index);
            let due = port.and_then(|port| port.one_way_loss);
            if due.is_some_and(|loss| cx.now_ns >= loss.next_ns) {
                self.repeat_question(cx.now_ns, index);
            }
        }
    }

    fn repeat_question(&mut self, now_ns: u64, index: usize) {
        let port = self.networks.port_mut(index);
        let Some(loss) = port.and_then(|port| port.one_way_loss.as_mut()) else {
            return;
        };
        loss.asking = !loss.asking;
        let pause_ns = if loss.asking { WINDOW_NS } else { AGAIN_NS };
        loss.next_ns = now_ns.saturating_add(pause_ns);
        self.networks.note_listening_changed();
    }

    /// True if an address is the peer's own on a port.
    pub(super) fn is_peer_address(&self, port: &Port, address: IpAddr) -> bool {
        let mut routers = self.networks.routers_on(port);
        routers.any(|router| router.senders.peer_address() == Some(address))
    }

    /// This node's address and the peer's on a port.
    pub(super) fn peer_on(&self, port: &Port) -> Option<(IpAddr, IpAddr)> {
        let mut routers = self.networks.routers_on(port);
        routers.find_map(|router| Some((router.source?, router.senders.peer_address()?)))
    }

    /// Ends the check: the peer has answered this node there. If the peer's heartbeats are known to arrive there, only
    /// they count: what drops them may let ARP pass.
    pub(super) fn note_both_ways(&mut self, index: usize) {
        let theirs = self.networks.port(index).and_then(|it| self.peer_port(it));
        let sends = theirs.is_some_and(|theirs| theirs.sends);
        let port = self.networks.port_mut(index);
        let port = port.filter(|port| !(sends && port.reception.has_heartbeats()));
        if let Some(port) = port.filter(|port| port.one_way_loss.is_some()) {
            port.unheard.end_move();
            self.end_both_ways_check(index);
        }
    }

    pub(super) fn end_both_ways_check(&mut self, index: usize) {
        let port = self.networks.port_mut(index);
        let ended = port.and_then(|port| port.one_way_loss.take());
        if ended.is_some_and(OneWayLoss::is_asking) {
            self.networks.note_listening_changed();
        }
    }
}
