//! Makes the finding about configuration files that are not in use.

use serde::{Deserialize, Serialize};

use crate::facts::NodeFacts;
use crate::finding::{Finding, Id};
use crate::node::bare;
use crate::time;

/// Configuration files that were changed and are not in use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UnusedFiles {
    /// Paths of the files.
    pub files: Vec<String>,
    /// Time at which the change was first seen.
    pub since: String,
    /// First fault that the daemon itself finds in the files; may be empty.
    pub fault: String,
}

/// Returns the finding of a node about its files.
pub(crate) fn finding(node: &NodeFacts) -> Option<Finding> {
    let UnusedFiles {
        files,
        since,
        fault,
    } = node.config.unused_files.as_ref()?;
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
