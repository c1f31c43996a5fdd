//! The default name of a node.

use std::fs;

/// The host name up to its first dot; empty without a host name.
pub fn default_name() -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname");
    host.map(|host| name_of(&host)).unwrap_or_default()
}

/// The first label: a whole domain would be tables within tables as a key of TOML, and both `r1` and
/// `r1.example.org` are the names of one host.
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
