//! Keys that nobody asked for: a typing error must not be taken for a default.

use std::collections::BTreeMap;

use super::{Fault, HOST_KEYS, Notes, Scope, escape, join};

impl Notes {
    // Walks only sections that were opened: a value that was refused as a whole is one fault.
    pub(super) fn refuse_unknown(&self, table: &toml::Table, path: &str, faults: &mut Vec<Fault>) {
        let Some(known) = self.known.get(path) else {
            return;
        };
        for (key, value) in table {
            let below = join(path, &escape(key));
            if !known.contains_key(key) {
                faults.push(Fault {
                    key: below,
                    why: format!("unknown key, allowed: {}", allowed(path, known)),
                });
                continue;
            }
            match value {
                toml::Value::Table(table) => self.refuse_unknown(table, &below, faults),
                toml::Value::Array(array) => {
                    for (position, value) in array.iter().enumerate() {
                        if let toml::Value::Table(table) = value {
                            self.refuse_unknown(table, &format!("{below}.{position}"), faults);
                        }
                    }
                }
                _ => {}
            }
        }
    }
}

fn allowed(path: &str, known: &BTreeMap<String, Scope>) -> String {
    let own: Vec<&str> = known
        .keys()
        .map(String::as_str)
        .filter(|key| !(path.is_empty() && HOST_KEYS.contains(key)))
        .collect();
    if own.is_empty() {
        return "none here".to_owned();
    }
    own.join(", ")
}
