//! Checks verbs of plugins: which ones exist, and who may use them. Makes the answers that need no
//! plugin.

use spared_contract::{Descriptor, Verb};
use spared_message::control::{Answer, ErrorCode, refusal};

use crate::Caller;

/// Verb that the host answers for each plugin.
const HELP: &str = "help";

/// Returns the answer for a name that no enabled plugin has. An installed plugin lacks only its
/// file.
pub fn no_plugin(name: &str, is_installed: bool) -> Answer {
    let why = if is_installed {
        format!("{name} is not enabled: there is no plugins/{name}.toml")
    } else {
        format!("there is no plugin \"{name}\"")
    };
    refusal(ErrorCode::Usage, why)
}

/// Returns the answer for a plugin that does not run.
pub fn not_running(name: &str) -> Answer {
    refusal(ErrorCode::Refused, format!("{name} is not running"))
}

/// Returns the answer if the plugin need not be asked; None if it must be.
pub fn answer(
    descriptor: &Descriptor,
    caller: &Caller,
    node: &str,
    argv: &[String],
) -> Option<Answer> {
    let name = &descriptor.name;
    if argv == [HELP] && !descriptor.verbs.is_empty() {
        let lines = usage(descriptor);
        return Some(Answer::Done { lines });
    }
    match descriptor.verb(argv) {
        Some(verb) if !verb.changes || caller.may_change() => None,
        Some(_) => {
            let why = if caller.is_here() {
                format!("only root may do this; you are user {}", caller.uid)
            } else {
                format!("not a read-only command: run it on {node} itself")
            };
            Some(refusal(ErrorCode::Permission, why))
        }
        None if descriptor.verbs.is_empty() => {
            let why = format!("{name} has no verbs");
            Some(refusal(ErrorCode::Usage, why))
        }
        None => {
            let mut lines = vec![match argv.first() {
                Some(word) => format!("{name} has no verb \"{word}\""),
                None => format!("{name} needs a verb"),
            }];
            lines.extend(usage(descriptor));
            Some(Answer::Error {
                code: ErrorCode::Usage,
                lines,
            })
        }
    }
}

// Returns lines such as "sparectl guests admit NAME ADDRESS   adds a guest (root)".
fn usage(descriptor: &Descriptor) -> Vec<String> {
    let left = |verb: &Verb| {
        let words = ["sparectl", &descriptor.name, &verb.word, &verb.usage];
        let words = words.into_iter().filter(|word| !word.is_empty());
        words.collect::<Vec<_>>().join(" ")
    };
    let lengths = descriptor
        .verbs
        .iter()
        .map(|verb| left(verb).chars().count());
    let width = lengths.max().unwrap_or(0);
    let line = |verb: &Verb| {
        let root = if verb.changes { " (root)" } else { "" };
        let line = format!("{:<width$}  {}{root}", left(verb), verb.summary);
        line.trim_end().to_owned()
    };
    descriptor.verbs.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(verbs: &[(&str, &str, &str, bool)]) -> Descriptor {
        let verb = |&(word, usage, summary, changes): &(&str, &str, &str, bool)| Verb {
            word: word.to_owned(),
            usage: usage.to_owned(),
            summary: summary.to_owned(),
            changes,
        };
        Descriptor {
            name: "guests".to_owned(),
            verbs: verbs.iter().map(verb).collect(),
            ..Descriptor::default()
        }
    }

    fn said(verbs: &[(&str, &str, &str, bool)], caller: &Caller, words: &[&str]) -> Option<Answer> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        answer(&descriptor(verbs), caller, "r1", &words)
    }

    const VERBS: [(&str, &str, &str, bool); 3] = [
        ("", "", "lists the guests", false),
        ("status", "", "", false),
        ("admit", "NAME ADDRESS", "adds a guest", true),
    ];

    #[test]
    fn who_may_only_read_may_say_what_asks_and_nothing_else() {
        let own = Caller::here(1000, 1000);
        let stranger = Caller::here(4_000_000, 1000);
        for caller in [&own, &stranger, &Caller::over_link("r2")] {
            assert_eq!(said(&VERBS, caller, &[]), None);
            assert_eq!(said(&VERBS, caller, &["status"]), None);
        }
        assert_eq!(said(&VERBS, &own, &["admit", "anna"]), None);
        for (caller, why) in [
            (&stranger, "only root may do this; you are user 4000000"),
            (
                &Caller::over_link("r2"),
                "not a read-only command: run it on r1 itself",
            ),
        ] {
            let refused = Some(refusal(ErrorCode::Permission, why));
            assert_eq!(said(&VERBS, caller, &["admit", "anna"]), refused);
        }
    }

    #[test]
    fn a_word_that_is_not_listed_is_answered_by_those_that_are() {
        let own = Caller::here(1000, 1000);
        let usage = [
            "sparectl guests                     lists the guests",
            "sparectl guests status",
            "sparectl guests admit NAME ADDRESS  adds a guest (root)",
        ]
        .map(str::to_owned);
        let help = Answer::Done {
            lines: usage.to_vec(),
        };
        assert_eq!(said(&VERBS, &own, &["help"]), Some(help));
        let mut lines = vec!["guests has no verb \"evict\"".to_owned()];
        lines.extend(usage);
        let code = ErrorCode::Usage;
        assert_eq!(
            said(&VERBS, &own, &["evict"]),
            Some(Answer::Error { code, lines })
        );
        let none = refusal(ErrorCode::Usage, "guests has no verbs");
        assert_eq!(said(&[], &own, &["help"]), Some(none));
    }
}
