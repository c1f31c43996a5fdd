//! Roles, and what an administrator forces.

use std::fmt;

use crate::named::named;

named! {
    /// A group's role on a node.
    #[derive(Default)]
    #[serde(rename_all = "kebab-case")]
    pub enum Role {
        /// It stands by. A plugin is told this also for a role that its SDK does not know.
        #[default]
        Backup = ROLE_BACKUP,
        /// It serves: this node has the addresses.
        Active = ROLE_ACTIVE,
        /// Backup, and unable to become active.
        Fault = ROLE_FAULT,
    }
}

impl Role {
    /// As people write it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Active => "active",
            Self::Fault => "fault",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

named! {
    /// What an administrator forced.
    #[derive(Default)]
    #[serde(rename_all = "kebab-case")]
    pub enum Forced {
        /// Nothing, or something that the SDK of a plugin does not know.
        #[default]
        No = FORCED_NO,
        /// Active whatever the election says.
        Active = FORCED_ACTIVE,
        /// Never active.
        Backup = FORCED_BACKUP,
    }
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
