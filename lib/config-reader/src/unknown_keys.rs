//! Refuses keys that nobody asked for: a typing error must not silently lead to a default.

use std::collections::BTreeMap;

use super::{Failure, HOST_KEYS, Notes, Scope, bracketed, escape, join, nearest};

/// Maximum number of keys that are listed: nobody reads a longer list.
const LISTED_MAX: usize = 12;

type Keys = BTreeMap<String, Scope>;

impl Notes {
    // Examines only sections that were opened: a value that was refused as a whole is one fault.
    pub(super) fn refuse_unknown(
        &self,
        table: &toml::Table,
        path: &str,
        faults: &mut Vec<Failure>,
    ) {
        let Some(known) = self.known.get(path) else {
            return;
        };
        for (key, value) in table {
            let below = join(path, &escape(key));
            if !known.contains_key(key) {
                faults.push(Failure {
                    key: below,
                    why: self.unknown(path, key, known),
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

    /// Reason why the key is refused: the key that was meant, the table that has it, or the allowed keys.
    fn unknown(&self, path: &str, key: &str, known: &Keys) -> String {
        if let Some(meant) = nearest(key, known.keys().map(String::as_str)) {
            return format!("unknown key: did you mean \"{meant}\"?");
        }
        if let Some(place) = self.place_of(path, key) {
            return format!("unknown key here: it belongs {place}");
        }
        let is_own = |name: &&str| !(path.is_empty() && HOST_KEYS.contains(name));
        let own: Vec<&str> = known.keys().map(String::as_str).filter(is_own).collect();
        match own.len() {
            0 => "unknown key, allowed: none here".to_owned(),
            1..=LISTED_MAX => format!("unknown key, allowed: {}", own.join(", ")),
            count => format!("unknown key: none of the {count} that its manual page lists"),
        }
    }

    /// Another table of this file that has the key.
    fn place_of(&self, path: &str, key: &str) -> Option<String> {
        let mut places = self.known.iter();
        let (place, _) = places.find(|(place, keys)| *place != path && keys.contains_key(key))?;
        Some(if place.is_empty() {
            "at the top of the file, above the first [table]".to_owned()
        } else {
            format!("in {}", bracketed(place))
        })
    }
}
