//! Faults of the configuration, with file and line.

use std::fmt;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::syntax::explain;

/// Maximum number of faults of one file that are reported, each with its line. A plugin may find as many as fit into a
/// record.
const TOLD_MAX: usize = 100;

/// One fault: `vrrp.toml:12: group "office" interface "lan2": vrid: found 300, allowed 1-255`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Name of the file, without its folder.
    pub file: String,
    pub line: Option<usize>,
    /// Key as a person finds it in the file; empty for the whole file.
    pub key: String,
    pub why: String,
}

impl Fault {
    /// A fault of a file as a whole.
    pub fn whole(file: &str, why: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line: None,
            key: String::new(),
            why: why.into(),
        }
    }

    /// A fault of one key of a file with this text.
    pub fn of_key(file: &str, text: &str, key: &str, why: impl Into<String>) -> Self {
        let (document, _) = DeTable::parse_recoverable(text);
        let (line, key) = find(text, document.get_ref(), key);
        Self {
            file: file.to_owned(),
            line,
            key,
            why: why.into(),
        }
    }

    /// Faults of keys of a file with this text, from pairs of key and reason. Reports the first hundred and how many
    /// more there are.
    pub fn of_keys(
        file: &str,
        text: &str,
        found: impl ExactSizeIterator<Item = (String, String)>,
    ) -> Vec<Self> {
        let more = found.len().saturating_sub(TOLD_MAX);
        // the text is parsed once, because the host does nothing else meanwhile
        let (document, _) = DeTable::parse_recoverable(text);
        let fault = |(key, why): (String, String)| {
            let (line, key) = find(text, document.get_ref(), &key);
            let file = file.to_owned();
            Self {
                file,
                line,
                key,
                why,
            }
        };
        let mut faults: Vec<Self> = found.take(TOLD_MAX).map(fault).collect();
        if more > 0 {
            faults.push(Self::whole(file, format!("{more} more faults")));
        }
        faults
    }

    /// The first syntax error, if the text is not TOML.
    pub(super) fn of_syntax(file: &str, text: &str) -> Option<Self> {
        let error = DeTable::parse(text).err()?;
        let (key, why) = explain(text, &error);
        Some(Self {
            line: error.span().map(|span| line_at(text, span.start)),
            key,
            ..Self::whole(file, why)
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.why)
    }
}

/// Line of a key path like "group.0.interface.1.vrid". A missing key has the line of its nearest parent in the text.
pub fn locate(text: &str, key: &str) -> Option<usize> {
    let (document, _) = DeTable::parse_recoverable(text);
    find(text, document.get_ref(), key).0
}

/// Line of the first key of this name with this value, or with this value for one of the nodes.
pub(super) fn locate_value(text: &str, key: &str, wanted: &str) -> Option<usize> {
    let (document, _) = DeTable::parse_recoverable(text);
    let mut starts = Vec::new();
    search(document.get_ref(), key, wanted, &mut starts);
    starts.into_iter().min().map(|start| line_at(text, start))
}

fn search(table: &DeTable<'_>, key: &str, wanted: &str, starts: &mut Vec<usize>) {
    let is_wanted = |value: &DeValue<'_>| value.as_str() == Some(wanted);
    for (name, value) in table {
        let found = match value.get_ref() {
            DeValue::Table(by_node) => by_node.values().any(|it| is_wanted(it.get_ref())),
            value => is_wanted(value),
        };
        if found && name.get_ref() == key {
            starts.push(name.span().start);
        }
        match value.get_ref() {
            DeValue::Table(inner) => search(inner, key, wanted, starts),
            DeValue::Array(items) => {
                let inner = items.iter().filter_map(|it| it.get_ref().as_table());
                inner.for_each(|inner| search(inner, key, wanted, starts));
            }
            _ => {}
        }
    }
}

// Line of a key, and the key as text in which entries have names: `group "office": advert_interval`.
fn find(text: &str, document: &DeTable<'_>, key: &str) -> (Option<usize>, String) {
    let mut found = None;
    let mut place = Some(Place::Table(document));
    let (mut words, mut path) = (String::new(), String::new());
    for part in steps(key) {
        let step = place.as_ref().and_then(|place| place.step(&part));
        let entry = step
            .as_ref()
            .and_then(|(_, below)| place.as_ref()?.entry(below));
        match entry {
            Some(table) => {
                let space = if words.is_empty() { "" } else { " " };
                let name = name_of_entry(table, &part);
                words = format!("{words}{space}{path} {name}");
                path.clear();
            }
            None if path.is_empty() => path = part,
            None => path = format!("{path}.{part}"),
        }
        found = step.as_ref().map(|(start, _)| *start).or(found);
        place = step.map(|(_, below)| below);
    }
    let between = if words.is_empty() || path.is_empty() {
        ""
    } else {
        ": "
    };
    let line = found.map(|start| line_at(text, start));
    (line, format!("{words}{between}{path}"))
}

// Name of an entry, chosen as in differences between the nodes: `name`, else `interface`, else the position.
fn name_of_entry(entry: &DeTable<'_>, index: &str) -> String {
    const NAME_MAX: usize = 64;
    let text = |key: &str| entry.get(key).and_then(|value| value.get_ref().as_str());
    match text("name").or_else(|| text("interface")) {
        Some(name) => {
            let name = name.chars().filter(|c| !c.is_control());
            format!("\"{}\"", name.take(NAME_MAX).collect::<String>())
        }
        None => index
            .parse()
            .map_or(1, |index: usize| index.saturating_add(1))
            .to_string(),
    }
}

enum Place<'d> {
    Table(&'d DeTable<'d>),
    Value(&'d DeValue<'d>),
}

impl<'d> Place<'d> {
    /// The table `below`, if this is an array and `below` is one of its entries.
    fn entry(&self, below: &Place<'d>) -> Option<&'d DeTable<'d>> {
        match (self, below) {
            (Place::Value(DeValue::Array(_)), Place::Value(DeValue::Table(table))) => Some(table),
            _ => None,
        }
    }

    fn step(&self, part: &str) -> Option<(usize, Place<'d>)> {
        let value: &Spanned<DeValue<'_>> = match self {
            Place::Table(table) => return in_table(table, part),
            Place::Value(DeValue::Table(table)) => return in_table(table, part),
            Place::Value(DeValue::Array(array)) => array.get(part.parse::<usize>().ok()?)?,
            Place::Value(_) => return None,
        };
        Some((value.span().start, Place::Value(value.get_ref())))
    }
}

fn in_table<'d>(table: &'d DeTable<'d>, part: &str) -> Option<(usize, Place<'d>)> {
    let (key, value) = table.get_key_value(part)?;
    Some((key.span().start, Place::Value(value.get_ref())))
}

pub(super) fn line_at(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}

pub(super) fn name_of(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_else(|| path.display().to_string())
}

/// Splits a key into its parts: "a.0.b\\.c" has three.
fn steps(key: &str) -> Vec<String> {
    let mut steps = vec![String::new()];
    let mut characters = key.chars();
    while let Some(character) = characters.next() {
        let literal = match character {
            '.' => {
                steps.push(String::new());
                continue;
            }
            // a backslash at the end stands for itself
            '\\' => characters.next().unwrap_or(character),
            character => character,
        };
        if let Some(step) = steps.last_mut() {
            step.push(literal);
        }
    }
    steps
}
