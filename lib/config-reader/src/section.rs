//! A table of a configuration file, read key by key.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use toml::Value;

use super::{
    Config, Key, Scope, bracketed, escape, format_duration, join, nearest, parse_duration,
};

/// Sample addresses in texts of allowed values, and the same of the other family.
const SAMPLES: [(&str, &str); 3] = [
    ("192.0.2.1/24", "2001:db8::1/64"),
    ("192.0.2.0/24", "2001:db8::/32"),
    ("192.0.2.1\"", "2001:db8::1\""),
];

/// Table of a configuration: the file itself, a `[table]`, or one of an array `[[table]]`.
#[derive(Clone, Debug)]
pub struct Section<'c> {
    config: &'c Config,
    table: &'c toml::Table,
    path: String,
}

impl<'c> Section<'c> {
    pub(super) fn new(config: &'c Config, table: &'c toml::Table, path: String) -> Self {
        config
            .notes()
            .borrow_mut()
            .known
            .entry(path.clone())
            .or_default();
        Self {
            config,
            table,
            path,
        }
    }

    /// Path of the table, such as "group.0.interface.1"; empty at the top.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// True if the table has the key; the key counts as asked for.
    pub fn has<'k>(&self, key: impl Into<Key<'k>>) -> bool {
        let key = key.into();
        self.know(key);
        self.table.contains_key(key.name)
    }

    /// True if the key's value is an array; the key counts as asked for.
    pub fn is_array<'k>(&self, key: impl Into<Key<'k>>) -> bool {
        self.value(key.into())
            .is_some_and(|(_, value)| value.is_array())
    }

    /// Reads a text.
    pub fn text<'k>(&self, key: impl Into<Key<'k>>) -> Option<String> {
        let (key, value) = self.value(key.into())?;
        match value {
            Value::String(text) => Some(text.clone()),
            other => self.wrong(&key, other, "a text"),
        }
    }

    /// Values of all nodes, for keys that may differ between them: in the order of the nodes' names, without
    /// repetitions. For results that must be equal on both nodes.
    pub fn every_text(&self, key: &str) -> Vec<&'c str> {
        match self.table.get(key) {
            Some(Value::String(text)) => vec![text],
            Some(Value::Table(by_node)) => {
                let by_node: BTreeMap<_, _> = by_node.iter().collect();
                let mut texts: Vec<&str> =
                    by_node.values().filter_map(|text| text.as_str()).collect();
                texts.dedup();
                texts
            }
            _ => Vec::new(),
        }
    }

    /// Reads `true` or `false`.
    pub fn flag<'k>(&self, key: impl Into<Key<'k>>) -> Option<bool> {
        let (key, value) = self.value(key.into())?;
        match value {
            Value::Boolean(flag) => Some(*flag),
            other => self.wrong(&key, other, "true or false"),
        }
    }

    /// Reads a whole number in `range`.
    pub fn integer<'k>(&self, key: impl Into<Key<'k>>, range: RangeInclusive<u64>) -> Option<u64> {
        let (key, value) = self.value(key.into())?;
        let number = match value {
            Value::Integer(number) => u64::try_from(*number).ok(),
            _ => None,
        };
        number
            .filter(|number| range.contains(number))
            .or_else(|| self.wrong(&key, value, &format!("{}-{}", range.start(), range.end())))
    }

    /// Reads a whole number in `range`, which may be negative.
    pub fn signed<'k>(&self, key: impl Into<Key<'k>>, range: RangeInclusive<i64>) -> Option<i64> {
        let (key, value) = self.value(key.into())?;
        let number = value.as_integer().filter(|number| range.contains(number));
        number.or_else(|| {
            let allowed = format!("{} to {}", range.start(), range.end());
            self.wrong(&key, value, &allowed)
        })
    }

    /// Reads a number in `range`, with or without a fraction.
    pub fn float<'k>(&self, key: impl Into<Key<'k>>, range: RangeInclusive<f64>) -> Option<f64> {
        let (key, value) = self.value(key.into())?;
        let number = match value {
            Value::Float(number) => Some(*number),
            Value::Integer(number) => Some(*number as f64),
            _ => None,
        };
        // nan is in no range
        let number = number.filter(|number| range.contains(number));
        number.or_else(|| {
            let allowed = format!("{} to {}", range.start(), range.end());
            self.wrong(&key, value, &allowed)
        })
    }

    /// Reads a duration like "100ms", "1s", "2m" or "1h", in `range`.
    pub fn duration<'k>(
        &self,
        key: impl Into<Key<'k>>,
        range: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        let (key, value) = self.value(key.into())?;
        let time = value.as_str().and_then(parse_duration);
        time.filter(|time| range.contains(time)).or_else(|| {
            let (least, most) = (
                format_duration(*range.start()),
                format_duration(*range.end()),
            );
            self.wrong(&key, value, &format!("\"{least}\" to \"{most}\""))
        })
    }

    /// Reads one of a few words.
    pub fn choice<'k, T: Copy>(&self, key: impl Into<Key<'k>>, choices: &[(&str, T)]) -> Option<T> {
        let (key, value) = self.value(key.into())?;
        let chosen = value
            .as_str()
            .and_then(|word| choices.iter().find(|(name, _)| *name == word));
        chosen.map(|(_, chosen)| *chosen).or_else(|| {
            let words: Vec<String> = choices.iter().map(|(w, _)| format!("\"{w}\"")).collect();
            let names = choices.iter().map(|(name, _)| *name);
            let meant = value.as_str().and_then(|word| nearest(word, names));
            let hint = meant.map_or(String::new(), |it| format!(": did you mean \"{it}\"?"));
            self.wrong(&key, value, &(words.join(", ") + &hint))
        })
    }

    /// Reads a text that `T` parses; `allowed` describes the allowed values, like "an IPv4 address".
    pub fn parsed<'k, T: FromStr>(&self, key: impl Into<Key<'k>>, allowed: &str) -> Option<T> {
        let (key, value) = self.value(key.into())?;
        let parsed = value.as_str().and_then(|text| text.parse().ok());
        parsed.or_else(|| self.wrong(&key, value, &in_family(allowed, value)))
    }

    /// Reads an array of texts that `T` parses. Every wrong element is a fault of its own.
    pub fn list<'k, T: FromStr>(&self, key: impl Into<Key<'k>>, allowed: &str) -> Option<Vec<T>> {
        let (key, value) = self.value(key.into())?;
        let Value::Array(array) = value else {
            return self.wrong(&key, value, &format!("an array: {allowed}"));
        };
        let mut list = Vec::with_capacity(array.len());
        for (position, value) in array.iter().enumerate() {
            match value.as_str().and_then(|text| text.parse().ok()) {
                Some(item) => list.push(item),
                None => {
                    let allowed = in_family(allowed, value);
                    let _: Option<T> = self.wrong(&format!("{key}.{position}"), value, &allowed);
                }
            }
        }
        (list.len() == array.len()).then_some(list)
    }

    /// Reads an array of whole numbers in `range`. Every wrong element is a fault of its own.
    pub fn integers<'k>(
        &self,
        key: impl Into<Key<'k>>,
        range: RangeInclusive<u64>,
    ) -> Option<Vec<u64>> {
        let (key, value) = self.value(key.into())?;
        let allowed = format!("{}-{}", range.start(), range.end());
        let Value::Array(array) = value else {
            return self.wrong(&key, value, &format!("an array: {allowed}"));
        };
        let mut list = Vec::with_capacity(array.len());
        for (position, value) in array.iter().enumerate() {
            let number = value
                .as_integer()
                .and_then(|number| u64::try_from(number).ok());
            match number.filter(|number| range.contains(number)) {
                Some(number) => list.push(number),
                None => {
                    let _: Option<()> = self.wrong(&format!("{key}.{position}"), value, &allowed);
                }
            }
        }
        (list.len() == array.len()).then_some(list)
    }

    /// Reads an array of texts.
    pub fn texts<'k>(&self, key: impl Into<Key<'k>>) -> Option<Vec<String>> {
        self.list(key, "texts")
    }

    /// Reads a table `[key]`.
    pub fn section<'k>(&self, key: impl Into<Key<'k>>) -> Option<Section<'c>> {
        let key = key.into();
        self.know(key);
        let path = join(&self.path, &escape(key.name));
        match self.table.get(key.name)? {
            Value::Table(table) => Some(Section::new(self.config, table, path)),
            // read anyway, so that its own faults are reported together with this one
            Value::Array(array) if array.first().is_some_and(Value::is_table) => {
                let path_of_first = format!("{path}.0");
                self.brackets(key.name, &path_of_first, &path);
                let first = array.first().and_then(Value::as_table)?;
                Some(Section::new(self.config, first, path_of_first))
            }
            other => self.wrong(key.name, other, "a table"),
        }
    }

    /// Reads the tables `[[key]]`, in the order of the file; a single `[key]` is refused.
    pub fn sections<'k>(&self, key: impl Into<Key<'k>>) -> Vec<Section<'c>> {
        let key = key.into();
        self.know(key);
        let path = join(&self.path, &escape(key.name));
        let wanted = format!("an array of tables: [[{}]]", key.name);
        let Some(value) = self.table.get(key.name) else {
            return Vec::new();
        };
        if let Value::Table(table) = value {
            self.brackets(key.name, &path, &format!("{path}.0"));
            // read anyway, so that its own faults are reported together with this one
            return vec![Section::new(self.config, table, path)];
        }
        let Value::Array(array) = value else {
            let _: Option<()> = self.wrong(key.name, value, &wanted);
            return Vec::new();
        };
        let mut sections = Vec::with_capacity(array.len());
        for (position, value) in array.iter().enumerate() {
            match value {
                Value::Table(table) => {
                    let path = format!("{path}.{position}");
                    sections.push(Section::new(self.config, table, path));
                }
                other => {
                    let _: Option<()> =
                        self.wrong(&format!("{}.{position}", key.name), other, &wanted);
                }
            }
        }
        sections
    }

    /// Notes that a table has single brackets instead of double ones, or vice versa.
    fn brackets(&self, key: &str, found: &str, allowed: &str) {
        let (found, allowed) = (bracketed(found), bracketed(allowed));
        self.fault(key, format!("found {found}, allowed {allowed}"));
    }

    /// Notes that `key` is missing; if it has a wrong value, that is noted already.
    pub fn required<'k, T>(&self, key: impl Into<Key<'k>>, value: Option<T>) -> Option<T> {
        let key = key.into();
        if value.is_none() && !self.table.contains_key(key.name) {
            self.fault(key.name, "missing");
        }
        value
    }

    /// Notes that `key` has too many tables or entries; `what` names them, such as "sets".
    pub fn at_most(&self, key: &str, what: &str, count: usize, max: usize) {
        if count > max {
            self.fault(key, format!("found {count} {what}, allowed {max}"));
        }
    }

    /// Notes that `key` breaks a rule of the plugin's own; `key` may be "addresses.2".
    pub fn fault(&self, key: &str, why: impl Into<String>) {
        let key = if key.is_empty() {
            self.path.clone()
        } else {
            join(&self.path, key)
        };
        self.config.notes().borrow_mut().fault(key, why.into());
    }

    fn know(&self, key: Key<'_>) {
        self.config
            .notes()
            .borrow_mut()
            .know(&self.path, key.name, key.scope);
    }

    /// Value, and the key for reports of faults; for a table by node name, this node's value.
    fn value(&self, key: Key<'_>) -> Option<(String, &'c Value)> {
        self.know(key);
        let value = self.table.get(key.name)?;
        match value {
            Value::Table(by_node) if key.scope == Scope::Node => self.this_node(key.name, by_node),
            value => Some((key.name.to_owned(), value)),
        }
    }

    fn this_node(&self, key: &str, by_node: &'c toml::Table) -> Option<(String, &'c Value)> {
        let path = join(&self.path, key);
        for name in by_node.keys() {
            // Without [nodes] any name may be a node's; with it, other names are refused below.
            self.config
                .notes()
                .borrow_mut()
                .know(&path, name, Scope::Node);
        }
        let nodes = self.config.nodes();
        let mut complete = true;
        for missing in nodes.iter().filter(|name| !by_node.contains_key(*name)) {
            self.fault(key, format!("has no value for node \"{missing}\""));
            complete = false;
        }
        for name in by_node.keys() {
            if !nodes.is_empty() && !nodes.contains(name) {
                self.fault(
                    &join(key, name),
                    format!("no such node, allowed: {}", nodes.join(", ")),
                );
                complete = false;
            }
        }
        let node = self.config.node();
        match by_node.get(node) {
            Some(value) if complete => Some((join(key, node), value)),
            Some(_) => None,
            None => {
                if nodes.is_empty() {
                    self.fault(key, format!("has no value for this node, \"{node}\""));
                }
                None
            }
        }
    }

    fn is_secret(&self, key: &str) -> bool {
        let notes = self.config.notes().borrow();
        let keys = notes.known.get(&self.path);
        keys.and_then(|keys| keys.get(key)) == Some(&Scope::Secret)
    }

    fn wrong<T>(&self, key: &str, found: &Value, allowed: &str) -> Option<T> {
        let found = if self.is_secret(key) {
            "a value that is not shown".to_owned()
        } else {
            shown(found)
        };
        self.fault(key, format!("found {found}, allowed {allowed}"));
        None
    }
}

/// Description of the allowed values, with a sample of the family that the user meant.
fn in_family<'a>(allowed: &'a str, found: &Value) -> Cow<'a, str> {
    let is_ipv6 = found.as_str().is_some_and(|it| it.matches(':').count() > 1);
    let sample = SAMPLES.iter().find(|(ipv4, _)| allowed.contains(ipv4));
    match sample.filter(|(_, ipv6)| is_ipv6 && !allowed.contains(ipv6)) {
        Some((ipv4, ipv6)) => Cow::Owned(allowed.replace(ipv4, ipv6)),
        None => Cow::Borrowed(allowed),
    }
}

/// Value as the user wrote it, shortened.
fn shown(value: &Value) -> String {
    match value {
        Value::Table(_) => "a table".to_owned(),
        Value::Array(_) => "an array".to_owned(),
        Value::String(text) => {
            let short: String = text.chars().take(60).collect();
            format!("{short:?}")
        }
        scalar => scalar.to_string(),
    }
}
