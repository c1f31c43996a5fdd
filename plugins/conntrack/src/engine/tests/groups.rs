//! Tests two groups that are active on different nodes: a flow in use here stays, whatever the peer reports of its
//! copy.

use proptest::prelude::*;

use super::super::table::ROUNDING_S;
use super::*;

pub(super) const GROUPS: [&str; 2] = ["office", "guests"];

/// A pair whose first group is active on the first node, and the second group on the second node.
pub(super) fn shared() -> Pair {
    let mut pair = Pair::new(&Settings::default());
    pair.role_of("office", 0, true);
    pair.role_of("office", 1, false);
    pair.role_of("guests", 0, false);
    pair.role_of("guests", 1, true);
    pair.connect();
    pair.settle();
    pair
}

#[test]
fn a_node_that_takes_one_group_or_loses_it_is_not_in_sync_before_the_other_one_s_flows_have_come() {
    for loses in [false, true] {
        let mut pair = shared();
        (0..400).for_each(|number| pair.traffic(0, &tcp(number)));
        pair.settle();
        pair.cut();
        pair.nodes[1].engine = Engine::new([99, 98]);
        pair.nodes[1].kernel = super::kernel::Kernel::new();
        pair.up = true;
        let now_ns = pair.now_ns;
        for node in &mut pair.nodes {
            node.told = None;
            node.engine.handle_up(now_ns, wire::VERSION);
        }
        let part = |pair: &mut Pair| {
            for _ in 0..20 {
                pair.turn(0);
                pair.turn(1);
            }
        };
        let engine = &mut pair.nodes[1].engine;
        for group in GROUPS {
            engine.handle_role(now_ns, group, false);
        }
        part(&mut pair);
        let role = |pair: &mut Pair, active: bool| {
            let engine = &mut pair.nodes[1].engine;
            engine.handle_role(now_ns, "guests", active);
            part(pair);
        };
        role(&mut pair, true);
        if loses {
            role(&mut pair, false);
        }
        let here = pair.nodes[1].kernel.flows.len();
        assert!((1..400).contains(&here), "{here}");
        assert_eq!(pair.nodes[1].in_sync, Some(false));
        assert!(!pair.nodes[1].engine.has_all_flows());
        pair.settle();
        assert_eq!(pair.nodes[1].kernel.flows.len(), 400);
        assert_eq!(pair.nodes[1].in_sync, Some(true));
    }
}

pub(super) fn move_office(pair: &mut Pair, to: usize) {
    pair.role_of("office", to, true);
    pair.role_of("office", 1 - to, false);
}

pub(super) fn brief(number: u32) -> Flow {
    Flow {
        timeout_s: Some(60),
        ..tcp(number)
    }
}

/// Sends a packet of each of the first group's flows each second.
pub(super) fn carry(pair: &mut Pair, at: usize, flows: &[Flow], seconds: u32) {
    for _ in 0..seconds {
        flows.iter().for_each(|flow| pair.traffic(at, flow));
        pair.pass_ms(1000);
    }
}

pub(super) fn alive(pair: &Pair, at: usize, flows: &[Flow]) -> usize {
    let kernel = &pair.nodes[at].kernel;
    let there = flows
        .iter()
        .filter(|it| kernel.flows.contains_key(&name(it)));
    there.count()
}

#[test]
fn flows_of_a_group_that_moved_away_and_back_outlive_the_copies_that_it_left_behind() {
    let mut pair = shared();
    let flows: Vec<Flow> = (0..8).map(brief).collect();
    carry(&mut pair, 0, &flows, 5);
    move_office(&mut pair, 1);
    carry(&mut pair, 1, &flows, 5);
    move_office(&mut pair, 0);
    // the node that carried them last has other times
    for second in 0..600 {
        flows.iter().for_each(|flow| pair.traffic(0, flow));
        pair.pass_ms(1000);
        assert_eq!(alive(&pair, 0, &flows), 8, "after {second} s");
    }
    assert_eq!(alive(&pair, 1, &flows), 8, "and are told again");
    pair.assert_equal();
}

#[test]
fn an_idle_flow_is_not_cut_short_by_the_peer_s_older_copy() {
    for spacing_s in [10, 25, 50] {
        let mut pair = shared();
        let flows: Vec<Flow> = (0..8).map(brief).collect();
        carry(&mut pair, 0, &flows, 2);
        move_office(&mut pair, 1);
        carry(&mut pair, 1, &flows, 2);
        move_office(&mut pair, 0);
        for _ in 0..20 {
            flows.iter().for_each(|flow| pair.traffic(0, flow));
            pair.pass_ms(spacing_s * 1000);
            assert_eq!(alive(&pair, 0, &flows), 8, "a packet each {spacing_s} s");
        }
    }
}

#[test]
fn a_resync_that_does_not_name_a_flow_does_not_end_it_while_it_lives_here() {
    let mut pair = shared();
    let flows: Vec<Flow> = (0..8).map(tcp).collect();
    carry(&mut pair, 0, &flows, 2);
    move_office(&mut pair, 1);
    carry(&mut pair, 1, &flows, 2);
    move_office(&mut pair, 0);
    carry(&mut pair, 0, &flows, 10);
    // the peer's kernel drops its copies without an event
    pair.nodes[1].kernel.buffer = 0;
    flows.iter().for_each(|flow| pair.end(1, flow));
    pair.nodes[1].kernel.buffer = usize::MAX;
    pair.pass_ms(100_000);
    assert_eq!([0, 1].map(|at| alive(&pair, at, &flows)), [8, 8]);
}

#[test]
fn what_ends_at_the_peer_ends_here_where_no_packet_passed() {
    let mut pair = shared();
    let theirs: Vec<Flow> = (0..8).map(tcp).collect();
    carry(&mut pair, 1, &theirs, 5);
    assert_eq!(alive(&pair, 0, &theirs), 8);
    // an hour later they expire: no packets passed here meanwhile
    pair.pass_ms(3_600_000);
    let asked = pair.nodes[0].asked;
    theirs[..4].iter().for_each(|flow| pair.end(1, flow));
    pair.settle();
    assert_eq!(alive(&pair, 0, &theirs), 4);
    assert_eq!(pair.nodes[0].asked, asked, "a hand is obeyed");
    theirs[4..].iter().for_each(|flow| pair.expire(1, flow));
    pair.settle();
    assert_eq!(alive(&pair, 0, &theirs), 0);
    assert_eq!(pair.nodes[0].engine.counters.applied.kept, 0);
    assert_eq!(pair.nodes[0].asked, asked + 4);
}

#[test]
fn a_node_that_carries_nothing_asks_its_kernel_nothing() {
    let mut pair = Pair::started();
    let flows: Vec<Flow> = (0..100).map(udp).collect();
    for _ in 0..20 {
        carry(&mut pair, 0, &flows, 10);
    }
    flows.iter().for_each(|flow| pair.end(0, flow));
    pair.settle();
    assert_eq!(alive(&pair, 1, &flows), 0);
    assert_eq!(pair.nodes[1].asked, 0);
}

/// Flow with this number: brief, UDP or TCP in turn.
pub(super) fn shape(number: u32) -> Flow {
    match number % 3 {
        0 => brief(number),
        1 => udp(number),
        _ => tcp(number),
    }
}

#[derive(Clone, Debug)]
enum Happening {
    Traffic(u32),
    End(u32),
    Pass(u64),
    Move(usize),
    Overrun(usize),
    Cut,
    Connect,
}

fn happening() -> impl Strategy<Value = Happening> {
    use Happening as H;
    prop_oneof![
        12 => (0..12u32).prop_map(H::Traffic),
        2 => (0..12u32).prop_map(H::End),
        6 => (1..3000u64).prop_map(H::Pass),
        4 => (5_000..100_000u64).prop_map(H::Pass),
        3 => (0..2usize).prop_map(H::Move),
        1 => (0..2usize).prop_map(H::Overrun),
        1 => Just(H::Cut),
        2 => Just(H::Connect),
    ]
}

struct World {
    pair: Pair,
    /// Node on which each group is active.
    at: [usize; 2],
    /// First packet and end by the last packet of each flow since its group came to its node, in s.
    spans_s: BTreeMap<u32, (u64, u64)>,
}

impl World {
    fn take(&mut self, happening: &Happening) {
        match *happening {
            Happening::Traffic(number) => {
                let flow = shape(number);
                let now_s = self.pair.now_s();
                let before = self.spans_s.get(&number);
                let before = before.filter(|(_, until_s)| now_s < *until_s);
                let first_s = before.map_or(now_s, |(first_s, _)| *first_s);
                let until_s = now_s + u64::from(flow.timeout_s.unwrap_or(0));
                self.spans_s.insert(number, (first_s, until_s));
                let at = self.at[number as usize / 6];
                self.pair.traffic(at, &flow);
                self.pair.settle();
            }
            Happening::End(number) => {
                self.spans_s.remove(&number);
                let at = self.at[number as usize / 6];
                self.pair.end(at, &shape(number));
            }
            Happening::Pass(ms) => self.pair.pass_ms(ms),
            Happening::Move(group) => {
                let to = 1 - self.at[group];
                self.at[group] = to;
                self.pair.role_of(GROUPS[group], to, true);
                self.pair.role_of(GROUPS[group], 1 - to, false);
                // what passed elsewhere concerns copies
                self.spans_s
                    .retain(|number, _| *number as usize / 6 != group);
            }
            Happening::Overrun(at) => {
                self.pair.nodes[at].kernel.overrun = true;
            }
            Happening::Cut if self.pair.up => self.pair.cut(),
            Happening::Connect if !self.pair.up => self.pair.connect(),
            _ => {}
        }
        self.check();
    }

    fn check(&self) {
        let now_s = self.pair.now_s();
        for (number, (first_s, until_s)) in &self.spans_s {
            let flow = shape(*number);
            let last_s = until_s - u64::from(flow.timeout_s.unwrap_or(0));
            // a single packet right after a report of the peer may be mistaken for it
            if last_s <= first_s + 2 * u64::from(ROUNDING_S) {
                continue;
            }
            let at = self.at[*number as usize / 6];
            let there = self.pair.nodes[at].kernel.flows.contains_key(&name(&flow));
            assert!(
                there || now_s + u64::from(ROUNDING_S) >= *until_s,
                "{} is gone",
                flow.original
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_moves_where_no_flow_ends_before_its_time_where_its_packets_pass(
        happenings in proptest::collection::vec(happening(), 1..80)
    ) {
        let mut world = World { pair: shared(), at: [0, 1], spans_s: BTreeMap::new() };
        for happening in &happenings {
            world.take(happening);
        }
    }
}
