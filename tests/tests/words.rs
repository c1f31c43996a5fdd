// SPDX-License-Identifier: MIT OR Apache-2.0
//! One word for one thing: words that the project has given up stand nowhere in the repository, not
//! in a message, a manual page, a key, an event, a name in the code or a file's own name.

use std::fs;
use std::path::{Path, PathBuf};

use spared_tests::printed;

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

/// Pairs of words that the project has given up, each with what is said instead.
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

/// Words that administrators read neither in a page nor in a message, each with what is said instead. Code may have
/// these words.
const UNKNOWN_TO_ADMINISTRATORS: [(&str, &str); 8] = [
    ("elector", "vrrp plugin"),
    ("electors", "vrrp plugins"),
    ("anew", "again"),
    ("alike", "in the same way"),
    ("reckoned", "computed"),
    ("in vain", "without success"),
    ("in calm", "when nothing else happens"),
    ("the host", "the daemon"),
];

/// Phrases in which such a word is right: a machine is a host, and the reason of an event is not renamed.
const RIGHT: [&str; 3] = ["the host name", "elector-died", "befalls the host"];

/// Pages for others: for authors of plugins, and for those who read the code.
const FOR_DEVELOPERS: [&str; 3] = ["plugin.md", "architecture.md", "spared-plugin-check.1.scd"];

#[test]
fn administrators_read_the_words_of_the_glossary() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut read = Vec::new();
    let mut pages = files_below(&root, &root.join("docs"));
    pages.push(PathBuf::from("README.md"));
    pages.retain(|it| !FOR_DEVELOPERS.iter().any(|other| it.ends_with(other)));
    for page in pages {
        let name = page.to_string_lossy().into_owned();
        let Ok(text) = fs::read_to_string(root.join(&page)) else {
            continue; // a picture
        };
        let lines = text.lines().enumerate();
        read.extend(
            lines.map(|(number, line)| (format!("{name}:{}", number + 1), line.to_owned())),
        );
    }
    let printed = printed::lines(&root).expect("the sources are here");
    assert!(printed.len() > 1500, "{} lines are printed", printed.len());
    // what tells authors of plugins what they did
    let printed = printed
        .into_iter()
        .filter(|it| !it.file.starts_with("abi/"));
    read.extend(printed.map(|it| (format!("{}:{}", it.file, it.number), it.text)));
    assert!(read.len() > 8000, "{} lines", read.len());
    let mut found = Vec::new();
    for (place, line) in read {
        for instead in unknown_in(&line) {
            found.push(format!("{place}: say {instead}: {line}"));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn words_of_the_code_are_found_in_what_is_read() {
    let said = |line| unknown_in(line).collect::<Vec<_>>();
    assert_eq!(said("the elector does not answer"), ["vrrp plugin"]);
    assert_eq!(said("It begins anew."), ["again"]);
    assert_eq!(said("the host name, a renewal, the hosts"), [""; 0]);
}

/// Replacements for the words of a line that administrators do not know.
fn unknown_in(line: &str) -> impl Iterator<Item = &'static str> {
    let mut rest = line.to_lowercase();
    for phrase in RIGHT {
        rest = rest.replace(phrase, "");
    }
    let is_letter = |it: Option<char>| it.is_some_and(char::is_alphabetic);
    UNKNOWN_TO_ADMINISTRATORS
        .into_iter()
        .filter(move |(word, _)| {
            rest.match_indices(word).any(|(at, _)| {
                let (before, after) = (&rest[..at], &rest[at + word.len()..]);
                !is_letter(before.chars().next_back()) && !is_letter(after.chars().next())
            })
        })
        .map(|(_, instead)| instead)
}

/// Words with which no comment begins: a comment names first what it is about.
const OPENINGS: [&str; 7] = ["Of", "That", "The same", "Those", "What", "Whether", "Who"];

/// Folders of all code: of the product, its fuzz targets and the tests.
const COMMENTED: [&str; 7] = ["abi", "check", "fuzz", "host", "lib", "plugins", "tests"];

#[test]
fn comments_begin_with_what_they_are_about() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = Vec::new();
    for folder in COMMENTED {
        for file in files_below(&root, &root.join(folder)) {
            let name = file.to_string_lossy().into_owned();
            let is_code = file.extension().is_some_and(|is| is == "rs");
            if is_code {
                let text = fs::read_to_string(root.join(&file)).expect("a source file");
                let lines = unnamed_in(&text);
                found.extend(
                    lines.map(|(number, line)| format!("{name}:{number}: {}", line.trim())),
                );
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn only_the_first_line_of_a_comment_is_its_beginning() {
    let text = "// SPDX-License-Identifier: MIT\n//! Of it.\n\n/// What it is.\nfn a() {\n    // whoever asks\n    // Of these\n    b(); // The same\n}\n//! Offers\n";
    let numbers: Vec<usize> = unnamed_in(text).map(|(number, _)| number).collect();
    assert_eq!(numbers, [2, 4]);
}

/// First lines of comments that begin with one of [`OPENINGS`], with their numbers.
fn unnamed_in(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let comment = |line: &str| {
        let line = line.trim_start().strip_prefix("//")?;
        Some(line.trim_start_matches(['/', '!']).trim_start().to_owned())
    };
    let opens = move |line: &str| {
        OPENINGS.iter().any(|it| {
            let rest = line.strip_prefix(it);
            rest.is_some_and(|rest| rest.starts_with([' ', ',']))
        })
    };
    let before = std::iter::once("").chain(text.lines());
    let lines = text.lines().zip(before).zip(1..);
    lines.filter_map(move |((line, before), number)| {
        let begins = comment(before).is_none_or(|it| it.is_empty() || it.starts_with("SPDX-"));
        let is_found = begins && comment(line).is_some_and(|it| opens(&it));
        is_found.then_some((number, line))
    })
}

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
