// SPDX-License-Identifier: MIT OR Apache-2.0
//! One word for one thing: words that the project has given up stand nowhere in the repository, not
//! in a message, a manual page, a key, an event, a name in the code or a file's own name.

use std::fs;
use std::path::{Path, PathBuf};

/// Each with the word that took its place. The singular stands for the plural as well.
const BANNED: [(&str, &str); 11] = [
    ("twin", "peer"),
    ("mate", "peer"),
    ("hotwire", "link"),
    ("heir", "successor"),
    ("stance", "directive"),
    ("yield", "release, carry, give way"),
    ("handover", "switchover"),
    ("takeover", "failover"),
    ("beat", "heartbeat"),
    ("epitaph", "exit reason"),
    ("bury", "handle_ended"),
];

/// The same of two words that stand beside each other.
const BANNED_PAIRS: [(&str, &str, &str); 3] = [
    ("hand", "over", "switch over"),
    ("hands", "over", "switches over"),
    ("handed", "over", "switched over"),
];

/// Quotations: a phrase with a banned word that is somebody else's.
const QUOTATIONS: [&str; 2] = [
    // RFC 9568's own term
    "takeover interval",
    // a system call
    "SYS_sched_yield",
];

/// Where the words are listed, and what nobody here wrote.
const EXEMPT: [&str; 5] = [
    "tests/tests/words.rs",
    "Cargo.lock",
    "LICENSE-APACHE",
    "packaging/THIRD-PARTY",
    "fuzz/seeds",
];

#[test]
fn no_word_that_was_given_up_is_left() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = Vec::new();
    let files = files_below(&root, &root);
    assert!(
        files.len() > 500,
        "{} files: not the repository",
        files.len()
    );
    for file in files {
        let name = file.to_string_lossy().into_owned();
        found.extend(banned_in(&name).map(|(what, instead)| format!("{name}: {what}: {instead}")));
        let Ok(text) = fs::read_to_string(root.join(&file)) else {
            continue; // a corpus, a picture: no text
        };
        for (number, line) in text.lines().enumerate() {
            let said = banned_in(line);
            found.extend(
                said.map(|(what, instead)| format!("{name}:{}: {what}: say {instead}", number + 1)),
            );
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn words_are_found_in_sentences_and_in_names() {
    let words = |line| -> Vec<&str> { banned_in(line).map(|(word, _)| word).collect() };
    assert_eq!(words("after a takeover, the twins"), ["takeover", "twin"]);
    assert_eq!(words("fn is_heir() -> HeirState"), ["heir", "heir"]);
    assert_eq!(
        words("SPARED_STANCE_YIELD BeatOut"),
        ["stance", "yield", "beat"]
    );
    assert_eq!(words("r1 handed over to r2"), ["handed"]);
    assert_eq!(
        words("instance, theirs, heartbeat, estimate, upbeat"),
        [""; 0]
    );
    assert_eq!(words("the takeover interval of RFC 9568"), [""; 0]);
}

/// Words of a line that are banned, each with what is said instead.
fn banned_in(line: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let quoted = QUOTATIONS
        .iter()
        .fold(line.to_owned(), |line, it| line.replace(it, ""));
    let words = words_of(&quoted);
    let pairs = words.windows(2).filter_map(|pair| {
        let is = |&&(a, b, _): &&(&str, &str, &str)| pair[0] == *a && pair[1] == *b;
        BANNED_PAIRS
            .iter()
            .find(is)
            .map(|&(a, _, instead)| (a, instead))
    });
    let singles = words.iter().filter_map(|word| {
        let is = |(banned, _): &&(&str, &str)| {
            word == banned || word.strip_suffix('s').is_some_and(|one| one == *banned)
        };
        BANNED.iter().find(is).copied()
    });
    singles.chain(pairs).collect::<Vec<_>>().into_iter()
}

/// Words of a sentence, and the parts of names: `is_heir`, `HeirState`, `STANCE_HEIR`.
fn words_of(line: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut before = ' ';
    for letter in line.chars() {
        if letter.is_ascii_alphabetic() {
            let begins = !before.is_ascii_alphabetic()
                || before.is_ascii_lowercase() && letter.is_ascii_uppercase();
            if begins {
                words.push(String::new());
            }
            if let Some(word) = words.last_mut() {
                word.push(letter.to_ascii_lowercase());
            }
        }
        before = letter;
    }
    words
}

/// Files below `folder`, as paths from `root`; nothing that was built or that git keeps.
fn files_below(root: &Path, folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder of the repository") {
        let path = entry.expect("an entry of the repository").path();
        let from_root = path.strip_prefix(root).expect("below the root").to_owned();
        let name = from_root.to_string_lossy();
        let is_foreign = EXEMPT.contains(&name.as_ref());
        if is_foreign || path.is_symlink() || name.ends_with("target") || name == ".git" {
            continue;
        } else if path.is_dir() {
            files.extend(files_below(root, &path));
        } else {
            files.push(from_root);
        }
    }
    files
}
