//! Messages to the peer plugin, version 1: JSON, as `{"Reached":["mail"]}`.
//!
//! After the channel is up each node sends the recipients that it reaches and its book, and then `"Joined"`; later what
//! has changed.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::engine::FindingHistory;
use crate::finding::Key;

/// Maximum number of recipients in a message.
const RECIPIENTS_MAX: usize = 64;

/// Message to the peer plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// Names of the recipients that the sender reaches.
    Reached(BTreeSet<String>),
    /// Changes of a finding, and what was told of them.
    History(Key, FindingHistory),
    /// All of the sender's book has been sent.
    Joined,
}

impl Message {
    pub fn write(&self) -> Vec<u8> {
        // texts and numbers: there is nothing that could fail
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// # Errors
    /// A sentence for the log.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let message: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let fits = match &message {
            Self::Reached(names) => names.len() <= RECIPIENTS_MAX,
            Self::History(key, history) => key.fits() && history.fits(),
            Self::Joined => true,
        };
        fits.then_some(message)
            .ok_or_else(|| "a message with too many or too long values".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Change, ToldChange};
    use crate::finding::Texts;

    fn key() -> Key {
        Key {
            id: "SP-0401".to_owned(),
            node: "r1".to_owned(),
            thing: "disk".to_owned(),
        }
    }

    fn texts() -> Texts {
        Texts {
            text: "r1: check \"disk\" fails".to_owned(),
            todo: "See `sparectl health`.".to_owned(),
            since: "2026-11-29 15:00:00".to_owned(),
        }
    }

    #[test]
    fn golden_bytes_of_each_message() {
        let change = Change {
            number: 7,
            begun: true,
            texts: texts(),
        };
        let told = ToldChange {
            at_ms: 9,
            number: 7,
            begun: true,
        };
        let history = FindingHistory::of([change], [("mail".to_owned(), told)]);
        let key_json = r#"{"id":"SP-0401","node":"r1","thing":"disk"}"#;
        let texts_json = r#"{"text":"r1: check \"disk\" fails","todo":"See `sparectl health`.","since":"2026-11-29 15:00:00"}"#;
        let history_json = format!(
            r#"{{"changes":[{{"number":7,"begun":true,"texts":{texts_json}}}],"told":{{"mail":{{"at_ms":9,"number":7,"begun":true}}}}}}"#
        );
        for (message, golden) in [
            (
                Message::Reached(["mail".to_owned()].into()),
                r#"{"Reached":["mail"]}"#.to_owned(),
            ),
            (
                Message::History(key(), history),
                format!(r#"{{"History":[{key_json},{history_json}]}}"#),
            ),
            (Message::Joined, r#""Joined""#.to_owned()),
        ] {
            assert_eq!(String::from_utf8_lossy(&message.write()), golden);
            assert_eq!(Message::read(golden.as_bytes()), Ok(message));
        }
    }

    #[test]
    fn what_no_peer_sends_is_refused() {
        let long = "x".repeat(2000);
        for bytes in [
            String::new(),
            "{}".to_owned(),
            r#"{"Later":1}"#.to_owned(),
            format!(
                r#"{{"History":[{{"id":"a","node":"{long}","thing":""}},{{"changes":[],"told":{{}}}}]}}"#
            ),
            r#"{"History":[{"id":"a","node":"b","thing":"c"},{"changes":[],"told":{}}]}"#
                .to_owned(),
            "[".repeat(60_000),
        ] {
            assert!(Message::read(bytes.as_bytes()).is_err(), "{bytes}");
        }
    }
}
