//! Types of the facts of the nodes. Every field has a default, so that facts of other versions are understood. All
//! times are RFC 3339, local.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
pub use spared_contract::{Forced, Role};

use crate::addresses::{AddressStatus, BareInterface, DuplicateAddress, ForeignAddress};
use crate::cause::Cause;
use crate::difference::Difference;
use crate::files::UnusedFiles;
use crate::identity::NetworkLoss;
use crate::links::LinkFacts;
use crate::machine::MachineDifference;
use crate::needs::Needs;
use crate::own_packets::OwnTranslation;

/// State of a check without a result yet. It counts as good.
pub const STATE_UNKNOWN: u32 = spared_abi::CHECK_UNKNOWN;
/// State of a check whose object works but ends with the node: a failover loses it.
pub const STATE_LOSES: u32 = spared_abi::CHECK_LOSES;

/// A node's facts about itself, which it sends to the other node.
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
    /// Maintenance of the node, if it is in maintenance.
    pub maintenance: Option<Maintenance>,
    /// End of a freeze: until then quality and preference change no role.
    pub frozen_until: Option<String>,
    /// Reason why the fence is missing although it should be in place.
    pub fence_gone: Option<String>,
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

/// Elector that does not answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SilentElector {
    /// Name of its plugin.
    pub plugin: String,
    /// Time of the last answer.
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

/// Facts about a group, whose addresses move together, on one node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GroupFacts {
    /// Name of the group, as configured.
    pub name: String,
    /// Role on this node.
    pub role: Role,
    /// Time since which the node has this role.
    #[serde(skip_serializing_if = "is_default")]
    pub since: String,
    /// Reason for the role.
    #[serde(skip_serializing_if = "is_default")]
    pub cause: Cause,
    /// True if the plugin that elects for the group is gone, so that it cannot become active.
    #[serde(skip_serializing_if = "is_default")]
    pub is_unelected: bool,
    /// Role that an administrator forced on this node.
    #[serde(skip_serializing_if = "is_default")]
    pub forced: Forced,
    /// Time since which the role is forced.
    #[serde(skip_serializing_if = "is_default")]
    pub forced_since: String,
    /// The node's quality for this group.
    pub quality: u8,
    /// State of the fence.
    pub fence: Fence,
    /// Addresses that should be here and are not.
    #[serde(skip_serializing_if = "is_default")]
    pub missing: Vec<AddressStatus>,
    /// Copies of its addresses here that spared did not set.
    #[serde(skip_serializing_if = "is_default")]
    pub foreign: Vec<ForeignAddress>,
    /// Routes that should be here and are not.
    #[serde(skip_serializing_if = "is_default")]
    pub missing_routes: Vec<MissingRoute>,
    /// True if no interface of the group is up with an address of the node's own.
    #[serde(skip_serializing_if = "is_default")]
    pub is_cut_off: bool,
    /// Interfaces of the group that have no address of the node's own.
    #[serde(skip_serializing_if = "is_default")]
    pub bare: Vec<BareInterface>,
    /// Addresses for which another machine answers.
    #[serde(skip_serializing_if = "is_default")]
    pub duplicates: Vec<DuplicateAddress>,
    /// Reason, as far as this node knows, why the backup could not become active within the failover time. It is a
    /// clause in which "it" is the backup.
    #[serde(skip_serializing_if = "is_default")]
    pub failover_waits: String,
    /// Links on which the other node's heartbeats do not arrive, though the nodes have a session.
    #[serde(skip_serializing_if = "is_default")]
    pub deaf_links: BTreeSet<String>,
    /// Another router that is heard as active.
    #[serde(skip_serializing_if = "is_default")]
    pub other_active: Option<OtherActive>,
    /// Rival that is active for the group at the same time as this node.
    #[serde(skip_serializing_if = "is_default")]
    pub conflict: Option<String>,
    /// Interfaces on which one node does not hear the other although both live, each with the kind of the failure: see
    /// spared-vrrp(5).
    #[serde(skip_serializing_if = "is_default")]
    pub unheard: BTreeMap<String, String>,
    /// Interfaces on which adverts of the other node are heard although no path brings its heartbeats, with that node
    /// and its priority.
    #[serde(skip_serializing_if = "is_default")]
    pub adverts_alone: BTreeMap<String, String>,
    /// Losses on networks where a node's heartbeats arrive: its adverts or virtual MAC addresses do not arrive, or did
    /// not when it was last active.
    #[serde(skip_serializing_if = "is_default")]
    pub lost: Vec<NetworkLoss>,
    /// Networks of the group, "lan, wan", if this node is active and nothing proves that it is reached on any of them;
    /// empty otherwise.
    #[serde(skip_serializing_if = "is_default")]
    pub unproven: String,
    /// Virtual routers for which a router outside the pair advertises, with that router.
    #[serde(skip_serializing_if = "is_default")]
    pub strangers: Vec<RouterFault>,
    /// Virtual routers for which a router signs its adverts, with that router.
    #[serde(skip_serializing_if = "is_default")]
    pub signers: Vec<RouterFault>,
    /// Virtual routers whose adverts cannot leave, with the reason.
    #[serde(skip_serializing_if = "is_default")]
    pub muted: Vec<RouterFault>,
    /// Virtual routers whose adverts to some unicast peers are refused by the node's kernel, with those peers.
    #[serde(skip_serializing_if = "is_default")]
    pub refused: Vec<RouterFault>,
}

/// A fault of a virtual router.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RouterFault {
    /// Virtual router, as the elector names it.
    pub router: String,
    /// Interface of the virtual router; empty if the elector does not name it.
    pub interface: String,
    /// Sentence about the fault.
    pub why: String,
}

/// A router that is active for a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OtherActive {
    /// Address or name of the router.
    pub name: String,
    /// True if the router is the other node of the pair.
    pub is_peer: bool,
}

/// A route of a group that the kernel does not have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MissingRoute {
    /// Route, as "0.0.0.0/0 via 192.0.2.1".
    pub route: String,
    /// Interface of the route; empty if the file names none.
    pub interface: String,
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
    /// Time since which the check has this state.
    pub since: String,
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
        self.maintenance.is_some() || self.groups.iter().any(is_forced)
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
