// SPDX-License-Identifier: MIT OR Apache-2.0
//! Texts of a manual page and of the examples, for holding the readers against them.

#![allow(dead_code, reason = "each test program needs some of it")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use spared_sdk::config::{Config, HOST_KEYS, Scope};

pub fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

/// A row of a table of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub kind: String,
    pub range: String,
    pub default: String,
    pub scope: String,
}

/// The keys of a manual page with their rows. Each table has the columns of `HEADER` and stands below a
/// heading, `## [[group.route]]`, that its keys belong to.
pub fn documented(page: &str) -> BTreeMap<String, Row> {
    let text = keys_of(page);
    let mut lines = text.lines();
    let mut keys = BTreeMap::new();
    let mut section = String::new();
    while let Some(line) = lines.next() {
        if let Some(table) = table_of(line) {
            section = table;
        }
        if line != HEADER[0] {
            continue;
        }
        let rest: Vec<&str> = lines.by_ref().take(HEADER.len() - 1).collect();
        assert_eq!(rest, HEADER[1..], "{page}: {section}: the head of a table");
        let cells: Vec<&str> = lines.by_ref().take_while(|it| !it.is_empty()).collect();
        for row in cells.chunks(HEADER.len()) {
            let (key, row) = row_of(row).unwrap_or_else(|| panic!("{page}: {section}: {row:?}"));
            let before = keys.insert(format!("{section}{key}"), row);
            assert_eq!(before, None, "{page}: {section}{key} has two rows");
        }
    }
    keys
}

const HEADER: [&str; 5] = [
    "|< *key*",
    ":[ *type*",
    ":< *range*",
    ":[ *default*",
    ":[ *scope*",
];

fn row_of(cells: &[&str]) -> Option<(String, Row)> {
    let [key, rest @ ..] = cells else { return None };
    let key = key.strip_prefix("|  ").map(plain)?;
    let rest: Option<Vec<String>> = rest
        .iter()
        .map(|it| Some(plain(it.strip_prefix(":  ")?)))
        .collect();
    let [kind, range, default, scope] = <[String; 4]>::try_from(rest?).ok()?;
    let row = Row {
        kind,
        range,
        default,
        scope,
    };
    Some((key, row))
}

/// "[[group.route]]" of a heading is "group.route."; of another one it is nothing.
fn table_of(line: &str) -> Option<String> {
    let heading = line.strip_prefix('#')?.trim_start_matches('#').trim();
    let table = heading
        .strip_prefix("[[")
        .and_then(|it| it.strip_suffix("]]"));
    Some(table.map_or_else(String::new, |it| format!("{it}.")))
}

/// Without the marks of bold type, and of the one name that stands for any.
fn plain(cell: &str) -> String {
    cell.replace('*', "").replace("_NAME_", "NAME")
}

/// Part of a page about its keys: from the first heading of them on.
fn keys_of(page: &str) -> String {
    let text = fs::read_to_string(docs().join("man").join(page)).expect("the page is there");
    let keys = text.lines().skip_while(|line| !line.starts_with("# KEYS"));
    keys.map(|line| format!("{line}\n")).collect()
}

/// Each key of the tables has a line or more in words: `*metric*, *table*`, then a paragraph.
pub fn assert_described(page: &str) {
    let text = keys_of(page);
    let lines: Vec<&str> = text.lines().collect();
    let heads = lines.windows(2).filter(|pair| {
        pair[0].starts_with('*') && pair[1].strip_prefix('\t').is_some_and(|it| it.len() > 2)
    });
    let described: BTreeSet<String> = heads
        .flat_map(|pair| pair[0].split(", ").map(plain))
        .collect();
    for (key, row) in documented(page) {
        let is = |name: &String| key == *name || key.ends_with(&format!(".{name}"));
        assert!(described.iter().any(is), "{page}: {key} is not described");
        assert!(
            !row.kind.is_empty() && !row.range.is_empty(),
            "{page}: {key}: {row:?}"
        );
        let is_boolean = row.kind == "boolean";
        let has_default = ["true", "false"].contains(&row.default.as_str());
        assert_eq!(is_boolean, has_default, "{page}: {key}: {row:?}");
    }
}

pub fn names(keys: &BTreeMap<String, Row>) -> BTreeSet<&str> {
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

    assert_described(page);
    let page = documented(page);
    assert_eq!(names(&page), accepted.keys().copied().collect());
    for (key, scope) in accepted {
        let word = match scope {
            Scope::Pair => "pair",
            Scope::Node => "node",
            Scope::Local => "local",
            Scope::Secret => "pair, secret",
        };
        assert_eq!(page[key].scope, word, "{key}");
    }
    assert_required(&page, config);
}

/// "required" is what the reader misses in tables without a key.
fn assert_required(page: &BTreeMap<String, Row>, config: &Config) {
    let faults = config.finish().err().unwrap_or_default();
    let missing = faults.iter().filter(|fault| fault.why == "missing");
    let missing: BTreeSet<String> = missing.map(|fault| fault.key.replace(".0.", ".")).collect();
    let required = page.iter().filter(|(_, row)| row.default == "required");
    let required: BTreeSet<String> = required.map(|(key, _)| key.clone()).collect();
    assert_eq!(required, missing);
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
