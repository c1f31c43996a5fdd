//! Scopes of the host's own keys: those that may differ between the nodes. Plugins declare theirs.

use spared_message::worker::Scope;

/// Keys of `spared.toml` with the scope "local".
const LOCAL: [&str; 6] = [
    "node",
    "log",
    "realtime",
    "fence",
    "firewall",
    "secret_file",
];
/// Keys of `spared.toml` that take a table by node name.
const NODE: [&str; 2] = ["link.interface", "link.address"];

pub fn of_host() -> Vec<(String, Scope)> {
    let local = LOCAL.iter().map(|key| ((*key).to_owned(), Scope::Local));
    let node = NODE.iter().map(|key| ((*key).to_owned(), Scope::Node));
    local.chain(node).collect()
}

/// The host's keys in plugins' files.
pub fn of_plugins() -> Vec<(String, Scope)> {
    ["enabled", "allow"]
        .map(|key| (key.to_owned(), Scope::Local))
        .to_vec()
}
