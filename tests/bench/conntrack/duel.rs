// SPDX-License-Identifier: MIT OR Apache-2.0
//! Both makes in turns, and the medians of what they cost.

use spared_tests::Result;
use spared_tests::bench::Row;

use super::bed::Make;

/// What each run measured.
pub struct Duel<T> {
    pub ours: Vec<T>,
    pub theirs: Vec<T>,
}

impl<T> Duel<T> {
    /// They take turns, so that a slow spell of the machine meets both.
    pub fn run(runs: usize, theirs: Make, measure: impl Fn(Make) -> Result<T>) -> Result<Self> {
        let mut duel = Self {
            ours: Vec::new(),
            theirs: Vec::new(),
        };
        for _ in 0..runs {
            duel.ours.push(measure(Make::Spared)?);
            duel.theirs.push(measure(theirs)?);
        }
        Ok(duel)
    }

    pub fn row(&self, what: &'static str, allowed: Option<f64>, of: impl Fn(&T) -> f64) -> Row {
        let [ours, theirs] = [&self.ours, &self.theirs].map(|runs| sorted(runs, &of));
        Row {
            what,
            ours: median(&ours),
            beside: median(&theirs),
            allowed,
            note: format!("{}; {}", spread(&ours), spread(&theirs)),
        }
    }
}

pub fn sorted<T>(runs: &[T], of: impl Fn(&T) -> f64) -> Vec<f64> {
    let mut values: Vec<f64> = runs.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values
}

pub fn median(sorted: &[f64]) -> f64 {
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

fn spread(sorted: &[f64]) -> String {
    match (sorted.first(), sorted.last()) {
        (Some(least), Some(most)) => format!("{least:.1} to {most:.1}"),
        _ => "-".to_owned(),
    }
}
