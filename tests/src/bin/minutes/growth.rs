// SPDX-License-Identifier: MIT OR Apache-2.0
//! Compares the minutes of a whole run by test file with those of a release, which are in tests/minutes.txt.
//!
//! The first line names the run. Each other line has the minutes of a file, as in the column "clock" of the table, and
//! its path.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Write};

use spared_tests::Result;

/// Number of files that are named.
const NAMED: usize = 5;
/// Smallest growth in minutes that counts: runs differ by that much.
const LEAST_MIN: f64 = 0.05;

#[derive(Debug, PartialEq)]
pub struct Minutes {
    /// Commit, date and profile of the run.
    pub run: String,
    pub files: BTreeMap<String, f64>,
}

impl Minutes {
    pub fn parse(text: &str) -> Result<Self> {
        let (run, rows) = text.split_once('\n').unwrap_or((text, ""));
        let files = rows.lines().map(|row| {
            let (minutes, file) = row.split_once(' ').ok_or_else(|| no_row(row))?;
            Ok((file.to_owned(), minutes.parse().map_err(|_| no_row(row))?))
        });
        Ok(Self {
            run: run.to_owned(),
            files: files.collect::<Result<_>>()?,
        })
    }

    /// Names the files that grew most since an earlier run, and the difference of all.
    pub fn growth_since(&self, earlier: &Self) -> String {
        let mut grown: Vec<(f64, f64, &str)> = self
            .files
            .iter()
            .map(|(file, now)| (now - earlier.of(file), *now, file.as_str()))
            .filter(|(more, ..)| *more >= LEAST_MIN)
            .collect();
        grown.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.2.cmp(b.2)));
        let run = &earlier.run;
        let mut text = if grown.is_empty() {
            format!("no test file grew by {LEAST_MIN} minutes since {run}\n")
        } else {
            format!("test files that grew most since {run}, in minutes\n")
        };
        for (more, now, file) in grown.into_iter().take(NAMED) {
            let _ = writeln!(text, "{more:>+9.2}  to{now:>6.2}  {file}");
        }
        let more = self.all() - earlier.all();
        let _ = writeln!(text, "{more:>+9.2}  to{:>6.2}  (all)", self.all());
        text
    }

    fn of(&self, file: &str) -> f64 {
        self.files.get(file).copied().unwrap_or(0.0)
    }

    fn all(&self) -> f64 {
        self.files.values().sum()
    }
}

impl Display for Minutes {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        writeln!(out, "{}", self.run)?;
        let mut files = self.files.iter();
        files.try_for_each(|(file, minutes)| writeln!(out, "{minutes:.3} {file}"))
    }
}

fn no_row(row: &str) -> String {
    format!("{row:?} is not the minutes and the path of a test file")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(run: &str, files: &[(&str, f64)]) -> Minutes {
        let files = files.iter().map(|(file, it)| ((*file).to_owned(), *it));
        Minutes {
            run: run.to_owned(),
            files: files.collect(),
        }
    }

    #[test]
    fn what_is_kept_is_read_again() {
        let kept = minutes("abc of today", &[("a b.rs", 1.25), ("c.rs", 0.01)]);
        assert_eq!(kept.to_string(), "abc of today\n1.250 a b.rs\n0.010 c.rs\n");
        assert_eq!(Minutes::parse(&kept.to_string()).expect("kept"), kept);
        assert!(Minutes::parse("abc\nsoon c.rs\n").is_err());
        assert!(Minutes::parse("abc\n1.25\n").is_err());
    }

    #[test]
    fn the_five_files_that_grew_most_are_named_new_ones_among_them() {
        let earlier = minutes(
            "abc",
            &[
                ("a", 1.0),
                ("b", 1.0),
                ("c", 1.0),
                ("d", 1.0),
                ("e", 1.0),
                ("gone", 2.0),
            ],
        );
        let now = [("a", 1.04), ("b", 1.2), ("c", 1.3), ("d", 1.4), ("e", 1.5)];
        let mut now = minutes("now", &now);
        now.files
            .extend([("f".to_owned(), 0.25), ("g".to_owned(), 0.06)]);
        let text = "test files that grew most since abc, in minutes
    +0.50  to  1.50  e
    +0.40  to  1.40  d
    +0.30  to  1.30  c
    +0.25  to  0.25  f
    +0.20  to  1.20  b
    -0.25  to  6.75  (all)
";
        assert_eq!(now.growth_since(&earlier), text);
    }

    #[test]
    fn no_growth_is_said() {
        let earlier = minutes("abc", &[("a", 1.0)]);
        let text = "no test file grew by 0.05 minutes since abc\n    +0.04  to  1.04  (all)\n";
        assert_eq!(minutes("now", &[("a", 1.04)]).growth_since(&earlier), text);
    }
}
