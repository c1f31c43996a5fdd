//! Facts of the nodes. Every field has a default, so that facts of other versions are understood;
//! all times are RFC 3339, local.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
pub use spared_contract::{Forced, Role};

use crate::addresses::{AddressStatus, BareInterface, DuplicateAddress, ForeignAddress};
use crate::cause::Cause;
use crate::difference::Difference;
use crate::files::UnusedFiles;
use crate::identity::LostIdentity;
use crate::links::LinkFacts;
use crate::machine::MachineDifference;
use crate::needs::Needs;
use crate::own_packets::OwnTranslation;

/// State of a check without a result yet. It counts as good.
pub const STATE_UNKNOWN: u32 = spared_abi::CHECK_UNKNOWN;
/// State of a check whose object works and ends with the node: a failover loses it.
pub const STATE_LOSES: u32 = spared_abi::CHECK_LOSES;

/// A node's facts about itself, which it sends to the other node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeFacts {
    /// Its name.
    pub node: String,
    /// Weighted mean of the checks, 0 to 100.
    pub quality: u8,
    /// What it lacks for a failover to it without loss, one sentence each; empty: ready.
    pub missing: Vec<String>,
    /// The checks that lower its quality, one sentence each, worst first.
    pub failing: Vec<String>,
    /// Groups in the order of their names.
    pub groups: Vec<GroupFacts>,
    /// Enabled plugins.
    pub plugins: Vec<PluginFacts>,
    /// Checks that are not good, worst first.
    pub checks: Vec<CheckStatus>,
    /// Followed interfaces that are not up.
    pub interfaces: Vec<InterfaceFacts>,
    /// The paths to the other node, up or down.
    pub links: Vec<LinkFacts>,
    /// The node is in maintenance.
    pub maintenance: Option<Maintenance>,
    /// End of the time without role changes because of quality or preference.
    pub frozen_until: Option<String>,
    /// Reason why the fence is missing although it should be in place.
    pub fence_gone: Option<String>,
    /// An elector that does not answer, so that the faults that it alone knows are not known.
    #[serde(skip_serializing_if = "is_default")]
    pub elector_silent: Option<SilentElector>,
    /// The process that starts the others does not answer.
    #[serde(skip_serializing_if = "is_default")]
    pub starter_silent: bool,
    /// The rule that drops the link, and the remedy.
    pub link_filtered: Option<String>,
    /// Why nobody keeps the link's rule in the firewall, or looks what drops the link.
    pub firewall_down: Option<String>,
    /// Why this node cannot prove who it is, one sentence each: no link, and no heartbeats.
    #[serde(skip_serializing_if = "is_default")]
    pub key_faults: Vec<String>,
    /// The same of the keys as they are on the disk, which the next start finds.
    #[serde(skip_serializing_if = "is_default")]
    pub next_key_faults: Vec<String>,
    /// Keys of spared.toml whose values are in force after a restart only.
    #[serde(skip_serializing_if = "is_default")]
    pub not_in_force: Vec<String>,
    /// Files of the configuration that were changed and are not in use.
    #[serde(skip_serializing_if = "is_default")]
    pub unused_files: Option<UnusedFiles>,
    /// Kernel settings of forwarding that are 0 although the groups' addresses need them.
    #[serde(skip_serializing_if = "is_default")]
    pub not_forwarding: Vec<String>,
    /// Rules by which what this node itself sends gets no answer, as it is not active for the address.
    #[serde(skip_serializing_if = "is_default")]
    pub own_translations: Vec<OwnTranslation>,
    /// What the machine withholds from the daemon, now or at the next start.
    #[serde(skip_serializing_if = "is_default")]
    pub needs: Needs,
    /// The link's key comes from a passphrase that is easily guessed.
    pub weak_passphrase: bool,
    /// The file that the host cannot write, or its folder, and the reason: a restart forgets what should be in it.
    pub unwritten: Option<String>,
    /// Findings about this node whose begin no other fact tells.
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
    /// The time.
    pub since: String,
}

/// An elector that does not answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SilentElector {
    /// Its name.
    pub plugin: String,
    /// Time of its last answer.
    pub since: String,
}

/// A node's facts about the other node, and about both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PairFacts {
    /// The other node's name.
    pub peer: String,
    /// A `[[link]]` is configured.
    pub has_link: bool,
    /// A session over a link is up.
    pub link_up: bool,
    /// Whether the other node lives, by any path.
    pub life: PeerLife,
    /// When it was last heard.
    pub last_heard: Option<String>,
    /// Interfaces on which it was heard.
    pub heard_on: Vec<String>,
    /// Whether its machine answers a ping, while the node is silent.
    pub answers_ping: Option<bool>,
    /// Its own facts; None until it has sent them, and when it sends none any more.
    pub facts: Option<NodeFacts>,
    /// Seconds since it sent the last ones, if it sends none any more.
    pub facts_silent_s: Option<u64>,
    /// Keys that differ but must be equal.
    pub differences: Vec<Difference>,
    /// What is not the same on both machines although it must be, for long enough.
    pub machine_differences: Vec<MachineDifference>,
}

/// Whether the other node lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PeerLife {
    /// It cannot be known: there is neither a link nor a key that could prove it.
    #[default]
    Unknown,
    /// It would be heard if it lived, but is not.
    Silent,
    /// It is heard.
    Alive,
}

/// Whether a group's addresses may answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fence {
    /// Off by configuration.
    #[default]
    Off,
    /// The fence lease is valid.
    Passing,
    /// There is no fence lease.
    Blocking,
    /// The fence should be in place, but is not.
    Missing,
}

/// Addresses that move together, on one node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GroupFacts {
    /// As configured.
    pub name: String,
    /// Role on this node.
    pub role: Role,
    /// Since when.
    #[serde(skip_serializing_if = "is_default")]
    pub since: String,
    /// Reason for that role.
    #[serde(skip_serializing_if = "is_default")]
    pub cause: Cause,
    /// The plugin that elects for it is gone: it cannot become active.
    #[serde(skip_serializing_if = "is_default")]
    pub is_unelected: bool,
    /// Role that an administrator forced here.
    #[serde(skip_serializing_if = "is_default")]
    pub forced: Forced,
    /// Since when.
    #[serde(skip_serializing_if = "is_default")]
    pub forced_since: String,
    /// The node's quality for this group.
    pub quality: u8,
    /// Fence of its addresses.
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
    /// No interface of the group is up with an address of the node's own.
    #[serde(skip_serializing_if = "is_default")]
    pub is_cut_off: bool,
    /// Interfaces without an address of the node's own.
    #[serde(skip_serializing_if = "is_default")]
    pub bare: Vec<BareInterface>,
    /// Addresses for which another machine answers.
    #[serde(skip_serializing_if = "is_default")]
    pub duplicates: Vec<DuplicateAddress>,
    /// What keeps the node that stands by from becoming active within the failover time, as far as this node knows: a
    /// clause about that node, "it".
    #[serde(skip_serializing_if = "is_default")]
    pub failover_waits: String,
    /// Links on which the other node's heartbeats do not arrive, though the nodes have a session.
    #[serde(skip_serializing_if = "is_default")]
    pub deaf_links: BTreeSet<String>,
    /// Another router that is heard active.
    #[serde(skip_serializing_if = "is_default")]
    pub other_active: Option<OtherActive>,
    /// A rival that claims the group beside this node.
    #[serde(skip_serializing_if = "is_default")]
    pub conflict: Option<String>,
    /// Interfaces on which one node does not hear the other although both live, and how: see spared-vrrp(5).
    #[serde(skip_serializing_if = "is_default")]
    pub unheard: BTreeMap<String, String>,
    /// Interfaces on which adverts of the other node are heard while none of its heartbeats is, on any path: the node
    /// and its priority.
    #[serde(skip_serializing_if = "is_default")]
    pub adverts_alone: BTreeMap<String, String>,
    /// Interfaces on which the heartbeats of a node arrive, and its adverts or its virtual MAC addresses do not, or did
    /// not when it was active last.
    #[serde(skip_serializing_if = "is_default")]
    pub lost: Vec<LostIdentity>,
    /// All its networks, while this node is active and nothing proves that it is reached on any: "lan, wan".
    #[serde(skip_serializing_if = "is_default")]
    pub unproven: String,
    /// Virtual routers for which a router outside the pair advertises, and that router.
    #[serde(skip_serializing_if = "is_default")]
    pub strangers: Vec<RouterFault>,
    /// Virtual routers for which a router signs its adverts, and that router.
    #[serde(skip_serializing_if = "is_default")]
    pub signers: Vec<RouterFault>,
    /// Virtual routers whose adverts cannot leave, and the reason.
    #[serde(skip_serializing_if = "is_default")]
    pub muted: Vec<RouterFault>,
    /// Virtual routers whose adverts to some unicast peers are refused by the node's kernel, and those peers.
    #[serde(skip_serializing_if = "is_default")]
    pub refused: Vec<RouterFault>,
}

/// A fault of a virtual router.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RouterFault {
    /// The virtual router, as the elector names it.
    pub router: String,
    /// Its interface; empty if the elector does not name it.
    pub interface: String,
    /// The fault.
    pub why: String,
}

/// A router that is active for a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OtherActive {
    /// Its address or name.
    pub name: String,
    /// It is the other node of the pair.
    pub is_peer: bool,
}

/// A route of a group that the kernel does not have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MissingRoute {
    /// "0.0.0.0/0 via 192.0.2.1".
    pub route: String,
    /// Its interface; empty if the file names none.
    pub interface: String,
}

/// A plugin that is enabled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PluginFacts {
    /// Its name; its file is NAME.toml.
    pub name: String,
    /// State of its worker.
    pub state: PluginState,
    /// Its worker runs and does not answer: what it reported before is not known to be so.
    #[serde(skip_serializing_if = "is_default")]
    pub is_silent: bool,
    /// Reason why it does not run.
    pub why: String,
    /// No traffic depends on it: a node without it is as ready as one with it.
    #[serde(skip_serializing_if = "is_default")]
    pub is_aside: bool,
    /// It has a channel to its peer.
    pub has_channel: bool,
    /// It has a channel to replicate over, and no link is configured.
    #[serde(skip_serializing_if = "is_default")]
    pub is_unlinked: bool,
    /// The channel is up.
    pub has_peer: bool,
    /// Reason why the peers share no protocol version.
    pub refused: Option<String>,
    /// It is in sync with its peer.
    pub in_sync: bool,
    /// Reason why it is not in sync.
    pub lack: String,
    /// Fault of its file, which it refused at the last reload: it runs with the file before.
    #[serde(skip_serializing_if = "is_default")]
    pub refused_file: String,
    /// Groups whose role it did not take, and the reasons.
    pub failed_roles: BTreeMap<String, String>,
    /// Callbacks of it that fail, and the reasons.
    #[serde(skip_serializing_if = "is_default")]
    pub failing: BTreeMap<String, String>,
    /// Configured groups to follow that do not exist.
    pub unknown_groups: Vec<String>,
}

impl PluginFacts {
    /// It runs.
    pub fn runs(&self) -> bool {
        self.state == PluginState::Running
    }

    /// True if it has a peer and is not yet in sync.
    pub fn is_behind(&self) -> bool {
        self.runs() && self.has_channel && self.has_peer && !self.in_sync
    }
}

/// State of a plugin's worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PluginState {
    /// Its worker serves.
    #[default]
    Running,
    /// Starting.
    Starting,
    /// Stopping.
    Stopping,
    /// It died, and is restarted after a pause.
    Restarting,
    /// It died too often, and is tried again every 30 s.
    Failed,
    /// It runs again after that, but not for long yet.
    Recovering,
    /// Its file is not a plugin, or its configuration is wrong.
    Refused,
}

impl PluginState {
    /// As people read it.
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

/// A check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CheckStatus {
    /// Plugin that reports it.
    pub plugin: String,
    /// Unique in the plugin.
    pub name: String,
    /// 0-9999.
    pub weight: u32,
    /// 0 (failed) to 100 (good); [`STATE_UNKNOWN`]; [`STATE_LOSES`].
    pub state: u32,
    /// "3.1 ms", "no carrier".
    pub why: String,
    /// Time since which it has this state.
    pub since: String,
}

/// An interface that is not up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceFacts {
    /// Its name.
    pub name: String,
    /// Its fault.
    pub lack: InterfaceLack,
    /// Since when.
    pub since: String,
}

/// Why an interface is not up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InterfaceLack {
    /// It is up but has no carrier.
    Carrier,
    /// It is a port of a bridge or a bond, which has its frames.
    Freedom,
    /// Set down.
    Up,
    /// It does not exist.
    Existence,
}

impl InterfaceLack {
    /// The state of such an interface, as people read it.
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
    /// Since when.
    pub since: String,
    /// End; None: until it is switched off.
    pub until: Option<String>,
    /// The administrator who started it.
    pub by: String,
}

impl NodeFacts {
    /// The facts for the other node, sent at each change; groups without what it cannot use.
    pub fn brief(&self) -> Self {
        let mut brief = self.clone();
        for group in brief.groups.iter_mut().filter(|it| it.role != Role::Fault) {
            group.cause = Cause::default();
            group.since.clear();
        }
        brief
    }

    /// An administrator keeps a role or the whole node as it is.
    pub fn is_ordered(&self) -> bool {
        let is_forced = |it: &GroupFacts| it.forced != Forced::No;
        self.maintenance.is_some() || self.groups.iter().any(is_forced)
    }

    /// The group of that name.
    pub fn group(&self, name: &str) -> Option<&GroupFacts> {
        self.groups.iter().find(|group| group.name == name)
    }

    /// The plugin of that name.
    pub fn plugin(&self, name: &str) -> Option<&PluginFacts> {
        self.plugins.iter().find(|plugin| plugin.name == name)
    }
}

// A pair may have 255 groups, and all of them must fit into one word.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
