// SPDX-License-Identifier: MIT OR Apache-2.0
//! How long the metrics of many groups take, from the program's start to its end.

use std::time::Instant;

use spared_bench::{Bench, Row};
use spared_tests::Result;
use spared_tests::clock::ms;
use spared_tests::lab::Lab;
use spared_tests::linked::{INTERVAL, Linked};
use spared_tests::many::Many;

use super::bed::median;

/// Longest allowed answer, in ms.
const ALLOWED_MS: f64 = 50.0;
/// Number of answers for each run of the bench.
const ANSWERS: usize = 10;

pub fn metrics(bench: &Bench, many: Many) -> Result<Vec<Row>> {
    let lab = Lab::new(2)?;
    let plan = many.linked(INTERVAL);
    let pair = Linked::begin(&lab, [plan.clone(), plan])?;
    let active = many.settled(&pair)?;
    let mut times = Vec::new();
    let mut series = 0;
    for _ in 0..bench.runs * ANSWERS {
        let begun = Instant::now();
        let text = pair.done(active, &["metrics"])?;
        times.push(ms(begun.elapsed()));
        series = text.lines().filter(|line| !line.starts_with('#')).count();
    }
    let floor = || -> Result<f64> {
        let begun = Instant::now();
        pair.done(active, &["--version"])?;
        Ok(ms(begun.elapsed()))
    };
    let floor = (0..bench.runs * ANSWERS)
        .map(|_| floor())
        .collect::<Result<Vec<_>>>()?;
    Ok(vec![Row {
        what: "ms, sparectl metrics",
        ours: median(&times),
        beside: median(&floor),
        allowed: Some(ALLOWED_MS),
        note: format!("{series} series; beside: sparectl --version"),
    }])
}
