//! This node: how it was started, and the configuration in force.

use spared_config::{ByNode, Host, Link, Options, Setup};
use spared_message::word::Introduction;
use spared_process::clock;
use spared_supervisor::Terms;

/// Options and configuration. Only a reload replaces the configuration.
#[derive(Debug)]
pub struct Here {
    options: Options,
    setup: Setup,
    /// What the files name by node.
    by_node: ByNode,
    /// Kernel settings that a plugin sets with the role.
    by_role: Vec<String>,
    /// Values of `fence` and `realtime` with which this process runs.
    at_start: (bool, bool),
    started: String,
}

impl Here {
    pub fn new(options: Options, setup: Setup) -> Self {
        Self {
            options,
            at_start: (setup.host.fenced, setup.host.realtime),
            by_node: setup.by_node(),
            by_role: setup.settings(),
            setup,
            started: clock::now(),
        }
    }

    /// Sets a new configuration. Returns the old one.
    pub fn replace(&mut self, setup: Setup) -> Setup {
        (self.by_node, self.by_role) = (setup.by_node(), setup.settings());
        std::mem::replace(&mut self.setup, setup)
    }

    /// Keys of spared.toml whose values wait for a restart.
    pub fn not_in_force(&self) -> Vec<String> {
        let (fenced, realtime) = self.at_start;
        let host = &self.setup.host;
        let keys = [
            ("fence", fenced != host.fenced),
            ("realtime", realtime != host.realtime),
        ];
        let keys = keys.into_iter().filter(|(_, is_other)| *is_other);
        keys.map(|(key, _)| key.to_owned()).collect()
    }

    pub fn options(&self) -> &Options {
        &self.options
    }

    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    pub fn host(&self) -> &Host {
        &self.setup.host
    }

    /// What the files name by node.
    pub fn by_node(&self) -> &ByNode {
        &self.by_node
    }

    /// Kernel settings that a plugin sets with the role.
    pub fn by_role(&self) -> &[String] {
        &self.by_role
    }

    /// Time at which this process started.
    pub fn started(&self) -> &str {
        &self.started
    }

    /// Name of this node.
    pub fn node(&self) -> &str {
        &self.setup.host.node
    }

    /// Name of the other node, if one is configured, with or without a link to it.
    pub fn pair_name(&self) -> Option<&str> {
        let host = &self.setup.host;
        let keyed = host.link.as_ref().map(|link| link.peer.as_str());
        let named = host.nodes.iter().find(|name| **name != host.node);
        keyed.or_else(|| named.map(String::as_str))
    }

    /// Name of the peer; None without a link.
    pub fn peer_name(&self) -> Option<&str> {
        self.linked().map(|link| link.peer.as_str())
    }

    /// Name of the peer for sentences.
    pub fn peer(&self) -> &str {
        self.peer_name().unwrap_or("the peer")
    }

    /// The link, if it has paths.
    pub fn linked(&self) -> Option<&Link> {
        self.setup.host.linked()
    }

    /// True if a plugin is enabled.
    pub fn has_plugins(&self) -> bool {
        self.setup.plugins.iter().any(|plugin| plugin.enabled)
    }

    /// True if a plugin of this name is installed, enabled or not.
    pub fn has_library(&self, name: &str) -> bool {
        let library = self.options.plugin_dir.join(format!("{name}.so"));
        !name.contains(['/', '.']) && library.is_file()
    }

    /// What the peer is told first.
    pub fn introduction(&self) -> Introduction {
        Introduction {
            node: self.node().to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            booted: clock::booted(),
            started: self.started.clone(),
        }
    }

    /// Terms for workers, from the options and the configuration.
    pub fn terms(&self) -> Terms {
        let host = self.host();
        Terms {
            surroundings: host.surroundings(),
            realtime: host.realtime,
        }
    }
}
