//! Roles, and roles that an administrator forces.

use std::fmt;

use crate::named::named;

named! {
    /// A group's role on a node.
    #[serde(rename_all = "kebab-case")]
    pub enum Role {
        /// It stands by. A plugin is told this also for a role that its SDK does not know.
        Backup = ROLE_BACKUP,
        /// It serves: this node has the addresses.
        Active = ROLE_ACTIVE,
        /// Backup, and unable to become active.
        Fault = ROLE_FAULT,
    }
    default is Backup
    unknown is Backup
}

impl Role {
    /// Word for people.
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
    /// Role that an administrator forced.
    #[serde(rename_all = "kebab-case")]
    pub enum Forced {
        /// Nothing, or something that the SDK of a plugin does not know.
        No = FORCED_NO,
        /// Active whatever the election says.
        Active = FORCED_ACTIVE,
        /// Never active.
        Backup = FORCED_BACKUP,
    }
    default is No
    unknown is No
}

impl Forced {
    /// Word for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Active => "active",
            Self::Backup => "backup",
        }
    }
}
