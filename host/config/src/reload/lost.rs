//! Finds addresses of active groups that a reload would remove at once.

use std::collections::BTreeSet;
use std::net::IpAddr;

use toml::{Table, Value};

/// Addresses of `held` that are in the old text of a file and not in the new one. A plugin's file is not interpreted:
/// addresses anywhere in it are compared.
pub fn lost(held: impl Iterator<Item = IpAddr>, old: &str, new: &str) -> Vec<String> {
    let (old, new) = (named(old), named(new));
    let lost = held.filter(|it| old.contains(it) && !new.contains(it));
    lost.map(|it| it.to_string()).collect()
}

/// Returns true if a group's name is in the old text of a file and not in the new one: the group is removed or renamed.
pub fn is_renamed(group: &str, old: &str, new: &str) -> bool {
    let has = |text: &str| texts(text).any(|it| it == group);
    has(old) && !has(new)
}

/// Returns true if a group has another `version`, which means another protocol, in the new text of a file.
pub fn has_other_version(group: &str, old: &str, new: &str) -> bool {
    let version = |text: &str| {
        let table: Table = text.parse().unwrap_or_default();
        let groups = table.get("group")?.as_array()?;
        let is_it = |it: &&Value| it.get("name").and_then(Value::as_str) == Some(group);
        Some(groups.iter().find(is_it)?.get("version").cloned())
    };
    version(old).is_some_and(|old| version(new).is_some_and(|new| old != new))
}

/// All addresses in a file, with or without a prefix length.
fn named(text: &str) -> BTreeSet<IpAddr> {
    let addresses = texts(text).filter_map(|text| {
        let address = text.split('/').next().unwrap_or_default();
        address.parse::<IpAddr>().ok()
    });
    addresses.collect()
}

/// All strings in a file.
fn texts(text: &str) -> impl Iterator<Item = String> {
    let mut found = Vec::new();
    let table: Table = text.parse().unwrap_or_default();
    let mut rest: Vec<Value> = table.into_iter().map(|(_, value)| value).collect();
    while let Some(value) = rest.pop() {
        match value {
            Value::String(text) => found.push(text),
            Value::Array(values) => rest.extend(values),
            Value::Table(table) => rest.extend(table.into_iter().map(|(_, value)| value)),
            _ => {}
        }
    }
    found.into_iter()
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_stood_in_the_file_and_does_not_any_more_is_lost() {
        let old = "[[group]]\naddresses = [\"192.0.2.1/24\", { r1 = \"2001:db8::1/64\" }]\n\
                   [other]\nvia = \"192.0.2.9\"\n";
        let held = ["192.0.2.1", "2001:db8::1", "198.51.100.1"];
        let lost = |new: &str| {
            let held = held.iter().filter_map(|it| it.parse().ok());
            super::lost(held, old, new)
        };
        assert_eq!(lost(old), [""; 0]);
        // another prefix length or another group is no loss
        assert_eq!(lost("a = \"192.0.2.1/25\"\nb = \"2001:db8::1\""), [""; 0]);
        assert_eq!(lost("a = \"192.0.2.9\""), ["192.0.2.1", "2001:db8::1"]);
        assert_eq!(lost(""), ["192.0.2.1", "2001:db8::1"]);
        assert_eq!(lost("not = toml = at all").len(), 2);
    }

    #[test]
    fn a_name_that_stands_nowhere_any_more_is_another_one_now() {
        let of =
            |name: &str| format!("[[group]]\nname = \"{name}\"\n[other]\nfollow = [\"lab\"]\n");
        let is_renamed = |group: &str, new: &str| super::is_renamed(group, &of("office"), &of(new));
        assert!(is_renamed("office", "shop"));
        assert!(!is_renamed("office", "office"));
        assert!(!is_renamed("lab", "shop"));
        // a plugin that calls its groups otherwise
        assert!(!is_renamed("unknown", "shop"));
    }

    #[test]
    fn another_version_is_that_of_the_group_itself() {
        let of = |version: &str| {
            format!("[[group]]\nname = \"lab\"\n[[group]]\nname = \"office\"\n{version}\n")
        };
        let is_other =
            |old: &str, new: &str| super::has_other_version("office", &of(old), &of(new));
        assert!(is_other("version = 2", ""));
        assert!(is_other("", "version = 2"));
        assert!(!is_other(
            "version = 2",
            "version = 2\nadvert_interval = \"1 s\""
        ));
        assert!(!super::has_other_version(
            "lab",
            &of("version = 2"),
            &of("")
        ));
        assert!(!super::has_other_version("office", &of("version = 2"), ""));
    }
}
