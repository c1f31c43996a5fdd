// SPDX-License-Identifier: MIT OR Apache-2.0
//! Formats both builds' medians, the change, and the verdict, row by row.

use std::fmt::Write;

use crate::judge::{Judgment, Verdict, judge};
use crate::rows::Pairs;

pub fn of(pairs: &[Pairs], names: [&str; 2]) -> String {
    let [base, here] = names;
    let mut text = format!(
        "\nbase: {base}; here: {here}; medians of {} pairs\n",
        count(pairs)
    );
    let width = pairs.iter().map(|row| row.name.len()).max().unwrap_or(0);
    let _ = writeln!(
        text,
        "{:<width$}{:>12}{:>12}{:>10}{:>10}  verdict",
        "case", "base", "here", "change", "spread"
    );
    let mut undecided = 0;
    for row in pairs {
        let judgment = judge(&row.base, &row.here);
        undecided += usize::from(judgment.verdict == Verdict::Undecided);
        let [base, here] = judgment.medians;
        let _ = writeln!(
            text,
            "{:<width$}{base:>12.3}{here:>12.3}{:>10}{:>10}  {}",
            row.name,
            signed(judgment.change),
            percent(judgment.spread),
            verdict(&judgment)
        );
    }
    let _ = writeln!(
        text,
        "{undecided} of {} rows undecided (half of the pairs' interquartile range exceeds 3 %)",
        pairs.len()
    );
    text
}

fn count(pairs: &[Pairs]) -> usize {
    pairs.first().map_or(0, |row| row.base.len())
}

// A large change causes a large spread, so the text must not suggest that undecided means harmless.
fn verdict(judgment: &Judgment) -> String {
    let [faster, slower] = judgment.counts;
    match judgment.verdict {
        Verdict::Undecided => format!("undecided ({faster} faster, {slower} slower)"),
        verdict => verdict.to_string(),
    }
}

fn signed(value: f64) -> String {
    if value.is_finite() {
        format!("{value:+.1} %")
    } else {
        "from 0".to_owned()
    }
}

fn percent(value: f64) -> String {
    if value.is_finite() {
        format!("{value:.1} %")
    } else {
        "of 0".to_owned()
    }
}
