// SPDX-License-Identifier: MIT OR Apache-2.0
//! A journal for a node of a lab: a socket that reads systemd's native protocol. Its plan has `has_journal`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use crate::Result;
use crate::lab::Lab;

/// Maximum bytes of an entry. Larger ones would come as files.
const ENTRY_MAX: usize = 64 * 1024;
/// Time after which the reader looks whether anybody wants its entries.
const IDLE: Duration = Duration::from_millis(200);

/// An entry: its fields.
pub type Entry = BTreeMap<String, String>;

/// Journal of a node.
pub struct Journal(Arc<Mutex<Vec<Entry>>>);

impl Journal {
    /// Opens the journal of a node that is not started yet. A thread reads it, as a full socket would hold up the node.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub fn of(lab: &Lab, node: &str) -> Result<Self> {
        let folder = lab.dir.join(format!("{node}-spared/own/systemd/journal"));
        fs::create_dir_all(&folder)?;
        let socket = UnixDatagram::bind(folder.join("socket"))?;
        socket.set_read_timeout(Some(IDLE))?;
        let entries = Arc::default();
        let reader = Arc::downgrade(&entries);
        thread::spawn(move || read(&socket, &reader));
        Ok(Self(entries))
    }

    /// All entries so far.
    pub fn entries(&self) -> Vec<Entry> {
        let entries = self.0.lock();
        entries.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Reads until the journal is gone.
fn read(socket: &UnixDatagram, entries: &Weak<Mutex<Vec<Entry>>>) {
    let mut datagram = vec![0; ENTRY_MAX];
    while let Some(entries) = entries.upgrade() {
        let Ok(length) = socket.recv(&mut datagram) else {
            continue;
        };
        // a test sees that it lacks what cannot be read
        if let Some(entry) = parse(&datagram[..length]) {
            let mut entries = entries.lock().unwrap_or_else(PoisonError::into_inner);
            entries.push(entry);
        }
    }
}

/// Fields of an entry: lines `NAME=value`; or the name alone, eight bytes of length, the value, and a line end.
fn parse(mut bytes: &[u8]) -> Option<Entry> {
    let mut entry = Entry::new();
    while !bytes.is_empty() {
        let end = bytes.iter().position(|it| *it == b'\n')?;
        let line = std::str::from_utf8(&bytes[..end]).ok()?;
        bytes = &bytes[end + 1..];
        if let Some((name, value)) = line.split_once('=') {
            entry.insert(name.to_owned(), value.to_owned());
            continue;
        }
        let (length, rest) = bytes.split_first_chunk()?;
        let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
        let value = rest.get(..length)?;
        bytes = rest.get(length..)?.strip_prefix(b"\n")?;
        let value = String::from_utf8(value.to_vec()).ok()?;
        entry.insert(line.to_owned(), value);
    }
    Some(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_field_are_read() {
        let entry = parse(b"A=1\nB\n\x03\0\0\0\0\0\0\0x\ny\nC=\n").expect("an entry");
        let fields = [("A", "1"), ("B", "x\ny"), ("C", "")];
        let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(entry, Entry::from(fields));
        assert_eq!(parse(b"A=1\nB\n\x03\0"), None);
    }
}
