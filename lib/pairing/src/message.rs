//! Messages of the nodes once they have proved that they know the code.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Fault;

/// Texts of a configuration, by path below the folder of `spared.toml`.
pub type Texts = BTreeMap<String, String>;

/// A message of either node.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(tag = "message", rename_all = "snake_case")]
pub enum Message {
    /// Configuration for both, of the first node.
    Configuration {
        files: Texts,
        /// Paths of scripts and other files that the first node has and the configuration uses: absolute, or below the
        /// folder of `spared.toml`.
        used: Vec<String>,
    },
    /// Changes that the second node would make; it has checked the files.
    Ready {
        changes: String,
        /// Files of `used` that the second node does not have.
        missing: Vec<String>,
    },
    /// Agreement of the first node to the changes.
    Go,
    /// The files are in place.
    Written,
    /// Nothing is done, for this reason.
    Refused { why: String },
}

impl Message {
    pub(crate) fn encode(&self) -> Vec<u8> {
        // texts are always JSON
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        let message: Self = serde_json::from_slice(bytes).map_err(|_| Fault::Malformed)?;
        match &message {
            Self::Configuration { files, .. } if !files.keys().all(|it| is_own(it)) => {
                Err(Fault::Malformed)
            }
            _ => Ok(message),
        }
    }
}

/// Returns true for a file of the configuration; a path of the other node leads nowhere else.
fn is_own(path: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let of_plugin = path
        .strip_prefix("plugins/")
        .and_then(|it| it.strip_suffix(".toml"));
    let is_plugin = of_plugin.is_some_and(|it| {
        (1..=64).contains(&it.len()) && it.chars().all(fits) && !it.starts_with('.')
    });
    path == "spared.toml" || is_plugin
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_the_configuration_are_taken() {
        for (path, expected) in [
            ("spared.toml", true),
            ("plugins/vrrp.toml", true),
            ("plugins/files-root.toml", true),
            ("key", false),
            ("/etc/passwd", false),
            ("plugins/../key", false),
            ("plugins/a/b.toml", false),
            ("plugins/.toml", false),
            ("plugins/..toml", false),
            ("hooks/run", false),
        ] {
            assert_eq!(is_own(path), expected, "{path}");
            let files = Texts::from([(path.to_owned(), String::new())]);
            let decoded = Message::decode(
                &Message::Configuration {
                    files,
                    used: Vec::new(),
                }
                .encode(),
            );
            assert_eq!(decoded.is_ok(), expected, "{path}");
        }
    }
}
