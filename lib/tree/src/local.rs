//! Messages between the two halves of a node.
//!
//! The half that talks to the peer opens no file of a tree. It requests the manifest and contents from the root half by
//! the name of a tree and a hash, never by a path. It stores what it receives from the peer in its own folder, from
//! where the root half takes it.

use serde::{Deserialize, Serialize};

use crate::Hash;

/// Name of the plugin that talks to the peer, and of its folder, which is next to the root half's.
pub const FILES: &str = "files";
pub const ROOT: &str = "files-root";
/// Folder within the folder of `files`, with a file for each content, named by its hash, and one for the manifest.
pub const STAGE: &str = "stage";
/// Maximum number of bytes of a content or a manifest in one message.
pub const PIECE: usize = 48 << 10;

/// Request from `files`. Each has one answer with its ticket, except that a manifest comes in several parts and that
/// `Withdraw` has none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Requests the manifest of a tree as it is now, unless it has this digest.
    Scan {
        ticket: u64,
        tree: String,
        known: Option<Hash>,
    },
    /// Requests a piece of a content of the last scan.
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
        /// Origin of the manifest, for the log of the tree.
        origin: String,
        /// Seconds after which the old tree is restored unless the new one is confirmed; 0: the new one stays.
        confirm_s: u32,
        /// True if the manifest is only checked, and not put in place.
        only_check: bool,
        /// For spared's own configuration: true if the daemon may remove addresses of an active group.
        insists: bool,
    },
    /// Checks and applies spared's own configuration as it is here; the configuration in force before can be restored.
    Apply {
        ticket: u64,
        confirm_s: u32,
        only_check: bool,
        insists: bool,
    },
    /// Restores now the state before a change that waits for a confirmation.
    GoBack { ticket: u64, tree: String },
    /// Confirms a tree that waits for it, so that it stays; None: every such tree.
    Confirm { ticket: u64, tree: Option<String> },
    /// Restores an earlier state.
    Back {
        ticket: u64,
        tree: String,
        state: u64,
        insists: bool,
    },
    /// Requests the list of kept states.
    Log { ticket: u64, tree: String },
    /// Withdraws the `Install` with this ticket: it ends without a change, unless the change has begun.
    Withdraw { ticket: u64 },
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
            | Self::Log { ticket, .. }
            | Self::Withdraw { ticket } => *ticket,
        }
    }
}

/// Answer or message from `files-root`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// Piece of a manifest or of a content.
    Piece {
        ticket: u64,
        bytes: Vec<u8>,
        is_last: bool,
    },
    /// The tree has the known digest.
    Unchanged {
        ticket: u64,
    },
    /// Result of a command, or a sentence with the reason why nothing was done.
    Done {
        ticket: u64,
        result: Result<Finished, String>,
    },
    /// Sent before the answer to each `Scan`: seconds after which the tree is restored unless it is confirmed.
    Waits {
        tree: String,
        left_s: Option<u32>,
    },
    States {
        ticket: u64,
        states: Vec<StateInfo>,
    },
    /// Event without a request, such as the end of an interrupted change.
    Event {
        tree: String,
        text: String,
    },
    /// Sent before the answer to each `Scan` of a tree with `exclude`: folders that cannot be removed because they
    /// contain an excluded file, and the file's name. The list is cut if it does not fit a message.
    Holding {
        tree: String,
        folders: Vec<(String, String)>,
    },
}

/// Outcome of a command that succeeded: programs decide by it, never by the accompanying sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChangeOutcome {
    /// The files, or the configuration in force, were changed.
    Changed,
    /// Everything was already as requested.
    Same,
    /// The check accepts it; nothing was changed.
    Checked,
    /// The changes that would be made are listed.
    Listed,
    Confirmed,
    /// An earlier state was restored.
    Back,
}

/// Successful command, with its text for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    pub outcome: ChangeOutcome,
    pub lines: Vec<String>,
}

impl ChangeOutcome {
    /// Word for the outcome in rows.
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

/// Separator between a reason and a program's output, which may hold secrets of the files and is only for the
/// requester.
pub const OUTPUT: char = '\n';

/// Reason in a form that may be logged and shown to everybody: without the output of programs.
pub fn without_output(why: &str) -> &str {
    why.split(OUTPUT).next().unwrap_or_default()
}

/// Reason, and the result of the restore, which is also for those who may not read the output of programs.
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

/// Whole reason in one line, for those who may read the files.
pub fn with_output(why: &str) -> String {
    why.replace(OUTPUT, ": ")
}

/// State of a tree that can be restored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateInfo {
    pub number: u64,
    /// Time when it was kept, in seconds since 1970.
    pub kept_s: u64,
    /// Reason why it was replaced.
    pub why: String,
    pub digest: Hash,
    pub files: u64,
    /// True if the tree is in this state now.
    pub is_present: bool,
}

/// Encodes a message; empty if it is too long for one.
pub fn encode<M: Serialize>(message: &M) -> Vec<u8> {
    postcard::to_stdvec(message).unwrap_or_default()
}

/// # Errors
/// The bytes are not such a message.
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
