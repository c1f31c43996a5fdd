//! Tests switchovers to the peer and back while flows come and go: afterwards no node reports missing flows for long.

use proptest::prelude::*;

use super::*;
use crate::engine::tests::kernel::name;
use crate::wire::Address;

/// Longest time in which a node requests missing flows and receives them.
const QUIET_MS: u64 = 5000;
const RESYNC_MS: u64 = 45_000;

#[derive(Clone, Debug)]
enum Happening {
    Packet(u32, u8),
    /// The kernel drops the flow before its time.
    Drop(usize, u32),
    /// The flow expires.
    Expire(usize, u32),
    Delete(usize, u32),
    Overrun(usize),
    Pass(u64),
    /// A node's loop runs some turns, while messages of the other node wait.
    Turns(usize, u8),
    Resync,
    Switch {
        is_release_first: bool,
        turns: Vec<usize>,
        address_after: bool,
    },
}

fn happening() -> impl Strategy<Value = Happening> {
    use Happening as H;
    let switch = (
        any::<bool>(),
        proptest::collection::vec(0..2usize, 0..12),
        any::<bool>(),
    );
    prop_oneof![
        20 => (0..60u32, 0..3u8).prop_map(|(number, state)| H::Packet(number, state)),
        3 => (0..2usize, 0..60u32).prop_map(|(at, number)| H::Drop(at, number)),
        3 => (0..2usize, 0..60u32).prop_map(|(at, number)| H::Expire(at, number)),
        1 => (0..2usize, 0..60u32).prop_map(|(at, number)| H::Delete(at, number)),
        1 => (0..2usize).prop_map(H::Overrun),
        4 => (1..3000u64).prop_map(H::Pass),
        1 => (3000..40_000u64).prop_map(H::Pass),
        10 => (0..2usize, 1..6u8).prop_map(|(at, count)| H::Turns(at, count)),
        1 => Just(H::Resync),
        3 => switch.prop_map(|(is_release_first, turns, address_after)| H::Switch {
            is_release_first,
            turns,
            address_after
        }),
    ]
}

fn shape(number: u32, state: u8) -> Flow {
    let mut flow = match number % 5 {
        0 => tcp(number),
        1 => Flow {
            timeout_s: Some(30),
            ..udp(number)
        },
        2 => translated(number),
        3 => udp(number),
        // to the router itself
        _ => tcp(number),
    };
    if number % 5 == 4 {
        flow.original.destination[..4].copy_from_slice(&VIRTUAL);
        flow.reply = flow.original.inverse();
    }
    if number % 5 == 2 {
        flow.reply.ports = [0, 80, 1, number as u8];
    }
    let (at, timeout_s) = [(3, 432_000), (2, 60), (7, 120)][usize::from(state)];
    if let Some(tcp) = &mut flow.tcp {
        tcp.state = at;
        flow.timeout_s = Some(timeout_s);
    }
    flow
}

const VIRTUAL: [u8; 4] = [203, 0, 113, 1];

struct World {
    pair: Pair,
    active: usize,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            pair: Pair::started(),
            active: 0,
        };
        world.place_address(0);
        world.place_address(1);
        world
    }

    fn place_address(&mut self, at: usize) {
        let address = |bytes: [u8; 4]| -> Address {
            let mut all = [0; 16];
            all[..4].copy_from_slice(&bytes);
            (false, all)
        };
        let mut own = vec![address([10, 1, 0, 11 + at as u8])];
        if self.active == at {
            own.push(address(VIRTUAL));
        }
        let (now_ns, own) = (self.pair.now_ns, own.into_iter().collect());
        self.pair.nodes[at].engine.handle_own_addresses(now_ns, own);
    }

    fn role(&mut self, at: usize, address_after: bool) {
        let is_active = self.active == at;
        let now_ns = self.pair.now_ns;
        if !address_after {
            self.place_address(at);
        }
        self.pair.nodes[at]
            .engine
            .handle_role(now_ns, "office", is_active);
        if address_after {
            self.pair.turn(at);
            self.place_address(at);
        }
    }

    fn take(&mut self, happening: &Happening) {
        let now_s = self.pair.now_s();
        let known = |pair: &Pair, at: usize, number: u32| {
            let key = name(&shape(number, 0));
            let there = pair.nodes[at].kernel.flows.get(&key);
            there.map(|(flow, _)| flow.clone())
        };
        match happening {
            Happening::Packet(number, state) => {
                let (active, flow) = (self.active, shape(*number, *state));
                let before = known(&self.pair, active, *number).and_then(|it| it.tcp);
                // a state never goes back: the flow ends, and another one begins
                if before.is_some_and(|tcp| tcp.state > flow.tcp.map_or(0, |tcp| tcp.state)) {
                    let kernel = &mut self.pair.nodes[active].kernel;
                    kernel.destroy(Some(now_s), &flow, By::Traffic);
                }
                self.pair.traffic(active, &flow);
            }
            Happening::Drop(at, number) => {
                if let Some(flow) = known(&self.pair, *at, *number) {
                    let kernel = &mut self.pair.nodes[*at].kernel;
                    kernel.destroy(Some(now_s), &flow, By::Traffic);
                }
            }
            Happening::Expire(at, number) => {
                if let Some(flow) = known(&self.pair, *at, *number) {
                    self.pair.expire(*at, &flow);
                }
            }
            Happening::Delete(at, number) => {
                if let Some(flow) = known(&self.pair, *at, *number) {
                    self.pair.end(*at, &flow);
                }
            }
            Happening::Overrun(at) => self.pair.nodes[*at].kernel.overrun = true,
            Happening::Pass(ms) => self.pair.pass_ms(*ms),
            Happening::Turns(at, count) => (0..*count).for_each(|_| {
                self.pair.turn(*at);
            }),
            Happening::Resync => {
                let (now_ns, active) = (self.pair.now_ns, self.active);
                self.pair.nodes[active].engine.request_resync(now_ns);
            }
            Happening::Switch {
                is_release_first,
                turns,
                address_after,
            } => {
                let old = self.active;
                self.active = 1 - old;
                let order = if *is_release_first {
                    [old, 1 - old]
                } else {
                    [1 - old, old]
                };
                self.role(order[0], *address_after);
                for at in turns {
                    self.pair.turn(*at);
                }
                self.role(order[1], *address_after);
            }
        }
    }

    fn faults(&mut self) -> Vec<String> {
        self.pair.pass_ms(QUIET_MS);
        let mut faults = Vec::new();
        for (at, node) in self.pair.nodes.iter().enumerate() {
            if node.told != Some(Ok(())) {
                faults.push(format!("node {at} says {:?}", node.told));
            }
        }
        self.pair.pass_ms(RESYNC_MS);
        let [here, there] = [0, 1].map(|at| self.carried(at));
        let only = |which: &str, these: &[Tuple], those: &[Tuple]| -> Vec<String> {
            let missing = these.iter().filter(|flow| !those.contains(flow));
            missing.map(|flow| format!("{which}: {flow}")).collect()
        };
        faults.extend(only("only first", &here, &there));
        faults.extend(only("only second", &there, &here));
        faults
    }

    /// Returns the flows without those that end at the router itself, which each node has alone.
    fn carried(&self, at: usize) -> Vec<Tuple> {
        let table = self.pair.nodes[at].kernel.table().into_iter();
        let originals = table.map(|flow| flow.original);
        originals
            .filter(|original| original.destination[..4] != VIRTUAL)
            .collect()
    }
}

fn faults_after(happenings: &[Happening]) -> Vec<String> {
    let mut world = World::new();
    for happening in happenings {
        world.take(happening);
    }
    world.faults()
}

/// Switches over and back within the lifetime of a copy.
fn there_and_back(pair: &mut Pair, away_ms: u64) {
    for (to, ms) in [(1, away_ms), (0, 500)] {
        pair.role(1 - to, false);
        pair.role(to, true);
        pair.pass_ms(ms);
    }
}

#[test]
fn a_copy_whose_times_packets_have_shortened_is_renewed() {
    let mut pair = Pair::started();
    let question = Flow {
        timeout_s: Some(30),
        status: 0,
        ..udp(1)
    };
    pair.traffic(0, &question);
    // the backup learns the time, and then packets pass there
    pair.pass_ms(50_000);
    pair.traffic(0, &question);
    pair.pass_ms(10_000);
    there_and_back(&mut pair, 2_000);
    for _ in 0..6 {
        pair.traffic(0, &question);
        pair.pass_ms(10_000);
        assert!(pair.nodes[1].kernel.flows.contains_key(&name(&question)));
    }
    assert_eq!(pair.nodes[1].engine.counters.lost, 0);
}

/// Flows that are reported both in a change and in the resync.
#[test]
fn a_flow_that_is_missing_counts_once_and_only_until_it_comes() {
    let mut pair = Pair::started();
    (0..3).for_each(|number| pair.traffic(0, &tcp(number)));
    pair.settle();
    let (now_ns, key) = (pair.now_ns, pair.nodes[1].engine.table.key);
    let engine = &mut pair.nodes[1].engine;
    for hash in [0, 0, 1].map(|number| tcp(number).hash(key)) {
        engine.forget_entry(hash);
        engine.request_missing(now_ns, hash);
    }
    assert_eq!(engine.channel.missing.count(), 2);
    engine.create_copy(now_ns, tcp(0).hash(key), tcp(0));
    assert_eq!(engine.channel.missing.count(), 1);
    pair.settle();
    assert_eq!(pair.nodes[1].engine.channel.missing.count(), 0);
}

/// The kernel drops refused flows at once; the other node must not give them back.
#[test]
fn connections_that_were_refused_just_before_a_switchover_are_not_missing() {
    let mut pair = Pair::started();
    let refused = Flow {
        status: 0,
        ..shape(5, 1)
    };
    pair.traffic(0, &refused);
    pair.settle();
    let (now_s, kernel) = (pair.now_s(), &mut pair.nodes[0].kernel);
    kernel.destroy(Some(now_s), &refused, By::Traffic);
    pair.settle();
    assert!(pair.nodes[1].kernel.flows.is_empty());
    there_and_back(&mut pair, 500);
    assert_eq!(
        pair.nodes.each_ref().map(|node| node.engine.counters.lost),
        [0, 0]
    );
}

/// The flow ends at an address that the other node already has.
#[test]
fn what_ended_at_a_virtual_address_stays_where_it_was() {
    for address_after in [false, true] {
        let mut world = World::new();
        let local = shape(4, 0);
        world.pair.traffic(0, &local);
        world.pair.traffic(0, &shape(5, 0));
        world.pair.settle();
        world.take(&Happening::Switch {
            is_release_first: true,
            turns: vec![0, 1, 0, 1],
            address_after,
        });
        world.pair.pass_ms(QUIET_MS);
        let known = [0, 1].map(|at| world.pair.nodes[at].engine.table.len());
        assert_eq!(known, [1, 1]);
        let kernel = &world.pair.nodes[1].kernel;
        assert!(!kernel.flows.contains_key(&name(&local)));
    }
}

/// A flow ends on both nodes during a resync: it must not count as missing on the backup.
#[test]
fn what_ends_on_both_nodes_during_a_resync_is_not_missing_until_the_next_one() {
    let mut pair = Pair::started();
    (0..40).for_each(|number| pair.traffic(0, &tcp(number)));
    pair.settle();
    let now_ns = pair.now_ns;
    pair.nodes[0].engine.request_resync(now_ns);
    // it has begun, and the backup knows
    pair.turn(0);
    while !pair.to[1].is_empty() {
        pair.turn(1);
    }
    let gone = tcp(39);
    // no event reports it here: it was never sent
    pair.nodes[0]
        .engine
        .forget_entry(gone.hash(pair.nodes[0].engine.table.key));
    pair.expire(0, &gone);
    pair.expire(1, &gone);
    pair.turn(1);
    pair.pass_ms(3_000);
    assert_eq!(pair.nodes[1].told, Some(Ok(())));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_node_says_for_long_that_it_lacks_flows_at_random(
        happenings in proptest::collection::vec(happening(), 1..60)
    ) {
        prop_assert_eq!(faults_after(&happenings), Vec::<String>::new());
    }
}
