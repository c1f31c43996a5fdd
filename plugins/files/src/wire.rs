//! Messages to the peer plugin, encoded by postcard.
//!
//! ```text
//! State                       either way, at each change        what the tree is here
//! Ask ─► Piece.. or Refuse    of a manifest
//! Fetch ─► Piece.. or Refuse  of a content of that manifest, in order
//! Taken                       what was asked for is in place: both nodes have had it
//! AnnounceOffer               "an Offer of this ticket follows: read the tree meanwhile"
//! Offer ─► Report             "ask me, and put it in place"
//! Stop                        ends what an Offer began
//! Confirm ─► Report           what waits for it stays in place
//! GoBack ─► Report            what waits to be confirmed goes back at once
//! ```
//!
//! The node that asks or offers chooses the ticket.

use serde::{Deserialize, Serialize};
use spared_tree::Hash;
use spared_tree::local::{Finished, OUTPUT};

/// Maximum number of file names in a `State`.
pub const NAMES_MAX: usize = 3;
const NAME_BYTES_MAX: usize = 200;
const WHY_MAX: usize = 400;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    State(TreeState),
    Ask {
        ticket: u64,
        tree: String,
    },
    Fetch {
        ticket: u64,
        hash: Hash,
    },
    Piece {
        ticket: u64,
        bytes: Vec<u8>,
        is_last: bool,
    },
    Refuse {
        ticket: u64,
        why: String,
    },
    Offer {
        ticket: u64,
        tree: String,
        how: How,
        /// Digest of the offered tree: a node that has it already requests nothing, and one for which nobody requested
        /// the tree takes no other.
        digest: Option<Hash>,
    },
    Report {
        ticket: u64,
        result: Result<Finished, String>,
    },
    Stop {
        ticket: u64,
    },
    Taken {
        ticket: u64,
    },
    Confirm {
        ticket: u64,
        /// Tree to confirm; None: every tree that waits for a confirmation.
        tree: Option<String>,
    },
    GoBack {
        ticket: u64,
        tree: String,
    },
    AnnounceOffer {
        ticket: u64,
        tree: String,
    },
}

/// Manner in which a tree is put in place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct How {
    /// True if the changes are only listed.
    pub is_dry: bool,
    /// True if changes of the receiving node may be lost, and if a configuration of spared may remove addresses of an
    /// active group.
    pub anyway: bool,
    /// True if nobody requested it: the active node sends the tree automatically.
    pub is_automatic: bool,
    /// Seconds after which the change is reverted unless it is confirmed; 0: it stays.
    pub confirm_s: u32,
    /// True if the tree is fetched and checked, but not put in place.
    pub only_check: bool,
}

/// State of a tree on a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeState {
    pub tree: String,
    /// Hash of the tree's paths and patterns; only trees of equal scope are compared.
    pub scope: Hash,
    /// Digest, or the reason why the tree cannot be read.
    pub digest: Result<Hash, String>,
    /// Digest of the state that both nodes last had, as this node knows it; None if they never were equal.
    pub base: Option<Hash>,
    /// Number of differences from that state.
    pub changes: Option<u32>,
    /// Some of the paths that differ.
    pub names: Vec<String>,
    /// Seconds after which the change is reverted unless it is confirmed.
    pub waits_s: Option<u32>,
}

pub fn encode(message: &Message) -> Vec<u8> {
    postcard::to_stdvec(message).unwrap_or_default()
}

/// # Errors
/// The bytes are not a message of this protocol.
pub fn decode(bytes: &[u8]) -> Result<Message, String> {
    let message = match postcard::take_from_bytes(bytes) {
        Ok((message, [])) => message,
        Ok((_, rest)) => return Err(format!("{} bytes after the message", rest.len())),
        Err(error) => return Err(error.to_string()),
    };
    Ok(match message {
        Message::State(state) => Message::State(cut(state)),
        Message::Refuse { ticket, why } => Message::Refuse {
            ticket,
            why: plain(&why, WHY_MAX),
        },
        Message::Report { ticket, result } => {
            let line = |it: &String| plain(it, WHY_MAX);
            let shown = |it: Finished| Finished {
                lines: it.lines.iter().map(line).collect(),
                ..it
            };
            let result = result.map(shown).map_err(|why| reason(&why));
            Message::Report { ticket, result }
        }
        other => other,
    })
}

/// State with its texts cut to the lengths of a message.
fn cut(mut state: TreeState) -> TreeState {
    state.names.truncate(NAMES_MAX);
    for name in &mut state.names {
        *name = plain(name, NAME_BYTES_MAX);
    }
    state.digest = state.digest.map_err(|why| plain(&why, WHY_MAX));
    state
}

/// Reason from the peer; a program's output stays separate.
fn reason(why: &str) -> String {
    let parts: Vec<String> = why.split(OUTPUT).map(|it| plain(it, WHY_MAX)).collect();
    let separator = OUTPUT.to_string();
    parts.join(&separator).chars().take(WHY_MAX).collect()
}

/// Text of the peer as it may be shown: in one line, and at most `limit` characters.
fn plain(text: &str, limit: usize) -> String {
    let shown = |c: char| if c.is_control() { '?' } else { c };
    text.chars().take(limit).map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_these_bytes() {
        let ask = Message::Ask {
            ticket: 300,
            tree: "fw".to_owned(),
        };
        assert_eq!(encode(&ask), [1, 0xac, 2, 2, b'f', b'w']);
        let stop = Message::Stop { ticket: 5 };
        assert_eq!(encode(&stop), [7, 5]);
        let how = How {
            is_dry: true,
            ..How::default()
        };
        let tree = "fw".to_owned();
        let offer = Message::Offer {
            ticket: 1,
            tree,
            how,
            digest: None,
        };
        assert_eq!(encode(&offer), [5, 1, 2, b'f', b'w', 1, 0, 0, 0, 0, 0]);
        for message in [ask, stop, offer] {
            assert_eq!(decode(&encode(&message)), Ok(message));
        }
    }

    #[test]
    fn garbage_is_refused_and_texts_of_the_peer_are_cut() {
        for bytes in [&[][..], &[12], &[1, 0xff], &[7, 5, 0], &[1, 1, 9, b'x']] {
            decode(bytes).expect_err("garbage");
        }
        let why = format!("\x1b said{OUTPUT}it\r{}", "x".repeat(1000));
        let report = encode(&Message::Report {
            ticket: 1,
            result: Err(why),
        });
        let Ok(Message::Report { result, .. }) = decode(&report) else {
            panic!("no report");
        };
        let why = result.expect_err("a reason");
        assert!(
            why.len() == WHY_MAX && why.starts_with("? said\nit?x"),
            "{why}"
        );
        let state = TreeState {
            tree: "fw".to_owned(),
            scope: Hash([0; 32]),
            digest: Err("\x1b[31m".repeat(1000)),
            base: None,
            changes: Some(1),
            names: vec!["\n".repeat(4096); 100],
            waits_s: None,
        };
        let Ok(Message::State(state)) = decode(&encode(&Message::State(state))) else {
            panic!("no state");
        };
        assert_eq!(state.names, vec!["?".repeat(NAME_BYTES_MAX); NAMES_MAX]);
        let why = state.digest.expect_err("a fault");
        assert!(why.len() == WHY_MAX && why.starts_with("?[31m"), "{why}");
    }
}
