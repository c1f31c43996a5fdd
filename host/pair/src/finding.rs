//! What is not as it should be, and the only list of its ids.

use serde::{Deserialize, Serialize};

use crate::time;

macro_rules! ids {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal,)+) => {
        /// What a finding is about. Its code never changes and is never used again for something
        /// else; docs/messages.md has a section for each. The worst have the lowest codes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Id {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Id {
            /// Every id there is.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// "SP-0101".
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
    /// Nothing proves whether the other node lives.
    PeerUnknown = "SP-0102",
    /// The other node is connected, and has not said how it is.
    PeerMute = "SP-0103",
    /// A group is active nowhere.
    NobodyActive = "SP-0104",
    /// Two routers are active for a group.
    BothActive = "SP-0105",
    /// A router that is no node of the pair is active for a group.
    StrangerActive = "SP-0106",
    /// A node cannot become active for a group.
    CannotTakeOver = "SP-0107",
    /// Both nodes are forced into the same role.
    BothForced = "SP-0108",
    /// The fence is not in place.
    FenceGone = "SP-0201",
    /// A group is active and its fence blocks it.
    FenceBlocking = "SP-0202",
    /// An address of an active group is not there.
    AddressMissing = "SP-0203",
    /// An interface of a group has no address of the node's own.
    NoOwnAddress = "SP-0204",
    /// The other node lives, and is not heard on one of the group's networks.
    Unheard = "SP-0205",
    /// The adverts of a virtual router do not leave.
    Muted = "SP-0206",
    /// A plugin that is enabled does not run.
    PluginDown = "SP-0301",
    /// The same plugin of both nodes does not speak with the other.
    WireRefused = "SP-0302",
    /// A plugin does not hear its peer.
    PeerPluginUnheard = "SP-0303",
    /// A plugin does not hold all that its peer holds.
    NotInSync = "SP-0304",
    /// A plugin is to follow a group that does not exist.
    UnknownGroup = "SP-0305",
    /// A plugin did not do what belongs to the role of a group.
    RoleFailed = "SP-0306",
    /// Something that a plugin watches is not as it should be.
    CheckFails = "SP-0401",
    /// A plugin does not know yet whether something is as it should be.
    CheckUnknown = "SP-0402",
    /// An interface is not up.
    InterfaceDown = "SP-0403",
    /// A link to the other node is down.
    LinkDown = "SP-0501",
    /// A firewall keeps the link out.
    LinkFiltered = "SP-0502",
    /// The link's passphrase is easily guessed.
    WeakPassphrase = "SP-0503",
    /// Keys by which two nodes are a pair differ.
    NoPair = "SP-0601",
    /// Another key that must be equal differs.
    KeyDiffers = "SP-0602",
    /// A node stands aside.
    Maintenance = "SP-0701",
    /// Roles stand still.
    Frozen = "SP-0702",
    /// A role is forced.
    Forced = "SP-0703",
}

/// One thing that is not as it should be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Finding {
    /// "SP-0401", of [`Id`].
    pub id: String,
    /// Where it is.
    pub node: String,
    /// What it is about: a check, an interface, a plugin, a group, a key.
    pub thing: String,
    /// What is the matter, without a full stop.
    pub text: String,
    /// Since when, where that is known.
    pub since: Option<String>,
    /// What to do, in sentences; may be empty.
    pub todo: String,
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

    /// Whether it has this id.
    pub fn is(&self, id: Id) -> bool {
        self.id == id.code()
    }

    /// As people read it at the time `now`, id last.
    pub fn line(&self, now: &str) -> String {
        let Self {
            id,
            text,
            since,
            todo,
            ..
        } = self;
        let since = since.as_ref().map_or(String::new(), |since| {
            format!(" since {}", time::since(since, now))
        });
        let todo = match todo.as_str() {
            "" => String::new(),
            todo => format!(" {todo}"),
        };
        format!("{text}{since}.{todo} ({id})")
    }
}
