//! Findings of the past, and runs of the daemon: each has a begin and an end.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Time in which a finding was there. One that came and went again and again has one span for all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PastFinding {
    /// Code of the finding, "SP-0401".
    pub id: String,
    /// Node with the fault.
    pub node: String,
    /// Object with the fault.
    pub thing: String,
    /// Sentence about the fault as it began, without a full stop.
    pub text: String,
    /// Begin, in RFC 3339; the first one if there were several.
    pub began: String,
    /// End, in RFC 3339; None while it lasts.
    pub ended: Option<String>,
    /// Number of times that it began within the span: 1 if it did not come and go.
    pub times: u32,
    /// True if the daemon ended before the finding did: `ended` is then the last time at which it was known.
    pub is_end_unknown: bool,
}

impl PastFinding {
    /// Returns id, node and object, which identify a finding.
    pub(super) fn key(&self) -> [String; 3] {
        [&self.id, &self.node, &self.thing].map(String::clone)
    }
}

/// Time in which the daemon of a node ran. What happened between two runs is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PastRun {
    /// Name of the node.
    pub node: String,
    /// Start of the daemon, in RFC 3339.
    pub began: String,
    /// Last time at which it is known to have run, in RFC 3339; None for a run that lasts.
    pub ended: Option<String>,
    /// Kernel's id of the boot; only in the file.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub boot: String,
}

/// Time between two runs of a node's daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap<'r> {
    /// Name of the node.
    pub node: &'r str,
    /// End of the run before.
    pub began: &'r str,
    /// Start of the next run.
    pub ended: &'r str,
}

/// Returns the times between the runs of each node, in the order of the runs.
pub fn gaps(runs: &[PastRun]) -> Vec<Gap<'_>> {
    let mut last: BTreeMap<&str, &PastRun> = BTreeMap::new();
    let between = runs.iter().filter_map(|run| {
        let earlier = last.insert(&run.node, run)?;
        Some(Gap {
            node: &run.node,
            began: earlier.ended.as_deref()?,
            ended: &run.began,
        })
    });
    between.collect()
}
