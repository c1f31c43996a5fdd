// SPDX-License-Identifier: MIT OR Apache-2.0
//! Formats the table: time of each test file, tests that needed a second try, machines that stood still, and the limit.

use std::collections::HashMap;
use std::fmt::Write;

use spared_tests::machine::tally::Tally;

use crate::report::{Case, Try};
use crate::sources::Sources;

/// Limit of the tests after the build on two processors, as CONTRIBUTING.md promises.
const LIMIT_MIN: f64 = 30.0;
/// Files below this share one row.
const SHOWN_MIN: f64 = 0.05;

/// Cost of a file, in minutes.
#[derive(Clone, Copy, Default)]
pub struct Cost {
    /// Share of the time on the clock: of k tests that run at once, each has 1/k, so that the shares of all files add
    /// up to the time of the run.
    pub clock: f64,
    /// Sum of the times of its tests.
    own: f64,
    tests: usize,
}

/// Returns each test file's cost, the greatest first.
pub fn costs(cases: &[Case], sources: &Sources) -> Vec<(String, Cost)> {
    let mut files: HashMap<String, Cost> = HashMap::new();
    for (case, clock) in cases.iter().zip(shares(cases)) {
        let cost = files
            .entry(sources.file_of(&case.program, &case.name))
            .or_default();
        cost.clock += clock / 60.0;
        cost.own += case.tries.iter().map(seconds).sum::<f64>() / 60.0;
        cost.tests += 1;
    }
    let mut files: Vec<(String, Cost)> = files.into_iter().collect();
    files.sort_by(|(a, left), (b, right)| right.clock.total_cmp(&left.clock).then(a.cmp(b)));
    files
}

/// The table of these costs.
pub fn of(files: &[(String, Cost)]) -> String {
    let mut text =
        "\nminutes by test file (clock: shared among tests that ran at once; own: added up)\n\
         \x20   clock      own   tests\n"
            .to_owned();
    let (shown, small) = files.split_at(files.partition_point(|(_, cost)| cost.clock >= SHOWN_MIN));
    for (file, cost) in shown {
        row(&mut text, file, cost);
    }
    if !small.is_empty() {
        let what = format!("({} other files)", small.len());
        row(&mut text, &what, &sum(small));
    }
    row(&mut text, "(all)", &sum(files));
    text
}

/// Lists the repeats, second tries and standstills, which a quiet machine would not have had, and the limit.
pub fn remarks(cases: &[Case], machines: &Tally) -> String {
    let mut text = String::new();
    repeats(&mut text, cases);
    second_tries(&mut text, cases);
    standstills(&mut text, machines);
    limit(&mut text, took(cases) / 60.0);
    text
}

/// True if all tests together took longer than they may.
pub fn is_too_long(cases: &[Case]) -> bool {
    took(cases) / 60.0 > LIMIT_MIN
}

fn row(text: &mut String, file: &str, cost: &Cost) {
    let Cost { clock, own, tests } = cost;
    let _ = writeln!(text, "{clock:>9.2}{own:>9.2}{tests:>8}  {file}");
}

fn sum(files: &[(String, Cost)]) -> Cost {
    files.iter().fold(Cost::default(), |sum, (_, cost)| Cost {
        clock: sum.clock + cost.clock,
        own: sum.own + cost.own,
        tests: sum.tests + cost.tests,
    })
}

/// Lists tests that repeated themselves without a verdict, because the machine was late.
fn repeats(text: &mut String, cases: &[Case]) {
    let mut count = 0;
    for case in cases.iter().filter(|case| !case.repeats.is_empty()) {
        let why = case.repeats.join("; ");
        let _ = writeln!(
            text,
            "repeated itself: {} {}: {why}",
            case.program, case.name
        );
        count += 1;
    }
    let _ = writeln!(
        text,
        "tests that repeated themselves as the machine was late: {count}"
    );
}

/// Lists tests that passed only at a second try: that is a fault of the test or of the product.
fn second_tries(text: &mut String, cases: &[Case]) {
    let needed = cases
        .iter()
        .filter(|case| case.passed && case.tries.len() > 1);
    let mut count = 0;
    for Case {
        program,
        name,
        tries,
        ..
    } in needed
    {
        let _ = writeln!(
            text,
            "needed a second try: {program} {name} (passed in try {})",
            tries.len()
        );
        count += 1;
    }
    let _ = writeln!(text, "tests that needed a second try: {count}");
}

/// Lists machines that stood still. Their last command distinguishes a fault of the kernel from one of the programs in
/// it.
fn standstills(text: &mut String, machines: &Tally) {
    for what in &machines.stood_still {
        let _ = writeln!(text, "stood still: {what}");
    }
    let (stood, started) = (machines.stood_still.len(), machines.started);
    let _ = writeln!(
        text,
        "machines that stood still: {stood} of {started} started"
    );
}

fn limit(text: &mut String, minutes: f64) {
    let _ = if minutes > LIMIT_MIN {
        writeln!(
            text,
            "FAILED: tests took {minutes:.1} min of at most {LIMIT_MIN}: make the slowest of the files above, or those \
             that grew, faster"
        )
    } else {
        writeln!(text, "tests took {minutes:.1} min of at most {LIMIT_MIN}")
    };
}

fn seconds(one: &Try) -> f64 {
    one.end - one.begin
}

/// Returns the time from the first test's begin to the last one's end, in seconds.
fn took(cases: &[Case]) -> f64 {
    let tries = || cases.iter().flat_map(|case| &case.tries);
    let begin = tries().map(|one| one.begin).fold(f64::INFINITY, f64::min);
    let end = tries().map(|one| one.end).fold(0.0, f64::max);
    (end - begin).max(0.0)
}

/// Returns each test's share of the clock, in seconds.
fn shares(cases: &[Case]) -> Vec<f64> {
    let mut edges: Vec<(f64, bool, usize)> = Vec::new();
    for (at, case) in cases.iter().enumerate() {
        for one in &case.tries {
            edges.push((one.begin, true, at));
            edges.push((one.end, false, at));
        }
    }
    edges.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut shares = vec![0.0; cases.len()];
    let (mut running, mut last): (Vec<usize>, f64) = (Vec::new(), 0.0);
    for (time, begins, at) in edges {
        let share = (time - last) / running.len().max(1) as f64;
        for running in &running {
            shares[*running] += share;
        }
        last = time;
        if begins {
            running.push(at)
        } else {
            running.retain(|running| *running != at)
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(name: &str, passed: bool, tries: &[(f64, f64)]) -> Case {
        let tries = tries.iter().map(|&(begin, end)| Try { begin, end });
        Case {
            program: "spared-tests::end_to_end".to_owned(),
            name: name.to_owned(),
            tries: tries.collect(),
            passed,
            repeats: Vec::new(),
        }
    }

    fn text(cases: &[Case]) -> String {
        let sources = Sources::of_this_workspace().expect("a workspace");
        of(&costs(cases, &sources)) + &remarks(cases, &Tally::default())
    }

    #[test]
    fn tests_that_run_at_once_share_the_clock() {
        let cases = [
            case("a", true, &[(0.0, 60.0)]),
            case("b", true, &[(0.0, 120.0)]),
            case("c", true, &[(150.0, 150.0), (150.0, 180.0)]),
        ];
        assert_eq!(shares(&cases), [30.0, 90.0, 30.0]);
        assert_eq!(took(&cases), 180.0);
    }

    #[test]
    fn the_slowest_file_comes_first_and_small_ones_share_a_row() {
        let cases = [
            case("link::a", true, &[(0.0, 30.0)]),
            case("sets::a", true, &[(30.0, 90.0)]),
            case("sets::b", false, &[(90.0, 150.0)]),
            case("fence::a", true, &[(150.0, 151.0)]),
        ];
        let table = "
    clock      own   tests
     2.00     2.00       2  tests/tests/end_to_end/sets.rs
     0.50     0.50       1  tests/tests/end_to_end/link.rs
     0.02     0.02       1  (1 other files)
     2.52     2.52       4  (all)
tests that repeated themselves as the machine was late: 0
tests that needed a second try: 0
machines that stood still: 0 of 0 started
tests took 2.5 min of at most 30
";
        assert!(text(&cases).ends_with(table), "{}", text(&cases));
    }

    #[test]
    fn a_second_try_is_named_and_counted_when_it_passed() {
        let twice = [(0.0, 1.0), (1.0, 2.0)];
        let cases = [
            case("sets::a", true, &twice),
            case("link::b", false, &twice),
        ];
        let text = text(&cases);
        let lines = "needed a second try: spared-tests::end_to_end sets::a (passed in try 2)\n\
                     tests that needed a second try: 1\n";
        assert!(text.contains(lines), "{text}");
        assert!(!text.contains("link::b"), "{text}");
    }

    #[test]
    fn a_test_that_repeated_itself_is_named_with_its_reason() {
        let mut late = case("link::a", true, &[(0.0, 1.0)]);
        late.repeats = vec!["1: disturbed: late".to_owned()];
        let text = text(&[late]);
        let lines = "repeated itself: spared-tests::end_to_end link::a: 1: disturbed: late\n\
                     tests that repeated themselves as the machine was late: 1\n";
        assert!(text.contains(lines), "{text}");
    }

    #[test]
    fn machines_that_stood_still_are_named_and_counted() {
        let machines = Tally {
            started: 131,
            stood_still: vec!["ipsec::a: r2: its last command".to_owned()],
        };
        let lines = "stood still: ipsec::a: r2: its last command\n\
                     machines that stood still: 1 of 131 started\n";
        let text = remarks(&[], &machines);
        assert!(text.contains(lines), "{text}");
    }

    #[test]
    fn more_than_the_limit_fails() {
        let long = [case("a", true, &[(0.0, 1860.0)])];
        assert!(text(&long).contains("FAILED: tests took 31.0 min of at most 30"));
        assert!(is_too_long(&long));
        assert!(!is_too_long(&[case("a", true, &[(0.0, 1800.0)])]));
    }
}
