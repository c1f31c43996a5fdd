//! Writes state files of the host: atomically and durably, and readable by their owner only.

use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::fs::{Access as Permission, access, statvfs};
use rustix::io::Errno;
use spared_file::{Access, replace};

const SIZE_MAX: u64 = 4 * 1024 * 1024;
const ROOT: u32 = 0;
/// Free space that a folder must have, in bytes.
const ROOM: u64 = 16 * 1024;
/// Pause before a content that could not be written is retried. It is shorter in tests.
const RETRY: Duration = Duration::from_millis(if cfg!(test) { 100 } else { 5000 });

/// Replaces the file, and creates its folder.
///
/// # Errors
/// The system's reason. The previous file is then unchanged.
pub fn write(path: &Path, text: &str) -> Result<(), String> {
    if let Some(folder) = path.parent() {
        let fault = |error| format!("{}: {error}", folder.display());
        fs::create_dir_all(folder).map_err(fault)?;
    }
    replace(path, text.as_bytes(), Access::Private, || Ok(()))
}

/// Returns the reason why no file can be written in the folder, as far as that is known without a write. The first
/// write creates a missing folder.
pub fn why_unwritable(folder: &Path) -> Option<String> {
    let why = check_writable(folder).err()?;
    (why != Errno::NOENT).then(|| format!("{}: {}", folder.display(), io::Error::from(why)))
}

fn check_writable(folder: &Path) -> Result<(), Errno> {
    access(folder, Permission::WRITE_OK | Permission::EXEC_OK)?;
    let disk = statvfs(folder)?;
    let is_full = disk.f_bavail.saturating_mul(disk.f_frsize) < ROOM;
    // btrfs does not count files
    let has_no_name = disk.f_files > 0 && disk.f_favail == 0;
    if is_full || has_no_name {
        Err(Errno::NOSPC)
    } else {
        Ok(())
    }
}

/// Reads the file, if only root and this process's user can have written it.
///
/// # Errors
/// The system's error, or that others may write the file.
pub fn read(path: &Path) -> io::Result<String> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)?;
    let facts = file.metadata()?;
    let own = rustix::process::geteuid().as_raw();
    let is_trusted = facts.uid() == ROOT || facts.uid() == own;
    if !facts.is_file() || !is_trusted || facts.mode() & 0o022 != 0 {
        let must = "must be a regular file that belongs to root or to the daemon's user, and that only its owner can write";
        return Err(io::Error::other(must));
    }
    let mut text = String::new();
    file.take(SIZE_MAX).read_to_string(&mut text)?;
    Ok(text)
}

/// Writes the latest content of a file in a thread of its own: a flush of the disk may take long, and the loop must not
/// wait. A content that could not be written is retried until it is.
#[derive(Debug)]
pub struct BackgroundWriter {
    path: PathBuf,
    shared: Arc<Shared>,
    has_thread: bool,
}

#[derive(Debug, Default)]
struct Shared {
    slot: Mutex<Slot>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Slot {
    /// Content that is not on the disk.
    pending: Option<String>,
    /// True if writing the pending content has failed before.
    is_retry: bool,
    is_writing: bool,
    /// Reason why the last write failed.
    fault: Option<String>,
}

impl Slot {
    /// Returns true if nothing is being written or waits for its first try.
    fn is_settled(&self) -> bool {
        !self.is_writing && (self.pending.is_none() || self.is_retry)
    }
}

impl BackgroundWriter {
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            shared: Arc::default(),
            has_thread: false,
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Begins to write a content. An earlier one that is not written yet is dropped.
    pub fn write(&mut self, text: String) {
        let began = if self.has_thread {
            Ok(())
        } else {
            begin(self.path.clone(), Arc::clone(&self.shared))
        };
        self.has_thread |= began.is_ok();
        let mut slot = self.shared.lock();
        slot.pending = Some(text);
        slot.is_retry = began.is_err();
        if let Err(error) = began {
            slot.fault = Some(format!(
                "{}: cannot start a thread: {error}",
                self.path.display()
            ));
        }
        drop(slot);
        self.shared.changed.notify_all();
    }

    /// Waits until the latest content was written or tried, for `limit` at most.
    ///
    /// # Errors
    /// The reason why the content is not on the disk. A disk that is slower than `limit` is no error.
    pub fn flush(&self, limit: Duration) -> Result<(), String> {
        let slot = self.shared.lock();
        let is_busy = |slot: &mut Slot| !slot.is_settled();
        let waited = self.shared.changed.wait_timeout_while(slot, limit, is_busy);
        let (slot, _) = waited.unwrap_or_else(PoisonError::into_inner);
        match &slot.fault {
            Some(why) if slot.is_settled() => Err(why.clone()),
            _ => Ok(()),
        }
    }

    /// Returns the reason why the latest content is not on the disk, once a write has failed.
    pub fn fault(&self) -> Option<String> {
        self.shared.lock().fault.clone()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the next content to be written: a new one at once, or one that failed after [`RETRY`].
    fn take(&self) -> String {
        let mut slot = self.lock();
        loop {
            slot = if slot.is_retry {
                let is_retry = |slot: &mut Slot| slot.is_retry;
                let waited = self.changed.wait_timeout_while(slot, RETRY, is_retry);
                waited.unwrap_or_else(PoisonError::into_inner).0
            } else {
                let is_idle = |slot: &mut Slot| slot.pending.is_none();
                let waited = self.changed.wait_while(slot, is_idle);
                waited.unwrap_or_else(PoisonError::into_inner)
            };
            if let Some(text) = slot.pending.take() {
                slot.is_retry = false;
                slot.is_writing = true;
                return text;
            }
        }
    }

    fn settle(&self, text: String, written: Result<(), String>) {
        let mut slot = self.lock();
        slot.is_writing = false;
        if written.is_err() && slot.pending.is_none() {
            slot.pending = Some(text);
            slot.is_retry = true;
        }
        slot.fault = written.err();
        drop(slot);
        self.changed.notify_all();
    }
}

fn begin(path: PathBuf, shared: Arc<Shared>) -> io::Result<()> {
    let thread = thread::Builder::new().name("state".to_owned());
    thread.spawn(move || work(&path, &shared)).map(drop)
}

// Runs the thread. A fault is logged when it begins and when it ends.
fn work(path: &Path, shared: &Shared) {
    let mut was_written = true;
    loop {
        let text = shared.take();
        let written = write(path, &text);
        match &written {
            Err(why) if was_written => log::warn!("{why}: changes are lost at a restart"),
            Ok(()) if !was_written => log::info!("{} is written again", path.display()),
            _ => {}
        }
        was_written = written.is_ok();
        shared.settle(text, written);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown};

    use rustix::process::{Uid, geteuid};
    use rustix::thread::set_thread_res_uid;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    /// The test acts as the daemon under systemd, with files that root has restored from a backup.
    #[test]
    fn a_file_of_root_or_of_its_own_is_read_and_of_nobody_else() {
        const OWN: u32 = 60777;
        const OTHER: u32 = 60778;
        if !geteuid().is_root() {
            eprintln!("skipped: this process may not change its account (not root?)");
            return;
        }
        let path = std::env::temp_dir().join(format!("spared-owner-{}", std::process::id()));
        fs::write(&path, "text").unwrap();
        let read_from = |owner: u32, mode: u32| {
            chown(&path, Some(owner), None).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            // only this thread changes its user
            let path = path.clone();
            let reads = move || {
                set_thread_res_uid(None, Uid::from_raw(OWN), None).unwrap();
                read(&path).is_ok()
            };
            thread::spawn(reads).join().unwrap()
        };
        assert!(read_from(ROOT, 0o644) && read_from(OWN, 0o600));
        assert!(!read_from(OTHER, 0o644));
        assert!(!read_from(ROOT, 0o664) && !read_from(OWN, 0o602));
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_folder_in_which_nothing_can_be_written_is_told() {
        assert_eq!(why_unwritable(&std::env::temp_dir()), None);
        assert_eq!(
            why_unwritable(Path::new("/nonexistent/spared")),
            None,
            "it is made"
        );
        let why = why_unwritable(Path::new("/proc/self")).unwrap_or_default();
        assert!(why.starts_with("/proc/self: "), "{why}");
    }

    #[test]
    fn what_a_disk_refuses_is_told_and_written_later() {
        let name = format!("spared-keeper-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        // a file with the name of the folder
        fs::write(&folder, "").unwrap();
        let mut writer = BackgroundWriter::new(folder.join("state.json"));
        assert_eq!((writer.flush(LIMIT), writer.fault()), (Ok(()), None));
        for text in ["one", "two"] {
            writer.write(text.to_owned());
            let why = writer.flush(LIMIT).unwrap_err();
            assert!(why.contains(&folder.display().to_string()), "{why}");
            assert_eq!(writer.fault(), Some(why));
        }
        fs::remove_file(&folder).unwrap();
        writer.write("three".to_owned());
        assert_eq!((writer.flush(LIMIT), writer.fault()), (Ok(()), None));
        assert_eq!(read(writer.path()).unwrap(), "three");
        // a failed content is written later without a new write
        fs::remove_dir_all(&folder).unwrap();
        fs::write(&folder, "").unwrap();
        writer.write("four".to_owned());
        assert!(writer.flush(LIMIT).is_err());
        fs::remove_file(&folder).unwrap();
        let until = std::time::Instant::now() + LIMIT;
        while writer.fault().is_some() {
            assert!(std::time::Instant::now() < until, "{:?}", writer.fault());
            thread::sleep(RETRY / 50);
        }
        assert_eq!(read(writer.path()).unwrap(), "four");
        fs::remove_dir_all(&folder).unwrap();
    }
}
