//! Events for the administrator from the parts of the host, before they have a time.

/// The complete list of `SPARED_EVENT=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The host started; what an earlier run left was removed.
    Start,
    Stop,
    /// A reload was applied, or refused.
    Reload,
    /// A group changed its role.
    Role,
    /// The fence passes, blocks, is missing or is back.
    Fence,
    /// Addresses of a group were installed or removed.
    Addresses,
    /// An address that somebody deleted was put back.
    Restored,
    /// An address was deleted again and again: the group becomes backup.
    Contested,
    /// Another router is active for the same group.
    Conflict,
    /// A switchover to or from the peer succeeded or failed.
    Switchover,
    /// An administrator forced a role, or ended a force.
    Force,
    /// Maintenance of this node began or ended.
    Maintenance,
    /// A freeze of roles began or ended.
    Freeze,
    /// This node was armed, or is not armed.
    Arm,
    /// The quality of this node changed.
    Quality,
    /// The peer became ready, or is no longer ready.
    Peer,
    /// A finding began or ended.
    Finding,
    /// A key that must be equal on both nodes differs, or all are equal again.
    Config,
    /// An interface appeared, disappeared, or changed its carrier.
    Interface,
    /// A plugin started, died, was restarted or given up.
    Plugin,
    /// Text that a plugin reported.
    Report,
    /// The link came up or went down, refused somebody, or its process ended.
    Link,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Reload => "reload",
            Self::Role => "role",
            Self::Fence => "fence",
            Self::Addresses => "addresses",
            Self::Restored => "restored",
            Self::Contested => "contested",
            Self::Conflict => "conflict",
            Self::Switchover => "switchover",
            Self::Force => "force",
            Self::Maintenance => "maintenance",
            Self::Freeze => "freeze",
            Self::Arm => "arm",
            Self::Quality => "quality",
            Self::Peer => "peer",
            Self::Finding => "finding",
            Self::Config => "config",
            Self::Interface => "interface",
            Self::Plugin => "plugin",
            Self::Report => "report",
            Self::Link => "link",
        }
    }
}

/// An event before it has a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub kind: Kind,
    pub level: log::Level,
    pub group: Option<String>,
    /// Reason in one word, such as "elector-died".
    pub reason: Option<String>,
    /// Number of the group's change of roles, which is the same on both nodes.
    pub change: Option<u64>,
    pub text: String,
}

impl Notice {
    pub fn new(kind: Kind, text: impl Into<String>) -> Self {
        Self {
            kind,
            level: log::Level::Info,
            group: None,
            reason: None,
            change: None,
            text: text.into(),
        }
    }

    pub fn warn(kind: Kind, text: impl Into<String>) -> Self {
        Self {
            level: log::Level::Warn,
            ..Self::new(kind, text)
        }
    }

    pub fn of_group(self, group: &str) -> Self {
        Self {
            group: Some(group.to_owned()),
            ..self
        }
    }

    pub fn because(self, reason: &str) -> Self {
        Self {
            reason: Some(reason.to_owned()),
            ..self
        }
    }
}
