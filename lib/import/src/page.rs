//! The rows of the table as pages show them.

use std::fmt::Write;

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
    let part = |(title, blocks): (&str, &[Block])| {
        format!("### {title}\n\n{}\n", table("keepalived", blocks))
    };
    PARTS.into_iter().map(part).collect()
}

/// Table of the settings of conntrackd.conf.
pub fn conntrackd() -> String {
    table("conntrackd", &[Block::Conntrackd])
}

fn table(program: &str, blocks: &[Block]) -> String {
    let mut text = format!("| {program} | spared | |\n|---|---|---|\n");
    for row in ROWS.iter().filter(|it| blocks.contains(&it.block)) {
        let words: Vec<String> = row.words.iter().map(|it| format!("`{it}`")).collect();
        let (spared, note) = match row.fate {
            Fate::Becomes(key) => (key, row.note.to_owned()),
            Fate::Needless => ("-", format!("not needed: {}", row.note)),
            Fate::Lost(todo) => ("-", format!("**listed**: {}; {todo}", row.note)),
        };
        let _ = writeln!(text, "| {} | {spared} | {note} |", words.join(", "));
    }
    text
}
