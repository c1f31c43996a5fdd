//! Defines which of the host's keys may differ between the nodes (their scopes), and which keys define a group. Plugins
//! declare the scopes of their own keys.

use spared_contract::Scope;

/// Keys of `spared.toml` with the scope "local".
const LOCAL: [&str; 6] = [
    "node",
    "log",
    "realtime",
    "fence",
    "firewall",
    "secret_file",
];
/// Keys of `spared.toml` that may have a table with a value for each node.
const NODE: [&str; 2] = ["link.interface", "link.address"];

/// Keys of an elector's file that make the nodes no pair if they differ.
const GROUP: [&str; 8] = [
    "group",
    "group.name",
    "group.vrid",
    "group.interface",
    "group.interface.vrid",
    "group.interface.addresses",
    "group.address",
    "group.address.addresses",
];

/// Returns true if the nodes are no pair when this key differs.
pub fn is_of_group(path: &str) -> bool {
    GROUP.contains(&path)
}

pub fn of_host() -> Vec<(String, Scope)> {
    let local = LOCAL.iter().map(|key| ((*key).to_owned(), Scope::Local));
    let node = NODE.iter().map(|key| ((*key).to_owned(), Scope::Node));
    local.chain(node).collect()
}

/// Returns the scopes of the host's keys in plugins' files.
pub fn of_plugins() -> Vec<(String, Scope)> {
    ["enabled", "allow"]
        .map(|key| (key.to_owned(), Scope::Local))
        .to_vec()
}
