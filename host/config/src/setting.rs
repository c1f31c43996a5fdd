//! Finds kernel settings that plugins set by role, without knowing any plugin: the `key` of a table is such a name.

use toml::{Table, Value};

use super::Setup;

/// Pairs of names of the same setting.
const SAME: [(&str, &str); 1] = [("net.ipv4.conf.all.forwarding", "net.ipv4.ip_forward")];

impl Setup {
    /// Kernel settings, such as "net.ipv4.ip_forward", that an enabled plugin may set.
    pub fn settings(&self) -> Vec<String> {
        let mut found = Vec::new();
        for plugin in self.plugins.iter().filter(|plugin| plugin.enabled) {
            // text that is not TOML sets nothing
            let table: Table = plugin.text.parse().unwrap_or_default();
            walk(&table, &mut found);
        }
        found
    }
}

fn walk(table: &Table, found: &mut Vec<String>) {
    let key = table.get("key").and_then(Value::as_str);
    found.extend(key.map(canonical));
    for value in table.values() {
        match value {
            Value::Table(inner) => walk(inner, found),
            Value::Array(items) => {
                let inner = items.iter().filter_map(Value::as_table);
                inner.for_each(|inner| walk(inner, found));
            }
            _ => {}
        }
    }
}

/// Name as sysctl(8) prints it: dots between the parts, and slashes for the dots of an interface's name.
fn canonical(key: &str) -> String {
    let first = key.chars().find(|letter| matches!(letter, '.' | '/'));
    let swapped = |letter| match letter {
        '/' => '.',
        '.' => '/',
        other => other,
    };
    let dotted = match first {
        Some('/') => key.chars().map(swapped).collect(),
        _ => key.to_owned(),
    };
    let same = SAME.iter().find(|(name, _)| *name == dotted);
    same.map_or(dotted, |(_, name)| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Vec<String> {
        let mut found = Vec::new();
        walk(&text.parse().unwrap_or_default(), &mut found);
        found
    }

    #[test]
    fn a_setting_is_found_under_each_of_its_names() {
        let of = |key: &str| {
            settings(&format!(
                "[[sysctl]]\nkey = \"{key}\"\nwhile_active = \"1\"\n"
            ))
        };
        for key in [
            "net.ipv4.ip_forward",
            "net/ipv4/ip_forward",
            "net.ipv4.conf.all.forwarding",
        ] {
            assert_eq!(of(key), ["net.ipv4.ip_forward"]);
        }
        for key in [
            "net.ipv4.conf.lan/7.forwarding",
            "net/ipv4/conf/lan.7/forwarding",
        ] {
            assert_eq!(of(key), ["net.ipv4.conf.lan/7.forwarding"]);
        }
    }

    #[test]
    fn a_comment_or_a_broken_file_sets_nothing() {
        assert_eq!(settings("# key = \"net.ipv4.ip_forward\""), [""; 0]);
        assert_eq!(settings("key = \"net.ipv4.ip_forward\"\n[["), [""; 0]);
    }
}
