//! Settings with which a worker is started, and the parts of its plugin's descriptor that determine them.

use serde::{Deserialize, Serialize};
use spared_contract::codec::Message;
use spared_contract::{Descriptor, RootsFile};

/// Settings by which a worker loads and confines a plugin: the first record on its socket, from the starter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// Name of the plugin, for logs and thread names. The file itself is descriptor 4.
    pub name: String,
    /// True for a short-lived worker, which only checks a configuration.
    pub check_only: bool,
    /// Capabilities that the plugin requests and the administrator allows, as bits `1 << CAP_...`.
    pub capabilities: u64,
    pub realtime: bool,
    /// True if the worker runs as root and unconfined, without real time.
    pub root: bool,
    /// Configuration of a plugin that runs as root, which accepts it from root alone.
    pub roots: Option<RootsFile>,
    /// Account to run as; None if the host cannot change accounts.
    pub uid_gid: Option<(u32, u32)>,
    /// Folder of the plugin's own, writable.
    pub state_dir: Option<String>,
    /// Further files and folders that the worker may read and execute.
    pub files: Vec<String>,
    /// Files and folders that the worker may also write.
    pub writable: Vec<String>,
    /// Memory limit of each of the plugin's processes, in bytes; None without a limit.
    pub memory: Option<u64>,
    /// Groups of system calls that the worker may use, `CALLS_*`; 0 for no limit.
    pub calls: u32,
    /// Request from which these settings were computed: a plugin that asks for anything else is refused. None if nobody
    /// has read its descriptor before.
    pub asks: Option<Asks>,
    /// Folder of the control group that the worker joins.
    pub control_group: Option<String>,
}

impl Message for Load {}

/// Privileges that a plugin asks for in its descriptor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asks {
    pub flags: u32,
    /// Capabilities, as bits `1 << CAP_...`.
    pub capabilities: u64,
    /// Groups of system calls that the plugin limits itself to, `CALLS_*`; 0 for no limit.
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

    /// Permits a process that was started with these rights to run the plugin with this descriptor.
    ///
    /// # Errors
    /// The plugin needs other rights: its file was replaced after it had been read, or the message comes from a host
    /// that was broken into.
    pub fn permit(&self, descriptor: &Descriptor) -> Result<(), String> {
        if *self == Self::of(descriptor) {
            Ok(())
        } else {
            Err("asks for other rights than it was started with: its file was replaced".to_owned())
        }
    }
}
