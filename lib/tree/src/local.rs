//! Messages between the two halves of a node.
//!
//! The half that talks to the peer opens no file of a tree. It asks the root half for the manifest and for
//! contents, by the name of a tree and a hash, never by a path; what it received from the peer lies in its own
//! folder, from where the root half takes it.

use serde::{Deserialize, Serialize};

use crate::Hash;

/// Name of the plugin that talks to the peer, and of its folder beside the root half's.
pub const FILES: &str = "files";
pub const ROOT: &str = "files-root";
/// Folder in the folder of `files` with a file for each content, named by its hash, and for the manifest.
pub const STAGE: &str = "stage";
/// Bytes of a content or a manifest in one message.
pub const PIECE: usize = 48 << 10;

/// From `files`. Each has one answer with its ticket, but for a manifest in parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// The manifest of a tree as it is now, unless it has this digest.
    Scan {
        ticket: u64,
        tree: String,
        known: Option<Hash>,
    },
    /// A piece of a content of the last scan.
    Read {
        ticket: u64,
        tree: String,
        hash: Hash,
        offset: u64,
    },
    /// Puts the staged manifest in place of the tree, if the tree is as expected.
    Install {
        ticket: u64,
        tree: String,
        manifest: Hash,
        /// Digest of the tree as it is now.
        expected: Hash,
        /// Where it comes from, for the log of the tree.
        origin: String,
        /// Seconds after which it goes back unless it is confirmed; 0: it stays.
        confirm_s: u32,
        /// It is checked, and not put in place.
        only_check: bool,
        /// Of spared's own configuration: the daemon may remove addresses of an active group.
        insists: bool,
    },
    /// Checks and applies spared's own configuration as it is here; what was in force before can come back.
    Apply {
        ticket: u64,
        confirm_s: u32,
        only_check: bool,
        insists: bool,
    },
    /// What waits for a confirmation goes back now.
    GoBack { ticket: u64, tree: String },
    /// A tree that waits for it stays; None: every one that does.
    Confirm { ticket: u64, tree: Option<String> },
    /// Puts an earlier state back.
    Back {
        ticket: u64,
        tree: String,
        state: u64,
        insists: bool,
    },
    /// The states that there are.
    Log { ticket: u64, tree: String },
}

impl Request {
    pub fn ticket(&self) -> u64 {
        match self {
            Self::Scan { ticket, .. }
            | Self::Read { ticket, .. }
            | Self::Install { ticket, .. }
            | Self::Apply { ticket, .. }
            | Self::GoBack { ticket, .. }
            | Self::Confirm { ticket, .. }
            | Self::Back { ticket, .. }
            | Self::Log { ticket, .. } => *ticket,
        }
    }
}

/// From `files-root`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// A piece of a manifest or of a content.
    Piece {
        ticket: u64,
        bytes: Vec<u8>,
        is_last: bool,
    },
    /// The tree has the known digest.
    Unchanged {
        ticket: u64,
    },
    /// What was done, or a sentence why nothing was.
    Done {
        ticket: u64,
        result: Result<Finished, String>,
    },
    /// Before the answer to each `Scan`: seconds after which the tree goes back unless it is confirmed.
    Waits {
        tree: String,
        left_s: Option<u32>,
    },
    States {
        ticket: u64,
        states: Vec<StateInfo>,
    },
    /// Something that happened by itself, such as the end of an interrupted change.
    Event {
        tree: String,
        text: String,
    },
    /// Before the answer to each `Scan` of a tree with `exclude`: folders that cannot be removed, as they hold something
    /// that is excluded, and its name. Not all if they are too many for a message.
    Holding {
        tree: String,
        folders: Vec<(String, String)>,
    },
}

/// How a command ended that succeeded: programs decide by this, never by the sentence beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChangeOutcome {
    /// Files, or the configuration in force, are others now.
    Changed,
    /// All was so already.
    Same,
    /// The check accepts it; nothing was changed.
    Checked,
    /// What would change is listed.
    Listed,
    Confirmed,
    /// An earlier state is in place again.
    Back,
}

/// A command that succeeded, with what it says to people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    pub outcome: ChangeOutcome,
    pub lines: Vec<String>,
}

impl ChangeOutcome {
    /// The word of rows.
    pub fn word(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Same => "same",
            Self::Checked => "checked",
            Self::Listed => "listed",
            Self::Confirmed => "confirmed",
            Self::Back => "back",
        }
    }

    pub fn with(self, line: impl Into<String>) -> Finished {
        Finished {
            outcome: self,
            lines: vec![line.into()],
        }
    }
}

impl Finished {
    pub fn text(&self) -> String {
        self.lines.join("; ")
    }
}

/// Between the sentence of a reason and what a program said, which may hold secrets of the files: that is only for those who asked.
pub const OUTPUT: char = '\n';

/// A reason as it may be logged and shown to everybody: without what programs said.
pub fn without_output(why: &str) -> &str {
    why.split(OUTPUT).next().unwrap_or_default()
}

/// A reason, and what became of the way back: that is for those, too, who may not read what programs said.
pub fn and_on_the_way_back(why: &str, again: &str) -> String {
    let (reason, said) = why.split_once(OUTPUT).unwrap_or((why, ""));
    let (again, said_again) = again.split_once(OUTPUT).unwrap_or((again, ""));
    let mut all = format!("{reason}; putting the old state back failed: {again}");
    for said in [said, said_again].into_iter().filter(|it| !it.is_empty()) {
        all.push(OUTPUT);
        all.push_str(said);
    }
    all
}

/// All of a reason in one line, for those who may read the files.
pub fn with_output(why: &str) -> String {
    why.replace(OUTPUT, ": ")
}

/// A state of a tree that can be put back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateInfo {
    pub number: u64,
    /// Seconds since 1970 when it was kept.
    pub kept_s: u64,
    /// What replaced it.
    pub why: String,
    pub digest: Hash,
    pub files: u64,
    /// Whether the tree is so now.
    pub is_present: bool,
}

/// Bytes of a message; empty if it does not fit one.
pub fn encode<M: Serialize>(message: &M) -> Vec<u8> {
    postcard::to_stdvec(message).unwrap_or_default()
}

/// # Errors
/// The bytes are no such message.
pub fn decode<'m, M: Deserialize<'m>>(bytes: &'m [u8]) -> Result<M, String> {
    match postcard::take_from_bytes(bytes) {
        Ok((message, [])) => Ok(message),
        _ => Err("malformed".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_became_of_the_way_back_is_no_output() {
        let [why, again] = [
            "make ended\nsecret",
            "its files are back, but make ended\nagain",
        ];
        let all = and_on_the_way_back(why, again);
        let reason =
            "make ended; putting the old state back failed: its files are back, but make ended";
        assert_eq!(without_output(&all), reason);
        assert_eq!(with_output(&all), format!("{reason}: secret: again"));
        let short = and_on_the_way_back("spared refused it", "EIO");
        assert_eq!(
            short,
            "spared refused it; putting the old state back failed: EIO"
        );
    }
}
