//! Finding of the pair, as alarms need it: a key, by which it is the same one over time and on both nodes, and texts.

use serde::{Deserialize, Serialize};
use spared_sdk::FindingRecord;

use crate::severity::Severity;

/// Maximum length of a text in bytes: the daemon cuts texts at 256 characters.
const TEXT_MAX: usize = 1024;

/// Identity of a finding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    /// "SP-0401".
    pub id: String,
    /// Node with the fault.
    pub node: String,
    /// Object with the fault.
    pub thing: String,
}

/// Texts of a finding, which may change while it lasts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Texts {
    /// Sentence about the fault.
    pub text: String,
    /// Remedy; may be empty.
    pub todo: String,
    /// Local time; empty: not known.
    pub since: String,
}

impl Key {
    pub fn of(record: &FindingRecord) -> Self {
        Self {
            id: record.id.clone(),
            node: record.node.clone(),
            thing: record.thing.clone(),
        }
    }

    pub fn severity(&self) -> Severity {
        Severity::of(&self.id)
    }

    /// True if the finding says that one node does not hear the other: each node makes it by itself.
    pub fn is_about_hearing(&self) -> bool {
        matches!(self.id.as_str(), "SP-0101" | "SP-0102" | "SP-0103")
    }

    /// True if the lengths are those that a daemon may send.
    pub fn fits(&self) -> bool {
        [&self.id, &self.node, &self.thing]
            .iter()
            .all(|it| it.len() <= TEXT_MAX)
    }
}

impl Texts {
    pub fn of(record: &FindingRecord) -> Self {
        Self {
            text: record.text.clone(),
            todo: record.todo.clone(),
            since: record.since.clone(),
        }
    }

    /// True if the lengths are those that a daemon may send.
    pub fn fits(&self) -> bool {
        [&self.text, &self.todo, &self.since]
            .iter()
            .all(|it| it.len() <= TEXT_MAX)
    }
}
