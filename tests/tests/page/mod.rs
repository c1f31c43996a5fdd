// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a manual page and the examples say, for holding the readers against it.

#![allow(dead_code, reason = "each test program needs some of it")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use spared_sdk::config::{Config, HOST_KEYS, Scope};

pub fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

/// The keys of a manual page with the words after them in parentheses. A key stands alone at the
/// start of a line, `*metric*, *table* (0 to 4294967295; pair)`, below a heading `## [[group.route]]`.
pub fn documented(page: &str) -> BTreeMap<String, String> {
    let text = fs::read_to_string(docs().join("man").join(page)).expect("the page is there");
    let mut keys = BTreeMap::new();
    let mut section = String::new();
    let keys_from = text.lines().skip_while(|line| !line.starts_with("# KEYS"));
    for line in keys_from {
        if let Some(heading) = line.strip_prefix('#') {
            let table = heading.trim_start_matches('#').trim();
            section = match table
                .strip_prefix("[[")
                .and_then(|it| it.strip_suffix("]]"))
            {
                Some(table) => format!("{table}."),
                None => String::new(),
            };
        }
        let Some((names, words)) = line.split_once(" (") else {
            continue;
        };
        if !line.starts_with('*') {
            continue;
        }
        for name in names.split(", ") {
            let name: String = name.replace('*', "").replace("_NAME_", "NAME");
            keys.insert(
                format!("{section}{name}"),
                words.trim_end_matches(')').to_owned(),
            );
        }
    }
    keys
}

pub fn names(keys: &BTreeMap<String, String>) -> BTreeSet<&str> {
    keys.keys().map(String::as_str).collect()
}

/// The page names every key that was asked for, with its scope, and no other.
pub fn assert_page_names(page: &str, config: &Config) {
    let scopes = config.scopes();
    let is_table = |key: &str| {
        scopes
            .iter()
            .any(|(it, _)| it.starts_with(&format!("{key}.")))
    };
    let accepted: BTreeMap<&str, Scope> = scopes
        .iter()
        .filter(|(key, _)| !is_table(key) && !HOST_KEYS.contains(&key.as_str()))
        .map(|(key, scope)| (key.as_str(), *scope))
        .collect();

    let page = documented(page);
    assert_eq!(names(&page), accepted.keys().copied().collect());
    for (key, scope) in accepted {
        let word = match scope {
            Scope::Pair => "pair",
            Scope::Node => "node",
            Scope::Local => "local",
        };
        let words: Vec<&str> = page[key].split("; ").collect();
        assert!(words.contains(&word), "{key}: {words:?}, wanted {word}");
    }
}

/// The examples that `wanted` takes by their names: path and text.
pub fn examples(wanted: impl Fn(&str) -> bool) -> Vec<(String, String)> {
    let folder = fs::read_dir(docs().join("examples")).expect("the examples are there");
    let paths = folder.map(|entry| entry.expect("a readable folder").path());
    let examples: Vec<(String, String)> = paths
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name.ends_with(".toml") && wanted(name))
        })
        .map(|path| {
            let text = fs::read_to_string(&path).expect("a readable example");
            (path.display().to_string(), text)
        })
        .collect();
    assert!(!examples.is_empty(), "there are no examples");
    examples
}
