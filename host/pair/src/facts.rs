//! What nodes know. Everything has a default, so that another version's facts are understood; all
//! times are RFC 3339, local.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// State of a check whose plugin does not know yet: it weighs nothing.
pub const STATE_UNKNOWN: u32 = u32::MAX;

/// What a node knows of itself, and tells the other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeFacts {
    /// Its name.
    pub node: String,
    /// 0 to 100: the checks, weighed.
    pub quality: u8,
    /// What keeps it from taking over without a loss, a sentence each; empty: ready.
    pub missing: Vec<String>,
    /// The checks that lower its quality, a sentence each, worst first.
    pub failing: Vec<String>,
    /// In the order of their names.
    pub groups: Vec<GroupFacts>,
    /// Those that are enabled.
    pub plugins: Vec<PluginFacts>,
    /// All but the good ones, worst first.
    pub checks: Vec<CheckStatus>,
    /// Those that are followed and not up.
    pub interfaces: Vec<InterfaceFacts>,
    /// The paths to the other node, up or down.
    pub links: Vec<LinkFacts>,
    /// It stands aside.
    pub maintenance: Option<Maintenance>,
    /// Until when roles change neither for quality nor preference.
    pub frozen_until: Option<String>,
    /// Why the fence is not in place although it should be.
    pub fence_gone: Option<String>,
    /// What keeps the link out, and what to do.
    pub link_filtered: Option<String>,
    /// The link's key comes from a passphrase that is easily guessed.
    pub weak_passphrase: bool,
}

/// What a node knows of the other one, and of both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PairFacts {
    /// The other node's name.
    pub peer: String,
    /// A `[[link]]` is configured.
    pub has_link: bool,
    /// A session over a link is there.
    pub link_up: bool,
    /// Whether the other node lives, by any path.
    pub life: PeerLife,
    /// When it was last heard.
    pub last_heard: Option<String>,
    /// Where it was heard.
    pub heard_on: Vec<String>,
    /// While it is silent: whether its machine answers a ping.
    pub answers_ping: Option<bool>,
    /// What it says of itself; None until it has.
    pub facts: Option<NodeFacts>,
    /// Keys that must be equal and are not.
    pub differences: Vec<Difference>,
}

/// Whether the other node lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PeerLife {
    /// Nothing would tell: neither a link nor a key proves it.
    #[default]
    Unknown,
    /// It would be heard, and is not.
    Silent,
    /// It is heard.
    Alive,
}

/// A group's role on a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Ready to take over.
    #[default]
    Backup,
    /// It serves.
    Active,
    /// Backup, and unable to become active.
    Fault,
}

/// What an administrator forced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Forced {
    /// Nothing.
    #[default]
    No,
    /// Active whatever the election says.
    Active,
    /// Never active.
    Backup,
}

impl Forced {
    /// As people write it.
    pub fn word(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Active => "active",
            Self::Backup => "backup",
        }
    }
}

/// Whether a group's addresses may answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fence {
    /// By configuration there is none.
    #[default]
    Off,
    /// The fence lease is valid.
    Passing,
    /// There is no fence lease.
    Blocking,
    /// It should be there and is not.
    Missing,
}

/// Addresses that move together, on one node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GroupFacts {
    /// As configured.
    pub name: String,
    /// Its role here.
    pub role: Role,
    /// Since when.
    #[serde(skip_serializing_if = "is_default")]
    pub since: String,
    /// The elector's sentence.
    #[serde(skip_serializing_if = "is_default")]
    pub why: String,
    /// What an administrator forced here.
    #[serde(skip_serializing_if = "is_default")]
    pub forced: Forced,
    /// The node's quality for this group.
    pub quality: u8,
    /// Its addresses' fence.
    pub fence: Fence,
    /// Addresses that should be here and are not.
    #[serde(skip_serializing_if = "is_default")]
    pub missing: Vec<AddressStatus>,
    /// Interfaces without an address of the node's own.
    #[serde(skip_serializing_if = "is_default")]
    pub bare: Vec<BareInterface>,
    /// Who else is heard active.
    #[serde(skip_serializing_if = "is_default")]
    pub other_active: Option<OtherActive>,
    /// A rival that claims the group beside this node.
    #[serde(skip_serializing_if = "is_default")]
    pub conflict: Option<String>,
    /// Interfaces on which the other node is not heard though it lives, and how each rates.
    #[serde(skip_serializing_if = "is_default")]
    pub unheard: BTreeMap<String, String>,
    /// Virtual routers whose adverts do not leave, and why.
    #[serde(skip_serializing_if = "is_default")]
    pub muted: BTreeMap<String, String>,
}

/// Somebody who is active for a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OtherActive {
    /// Its address or name.
    pub name: String,
    /// It is the other node of the pair.
    pub is_peer: bool,
}

/// An interface of a group that has no address of the node's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default)]
pub struct BareInterface {
    /// Its name.
    pub interface: String,
    /// "IPv4", "IPv6 link-local".
    pub family: String,
}

/// A virtual address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AddressStatus {
    /// "192.0.2.1/24".
    pub address: String,
    /// Where it belongs.
    pub interface: String,
    /// Whether the kernel has it.
    pub present: bool,
    /// Times that somebody deleted it and it was put back.
    pub restored: u64,
}

/// A plugin that is enabled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PluginFacts {
    /// Its name; its file is NAME.toml.
    pub name: String,
    /// Whether it runs.
    pub state: PluginState,
    /// Why it does not run.
    pub why: String,
    /// It speaks with its peer over a channel.
    pub has_channel: bool,
    /// The channel is up.
    pub has_peer: bool,
    /// Why the peers do not speak with each other.
    pub refused: Option<String>,
    /// It holds what its peer holds.
    pub in_sync: bool,
    /// Why it does not.
    pub lack: String,
    /// Groups whose role it did not take, and why.
    pub failed_roles: BTreeMap<String, String>,
    /// Groups that it is to follow and that do not exist.
    pub unknown_groups: Vec<String>,
}

impl PluginFacts {
    /// It runs.
    pub fn runs(&self) -> bool {
        self.state == PluginState::Running
    }

    /// It has a peer and does not hold yet what that holds.
    pub fn is_behind(&self) -> bool {
        self.runs() && self.has_channel && self.has_peer && !self.in_sync
    }
}

/// Where a plugin is on the way to running.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PluginState {
    /// Its worker serves.
    #[default]
    Running,
    /// On its way.
    Starting,
    /// On its way down.
    Stopping,
    /// It died, and is started again after a pause.
    Restarting,
    /// It died too often.
    Failed,
    /// Not a plugin, or wrongly configured.
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
            Self::Refused => "refused",
        }
    }
}

/// A check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CheckStatus {
    /// Whose it is.
    pub plugin: String,
    /// Unique in the plugin.
    pub name: String,
    /// 0-9999.
    pub weight: u32,
    /// 0 (failed) to 100 (good); [`STATE_UNKNOWN`].
    pub state: u32,
    /// "3.1 ms", "no carrier".
    pub why: String,
    /// When it got this state.
    pub since: String,
}

/// An interface that is not up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceFacts {
    /// Its name.
    pub name: String,
    /// What it lacks.
    pub lack: InterfaceLack,
    /// Since when.
    pub since: String,
}

/// Why an interface is not up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InterfaceLack {
    /// Up, without carrier.
    Carrier,
    /// Set down.
    Up,
    /// There is none of that name.
    Existence,
}

/// A path to the other node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LinkFacts {
    /// Its interface.
    pub interface: String,
    /// A session is there.
    pub up: bool,
    /// When it got there.
    pub since: String,
    /// Why it is down.
    pub why: String,
    /// What is missing for it lies on this node.
    pub is_local: bool,
}

/// `sparectl maintenance on`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Maintenance {
    /// Since when.
    pub since: String,
    /// None: until it is switched off.
    pub until: Option<String>,
    /// Who said so.
    pub by: String,
}

/// A key that must be equal on both nodes and is not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Difference {
    /// "vrrp.toml".
    pub file: String,
    /// `group "office" interface "lan2": addresses`.
    pub key: String,
    /// As in the file; None where it is absent.
    pub here: Option<String>,
    /// On the other node.
    pub there: Option<String>,
}

impl Difference {
    /// `vrrp.toml: group "office": vrid: here 50, r2 51`; `peer` is the other node's name.
    pub fn sentence(&self, peer: &str) -> String {
        let Self {
            file,
            key,
            here,
            there,
        } = self;
        let say = |value: &Option<String>| value.clone().unwrap_or_else(|| "absent".to_owned());
        format!("{file}: {key}: here {}, {peer} {}", say(here), say(there))
    }
}

impl NodeFacts {
    /// For the other node, which is told at each change: of groups without what it cannot use.
    pub fn brief(&self) -> Self {
        let mut brief = self.clone();
        for group in brief.groups.iter_mut().filter(|it| it.role != Role::Fault) {
            group.why.clear();
            group.since.clear();
        }
        brief
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

// A pair may have 255 groups, and all of them are told in one word.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
