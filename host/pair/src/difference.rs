//! Differences between the configurations of both nodes.

use serde::{Deserialize, Serialize};

/// A key that must be equal on both nodes and is not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Difference {
    /// The plugin whose file it is; None: the host's.
    pub plugin: Option<String>,
    /// What differs.
    pub kind: DifferenceKind,
    /// "vrrp.toml".
    pub file: String,
    /// `group "office" interface "lan2": addresses`.
    pub key: String,
    /// Value as in the file; None if it is absent.
    pub here: Option<String>,
    /// Value on the other node.
    pub there: Option<String>,
}

/// What differs between the files of both nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DifferenceKind {
    /// A key that makes the nodes no pair: a group, its VRIDs or its addresses.
    Group,
    /// The whole file, which only one node has.
    File,
    /// Another key.
    #[default]
    Key,
}

impl Difference {
    /// `vrrp.toml: group "office": vrid: here 50, r2 51`; `peer` is the other node's name.
    pub fn sentence(&self, peer: &str) -> String {
        self.sentence_for_both("here", peer)
    }

    /// The same with the names of both nodes, for a text that is read on either.
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
