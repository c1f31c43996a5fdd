//! Reasons why a set is not replicated, and refusals of its kernel.

use std::fmt;
use std::io;

/// Reason why a set on this node is not replicated.
#[derive(Debug)]
pub enum Hindrance {
    Missing,
    Constant,
    Verdicts,
    Objects,
    /// The keys are interfaces, which have other indices on the peer.
    Indices,
    /// The keys are control groups, which have other ids on the peer.
    Cgroups,
    Kernel(io::Error),
}

impl Hindrance {
    /// True if the reason holds as long as the set is not created again.
    pub fn is_lasting(&self) -> bool {
        !matches!(self, Self::Missing | Self::Kernel(_))
    }
}

impl fmt::Display for Hindrance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("does not exist"),
            Self::Constant => f.write_str("is constant: nothing can be added to it"),
            Self::Verdicts => f.write_str("is a verdict map, which cannot be replicated"),
            Self::Objects => f.write_str("is a map to objects, which cannot be replicated"),
            Self::Indices => f.write_str(
                "has interface indices (iface_index), which differ between the nodes, and cannot be \
                 replicated: use names (ifname, as iifname)",
            ),
            Self::Cgroups => f.write_str(
                "has ids of cgroups (cgroupsv2), which differ between the nodes, and cannot be \
                 replicated",
            ),
            Self::Kernel(error) => write!(f, "cannot be read: {error}"),
        }
    }
}

impl std::error::Error for Hindrance {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Kernel(error) => Some(error),
            _ => None,
        }
    }
}

/// Errno with which the kernel refuses elements; without the elements, because each would give a sentence of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trouble(pub i32);

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const ENFILE: i32 = 23;
        const ENOSPC: i32 = 28;
        match self.0 {
            ENFILE | ENOSPC => f.write_str("is full here: there is no room for more elements"),
            errno => {
                let error = io::Error::from_raw_os_error(errno);
                write!(f, "does not take elements: {error}")
            }
        }
    }
}

impl std::error::Error for Trouble {}
