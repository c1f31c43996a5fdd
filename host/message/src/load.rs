//! What a worker is started with, and what of its plugin's descriptor that is made of.

use serde::{Deserialize, Serialize};
use spared_contract::Descriptor;
use spared_contract::codec::Message;

/// What a worker is to load and how to confine it: the first record on its socket, from the starter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// For logs and thread names; the file itself is descriptor 4.
    pub name: String,
    /// Whether to stop after the check: a throw-away worker.
    pub check_only: bool,
    /// Capabilities that the plugin requests and the administrator allows, as bits `1 << CAP_...`.
    pub capabilities: u64,
    pub realtime: bool,
    /// Whether it runs as root and unconfined, without real time.
    pub root: bool,
    /// Configuration of a plugin that runs as root, which it takes from root alone.
    pub roots: Option<RootsFile>,
    /// Account to run as; None if the host cannot change accounts.
    pub uid_gid: Option<(u32, u32)>,
    /// The plugin's own folder, writable.
    pub state_dir: Option<String>,
    /// Further files and folders that it may read and execute.
    pub files: Vec<String>,
    /// Files and folders that it may also write.
    pub writable: Vec<String>,
    /// Bytes of memory that each of its processes may have; None without a limit.
    pub memory: Option<u64>,
    /// Groups of system calls that it is held to, `CALLS_*`; 0 for no list.
    pub calls: u32,
    /// What all of this was made of: a plugin that asks for anything else is refused. None if whoever starts it
    /// has read no descriptor before.
    pub asks: Option<Asks>,
    /// Folder of the control group that it joins.
    pub control_group: Option<String>,
}

impl Message for Load {}

/// A file of root's, by which a plugin is configured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootsFile {
    pub path: String,
    /// What was in it when it was read for a start or a reload: that may be in force.
    pub texts: Vec<String>,
    /// This node's name and those of both nodes, by which tables by node name are read.
    pub node: String,
    pub nodes: Vec<String>,
}

/// What a plugin asks for in its descriptor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asks {
    pub flags: u32,
    /// As bits `1 << CAP_...`.
    pub capabilities: u64,
    /// Groups of system calls that it is held to, `CALLS_*`; 0 for no list.
    pub calls: u32,
    /// Files and folders beyond those of its configuration; a leading `+` asks to write there.
    pub paths: Vec<String>,
}

impl Asks {
    pub fn of(descriptor: &Descriptor) -> Self {
        Self {
            flags: descriptor.flags,
            capabilities: descriptor.capabilities,
            calls: descriptor.calls,
            paths: descriptor.paths.clone(),
        }
    }
}
