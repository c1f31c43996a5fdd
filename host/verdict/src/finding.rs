//! Defines findings, and the only list of their ids.

use serde::{Deserialize, Serialize};

use crate::time;

macro_rules! ids {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal,)+) => {
        /// Id of a finding. Its code never changes and is never reused; docs/messages.md has a
        /// section for each. The worst have the lowest codes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Id {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Id {
            /// Every id there is.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// Returns the code, "SP-0101".
            pub fn code(self) -> &'static str {
                match self {
                    $(Self::$name => $code,)+
                }
            }
        }
    };
}

ids! {
    /// The other node is not heard.
    PeerSilent = "SP-0101",
    /// Nothing proves that the other node lives, or that it does not.
    PeerUnknown = "SP-0102",
    /// The other node is connected, but has not reported its state.
    PeerMute = "SP-0103",
    /// A group is active nowhere.
    NobodyActive = "SP-0104",
    /// Two routers are active for a group.
    BothActive = "SP-0105",
    /// A router outside the pair is active for a group.
    StrangerActive = "SP-0106",
    /// A node cannot become active for a group.
    CannotTakeOver = "SP-0107",
    /// Both nodes are forced into the same role.
    BothForced = "SP-0108",
    /// Another machine answers for a virtual address.
    DuplicateAddress = "SP-0109",
    /// The fence is missing.
    FenceGone = "SP-0201",
    /// A group is active, but its fence blocks it.
    FenceBlocking = "SP-0202",
    /// An address of an active group is missing.
    AddressMissing = "SP-0203",
    /// An interface of a group has no address of the node's own.
    NoOwnAddress = "SP-0204",
    /// The other node lives, but is not heard on one of the group's networks.
    Unheard = "SP-0205",
    /// The adverts of a virtual router cannot leave.
    Muted = "SP-0206",
    /// A route of an active group is missing.
    RouteMissing = "SP-0207",
    /// A virtual address is on a device where spared did not set it.
    AddressForeign = "SP-0208",
    /// A network drops frames from the active node's virtual MAC address.
    VirtualMacDropped = "SP-0209",
    /// A network carries a node's heartbeats but not its adverts.
    AdvertsLost = "SP-0210",
    /// A network dropped frames from the virtual MAC address of the backup when that was last active.
    VirtualMacDroppedBefore = "SP-0211",
    /// Stations answer the active node's own MAC address, but not its virtual one.
    VirtualMacUnanswered = "SP-0212",
    /// Nothing proves that the active node is reached on any network of a group.
    NetworksUnproven = "SP-0213",
    /// A router signs its adverts, but this node does not.
    AdvertsSigned = "SP-0216",
    /// A router names other addresses in its adverts than this node.
    AddressesDiffer = "SP-0217",
    /// An enabled plugin does not run.
    PluginDown = "SP-0301",
    /// A plugin and its peer share no protocol version.
    WireRefused = "SP-0302",
    /// A plugin does not hear its peer.
    PeerPluginUnheard = "SP-0303",
    /// A plugin is not in sync with its peer.
    NotInSync = "SP-0304",
    /// A plugin follows a group that does not exist.
    UnknownGroup = "SP-0305",
    /// A plugin failed to follow the role of a group.
    RoleFailed = "SP-0306",
    /// The elector does not answer, so that faults which only it knows are not reported.
    ElectorSilent = "SP-0307",
    /// A plugin does not answer, so that its earlier reports may be outdated.
    PluginSilent = "SP-0308",
    /// The starter does not answer: a process that ends is not started again.
    StarterSilent = "SP-0309",
    /// A plugin refused its newest file, and uses the previous one.
    FileRefused = "SP-0310",
    /// A plugin replicates nothing, as no link is configured.
    Unlinked = "SP-0311",
    /// Callbacks of a plugin fail.
    CallbackFails = "SP-0312",
    /// An object that a plugin watches has a fault.
    CheckFails = "SP-0401",
    /// An object that a plugin watches has no result yet.
    CheckUnknown = "SP-0402",
    /// An interface is not up.
    InterfaceDown = "SP-0403",
    /// Something works on a node and ends with it: a failover loses it.
    WouldBeLost = "SP-0404",
    /// A link to the other node is down.
    LinkDown = "SP-0501",
    /// A firewall drops the link.
    LinkFiltered = "SP-0502",
    /// The link's passphrase is easily guessed.
    WeakPassphrase = "SP-0503",
    /// The firewall process (`spared firewall`) does not run.
    FirewallDown = "SP-0504",
    /// The node's key is missing, or is not the one in `[nodes]`.
    NoKey = "SP-0505",
    /// Heartbeats do not arrive on a link that is up.
    HeartbeatsUnheard = "SP-0506",
    /// Long packets do not pass on a link.
    LinkNarrow = "SP-0507",
    /// Groups, VRIDs or addresses differ.
    NoPair = "SP-0601",
    /// Another key that must be equal differs.
    KeyDiffers = "SP-0602",
    /// A key of spared.toml waits for a restart.
    NotInForce = "SP-0603",
    /// A file was changed and is not in use.
    FileUnused = "SP-0604",
    /// A node is in maintenance.
    Maintenance = "SP-0701",
    /// Roles are frozen.
    Frozen = "SP-0702",
    /// A role is forced.
    Forced = "SP-0703",
    /// A node is paired but not armed.
    Unarmed = "SP-0704",
    /// A reload waits for its confirmation.
    Unconfirmed = "SP-0705",
    /// The host cannot write its state.
    Unwritten = "SP-0801",
    /// The kernel does not forward packets for a group's addresses.
    NotForwarding = "SP-0802",
    /// Rules of nftables are not the same on both nodes.
    RulesDiffer = "SP-0803",
    /// A kernel setting is not the same on both nodes.
    SettingDiffers = "SP-0804",
    /// A node has no default route, and the other node has one.
    NoDefaultRoute = "SP-0805",
    /// A node's key would be refused at its next start.
    NextKeyRefused = "SP-0806",
    /// Rules of policy routing are not the same on both nodes.
    RoutingDiffers = "SP-0886",
    /// The daemon cannot open files.
    NoDescriptor = "SP-0887",
    /// Kernel settings that must be written when the role changes cannot be written.
    ReadOnly = "SP-0888",
    /// The kernel answers no ARP request for virtual addresses on an interface.
    Unanswered = "SP-0889",
    /// Something works, but would fail after a restart of the daemon.
    LostByRestart = "SP-0890",
    /// A route refuses packets that a group's default route should forward.
    WayRefused = "SP-0891",
    /// The elector has lost its real-time priority.
    RealTimeLost = "SP-0892",
    /// Both nodes have the same own address or MAC address.
    SharedIdentity = "SP-0893",
    /// The daemon or a plugin runs in another build than is installed.
    Outdated = "SP-0894",
}

/// Findings whose sentence is followed by "since" and the begin.
const GOES_ON: [Id; 9] = [
    Id::CannotTakeOver,
    Id::PeerPluginUnheard,
    Id::NotInSync,
    Id::ElectorSilent,
    Id::CheckFails,
    Id::CheckUnknown,
    Id::InterfaceDown,
    Id::LinkDown,
    Id::Maintenance,
];
/// Findings whose sentence contains the begin.
const SAYS_TIME: [Id; 2] = [Id::PeerSilent, Id::FileUnused];

/// A fault, or a state that is not as configured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Finding {
    /// Code of the [`Id`], "SP-0401".
    pub id: String,
    /// Node with the fault.
    pub node: String,
    /// Object with the fault: a check, an interface, a plugin, a group, a key.
    pub thing: String,
    /// Sentence about the fault, without a full stop.
    pub text: String,
    /// Begin of the fault. A finding that is shown has one: see [`FindingTimes`](crate::FindingTimes).
    pub since: Option<String>,
    /// Remedy, in sentences; may be empty.
    pub todo: String,
    /// True if the remedy has commands for the node with the fault that do not name that node. The other node then adds
    /// where to run them.
    #[serde(skip)]
    pub is_local: bool,
}

impl Finding {
    pub(crate) fn new(
        id: Id,
        node: &str,
        thing: impl Into<String>,
        text: impl Into<String>,
    ) -> Self {
        Self {
            id: id.code().to_owned(),
            node: node.to_owned(),
            thing: thing.into(),
            text: text.into(),
            since: None,
            todo: String::new(),
            is_local: false,
        }
    }

    pub(crate) fn since(self, since: &str) -> Self {
        Self {
            since: Some(since.to_owned()).filter(|since| !since.is_empty()),
            ..self
        }
    }

    pub(crate) fn todo(self, todo: impl Into<String>) -> Self {
        Self {
            todo: todo.into(),
            ..self
        }
    }

    /// Sets a remedy with commands for the node with the fault that do not name that node.
    pub(crate) fn todo_there(self, todo: impl Into<String>) -> Self {
        Self {
            is_local: true,
            ..self.todo(todo)
        }
    }

    /// Returns true if the finding has this id.
    pub fn is(&self, id: Id) -> bool {
        self.id == id.code()
    }

    /// Returns the readable form at the time `now`, with the id at the end.
    pub fn line(&self, now: &str) -> String {
        let Self {
            id,
            text,
            since,
            todo,
            ..
        } = self;
        let is_any = |ids: &[Id]| ids.iter().any(|id| self.is(*id));
        let (mut goes_on, mut lasts) = (String::new(), String::new());
        match since {
            Some(since) if is_any(&GOES_ON) => {
                goes_on = format!(" since {}", time::since(since, now));
            }
            Some(since) if !is_any(&SAYS_TIME) => {
                let passed = time::between(since, now);
                lasts = passed.map_or(String::new(), |passed| format!(", for {passed}"));
            }
            _ => {}
        }
        let todo = match todo.as_str() {
            "" => String::new(),
            todo => format!(" {todo}"),
        };
        format!("{text}{goes_on}.{todo} ({id}){lasts}")
    }
}
