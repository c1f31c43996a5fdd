//! The last minutes of this node, one [`SecondRecord`] each, in a file that survives a crash of the daemon.
//!
//! The file is in the runtime folder, which is in memory: one record each second would wear out a disk, and its content
//! would be uncertain after a power failure. A separate thread writes, because swapped memory is on a disk too and the
//! loop must not wait for one. Records are dropped if its queue is full.

mod frame;
mod second;

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use frame::{Cursor, SIZE, frames};
pub use second::{SecondRecord, table};

/// Name of the file in the runtime folder.
pub const NAME: &str = "ring";

const QUEUE_MAX: usize = 8;
const STACK: usize = 256 * 1024;

/// The loop's end of the writing thread.
#[derive(Debug)]
pub struct Writer {
    queue: SyncSender<String>,
}

impl Writer {
    /// Starts the thread. It continues the file of an earlier run.
    pub fn start(folder: &Path) -> Self {
        let (queue, texts) = sync_channel(QUEUE_MAX);
        let path = folder.join(NAME);
        let thread = thread::Builder::new()
            .name("ring".to_owned())
            .stack_size(STACK);
        if let Err(error) = thread.spawn(move || work(&path, &texts)) {
            log::warn!("the last minutes are not recorded: cannot start a thread: {error}");
        }
        Self { queue }
    }

    /// Queues a record. Never waits.
    pub fn write(&self, second: &SecondRecord) {
        let _ = self.queue.try_send(second.to_text());
    }
}

/// Seconds of a file, oldest first.
///
/// # Errors
/// The system's.
pub fn read(folder: &Path) -> io::Result<Vec<SecondRecord>> {
    let mut bytes = Vec::new();
    let file = open(&folder.join(NAME), OpenOptions::new().read(true))?;
    file.take(SIZE as u64).read_to_end(&mut bytes)?;
    let texts = frames(&bytes).into_iter();
    Ok(texts
        .filter_map(|frame| SecondRecord::parse(&frame.text))
        .collect())
}

/// Time of the newest second of a file; None if there is none.
pub fn last_time(folder: &Path) -> Option<String> {
    read(folder).ok()?.pop().map(|second| second.at)
}

// Writes the records. A fault is logged once, when it begins.
fn work(path: &Path, texts: &Receiver<String>) {
    let mut file = None;
    let mut is_told = false;
    while let Ok(text) = texts.recv() {
        if let Err(error) = write(path, &mut file, &text) {
            file = None;
            if !std::mem::replace(&mut is_told, true) {
                log::warn!(
                    "{}: {error}: the last minutes are not recorded",
                    path.display()
                );
            }
        }
    }
}

fn write(path: &Path, kept: &mut Option<(File, Cursor)>, text: &str) -> io::Result<()> {
    let (file, cursor) = match kept {
        Some(kept) => kept,
        None => kept.insert(begin(path)?),
    };
    match cursor.place(text) {
        Some((at, bytes)) => file.write_all_at(&bytes, at as u64),
        None => Ok(()),
    }
}

fn begin(path: &Path) -> io::Result<(File, Cursor)> {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true).mode(0o600);
    let file = open(path, options)?;
    let mut bytes = Vec::new();
    (&file).take(SIZE as u64).read_to_end(&mut bytes)?;
    file.set_len(SIZE as u64)?;
    Ok((file, Cursor::behind(&bytes)))
}

fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let file = options
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::other("not a regular file"))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::{Duration, Instant};

    use super::*;

    fn second(at: &str) -> SecondRecord {
        SecondRecord {
            at: at.to_owned(),
            ..SecondRecord::default()
        }
    }

    fn read_until(folder: &Path, count: usize) -> Vec<SecondRecord> {
        let until = Instant::now() + Duration::from_secs(10);
        loop {
            let found = read(folder).unwrap_or_default();
            if found.len() >= count || Instant::now() > until {
                return found;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn a_second_run_goes_on_and_what_is_no_file_is_refused() {
        let folder = std::env::temp_dir().join(format!("spared-ring-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        for (run, at) in [(1, "a"), (2, "b")] {
            Writer::start(&folder).write(&second(at));
            assert_eq!(read_until(&folder, run).len(), run);
        }
        let found: Vec<String> = read(&folder).unwrap().into_iter().map(|it| it.at).collect();
        assert_eq!(found, ["a", "b"]);
        fs::remove_file(folder.join(NAME)).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", folder.join(NAME)).unwrap();
        assert!(begin(&folder.join(NAME)).is_err() && read(&folder).is_err());
        fs::remove_dir_all(&folder).unwrap();
    }
}
