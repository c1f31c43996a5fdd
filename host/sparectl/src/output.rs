//! Writing to the terminal; a reader that has ended (`| head`) is no error.

use std::ffi::OsStr;
use std::io::{self, IsTerminal, Write};

use serde_json::{Value, json};
use spared_message::control::{Answer, AskError};
use spared_verdict::Word;

use crate::EXIT_USAGE;
use crate::left_over::LeftOver;

/// Minimum width. Terminals that report less do not know their width.
const COLUMNS_MIN: usize = 20;

pub fn text(text: &str) {
    let _ = io::stdout().write_all(without_controls(text).as_bytes());
}

/// Prints a line of what a verb does.
pub fn say(line: &str) {
    text(&format!("{line}\n"));
}

/// Width of the terminal; None if the output is not a terminal.
pub fn columns() -> Option<usize> {
    if !io::stdout().is_terminal() {
        return None;
    }
    let (columns, _) = crossterm::terminal::size().ok()?;
    let columns = usize::from(columns);
    (columns >= COLUMNS_MIN).then_some(columns)
}

/// Prints a status. Each verdict is coloured if the terminal shows colours and the user wants them.
pub fn verdict(status: &str) {
    let shown = without_controls(status);
    let [no_color, term] = ["NO_COLOR", "TERM"].map(std::env::var_os);
    let shown = if has_colour(
        io::stdout().is_terminal(),
        no_color.as_deref(),
        term.as_deref(),
    ) {
        coloured(&shown)
    } else {
        shown
    };
    let _ = io::stdout().write_all(shown.as_bytes());
}

fn has_colour(is_terminal: bool, no_color: Option<&OsStr>, term: Option<&OsStr>) -> bool {
    let is_unwanted = no_color.is_some_and(|it| !it.is_empty()) || term == Some(OsStr::new("dumb"));
    is_terminal && !is_unwanted
}

/// Colours the verdict words before the findings; only there they begin a line.
fn coloured(status: &str) -> String {
    let (head, rest) = status.split_once("\n\n").unwrap_or((status, ""));
    let line = |line: &str| {
        let word = line.split(' ').next().unwrap_or_default();
        match Word::ALL.iter().find(|it| it.word() == word) {
            Some(verdict) => format!("{}{word}\x1b[0m{}\n", colour(*verdict), &line[word.len()..]),
            None => format!("{line}\n"),
        }
    };
    let head: String = head.lines().map(line).collect();
    if rest.is_empty() {
        head
    } else {
        format!("{head}\n{rest}")
    }
}

fn colour(word: Word) -> &'static str {
    match word {
        Word::Ok => "\x1b[1;32m",
        Word::Warn | Word::Unknown => "\x1b[1;33m",
        Word::Alone | Word::Conflict | Word::None => "\x1b[1;31m",
    }
}

pub fn errors(lines: &[String]) {
    for line in lines {
        let _ = writeln!(io::stderr(), "sparectl: {}", without_controls(line));
    }
}

/// Prints the help or the fault in the arguments, and returns the exit code.
pub fn usage(error: &clap::Error) -> u8 {
    let said = error.render().to_string();
    if !error.use_stderr() {
        text(&said);
        return 0;
    }
    let said = said
        .strip_prefix("error: ")
        .map_or(said.clone(), |why| format!("sparectl: {why}"));
    let _ = io::stderr().write_all(without_controls(&said).as_bytes());
    EXIT_USAGE
}

/// Removes control sequences, which texts of plugins, packets and files may contain, and marks that change the
/// direction of text.
pub fn without_controls(text: &str) -> String {
    let is_order = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let shown = |c: char| match c {
        '\n' | '\t' => c,
        c if c.is_control() || is_order(c) => '\u{fffd}',
        c => c,
    };
    text.chars().map(shown).collect()
}

/// Prints the answer unchanged.
pub fn json(answer: &Answer) {
    line(&serde_json::to_value(answer).unwrap_or_default());
}

pub fn json_down(error: &AskError, left: &[LeftOver]) {
    let left: Vec<Value> = left
        .iter()
        .map(|it| json!({ "address": it.address, "interface": it.interface }))
        .collect();
    let lines = [error.to_string()];
    let verdict = json!({ "word": "down" });
    line(&json!({ "answer": "down", "verdict": verdict, "lines": lines, "addresses": left }));
}

fn line(value: &Value) {
    text(&format!("{value}\n"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_are_coloured_where_somebody_sees_them() {
        let status =
            "OK    a: r1 is active.\nWARN  b: r2 is active.\n      1. OK is here\n\nOK  x\n";
        let shown = "\x1b[1;32mOK\x1b[0m    a: r1 is active.\n\x1b[1;33mWARN\x1b[0m  b: r2 is active.\n      1. OK is here\n\nOK  x\n";
        assert_eq!(coloured(status), shown);
        assert_eq!(
            coloured("NONE  nothing.\n"),
            "\x1b[1;31mNONE\x1b[0m  nothing.\n"
        );
        let text = |text| Some(OsStr::new(text));
        assert!(has_colour(true, None, text("xterm")) && has_colour(true, text(""), None));
        assert!(!has_colour(false, None, text("xterm")));
        assert!(!has_colour(true, text("1"), text("xterm")));
        assert!(!has_colour(true, None, text("dumb")));
    }

    #[test]
    fn what_a_terminal_would_obey_is_not_passed_on() {
        assert_eq!(without_controls("a\u{1b}[2Jb\n\tc"), "a\u{fffd}[2Jb\n\tc");
        assert_eq!(without_controls("if \u{202e}x"), "if \u{fffd}x");
    }
}
