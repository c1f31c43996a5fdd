// SPDX-License-Identifier: MIT OR Apache-2.0
//! Lines that the programs print: the string literals of their sources that have two words or more.
//!
//! `make messages` writes them as one list for proofreading. The list has more than is printed, such as rules of
//! nftables, and parts of sentences that are composed. Literals of tests and of `expect` are left out.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Folders with sources of programs and plugins.
const PROGRAMS: [&str; 6] = ["abi/check", "abi/sdk", "check", "host", "lib", "plugins"];
/// Folders and files with sources that are in no program.
const OTHERS: [&str; 8] = [
    "tests",
    "tests.rs",
    "samples.rs",
    "examples",
    "benches",
    "fuzz",
    "target",
    "build.rs",
];
const TEST_ITEM: &str = "#[cfg(test)]";

pub struct Line {
    /// Path of the file from the root of the repository.
    pub file: String,
    pub number: usize,
    pub text: String,
}

/// Returns all lines, by file.
pub fn lines(root: &Path) -> io::Result<Vec<Line>> {
    let mut found = Vec::new();
    for program in PROGRAMS {
        for path in sources(&root.join(program))? {
            let source = fs::read_to_string(&path)?;
            let file = path.strip_prefix(root).unwrap_or(&path);
            let file = file.to_string_lossy().into_owned();
            let of_file = literals(&source).into_iter().map(|(number, text)| Line {
                file: file.clone(),
                number,
                text,
            });
            found.extend(of_file);
        }
    }
    Ok(found)
}

fn sources(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<_>>()?;
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if OTHERS.contains(&name.as_ref()) {
            continue;
        } else if path.is_dir() {
            found.extend(sources(&path)?);
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
    Ok(found)
}

/// Returns literals with two words or more, each with its line number.
fn literals(source: &str) -> Vec<(usize, String)> {
    let mut reader = Reader {
        rest: source,
        number: 1,
    };
    let mut found = Vec::new();
    // Open braces below the test item in which the reader is; None outside of one.
    let mut depth: Option<usize> = None;
    let mut is_test_item = false;
    let mut is_expected = false;
    while let Some(next) = reader.rest.chars().next() {
        let number = reader.number;
        if reader.rest.starts_with(TEST_ITEM) && depth.is_none() {
            is_test_item = true;
            reader.skip(TEST_ITEM.len());
            continue;
        }
        if let Some(literal) = reader.literal() {
            if depth.is_none() && !is_expected && has_words(&literal) {
                found.push((number, literal));
            }
            is_expected = false;
            continue;
        }
        match (next, depth) {
            ('{', Some(open)) => depth = Some(open + 1),
            ('{', None) if is_test_item => (depth, is_test_item) = (Some(1), false),
            ('}', Some(1)) => depth = None,
            ('}', Some(open)) => depth = Some(open - 1),
            (';', None) => is_test_item = false,
            _ => {}
        }
        is_expected = reader.rest.starts_with(".expect(") || is_expected && next != ')';
        reader.skip(next.len_utf8());
    }
    found
}

struct Reader<'a> {
    rest: &'a str,
    number: usize,
}

impl Reader<'_> {
    fn skip(&mut self, bytes: usize) {
        let (passed, rest) = self.rest.split_at(bytes);
        self.number += passed.matches('\n').count();
        self.rest = rest;
    }

    /// Skips a comment or a literal; returns the text of a string, empty for all else. None: neither begins here.
    fn literal(&mut self) -> Option<String> {
        let rest = self.rest;
        if rest.starts_with("//") {
            self.skip(rest.find('\n').unwrap_or(rest.len()));
            return Some(String::new());
        }
        if let Some(raw) = rest
            .strip_prefix("r")
            .filter(|raw| raw.starts_with(['"', '#']))
        {
            let hashes = raw.len() - raw.trim_start_matches('#').len();
            let text = raw[hashes..].strip_prefix('"')?;
            let end = format!("\"{}", "#".repeat(hashes));
            let length = text.find(&end)?;
            self.skip(1 + hashes + 1 + length + end.len());
            return Some(text[..length].to_owned());
        }
        if let Some(quoted_text) = rest.strip_prefix('"') {
            let (text, length) = quoted(quoted_text);
            self.skip(1 + length);
            return Some(text);
        }
        // a character, not a lifetime
        let quote = rest.strip_prefix('\'')?;
        let length = match quote.strip_prefix('\\') {
            Some(escaped) => 1 + escaped.find('\'').filter(|at| *at > 0).unwrap_or(1),
            None => quote.chars().next()?.len_utf8(),
        };
        if quote.get(length..)?.starts_with('\'') {
            self.skip(length + 2);
            return Some(String::new());
        }
        None
    }
}

/// Returns the text up to the quote that ends it, and the length of both in the source.
fn quoted(source: &str) -> (String, usize) {
    let mut text = String::new();
    let mut letters = source.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return (text, at + 1),
            '\\' => match letters.next() {
                // the literal continues in the next line
                Some((_, '\n')) => while letters.next_if(|(_, it)| it.is_whitespace()).is_some() {},
                Some((_, 'n')) => text.push_str("\\n"),
                Some((_, escaped)) => text.push(escaped),
                None => break,
            },
            '\n' => text.push_str("\\n"),
            letter => text.push(letter),
        }
    }
    (text, source.len())
}

fn has_words(text: &str) -> bool {
    let words = text.split_whitespace();
    words
        .filter(|word| word.chars().any(char::is_alphabetic))
        .count()
        >= 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(source: &str) -> Vec<String> {
        literals(source).into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn sentences_are_found_and_names_are_not() {
        let source = r##"
            // "not a literal"
            let key = "name";
            log::warn!("{plugin}: no \"answer\" \
                        in time");
            let raw = r#"a "raw" text"#;
            fn lent<'a>(it: &'a str) -> char { '"' }
            let after = "two words";
        "##;
        assert_eq!(
            texts(source),
            [
                "{plugin}: no \"answer\" in time",
                "a \"raw\" text",
                "two words"
            ]
        );
    }

    #[test]
    fn literals_of_tests_and_of_expect_are_left_out() {
        let source = r#"
            let it = given.expect("it is there").first("found here");
            #[cfg(test)]
            mod tests;
            #[cfg(test)]
            mod more { fn test() { let it = "never printed"; } }
            let last = "is printed";
        "#;
        assert_eq!(texts(source), ["found here", "is printed"]);
    }

    #[test]
    fn a_literal_has_the_number_of_its_first_line() {
        let found = literals("\n\nlet it = \"one\n two\";\nlet it = \"three four\";");
        let numbers: Vec<usize> = found.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [3, 5]);
    }
}
