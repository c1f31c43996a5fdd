//! Reads and writes the file of the [`History`]: `history.log` in the state directory.
//!
//! A change is appended as a line and flushed. At the start, when the file has become long, and after a failed write, the file is
//! replaced by one that has each entry once.

mod lines;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use spared_file::{Access, replace};
use spared_verdict::History;
use spared_verdict::history::HistoryEntry;

use crate::state_file::{self, BackgroundWriter, FileContent};

/// Name of the file in the folder of the daemon's state.
pub const NAME: &str = "history.log";

/// Maximum bytes of the file. The entries have at most 1.9 MB, so that the file and the one that replaces it have
/// less than 5 MB.
const FILE_MAX: u64 = 2_800_000;

/// File of the history, and the thread that writes it.
#[derive(Debug)]
pub struct Store(BackgroundWriter<ChangedLines>);

impl Store {
    /// Reads the history of earlier runs. Damaged lines are left out with a warning. A file that others may write is
    /// renamed.
    pub fn open(folder: &Path) -> (Self, History) {
        let path = folder.join(NAME);
        let bytes = match state_file::read_bytes(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => set_aside(&path, &error.to_string()),
            Ok(bytes) => bytes,
        };
        let read = lines::parse(&bytes);
        tell_damage(&path, &read);
        let (mut kept, mut entries) = (LogFile::default(), Vec::new());
        for (number, entry, text) in read.valid {
            // what only a later version knows is not kept
            if let Some(entry) = entry {
                kept.lines.insert(number, text);
                entries.push((number, entry));
            }
        }
        let history = History::restore(entries);
        (Self(BackgroundWriter::with(path, kept)), history)
    }

    /// Passes changed entries to the thread. None is an entry that is not kept any longer.
    pub fn write(&mut self, changed: Vec<(u64, Option<HistoryEntry>)>) {
        let lines = changed.into_iter().map(|(number, entry)| {
            let line = entry.and_then(|entry| lines::line(number, &entry));
            (number, line)
        });
        self.0.write(ChangedLines(lines.collect()));
    }

    /// Waits until everything is written, for at most `patience`, as the disk may hang.
    pub fn flush(&self, patience: Duration) {
        // the thread has logged why something was not written
        let _ = self.0.flush(patience);
    }

    /// Returns the reason why the latest changes are not on the disk.
    pub fn fault(&self) -> Option<String> {
        self.0.fault()
    }
}

/// Lines of changed entries, by their numbers; None is an entry that is not kept any longer.
#[derive(Debug)]
struct ChangedLines(BTreeMap<u64, Option<String>>);

/// File as its writer has left it.
#[derive(Debug, Default)]
struct LogFile {
    /// Last line of each entry.
    lines: BTreeMap<u64, String>,
    /// Length in bytes; None if the file has to be replaced.
    length: Option<u64>,
}

impl FileContent for ChangedLines {
    type Kept = LogFile;

    fn join(&mut self, older: Self) {
        for (number, line) in older.0 {
            self.0.entry(number).or_insert(line);
        }
    }

    fn write(&self, path: &Path, kept: &mut LogFile) -> Result<(), String> {
        for (number, line) in &self.0 {
            match line {
                Some(line) => drop(kept.lines.insert(*number, line.clone())),
                None => drop(kept.lines.remove(number)),
            }
        }
        let new: String = self.0.values().flatten().map(String::as_str).collect();
        let length = kept.length.take();
        let room = |length: &u64| length + new.len() as u64 <= FILE_MAX;
        kept.length = match length.filter(room) {
            Some(length) if append(path, length, &new).is_ok() => Some(length + new.len() as u64),
            // also if another program removed the file or wrote to it
            _ => Some(replace_all(path, &kept.lines)?),
        };
        Ok(())
    }
}

/// Appends to the file, which must be as it was left.
fn append(path: &Path, length: u64, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let options = options
        .append(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let mut file = options.open(path)?;
    let facts = file.metadata()?;
    if !facts.is_file() || facts.len() != length {
        return Err(io::Error::other("changed by another program"));
    }
    file.write_all(text.as_bytes())?;
    file.sync_data()
}

/// Replaces the file. Returns its length.
fn replace_all(path: &Path, lines: &BTreeMap<u64, String>) -> Result<u64, String> {
    if let Some(folder) = path.parent() {
        let fault = |error| format!("{}: {error}", folder.display());
        fs::create_dir_all(folder).map_err(fault)?;
    }
    let text: String = lines.values().map(String::as_str).collect();
    replace(path, text.as_bytes(), Access::Private, || Ok(()))?;
    Ok(text.len() as u64)
}

fn tell_damage(path: &Path, read: &lines::ParsedLines) {
    let path = path.display();
    match read.damaged {
        0 => {}
        1 => log::warn!("{path}: a line is damaged: it is left out of the history"),
        many => log::warn!("{path}: {many} lines are damaged: they are left out of the history"),
    }
    if read.is_torn {
        log::info!("{path}: the last line is not complete, as after a power cut: it is left out");
    }
}

fn set_aside(path: &Path, why: &str) -> Vec<u8> {
    let aside: PathBuf = path.with_extension("log.refused");
    let (shown, to) = (path.display(), aside.display());
    match fs::rename(path, &aside) {
        Ok(()) => log::warn!("{shown}: {why}: renamed to {to}, starting an empty history"),
        Err(error) => log::warn!("{shown}: {why}: starting an empty history ({to}: {error})"),
    }
    Vec::new()
}
