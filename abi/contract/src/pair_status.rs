//! State of the pair, and its events.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::named::named;
use crate::record::record;
use crate::{LogLevel, Role};

named! {
    /// State of the pair in a word, from best to worst.
    #[derive(PartialOrd, Ord)]
    #[serde(rename_all = "kebab-case")]
    pub enum VerdictWord {
        /// Both nodes are as configured, and a failover now loses nothing.
        Ok = VERDICT_OK,
        /// A failover works or may work; the findings name what is wrong. A plugin is told this also for a word that
        /// its SDK does not know.
        #[serde(rename = "degraded")]
        Warn = VERDICT_WARN,
        /// A node serves; it cannot be known whether a failover would work.
        Unknown = VERDICT_UNKNOWN,
        /// A node serves, and there is no backup.
        Alone = VERDICT_ALONE,
        /// Two routers are active.
        Conflict = VERDICT_CONFLICT,
        /// Nobody is active.
        None = VERDICT_NONE,
    }
    default is Ok
    unknown is Warn
}

impl VerdictWord {
    /// Word that is printed before a headline.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warn => "WARN",
            Self::Unknown => "UNKNOWN",
            Self::Alone => "ALONE",
            Self::Conflict => "CONFLICT",
            Self::None => "NONE",
        }
    }

    /// Word that `probe` and the JSON contain.
    pub fn probe_word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "degraded",
            Self::Unknown => "unknown",
            Self::Alone => "alone",
            Self::Conflict => "conflict",
            Self::None => "none",
        }
    }

    /// Exit code of `status` and `probe`.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Warn | Self::Unknown => 1,
            Self::Alone | Self::Conflict => 2,
            Self::None => 3,
        }
    }
}

impl fmt::Display for VerdictWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

record! {
    /// State of the pair, as `sparectl status` prints it: bounded, so that it always fits a record.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
    pub struct PairStatus {
        /// The worst of all groups.
        pub verdict: VerdictWord = 0,
        /// This node's quality, 0-100.
        pub quality: u8 = 1,
        /// A failover to this node would lose nothing.
        pub ready: bool = 2,
        /// There is a session with the peer.
        pub link_up: bool = 3,
        /// This node's name.
        pub node: String = 4,
        /// The peer's name; empty if there is none.
        pub peer: String = 5,
        /// All groups; without groups one that says so.
        pub groups: Vec<GroupHeadline> = 6,
        /// Findings on both nodes, worst first.
        pub findings: Vec<FindingRecord> = 7,
        /// Groups and findings for which there was no room.
        pub left_out: u32 = 8,
    }
}

record! {
    /// State of a group.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
    pub struct GroupHeadline {
        /// Verdict on the group, in a word.
        pub verdict: VerdictWord = 0,
        /// The configured name; empty: there is no group.
        pub group: String = 1,
        /// A sentence with the group's name.
        pub headline: String = 2,
        /// Role of this node.
        pub role: Option<Role> = 3,
    }
}

record! {
    /// A fault, or a state that is not as configured.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
    pub struct FindingRecord {
        /// "SP-0401".
        pub id: String = 0,
        /// Node with the fault.
        pub node: String = 1,
        /// Object with the fault.
        pub thing: String = 2,
        /// The fault.
        pub text: String = 3,
        /// Remedy; may be empty.
        pub todo: String = 4,
        /// Local time; empty: not known.
        pub since: String = 5,
    }
}

record! {
    /// An event, as in `sparectl events`.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
    pub struct EventRecord {
        /// [`LogLevel::Error`], [`LogLevel::Warn`] or [`LogLevel::Info`].
        pub level: LogLevel = 0,
        /// Events before this one that were not told.
        pub lost: u64 = 1,
        /// Local time.
        pub at: String = 2,
        /// One word: "role".
        pub kind: String = 3,
        /// The group; empty: of none.
        pub group: String = 4,
        /// One word; may be empty.
        pub reason: String = 5,
        /// The event.
        pub text: String = 6,
    }
}
