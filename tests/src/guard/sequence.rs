// SPDX-License-Identifier: MIT OR Apache-2.0
//! The steps of a seed, or some of them.

use std::env;
use std::time::Duration;

use super::step::Step;
use crate::random::Random;

/// Longest sequence.
const STEPS: usize = 6;
/// Pauses after a step: none, within one failover time, and longer than it.
const PAUSES_MS: [u64; 5] = [0, 30, 120, 350, 700];

#[derive(Clone, Debug)]
pub struct Sequence {
    pub seed: u64,
    /// Steps, with their places among the steps of the seed, and the pauses after them.
    pub steps: Vec<(usize, Step, Duration)>,
}

impl Sequence {
    /// Returns the steps of a seed. SPARED_KEEP may select some: "0,3".
    pub fn of(seed: u64, addresses: usize) -> Self {
        let mut random = Random::new(seed);
        // neighbouring seeds begin with nearly the same numbers
        for _ in 0..16 {
            random.below(2);
        }
        let count = 2 + random.below(STEPS - 1);
        let steps = (0..count).map(|place| {
            let step = Step::at_random(&mut random, addresses);
            let pause = PAUSES_MS[random.below(PAUSES_MS.len())];
            (place, step, Duration::from_millis(pause))
        });
        let mut steps: Vec<_> = steps.collect();
        if let Ok(kept) = env::var("SPARED_KEEP") {
            let kept: Vec<usize> = kept.split(',').filter_map(|it| it.parse().ok()).collect();
            steps.retain(|(place, ..)| kept.contains(place));
        }
        Self { seed, steps }
    }

    /// Returns the sequence without one of its steps.
    pub fn without(&self, at: usize) -> Self {
        let mut fewer = self.clone();
        fewer.steps.remove(at);
        fewer
    }

    /// Returns the environment variables that repeat it.
    pub fn name(&self) -> String {
        let kept: Vec<String> = self.steps.iter().map(|(it, ..)| it.to_string()).collect();
        let kept = kept.join(",");
        format!(
            "SPARED_SEED={} SPARED_KEEP={kept} SPARED_ROUNDS=1",
            self.seed
        )
    }
}
