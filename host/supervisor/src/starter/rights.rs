//! Computes a worker's rights: what its plugin asks for, the administrator allows and spared can grant.

use std::path::Path;

use spared_abi::{PLUGIN_FILES, PLUGIN_REALTIME, PLUGIN_ROOT, PLUGIN_WRITE};
use spared_config::{Allow, Plugin};
use spared_message::load::Asks;
use spared_worker::capabilities;

use super::paths::{Opened, Private};

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

    /// Files that the worker may open: files that its configuration names, which only root writes, and files that its
    /// descriptor asks for.
    pub(crate) fn paths(self, settings: &Plugin, asks: &Asks, state_dir: Option<&Path>) -> Opened {
        let private = Private::new(state_dir);
        let mut opened = Opened::default();
        if asks.flags & PLUGIN_FILES != 0 {
            let write = asks.flags & PLUGIN_WRITE != 0;
            opened.add_named(&private, &settings.text, write);
        }
        opened.add_asked(&private, &asks.paths);
        opened
    }
}
