//! Reads files-root.toml.

use std::path::PathBuf;

use spared_sdk::config::{Config, local};

const TREES: &str = "/etc/spared/plugins/files.toml";

/// Contents of the plugin's own file: the path of the other half's file, and an opt-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub trees: PathBuf,
    pub config_from_peer: bool,
    pub node: String,
    pub nodes: Vec<String>,
}

/// Reads the file; its faults are noted in `config`.
pub fn read(config: &Config) -> Settings {
    let trees = config.root().text(local("trees"));
    let trees = PathBuf::from(trees.as_deref().unwrap_or(TREES));
    let config_from_peer = config.root().flag(local("config_from_peer"));
    if !trees.is_absolute() {
        config.root().fault("trees", "allowed is an absolute path");
    }
    Settings {
        trees,
        config_from_peer: config_from_peer.unwrap_or(false),
        node: config.node().to_owned(),
        nodes: config.nodes().to_vec(),
    }
}
