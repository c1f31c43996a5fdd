// SPDX-License-Identifier: MIT OR Apache-2.0
//! Copies of `abi/examples/hostile`, each with a note of its own: the name of the file, by which it behaves, and lies.

use std::fs;
use std::path::Path;

use crate::Result;

/// File of the library in the build directory.
pub const LIBRARY: &str = "libspared_example_hostile.so";
/// Marks the room for the text in its note.
const ROOM: &[u8] = &[b'#'; 64];
/// Bytes of that room.
const ROOM_SIZE: usize = 6000;
/// Bytes from the size of the text to the text: the size, the note's kind, and its name.
const SIZE_BEFORE: usize = 16;
/// Bytes of a note's header: the sizes of its name and of its text, and its kind.
const HEADER: usize = 12;

/// Gives a copy of the library the note of a plugin of this name.
///
/// # Errors
/// The file is no such copy.
pub fn write_note(copy: &Path, name: &str) -> Result<()> {
    let mut library = fs::read(copy)?;
    let at = library
        .windows(ROOM.len())
        .position(|it| it == ROOM)
        .ok_or("the library has no room for a note")?;
    let text = note(name);
    let end = text.len().next_multiple_of(4) + HEADER;
    assert!(end <= ROOM_SIZE, "{name}: {} bytes", text.len());
    if name == "note-none" {
        // a note of another owner
        library[at - 8..at].copy_from_slice(b"nobody\0\0");
    }
    let size = u32::try_from(text.len())?.to_le_bytes();
    library[at - SIZE_BEFORE..at - SIZE_BEFORE + 4].copy_from_slice(&size);
    library[at..at + ROOM_SIZE].fill(0);
    library[at..at + text.len()].copy_from_slice(&text);
    // a note without a name is the rest of the room
    let rest = u32::try_from(ROOM_SIZE - end)?.to_le_bytes();
    library[at + end - 8..at + end - 4].copy_from_slice(&rest);
    Ok(fs::write(copy, library)?)
}

/// Lines of each copy that does not lie.
const USUAL: &str = "contract = 1\nversion = 1\nvendor = nobody\nwire = 1-1\npart = roles\npart = transfer\n\
                     part = query\nasks = \t\t\nasks = status\t\t\nasks = check\t\t\npart = interfaces\n";

fn note(name: &str) -> Vec<u8> {
    let own = match name {
        "name-of-another" => "vrrp".to_owned(),
        "name-a-path" => "../../etc/shadow".to_owned(),
        "name-empty" => String::new(),
        "name-long" => "n".repeat(300),
        _ => name.to_owned(),
    };
    let mut lines = format!("{USUAL}name = {own}\n");
    if !name.starts_with("summary-") {
        lines += "summary = does all the harm that it can\n";
    }
    lines += &lie(name);
    let mut text = lines.into_bytes();
    if name == "name-no-utf8" {
        text.extend(b"vendor = \xff\xfe\n");
    }
    text
}

/// Further lines, most of them invalid.
fn lie(name: &str) -> String {
    let line = match name {
        "summary-lines" => "summary = one\x1b[2J",
        "summary-twice" => "summary = one\nsummary = two",
        "contract-newer" => "contract = 2",
        "key-unknown" => "colour = red",
        "flags-unknown" => "flag = almighty",
        "part-unknown" => "part = legs",
        "capability-unknown" => "capability = fly",
        "capability-sys-admin" => "capability = sys_admin",
        "calls-unknown" => "calls = everything",
        "calls-socket" => "calls = basic",
        "calls-fork" => "calls = basic\ncalls = sockets",
        "wire-backwards" => "wire = 7-1",
        "paths-relative" => "path = etc/passwd",
        "paths-up" => "path = /usr/../etc/spared",
        "paths-of-the-host" => "path = +/\npath = +/etc\npath = +/etc/spared",
        "root-with-peer" => "flag = root\npart = peer",
        "partners-self" => "part = local\npartner = partners-self",
        "partners-path" => "part = local\npartner = ../../etc/shadow",
        _ => return family(name),
    };
    format!("{line}\n")
}

/// The lines of copies whose names have the same beginning.
fn family(name: &str) -> String {
    let has_peer = ["-in-up", "-in-down", "-in-message"]
        .iter()
        .any(|place| name.ends_with(place));
    match name {
        "paths-endless" => "path = /usr\n".repeat(200),
        "partners-many" => (0..9).map(|at| format!("partner = a{at}\n")).collect(),
        "note-long" => format!("vendor = {}\n", "v".repeat(200)).repeat(25),
        _ if name.starts_with("partner-") => format!("part = local\npartner = {}\n", other(name)),
        _ if name.starts_with("group-") => "part = groups\n".to_owned(),
        "flood-sign" => "part = identity\n".to_owned(),
        "flood-send" | "flood-sync" | "sync-long" => "part = peer\n".to_owned(),
        _ if has_peer => "part = peer\n".to_owned(),
        _ => String::new(),
    }
}

/// The copy with which it exchanges messages.
fn other(name: &str) -> String {
    match name.strip_suffix("-back") {
        Some(front) => front.to_owned(),
        None => format!("{name}-back"),
    }
}
