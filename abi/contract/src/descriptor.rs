//! The plain data of a plugin's descriptor.

use serde::{Deserialize, Serialize};

/// The plain-data half of `struct spared_plugin`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// `[a-z][a-z0-9-]*`.
    pub name: String,
    /// Version of the plugin.
    pub version: String,
    /// Who made it.
    pub vendor: String,
    /// One line.
    pub summary: String,
    /// Minor version of the interface that it was compiled for.
    pub minor: u32,
    /// `PLUGIN_*`.
    pub flags: u32,
    /// Lowest version of its messages to the peer plugin.
    pub wire_min: u32,
    /// Highest version of its messages to the peer plugin.
    pub wire_max: u32,
    /// Bits `1 << CAP_...`.
    pub capabilities: u64,
    /// Groups of system calls that it makes, `CALLS_*`; 0 if it has no list.
    pub calls: u32,
    /// Files and folders beyond those of its configuration; a leading `+` asks to write there.
    pub paths: Vec<String>,
    /// It has the optional callback `drain`: the host does not wait for those that it has not.
    pub has_drain: bool,
    /// It has the optional callback `settle`.
    pub has_settle: bool,
    /// It has the optional callback `role`.
    pub has_role: bool,
    /// The verbs of its query.
    pub verbs: Vec<Verb>,
    /// It answers the extension `spared.group/1`: it decides roles.
    pub provides_groups: bool,
    /// It answers the extension `spared.peer/1`: it has a channel to its peer.
    pub has_peer: bool,
    /// It answers the extension `spared.identity/1`: it has statements signed and verified.
    pub has_identity: bool,
    /// Plugins of this node with which it exchanges messages, by `spared.local/1`, if they name it
    /// as well.
    pub partners: Vec<String>,
}

impl Descriptor {
    /// The verb of a query, by its first word; the empty verb if it has none.
    pub fn verb(&self, argv: &[String]) -> Option<&Verb> {
        let word = argv.first().map_or("", String::as_str);
        self.verbs.iter().find(|verb| verb.word == word)
    }
}

/// A verb of a plugin's query.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Verb {
    /// The word; empty for `sparectl NAME` alone.
    pub word: String,
    /// Arguments that follow the word.
    pub usage: String,
    /// Summary in one line.
    pub summary: String,
    /// It changes something, for root only. Other verbs are open to users who may only read.
    pub changes: bool,
}
