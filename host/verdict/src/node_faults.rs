//! Parts of a node's facts about itself, by whose fault or order they are. They are flat in the JSON of
//! [`NodeFacts`](crate::NodeFacts).

use serde::{Deserialize, Serialize};

use crate::facts::{Maintenance, is_default};
use crate::files::UnusedFiles;
use crate::needs::Needs;
use crate::own_packets::OwnTranslation;

/// Orders of administrators about a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OrderFacts {
    /// Maintenance of the node, if it is in maintenance.
    pub maintenance: Option<Maintenance>,
    /// End of a freeze: until then quality and preference change no role.
    pub frozen_until: Option<String>,
    /// True if the node is paired but not armed: it is never active.
    #[serde(skip_serializing_if = "is_default")]
    pub unarmed: bool,
    /// Time at which the configuration from before the last reload comes back, unless `sparectl confirm` comes first.
    #[serde(skip_serializing_if = "is_default")]
    pub unconfirmed_until: Option<String>,
}

/// Faults of the daemon's processes, and what the firewall process found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProcessFaults {
    /// Elector that does not answer, so that faults which only it knows are not reported.
    #[serde(skip_serializing_if = "is_default")]
    pub elector_silent: Option<SilentElector>,
    /// True if the starter, which starts the other processes, does not answer.
    #[serde(skip_serializing_if = "is_default")]
    pub starter_silent: bool,
    /// Firewall rule that drops the link, and the remedy.
    pub link_filtered: Option<String>,
    /// Reason why the firewall process does not run, which keeps the link's rule and detects what drops the link.
    pub firewall_down: Option<String>,
    /// Names of what runs in another build than is installed: "spared" for the daemon, and plugins.
    #[serde(skip_serializing_if = "is_default")]
    pub outdated: Vec<String>,
}

/// Elector that does not answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SilentElector {
    /// Name of its plugin.
    pub plugin: String,
    /// Time of the last answer.
    pub since: String,
}

/// Faults of the configuration and its keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConfigFaults {
    /// Faults of the keys, one sentence each. With any of them this node cannot prove its identity, and has no link and
    /// no heartbeats.
    #[serde(skip_serializing_if = "is_default")]
    pub key_faults: Vec<String>,
    /// Faults of the keys on the disk, which the next start will read.
    #[serde(skip_serializing_if = "is_default")]
    pub next_key_faults: Vec<String>,
    /// Keys of spared.toml whose values are in force after a restart only.
    #[serde(skip_serializing_if = "is_default")]
    pub not_in_force: Vec<String>,
    /// Configuration files that were changed and are not in use.
    #[serde(skip_serializing_if = "is_default")]
    pub unused_files: Option<UnusedFiles>,
}

/// Faults of the machine, and of what the daemon has stored on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MachineFaults {
    /// Kernel settings of forwarding that are 0 although the groups' addresses need them.
    #[serde(skip_serializing_if = "is_default")]
    pub not_forwarding: Vec<String>,
    /// Rules that translate this node's own packets to a virtual address, so that answers do not reach it while it is
    /// not active.
    #[serde(skip_serializing_if = "is_default")]
    pub own_translations: Vec<OwnTranslation>,
    /// Needs of the daemon that this machine does not meet, now or at the next start.
    #[serde(skip_serializing_if = "is_default")]
    pub needs: Needs,
    /// True if the link's key comes from a passphrase that is easily guessed.
    pub weak_passphrase: bool,
    /// File or folder that the host cannot write, and the reason. A restart loses what should be in it.
    pub unwritten: Option<String>,
}
