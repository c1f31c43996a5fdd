//! Writing to the terminal; a reader that has ended (`| head`) is no error.

use std::io::{self, Write};

use serde_json::{Value, json};
use spared_control::{Answer, AskError};

use crate::EXIT_USAGE;
use crate::left_over::LeftOver;

pub fn text(text: &str) {
    let _ = io::stdout().write_all(harmless(text).as_bytes());
}

pub fn errors(lines: &[String]) {
    for line in lines {
        let _ = writeln!(io::stderr(), "sparectl: {}", harmless(line));
    }
}

/// Prints the help or the fault in the words, and returns the exit code.
pub fn usage(error: &clap::Error) -> u8 {
    let said = error.render().to_string();
    if !error.use_stderr() {
        text(&said);
        return 0;
    }
    let said = said
        .strip_prefix("error: ")
        .map_or(said.clone(), |why| format!("sparectl: {why}"));
    let _ = io::stderr().write_all(harmless(&said).as_bytes());
    EXIT_USAGE
}

/// Removes control sequences, which text of plugins, packets and files may contain, and marks that change the order of what
/// is shown.
pub fn harmless(text: &str) -> String {
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
    fn what_a_terminal_would_obey_is_not_passed_on() {
        assert_eq!(harmless("a\u{1b}[2Jb\n\tc"), "a\u{fffd}[2Jb\n\tc");
        assert_eq!(harmless("if \u{202e}x"), "if \u{fffd}x");
    }
}
