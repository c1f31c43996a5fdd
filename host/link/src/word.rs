//! What hosts say to each other over the link: JSON, so that versions may differ. An unknown word
//! is [`Word::Unknown`], an unknown field is passed over, a missing one has its default.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use spared_pair::NodeFacts;

/// Longest word, as JSON.
pub const WORD_MAX: usize = 160 * 1024;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "word", rename_all = "kebab-case")]
pub enum Word {
    /// A request of `spared-control`, as its JSON line; answered under the same id.
    Ask { id: u64, request: String },
    /// An answer of `spared-control`, as its JSON line.
    Answer { id: u64, answer: String },
    /// The sender's configuration: a digest per file, of the keys that the pair must share.
    Digests { files: BTreeMap<String, String> },
    /// The keys of a file whose digests differ, as text.
    Keys {
        file: String,
        keys: BTreeMap<String, String>,
    },
    /// Give me the keys of these files.
    WantKeys { files: Vec<String> },
    /// What the sender is.
    Status(Box<NodeFacts>),
    /// E6: the sender, active, wants to switch over a group.
    Offer {
        switchover: u64,
        group: String,
        reason: String,
        why: String,
        /// Even where the receiver is not ready.
        anyway: bool,
        /// How long it may take.
        within_ms: u64,
        /// Channels in which a mark follows, of id `switchover`.
        channels: Vec<String>,
    },
    /// E6: the receiver of an offer is prepared: peers have applied everything, addresses wait.
    Prepared { switchover: u64 },
    /// E6: it will not, or cannot in time.
    Declined { switchover: u64, why: String },
    /// E6: the offer is taken back.
    Cancelled { switchover: u64, why: String },
    /// E6: the receiver is active.
    Took { switchover: u64 },
    /// Please switch this group over to me (switch, asked of the backup).
    Request {
        group: String,
        reason: String,
        why: String,
        anyway: bool,
    },
    /// The sender does not switch over a group that was requested.
    Refused { group: String, why: String },
    /// No change of role for quality or preference for so long.
    Freeze { for_ms: u64, by: String },
    #[serde(other)]
    Unknown,
}

/// Said when the session begins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Introduction {
    pub node: String,
    /// Of spared.
    pub version: String,
    /// RFC 3339.
    pub booted: String,
    pub started: String,
}

/// A word inside a message of another encoding.
pub mod as_json {
    use serde::de::Error as _;
    use serde::ser::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Word;

    pub fn serialize<S: Serializer>(word: &Word, serializer: S) -> Result<S::Ok, S::Error> {
        let text = serde_json::to_string(word).map_err(S::Error::custom)?;
        serializer.serialize_str(&text)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Word, D::Error> {
        let text = String::deserialize(deserializer)?;
        serde_json::from_str(&text).map_err(D::Error::custom)
    }
}
