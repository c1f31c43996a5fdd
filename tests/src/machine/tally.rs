// SPDX-License-Identifier: MIT OR Apache-2.0
//! Counts the started machines, and those that stood still. Each test appends lines to the file that [`FILE`] names,
//! and `minutes` reads it when all have ended.

use crate::lab::note;

/// Name of the environment variable with the file's path.
pub const FILE: &str = "SPARED_MACHINES";

const STARTED: &str = "started ";
const STOOD_STILL: &str = "stood still ";

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub started: usize,
    /// Test of each machine that stood still, and what the machine did last.
    pub stood_still: Vec<String>,
}

impl Tally {
    pub fn read(text: &str) -> Self {
        let all = |key| text.lines().filter_map(move |line| line.strip_prefix(key));
        Self {
            started: all(STARTED).count(),
            stood_still: all(STOOD_STILL).map(str::to_owned).collect(),
        }
    }
}

pub fn add_started(machine: &str) {
    note(FILE, &line(STARTED, machine));
}

pub fn add_standstill(what: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("?");
    note(FILE, &line(STOOD_STILL, &format!("{test}: {what}")));
}

fn line(key: &str, words: &str) -> String {
    format!("{key}{}\n", words.replace('\n', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_read() {
        let mut text = line(STARTED, "r1") + &line(STARTED, "r2");
        text += &line(STOOD_STILL, "ipsec::a: r2: its last\ncommand");
        text += "half a li";
        let expected = Tally {
            started: 2,
            stood_still: vec!["ipsec::a: r2: its last command".to_owned()],
        };
        assert_eq!(Tally::read(&text), expected);
        assert_eq!(Tally::read(""), Tally::default());
    }
}
