//! Random sequences of faults with heartbeats over two links.

use proptest::prelude::*;
use spared_sdk::Forced;

use super::lab::{AGREEMENT_NS, Forgery, Lab, MS, SECOND, SECOND_ROUTER, by_priority};
use spared_sdk::Directive;

/// Fault of a node, a wire or a link.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Kill(usize),
    /// Crash of the elector alone.
    Crash(usize),
    Start(usize),
    ShutDown(usize),
    Stop(usize),
    Resume(usize),
    Carrier(usize, usize, bool),
    Cut(usize),
    CutOneWay(usize, usize),
    Fix,
    Loss(u64),
    Quality(usize, u8),
    Maintenance(usize, bool),
    Force(usize, u8),
    Freeze(usize, bool),
    Switch,
    Unready(usize, bool),
    Declines(usize, bool),
    Drain(u64),
    SlowHost(usize, u64),
    HostFails(usize, bool),
    /// Kind of frames that a station on lan1 sends, and their number a second.
    Forge(u8, u64),
}

const WIRES: [&str; 2] = ["lan1", "lan2"];
const PATHS: [&str; 4] = ["lan1", "lan2", "link2", "link1"];

fn fault() -> impl Strategy<Value = Fault> {
    let node = 0..2_usize;
    prop_oneof![
        node.clone().prop_map(Fault::Kill),
        node.clone().prop_map(Fault::Crash),
        node.clone().prop_map(Fault::Start),
        node.clone().prop_map(Fault::Start),
        node.clone().prop_map(Fault::ShutDown),
        node.clone().prop_map(Fault::Stop),
        node.clone().prop_map(Fault::Resume),
        node.clone().prop_map(Fault::Resume),
        (node.clone(), 0..2_usize, any::<bool>()).prop_map(|(n, w, up)| Fault::Carrier(n, w, up)),
        (0..4_usize).prop_map(Fault::Cut),
        (node.clone(), 0..4_usize).prop_map(|(n, path)| Fault::CutOneWay(n, path)),
        Just(Fault::Fix),
        (0..30_u64).prop_map(Fault::Loss),
        (node.clone(), 0..=100_u8).prop_map(|(n, q)| Fault::Quality(n, q)),
        (node.clone(), any::<bool>()).prop_map(|(n, on)| Fault::Maintenance(n, on)),
        (node.clone(), 0..3_u8).prop_map(|(n, how)| Fault::Force(n, how)),
        (node.clone(), any::<bool>()).prop_map(|(n, on)| Fault::Freeze(n, on)),
        Just(Fault::Switch),
        (node.clone(), any::<bool>()).prop_map(|(n, on)| Fault::Unready(n, on)),
        (node.clone(), any::<bool>()).prop_map(|(n, on)| Fault::Declines(n, on)),
        (0..800_u64).prop_map(Fault::Drain),
        (node.clone(), 0..40_u64).prop_map(|(n, ms)| Fault::SlowHost(n, ms)),
        (node, any::<bool>()).prop_map(|(n, fails)| Fault::HostFails(n, fails)),
        (0..5_u8, 1..50_u64).prop_map(|(what, rate)| Fault::Forge(what, rate)),
    ]
}

struct Run {
    lab: Lab,
    up: [bool; 2],
    stopped: [bool; 2],
    /// Longest time that a host took for a role.
    slowest_ns: u64,
}

impl Run {
    fn new(text: &str, seed: u64) -> Run {
        let mut lab = Lab::without_start(text, &["link1", "link2"]);
        lab.seed(seed);
        lab.jitter_ns = MS;
        lab.start(0);
        lab.start(1);
        Run {
            lab,
            up: [true; 2],
            stopped: [false; 2],
            slowest_ns: 0,
        }
    }

    fn change_directive(&mut self, node: usize, change: impl FnOnce(&mut Directive)) {
        let mut directive = self.lab.nodes[node].directive.clone();
        change(&mut directive);
        self.lab.directive(node, directive);
    }

    /// Applies a fault. `spares`: link1 and the hosts stay whole.
    fn apply(&mut self, fault: Fault, spares: bool) {
        let runs = |run: &Run, node: usize| run.up[node] && !run.stopped[node];
        match fault {
            Fault::Kill(node) => {
                self.lab.kill(node);
                self.up[node] = false;
            }
            Fault::Crash(node) if self.up[node] => {
                self.lab.crash(node);
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
            Fault::Cut(path) if !(spares && path == 3) => self.lab.cut(PATHS[path], 0, 1),
            Fault::CutOneWay(from, path) if !(spares && path == 3) => {
                self.lab.cut_one_way(PATHS[path], from, 1 - from);
            }
            Fault::Fix => self.lab.fix(),
            Fault::Loss(percent) if !spares => self.lab.loss_percent = percent,
            Fault::Quality(node, quality) => self.change_directive(node, |s| s.quality = quality),
            Fault::Maintenance(node, on) => self.change_directive(node, |s| s.maintenance = on),
            Fault::Force(node, how) => {
                let forced = [Forced::No, Forced::Active, Forced::Backup][usize::from(how)];
                self.change_directive(node, |s| s.forced = forced);
            }
            Fault::Freeze(node, on) => self.change_directive(node, |s| s.frozen = on),
            Fault::Switch => {
                if let [active] = self.lab.active()[..] {
                    self.lab.switch(active);
                }
            }
            Fault::Unready(node, on) => {
                self.lab.nodes[node].host.unready = on;
                self.change_directive(node, |_| {});
            }
            Fault::Declines(node, on) => self.lab.nodes[node].host.declines = on,
            Fault::Drain(ms) => self.lab.drain_ns = ms * MS,
            Fault::SlowHost(node, ms) => {
                self.lab.nodes[node].publish_ns = ms * MS;
                self.slowest_ns = self.slowest_ns.max(ms * MS);
            }
            Fault::Forge(what, rate) => {
                let forgery = [
                    Forgery::Advert(255, 100 * MS),
                    Forgery::Advert(0, 100 * MS),
                    Forgery::Advert(1, 10 * MS),
                    Forgery::Replay,
                    Forgery::HeldBack(10),
                ][usize::from(what)];
                self.lab.forge("lan1", forgery, rate);
            }
            Fault::HostFails(node, fails) if !spares => self.lab.nodes[node].host_fails = fails,
            _ => {}
        }
    }

    /// Repairs everything that is broken; dead nodes stay dead.
    fn heal(&mut self) {
        self.lab.fix();
        self.lab.end_forging();
        self.lab.loss_percent = 0;
        for node in 0..2 {
            self.lab.nodes[node].host_fails = false;
            self.lab.nodes[node].publish_ns = 0;
            self.lab.nodes[node].host.declines = false;
            if self.up[node] && self.stopped[node] {
                self.lab.resume(node);
                self.stopped[node] = false;
            }
            for wire in WIRES {
                self.lab.carrier(node, wire, true);
            }
        }
    }
}

fn configuration() -> impl Strategy<Value = String> {
    let quality = |prefer: &str| {
        format!(
            "[[group]]\nname = \"g\"\nhold = \"500ms\"\nfailback_delay = \"5s\"\n{prefer}\n\
             [[group.interface]]\ninterface = \"lan1\"\nvrid = 7\naddresses = [\"10.1.0.1/24\"]\n\
             {SECOND_ROUTER}"
        )
    };
    prop_oneof![
        Just(quality("")),
        Just(quality("prefer = \"r1\"")),
        Just(quality("prefer = \"r2\"")),
        Just(by_priority(&[200, 100], "", SECOND_ROUTER)),
        Just(by_priority(&[100, 100], "preempt = false", SECOND_ROUTER)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(300), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn after_the_last_fault_exactly_one_is_active_and_nothing_moves(
        text in configuration(),
        faults in prop::collection::vec((0..900_u64, fault()), 0..16),
        seed in any::<u64>(),
    ) {
        let mut run = Run::new(&text, seed);
        for (pause_ms, fault) in faults {
            run.lab.run(pause_ms * MS);
            run.apply(fault, false);
        }
        run.heal();
        if run.up == [false; 2] {
            return Ok(());
        }
        // a start waits for the link, then a switchover may be due, and its hold has doubled
        run.lab.run(7 * SECOND);
        prop_assert_eq!(run.lab.active().len(), 1);
        run.lab.run(90 * SECOND);
        run.lab.forget();
        run.lab.run(90 * SECOND);
        prop_assert_eq!(run.lab.active().len(), 1);
        prop_assert_eq!(run.lab.failovers(), 0);
        let active = run.lab.active();
        prop_assert_eq!(run.lab.answering("lan1"), active);
    }

    /// One link and the hosts are whole; nodes may hang, die and lose every wire.
    #[test]
    fn no_two_answer_while_heartbeats_get_through(
        text in configuration(),
        faults in prop::collection::vec((0..900_u64, fault()), 0..24),
        seed in any::<u64>(),
    ) {
        let mut run = Run::new(&text, seed);
        run.lab.run(10 * SECOND);
        run.lab.forget();
        for (pause_ms, fault) in faults {
            run.lab.run(pause_ms * MS);
            run.apply(fault, true);
        }
        run.lab.run(2 * SECOND);
        // what a node sends that was stopped in the middle crosses what the other did
        let crossing_ns = 2 * (run.lab.latency_ns + run.lab.jitter_ns);
        // a node that was stopped while the other started again must agree on a key first, and be heard under it
        let crossing_ns = crossing_ns + AGREEMENT_NS + 6 * (run.lab.latency_ns + run.lab.jitter_ns);
        // a slow host does not carry that out at once
        let crossing_ns = crossing_ns + run.slowest_ns;
        prop_assert!(
            run.lab.longest_overlap_ns() <= crossing_ns,
            "{} us: {:?}", run.lab.longest_overlap_ns() / 1000, run.lab.overlaps
        );
    }
}
