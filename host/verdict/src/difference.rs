//! Defines differences between the configurations of both nodes.

use serde::{Deserialize, Serialize};

/// Configuration key that must be equal on both nodes and is not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Difference {
    /// Plugin whose file has the key; None for the host's file.
    pub plugin: Option<String>,
    /// Kind of the difference.
    pub kind: DifferenceKind,
    /// Name of the file, "vrrp.toml".
    pub file: String,
    /// Path of the key, `group "office" interface "lan2": addresses`.
    pub key: String,
    /// Value on this node as in the file; None if it is absent.
    pub here: Option<String>,
    /// Value on the other node.
    pub there: Option<String>,
}

/// Kind of a difference between the files of both nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DifferenceKind {
    /// A key without which the nodes are no pair: a group, its VRIDs or its addresses.
    Group,
    /// A whole file that only one node has.
    File,
    /// Any other key.
    #[default]
    Key,
}

impl Difference {
    /// Returns `vrrp.toml: group "office": vrid: here 50, r2 51`. `peer` is the other node's name.
    pub fn sentence(&self, peer: &str) -> String {
        self.sentence_for_both("here", peer)
    }

    /// Returns the sentence with the names of both nodes, for a text that is read on either node.
    pub fn sentence_for_both(&self, own: &str, peer: &str) -> String {
        let Self {
            file,
            key,
            here,
            there,
            ..
        } = self;
        let say = |value: &Option<String>| value.clone().unwrap_or_else(|| "absent".to_owned());
        format!("{file}: {key}: {own} {}, {peer} {}", say(here), say(there))
    }
}
