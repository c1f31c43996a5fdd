//! E8: an elector that starts again in a host in which its group was active.

use proptest::prelude::*;
use spared_sdk::Forced;

use super::lab::{AGREEMENT_NS, Forgery, Lab, MS, SECOND};
use super::linked::{LINKS, by_quality, pair};

const WIRES: [&str; 2] = ["lan1", "lan2"];
/// Active_Down at the default interval of 100 ms, with the skew.
const ACTIVE_DOWN_NS: u64 = 400 * MS;
/// Longest time for which both may serve: their heartbeats cross, and keys are agreed.
const CROSSING_NS: u64 = AGREEMENT_NS + 6 * MS;

/// Pair whose second node has been dead for long.
fn survivor() -> Lab {
    let mut lab = pair("prefer = \"r1\"");
    lab.kill(1);
    lab.run(60 * SECOND);
    lab.forget();
    assert_eq!(lab.active(), [0]);
    lab
}

fn cut(lab: &mut Lab, paths: &[&str]) {
    for path in paths {
        lab.cut(path, 0, 1);
    }
}

/// Asserts for living nodes that a little later one serves, and that two did for no longer than that.
fn assert_met(lab: &mut Lab, overlap_ns: u64, step: &str) {
    lab.run(8 * SECOND);
    assert!(
        lab.longest_overlap_ns() <= overlap_ns,
        "{step}: {:?}",
        lab.overlaps
    );
    assert_eq!(lab.active().len(), 1, "{step}");
}

#[test]
fn beside_a_dead_peer_it_listens_for_one_failover_time() {
    for phase_ms in (0..=100).step_by(10) {
        let mut lab = survivor();
        lab.run(phase_ms * MS);
        lab.crash(0);
        lab.run(100 * MS);
        lab.start(0);
        let took = lab.run_until(20 * SECOND, |lab| lab.active() == [0]);
        assert!(took.is_some_and(|ns| ns <= ACTIVE_DOWN_NS), "{took:?}");
    }
}

#[test]
fn it_listens_as_long_when_it_crashes_while_it_listens() {
    let mut lab = survivor();
    lab.crash(0);
    for pause_ms in [100, 200, 400] {
        lab.run(pause_ms * MS);
        lab.start(0);
        lab.run(200 * MS);
        assert!(lab.active().is_empty());
        lab.crash(0);
    }
    lab.start(0);
    let took = lab.run_until(20 * SECOND, |lab| lab.active() == [0]);
    assert!(took.is_some_and(|ns| ns <= ACTIVE_DOWN_NS), "{took:?}");
}

/// The elector knows nothing of the networks of a machine that has just booted.
#[test]
fn after_a_boot_it_waits_as_before() {
    let mut lab = survivor();
    lab.kill(0);
    lab.run(SECOND);
    lab.start(0);
    let took = lab.run_until(20 * SECOND, |lab| lab.active() == [0]);
    assert_eq!(took, Some(5 * SECOND));
}

/// For each path that is left, each phase of the interval, each time until the restart, and each delay of the processes
/// that sign.
#[test]
fn beside_a_living_peer_it_never_serves_along_with_it() {
    beside_a_living_peer(0);
    beside_a_living_peer(2 * SECOND);
}

fn beside_a_living_peer(signed_ns: u64) {
    let [all, wires, links] = [&[][..], &WIRES[..], &LINKS[..]];
    let most = ["lan1", "lan2", "link2"];
    for paths in [all, wires, links, &most[..]] {
        for phase_ms in (0..100).step_by(15) {
            for pause_ms in (0..=600).step_by(40) {
                let mut lab = pair("");
                cut(&mut lab, paths);
                lab.run(3 * SECOND + phase_ms * MS);
                lab.forget();
                let active = lab.active()[0];
                lab.crash(active);
                lab.nobody_signs = true;
                lab.run(pause_ms * MS);
                lab.start(active);
                lab.run(signed_ns);
                lab.nobody_signs = false;
                let step = format!("{paths:?} cut, {phase_ms} ms, back after {pause_ms} ms");
                assert_met(&mut lab, CROSSING_NS, &step);
            }
        }
    }
}

/// The peer boots, or its elector crashes together with this one's.
#[test]
fn a_peer_that_starts_in_that_moment_never_serves_along_with_it() {
    for (held, signed_ns) in [(false, 0), (true, 0), (true, 2 * SECOND)] {
        for paths in [&[][..], &WIRES[..], &LINKS[..]] {
            for pause_ms in [0, 100, 400] {
                for peer_ms in (0..=1000).step_by(25) {
                    let mut lab = survivor();
                    cut(&mut lab, paths);
                    lab.crash(0);
                    lab.nodes[1].directive.held = held;
                    let first_ms = pause_ms.min(peer_ms);
                    lab.run(first_ms * MS);
                    let order = if pause_ms < peer_ms { [0, 1] } else { [1, 0] };
                    lab.start(order[0]);
                    lab.run((pause_ms.max(peer_ms) - first_ms) * MS);
                    lab.nobody_signs = true;
                    lab.start(order[1]);
                    lab.run(signed_ns);
                    lab.nobody_signs = false;
                    let step =
                        format!("{held} {signed_ns} {paths:?} cut, {pause_ms} ms, {peer_ms} ms");
                    assert_met(&mut lab, CROSSING_NS, &step);
                }
            }
        }
    }
}

/// Both served without a path between them, and a path returns while one or both electors start.
#[test]
fn two_that_served_apart_meet_as_they_would_without_a_crash() {
    for healed in [&WIRES[..1], &LINKS[..1]] {
        for both in [false, true] {
            for (heal_ms, pause_ms) in (0..=600)
                .step_by(20)
                .flat_map(|at| [(at, 0), (at, 100), (at, 300)])
            {
                let mut lab = pair("");
                cut(&mut lab, &WIRES);
                cut(&mut lab, &LINKS);
                lab.run(5 * SECOND);
                assert_eq!(lab.active(), [0, 1]);
                lab.crash(0);
                if both {
                    lab.crash(1);
                }
                let first_ms = heal_ms.min(pause_ms);
                lab.run(first_ms * MS);
                for at_ms in [heal_ms, pause_ms] {
                    lab.run((at_ms.max(first_ms) - first_ms) * MS);
                    if at_ms == heal_ms {
                        lab.fix();
                        cut(
                            &mut lab,
                            if healed == &WIRES[..1] {
                                &LINKS
                            } else {
                                &WIRES
                            },
                        );
                    }
                }
                lab.start(0);
                if both {
                    lab.start(1);
                }
                lab.forget();
                let step =
                    format!("{healed:?} healed after {heal_ms} ms, back after {pause_ms} ms");
                // an advert or a heartbeat goes every 100 ms
                assert_met(&mut lab, 100 * MS + CROSSING_NS, &step);
            }
        }
    }
}

/// The other node is active by then, and no key of this run opens its heartbeats yet.
#[test]
fn one_that_is_forced_active_meanwhile_listens_as_long() {
    let mut lab = pair("prefer = \"r1\"");
    lab.run(10 * SECOND);
    lab.stop(0);
    let took = lab.run_until(SECOND, |lab| lab.active() == [0, 1]);
    assert!(took.is_some(), "it took over from one that hangs");
    lab.crash(1);
    lab.resume(0);
    lab.run(600 * MS);
    assert_eq!(lab.active(), [0]);
    lab.forget();
    lab.force(1, Forced::Active);
    lab.start(1);
    lab.run(SECOND);
    assert_eq!((lab.active(), lab.longest_overlap_ns()), (vec![1], 0));
}

/// Slow group, which makes a run of the peer count only after the other group takes over.
const SLOW: &str = "[[group]]\nname = \"slow\"\nadvert_interval = \"1s\"\n[[group.interface]]\n\
                    interface = \"lan1\"\nvrid = 8\naddresses = [\"10.1.0.9/24\"]\n";

/// The peer finds heartbeats of the previous run in its sockets, and so hears that run for a failover time longer.
#[test]
fn a_peer_that_was_stopped_meanwhile_never_serves_along_with_it() {
    for beside in ["", SLOW] {
        let toml = by_quality("prefer = \"r1\"") + beside;
        for resumed_ms in (280..=340).step_by(5).chain([500, 1000]) {
            let mut lab = Lab::linked(&toml, &LINKS);
            lab.stop(1);
            lab.run(9 * MS);
            lab.crash(0);
            lab.start(0);
            lab.run(resumed_ms * MS);
            lab.resume(1);
            let step = format!("resumed after {resumed_ms} ms, beside {beside:?}");
            lab.run(8 * SECOND);
            assert!(
                lab.longest_overlap_ns() <= CROSSING_NS,
                "{step}: {:?}",
                lab.overlaps
            );
            assert!(!lab.active().is_empty(), "{step}");
        }
    }
}

/// The fence of a node that has just died passes for its whole lease.
#[test]
fn a_short_interval_that_somebody_advertises_shortens_no_start() {
    for phase_ms in (0..200).step_by(10) {
        let mut lab = pair("prefer = \"r2\"");
        lab.crash(1);
        lab.run(600 * MS);
        assert_eq!(lab.active(), [0]);
        lab.run(phase_ms * MS);
        lab.kill(0);
        lab.forge("lan1", Forgery::Advert(1, 10 * MS), 20);
        lab.start(1);
        lab.run(8 * SECOND);
        let overlap_ns = lab.longest_overlap_ns();
        assert_eq!(overlap_ns, 0, "{phase_ms} ms: {:?}", lab.overlaps);
        assert_eq!(lab.active(), [1]);
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Crash(usize),
    Start(usize),
    Cut(usize),
    Fix,
    Boot(usize),
    Force(usize, bool),
}

fn step() -> impl Strategy<Value = Step> {
    let node = 0..2_usize;
    prop_oneof![
        3 => node.clone().prop_map(Step::Crash),
        5 => node.clone().prop_map(Step::Start),
        1 => node.clone().prop_map(Step::Boot),
        1 => (node, any::<bool>()).prop_map(|(node, active)| Step::Force(node, active)),
        1 => (0..3_usize).prop_map(Step::Cut),
        1 => Just(Step::Fix),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(500), failure_persistence: None, ..ProptestConfig::default() })]

    /// One link always carries.
    #[test]
    fn whatever_crashes_and_starts_no_two_serve_while_a_path_speaks(
        steps in prop::collection::vec((0..700_u64, step()), 0..30),
        seed in any::<u64>(),
    ) {
        let mut lab = Lab::linked(&by_quality("prefer = \"r1\""), &LINKS);
        lab.seed(seed);
        lab.jitter_ns = MS;
        let mut up = [true; 2];
        for (pause_ms, step) in steps {
            lab.run(pause_ms * MS);
            match step {
                Step::Crash(node) if up[node] => {
                    lab.crash(node);
                    up[node] = false;
                }
                Step::Boot(node) if up[node] => {
                    lab.kill(node);
                    up[node] = false;
                }
                Step::Start(node) if !up[node] => {
                    lab.start(node);
                    up[node] = true;
                }
                Step::Force(node, active) => {
                    let forced = if active { Forced::Active } else { Forced::No };
                    lab.force(node, forced);
                }
                Step::Cut(path) => cut(&mut lab, &[["lan1", "lan2", "link2"][path]]),
                Step::Fix => lab.fix(),
                _ => {}
            }
        }
        lab.run(7 * SECOND);
        let alive = up.iter().filter(|up| **up).count();
        prop_assert_eq!(lab.active().len(), alive.min(1));
        prop_assert!(lab.longest_overlap_ns() <= CROSSING_NS + 4 * MS, "{:?}", lab.overlaps);
    }
}
