//! Words, the messages between the hosts over the link: JSON, so that versions may differ. An
//! unknown word is [`Word::Unknown`], an unknown field is ignored, a missing one has its default.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use spared_verdict::{MachineFacts, NodeFacts};

/// Maximum bytes of a word, as JSON.
pub const WORD_MAX: usize = 160 * 1024;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "word", rename_all = "kebab-case")]
pub enum Word {
    /// Request of `control`, as its JSON line. The answer has the same id.
    Ask {
        id: u64,
        request: String,
        /// True if the request changes something. The receiver first asks whether it is still wanted
        /// ([`Word::MayBegin`]).
        #[serde(default, skip_serializing_if = "is_default")]
        is_order: bool,
    },
    /// The sender is ready to begin the request with this id.
    MayBegin { id: u64 },
    /// Answer to [`Word::MayBegin`]: the sender still wants the request, or nobody waits for it any more.
    Begin { id: u64, is_wanted: bool },
    /// Answer of `control`, as its JSON line.
    Answer { id: u64, answer: String },
    /// The sender's configuration: a digest per file, of the keys that the pair must share.
    Digests { files: BTreeMap<String, String> },
    /// Keys of a file whose digests differ, with their values.
    Keys {
        file: String,
        keys: BTreeMap<String, ConfigValue>,
    },
    /// Request for the keys of these files.
    WantKeys { files: Vec<String> },
    /// Facts about the sender.
    Status(Box<NodeFacts>),
    /// Settings of the sender's machine that must be equal on both machines; sent at each change.
    Machine(Box<MachineFacts>),
    /// E6: the active sender offers to switch a group over.
    Offer {
        switchover: u64,
        group: String,
        reason: String,
        why: String,
        /// True to switch over even if the receiver is not ready.
        anyway: bool,
        /// True if the sender serves nobody or is being stopped (E13): not even a forced role or maintenance of the
        /// receiver counts. Absent in earlier versions.
        #[serde(default, skip_serializing_if = "is_default")]
        unserved: bool,
        /// Time limit of the switchover in ms.
        within_ms: u64,
        /// Channels in which a mark with the id `switchover` follows.
        channels: Vec<String>,
    },
    /// E6: the receiver of an offer is prepared: its plugins have applied everything, addresses
    /// wait behind the fence.
    Prepared { switchover: u64 },
    /// E6: the receiver of an offer declines, or is not prepared in time.
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
    /// Freezes roles for this time: no change because of quality or preference. 0 ends the freeze.
    Freeze {
        for_ms: u64,
        by: String,
        /// Time since the administrator's order in ms: the newer order counts.
        #[serde(default)]
        age_ms: u64,
    },
    #[serde(other)]
    Unknown,
}

/// Value of the configuration, in the form that both nodes compare.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConfigValue {
    pub text: String,
    /// True if a difference makes the nodes no pair: a group, its VRIDs or its addresses.
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
    /// Version of spared.
    pub version: String,
    /// Time of the machine's boot, as in RFC 3339.
    pub booted: String,
    pub started: String,
}

/// Encoding of a word inside a message of another encoding.
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
