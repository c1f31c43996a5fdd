//! Addresses of active groups that a reload would remove at once.

use std::collections::BTreeSet;
use std::net::IpAddr;

use toml::{Table, Value};

/// The addresses of `held` that stand in the old text of a file and not in the new one. A plugin's file is not
/// interpreted: the addresses that occur anywhere in it are compared.
pub fn lost(held: impl Iterator<Item = IpAddr>, old: &str, new: &str) -> Vec<String> {
    let (old, new) = (named(old), named(new));
    let lost = held.filter(|it| old.contains(it) && !new.contains(it));
    lost.map(|it| it.to_string()).collect()
}

/// All addresses in a file, with or without a prefix length.
fn named(text: &str) -> BTreeSet<IpAddr> {
    let mut found = BTreeSet::new();
    let table: Table = text.parse().unwrap_or_default();
    let mut rest: Vec<Value> = table.into_iter().map(|(_, value)| value).collect();
    while let Some(value) = rest.pop() {
        match value {
            Value::String(text) => {
                let address = text.split('/').next().unwrap_or_default();
                found.extend(address.parse::<IpAddr>().ok());
            }
            Value::Array(values) => rest.extend(values),
            Value::Table(table) => rest.extend(table.into_iter().map(|(_, value)| value)),
            _ => {}
        }
    }
    found
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
        // not lost: another prefix length, or another group
        assert_eq!(lost("a = \"192.0.2.1/25\"\nb = \"2001:db8::1\""), [""; 0]);
        assert_eq!(lost("a = \"192.0.2.9\""), ["192.0.2.1", "2001:db8::1"]);
        assert_eq!(lost(""), ["192.0.2.1", "2001:db8::1"]);
        assert_eq!(lost("not = toml = at all").len(), 2);
    }
}
