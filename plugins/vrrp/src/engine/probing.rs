//! E3: the probes of an unheard network, once for all groups on it.

use std::net::IpAddr;

use super::group::Group;
use super::port::Port;
use super::{Action, Context, Engine};
use crate::wire::neighbour;

/// Interval of probes while answers are waited for: one frame that a loaded network loses is no verdict.
const PROBE_NS: u64 = 100_000_000;
/// Number of neighbours probed in addition to the configured witnesses.
const NEIGHBOURS_MAX: usize = 8;

impl Engine {
    /// Answers [`Action::FindNeighbours`].
    pub fn handle_neighbours(&mut self, now_ns: u64, interface: usize, neighbours: &[IpAddr]) {
        // virtual addresses are the pair's, whichever group they are of
        let is_virtual = |address: &IpAddr| {
            let routers = self.groups.iter().flat_map(|group| &group.routers);
            let mut virtuals = routers.flat_map(|router| &router.config.addresses);
            virtuals.any(|one| one.address == *address)
        };
        let stations = neighbours.iter().filter(|address| !is_virtual(address));
        let stations: Vec<IpAddr> = stations.take(NEIGHBOURS_MAX).copied().collect();
        let mut questions = Vec::new();
        for group in &mut self.groups {
            group.ask_there(now_ns, interface, &stations, &mut questions);
        }
        let Some(there) = self.interfaces.get_mut(interface) else {
            return;
        };
        there.probed_ns = Some(now_ns);
        for (own, target) in questions {
            if let Some(frame) = neighbour::probe(there.facts.mac, own, target) {
                self.actions.push(Action::Probe { interface, frame });
            }
        }
    }
}

impl Group {
    /// One question is enough for all groups, as each of them hears the answers.
    pub(super) fn probe(&mut self, cx: &mut Context<'_>, index: usize) {
        let Some(port) = self.ports.get_mut(index) else {
            return;
        };
        let interface = port.interface;
        let probed_ns = cx.interface(interface).and_then(|it| it.probed_ns);
        let due_ns = probed_ns.map_or(cx.now_ns, |at_ns| at_ns.saturating_add(PROBE_NS));
        let is_due = cx.now_ns >= due_ns;
        if let Some(unheard) = &mut port.unheard {
            let next_ns = cx.now_ns.saturating_add(PROBE_NS);
            unheard.probe_ns = if is_due { next_ns } else { due_ns };
        }
        let question = Action::FindNeighbours { interface };
        if is_due && !cx.actions.holds(&question) {
            cx.push(question);
        }
    }

    /// Adds whom the group asks on an interface, and in whose name, to what others ask there.
    fn ask_there(
        &mut self,
        now_ns: u64,
        interface: usize,
        neighbours: &[IpAddr],
        questions: &mut Vec<(IpAddr, IpAddr)>,
    ) {
        let here = |port: &Port| port.interface == interface;
        let Some(index) = self.ports.iter().position(here) else {
            return;
        };
        let port = self.ports.get_mut(index);
        let Some(unheard) = port.and_then(|port| port.unheard.as_mut()) else {
            return;
        };
        if !unheard.is_asking() {
            return;
        }
        unheard.probe_ns = now_ns.saturating_add(PROBE_NS);
        let mut asked = 0;
        for router in self.routers.iter().filter(|router| router.port == index) {
            let Some(own) = router.source else { continue };
            let witnesses = router.config.witnesses.iter();
            for target in witnesses.chain(neighbours) {
                let is_pairs = router.config.peers.contains(target)
                    || router.config.advertised.contains(target)
                    || router.peers_address() == Some(*target)
                    || self
                        .active_router
                        .is_some_and(|peer| peer.address == *target);
                if is_pairs || own.is_ipv4() != target.is_ipv4() {
                    continue;
                }
                asked += 1;
                if !questions.contains(&(own, *target)) {
                    questions.push((own, *target));
                }
            }
        }
        // who was asked before counts, also where the kernel has forgotten that neighbour since
        unheard.asked = unheard.asked.max(asked);
    }
}
