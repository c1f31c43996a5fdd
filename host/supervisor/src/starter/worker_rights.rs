//! Computes a worker's rights: what its plugin asks for, the administrator allows and spared can grant.

use spared_abi::{PLUGIN_REALTIME, PLUGIN_ROOT};
use spared_config::Allow;
use spared_process::worker::capabilities;

/// Rights of a worker that runs a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights {
    /// True for all rights, unconfined.
    pub root: bool,
    /// Capabilities of a worker that is not root, as bits `1 << CAP_...`.
    pub capabilities: u64,
    pub realtime: bool,
}

impl Rights {
    /// Computes the rights from the flags and capabilities of a descriptor. `realtime` is true if spared.toml permits
    /// real-time priority.
    pub fn new(allow: Allow, flags: u32, capabilities: u64, realtime: bool) -> Self {
        let root = flags & PLUGIN_ROOT != 0 && allow.root;
        Self {
            root,
            capabilities: capabilities::grantable(capabilities) & allow.capabilities,
            realtime: flags & PLUGIN_REALTIME != 0 && realtime && !root,
        }
    }
}
