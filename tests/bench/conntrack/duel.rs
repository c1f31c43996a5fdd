// SPDX-License-Identifier: MIT OR Apache-2.0
//! Both makes in turns, and the medians of what they cost.

use spared_bench::{Bench, Row};
use spared_tests::Result;

use super::bed::Make;

/// Results of the runs of each make.
pub struct Duel<T> {
    pub ours: Vec<T>,
    pub theirs: Vec<T>,
    /// Without a sync, where that is asked for.
    pub alone: Vec<T>,
}

impl<T> Duel<T> {
    /// They take turns, so that a slow spell of the machine meets both; `most` times, or where the bench asks
    /// for few runs a third of that, and no more than it asks for.
    pub fn run(
        bench: &Bench,
        most: usize,
        theirs: Make,
        measure: impl Fn(Make) -> Result<T>,
    ) -> Result<Self> {
        Self::run_beside(false, bench, most, theirs, measure)
    }

    /// Turns as in `run`, each of which begins with a run without any sync.
    pub fn run_with_nobody(
        bench: &Bench,
        most: usize,
        theirs: Make,
        measure: impl Fn(Make) -> Result<T>,
    ) -> Result<Self> {
        Self::run_beside(true, bench, most, theirs, measure)
    }

    /// spared once, and nobody beside it.
    pub fn once(measure: impl Fn(Make) -> Result<T>) -> Result<Self> {
        Ok(Self {
            ours: vec![measure(Make::Spared)?],
            theirs: Vec::new(),
            alone: Vec::new(),
        })
    }

    fn run_beside(
        nobody: bool,
        bench: &Bench,
        most: usize,
        theirs: Make,
        measure: impl Fn(Make) -> Result<T>,
    ) -> Result<Self> {
        let mut duel = Self {
            ours: Vec::new(),
            theirs: Vec::new(),
            alone: Vec::new(),
        };
        let runs = match bench.runs {
            0..=3 => bench.runs.min(most.div_ceil(3)),
            _ => most,
        };
        for _ in 0..runs {
            if nobody {
                duel.alone.push(measure(Make::Nobody)?);
            }
            duel.ours.push(measure(Make::Spared)?);
            if !bench.alone {
                duel.theirs.push(measure(theirs)?);
            }
        }
        Ok(duel)
    }

    /// Results with `of` applied to each run.
    pub fn map<U>(self, of: impl Fn(T) -> U) -> Duel<U> {
        let [ours, theirs, alone] =
            [self.ours, self.theirs, self.alone].map(|runs| runs.into_iter().map(&of).collect());
        Duel {
            ours,
            theirs,
            alone,
        }
    }

    /// The runs of both.
    pub fn and(mut self, other: Self) -> Self {
        self.ours.extend(other.ours);
        self.theirs.extend(other.theirs);
        self.alone.extend(other.alone);
        self
    }

    /// Flows in which the tables of both routers differed in the end: none, in no run.
    pub fn wrong(&self, of: impl Fn(&T) -> usize) -> Row {
        let [ours, theirs] =
            [&self.ours, &self.theirs].map(|runs| sorted(runs, |run| of(run) as f64));
        let most = |sorted: &[f64]| sorted.last().copied().unwrap_or(f64::NAN);
        Row {
            what: "flows missing or different, worst run",
            ours: most(&ours),
            beside: most(&theirs),
            allowed: Some(0.0),
            note: format!("{}; {}", spread(&ours), spread(&theirs)),
        }
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

pub fn spread(sorted: &[f64]) -> String {
    match (sorted.first(), sorted.last()) {
        (Some(least), Some(most)) => format!("{least:.1} to {most:.1}"),
        _ => "-".to_owned(),
    }
}
