//! Types of the facts of the nodes. Every field has a default, so that facts of other versions are understood. All
//! times are RFC 3339, local.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
pub use spared_contract::{Forced, Role};

use crate::cause::Cause;
use crate::difference::Difference;
pub use crate::group_facts::{
    AddressFaults, GroupFacts, MissingRoute, NetworkFaults, OtherActive, Rivals, RouterFault,
    RouterFaults,
};
use crate::links::LinkFacts;
use crate::machine::MachineDifference;
pub use crate::node_faults::{
    ConfigFaults, MachineFaults, OrderFacts, ProcessFaults, SilentElector,
};

/// State of a check without a result yet. It counts as good.
pub const STATE_UNKNOWN: u32 = spared_abi::CHECK_UNKNOWN;
/// State of a check whose object works but ends with the node: a failover loses it.
pub const STATE_LOSES: u32 = spared_abi::CHECK_LOSES;

/// A node's facts about itself, which it sends to the other node. The parts are flat in JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeFacts {
    /// Name of the node.
    pub node: String,
    /// Weighted mean of the checks, 0 to 100.
    pub quality: u8,
    /// Reasons why a failover to the node would lose something, one sentence each; empty if it is ready.
    pub missing: Vec<String>,
    /// Checks that lower the node's quality, one sentence each, worst first.
    pub failing: Vec<String>,
    /// Groups in the order of their names.
    pub groups: Vec<GroupFacts>,
    /// Enabled plugins.
    pub plugins: Vec<PluginFacts>,
    /// Checks that are not good, worst first.
    pub checks: Vec<CheckStatus>,
    /// Followed interfaces that are not up.
    pub interfaces: Vec<InterfaceFacts>,
    /// Paths to the other node, up or down.
    pub links: Vec<LinkFacts>,
    /// Orders of administrators.
    #[serde(flatten)]
    pub orders: OrderFacts,
    /// Reason why the fence is missing although it should be in place.
    pub fence_gone: Option<String>,
    /// Faults of the daemon's processes.
    #[serde(flatten)]
    pub processes: ProcessFaults,
    /// Faults of the configuration.
    #[serde(flatten)]
    pub config: ConfigFaults,
    /// Faults of the machine.
    #[serde(flatten)]
    pub machine: MachineFaults,
    /// Begin of each finding about this node whose begin no other fact tells.
    #[serde(skip_serializing_if = "is_default")]
    pub first_found: Vec<FirstFound>,
}

/// Time at which a node first had a finding about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FirstFound {
    /// Id of the finding.
    pub id: String,
    /// Object of the finding.
    pub thing: String,
    /// Time at which the node first had it.
    pub since: String,
}

/// A node's facts about the other node, and about both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PairFacts {
    /// Name of the other node.
    pub peer: String,
    /// True if a `[[link]]` is configured.
    pub has_link: bool,
    /// True if a session over a link is up.
    pub link_up: bool,
    /// Life of the other node, as known from all paths.
    pub life: PeerLife,
    /// Time at which the other node was last heard.
    pub last_heard: Option<String>,
    /// Interfaces on which the other node was last heard.
    pub heard_on: Vec<String>,
    /// True if the machine of a silent node answers a ping; None if that is not known.
    pub answers_ping: Option<bool>,
    /// Facts of the other node about itself; None before it has sent any, and after it has stopped sending them.
    pub facts: Option<NodeFacts>,
    /// Groups about which these facts may be older than the last change by which this node became active or ceased to
    /// be.
    pub outdated: BTreeSet<String>,
    /// Time in s since the other node sent its last facts, if it has stopped sending them.
    pub facts_silent_s: Option<u64>,
    /// Configuration keys that differ but must be equal.
    pub differences: Vec<Difference>,
    /// Lasting differences between both machines in what must be equal.
    pub machine_differences: Vec<MachineDifference>,
}

/// Life of the other node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PeerLife {
    /// Life cannot be known: there is neither a link nor a key that could prove it.
    #[default]
    Unknown,
    /// The node is not heard, but would be if it lived.
    Silent,
    /// The node is heard.
    Alive,
}

/// State of a group's fence: its addresses answer only if the fence passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fence {
    /// Off by configuration.
    #[default]
    Off,
    /// The fence lease is valid.
    Passing,
    /// The fence lease is not valid.
    Blocking,
    /// The fence should be in place, but is not.
    Missing,
}

/// Facts about an enabled plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PluginFacts {
    /// Name of the plugin, whose file is NAME.toml.
    pub name: String,
    /// State of the plugin's worker.
    pub state: PluginState,
    /// True if the worker runs but does not answer, so that its earlier reports may be outdated.
    #[serde(skip_serializing_if = "is_default")]
    pub is_silent: bool,
    /// Reason why the worker does not run.
    pub why: String,
    /// True if no traffic depends on the plugin: a node without it is as ready as one with it.
    #[serde(skip_serializing_if = "is_default")]
    pub is_aside: bool,
    /// True if the plugin has a channel to its peer plugin.
    pub has_channel: bool,
    /// True if the plugin needs a channel for its replication, but no link is configured.
    #[serde(skip_serializing_if = "is_default")]
    pub is_unlinked: bool,
    /// True if the channel is up.
    pub has_peer: bool,
    /// Reason why the plugin and its peer plugin share no protocol version.
    pub refused: Option<String>,
    /// True if the plugin is in sync with its peer plugin.
    pub in_sync: bool,
    /// Reason why the plugin is not in sync.
    pub lack: String,
    /// Fault of the plugin's file, which it refused at the last reload. It still uses the previous file.
    #[serde(skip_serializing_if = "is_default")]
    pub refused_file: String,
    /// Groups whose role the plugin failed to follow, with the reasons.
    pub failed_roles: BTreeMap<String, String>,
    /// Callbacks of the plugin that fail, with the reasons.
    #[serde(skip_serializing_if = "is_default")]
    pub failing: BTreeMap<String, String>,
    /// Groups that the plugin is configured to follow but that do not exist.
    pub unknown_groups: Vec<String>,
}

impl PluginFacts {
    /// Returns true if the plugin runs.
    pub fn runs(&self) -> bool {
        self.state == PluginState::Running
    }

    /// Returns true if the plugin has a peer plugin and is not yet in sync.
    pub fn is_behind(&self) -> bool {
        self.runs() && self.has_channel && self.has_peer && !self.in_sync
    }
}

/// State of a plugin's worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PluginState {
    /// The worker serves.
    #[default]
    Running,
    /// The worker starts.
    Starting,
    /// The worker stops.
    Stopping,
    /// The worker died, and is restarted after a pause.
    Restarting,
    /// The worker died too often, and is retried every 30 s.
    Failed,
    /// The worker runs again after too many failures, but not for long yet.
    Recovering,
    /// The file is not a plugin, or the plugin's configuration is invalid.
    Refused,
}

impl PluginState {
    /// Returns the state as people read it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Starting => "starting",
            Self::Stopping => "stopping",
            Self::Restarting => "restarting",
            Self::Failed => "failed",
            Self::Recovering => "recovering",
            Self::Refused => "refused",
        }
    }
}

/// Status of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CheckStatus {
    /// Plugin that reports the check.
    pub plugin: String,
    /// Name, unique in the plugin.
    pub name: String,
    /// Weight, 0-9999.
    pub weight: u32,
    /// State: 0 (failed) to 100 (good), [`STATE_UNKNOWN`] or [`STATE_LOSES`].
    pub state: u32,
    /// Reason for the state: "3.1 ms", "no carrier".
    pub why: String,
    /// Points that the check takes off the quality now, besides its weight.
    #[serde(skip_serializing_if = "is_default")]
    pub points: u32,
    /// Time since which the check has this state.
    pub since: String,
    /// True if another plugin of the node has a check of the same name.
    #[serde(skip_serializing_if = "is_default")]
    pub is_shared: bool,
}

/// An interface that is not up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceFacts {
    /// Name of the interface.
    pub name: String,
    /// Reason why the interface is not up.
    pub lack: InterfaceLack,
    /// Time since which the interface is not up.
    pub since: String,
}

/// Reason why an interface is not up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InterfaceLack {
    /// The interface is up but has no carrier.
    Carrier,
    /// The interface is a port of a bridge or a bond, which gets its frames.
    Freedom,
    /// The interface is set down.
    Up,
    /// The interface does not exist.
    Existence,
}

impl InterfaceLack {
    /// Returns the state of such an interface, as people read it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Carrier => "no carrier",
            Self::Freedom => "a port",
            Self::Up => "down",
            Self::Existence => "absent",
        }
    }
}

/// Maintenance of a node, from `sparectl maintenance on`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Maintenance {
    /// Time since which the node is in maintenance.
    pub since: String,
    /// End of the maintenance; None if it lasts until it is switched off.
    pub until: Option<String>,
    /// Administrator who started it.
    pub by: String,
}

impl NodeFacts {
    /// Returns the facts that are sent to the other node at each change, without the fields of groups that it does not
    /// use.
    pub fn brief(&self) -> Self {
        let mut brief = self.clone();
        for group in brief.groups.iter_mut().filter(|it| it.role != Role::Fault) {
            group.cause = Cause::default();
            group.since.clear();
        }
        brief
    }

    /// Returns true if an administrator forces a role, or the node is in maintenance.
    pub fn is_ordered(&self) -> bool {
        let is_forced = |it: &GroupFacts| it.forced != Forced::No;
        self.orders.maintenance.is_some() || self.groups.iter().any(is_forced)
    }

    /// Returns the group of that name.
    pub fn group(&self, name: &str) -> Option<&GroupFacts> {
        self.groups.iter().find(|group| group.name == name)
    }

    /// Returns the plugin of that name.
    pub fn plugin(&self, name: &str) -> Option<&PluginFacts> {
        self.plugins.iter().find(|plugin| plugin.name == name)
    }
}

// Returns true for a default value, which is not sent: all of up to 255 groups must fit into one message between hosts.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
