//! Checks the commands that messages and the documentation tell somebody to type: each exists and is accepted as
//! printed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use clap::CommandFactory;

use super::super::{Command, parse};
use crate::line::Line;
use spared_message::control::Request;

/// Verbs of systemctl that messages name.
const OF_SYSTEMCTL: [&str; 11] = [
    "disable",
    "edit",
    "enable",
    "is-active",
    "kill",
    "reload",
    "restart",
    "start",
    "status",
    "stop",
    "unmask",
];

/// Plugin that documentation and comments use as an example.
const EXAMPLE: &str = "guests";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn files_below(folder: &Path, end: &str, found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).expect("a folder of the repository");
    for entry in entries.flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        let is_test = name.starts_with("tests") || name == "examples";
        match path.is_dir() {
            true if !is_test => files_below(&path, end, found),
            false if !is_test && name.ends_with(end) => found.push(path),
            _ => {}
        }
    }
}

/// The part of a source that is built, with continued texts joined to one line.
fn source(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("a source");
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    let mut lines = text.split("\\\n");
    let first = lines.next().unwrap_or_default().to_owned();
    lines.fold(first, |text, line| text + line.trim_start())
}

/// Words of each plugin: the first arguments in its list of verbs.
fn verbs_of_plugins() -> BTreeMap<String, BTreeSet<String>> {
    let folder = root().join("plugins");
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(&folder).expect("plugins").flatten() {
        let mut paths = Vec::new();
        files_below(&entry.path(), ".rs", &mut paths);
        let mut words = BTreeSet::from(["status".to_owned(), "help".to_owned()]);
        for text in paths.iter().map(|path| source(path)) {
            for start in ["Verb::asks(", "Verb::changes("] {
                let calls = text.split(start).skip(1);
                let names =
                    calls.filter_map(|it| it.trim_start().strip_prefix("c\"")?.split('"').next());
                words.extend(names.map(str::to_owned));
            }
        }
        all.insert(entry.file_name().to_string_lossy().into_owned(), words);
    }
    all
}

/// Replaces a placeholder, such as `{name}` or NAME, by "x".
fn typed(word: &str) -> String {
    let word = word.trim_matches(['[', ']']);
    let is_name = word.len() > 1 && word.chars().all(|it| it.is_ascii_uppercase() || it == '_');
    match word {
        _ if word.starts_with('{') || is_name => "x".to_owned(),
        "TIME" => "30s".to_owned(),
        word => word.to_owned(),
    }
}

/// Texts in backticks that begin with a program's name.
fn quoted<'t>(text: &'t str, program: &str) -> Vec<&'t str> {
    let start = format!("{program} ");
    let mut parts = text.split('`');
    parts.next();
    let inner = parts.step_by(2);
    inner
        .filter(|it| it.starts_with(&start) && !it.contains('\n'))
        .collect()
}

/// Reason why the command is refused. A command without its last words only names a verb, and is not refused.
fn refusal(command: &str, plugins: &BTreeMap<String, BTreeSet<String>>) -> Option<String> {
    let words = command.split_whitespace().filter(|it| *it != "...");
    let words: Vec<String> = words.map(typed).collect();
    if words.get(1).is_some_and(|it| it == "x") {
        return None;
    }
    let args = match parse(words.iter().map(Into::into)) {
        Ok(args) => args,
        Err(error) => {
            let why = error.to_string();
            let is_part = [
                "not provided",
                "none was supplied",
                "Usage: sparectl maintenance",
            ];
            let is_refused = error.use_stderr() && !is_part.iter().any(|it| why.contains(it));
            return is_refused.then_some(why);
        }
    };
    let Command::Ask(Request::Plugin { name, argv }) = args.command else {
        return None;
    };
    let Some(verbs) = plugins.get(&name) else {
        return (name != EXAMPLE).then(|| "no such verb or plugin".to_owned());
    };
    let word = argv.first()?;
    (word != "x" && !verbs.contains(word)).then(|| format!("{name} has no {word}"))
}

/// Returns true if the word after the program's name belongs to a sentence, so that nobody is told to type it.
fn is_prose(word: &str) -> bool {
    const WORDS: [&str; 11] = [
        "", "and", "asks", "had", "help", "here", "is", "of", "prints", "there", "waits",
    ];
    WORDS.contains(&word)
}

#[test]
fn each_command_in_a_message_exists_and_is_read() {
    let plugins = verbs_of_plugins();
    assert!(plugins["files"].contains("confirm"), "{plugins:?}");
    let mut paths = Vec::new();
    for folder in ["host", "plugins", "check", "lib", "abi/sdk"] {
        files_below(&root().join(folder), ".rs", &mut paths);
    }
    files_below(&root().join("docs"), ".md", &mut paths);
    let (mut wrong, mut count) = (Vec::new(), 0);
    for path in paths {
        let text = source(&path);
        let mut note = |command: &str, why: String| {
            wrong.push(format!("{}: {command}: {why}", path.display()));
        };
        for command in quoted(&text, "sparectl") {
            count += 1;
            if let Some(why) = refusal(command, &plugins) {
                note(command, why);
            }
        }
        for command in quoted(&text, "systemctl") {
            let verb = command
                .split_whitespace()
                .find(|it| *it != "systemctl" && !it.starts_with('-'));
            if verb.is_none_or(|it| !OF_SYSTEMCTL.contains(&it)) {
                note(command, "no such verb".to_owned());
            }
        }
        // within a sentence the words after the verb may belong to the sentence
        for rest in text.split("sparectl ").skip(1) {
            let verb: String = rest
                .chars()
                .take_while(|it| it.is_ascii_lowercase() || *it == '-')
                .collect();
            let is_code = path.extension().is_some_and(|it| it == "rs");
            let is_known =
                Line::command().find_subcommand(&verb).is_some() || plugins.contains_key(&verb);
            let is_known = is_known || verb == EXAMPLE || verb.starts_with('-');
            if is_code && !is_known && !is_prose(&verb) {
                note(&format!("sparectl {verb}"), "no such verb".to_owned());
            }
        }
    }
    assert!(count > 100, "{count}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
