//! Reads a plugin's configuration key by key and finds all faults at once.
//!
//! serde stops at the first wrong value, but an administrator wants all of them. So a plugin asks a
//! [`Section`] for each key, with the allowed values. The section notes a [`Failure`] for a wrong value
//! and continues. [`Config::finish`] returns all faults, and refuses every key that was never asked for.
//!
//! ```
//! use spared_config_reader::{Config, node};
//!
//! let text = "vrid = 50\npriority = { r1 = 200, r2 = 100 }";
//! let config = Config::parse(text, "r1", &[]).unwrap();
//! let root = config.root();
//! assert_eq!(root.integer("vrid", 1..=255), Some(50));
//! assert_eq!(root.integer(node("priority"), 1..=254), Some(200));
//! assert!(config.finish().is_ok());
//! ```

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod duration;
mod fits;
mod mark;
mod nearest;
mod network;
mod section;
mod table;
#[cfg(test)]
mod tests;
mod text;
mod unknown_keys;

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;

pub use duration::{format_duration, parse_duration};
pub use fits::{is_interface, is_path};
pub use ipnet::IpNet;
pub use mark::Mark;
pub use nearest::nearest;
pub use network::{Cidr, Network, is_host, reserved_in_network};
pub use section::Section;
pub use spared_contract::{ConfigTable, Failure, HOST_KEYS, Scope};
pub use table::table;
pub use text::{toml_key, toml_text};

/// Configuration file, with the keys asked for and the faults found so far.
#[derive(Debug)]
pub struct Config {
    table: toml::Table,
    node: String,
    nodes: Vec<String>,
    notes: RefCell<Notes>,
}

/// Key and its scope; a plain `&str` has [`Scope::Pair`].
#[derive(Clone, Copy, Debug)]
pub struct Key<'k> {
    pub(crate) name: &'k str,
    pub(crate) scope: Scope,
}

/// Key that may be a table by node name: `priority = { r1 = 200, r2 = 100 }`.
pub fn node(name: &str) -> Key<'_> {
    Key {
        name,
        scope: Scope::Node,
    }
}

/// Key that the nodes never compare.
pub fn local(name: &str) -> Key<'_> {
    Key {
        name,
        scope: Scope::Local,
    }
}

/// Key whose value is compared by a digest and never shown.
pub fn secret(name: &str) -> Key<'_> {
    Key {
        name,
        scope: Scope::Secret,
    }
}

impl<'k> From<&'k str> for Key<'k> {
    fn from(name: &'k str) -> Self {
        Self {
            name,
            scope: Scope::Pair,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub(crate) faults: Vec<Failure>,
    /// Keys asked for, by the path of their section.
    pub(crate) known: BTreeMap<String, BTreeMap<String, Scope>>,
}

impl Config {
    /// Parses a file. `node` is this node's name, and `nodes` are the names of `[nodes]`: a table by
    /// node name must have all of them, or without `[nodes]` at least this node's.
    ///
    /// # Errors
    /// The parser's message if the text is not TOML. Wrong values are reported by [`finish`].
    ///
    /// [`finish`]: Config::finish
    pub fn parse(text: &str, node: &str, nodes: &[String]) -> Result<Self, SyntaxError> {
        let table = text
            .parse::<toml::Table>()
            .map_err(|error| SyntaxError(error.message().to_owned()))?;
        Ok(Self::new(table, node, nodes))
    }

    /// Creates a configuration from the table that the daemon sends.
    pub fn of(table: &ConfigTable, node: &str, nodes: &[String]) -> Self {
        Self::new(table::toml_of(table), node, nodes)
    }

    /// Creates the same configuration as another node reads it.
    pub fn of_node(&self, node: &str) -> Self {
        Self::new(self.table.clone(), node, &self.nodes)
    }

    fn new(table: toml::Table, node: &str, nodes: &[String]) -> Self {
        let config = Self {
            table,
            node: node.to_owned(),
            nodes: nodes.to_vec(),
            notes: RefCell::default(),
        };
        for key in HOST_KEYS {
            config.notes.borrow_mut().know("", key, Scope::Pair);
        }
        config
    }

    /// Top table of the file.
    pub fn root(&self) -> Section<'_> {
        Section::new(self, &self.table, String::new())
    }

    /// This node's name.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// Names in `[nodes]`; empty without that table.
    pub fn nodes(&self) -> &[String] {
        &self.nodes
    }

    /// Reads the whole file into `T` with serde, for plugins with a simple configuration. The keys of
    /// the daemon are left out; `T` must refuse unknown keys itself (`#[serde(deny_unknown_fields)]`).
    ///
    /// # Errors
    /// The first fault that serde finds.
    pub fn deserialize<T: serde::de::DeserializeOwned>(&self) -> Result<T, Failure> {
        let mut table = self.table.clone();
        for key in HOST_KEYS {
            table.remove(key);
        }
        let mut notes = self.notes.borrow_mut();
        for key in self.table.keys() {
            notes.know("", key, Scope::Pair);
        }
        notes.know_below(&self.table, "");
        table.try_into().map_err(|error: toml::de::Error| Failure {
            key: String::new(),
            why: error.message().to_owned(),
        })
    }

    /// Ends reading and reports the faults.
    ///
    /// # Errors
    /// All faults found, then one for each key that was never asked for.
    pub fn finish(&self) -> Result<(), Vec<Failure>> {
        let notes = self.notes.borrow();
        let mut faults = notes.faults.clone();
        notes.refuse_unknown(&self.table, "", &mut faults);
        if faults.is_empty() {
            Ok(())
        } else {
            Err(faults)
        }
    }

    /// Every key asked for and its scope, without array positions ("group.interface.vrid"): for the comparison of the
    /// nodes, and for tests that compare a manual page with the code.
    pub fn scopes(&self) -> Vec<(String, Scope)> {
        let notes = self.notes.borrow();
        let mut all = BTreeMap::new();
        for (section, keys) in &notes.known {
            for (key, scope) in keys {
                all.insert(without_positions(&join(section, key)), *scope);
            }
        }
        all.into_iter().collect()
    }

    pub(crate) fn notes(&self) -> &RefCell<Notes> {
        &self.notes
    }
}

impl Notes {
    pub(crate) fn know(&mut self, section: &str, key: &str, scope: Scope) {
        let keys = self.known.entry(section.to_owned()).or_default();
        let known = keys.entry(key.to_owned()).or_insert(scope);
        // `has` and similar methods name no scope
        if scope != Scope::Pair {
            *known = scope;
        }
    }

    pub(crate) fn fault(&mut self, key: String, why: String) {
        self.faults.push(Failure { key, why });
    }

    fn know_below(&mut self, table: &toml::Table, path: &str) {
        for (key, value) in table {
            self.know(path, key, Scope::Pair);
            let path = join(path, &escape(key));
            match value {
                toml::Value::Table(table) => self.know_below(table, &path),
                toml::Value::Array(array) => {
                    for (position, value) in array.iter().enumerate() {
                        if let toml::Value::Table(table) = value {
                            self.know_below(table, &format!("{path}.{position}"));
                        }
                    }
                }
                _ => {}
            }
        }
    }
}

/// Key as a part of a path, with its dots and backslashes escaped.
pub(crate) fn escape(key: &str) -> Cow<'_, str> {
    if key.contains(['.', '\\']) {
        Cow::Owned(key.replace('\\', "\\\\").replace('.', "\\."))
    } else {
        Cow::Borrowed(key)
    }
}

pub(crate) fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

fn without_positions(path: &str) -> String {
    path.split('.')
        .filter(|part| part.parse::<u32>().is_err())
        .collect::<Vec<_>>()
        .join(".")
}

/// Table in the file's syntax: "[[group.interface]]" for "group.0.interface.1", "[log]" for "log".
pub(crate) fn bracketed(path: &str) -> String {
    let name = without_positions(path);
    let last = path.rsplit('.').next().unwrap_or(path);
    if last.parse::<u32>().is_ok() {
        format!("[[{name}]]")
    } else {
        format!("[{name}]")
    }
}

/// Error for a text that is not TOML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError(String);

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SyntaxError {}
