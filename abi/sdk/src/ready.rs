//! Conditions of descriptors.

use std::ops::BitOr;

use spared_abi as abi;

/// Conditions for which a descriptor is watched. Hang-ups and errors are always reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interest(pub(crate) u32);

impl Interest {
    /// Reading does not block.
    pub const READ: Self = Self(abi::FD_READ);
    /// Writing does not block.
    pub const WRITE: Self = Self(abi::FD_WRITE);
}

impl BitOr for Interest {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Conditions that hold for a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready(pub(crate) u32);

impl Ready {
    /// All conditions.
    pub(crate) const ALL: u32 = abi::FD_READ | abi::FD_WRITE | abi::FD_ERROR | abi::FD_HANGUP;

    /// Returns true if reading does not block.
    pub fn readable(self) -> bool {
        self.0 & abi::FD_READ != 0
    }

    /// Returns true if writing does not block.
    pub fn writable(self) -> bool {
        self.0 & abi::FD_WRITE != 0
    }

    /// Returns true if the descriptor has an error.
    pub fn error(self) -> bool {
        self.0 & abi::FD_ERROR != 0
    }

    /// Returns true if the other end is gone.
    pub fn hangup(self) -> bool {
        self.0 & abi::FD_HANGUP != 0
    }
}
