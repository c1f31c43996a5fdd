//! Lines of a screen. Each has one style and is not wider than the terminal.

use crate::render::wrap;

/// Width and height, in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    pub columns: usize,
    pub rows: usize,
}

/// Length up to which a word is not broken: the line ends before it.
const WORD: usize = 20;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    #[default]
    Plain,
    /// Possibly outdated text.
    Old,
    Good,
    Warning,
    Bad,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub text: String,
    pub style: Style,
}

impl Line {
    /// Creates a line. A text that is wider than the screen is cut, and ends in "…".
    pub fn new(text: &str, style: Style, columns: usize) -> Self {
        let text = if text.chars().count() > columns {
            let kept = text.chars().take(columns.saturating_sub(1));
            kept.chain(['…']).collect()
        } else {
            text.to_owned()
        };
        Self { text, style }
    }

    /// Breaks a text of any length between words. All lines but the first are indented.
    pub fn wrapped(text: &str, style: Style, indent: usize, columns: usize) -> Vec<Self> {
        // a screen narrower than this has no room for words
        if columns < indent + WORD {
            return vec![Self::new(text, style, columns)];
        }
        let lines = wrap::hanging(text, indent, columns);
        let lines = lines.lines().map(|line| Self::new(line, style, columns));
        lines.collect()
    }

    /// A rule across the screen, with a title on its left and a hint on its right.
    pub fn rule(title: &str, hint: &str, columns: usize) -> Self {
        let used = title.chars().count() + hint.chars().count() + 2;
        let filling = "─".repeat(columns.saturating_sub(used));
        Self::new(&format!("─{title}{filling}{hint}─"), Style::Plain, columns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_never_wider_than_the_screen() {
        for columns in 0..20 {
            for line in [
                Line::new("ten letters", Style::Plain, columns),
                Line::rule(" events ", " q ends ", columns),
            ] {
                assert!(line.text.chars().count() <= columns.max(1), "{line:?}");
            }
        }
        assert_eq!(Line::new("abcdef", Style::Plain, 4).text, "abc…");
        assert_eq!(Line::rule(" a ", " b ", 10).text, "─ a ── b ─");
    }

    fn wrapped(text: &str, indent: usize, columns: usize) -> Vec<String> {
        let lines = Line::wrapped(text, Style::Plain, indent, columns);
        lines.into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn a_text_is_broken_between_words_and_nothing_of_it_is_left_out() {
        let text = "  1. r1: interface \"wan\" has no carrier. Check its cable.";
        let lines = [
            "  1. r1: interface \"wan\"",
            "     has no carrier. Check",
            "     its cable.",
        ];
        assert_eq!(wrapped(text, 5, 26), lines);
        assert_eq!(wrapped(text, 5, 100), [text]);
        let long = "x".repeat(50);
        assert_eq!(wrapped(&long, 2, 30).concat().matches('x').count(), 50);
        for columns in 22..70 {
            for line in wrapped(text, 2, columns) {
                assert!(line.chars().count() <= columns, "{columns}: {line:?}");
            }
            let words: Vec<String> = wrapped(text, 2, columns);
            let words: Vec<&str> = words.iter().flat_map(|it| it.split_whitespace()).collect();
            assert_eq!(words, text.split_whitespace().collect::<Vec<_>>());
        }
        // no room for whole words
        assert_eq!(wrapped("abcdef", 9, 4), ["abc…"]);
    }
}
