// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whatever happens to interfaces and addresses of both nodes, at random: a virtual address answers on the
//! active node alone. `tests/src/guard/` has what happens, and the rules by which it is judged. A few
//! sequences here, as many as one likes by `SPARED_SEED=7 SPARED_ROUNDS=40 make soak-guard`, which also
//! leaves out steps of a sequence that failed for as long as it fails.

use std::ops::Range;

use spared_tests::Result;
use spared_tests::guard::{Course, Kind, Sequence, Wrong};
use spared_tests::lab::{Lab, scenario};
use spared_tests::random::number;

/// Sequences of one pair, after which another kind of pair has its turn.
const BLOCK: u64 = 25;

/// Goes through the sequences of some seeds. Returns those that broke a promise.
fn sequences(lab: &Lab, kind: Kind, seeds: Range<u64>, shrink: bool) -> Result<Vec<String>> {
    let mut course = Course::start(lab, kind)?;
    let mut failed = Vec::new();
    for seed in seeds {
        let sequence = Sequence::of(seed, course.addresses());
        println!("round seed {seed}, {kind:?}");
        let wrong = course.run(&sequence, true)?;
        if wrong.is_empty() {
            continue;
        }
        wrong.iter().for_each(|it| println!("    {it}"));
        let is_lost = |it: &Wrong| matches!(it, Wrong::Unrecovered(_));
        let least = if shrink && !wrong.iter().any(is_lost) {
            least(&mut course, sequence)?
        } else {
            sequence
        };
        println!("FAILED {kind:?} {}", least.name());
        least
            .steps
            .iter()
            .for_each(|(_, step, pause)| println!("    {step}, {pause:?}"));
        failed.push(format!("{kind:?} {}: {}", least.name(), wrong[0]));
        if wrong.iter().any(is_lost) {
            // a fresh pair for the next ones
            drop(course);
            course = Course::start(lab, kind)?;
        }
    }
    Ok(failed)
}

/// The sequence without every step that it fails without, too.
fn least(course: &mut Course, mut sequence: Sequence) -> Result<Sequence> {
    let mut at = 0;
    while at < sequence.steps.len() && sequence.steps.len() > 1 {
        let fewer = sequence.without(at);
        let mut fails = || -> Result<bool> { Ok(!course.run(&fewer, false)?.is_empty()) };
        // some depend on the moment
        if fails()? || fails()? {
            sequence = fewer;
        } else {
            at += 1;
        }
    }
    Ok(sequence)
}

fn none_fails(kind: Kind, seeds: Range<u64>) {
    scenario(2, |lab| {
        let failed = sequences(lab, kind, seeds.clone(), false)?;
        if failed.is_empty() {
            Ok(())
        } else {
            Err(failed.join("\n").into())
        }
    });
}

// Four pairs, for tests that run beside each other.

#[test]
fn sequences_1_to_5_leave_one_that_answers() {
    none_fails(Kind::Plain, 1..6);
}

#[test]
fn sequences_6_to_10_leave_one_that_answers() {
    none_fails(Kind::Plain, 6..11);
}

#[test]
fn sequences_11_to_15_on_virtual_macs_leave_one_that_answers() {
    none_fails(Kind::Vmac, 11..16);
}

#[test]
fn sequences_16_to_20_of_ipv6_alone_leave_one_that_answers() {
    none_fails(Kind::Ipv6, 16..21);
}

#[test]
#[ignore = "for as long as one likes"]
fn sequences_at_random() {
    let first = number("SPARED_SEED", 1);
    let end = first + number("SPARED_ROUNDS", 1000);
    let shard = (number("SPARED_SHARD", 1), number("SPARED_SHARDS", 1).max(1));
    let only = Kind::ALL.into_iter().find(|kind| {
        std::env::var("SPARED_KIND").is_ok_and(|name| name == format!("{kind:?}").to_lowercase())
    });
    let failed = std::sync::Mutex::new(Vec::new());
    let blocks = (first..end).step_by(BLOCK as usize);
    let own = blocks.filter(|block| (block / BLOCK) % shard.1 == shard.0 - 1);
    for block in own {
        let turn = (block / BLOCK / shard.1) as usize % Kind::ALL.len();
        let kind = only.unwrap_or(Kind::ALL[turn]);
        scenario(2, |lab| {
            let seeds = block..end.min(block + BLOCK);
            let found = sequences(lab, kind, seeds, true)?;
            failed.lock().expect("one thread").extend(found);
            Ok(())
        });
        println!("passed: {kind:?} from {block}");
    }
    let failed = failed.into_inner().expect("one thread");
    println!("{} sequences failed", failed.len());
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
