//! An operation that is not possible here, and the reason.

use std::fmt;

/// A configuration that is sound and does not fit this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// Units are named, and nothing is known that could start them.
    NoManager,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoManager => f.write_str(
                "no service manager was found here, allowed: \"systemd\", \"openrc\", \"procd\", \
                 \"runit\"",
            ),
        }
    }
}

impl std::error::Error for Unfit {}
