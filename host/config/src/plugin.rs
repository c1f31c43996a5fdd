//! Keys of the host in the file of a plugin. The rest of the file belongs to the plugin.

use std::ops::RangeInclusive;
use std::path::Path;
use std::str::FromStr;

use spared_abi::PLUGIN_ASIDE;
use spared_config_reader::{self as config, Config, ConfigTable, Failure, HOST_KEYS, Section};
use spared_contract::TABLE_SIZE_MAX;
use spared_message::control::RESERVED;
use spared_process::worker::capabilities;

use super::{Fault, Host, file};

const MIB: u64 = 1 << 20;
/// Range of `memory_mib`. A worker without any data takes some MiB.
const MEMORY_MIB: RangeInclusive<u64> = 16..=1_048_576;
/// Default of the memory limit: one in `DEFAULT_SHARE` parts of the machine's memory, at least `DEFAULT_LEAST` bytes.
const DEFAULT_SHARE: u64 = 4;
const DEFAULT_LEAST: u64 = 256 * MIB;

const ON_FAILURE: [(&str, OnFailure); 3] = [
    ("warn", OnFailure::Warn),
    ("degrade", OnFailure::Degrade),
    ("resign", OnFailure::Resign),
];

/// File of `plugins/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plugin {
    pub name: String,
    /// Text of the file.
    pub text: String,
    /// Contents of the file, as they are sent to the plugin.
    pub table: ConfigTable,
    pub enabled: bool,
    pub after: Vec<String>,
    /// Groups whose roles the plugin gets; None for all.
    pub follow: Option<Vec<String>>,
    pub allow: Allow,
    /// Consequence of giving up the plugin; None: the plugin's own flags decide.
    pub on_failure: Option<OnFailure>,
    /// Memory limit of each of the plugin's processes, in MiB; None for the default.
    pub memory_mib: Option<u64>,
    /// Faults in the keys of the host. A plugin with faults does not run.
    pub faults: Vec<Fault>,
}

/// Privileges that a plugin may have, if it asks for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allow {
    /// Capabilities, as bits `1 << CAP_...`.
    pub capabilities: u64,
    /// True if the plugin may run as root, with all privileges of the starter.
    pub root: bool,
}

impl Allow {
    /// Everything is allowed, the default.
    pub const ALL: Self = Self {
        capabilities: u64::MAX,
        root: true,
    };

    fn these(words: &[Word]) -> Self {
        let none = Self {
            capabilities: 0,
            root: false,
        };
        words.iter().fold(none, |allow, word| match word {
            Word::Root => Self {
                root: true,
                ..allow
            },
            Word::Capability(bit) => Self {
                capabilities: allow.capabilities | bit,
                ..allow
            },
        })
    }
}

/// Consequence for this node if the plugin is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// The fault is reported, and the node remains as fit to be active as before.
    Warn,
    Degrade,
    Resign,
}

impl OnFailure {
    /// The value in the file or, without one, the consequence according to the plugin's own flags.
    pub fn of(said: Option<Self>, flags: u32) -> Self {
        said.unwrap_or(if flags & PLUGIN_ASIDE != 0 {
            Self::Warn
        } else {
            Self::Degrade
        })
    }
}

impl Plugin {
    pub(super) fn read(name: &str, path: &Path, host: &Host) -> Self {
        match file::read(path) {
            Ok(text) => Self::parse(name, &text.unwrap_or_default(), host),
            Err(fault) => Self {
                faults: vec![fault],
                ..Self::empty(name, "")
            },
        }
    }

    pub(super) fn parse(name: &str, text: &str, host: &Host) -> Self {
        let file = format!("{name}.toml");
        let mut plugin = Self::empty(name, text);
        if !spared_process::worker::is_name(name) {
            let why = "allowed names: a-z, then a-z, 0-9 and -, at most 32";
            plugin.faults.push(Fault::whole(&file, why));
        }
        if RESERVED.contains(&name) {
            let why = format!("\"{name}\" is reserved by spared: rename the plugin");
            plugin.faults.push(Fault::whole(&file, why));
        }
        if let Some(fault) = Fault::of_syntax(&file, text) {
            plugin.faults.push(fault);
            return plugin;
        }
        plugin.table = match table_of(text) {
            Ok(table) => table,
            Err(Failure { key, why }) => {
                let found = [(key, why)].into_iter();
                plugin.faults.extend(Fault::of_keys(&file, text, found));
                return plugin;
            }
        };
        let config = Config::of(&plugin.table, &host.node, &host.nodes);
        plugin.read_keys(&config.root());
        let faults = config.finish().err().unwrap_or_default();
        let ours = faults.into_iter().filter(|fault| is_ours(&fault.key));
        let ours: Vec<_> = ours.map(|fault| (fault.key, fault.why)).collect();
        let ours = Fault::of_keys(&file, text, ours.into_iter());
        plugin.faults.extend(ours);
        plugin
    }

    fn empty(name: &str, text: &str) -> Self {
        Self {
            name: name.to_owned(),
            text: text.to_owned(),
            table: ConfigTable::default(),
            enabled: true,
            after: Vec::new(),
            follow: None,
            allow: Allow::ALL,
            on_failure: None,
            memory_mib: None,
            faults: Vec::new(),
        }
    }

    fn read_keys(&mut self, root: &Section<'_>) {
        self.enabled = root.flag("enabled").unwrap_or(true);
        self.after = root.texts("after").unwrap_or_default();
        if self.after.contains(&self.name) {
            root.fault("after", format!("\"{}\" is this plugin itself", self.name));
        }
        self.follow = root.texts("follow");
        self.allow = root
            .list::<Word>("allow", "a capability like \"net_admin\", or \"root\"")
            .map_or(Allow::ALL, |words| Allow::these(&words));
        self.on_failure = root.choice("on_failure", &ON_FAILURE);
        self.memory_mib = root.integer("memory_mib", MEMORY_MIB);
    }

    /// Memory limit of each of the plugin's processes, in bytes. A table such as conntrack's grows with the connections
    /// for which the machine has memory, so the default depends on the machine's memory.
    pub fn memory(&self) -> u64 {
        let default = || {
            let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
            (memory_of(&meminfo) / DEFAULT_SHARE).max(DEFAULT_LEAST)
        };
        self.memory_mib.map_or_else(default, |mib| mib * MIB)
    }
}

/// Contents of the file as they are sent to its plugin.
///
/// # Errors
/// The text is no TOML, or its table is too long for a message.
pub fn table_of(text: &str) -> Result<ConfigTable, Failure> {
    let table = config::table(text)?;
    let size = table.size();
    if size <= TABLE_SIZE_MAX {
        Ok(table)
    } else {
        Err(Failure::of_whole(format!(
            "takes {size} bytes as a message, allowed {TABLE_SIZE_MAX}: write less of it"
        )))
    }
}

/// Memory of the machine in bytes; 0 if unknown.
fn memory_of(meminfo: &str) -> u64 {
    let total = |line: &str| {
        line.strip_prefix("MemTotal:")?
            .trim()
            .strip_suffix(" kB")?
            .parse()
            .ok()
    };
    meminfo.lines().find_map(total).unwrap_or(0_u64) * 1024
}

fn is_ours(key: &str) -> bool {
    let top = key.split('.').next().unwrap_or(key);
    HOST_KEYS.contains(&top)
}

/// Word of `allow`: "root" or a capability, written as "net_admin" or "CAP_NET_ADMIN".
enum Word {
    Root,
    Capability(u64),
}

impl FromStr for Word {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if text == "root" {
            return Ok(Self::Root);
        }
        let upper = text.to_ascii_uppercase();
        let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
        let number = capabilities::number(bare).ok_or(())?;
        Ok(Self::Capability(1 << number))
    }
}
