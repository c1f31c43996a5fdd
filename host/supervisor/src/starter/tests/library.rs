//! Libraries of plugins that are never loaded, for tests of the starter and of the supervisor.

/// A shared object that has nothing but a descriptor: with this name, and more lines.
pub fn of(name: &str, lines: &str) -> Vec<u8> {
    let text = format!("contract = 1\nname = {name}\nversion = 1\nsummary = none\n{lines}");
    let mut note = [7, text.len() as u32, 1].map(u32::to_le_bytes).concat();
    note.extend(b"spared\0\0");
    note.extend(text.as_bytes());
    let size = note.len() as u64;
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    for half in [3u16, 62] {
        file.extend(half.to_le_bytes());
    }
    file.extend(1u32.to_le_bytes());
    // the program header follows
    for word in [0u64, 64, 0] {
        file.extend(word.to_le_bytes());
    }
    file.extend(0u32.to_le_bytes());
    for half in [64u16, 56, 1, 64, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    // PT_NOTE, readable
    for word in [4u32, 4] {
        file.extend(word.to_le_bytes());
    }
    for word in [120u64, 0, 0, size, size, 4] {
        file.extend(word.to_le_bytes());
    }
    file.extend(note);
    file
}
