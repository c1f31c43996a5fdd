//! The rows of both tables as pages show them.

use std::fmt::Write;

use crate::conntrackd;
use crate::table::{Block, Fate, ROWS};

/// Parts of the page, by the block of their words.
const PARTS: [(&str, &[Block]); 5] = [
    ("Blocks", &[Block::Top]),
    (
        "In `vrrp_instance`",
        &[Block::Instance, Block::Authentication],
    ),
    ("In `vrrp_sync_group`", &[Block::Sync]),
    (
        "In `vrrp_script`, `track_file` and `vrrp_track_process`",
        &[Block::Script, Block::File, Block::Process],
    ),
    ("In `global_defs`", &[Block::Global]),
];

/// Tables of the words of keepalived.conf.
pub fn keepalived() -> String {
    let mut text = String::new();
    for (title, blocks) in PARTS {
        let _ = write!(
            text,
            "### {title}\n\n| keepalived | spared | |\n|---|---|---|\n"
        );
        for row in ROWS.iter().filter(|it| blocks.contains(&it.block)) {
            let (spared, note) = match row.fate {
                Fate::Becomes(key) => (key, row.note.to_owned()),
                Fate::Needless => ("-", format!("not needed: {}", row.note)),
                Fate::Lost(todo) => ("-", format!("**listed**: {}; {todo}", row.note)),
            };
            let _ = writeln!(text, "| {} | {spared} | {note} |", words(row.words));
        }
        text.push('\n');
    }
    text
}

/// Table of the settings of conntrackd.conf.
pub fn conntrackd() -> String {
    let mut text = "| conntrackd | spared | |\n|---|---|---|\n".to_owned();
    for row in conntrackd::ROWS {
        let _ = writeln!(
            text,
            "| {} | {} | {} |",
            words(row.words),
            row.spared,
            row.note
        );
    }
    text
}

fn words(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|it| format!("`{it}`")).collect();
    words.join(", ")
}
