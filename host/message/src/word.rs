//! Words, the messages between the hosts over the link: JSON, so that versions may differ. An
//! unknown word is [`Word::Unknown`], an unknown field is ignored, a missing one has its default.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use spared_pair::{MachineFacts, NodeFacts};

/// Longest word, as JSON.
pub const WORD_MAX: usize = 160 * 1024;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "word", rename_all = "kebab-case")]
pub enum Word {
    /// A request of `spared-control`, as its JSON line; answered under the same id.
    Ask {
        id: u64,
        request: String,
        /// It changes something: the receiver first asks whether it is still wanted ([`Word::MayBegin`]).
        #[serde(default, skip_serializing_if = "is_default")]
        is_order: bool,
    },
    /// The sender would begin what it was asked under this id.
    MayBegin { id: u64 },
    /// It may, or nobody waits for that any more.
    Begin { id: u64, is_wanted: bool },
    /// An answer of `spared-control`, as its JSON line.
    Answer { id: u64, answer: String },
    /// The sender's configuration: a digest per file, of the keys that the pair must share.
    Digests { files: BTreeMap<String, String> },
    /// The keys of a file whose digests differ, in words.
    Keys {
        file: String,
        keys: BTreeMap<String, ConfigValue>,
    },
    /// Request for the keys of these files.
    WantKeys { files: Vec<String> },
    /// Facts about the sender.
    Status(Box<NodeFacts>),
    /// What must be equal on both machines, as the sender has it; at each change.
    Machine(Box<MachineFacts>),
    /// E6: the active sender offers to switch a group over.
    Offer {
        switchover: u64,
        group: String,
        reason: String,
        why: String,
        /// Also if the receiver is not ready.
        anyway: bool,
        /// Time limit of the switchover.
        within_ms: u64,
        /// Channels in which a mark with the id `switchover` follows.
        channels: Vec<String>,
    },
    /// E6: the receiver of an offer is prepared: its plugins have applied everything, addresses
    /// wait behind the fence.
    Prepared { switchover: u64 },
    /// E6: it declines, or is not prepared in time.
    Declined { switchover: u64, why: String },
    /// E6: the sender withdraws the offer.
    Cancelled { switchover: u64, why: String },
    /// E6: the sender, which received the offer, is active.
    Took { switchover: u64 },
    /// Request to switch this group over to the sender (`sparectl switch` on the backup).
    Request {
        group: String,
        reason: String,
        why: String,
        anyway: bool,
    },
    /// The sender declines a request to switch a group over.
    Refused { group: String, why: String },
    /// No role changes because of quality or preference for this time; 0: no longer so.
    Freeze {
        for_ms: u64,
        by: String,
        /// Time since the administrator said so: the newer word counts.
        #[serde(default)]
        age_ms: u64,
    },
    #[serde(other)]
    Unknown,
}

/// A value of the configuration, as both nodes compare it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConfigValue {
    pub text: String,
    /// Its key makes the nodes no pair if it differs: a group, its VRIDs or its addresses.
    #[serde(skip_serializing_if = "is_default")]
    pub is_of_group: bool,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The first word of a session.
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
