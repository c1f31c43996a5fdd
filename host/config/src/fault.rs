//! Faults of the configuration, with file and line.

use std::fmt;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Faults of one file that are told, each with its line. A plugin may find as many as fit into a record.
const TOLD_MAX: usize = 100;

/// One fault: `vrrp.toml:12: group.0.interface.1.vrid: found 300, allowed 1-255`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Name of the file, without its folder.
    pub file: String,
    pub line: Option<usize>,
    /// Empty for the whole file.
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
        Self {
            file: file.to_owned(),
            line: locate(text, key),
            key: key.to_owned(),
            why: why.into(),
        }
    }

    /// Faults of keys of a file with this text, as key and reason; the first hundred and how many more.
    pub fn of_keys(
        file: &str,
        text: &str,
        found: impl ExactSizeIterator<Item = (String, String)>,
    ) -> Vec<Self> {
        let more = found.len().saturating_sub(TOLD_MAX);
        // read once: the host does nothing else meanwhile
        let (document, _) = DeTable::parse_recoverable(text);
        let fault = |(key, why): (String, String)| Self {
            file: file.to_owned(),
            line: find(text, document.get_ref(), &key),
            key,
            why,
        };
        let mut faults: Vec<Self> = found.take(TOLD_MAX).map(fault).collect();
        if more > 0 {
            faults.push(Self::whole(file, format!("{more} more faults")));
        }
        faults
    }

    /// Syntax error: the first that the parser found, if the text is not TOML.
    pub(super) fn of_syntax(file: &str, text: &str) -> Option<Self> {
        let error = DeTable::parse(text).err()?;
        Some(Self {
            line: error.span().map(|span| line_at(text, span.start)),
            ..Self::whole(file, error.message().replace('\n', ", "))
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

/// Line of a key path like "group.0.interface.1.vrid", or of its nearest parent in the text: a
/// missing key is reported at its table.
pub fn locate(text: &str, key: &str) -> Option<usize> {
    let (document, _) = DeTable::parse_recoverable(text);
    find(text, document.get_ref(), key)
}

fn find(text: &str, document: &DeTable<'_>, key: &str) -> Option<usize> {
    let mut found = None;
    let mut place = Place::Table(document);
    for part in spared_worker::settings::steps(key) {
        let Some((start, below)) = place.step(&part) else {
            break;
        };
        found = Some(start);
        place = below;
    }
    found.map(|start| line_at(text, start))
}

enum Place<'d> {
    Table(&'d DeTable<'d>),
    Value(&'d DeValue<'d>),
}

impl<'d> Place<'d> {
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

fn line_at(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}

pub(super) fn name_of(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_else(|| path.display().to_string())
}
