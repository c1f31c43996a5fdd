//! Two groups, each with an address of its own: both nodes may be active.

use proptest::prelude::*;

use super::daemon::report_daemon_event;
use super::*;

/// The first group begins at node 0, the second at node 1.
struct Groups {
    pair: Pair,
    /// Node of each group.
    node_of: [usize; 2],
}

const NAMES: [&str; 2] = ["office", "lab"];

/// Inbound and outbound SA of a group's tunnel.
fn tunnel_of(group: usize, number: u32) -> [Sa; 2] {
    let number = number + 10_000 * group as u32;
    sas_of(group, number, number + 1)
}

fn sas_of(group: usize, number: u32, reqid: u32) -> [Sa; 2] {
    [(0xc000_0000, false), (0xd000_0000, true)].map(|(spi, out)| {
        let vip = VIPS[group];
        Sample {
            source: if out { vip } else { PEER },
            destination: if out { PEER } else { vip },
            spi: spi + number,
            reqid,
            ..Sample::default()
        }
        .sa()
    })
}

fn policies_of(group: usize, number: u32) -> [Policy; 3] {
    let number = number + 10_000 * group as u32;
    [1, 0, 2].map(|direction| policy_of(VIPS[group], number, direction, number + 1))
}

impl Groups {
    fn new(keys: [u64; 2]) -> Self {
        let mut it = Self {
            pair: Pair::by_keys(keys, Settings::default()),
            node_of: [0, 1],
        };
        it.pair.link();
        for group in [0, 1] {
            it.pair.prepare(group);
            it.activate_group(group, group);
        }
        it
    }

    /// Returns groups with one tunnel each, all replicated.
    fn replicated(keys: [u64; 2]) -> Self {
        let mut it = Self::new(keys);
        it.establish(0, 0);
        it.establish(1, 0);
        it.pair.run(3 * S);
        it.assert_replicated([1, 1]);
        it
    }

    fn establish(&mut self, group: usize, number: u32) {
        let (now_ns, at) = (self.pair.now_ns, self.node_of[group]);
        let kernel = &mut self.pair.nodes[at].kernel;
        for sa in tunnel_of(group, number) {
            kernel.add_sa(now_ns, sa);
        }
        for policy in policies_of(group, number) {
            kernel.put_policy(policy);
        }
        self.pair.settle();
    }

    /// Ends a tunnel by hand: a daemon's deletions during a change of roles would be doubted.
    fn end(&mut self, group: usize, number: u32) {
        let kernel = &mut self.pair.nodes[self.node_of[group]].kernel;
        for sa in tunnel_of(group, number) {
            kernel.delete_sa(&sa.id, Deleter::Other);
        }
        for policy in policies_of(group, number) {
            kernel.delete_policy(&policy.id, Deleter::Other);
        }
        self.pair.settle();
    }

    fn addresses(&mut self, node: usize, more: Option<usize>) {
        let here = (0..2).filter(|group| self.node_of[*group] == node || more == Some(*group));
        let here = here.map(|group| IpAddr::from(VIPS[group])).collect();
        let now_ns = self.pair.now_ns;
        self.pair.nodes[node].engine.handle_endpoints(now_ns, here);
        self.pair.settle();
    }

    fn role(&mut self, node: usize, group: usize, active: bool) {
        let now_ns = self.pair.now_ns;
        let engine = &mut self.pair.nodes[node].engine;
        engine.handle_role(now_ns, NAMES[group], active);
        self.pair.settle();
    }

    fn activate_group(&mut self, group: usize, node: usize) {
        self.node_of[group] = node;
        self.addresses(node, None);
        self.role(node, group, true);
    }

    /// Makes a planned switchover of a group, in the order of the host: the addresses are on both nodes for a while.
    fn switch_over(&mut self, group: usize) {
        let (from, to) = (self.node_of[group], 1 - self.node_of[group]);
        let now_ns = self.pair.now_ns;
        let engine = &mut self.pair.nodes[from].engine;
        engine.handle_drain(now_ns, now_ns + S);
        self.pair.settle();
        assert!(self.pair.nodes[from].engine.is_drained());
        self.pair.prepare(to);
        self.addresses(to, Some(group));
        self.pair.run(100 * MS);
        self.node_of[group] = to;
        self.role(to, group, true);
        self.pair.run(200 * MS);
        self.role(from, group, false);
        self.addresses(from, None);
    }

    /// Kills a node: the other takes its groups, and it is back with nothing.
    fn kill(&mut self, node: usize) {
        self.pair.kill(node);
        self.pair.run(500 * MS);
        self.pair.prepare(1 - node);
        for group in 0..2 {
            if self.node_of[group] == node {
                self.activate_group(group, 1 - node);
            }
        }
        self.pair.link();
    }

    fn sas_of(&self, group: usize, sas: &[SaId]) -> usize {
        let is_of = |id: &&SaId| id.spi % 0x1000_0000 / 10_000 == group as u32;
        sas.iter().filter(is_of).count()
    }

    /// Asserts the number of tunnels of each group on its node, and of those kept at the other node.
    #[track_caller]
    fn assert_replicated(&self, tunnels: [usize; 2]) {
        for node in [0, 1] {
            let it = &self.pair.nodes[node];
            let kernel = it.kernel.sas();
            let held: Vec<SaId> = it.engine.store.held.sas().keys().copied().collect();
            for (group, count) in tunnels.into_iter().enumerate() {
                let (carried, kept) = if self.node_of[group] == node {
                    (2 * count, 0)
                } else {
                    (0, 2 * count)
                };
                let what = format!("group {group} at node {node}");
                assert_eq!(self.sas_of(group, &kernel), carried, "carried of {what}");
                assert_eq!(self.sas_of(group, &held), kept, "kept of {what}");
            }
            let policies = 3 * tunnels.iter().sum::<usize>();
            assert_eq!(it.kernel.policies().len(), policies, "at node {node}");
            assert!(it.in_sync.0, "node {node}: {:?}", it.in_sync);
        }
    }

    fn oseq(&self, group: usize, number: u32) -> Option<u64> {
        let id = tunnel_of(group, number)[1].id;
        self.pair.replay(self.node_of[group], &id).map(|it| it.oseq)
    }
}

const KEYS: [[u64; 2]; 2] = [[1, 2], [2, 1]];

#[test]
fn a_failover_beside_a_group_that_is_held_says_its_own_time() {
    let mut it = Groups::replicated([1, 2]);
    it.pair.run(60 * S);
    it.switch_over(0);
    it.pair.run(2 * S);
    let mut events = it.pair.nodes[1].events.iter();
    let said = events.find_map(|it| it.strip_prefix("2 SAs taken over within "));
    let took_ms = said.and_then(|it| it.split_once(" ms, read back after ")?.0.parse().ok());
    // from the preparation to the last number of the old node
    assert!(
        took_ms.is_some_and(|it: u64| (100..500).contains(&it)),
        "{said:?}"
    );
}

#[test]
fn each_node_keeps_what_the_other_carries() {
    for keys in KEYS {
        let mut groups = Groups::replicated(keys);
        groups.establish(0, 1);
        groups.establish(1, 1);
        groups.end(0, 0);
        groups.end(1, 0);
        groups.pair.run(S);
        groups.assert_replicated([1, 1]);
    }
}

#[test]
fn numbers_follow_in_both_directions() {
    for keys in KEYS {
        let mut groups = Groups::replicated(keys);
        for group in [0, 1] {
            let id = tunnel_of(group, 0)[0].id;
            groups.pair.carry(group, &id, 500);
            groups.pair.run(S);
            let held = &groups.pair.nodes[1 - group].engine.store.held.sas()[&id];
            let behind = 500 - held.sa.replay.seq;
            assert!(behind <= u64::from(held.pace.threshold), "{behind}");
        }
    }
}

#[test]
fn a_death_moves_one_group_and_leaves_the_other_as_it_is() {
    for keys in KEYS {
        let mut groups = Groups::replicated(keys);
        let before = groups.oseq(0, 0);
        groups.kill(1);
        groups.pair.run(5 * S);
        groups.assert_replicated([1, 1]);
        assert_eq!(groups.oseq(0, 0), before, "no failover of this one");
        assert!(groups.oseq(1, 0) >= Some(65_536));
    }
}

#[test]
fn a_switchover_moves_one_group_there_and_back() {
    for keys in KEYS {
        let mut groups = Groups::replicated(keys);
        for _ in 0..3 {
            groups.switch_over(1);
            groups.pair.run(5 * S);
            groups.assert_replicated([1, 1]);
        }
        assert!(groups.oseq(0, 0) < Some(65_536), "it was never moved");
    }
}

#[test]
fn a_group_that_comes_later_leaves_the_first_one_s_old_sas_to_a_daemon() {
    for keys in KEYS {
        let mut groups = Groups::replicated(keys);
        groups.switch_over(0);
        let now_ns = groups.pair.now_ns;
        let kernel = &mut groups.pair.nodes[1].kernel;
        // the daemon's own reqids begin with 1, beside those of the tunnel that it has already
        for sa in sas_of(0, 0x100, 5) {
            kernel.add_sa(now_ns, sa);
        }
        for direction in [1, 0, 2] {
            kernel.put_policy(policy_of(VIPS[0], 0, direction, 5));
        }
        groups.pair.settle();
        groups.switch_over(1);
        groups.pair.run(5 * S);
        groups.switch_over(1);
        groups.pair.run(60 * S);
        assert_eq!(groups.pair.nodes[1].count("superseded"), 2);
    }
}

#[test]
fn a_group_that_leaves_a_daemon_to_another_leaves_no_tunnel_without_sa() {
    let mut groups = Groups::replicated(KEYS[0]);
    groups.switch_over(1);
    let pair = &mut groups.pair;
    report_daemon_event(pair, 0, DaemonEvent::Started);
    let named = tunnel_of(0, 0).map(|sa| NamedSpi {
        spi: sa.id.spi,
        name: ChildName {
            ike: "office".to_owned(),
            child: "net".to_owned(),
        },
        is_up: true,
    });
    let now_ns = pair.now_ns;
    pair.nodes[0].engine.handle_names(now_ns, named.to_vec());
    pair.run(3 * S);
    assert_eq!(pair.nodes[0].down, None);
    groups.switch_over(0);
    groups.pair.run(5 * S);
    assert_eq!(groups.pair.nodes[0].down, None);
}

#[test]
fn a_switchover_that_is_cancelled_leaves_tunnels_with_the_peer() {
    for keys in KEYS {
        let mut groups = Groups::replicated(keys);
        groups.pair.prepare(0);
        groups.addresses(0, Some(1));
        groups.establish(1, 1);
        groups.pair.run(S);
        groups.addresses(0, None);
        groups.pair.run(10 * S);
        groups.assert_replicated([1, 2]);
    }
}

/// The node that stays active for its own group settles for the other one, which does not come.
#[test]
fn what_was_in_vain_in_a_switchover_that_was_cancelled_is_tried_by_the_next_failover() {
    for keys in KEYS {
        let mut it = Groups::replicated(keys);
        let body = tunnel_of(1, 0)[0].body.clone();
        it.pair.nodes[0].kernel.remove_algorithm(&body, 38);
        it.pair.prepare(0);
        it.pair.run(4 * S);
        let said = "the kernel refused 2 SAs, first c0002710: function not implemented";
        let warned = |it: &Groups| {
            let warned = it.pair.nodes[0].warned.iter();
            warned.filter(|it| *it == said).count()
        };
        assert_eq!(warned(&it), 1);
        it.pair.prepare(0);
        it.pair.run(4 * S);
        assert_eq!(warned(&it), 2, "and of no others");
        it.pair.nodes[0].kernel.lacks.clear();
        it.kill(1);
        it.pair.run(5 * S);
        it.assert_replicated([1, 1]);
        assert_eq!(warned(&it), 2);
    }
}

#[test]
fn numbers_that_are_used_up_are_told_by_each_failover_and_once_where_they_stay() {
    let mut it = Groups::replicated([1, 2]);
    for group in [0, 1] {
        let mut sa = Sample {
            source: VIPS[group],
            destination: PEER,
            spi: 0xe000_0000 + group as u32,
            esn: false,
            ..Sample::default()
        }
        .sa();
        sa.replay.oseq = u64::from(u32::MAX);
        let now_ns = it.pair.now_ns;
        it.pair.nodes[group].kernel.add_sa(now_ns, sa);
    }
    it.pair.run(S);
    let told = |it: &Groups, group: u32| {
        let said = format!("e000000{group}: out of sequence numbers, needs a rekey");
        let events = it.pair.nodes[0].events.iter();
        events.filter(|it| **it == said).count()
    };
    for times in [1, 2] {
        it.pair.prepare(0);
        it.pair.run(4 * S);
        assert_eq!(told(&it, 1), times);
    }
    it.kill(1);
    it.pair.run(5 * S);
    assert_eq!(told(&it, 1), 3);
    // the SA is this node's, and still cannot be installed
    it.addresses(0, None);
    it.pair.prepare(0);
    it.pair.run(4 * S);
    assert_eq!((told(&it, 0), told(&it, 1)), (0, 3));
}

/// Both groups move, one leaves first, and the new node of the other one resigns.
#[test]
fn a_group_that_leaves_first_neither_sends_again_nor_keeps_the_other_from_it() {
    let mut it = Groups::replicated([1, 2]);
    it.switch_over(1);
    it.pair.run(5 * S);
    let now_ns = it.pair.now_ns;
    let old = &mut it.pair.nodes[0].engine;
    old.handle_drain(now_ns, now_ns + S);
    it.pair.settle();
    it.pair.prepare(1);
    it.node_of = [1, 1];
    it.addresses(1, None);
    it.role(1, 0, true);
    it.role(1, 1, true);
    it.pair.advance(20 * MS);
    let sends = |it: &Groups, node: usize| {
        [0, 1].map(|group| it.pair.replay(node, &tunnel_of(group, 0)[1].id).is_some())
    };
    assert_eq!((sends(&it, 0), sends(&it, 1)), ([false; 2], [true; 2]));
    it.role(0, 0, false);
    it.pair.cut();
    // addresses of the other group may be reported before those of the group that left
    it.node_of = [0, 0];
    it.addresses(0, None);
    assert_eq!(sends(&it, 0), [false; 2], "two would send");
    it.node_of = [1, 0];
    it.addresses(0, None);
    it.role(1, 1, false);
    it.addresses(1, None);
    it.pair.run(2 * S);
    assert_eq!(sends(&it, 0), [false, true]);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Establish(usize, u32),
    End(usize, u32),
    Carry(usize, u32, u64),
    SwitchOver(usize),
    Kill(usize),
    Cut,
    Link,
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let tunnel = (0_usize..2, 0_u32..4);
    prop_oneof![
        6 => tunnel.clone().prop_map(|(group, number)| Step::Establish(group, number)),
        2 => tunnel.clone().prop_map(|(group, number)| Step::End(group, number)),
        8 => (tunnel, 1_u64..200).prop_map(|((group, number), packets)| Step::Carry(group, number, packets)),
        4 => (0_usize..2).prop_map(Step::SwitchOver),
        2 => (0_usize..2).prop_map(Step::Kill),
        2 => Just(Step::Cut),
        4 => Just(Step::Link),
        6 => (1_u64..20_000).prop_map(Step::Pass),
    ]
}

/// Tunnels and their fates: SPIs are not used twice.
struct World {
    groups: Groups,
    generation: u32,
    present: BTreeMap<(usize, u32), u32>,
    /// Tunnels that ended while the peer could not learn of it, and would bring them back.
    untold: Vec<(usize, u32)>,
    sent: BTreeMap<SaId, u64>,
}

impl World {
    fn apply(&mut self, step: Step) {
        let groups = &mut self.groups;
        match step {
            Step::Establish(group, number) if !self.present.contains_key(&(group, number)) => {
                self.generation += 1;
                let name = number + 10 * self.generation;
                groups.establish(group, name);
                self.present.insert((group, number), name);
            }
            Step::End(group, number) => {
                if let Some(name) = self.present.remove(&(group, number)) {
                    groups.end(group, name);
                    if !groups.pair.linked {
                        self.untold.push((group, name));
                    }
                }
            }
            Step::Carry(group, number, packets) => self.carry(group, number, packets),
            Step::SwitchOver(group) if groups.pair.linked => groups.switch_over(group),
            Step::Kill(node) => {
                groups.kill(node);
                for (group, name) in std::mem::take(&mut self.untold) {
                    groups.end(group, name);
                }
                self.forget_lost();
            }
            Step::Cut if groups.pair.linked => groups.pair.cut(),
            Step::Link if !groups.pair.linked => {
                groups.pair.link();
                groups.pair.run(S);
                self.untold.clear();
            }
            Step::Pass(ms) => groups.pair.run(ms * MS),
            _ => {}
        }
        self.groups.pair.settle();
        self.assert_one_sends();
    }

    fn carry(&mut self, group: usize, number: u32, packets: u64) {
        let Some(name) = self.present.get(&(group, number)) else {
            return;
        };
        let at = self.groups.node_of[group];
        let [inbound, outbound] = tunnel_of(group, *name).map(|sa| sa.id);
        for _ in 0..packets {
            let kernel = &mut self.groups.pair.nodes[at].kernel;
            kernel.carry(&inbound);
            kernel.carry(&outbound);
            if let Some(sa) = kernel.sa(&outbound) {
                let sent = self.sent.entry(outbound).or_default();
                assert!(sa.replay.oseq > *sent, "{} is sent again", sa.replay.oseq);
                *sent = sa.replay.oseq;
            }
            self.groups.pair.settle();
        }
    }

    /// Has an IKE daemon find the tunnels that were lost.
    fn forget_lost(&mut self) {
        let mut lost = Vec::new();
        for ((group, number), name) in &self.present {
            let kernel = &self.groups.pair.nodes[self.groups.node_of[*group]].kernel;
            let there = tunnel_of(*group, *name)
                .iter()
                .all(|sa| kernel.sa(&sa.id).is_some());
            if !there {
                lost.push((*group, *number, *name));
            }
        }
        for (group, number, name) in lost {
            self.present.remove(&(group, number));
            self.groups.end(group, name);
        }
    }

    fn assert_one_sends(&self) {
        let [one, two] = [0, 1].map(|node| self.groups.pair.nodes[node].kernel.sas());
        for id in one.iter().filter(|id| two.contains(id)) {
            let receives = VIPS.iter().any(|vip| id.destination == *vip);
            assert!(receives, "both nodes send with {:08x}", id.spi);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happened_each_group_is_carried_where_it_is_and_kept_there(
        order in 0_usize..2,
        steps in prop::collection::vec(step(), 0..30),
    ) {
        let mut world = World {
            groups: Groups::new(KEYS[order]),
            generation: 0,
            present: BTreeMap::new(),
            untold: Vec::new(),
            sent: BTreeMap::new(),
        };
        for step in steps {
            world.apply(step);
        }
        if !world.groups.pair.linked {
            world.groups.pair.link();
        }
        world.groups.pair.run(65 * S);
        let count = |group| world.present.keys().filter(|it| it.0 == group).count();
        world.groups.assert_replicated([count(0), count(1)]);
    }
}
