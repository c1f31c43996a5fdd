//! E3: whether a wire that the group has moved for speaks both ways again.
//!
//! A backup sends no adverts, so that the active node cannot hear whether its wire carries that
//! way too: it asks the twin for its MAC. Before that, nothing mild moves the group back.

use std::net::IpAddr;

use super::dispute::{AGAIN_NS, WINDOW_NS};
use super::group::Group;
use super::{Action, Context};
use crate::wire::neighbour;

/// A wire that is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Proof {
    asking: bool,
    next_ns: u64,
}

impl Group {
    /// The twin hears this node there again.
    pub(super) fn seek_proof(&mut self, cx: &mut Context<'_>, index: usize) {
        let askable = self.twin_on(index).is_some();
        let Some(port) = self.ports.get_mut(index).filter(|port| port.moved) else {
            return;
        };
        if !askable {
            port.moved = false;
        } else if port.proof.is_none() {
            port.proof = Some(Proof {
                asking: false,
                next_ns: cx.now_ns,
            });
        }
    }

    pub(super) fn proof_timeout(&self) -> Option<u64> {
        let proofs = self.ports.iter().filter_map(|port| port.proof);
        proofs.map(|proof| proof.next_ns).min()
    }

    pub(super) fn check_proofs(&mut self, cx: &mut Context<'_>) {
        for index in 0..self.ports.len() {
            let port = self.ports.get(index);
            let due = port.and_then(|port| port.proof);
            if due.is_some_and(|proof| cx.now_ns >= proof.next_ns) {
                self.go_on_asking(cx, index);
            }
        }
    }

    fn go_on_asking(&mut self, cx: &mut Context<'_>, index: usize) {
        let frame = self.twin_on(index).and_then(|(own, twin)| {
            let port = self.ports.get(index)?;
            let mac = cx.interface(port.interface)?.facts.mac;
            neighbour::probe(mac, own, twin)
        });
        let Some(port) = self.ports.get_mut(index) else {
            return;
        };
        let Some(proof) = &mut port.proof else { return };
        let interface = port.interface;
        proof.asking = !proof.asking;
        let pause_ns = if proof.asking { WINDOW_NS } else { AGAIN_NS };
        proof.next_ns = cx.now_ns.saturating_add(pause_ns);
        let on = proof.asking;
        cx.push(Action::Listen { interface, on });
        if let Some(frame) = frame.filter(|_| on) {
            cx.push(Action::Probe { interface, frame });
        }
    }

    /// The twin's own address there.
    pub(super) fn is_twins(&self, index: usize, speaker: Option<IpAddr>) -> bool {
        let mut routers = self.routers.iter().filter(|router| router.port == index);
        speaker.is_some() && routers.any(|router| router.twins_address() == speaker)
    }

    /// Own and the twin's address on a port.
    pub(super) fn twin_on(&self, index: usize) -> Option<(IpAddr, IpAddr)> {
        let routers = self.routers.iter().filter(|router| router.port == index);
        routers
            .into_iter()
            .find_map(|router| Some((router.source?, router.twins_address()?)))
    }

    /// Somebody spoke there: the twin is known by its address, as adverts may come from a virtual
    /// MAC.
    pub(super) fn take_proof(
        &mut self,
        cx: &mut Context<'_>,
        index: usize,
        speaker: Option<IpAddr>,
    ) {
        let twins = self.is_twins(index, speaker);
        let port = self.ports.get_mut(index);
        if let Some(port) = port.filter(|port| twins && port.proof.is_some()) {
            port.moved = false;
            self.end_proof(cx, index);
        }
    }

    pub(super) fn end_proof(&mut self, cx: &mut Context<'_>, index: usize) {
        let Some(port) = self.ports.get_mut(index) else {
            return;
        };
        if port.proof.take().is_some_and(|proof| proof.asking) {
            let interface = port.interface;
            cx.push(Action::Listen {
                interface,
                on: false,
            });
        }
    }
}
