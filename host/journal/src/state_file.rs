//! Writes state files of the host: atomically and durably, and readable by their owner only.

use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
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
/// The system's error, or that others may write the file, or that it is not UTF-8.
pub fn read(path: &Path) -> io::Result<String> {
    let bytes = read_bytes(path)?;
    String::from_utf8(bytes).map_err(|_| io::Error::other("is not UTF-8"))
}

/// Reads the bytes of a file in the same way.
///
/// # Errors
/// The system's error, or that others may write the file.
pub fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
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
    let mut bytes = Vec::new();
    file.take(SIZE_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Content that a thread writes to a file.
pub trait FileContent: Send + 'static {
    /// State of the thread from one write to the next.
    type Kept: Send + 'static;

    /// Adds a content that came before this one and is not written yet.
    fn join(&mut self, older: Self);

    /// Writes the content durably.
    ///
    /// # Errors
    /// The system's reason. Then the same content is written again, with what has come meanwhile.
    fn write(&self, path: &Path, kept: &mut Self::Kept) -> Result<(), String>;
}

/// A text replaces the file, and an older one.
impl FileContent for String {
    type Kept = ();

    fn join(&mut self, _: Self) {}

    fn write(&self, path: &Path, (): &mut ()) -> Result<(), String> {
        write(path, self)
    }
}

/// Writes the latest content of a file in a thread of its own: a flush of the disk may take long, and the loop must not
/// wait. A content that could not be written is retried until it is.
#[derive(Debug)]
pub struct BackgroundWriter<C: FileContent = String> {
    path: PathBuf,
    shared: Arc<Shared<C>>,
    /// State of the thread, until there is one.
    kept: Option<C::Kept>,
}

#[derive(Debug)]
struct Shared<C> {
    slot: Mutex<Slot<C>>,
    changed: Condvar,
}

#[derive(Debug)]
struct Slot<C> {
    /// Content that is not on the disk.
    pending: Option<C>,
    /// True if writing the pending content has failed before.
    is_retry: bool,
    is_writing: bool,
    /// Reason why the last write failed.
    fault: Option<String>,
}

impl<C> Default for Slot<C> {
    fn default() -> Self {
        Self {
            pending: None,
            is_retry: false,
            is_writing: false,
            fault: None,
        }
    }
}

impl<C> Slot<C> {
    /// Returns true if nothing is being written or waits for its first try.
    fn is_settled(&self) -> bool {
        !self.is_writing && (self.pending.is_none() || self.is_retry)
    }
}

impl BackgroundWriter {
    pub fn new(path: PathBuf) -> Self {
        Self::with(path, ())
    }
}

impl<C: FileContent> BackgroundWriter<C> {
    /// Makes a writer whose thread begins with this state.
    pub fn with(path: PathBuf, kept: C::Kept) -> Self {
        let (slot, changed) = (Mutex::new(Slot::default()), Condvar::new());
        Self {
            path,
            shared: Arc::new(Shared { slot, changed }),
            kept: Some(kept),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Begins to write a content. It joins an earlier one that is not written yet.
    pub fn write(&mut self, mut content: C) {
        let began = begin(&self.path, &self.shared, &mut self.kept);
        let mut slot = self.shared.lock();
        if let Some(older) = slot.pending.take() {
            content.join(older);
        }
        slot.pending = Some(content);
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
        let is_busy = |slot: &mut Slot<C>| !slot.is_settled();
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

impl<C> Shared<C> {
    fn lock(&self) -> MutexGuard<'_, Slot<C>> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the next content to be written: a new one at once, or one that failed after [`RETRY`].
    fn take(&self) -> C {
        let mut slot = self.lock();
        loop {
            slot = if slot.is_retry {
                let is_retry = |slot: &mut Slot<C>| slot.is_retry;
                let waited = self.changed.wait_timeout_while(slot, RETRY, is_retry);
                waited.unwrap_or_else(PoisonError::into_inner).0
            } else {
                let is_idle = |slot: &mut Slot<C>| slot.pending.is_none();
                let waited = self.changed.wait_while(slot, is_idle);
                waited.unwrap_or_else(PoisonError::into_inner)
            };
            if let Some(content) = slot.pending.take() {
                slot.is_retry = false;
                slot.is_writing = true;
                return content;
            }
        }
    }

    fn settle(&self, content: C, written: Result<(), String>)
    where
        C: FileContent,
    {
        let mut slot = self.lock();
        slot.is_writing = false;
        if written.is_err() {
            match &mut slot.pending {
                Some(newer) => newer.join(content),
                None => {
                    slot.pending = Some(content);
                    slot.is_retry = true;
                }
            }
        }
        slot.fault = written.err();
        drop(slot);
        self.changed.notify_all();
    }
}

// Starts the thread if there is none. It takes `kept`, which comes back if the thread cannot be started.
fn begin<C: FileContent>(
    path: &Path,
    shared: &Arc<Shared<C>>,
    kept: &mut Option<C::Kept>,
) -> io::Result<()> {
    if kept.is_none() {
        return Ok(());
    }
    let (sender, receiver) = mpsc::channel();
    let (path, shared) = (path.to_owned(), Arc::clone(shared));
    let thread = thread::Builder::new().name("state".to_owned());
    thread.spawn(move || {
        if let Ok(kept) = receiver.recv() {
            work(&path, &shared, kept);
        }
    })?;
    if let Some(kept) = kept.take() {
        // the thread waits for it
        let _ = sender.send(kept);
    }
    Ok(())
}

// Runs the thread. A fault is logged when it begins and when it ends.
fn work<C: FileContent>(path: &Path, shared: &Shared<C>, mut kept: C::Kept) {
    let mut was_written = true;
    loop {
        let content = shared.take();
        let written = content.write(path, &mut kept);
        match &written {
            Err(why) if was_written => log::warn!("{why}: changes are lost at a restart"),
            Ok(()) if !was_written => log::info!("{} is written again", path.display()),
            _ => {}
        }
        was_written = written.is_ok();
        shared.settle(content, written);
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
