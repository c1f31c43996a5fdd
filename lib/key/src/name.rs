//! Determines the default name of a node.

use std::fs;

/// Returns the host name up to its first dot; empty without a host name.
pub fn default_name() -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname");
    host.map(|host| name_of(&host)).unwrap_or_default()
}

/// Returns the first label. A whole domain as a TOML key would be nested tables, and `r1` and `r1.example.org` name the
/// same host.
fn name_of(host: &str) -> String {
    let label = host.trim().split('.').next();
    label.unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_has_the_first_label_of_its_host() {
        for host in ["r1\n", "r1.example.org", "r1."] {
            assert_eq!(name_of(host), "r1");
        }
        assert_eq!(name_of("\n"), "");
    }
}
