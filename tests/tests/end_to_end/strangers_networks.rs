// SPDX-License-Identifier: MIT OR Apache-2.0
//! Faults of strangers' networks at random: what stations see, and what both nodes say, is compared with what was
//! broken. `tests/src/foreign_network/` has the faults and the rules. A few sequences here, as many as one likes by
//! `SPARED_SEED=7 SPARED_ROUNDS=40 make soak-strangers`.

use std::cell::RefCell;
use std::time::Duration;

use spared_tests::Result;
use spared_tests::foreign_network::{Course, FORMS, Kind, Outcome, Sequence};
use spared_tests::lab::{disturbed, scenario};
use spared_tests::random::number;

/// Attempts of a sequence that failed while the machine was late.
const ATTEMPTS: usize = 3;

/// Seeds of the sequences below, which together have each form of fault; most last until they must be named.
const SAMPLE: [u64; 10] = [108, 606, 981, 1764, 3017, 3034, 4292, 8433, 8724, 9525];

/// Report of a sequence, in words.
fn told(sequence: &Sequence, outcome: &Outcome) -> String {
    let mut text = format!("FAILED {sequence}\n");
    for line in &outcome.trace {
        text += &format!("    {line}\n");
    }
    for wrong in &outcome.wrong {
        text += &format!("    WRONG: {wrong}\n");
    }
    if let Some(late) = outcome.late {
        text += &format!("    the machine was late by {late:.1?}\n");
    }
    text
}

fn passes(seed: u64) {
    scenario(2, |lab| {
        let sequence = Sequence::of(seed);
        let outcome = Course::start(lab, sequence.kind)?.run(&sequence)?;
        if outcome.wrong.is_empty() {
            return Ok(());
        }
        let text = told(&sequence, &outcome);
        match outcome.late {
            Some(_) => Err(disturbed(text)),
            None => Err(text.into()),
        }
    });
}

// One pair each, for tests that run beside each other.

#[test]
fn seed_108_is_told_and_answered_once() {
    passes(108);
}

#[test]
fn seed_606_is_told_and_answered_once() {
    passes(606);
}

#[test]
fn seed_981_is_told_and_answered_once() {
    passes(981);
}

#[test]
fn seed_1764_is_told_and_answered_once() {
    passes(1764);
}

#[test]
fn seed_3017_is_told_and_answered_once() {
    passes(3017);
}

#[test]
fn seed_3034_is_told_and_answered_once() {
    passes(3034);
}

#[test]
fn seed_4292_is_told_and_answered_once() {
    passes(4292);
}

#[test]
fn seed_8433_is_told_and_answered_once() {
    passes(8433);
}

#[test]
fn seed_8724_is_told_and_answered_once() {
    passes(8724);
}

#[test]
fn seed_9525_is_told_and_answered_once() {
    passes(9525);
}

#[test]
fn the_samples_have_each_form_of_fault() {
    let mut forms: Vec<usize> = SAMPLE
        .iter()
        .flat_map(|seed| Sequence::of(*seed).forms().collect::<Vec<_>>())
        .collect();
    forms.sort_unstable();
    forms.dedup();
    assert_eq!(forms, (0..FORMS).collect::<Vec<_>>());
    for seed in SAMPLE {
        let length = Sequence::of(seed).length();
        assert!(length < Duration::from_secs(10), "{seed}: {length:?}");
    }
}

/// Runs a sequence, again if the machine was late. Returns what is told of a failure, and the time until all was well.
fn judged(sequence: &Sequence) -> (Option<String>, Option<Duration>) {
    for attempt in 1..=ATTEMPTS {
        let result: RefCell<Option<Result<Outcome>>> = RefCell::new(None);
        scenario(2, |lab| {
            let outcome = Course::start(lab, sequence.kind).and_then(|mut pair| pair.run(sequence));
            *result.borrow_mut() = Some(outcome);
            Ok(())
        });
        match result.into_inner() {
            Some(Ok(outcome)) if outcome.wrong.is_empty() => return (None, outcome.well_after),
            Some(Ok(outcome)) if outcome.late.is_some() && attempt < ATTEMPTS => {
                print!("attempt {attempt}: {}", told(sequence, &outcome));
            }
            Some(Ok(outcome)) => return (Some(told(sequence, &outcome)), outcome.well_after),
            Some(Err(error)) => return (Some(format!("FAILED {sequence}: {error}\n")), None),
            // skipped
            None => return (None, None),
        }
    }
    (None, None)
}

#[test]
#[ignore = "for as long as one likes"]
fn sequences_at_random() {
    let first = number("SPARED_SEED", 1);
    let end = first + number("SPARED_ROUNDS", 200);
    let (shard, shards) = (number("SPARED_SHARD", 1), number("SPARED_SHARDS", 1).max(1));
    let only = Kind::from_environment();
    let mut failed = Vec::new();
    let mut longest = Duration::ZERO;
    for seed in (first..end).filter(|seed| seed % shards == shard - 1) {
        let sequence =
            only.map_or_else(|| Sequence::of(seed), |kind| Sequence::of_kind(seed, kind));
        println!("round seed {seed}, {}", sequence.kind);
        let (failure, well_after) = judged(&sequence);
        longest = longest.max(well_after.unwrap_or_default());
        match failure {
            Some(text) => {
                print!("{text}");
                failed.push(text);
            }
            None => println!("passed: {}", sequence.kind),
        }
    }
    println!(
        "{} sequences failed; well after {longest:.1?} at most",
        failed.len()
    );
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
