//! Finds the verb or plugin that a mistyped word means.

use clap::CommandFactory;
use spared_config_reader as config;

use crate::line::Line;

/// Words of other programs, each with our verb for the same thing.
const ELSEWHERE: [(&str, &str); 25] = [
    ("activate", "switch"),
    ("apply", "reload"),
    ("bundle", "report"),
    ("configtest", "check"),
    ("diff", "config push --dry-run"),
    ("failover", "switch"),
    ("genkey", "keygen"),
    ("journal", "events"),
    ("list", "status"),
    ("log", "events"),
    ("logs", "events"),
    ("monitor", "watch"),
    ("peer", "status"),
    ("promote", "switch"),
    ("push", "config push"),
    ("show", "status"),
    ("standby", "maintenance on"),
    ("state", "status"),
    ("support", "report"),
    ("switchover", "switch"),
    ("sync", "config push"),
    ("test", "check"),
    ("top", "watch"),
    ("validate", "check"),
    ("version", "--version"),
];

/// The verb or plugin that the word means.
pub fn nearest(word: &str, plugins: &[String]) -> Option<String> {
    let known = ELSEWHERE.iter().find(|(other, _)| *other == word);
    if let Some((_, ours)) = known {
        return Some((*ours).to_owned());
    }
    let verbs = Line::command();
    let verbs = verbs.get_subcommands().filter(|verb| !verb.is_hide_set());
    let verbs: Vec<&str> = verbs.map(clap::Command::get_name).collect();
    let plugins = plugins.iter().map(String::as_str);
    config::nearest(word, verbs.into_iter().chain(plugins)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_word_is_near_to_a_verb_or_a_plugin() {
        let plugins = ["conntrack".to_owned(), "files".to_owned()];
        for (word, near) in [
            ("staus", Some("status")),
            ("swich", Some("switch")),
            ("contrack", Some("conntrack")),
            ("failover", Some("switch")),
            ("Status", Some("status")),
            ("maintenence", Some("maintenance")),
            ("xyzzy", None),
            // hidden, so it is not suggested
            ("completion", None),
        ] {
            assert_eq!(nearest(word, &plugins).as_deref(), near, "{word}");
        }
        assert_eq!(nearest("contrack", &[]), None);
    }

    #[test]
    fn what_is_suggested_for_words_of_other_programs_exists() {
        let line = Line::command();
        for (word, ours) in ELSEWHERE {
            assert!(line.find_subcommand(word).is_none(), "{word} is a verb");
            let verb = ours.split(' ').next().unwrap_or_default();
            let is_known = verb.starts_with("--") || line.find_subcommand(verb).is_some();
            assert!(is_known, "{word}: {ours}");
        }
    }
}
