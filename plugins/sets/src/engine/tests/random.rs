//! Random histories: no element is lost that nobody deleted, and in the end both nodes have the same elements.

use std::panic::{AssertUnwindSafe, catch_unwind};

use spared_sim::{Random, shrink};

use super::lab::*;

/// Number of elements that exist from the beginning, without a timeout, and that nobody deletes.
const PRECIOUS: u32 = 5;
/// Elements that any step adds or deletes.
const FREE: std::ops::Range<u32> = 100..110;
/// Element that a ruleset names.
const FILE: u32 = 200;

#[derive(Clone, Copy, Debug)]
enum Step {
    Add {
        node: usize,
        number: u32,
    },
    AddFor {
        node: usize,
        number: u32,
        seconds: u64,
    },
    Delete {
        node: usize,
        number: u32,
    },
    Packet {
        node: usize,
        number: u32,
    },
    /// A rule deletes an element, without a notification.
    Unsee {
        node: usize,
        number: u32,
    },
    Reload {
        node: usize,
        file: bool,
    },
    Remove {
        node: usize,
    },
    Lose {
        node: usize,
    },
    Role {
        node: usize,
        active: bool,
    },
    Cut,
    Link,
    Restart {
        node: usize,
    },
    Pieces {
        node: usize,
        piece: usize,
    },
    Pass {
        ms: u64,
    },
}

fn step(random: &mut Random) -> Step {
    let node = random.below(2) as usize;
    let number = FREE.start + random.below(10) as u32;
    match random.below(100) {
        0..18 => Step::Add { node, number },
        18..26 => {
            let seconds = random.below(20) + 1;
            Step::AddFor {
                node,
                number,
                seconds,
            }
        }
        26..34 => Step::Delete { node, number },
        34..40 => Step::Packet { node, number },
        40..43 => Step::Unsee { node, number },
        43..51 => {
            let file = random.chance(500);
            Step::Reload { node, file }
        }
        51..53 => Step::Remove { node },
        53..56 => Step::Lose { node },
        56..62 => {
            let active = random.chance(500);
            Step::Role { node, active }
        }
        62..65 => Step::Cut,
        65..71 => Step::Link,
        71..73 => Step::Restart { node },
        73..75 => {
            let piece = random.below(4) as usize * 3 + 2;
            Step::Pieces { node, piece }
        }
        75..92 => {
            let ms = random.below(9);
            Step::Pass { ms }
        }
        _ => {
            let ms = random.below(5_000);
            Step::Pass { ms }
        }
    }
}

fn take(lab: &mut Lab, step: Step) {
    match step {
        Step::Add { node, number } => lab.add(node, element(number, None)),
        Step::AddFor {
            node,
            number,
            seconds,
        } => lab.add(node, element(number, Some((seconds, seconds)))),
        Step::Delete { node, number } => lab.delete(node, number),
        Step::Packet { node, number } if lab.kernel(node).shape.is_some() => {
            lab.insert(node, element(number, Some((30, 30))));
        }
        Step::Packet { .. } => {}
        Step::Unsee { node, number } => drop(lab.kernel(node).elements.remove(&key(number))),
        Step::Reload { node, file } => {
            let names = [element(FILE, None)];
            lab.reload(node, if file { &names } else { &[] });
        }
        Step::Remove { node } => lab.kernel(node).remove(),
        Step::Lose { node } => lab.kernel(node).lose_events(),
        Step::Role { node, active } => lab.role(node, active),
        Step::Cut if lab.linked => lab.cut(),
        Step::Link if !lab.linked => lab.link(),
        Step::Cut | Step::Link => {}
        Step::Restart { node } => restart(lab, node),
        Step::Pieces { node, piece } => {
            let kernel = lab.kernel(node);
            (kernel.piece, kernel.has_holes) = (piece, piece % 2 == 0);
        }
        Step::Pass { ms } => lab.run(ms * MS),
    }
}

/// Restarts a worker. One that ends while its set is not whole loses its knowledge of it: the other node must have all
/// elements then.
fn restart(lab: &mut Lab, node: usize) {
    let now_ns = lab.now_ns();
    for one in [0, 1] {
        if lab.kernel(one).shape.is_none() {
            lab.kernel(one).make(now_ns, &[]);
        }
    }
    lab.run(5 * S);
    lab.restart(node);
    lab.run(5 * S);
}

fn play(seed: u64, steps: &[Step]) {
    let mut lab = Lab::new(seed, settings(Default::default()));
    for number in 0..PRECIOUS {
        lab.insert(0, element(number, None));
    }
    lab.role(0, true);
    lab.link();
    lab.run(3 * S);
    for step in steps {
        take(&mut lab, *step);
        lab.run(0);
    }
    let names_file = |step: &Step| matches!(step, Step::Reload { file: true, .. });
    heal(&mut lab, steps.iter().any(names_file));
}

/// Ends all faults: everything works from now on, and nobody changes anything.
fn heal(lab: &mut Lab, is_named: bool) {
    let now_ns = lab.now_ns();
    for node in [0, 1] {
        if lab.kernel(node).shape.is_none() {
            lab.kernel(node).make(now_ns, &[]);
        }
        lab.role(node, node == 0);
    }
    if !lab.linked {
        lab.link();
    }
    // elements with a timeout have expired then, and everything was compared
    lab.run(130 * S);
    lab.assert_in_sync();
    for number in 0..PRECIOUS {
        assert!(lab.has(0, number), "{number} is lost");
    }
    assert!(!is_named || lab.has(0, FILE), "what a file named is lost");
}

fn fails(seed: u64, steps: &[Step]) -> Option<String> {
    let failed = catch_unwind(AssertUnwindSafe(|| play(seed, steps))).err()?;
    let text = failed.downcast_ref::<String>().cloned();
    let short = failed.downcast_ref::<&str>().map(|it| (*it).to_owned());
    Some(text.or(short).unwrap_or_default())
}

fn number_of(name: &str, usual: u64) -> u64 {
    let value = std::env::var(name).ok();
    value.and_then(|it| it.parse().ok()).unwrap_or(usual)
}

#[test]
fn random_histories_lose_nothing_and_end_equal() {
    let first = number_of("SPARED_SEED", 0);
    for seed in first..first + number_of("PROPTEST_CASES", 200) {
        let mut random = Random::new(seed);
        let length = random.below(40) + 1;
        let steps: Vec<Step> = (0..length).map(|_| step(&mut random)).collect();
        if let Some(text) = fails(seed, &steps) {
            let shorter = shrink(&steps, |steps| fails(seed, steps).is_some());
            let why = fails(seed, &shorter);
            panic!("seed {seed}: {text}\n{shorter:#?}\n{why:?}");
        }
    }
}
