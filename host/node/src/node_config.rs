//! Stores how this node was started, and its configuration in force.

use spared_config::{ByNode, Host, Link, Options, Setup};
use spared_message::word::Introduction;
use spared_process::clock;
use spared_supervisor::WorkerSettings;

/// Options and configuration. Only a reload replaces the configuration.
#[derive(Debug)]
pub struct NodeConfig {
    options: Options,
    setup: Setup,
    /// Names in the files that differ by node.
    by_node: ByNode,
    /// Kernel settings that plugins set with the role.
    by_role: Vec<String>,
    /// Values of `fence` and `realtime` with which this process was started.
    at_start: (bool, bool),
    started: String,
}

impl NodeConfig {
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

    /// Returns the keys of spared.toml whose values wait for a restart.
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

    /// Returns the names in the files that differ by node.
    pub fn by_node(&self) -> &ByNode {
        &self.by_node
    }

    /// Returns the kernel settings that plugins set with the role.
    pub fn by_role(&self) -> &[String] {
        &self.by_role
    }

    /// Returns the time at which this process started.
    pub fn started(&self) -> &str {
        &self.started
    }

    /// Returns the name of this node.
    pub fn node(&self) -> &str {
        &self.setup.host.node
    }

    /// Returns the name of the other node, if one is configured, with or without a link to it.
    pub fn pair_name(&self) -> Option<&str> {
        let host = &self.setup.host;
        let keyed = host.link.as_ref().map(|link| link.peer.as_str());
        let named = host.nodes.iter().find(|name| **name != host.node);
        keyed.or_else(|| named.map(String::as_str))
    }

    /// Returns the name of the peer; None without a link.
    pub fn peer_name(&self) -> Option<&str> {
        self.linked().map(|link| link.peer.as_str())
    }

    /// Returns the name of the peer for sentences.
    pub fn peer(&self) -> &str {
        self.peer_name().unwrap_or("the peer")
    }

    /// Returns the link, if it has paths.
    pub fn linked(&self) -> Option<&Link> {
        self.setup.host.linked()
    }

    /// Returns true if a plugin is enabled.
    pub fn has_plugins(&self) -> bool {
        self.setup.plugins.iter().any(|plugin| plugin.enabled)
    }

    /// Returns true if a plugin of this name is installed, enabled or not.
    pub fn has_library(&self, name: &str) -> bool {
        let library = self.options.plugin_dir.join(format!("{name}.so"));
        !name.contains(['/', '.']) && library.is_file()
    }

    /// Returns the introduction, which is sent to the peer first.
    pub fn introduction(&self) -> Introduction {
        Introduction {
            node: self.node().to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            booted: clock::booted(),
            started: self.started.clone(),
        }
    }

    /// Returns the terms for workers, from the configuration.
    pub fn worker_settings(&self) -> WorkerSettings {
        let host = self.host();
        WorkerSettings {
            surroundings: host.surroundings(),
            realtime: host.realtime,
        }
    }
}
