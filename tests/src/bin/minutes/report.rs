// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parses nextest's report (JUnit XML): each test with all of its tries.

use jiff::Timestamp;
use roxmltree::{Document, Node};

use spared_tests::Result;

/// One test.
pub struct Case {
    /// Nextest's name of the program that holds the test: `spared-tests::end_to_end`.
    pub program: String,
    pub name: String,
    pub tries: Vec<Try>,
    pub passed: bool,
    /// Reasons why the test repeated itself: lines of `lab::scenario` about attempts without a
    /// verdict.
    pub repeats: Vec<String>,
}

/// One run of a test, in seconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Try {
    pub begin: f64,
    pub end: f64,
}

/// Elements of tries before the last one, of tests that passed later and of those that did not.
const EARLIER: [&str; 4] = ["flakyFailure", "flakyError", "rerunFailure", "rerunError"];

pub fn parse(text: &str) -> Result<Vec<Case>> {
    let document = Document::parse(text)?;
    let tests = document
        .descendants()
        .filter(|node| node.has_tag_name("testcase"));
    tests.map(case).collect()
}

fn case(test: Node<'_, '_>) -> Result<Case> {
    let earlier = test
        .children()
        .filter(|child| EARLIER.contains(&child.tag_name().name()));
    let failed = |child: Node<'_, '_>| matches!(child.tag_name().name(), "failure" | "error");
    Ok(Case {
        program: attribute(test, "classname")?.to_owned(),
        name: attribute(test, "name")?.to_owned(),
        tries: earlier.chain([test]).map(one_try).collect::<Result<_>>()?,
        passed: !test.children().any(failed),
        repeats: repeats(test),
    })
}

fn repeats(test: Node<'_, '_>) -> Vec<String> {
    let outputs = test.descendants();
    let outputs = outputs.filter(|node| node.has_tag_name("system-err"));
    let lines = outputs.flat_map(|output| output.text().unwrap_or_default().lines());
    let repeats = lines.filter_map(|line| line.strip_prefix("attempt "));
    repeats.map(str::to_owned).collect()
}

fn one_try(node: Node<'_, '_>) -> Result<Try> {
    let begin: Timestamp = attribute(node, "timestamp")?.parse()?;
    let begin = begin.as_millisecond() as f64 / 1e3;
    let took: f64 = attribute(node, "time")?.parse()?;
    Ok(Try {
        begin,
        end: begin + took,
    })
}

fn attribute<'a>(node: Node<'a, '_>, name: &str) -> Result<&'a str> {
    node.attribute(name)
        .ok_or_else(|| format!("a {} without {name}", node.tag_name().name()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="nextest-run" tests="3" failures="1" errors="0">
  <testsuite name="spared::run" tests="3" disabled="0" errors="0" failures="1">
    <testcase name="end::it_ends" classname="spared::run" timestamp="2026-11-21T02:47:00.500+00:00" time="1.500"/>
    <testcase name="link::it_joins" classname="spared::run" timestamp="2026-11-21T02:47:10.000+00:00" time="2.000">
      <flakyFailure timestamp="2026-11-21T02:47:02.000+00:00" time="8.000" message="late" type="test failure"/>
      <system-err>r1 serves
attempt 1: disturbed: the machine was late
</system-err>
    </testcase>
    <testcase name="pair::never" classname="spared::run" timestamp="2026-11-21T02:47:20.000+00:00" time="1.000">
      <failure message="no" type="test failure"/>
      <rerunFailure timestamp="2026-11-21T02:47:18.000+00:00" time="1.000" message="no" type="test failure"/>
    </testcase>
  </testsuite>
</testsuites>"#;

    #[test]
    fn every_try_of_every_test_is_read() {
        let cases = parse(REPORT).expect("a report");
        let tries: Vec<usize> = cases.iter().map(|case| case.tries.len()).collect();
        let passed: Vec<bool> = cases.iter().map(|case| case.passed).collect();
        assert_eq!((tries, passed), (vec![1, 2, 2], vec![true, true, false]));
        assert_eq!(cases[1].repeats, ["1: disturbed: the machine was late"]);
        assert_eq!(cases[0].repeats, [""; 0]);
        let first = cases[0].tries[0];
        assert_eq!(first.end - first.begin, 1.5);
        // the earlier try first
        let [failed, passed] = cases[1].tries[..] else {
            panic!("two tries");
        };
        assert_eq!(passed.begin - failed.begin, 8.0);
    }

    #[test]
    fn what_is_no_report_is_refused() {
        assert!(parse("<testsuites><testcase name='a'/></testsuites>").is_err());
        assert!(parse("cut off").is_err());
    }
}
