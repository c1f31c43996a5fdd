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
    /// Node with the fault; empty if it is about the pair.
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

/// Ids of findings about the pair, which each node reports in its own name.
const ABOUT_THE_PAIR: [&str; 5] = ["SP-0104", "SP-0105", "SP-0106", "SP-0601", "SP-0602"];

impl Key {
    pub fn of(record: &FindingRecord) -> Self {
        let is_about_pair = ABOUT_THE_PAIR.contains(&record.id.as_str());
        let node = Some(&record.node).filter(|_| !is_about_pair);
        Self {
            id: record.id.clone(),
            node: node.cloned().unwrap_or_default(),
            thing: record.thing.clone(),
        }
    }

    pub fn severity(&self) -> Severity {
        Severity::of(&self.id)
    }

    /// True if `node` can know whether the finding is there although it does not hear the other one. That a node is not
    /// heard is known to the other node alone, and its other faults to itself.
    pub fn is_known_to(&self, node: &str) -> bool {
        let is_about_hearing = matches!(self.id.as_str(), "SP-0101" | "SP-0102" | "SP-0103");
        self.node.is_empty() || (self.node == node) != is_about_hearing
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
