//! The configuration: `spared.toml` and one file per plugin, read and checked as a whole.
//!
//! Keys of `spared.toml` (every one may be left out):
//!
//! | key            | allowed                     | default     |                                         |
//! |----------------|-----------------------------|-------------|-----------------------------------------|
//! | `node.name`    | a name                      | host name, to its first dot | which of `[nodes]` this node is         |
//! | `nodes.NAME`   | a table                     | none        | the nodes of the pair                   |
//! | `nodes.NAME.public_key` | `sk1:...`, or a list of two | none | who is believed to be that node    |
//! | `[[link]] interface` | a name, by node       | none        | a direct connection to the peer; two at most |
//! | `[[link]] address` | an address/prefix by node | none      | set by the host where it is missing     |
//! | `port`         | 1-65535                     | 3780        | of all links, TCP and UDP               |
//! | `secret_file`  | a path                      | none        | a passphrase instead of public keys     |
//! | `firewall.chain` | "family table chain"      | none        | where the link is let through           |
//! | `log.level`    | error, warn, info, debug, trace | info    | what is logged                          |
//! | `realtime`     | true, false                 | true        | real-time priority and locked memory    |
//! | `fence`        | required, off               | required    | whether to refuse a kernel that cannot fence |
//! | `settle_ms`    | 0-10000                     | 200         | how long a failover waits for followers |
//!
//! Keys of the host in `plugins/NAME.toml`; all others are the plugin's:
//!
//! | key          | allowed           | default   |                                                     |
//! |--------------|-------------------|-----------|-----------------------------------------------------|
//! | `enabled`    | true, false       | true      | the file's presence enables the plugin              |
//! | `after`      | names of plugins  | none      | becomes active after these, backup before these     |
//! | `follow`     | names of groups   | all       | the groups whose roles it gets                      |
//! | `allow`      | capabilities, root | what the plugin asks for | cuts them                           |
//! | `on_failure` | degrade, resign   | degrade   | when it is given up: warn, or give up being active  |

mod fault;
mod file;
mod host;
mod key;
mod link;
mod order;
mod plugin;
mod subnet;
#[cfg(test)]
mod tests;

use std::path::Path;

pub use fault::{Fault, locate};
pub use host::Host;
pub use key::LinkKeys;
pub use link::{Chain, Link, LinkPath};
pub use order::by_order;
pub use plugin::{OnFailure, Plugin};

/// Everything that the files say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    pub host: Host,
    /// Enabled or not, in the order of their names.
    pub plugins: Vec<Plugin>,
    /// `spared.toml`, verbatim.
    pub text: String,
    /// Eight hex digits that differ when a file differs.
    pub digest: String,
}

impl Setup {
    /// Reads `spared.toml` and the files of `plugins/` beside it. An absent file is an empty one.
    ///
    /// # Errors
    /// Every fault of `spared.toml`. Those of plugins' files stay with the plugin
    /// ([`Plugin::faults`]): at a start the others run without it.
    pub fn read(path: &Path) -> Result<Self, Vec<Fault>> {
        let text = file::read(path)
            .map_err(|fault| vec![fault])?
            .unwrap_or_default();
        let folder = path.parent().unwrap_or(Path::new("."));
        let host = Host::parse(
            &fault::name_of(path),
            &text,
            &spared_key::default_name(),
            folder,
        )?;
        let plugins_dir = folder.join("plugins");
        let names = file::plugin_names(&plugins_dir).map_err(|fault| vec![fault])?;
        let mut plugins: Vec<Plugin> = names
            .iter()
            .map(|name| Plugin::read(name, &plugins_dir.join(format!("{name}.toml")), &host))
            .collect();
        order::refuse_cycles(&mut plugins);
        let digest = digest(&text, &plugins);
        Ok(Self {
            host,
            plugins,
            text,
            digest,
        })
    }

    /// The faults of all plugins' files.
    pub fn plugin_faults(&self) -> Vec<Fault> {
        self.plugins
            .iter()
            .flat_map(|plugin| plugin.faults.iter().cloned())
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

/// FNV-1a of texts, the end mixed: it finds differences, it proves nothing.
pub fn fingerprint<'t>(texts: impl IntoIterator<Item = &'t str>) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for text in texts {
        for byte in text.bytes().chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    hash ^ (hash >> 32)
}
