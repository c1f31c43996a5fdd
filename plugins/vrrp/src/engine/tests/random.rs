//! Random sequences of faults, checked against what must always hold.

use proptest::prelude::*;

use super::lab::{Lab, MS, SECOND, SECOND_ROUTER, by_priority};

/// Fault of a node or a wire.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Kill(usize),
    Start(usize),
    ShutDown(usize),
    Stop(usize),
    Resume(usize),
    Carrier(usize, usize, bool),
    Cut(usize, usize),
    CutOneWay(usize, usize),
    Fix,
    Loss(u64),
    Reload(usize),
    HostFails(usize, bool),
}

const WIRES: [&str; 2] = ["lan1", "lan2"];

fn fault(nodes: usize) -> impl Strategy<Value = Fault> {
    let node = 0..nodes;
    let wire = 0..WIRES.len();
    prop_oneof![
        node.clone().prop_map(Fault::Kill),
        node.clone().prop_map(Fault::Start),
        node.clone().prop_map(Fault::Start),
        node.clone().prop_map(Fault::ShutDown),
        node.clone().prop_map(Fault::Stop),
        node.clone().prop_map(Fault::Resume),
        (node.clone(), wire.clone(), any::<bool>()).prop_map(|(n, w, up)| Fault::Carrier(n, w, up)),
        (node.clone(), wire.clone()).prop_map(|(n, w)| Fault::Cut(n, w)),
        (node.clone(), wire).prop_map(|(n, w)| Fault::CutOneWay(n, w)),
        Just(Fault::Fix),
        (0..30_u64).prop_map(Fault::Loss),
        node.clone().prop_map(Fault::Reload),
        (node, any::<bool>()).prop_map(|(n, fails)| Fault::HostFails(n, fails)),
    ]
}

/// State of each node, as far as the faults know it.
struct Run {
    lab: Lab,
    text: String,
    up: Vec<bool>,
    stopped: Vec<bool>,
    /// Times when nodes were killed.
    deaths_ns: Vec<u64>,
}

impl Run {
    fn new(text: String, nodes: usize, seed: u64) -> Run {
        let mut lab = Lab::new(&text, nodes);
        lab.seed(seed);
        lab.jitter_ns = MS;
        for node in 0..nodes {
            lab.start(node);
        }
        Run {
            lab,
            text,
            up: vec![true; nodes],
            stopped: vec![false; nodes],
            deaths_ns: Vec::new(),
        }
    }

    fn apply(&mut self, fault: Fault) {
        let runs = |run: &Run, node: usize| run.up[node] && !run.stopped[node];
        match fault {
            Fault::Kill(node) => {
                self.lab.kill(node);
                self.deaths_ns.push(self.lab.clock.now_ns());
                self.up[node] = false;
            }
            Fault::Start(node) if !self.up[node] => {
                self.lab.start(node);
                (self.up[node], self.stopped[node]) = (true, false);
            }
            Fault::ShutDown(node) if runs(self, node) => {
                self.lab.shut_down(node);
                self.up[node] = false;
            }
            Fault::Stop(node) if runs(self, node) => {
                self.lab.stop(node);
                self.stopped[node] = true;
            }
            Fault::Resume(node) if self.up[node] && self.stopped[node] => {
                self.lab.resume(node);
                self.stopped[node] = false;
            }
            Fault::Carrier(node, wire, up) if runs(self, node) => {
                self.lab.carrier(node, WIRES[wire], up);
            }
            Fault::Cut(node, wire) => {
                for other in 0..self.up.len() {
                    self.lab.cut(WIRES[wire], node, other);
                }
            }
            Fault::CutOneWay(node, wire) => {
                self.lab
                    .cut_one_way(WIRES[wire], node, (node + 1) % self.up.len());
            }
            Fault::Fix => self.lab.fix(),
            Fault::Loss(percent) => self.lab.loss_percent = percent,
            Fault::Reload(node) if runs(self, node) => {
                let text = self.text.clone();
                self.lab.reload(node, &text);
            }
            Fault::HostFails(node, fails) => self.lab.nodes[node].host_fails = fails,
            _ => {}
        }
    }

    /// Repairs everything that is broken; dead nodes stay dead.
    fn heal(&mut self) {
        self.lab.fix();
        self.lab.loss_percent = 0;
        for node in 0..self.up.len() {
            self.lab.nodes[node].host_fails = false;
            if self.up[node] && self.stopped[node] {
                self.lab.resume(node);
                self.stopped[node] = false;
            }
            for wire in WIRES {
                self.lab.carrier(node, wire, true);
            }
        }
    }

    fn any_running(&self) -> bool {
        self.up.iter().any(|up| *up)
    }
}

/// Longest time of a failover: twice Active_Down, as a node may have to fail once (a crossing, a hurt interface) before
/// it holds.
const FAILOVER_NS: u64 = 2 * 400 * MS;

/// Longest time for which the fence of a dead node still passes, in these groups.
const LEASE_NS: u64 = 270 * MS;

/// Configurations of groups. The owner of the addresses starts without listening, as in the RFC.
fn groups(owner: u8) -> impl Strategy<Value = (Vec<u8>, &'static str, &'static str)> {
    let priorities = prop_oneof![
        Just(vec![200, 100]),
        Just(vec![100, 100]),
        Just(vec![owner, 100]),
        Just(vec![200, 150, 100]),
        Just(vec![100, 100, 100]),
    ];
    let group = prop_oneof![Just(""), Just("preempt = false"), Just("routers = \"any\"")];
    let router = prop_oneof![Just(""), Just(SECOND_ROUTER)];
    (priorities, group, router)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(400), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn after_the_last_fault_exactly_one_is_active_within_the_failover_time(
        (priorities, group, router) in groups(255),
        faults in prop::collection::vec((0..2_u64, 0..600_u64, 0..1000_usize), 0..14),
        picks in prop::collection::vec(fault(2), 14),
        seed in any::<u64>(),
    ) {
        let mut run = Run::new(by_priority(&priorities, group, router), priorities.len(), seed);
        for ((_, pause_ms, _), fault) in faults.iter().zip(picks) {
            run.lab.run(pause_ms * MS);
            run.apply(fault);
        }
        run.heal();
        if run.any_running() {
            run.lab.run(FAILOVER_NS);
            prop_assert_eq!(run.lab.active().len(), 1);
            // it stays active, and answers on every wire
            run.lab.forget();
            run.lab.run(10 * SECOND);
            prop_assert_eq!(run.lab.active().len(), 1);
            let active = run.lab.active();
            prop_assert_eq!(run.lab.answering("lan1"), active);
        }
    }

    /// Nodes may hang, die, be asked to leave and lose carrier, but adverts get through.
    #[test]
    fn no_two_answer_while_adverts_get_through(
        (priorities, group, router) in groups(253),
        faults in prop::collection::vec((0..600_u64, fault(2)), 0..20),
        seed in any::<u64>(),
    ) {
        let mut run = Run::new(by_priority(&priorities, group, router), priorities.len(), seed);
        run.lab.run(2 * SECOND);
        run.lab.forget();
        for (pause_ms, fault) in faults {
            run.lab.run(pause_ms * MS);
            let silences = matches!(
                fault,
                Fault::Cut(..) | Fault::CutOneWay(..) | Fault::Loss(_) | Fault::Carrier(..)
            );
            if !silences {
                run.apply(fault);
            }
        }
        run.lab.run(2 * SECOND);
        // a preemption is heard one latency later; nothing else may overlap
        let crossing_ns = 2 * (run.lab.latency_ns + run.lab.jitter_ns);
        // an exception is a node that dies in that moment and so never hears it: its fence passes for one lease
        let crosses_a_death = |from_ns: u64| {
            let mut deaths = run.deaths_ns.iter();
            deaths.any(|death_ns| death_ns.abs_diff(from_ns) <= crossing_ns)
        };
        let bound_ns = |from_ns| if crosses_a_death(from_ns) { LEASE_NS } else { crossing_ns };
        let mut spans = run.lab.spans_of_overlap().into_iter();
        prop_assert!(
            spans.all(|(from_ns, length_ns)| length_ns <= bound_ns(from_ns)),
            "{} us: {:?}", run.lab.longest_overlap_ns() / 1000, run.lab.overlaps
        );
    }
}
