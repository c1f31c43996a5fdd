//! Random histories: whatever happens, no number is used twice, no two nodes send with one key, and in the end the
//! backup has what the active node has.

use proptest::prelude::*;

use super::*;
use crate::config::Inbound;

#[derive(Clone, Copy, Debug)]
enum Step {
    Establish(u32),
    End(u32),
    /// Packets on both SAs of a tunnel.
    Carry(u32, u64),
    /// The active node dies, and is back as a backup with nothing.
    Kill,
    /// The plugin of a node starts again.
    Restart(usize),
    /// The active node fails, and the other one takes over.
    Fault,
    SwitchOver,
    /// Both nodes are active for a while and send, with this number of packets each; the earlier or the later one stays.
    Conflict(u64, bool),
    /// A failover is prepared and does not happen.
    Settle,
    Cut,
    Link,
    /// Notifications of the active node are lost, with these packets.
    Overrun(u32, u64),
    /// The backup's kernel lacks an algorithm, or no longer lacks it.
    Lack(bool),
    /// A daemon on both nodes listens for packets without an SA, and many come; or none does.
    Flood(bool),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let number = 0_u32..6;
    prop_oneof![
        6 => number.clone().prop_map(Step::Establish),
        2 => number.clone().prop_map(Step::End),
        12 => (number.clone(), 1_u64..300).prop_map(|(number, packets)| Step::Carry(number, packets)),
        3 => Just(Step::Kill),
        2 => (0_usize..2).prop_map(Step::Restart),
        2 => Just(Step::Fault),
        4 => Just(Step::SwitchOver),
        1 => (1_u64..300, any::<bool>()).prop_map(|(packets, stays)| Step::Conflict(packets, stays)),
        2 => Just(Step::Settle),
        2 => Just(Step::Cut),
        4 => Just(Step::Link),
        1 => (number, 1_u64..300).prop_map(|(number, packets)| Step::Overrun(number, packets)),
        1 => any::<bool>().prop_map(Step::Lack),
        2 => any::<bool>().prop_map(Step::Flood),
        6 => (1_u64..40_000).prop_map(Step::Pass),
    ]
}

struct World {
    pair: Pair,
    active: usize,
    /// SPIs are not used twice.
    generation: u32,
    /// Present generation of each tunnel's SAs.
    present: BTreeMap<u32, u32>,
    sent: BTreeMap<SaId, u64>,
    received: BTreeMap<SaId, BTreeSet<u64>>,
    /// SAs on which packets were received while the backup could not learn of it.
    unreplicated: BTreeSet<SaId>,
    /// SAs of these that were taken over without that knowledge.
    missed: BTreeSet<SaId>,
    refuse: bool,
}

impl World {
    fn new(refuse: bool) -> Self {
        let settings = Settings {
            inbound: if refuse {
                Inbound::Refuse
            } else {
                Inbound::Accept
            },
            ..Settings::default()
        };
        let mut pair = Pair::with(settings);
        pair.link();
        pair.activate(0);
        Self {
            pair,
            active: 0,
            generation: 0,
            present: BTreeMap::new(),
            sent: BTreeMap::new(),
            received: BTreeMap::new(),
            unreplicated: BTreeSet::new(),
            missed: BTreeSet::new(),
            refuse,
        }
    }

    fn apply(&mut self, step: Step) {
        let (active, backup) = (self.active, 1 - self.active);
        match step {
            Step::Establish(number) if !self.present.contains_key(&number) => {
                self.generation += 1;
                let name = number + 100 * self.generation;
                self.pair.establish(active, name);
                self.name_spis(name);
                self.present.insert(number, name);
            }
            Step::End(number) => {
                if let Some(name) = self.present.remove(&number) {
                    self.pair.end(active, name);
                }
            }
            Step::Carry(number, packets) => self.carry(number, packets, true),
            Step::Kill => {
                self.pair.kill(active);
                self.take_over(true);
                self.pair.link();
            }
            // a backup without a link forgets which policies it put, and could not tell them from others'
            Step::Restart(node) if node == active || self.pair.linked => {
                self.pair.restart(node, node == active);
            }
            Step::Fault => {
                self.pair.role(active, false);
                self.take_over(false);
            }
            Step::SwitchOver if self.pair.linked => {
                self.pair.switch_over(active);
                self.active = backup;
                self.check_received();
            }
            Step::Conflict(packets, stays) if self.pair.linked => self.conflict(packets, stays),
            Step::Settle => {
                self.pair.prepare(backup);
                self.pair.run(4 * S);
            }
            Step::Cut if self.pair.linked => self.pair.cut(),
            Step::Link if !self.pair.linked => {
                self.pair.link();
                self.pair.run(S);
                self.unreplicated.clear();
            }
            Step::Overrun(number, packets) => {
                self.pair.nodes[active].kernel.loses_notifications = true;
                self.carry(number, packets, false);
                self.pair.nodes[active].kernel.loses_notifications = false;
                let now_ns = self.pair.now_ns;
                self.pair.nodes[active]
                    .engine
                    .handle_event(now_ns, XfrmEvent::Unsure);
                self.pair.settle();
            }
            Step::Lack(lacks) => {
                for node in &mut self.pair.nodes {
                    node.kernel.lacks.clear();
                }
                if lacks {
                    let body = tunnel(0)[0].body.clone();
                    self.pair.nodes[backup].kernel.remove_algorithm(&body, 38);
                }
            }
            Step::Flood(is_flooded) => {
                for node in &mut self.pair.nodes {
                    node.kernel.is_flooded = is_flooded;
                }
            }
            Step::Pass(ms) => self.pair.run(ms * MS),
            _ => {}
        }
        self.pair.settle();
        self.meet_policies();
        self.assert_one_sends();
    }

    /// charon's policies name the SPIs of their SAs.
    fn name_spis(&mut self, name: u32) {
        for direction in [1, 0, 2] {
            let kernel = &mut self.pair.nodes[self.active].kernel;
            kernel.put_policy(policy_with_spi(name, direction));
        }
        self.pair.settle();
    }

    fn meet_policies(&mut self) {
        for node in &mut self.pair.nodes {
            if node.kernel.is_flooded {
                node.kernel.meet_policies();
            }
        }
    }

    fn carry(&mut self, number: u32, packets: u64, heard: bool) {
        let active = self.active;
        let Some(name) = self.present.get(&number) else {
            return;
        };
        let (inbound, outbound) = (in_of(*name), out_of(*name));
        for _ in 0..packets {
            let kernel = &mut self.pair.nodes[active].kernel;
            kernel.carry(&outbound);
            if let Some(sa) = kernel.sa(&outbound) {
                let sent = self.sent.entry(outbound).or_default();
                assert!(sa.replay.oseq > *sent, "{} is sent again", sa.replay.oseq);
                *sent = sa.replay.oseq;
            }
            // the other side goes on from its own last number
            let received = self.received.entry(inbound).or_default();
            let next = received.last().map_or(1, |it| it + 1);
            let known = kernel.sa(&inbound).map_or(0, |sa| sa.replay.seq);
            let next = next.max(known + 1);
            if kernel.receive(&inbound, next) {
                assert!(received.insert(next), "{next} is received again");
            }
            if heard {
                self.pair.settle();
            }
        }
        if !self.pair.linked {
            self.unreplicated.insert(inbound);
        }
    }

    fn take_over(&mut self, dead: bool) {
        self.missed.extend(std::mem::take(&mut self.unreplicated));
        self.pair.run(500 * MS);
        self.active = 1 - self.active;
        self.pair.activate(self.active);
        if dead || !self.pair.linked {
            self.check_received();
        }
        self.end_lost();
    }

    fn conflict(&mut self, packets: u64, stays: bool) {
        let (earlier, later) = (self.active, 1 - self.active);
        self.pair.cut();
        self.pair.activate(later);
        for name in self.present.values() {
            let id = out_of(*name);
            let mut numbers = BTreeSet::new();
            for kernel in self.pair.nodes.iter_mut().map(|it| &mut it.kernel) {
                for _ in 0..packets {
                    kernel.carry(&id);
                    let number = kernel.sa(&id).map(|it| it.replay.oseq);
                    let is_new = number.is_none_or(|it| numbers.insert(it));
                    assert!(is_new, "{number:?} is sent again");
                }
            }
            let sent = self.sent.entry(id).or_default();
            *sent = numbers.last().copied().unwrap_or_default().max(*sent);
        }
        let (stays, goes) = if stays {
            (earlier, later)
        } else {
            (later, earlier)
        };
        self.pair.settle();
        self.pair.role(goes, false);
        self.active = stays;
        self.pair.link();
        self.pair.run(S);
        self.end_lost();
    }

    /// The IKE daemon finds the tunnels that were lost.
    fn end_lost(&mut self) {
        let kernel = &self.pair.nodes[self.active].kernel;
        let there =
            |name: &u32| kernel.sa(&in_of(*name)).is_some() && kernel.sa(&out_of(*name)).is_some();
        let lost: Vec<u32> = self
            .present
            .values()
            .copied()
            .filter(|it| !there(it))
            .collect();
        self.present.retain(|_, name| !lost.contains(name));
        for name in lost {
            self.pair.end(self.active, name);
        }
    }

    /// Asserts that packets received before a failover are refused after it.
    fn check_received(&mut self) {
        if !self.refuse {
            return;
        }
        let kernel = &self.pair.nodes[self.active].kernel;
        for (id, received) in &self.received {
            let Some(sa) = kernel.sa(id).filter(|_| !self.missed.contains(id)) else {
                continue;
            };
            for number in received {
                let refused = crate::engine::window::has_received(&sa.replay, *number);
                assert!(refused, "{number} would be received again");
            }
        }
    }

    fn assert_one_sends(&self) {
        let backup = &self.pair.nodes[1 - self.active];
        let linked = self.pair.linked && backup.engine.is_complete();
        if linked {
            assert_eq!(backup.kernel.sas(), []);
        }
        let [one, two] = [0, 1].map(|node| self.pair.nodes[node].kernel.sas());
        for id in one.iter().filter(|id| two.contains(id)) {
            assert!(id.destination == VIP, "both nodes send with {:08x}", id.spi);
        }
    }

    fn heal(&mut self) {
        for node in &mut self.pair.nodes {
            node.kernel.lacks.clear();
        }
        if !self.pair.linked {
            self.pair.link();
        }
        self.pair.run(65 * S);
    }

    fn check(&mut self) {
        let (active, backup) = (self.active, 1 - self.active);
        let [a, b] = [active, backup].map(|node| &self.pair.nodes[node]);
        assert!(b.in_sync.0, "{:?}", b.in_sync);
        let held: Vec<SaId> = b.engine.store.held.sas().keys().copied().collect();
        assert_eq!(a.kernel.sas(), held);
        assert_eq!(b.kernel.sas(), []);
        for id in &held {
            let here = &a.kernel.sa(id).expect("it is there").replay;
            let there = &b.engine.store.held.sas()[id].sa.replay;
            let behind = (here.seq + here.oseq) - (there.seq + there.oseq);
            let threshold = b.engine.store.held.sas()[id].pace.threshold;
            assert!(behind < u64::from(threshold.max(1)) + 1);
        }
        let policies = |node: &Node| -> Vec<PolicyId> {
            let policies = node.kernel.policies().into_iter();
            policies.map(|it| it.id).collect()
        };
        assert_eq!(policies(a), policies(b));
        assert!(a.holds.is_none() && b.holds.is_none());
        // when nothing happens no message is sent, except for thresholds that change with time
        self.pair.run(5 * S);
        let before = [0, 1].map(|node| self.pair.nodes[node].kinds.len());
        let done = [0, 1].map(|node| self.pair.nodes[node].kernel.done.len());
        self.pair.run(70 * S);
        assert_eq!(before, [0, 1].map(|node| self.pair.nodes[node].kinds.len()));
        assert_eq!(
            done,
            [0, 1].map(|node| self.pair.nodes[node].kernel.done.len())
        );
        // a last failover has all of them
        let held = held.len();
        self.pair.kill(active);
        self.active = backup;
        self.pair.activate(backup);
        assert_eq!(self.pair.nodes[backup].kernel.sas().len(), held);
        self.check_received();
    }
}

fn run_history(refuse: bool, steps: &[Step]) {
    let mut world = World::new(refuse);
    for step in steps {
        world.apply(*step);
    }
    world.heal();
    world.check();
}

/// An SA ended as the kernel refused it, in a run of the plugin that had never reported it to the peer.
#[test]
fn what_a_kernel_refused_while_the_nodes_were_apart_does_not_come_back_from_the_peer() {
    use Step::{Cut, Establish, Fault, Lack, Restart};
    run_history(
        false,
        &[Establish(0), Cut, Restart(0), Fault, Lack(true), Fault],
    );
}

/// A run that started while the nodes were apart counted from its own start, and jumped less far than the other node
/// had before.
#[test]
fn a_run_that_begins_while_the_nodes_are_apart_jumps_beyond_what_the_other_one_sent() {
    use Step::{Carry, Cut, Establish, Fault, Pass, Restart};
    for apart_ms in [0, 100, 701, 2_000, 40_000] {
        let before = [Establish(0), Cut, Pass(apart_ms), Restart(0)];
        let after = [Fault, Carry(0, 1), Fault, Carry(0, 1), Fault, Carry(0, 1)];
        run_history(false, &[&before[..], &after].concat());
    }
}

/// A record that the backup had refused was deleted before it was tried again.
#[test]
fn a_record_that_was_refused_and_deleted_is_not_missed() {
    use Step::{End, Establish, Lack, Link, Settle};
    run_history(false, &[Lack(true), Settle, Establish(5), Link, End(5)]);
}

/// Between the deletion and the addition of an SA that the kernel had, a packet had the kernel add another one.
#[test]
fn a_tunnel_comes_back_to_a_node_whose_daemon_stays_although_packets_come() {
    use Step::{Carry, Establish, Flood, SwitchOver};
    let steps = [Establish(0), Flood(true), SwitchOver, SwitchOver];
    run_history(false, &[&steps[..], &[Carry(0, 10)]].concat());
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_happened_no_number_is_used_twice_and_the_backup_has_all(
        refuse in any::<bool>(),
        steps in prop::collection::vec(step(), 0..40),
    ) {
        run_history(refuse, &steps);
    }
}
