// SPDX-License-Identifier: MIT OR Apache-2.0
//! The faults of a seed, with the begin and the duration of each.

use std::env;
use std::fmt;
use std::time::Duration;

use super::expected;
use super::fault::{FORMS, Fault, What};
use super::kind::Kind;
use crate::random::Random;

/// Limits of faults in a sequence, and of simultaneous ones.
const FAULTS_MIN: usize = 2;
const FAULTS_MAX: usize = 4;
const AT_ONCE: usize = 2;
/// Number of tries to find a fault that is possible during another.
const TRIES: usize = 20;
/// Times from the begin of one to the next: within one failover time, and longer than it.
const GAPS_MS: [u64; 4] = [50, 350, 1_000, 3_000];
/// Durations of a fault that ends before it must be named.
const SHORT_MS: [u64; 3] = [250, 1_000, 2_500];
/// Time by which a fault that must be named lasts longer.
const BEYOND: Duration = Duration::from_millis(2_000);
/// Durations of a frozen node: if it is stopped for longer, its watchdogs end it.
const FROZEN_MS: [u64; 4] = [1_000, 2_000, 3_500, 5_000];

#[derive(Clone, Debug)]
pub struct Sequence {
    pub seed: u64,
    pub kind: Kind,
    pub strikes: Vec<Strike>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strike {
    /// Place among the faults of the seed.
    pub place: usize,
    pub fault: Fault,
    /// Time from the begin of the sequence.
    pub begins: Duration,
    pub ends: Duration,
}

impl Sequence {
    /// Returns the faults of a seed. A series of [`FORMS`] seeds begins with each form once, on one kind of pair.
    pub fn of(seed: u64) -> Self {
        let turn = (seed / FORMS as u64) as usize % Kind::ALL.len();
        Self::of_kind(seed, Kind::ALL[turn])
    }

    /// Returns the faults of a seed for a kind of pair. SPARED_KEEP may select some: "0,2".
    pub fn of_kind(seed: u64, kind: Kind) -> Self {
        let mut sequence = Self::all_of(seed, kind);
        if let Ok(kept) = env::var("SPARED_KEEP") {
            let kept: Vec<usize> = kept.split(',').filter_map(|it| it.parse().ok()).collect();
            sequence.strikes.retain(|it| kept.contains(&it.place));
        }
        sequence
    }

    fn all_of(seed: u64, kind: Kind) -> Self {
        let mut random = Random::new(seed);
        // neighbouring seeds begin with nearly the same numbers
        for _ in 0..16 {
            random.below(2);
        }
        let count = FAULTS_MIN + random.below(FAULTS_MAX - FAULTS_MIN + 1);
        let mut strikes: Vec<Strike> = Vec::new();
        let mut begins = Duration::ZERO;
        for place in 0..count {
            begins = free_from(&strikes, begins);
            let first = (place == 0).then_some((seed % FORMS as u64) as usize);
            if let Some(fault) = beside(&mut random, first, &standing(&strikes, begins), kind) {
                let ends = begins + lasts(&mut random, &fault, kind);
                strikes.push(Strike {
                    place,
                    fault,
                    begins,
                    ends,
                });
            }
            begins += Duration::from_millis(GAPS_MS[random.below(GAPS_MS.len())]);
        }
        Self {
            seed,
            kind,
            strikes,
        }
    }

    /// Returns the time until the last fault has ended.
    pub fn length(&self) -> Duration {
        let ends = self.strikes.iter().map(|strike| strike.ends);
        ends.max().unwrap_or_default()
    }

    /// Returns the forms of its faults.
    pub fn forms(&self) -> impl Iterator<Item = usize> {
        self.strikes.iter().map(|strike| strike.fault.form)
    }
}

/// Displays the environment variables that repeat it.
impl fmt::Display for Sequence {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        let kept: Vec<String> = self.strikes.iter().map(|it| it.place.to_string()).collect();
        let (seed, kept, kind) = (self.seed, kept.join(","), self.kind);
        write!(
            out,
            "SPARED_SEED={seed} SPARED_KEEP={kept} SPARED_KIND={kind} SPARED_ROUNDS=1"
        )
    }
}

fn standing(strikes: &[Strike], at: Duration) -> Vec<Strike> {
    let stands = |strike: &&Strike| strike.ends > at;
    strikes.iter().filter(stands).copied().collect()
}

/// Returns the time from which another fault is possible.
fn free_from(strikes: &[Strike], at: Duration) -> Duration {
    let now = standing(strikes, at);
    let next = now.iter().map(|strike| strike.ends).min();
    next.filter(|_| now.len() >= AT_ONCE).unwrap_or(at)
}

fn beside(
    random: &mut Random,
    first: Option<usize>,
    standing: &[Strike],
    kind: Kind,
) -> Option<Fault> {
    let mut form = first;
    (0..TRIES).find_map(|_| {
        let form = form.take().unwrap_or_else(|| random.below(FORMS));
        let fault = Fault::of_form(form, random, kind)?;
        let mut others = standing.iter();
        (!others.any(|other| other.fault.excludes(&fault))).then_some(fault)
    })
}

fn lasts(random: &mut Random, fault: &Fault, kind: Kind) -> Duration {
    if fault.what == What::Frozen {
        return Duration::from_millis(FROZEN_MS[random.below(FROZEN_MS.len())]);
    }
    let short = random.below(SHORT_MS.len());
    match random.below(2) {
        0 => Duration::from_millis(SHORT_MS[short]),
        _ => expected::longest(fault, kind) + BEYOND,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_two_faults_stand_at_one_time_and_none_at_one_place() {
        for seed in 0..2_000 {
            let sequence = Sequence::all_of(seed, Kind::ALL[seed as usize % Kind::ALL.len()]);
            assert!(!sequence.strikes.is_empty(), "{sequence}");
            for (index, strike) in sequence.strikes.iter().enumerate() {
                let earlier = standing(&sequence.strikes[..index], strike.begins);
                assert!(earlier.len() < AT_ONCE, "{sequence}");
                let mut earlier = earlier.iter();
                assert!(
                    !earlier.any(|it| it.fault.excludes(&strike.fault)),
                    "{sequence}"
                );
            }
        }
    }

    #[test]
    fn each_form_begins_a_sequence_of_each_kind_of_pair() {
        let seeds = (FORMS * Kind::ALL.len()) as u64;
        let of = |seed| {
            let sequence = Sequence::of(seed);
            let first = sequence.strikes.first().map(|strike| strike.fault.form);
            (sequence.kind.to_string(), first.unwrap_or(FORMS))
        };
        let mut begun: Vec<_> = (0..seeds).map(of).collect();
        begun.sort_unstable();
        begun.dedup();
        for kind in Kind::ALL {
            let forms = begun.iter().filter(|it| it.0 == kind.to_string()).count();
            let without_link = if kind.is_linked { 0 } else { 4 };
            assert!(forms >= FORMS - without_link, "{kind}: {forms}");
        }
    }

    #[test]
    fn a_seed_is_the_same_sequence_each_time() {
        assert_eq!(Sequence::of(7).strikes, Sequence::of(7).strikes);
        assert_ne!(Sequence::of(7).strikes, Sequence::of(8).strikes);
    }
}
