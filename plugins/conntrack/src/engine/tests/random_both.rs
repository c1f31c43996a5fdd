//! Tests random histories with two groups, flows of one node and flows across both, links that are cut and nodes that
//! die: a flow in use is always on the node where its next packet arrives.

use proptest::prelude::*;

use super::super::table::ROUNDING_S;
use super::groups::{GROUPS, shape, shared};
use super::*;

const FLOWS: u32 = 12;
/// Time in s for which copies are kept without a link, less the possible delay of a walk.
const KEPT_S: u64 = 3500;
/// Time in s within which a node reports all its flows.
const RESYNC_S: u64 = 42;

#[derive(Clone, Debug)]
enum Happening {
    Packet(u32),
    Delete(u32),
    Pass(u64),
    Move(usize),
    Overrun(usize),
    Cut,
    Connect,
    Die(usize),
}

fn happening() -> impl Strategy<Value = Happening> {
    use Happening as H;
    prop_oneof![
        14 => (0..FLOWS).prop_map(H::Packet),
        1 => (0..FLOWS).prop_map(H::Delete),
        6 => (1..3000u64).prop_map(H::Pass),
        4 => (5_000..100_000u64).prop_map(H::Pass),
        3 => (0..2usize).prop_map(H::Move),
        1 => (0..2usize).prop_map(H::Overrun),
        1 => Just(H::Cut),
        2 => Just(H::Connect),
        1 => (0..2usize).prop_map(H::Die),
    ]
}

/// Expected state of a flow.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    first_s: u64,
    /// End by the last packet that passed each node.
    until_s: [u64; 2],
    /// End on each node by the other node's reports; while they are linked, each queries the other.
    kept_s: [u64; 2],
    /// End by reports that certainly arrived: of a new flow, and of a resync that passed it.
    told_expiry_s: [u64; 2],
    last_s: [u64; 2],
    is_new: bool,
    /// Time at which a packet passed unnoticed.
    unseen_s: [Option<u64>; 2],
}

struct World {
    pair: Pair,
    /// Node on which each group is active.
    at: [usize; 2],
    spans: BTreeMap<u32, Span>,
    connected_s: u64,
}

impl World {
    fn new() -> Self {
        Self {
            pair: shared(),
            at: [0, 1],
            spans: BTreeMap::new(),
            connected_s: 0,
        }
    }

    /// Returns the nodes that its packets pass: one flow in three passes both groups' nodes.
    fn places(&self, number: u32) -> Vec<usize> {
        match number % 4 {
            0 | 1 => vec![self.at[number as usize % 2]],
            _ => vec![self.at[0], self.at[1]],
        }
    }

    fn take(&mut self, happening: &Happening) {
        match *happening {
            Happening::Packet(number) => self.packet(number),
            Happening::Delete(number) => {
                let at = self.places(number)[0];
                self.spans.remove(&number);
                for node in [at, 1 - at] {
                    self.pair.end(node, &shape(number));
                    self.pair.settle();
                }
            }
            Happening::Pass(ms) => self.pair.pass_ms(ms),
            Happening::Move(group) => self.place(group, 1 - self.at[group]),
            Happening::Overrun(at) => self.pair.nodes[at].kernel.overrun = true,
            Happening::Cut if self.pair.up => self.cut(),
            Happening::Connect if !self.pair.up => {
                self.connected_s = self.pair.now_s();
                self.pair.connect();
                self.pair.settle();
            }
            Happening::Die(at) if self.pair.up => self.die(at),
            _ => {}
        }
        self.learn();
        self.check();
    }

    fn packet(&mut self, number: u32) {
        let flow = shape(number);
        let now_s = self.pair.now_s();
        let span = self.spans.get(&number).copied();
        let alive = |span: &Span| span.until_s.iter().any(|until_s| now_s < *until_s);
        let mut span = span.filter(alive).unwrap_or(Span {
            first_s: now_s,
            ..Span::default()
        });
        let is_known = |at: usize| self.pair.nodes[at].kernel.flows.contains_key(&name(&flow));
        span.is_new = ![0, 1].into_iter().any(is_known);
        for at in self.places(number) {
            let until_s = now_s + u64::from(flow.timeout_s.unwrap_or(0));
            let kernel = &self.pair.nodes[at].kernel;
            let before_s = kernel
                .flows
                .get(&name(&flow))
                .map_or(0, |(_, expires_s)| *expires_s);
            // a packet that sets the written end again is not noticed
            if before_s.abs_diff(until_s) >= u64::from(ROUNDING_S) {
                span.until_s[at] = until_s;
                span.last_s[at] = now_s;
            } else {
                span.unseen_s[at] = Some(now_s);
            }
            self.pair.traffic(at, &flow);
            self.pair.step();
        }
        self.spans.insert(number, span);
        self.pair.settle();
    }

    fn place(&mut self, group: usize, to: usize) {
        self.at[group] = to;
        let now_s = self.pair.now_s();
        let moved = self.spans.values_mut();
        moved.for_each(|span| span.first_s = now_s);
        for (number, span) in self.spans.iter_mut().filter(|_| !self.pair.up) {
            // a failover gives each flow its protocol's time, once
            let whole_timeout_s = u64::from(shape(*number).timeout_s.unwrap_or(0));
            let kept_s = &mut span.kept_s[to];
            *kept_s = (*kept_s).min(now_s + whole_timeout_s);
        }
        if self.at == [to; 2] {
            // it carries all of them: they are its own
            for span in self.spans.values_mut() {
                span.until_s[to] = span.until_s[to].max(span.kept_s[to]);
            }
        }
        self.pair.role_of(GROUPS[group], to, true);
        self.pair.role_of(GROUPS[group], 1 - to, false);
    }

    fn cut(&mut self) {
        self.pair.settle();
        self.learn();
        let now_s = self.pair.now_s();
        for span in self.spans.values_mut() {
            for at in [0, 1] {
                // the peer does not report flows that this node carries, and a backup carried none
                let is_peers = self.at.contains(&(1 - at)) && span.until_s[at] == 0;
                span.kept_s[at] = if is_peers && span.told_expiry_s[at] > now_s {
                    now_s + KEPT_S
                } else {
                    span.told_expiry_s[at]
                };
            }
        }
        self.pair.cut();
    }

    /// Kills a node, which loses all; the other one takes over, and the first returns.
    fn die(&mut self, at: usize) {
        self.pair.settle();
        self.learn();
        self.cut();
        let key = self.pair.now_ns;
        let node = &mut self.pair.nodes[at];
        node.engine = Engine::new([key, key + 1]);
        node.engine.configure(self.pair.now_ns, Settings::default());
        node.kernel = Kernel::new();
        let now_s = self.pair.now_s();
        for span in self.spans.values_mut() {
            let survives = span.until_s[1 - at].max(span.kept_s[1 - at]) > now_s;
            span.until_s[at] = 0;
            span.kept_s[at] = 0;
            span.told_expiry_s[at] = 0;
            if !survives {
                *span = Span::default();
            }
        }
        self.place(0, 1 - at);
        self.place(1, 1 - at);
        self.pair.pass_ms(5000);
        self.connected_s = self.pair.now_s();
        self.pair.connect();
        self.pair.settle();
        self.pair.settle();
    }

    /// Exchanges the nodes' knowledge while there is a link.
    fn learn(&mut self) {
        if !self.pair.up {
            return;
        }
        let now_s = self.pair.now_s();
        for span in self.spans.values_mut() {
            let until_s = span.until_s[0].max(span.until_s[1]);
            for at in [0, 1] {
                if self.at == [at; 2] {
                    span.until_s[at] = until_s; // it carries all flows
                }
                span.kept_s[at] = until_s;
                let resynced_s = span.last_s[1 - at].max(self.connected_s) + RESYNC_S;
                if span.is_new || now_s >= resynced_s {
                    span.told_expiry_s[at] = span.told_expiry_s[at].max(span.until_s[1 - at]);
                }
            }
        }
    }

    fn check(&self) {
        let now_s = self.pair.now_s() + u64::from(ROUNDING_S);
        for (number, span) in &self.spans {
            let flow = shape(*number);
            for at in self.places(*number) {
                // the other node's last report may end it at that moment, until its next resync
                let is_unseen = span.unseen_s[at].is_some_and(|at_s| now_s < at_s + RESYNC_S);
                let kept_s = if is_unseen { 0 } else { span.kept_s[at] };
                let until_s = span.until_s[at].max(kept_s);
                let there = self.pair.nodes[at].kernel.flows.contains_key(&name(&flow));
                assert!(
                    there || now_s + 1 >= until_s,
                    "{} is gone on node {at} at {now_s}: {span:?}",
                    flow.original
                );
            }
        }
    }

    /// Checks that after a long rest no flow is on one node alone.
    fn end(mut self) {
        if !self.pair.up {
            self.pair.connect();
        }
        // three resyncs, and the time by which copies outlive them
        self.pair.pass_ms(300_000);
        self.pair.assert_equal();
        for node in &self.pair.nodes {
            assert_eq!(node.engine.table.len(), node.kernel.flows.len());
            assert_eq!(node.in_sync, Some(true));
        }
    }
}

fn run(happenings: &[Happening]) {
    let mut world = World::new();
    happenings.iter().for_each(|it| world.take(it));
    world.end();
}

#[test]
fn what_two_nodes_hold_by_each_other_s_word_ends_on_both() {
    use Happening as H;
    let happenings = [
        H::Packet(0),
        H::Pass(36_826),
        H::Pass(975),
        H::Move(0),
        H::Packet(0),
    ];
    run(&happenings);
}

#[test]
fn a_packet_that_follows_a_role_at_once_counts() {
    use Happening as H;
    let happenings = [
        H::Move(0),
        H::Packet(1),
        H::Pass(23_729),
        H::Move(1),
        H::Packet(1),
        H::Pass(95_671),
    ];
    run(&happenings);
}

#[test]
fn a_packet_right_after_the_link_was_cut_counts() {
    use Happening as H;
    let happenings = [
        H::Move(0),
        H::Move(0),
        H::Packet(7),
        H::Pass(79_400),
        H::Cut,
        H::Connect,
        H::Pass(1988),
        H::Packet(7),
        H::Pass(37_500),
    ];
    run(&happenings);
}

#[test]
fn two_failovers_within_seconds_restore_times_twice() {
    use Happening as H;
    let happenings = [
        H::Packet(4),
        H::Move(0),
        H::Pass(64_458),
        H::Die(0),
        H::Move(0),
        H::Packet(4),
        H::Move(0),
        H::Pass(46_142),
    ];
    run(&happenings);
}

#[test]
fn a_resync_sees_what_came_in_the_middle_of_the_one_before() {
    use Happening as H;
    let happenings = [
        H::Move(0),
        H::Move(1),
        H::Packet(2),
        H::Packet(1),
        H::Packet(6),
        H::Pass(55_200),
        H::Packet(6),
        H::Overrun(0),
        H::Pass(24_000),
    ];
    run(&happenings);
}

/// Number of histories: 200, or PROPTEST_CASES.
fn cases() -> ProptestConfig {
    let count = std::env::var("PROPTEST_CASES").ok();
    ProptestConfig {
        cases: count.and_then(|count| count.parse().ok()).unwrap_or(200),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn a_flow_that_lives_is_where_its_next_packet_comes(
        happenings in proptest::collection::vec(happening(), 1..60)
    ) {
        run(&happenings);
    }
}
