//! The configuration: `spared.toml` and one file per plugin, read and checked as a whole.
//!
//! Keys of `spared.toml`, all optional:
//!
//! | key            | allowed                     | default     |                                         |
//! |----------------|-----------------------------|-------------|-----------------------------------------|
//! | `node.name`    | a name                      | host name, to its first dot | name of this node, one of `[nodes]`     |
//! | `nodes.NAME`   | a table                     | none        | the nodes of the pair                   |
//! | `nodes.NAME.public_key` | `sk1:...`, or a list of two | none | identifies that node               |
//! | `[[link]] interface` | a name, by node       | none        | direct connection to the peer; at most two |
//! | `[[link]] address` | an address/prefix by node | none      | set by the host if it is missing        |
//! | `port`         | 1-65535                     | 3780        | port of all links, TCP and UDP          |
//! | `secret_file`  | a path                      | none        | passphrase, in place of public keys     |
//! | `firewall.chain` | "family table chain"      | none        | chain that gets the rules for the link  |
//! | `equal.ignore` | objects                   | none        | differences between the machines that are intended |
//! | `equal.after`  | 1s-24h                     | 60s         | time for which a difference lasts before it is reported |
//! | `log.level`    | error, warn, info, debug, trace | info    | least severe level that is logged       |
//! | `realtime`     | true, false                 | true        | real-time priority and locked memory    |
//! | `fence`        | required, off               | required    | required: no start without the fence; off: no fence |
//! | `settle_ms`    | 0-10000                     | 200         | longest wait of a failover for plugins  |
//!
//! Keys of the host in `plugins/NAME.toml`. All others belong to the plugin:
//!
//! | key          | allowed           | default   |                                                     |
//! |--------------|-------------------|-----------|-----------------------------------------------------|
//! | `enabled`    | true, false       | true      | runs the plugin; without a file it does not run     |
//! | `after`      | names of plugins  | none      | plugins that become active before it, backup after  |
//! | `follow`     | names of groups   | all       | groups whose roles it gets                          |
//! | `allow`      | capabilities, root | what the plugin asks for | limits its privileges               |
//! | `on_failure` | warn, degrade, resign | as the plugin says: degrade, or warn | when the plugin is given up, the node: stays as fit, becomes less fit, resigns |

#![forbid(unsafe_code)]

mod equal;
pub mod exit;
mod fault;
mod file;
#[cfg(test)]
mod folder;
mod host;
pub mod keys;
mod link;
mod link_keys;
pub mod on_disk;
mod options;
mod plugin;
mod plugin_order;
pub mod reload;
mod restart;
mod setting;
mod subnet;
mod syntax;
#[cfg(test)]
mod tests;
pub mod unconfirmed;

use std::collections::BTreeMap;
use std::path::Path;

pub use equal::{ByNode, Equal};
pub use fault::{Fault, locate};
pub use file::plugin_names;
pub use host::Host;
pub use link::Link;
pub use link_keys::LinkKeys;
pub use options::{DEFAULT_CONFIG, DEFAULT_PLUGIN_DIR, Options, Unread, loaded, state_dir};
pub use plugin::{Allow, OnFailure, Plugin, table_of};
pub use plugin_order::by_order;
pub use restart::{PROGRAM, Restart, RestartFault};
use spared_message::fingerprint;
pub use spared_message::link::LinkPath;
pub use spared_process::worker::Build;

/// Contents of all files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    pub host: Host,
    /// All plugins, enabled or not, sorted by name.
    pub plugins: Vec<Plugin>,
    /// Text of `spared.toml`.
    pub text: String,
    /// Eight hex digits, which change when a file changes.
    pub digest: String,
}

impl Setup {
    /// Reads `spared.toml` and the files of `plugins/` next to it. A missing file counts as an empty one.
    ///
    /// # Errors
    /// All faults of `spared.toml`. Faults in a file of `plugins/` stay with the plugin
    /// ([`Plugin::faults`]), and faults of the keys with the host ([`Host::key_faults`]): at a start
    /// the rest runs without it.
    pub fn read(path: &Path) -> Result<Self, Vec<Fault>> {
        let text = file::read(path)
            .map_err(|fault| vec![fault])?
            .unwrap_or_default();
        let host = Self::host(path, &text)?;
        let plugins = Self::plugins(path, &host).map_err(|fault| vec![fault])?;
        Ok(Self::new(host, plugins, text))
    }

    fn plugins(path: &Path, host: &Host) -> Result<Vec<Plugin>, Fault> {
        let folder = path.parent().unwrap_or(Path::new(".")).join("plugins");
        let names = file::plugin_names(&folder)?.into_iter();
        let read = |name: String| Plugin::read(&name, &folder.join(format!("{name}.toml")), host);
        Ok(names.map(read).collect())
    }

    /// Reads like [`read`](Self::read), but returns all that can be read together with the faults of `spared.toml`: a
    /// check reports the faults of all files at once. None if nothing can be read.
    pub fn read_all(path: &Path) -> (Option<Self>, Vec<Fault>) {
        let text = match file::read(path) {
            Ok(text) => text.unwrap_or_default(),
            Err(fault) => return (None, vec![fault]),
        };
        let folder = path.parent().unwrap_or(Path::new("."));
        let name = fault::name_of(path);
        let (host, mut faults) = Host::parse_all(&name, &text, &spared_key::default_name(), folder);
        let Some(host) = host else {
            return (None, faults);
        };
        let plugins = match Self::plugins(path, &host) {
            Ok(plugins) => plugins,
            Err(fault) => {
                faults.push(fault);
                Vec::new()
            }
        };
        (Some(Self::new(host, plugins, text)), faults)
    }

    /// Place of the first key with this value, in the first file that contains it: "plugins/vrrp.toml:12".
    pub fn place_of(&self, key: &str, value: &str) -> Option<String> {
        let own = (on_disk::HOST_FILE.to_owned(), &self.text);
        let plugins = self.plugins.iter().filter(|it| it.enabled);
        let plugins = plugins.map(|it| (on_disk::path_of(&it.name), &it.text));
        [own].into_iter().chain(plugins).find_map(|(file, text)| {
            let line = fault::locate_value(text, key, value)?;
            Some(format!("{file}:{line}"))
        })
    }

    /// Builds a setup from texts that were in the files before, by their path below the folder of `spared.toml`: see
    /// [`LOADED`](spared_file::starter::LOADED). Only the keys of the nodes are read from files.
    ///
    /// # Errors
    /// See [`read`](Self::read).
    pub fn of_texts(path: &Path, texts: &BTreeMap<String, String>) -> Result<Self, Vec<Fault>> {
        let text = texts.get(on_disk::HOST_FILE).cloned().unwrap_or_default();
        let host = Self::host(path, &text)?;
        let of_plugin = |(file, text): (&String, &String)| {
            let name = file.strip_prefix("plugins/")?.strip_suffix(".toml")?;
            Some(Plugin::parse(name, text, &host))
        };
        let mut plugins: Vec<Plugin> = texts.iter().filter_map(of_plugin).collect();
        plugins.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(Self::new(host, plugins, text))
    }

    fn host(path: &Path, text: &str) -> Result<Host, Vec<Fault>> {
        let folder = path.parent().unwrap_or(Path::new("."));
        let file = fault::name_of(path);
        Host::parse(&file, text, &spared_key::default_name(), folder)
    }

    fn new(host: Host, mut plugins: Vec<Plugin>, text: String) -> Self {
        plugin_order::refuse_cycles(&mut plugins);
        let digest = digest(&text, &plugins);
        Self {
            host,
            plugins,
            text,
            digest,
        }
    }

    /// Faults with which the daemon starts, but does not reload: in the keys, and in the files of all plugins.
    pub fn faults(&self) -> Vec<Fault> {
        let plugins = self.plugins.iter().flat_map(|plugin| &plugin.faults);
        self.host
            .key_faults
            .iter()
            .chain(plugins)
            .cloned()
            .collect()
    }

    pub fn plugin(&self, name: &str) -> Option<&Plugin> {
        self.plugins.iter().find(|plugin| plugin.name == name)
    }
}

fn digest(text: &str, plugins: &[Plugin]) -> String {
    let plugins = plugins.iter();
    let texts = plugins.flat_map(|plugin| [plugin.name.as_str(), plugin.text.as_str()]);
    let mixed = fingerprint([text].into_iter().chain(texts));
    format!("{:08x}", mixed & 0xffff_ffff)
}
