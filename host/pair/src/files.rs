//! Files of the configuration that are not in use: facts about them, and what is found of them.

use serde::{Deserialize, Serialize};

use crate::facts::NodeFacts;
use crate::finding::{Finding, Id};
use crate::node::bare;
use crate::time;

/// Files of the configuration that were changed and are not in use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UnusedFiles {
    /// Their paths.
    pub files: Vec<String>,
    /// When that was first seen.
    pub since: String,
    /// The first fault in them that the daemon finds itself; may be empty.
    pub fault: String,
}

/// The finding of a node about its files.
pub(crate) fn finding(node: &NodeFacts) -> Option<Finding> {
    let UnusedFiles {
        files,
        since,
        fault,
    } = node.unused_files.as_ref()?;
    let name = &node.node;
    let (was, is) = match files.as_slice() {
        [_] => ("was", "is"),
        _ => ("were", "are"),
    };
    let (at, files) = (time::clock(since), files.join(", "));
    let changed = format!("{name}: {files} {was} changed at {at} and {is} not in use");
    let (text, todo) = match fault.as_str() {
        "" => (changed, "Run `sparectl check`, then `sparectl reload`."),
        fault => (
            format!("{changed}, with a fault: {}", bare(fault)),
            "Fix that until `sparectl check` finds no fault, then `sparectl reload`.",
        ),
    };
    let finding = Finding::new(Id::FileUnused, name, "files", text).since(since);
    Some(finding.todo_there(todo))
}
