//! Format of the history's file: a line for each entry, or for what an entry became. Without I/O.
//!
//! ```text
//! 4be1d9f0a1c2b3d4 [17,{"finding":{"id":"SP-0401", ... }}]
//! ---- hash ------ -- number and entry, as JSON ----------
//! ```
//!
//! A line whose hash does not fit is left out: the one that a power cut tore, or one that the disk lost.

use serde::de::IgnoredAny;
use spared_message::fingerprint;
use spared_verdict::history::HistoryEntry;

/// Lines of a file.
#[derive(Debug, Default)]
pub struct ParsedLines {
    /// Number, entry and text of each line, in the order of the file. The entry is None if only a later version knows it.
    pub valid: Vec<(u64, Option<HistoryEntry>, String)>,
    /// Number of lines that are damaged.
    pub damaged: usize,
    /// True if the last line has no end, as after a power cut.
    pub is_torn: bool,
}

/// Returns an entry as a line; None if it cannot be encoded.
pub fn line(number: u64, entry: &HistoryEntry) -> Option<String> {
    let json = serde_json::to_string(&(number, entry)).ok()?;
    Some(format!("{:016x} {json}\n", hash(&json)))
}

/// Reads the bytes of a file.
pub fn parse(bytes: &[u8]) -> ParsedLines {
    let mut lines = ParsedLines::default();
    let mut rest = bytes;
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let (text, after) = rest.split_at(end + 1);
        rest = after;
        match valid(text) {
            Some(line) => lines.valid.push(line),
            None => lines.damaged += 1,
        }
    }
    lines.is_torn = !rest.is_empty();
    lines
}

fn valid(text: &[u8]) -> Option<(u64, Option<HistoryEntry>, String)> {
    let text = std::str::from_utf8(text).ok()?;
    let (said, json) = text.strip_suffix('\n')?.split_once(' ')?;
    if said != format!("{:016x}", hash(json)) {
        return None;
    }
    let (number, _) = serde_json::from_str::<(u64, IgnoredAny)>(json).ok()?;
    let entry = serde_json::from_str::<(u64, HistoryEntry)>(json).ok();
    Some((number, entry.map(|(_, entry)| entry), text.to_owned()))
}

fn hash(json: &str) -> u64 {
    fingerprint([json])
}
