//! Paths that a configuration names.

use std::collections::BTreeSet;
use std::path::{Component, Path};

use toml::Value;

use crate::Texts;

/// Absolute paths among the values of all files.
pub fn named_paths(texts: &Texts) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    for text in texts.values() {
        let table: toml::Table = text.parse().unwrap_or_default();
        table.values().for_each(|value| collect(value, &mut paths));
    }
    paths
}

fn collect(value: &Value, paths: &mut BTreeSet<String>) {
    match value {
        Value::String(text) if is_plain(text) => {
            paths.insert(text.clone());
        }
        Value::Array(values) => values.iter().for_each(|it| collect(it, paths)),
        Value::Table(table) => table.values().for_each(|it| collect(it, paths)),
        _ => {}
    }
}

/// Returns true for an absolute path without `..`.
fn is_plain(text: &str) -> bool {
    let path = Path::new(text);
    path.is_absolute() && !path.components().any(|it| it == Component::ParentDir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_in_every_kind_of_value() {
        let texts = [
            (
                "spared.toml",
                "a = \"/a\"\nb = 1\n[t]\nx = [\"/l/1\", \"l/2\", \"/../x\"]\n",
            ),
            (
                "plugins/health.toml",
                "[[script]]\ncommand = [\"/l/3\", \"-c\"]\n",
            ),
            ("plugins/wrong.toml", "= \"/no\"\n"),
        ];
        let texts = texts.map(|(name, text)| (name.to_owned(), text.to_owned()));
        let paths: Vec<String> = named_paths(&texts.into()).into_iter().collect();
        assert_eq!(paths, ["/a", "/l/1", "/l/3"]);
    }
}
