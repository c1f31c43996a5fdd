//! Types that belong to the configuration of a plugin.

use serde::{Deserialize, Serialize};

use crate::config_table::ConfigTable;
use crate::named::named;
use crate::record::record;

/// Keys at the top of each plugin's file that belong to the host, not to the plugin.
pub const HOST_KEYS: [&str; 6] = [
    "enabled",
    "after",
    "follow",
    "allow",
    "on_failure",
    "memory_mib",
];

record! {
    /// The host's keys of the configuration.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
    pub struct Surroundings {
        /// "@node": this node's name.
        pub node: String = 0,
        /// "@nodes.0": the names of `[nodes]`; may be empty.
        pub nodes: Vec<String> = 1,
        /// "@links.0": the interfaces of the links to the peer.
        pub links: Vec<String> = 2,
        /// "@peer": the peer's name, if keys are configured that identify it.
        pub peer: Option<String> = 3,
        /// "@state": the plugin's own folder, if it has one.
        pub state: Option<String> = 4,
    }
}

record! {
    /// A file of root's, by which a plugin that runs as root is configured.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
    pub struct RootsFile {
        /// Path of the configuration file.
        pub path: String = 0,
        /// Contents of the file as read for a start or a reload: each may be in force.
        pub tables: Vec<ConfigTable> = 1,
        /// The plugin's own folder, in place of that of [`Surroundings`].
        pub state: Option<String> = 2,
        /// This node's name: of tables by node name, root decides which one holds.
        pub node: String = 3,
        /// The names of both nodes.
        pub nodes: Vec<String> = 4,
    }
}

named! {
    /// Comparison of a key between the nodes. A number that is none of these is shown nowhere.
    pub enum Scope {
        /// Must be equal on both nodes.
        Pair = SCOPE_PAIR,
        /// May differ, as a table by node name.
        Node = SCOPE_NODE,
        /// Never compared.
        Local = SCOPE_LOCAL,
        /// Must be equal on both nodes, and is shown nowhere.
        Secret = SCOPE_SECRET,
    }
    unknown is Secret
}

record! {
    /// A key that does not fit, or why a callback failed.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
    pub struct Failure {
        /// Path of the key, as "group.0.interface.1.vrid"; empty for the whole file, and for what concerns no key.
        pub key: String = 0,
        /// Value found and values allowed, as "found 300, allowed 1-255".
        pub why: String = 1,
    }
}

impl Failure {
    /// Creates a failure that concerns no single key.
    pub fn of_whole(why: impl Into<String>) -> Self {
        Self {
            key: String::new(),
            why: why.into(),
        }
    }
}
