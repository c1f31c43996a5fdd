// SPDX-License-Identifier: MIT OR Apache-2.0
//! Decides whether a row of a bench has changed, or whether that cannot be decided.
//!
//! A pair's change is the difference of its two runs, here less base, in percent of the base's
//! median. The *change* is the median of the pairs' changes; the *spread* is half of their
//! interquartile range. A row is *undecided* if the spread exceeds 3 %. Otherwise it is *faster* or
//! *slower* if three quarters of the pairs agree (both quartiles are on the same side of 0; of 15
//! pairs these are the 4th and the 12th, and the true median lies between them in 96 of 100 cases)
//! and the change is at least 1 %, and *same* if not. In every row of every bench less is better,
//! be it ms, bytes or packets lost.

use std::fmt;

/// Greatest spread in percent of a decided row.
const SPREAD_MAX: f64 = 3.0;
/// Smallest change in percent that counts.
const CHANGE_MIN: f64 = 1.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Faster,
    Same,
    Slower,
    Undecided,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judgment {
    /// The medians of base and here.
    pub medians: [f64; 2],
    /// Change in percent; infinite if the base is 0 and this is not.
    pub change: f64,
    /// Spread in percent.
    pub spread: f64,
    /// Numbers of pairs that are faster and slower.
    pub counts: [usize; 2],
    pub verdict: Verdict,
}

/// Judges the runs of both sides, pair by pair.
pub fn judge(base: &[f64], here: &[f64]) -> Judgment {
    let medians = [median(base), median(here)];
    let differences: Vec<f64> = base
        .iter()
        .zip(here)
        .map(|(base, here)| here - base)
        .collect();
    let [low, middle, high] = [0.25, 0.5, 0.75].map(|share| quantile(&differences, share));
    let percent = |difference: f64| match difference {
        0.0 => 0.0,
        _ => difference / medians[0].abs() * 100.0,
    };
    let (change, spread) = (percent(middle), percent((high - low) / 2.0));
    let count = |is: fn(&f64) -> bool| differences.iter().filter(|it| is(it)).count();
    let verdict = if spread > SPREAD_MAX {
        Verdict::Undecided
    } else if low > 0.0 && change >= CHANGE_MIN {
        Verdict::Slower
    } else if high < 0.0 && change <= -CHANGE_MIN {
        Verdict::Faster
    } else {
        Verdict::Same
    };
    Judgment {
        medians,
        change,
        spread,
        counts: [count(|it| *it < 0.0), count(|it| *it > 0.0)],
        verdict,
    }
}

fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// Returns the value below which this share of the values lies, interpolated between two of them.
/// Ranks count as (n + 1) x share, so that the quartiles of 15 values are the 4th and the 12th.
fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = ((sorted.len() + 1) as f64 * share).clamp(1.0, sorted.len().max(1) as f64);
    let below = rank.floor();
    let at = |rank: f64| sorted.get(rank as usize - 1).copied().unwrap_or(f64::NAN);
    let (low, high) = (at(below), at(rank.ceil()));
    low + (high - low) * (rank - below)
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Faster => "faster",
            Self::Same => "same",
            Self::Slower => "slower",
            Self::Undecided => "undecided",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fifteen values around 100, a tenth of a percent apart.
    fn around(middle: f64) -> Vec<f64> {
        (-7..=7)
            .map(|step| middle + f64::from(step) * 0.1)
            .collect()
    }

    fn verdict(base: &[f64], here: &[f64]) -> Verdict {
        judge(base, here).verdict
    }

    #[test]
    fn quartiles_of_fifteen_are_the_fourth_and_the_twelfth() {
        let values: Vec<f64> = (1..=15).rev().map(f64::from).collect();
        let found = [0.25, 0.5, 0.75].map(|share| quantile(&values, share));
        assert_eq!(found, [4.0, 8.0, 12.0]);
        assert_eq!(quantile(&[1.0, 2.0], 0.5), 1.5);
        assert_eq!(quantile(&[7.0], 0.25), 7.0);
    }

    #[test]
    fn equal_runs_are_the_same() {
        assert_eq!(verdict(&around(100.0), &around(100.0)), Verdict::Same);
        assert_eq!(verdict(&[0.0; 15], &[0.0; 15]), Verdict::Same);
    }

    #[test]
    fn a_change_that_three_quarters_of_the_pairs_show_is_told() {
        assert_eq!(verdict(&around(100.0), &around(102.0)), Verdict::Slower);
        assert_eq!(verdict(&around(100.0), &around(98.0)), Verdict::Faster);
        // as many pairs in each direction
        let mixed: Vec<f64> = (0..15)
            .map(|at| 100.0 + f64::from(at % 3 - 1) * 2.0)
            .collect();
        assert_eq!(verdict(&[100.0; 15], &mixed), Verdict::Same);
        // more pairs in one direction, but less than three quarters of them
        let leaning: Vec<f64> = [[98.5; 6].as_slice(), &[101.5; 9]].concat();
        assert_eq!(verdict(&[100.0; 15], &leaning), Verdict::Same);
        // a real change that is too small to count
        assert_eq!(verdict(&around(100.0), &around(100.5)), Verdict::Same);
    }

    #[test]
    fn a_spread_above_three_percent_is_undecided_whatever_the_change() {
        let spread = |half: f64| -> Vec<f64> {
            let steps = (-7..=7).map(|step| f64::from(step) / 4.0 * half);
            steps.map(|step| 150.0 + step).collect()
        };
        assert_eq!(verdict(&[100.0; 15], &spread(2.9)), Verdict::Slower);
        let judgment = judge(&[100.0; 15], &spread(3.1));
        assert_eq!(judgment.verdict, Verdict::Undecided);
        assert!((judgment.spread - 3.1).abs() < 1e-9, "{judgment:?}");
        assert_eq!((judgment.change, judgment.counts), (50.0, [0, 15]));
    }

    #[test]
    fn one_stumble_of_the_machine_decides_nothing() {
        let mut here = around(100.0);
        here[0] = 5000.0;
        assert_eq!(verdict(&around(100.0), &here), Verdict::Same);
    }

    #[test]
    fn what_was_never_there_and_now_always_is_is_slower() {
        let judgment = judge(&[0.0; 15], &[3.0; 15]);
        assert_eq!(judgment.verdict, Verdict::Slower);
        assert_eq!(judgment.change, f64::INFINITY);
        // occasional losses cannot be decided
        let now_and_then: Vec<f64> = (0..15).map(|at| f64::from(at % 2)).collect();
        assert_eq!(verdict(&[0.0; 15], &now_and_then), Verdict::Undecided);
    }

    #[test]
    fn a_drift_that_befalls_both_of_a_pair_is_no_change() {
        let drift: Vec<f64> = (0..15).map(|at| 100.0 + f64::from(at) * 10.0).collect();
        assert_eq!(verdict(&drift, &drift), Verdict::Same);
    }
}
