//! Roles, and what an administrator forces.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A group's role on a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// It stands by. A plugin is told this also for a role that its SDK does not know.
    #[default]
    Backup,
    /// It serves: this node has the addresses.
    Active,
    /// Backup, and unable to become active.
    Fault,
}

impl Role {
    /// `SPARED_ROLE_*`.
    pub fn to_raw(self) -> u32 {
        match self {
            Self::Backup => spared_abi::ROLE_BACKUP,
            Self::Active => spared_abi::ROLE_ACTIVE,
            Self::Fault => spared_abi::ROLE_FAULT,
        }
    }

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

/// What an administrator forced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Forced {
    /// Nothing, or something that the SDK of a plugin does not know.
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
