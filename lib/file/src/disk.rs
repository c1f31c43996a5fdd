//! The operations whose order and flushing decide what a power cut leaves of a file.
//!
//! A trait, so that a test can write down which of them happened (`cut.rs`). All else has one
//! implementation, [`Kernel`], and calls it directly.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::Path;

pub(super) trait Disk {
    /// A new file, which only this process's user may read. The folder may belong to somebody else, who could
    /// have put a link there: none is followed.
    fn create(&self, path: &Path) -> io::Result<File> {
        let mut options = File::options();
        options.write(true).create_new(true).mode(0o600).open(path)
    }

    fn write(&self, mut file: &File, content: &[u8]) -> io::Result<()> {
        file.write_all(content)
    }

    fn set_access(&self, file: &File, uid: u32, gid: u32, mode: u32) -> io::Result<()> {
        let is = file.metadata()?;
        if (is.uid(), is.gid()) != (uid, gid) {
            fchown(file, Some(uid), Some(gid))?;
        }
        // after the owner, as changing that clears set-user-id
        file.set_permissions(Permissions::from_mode(mode & 0o7777))
    }

    fn flush(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    /// Flushes which names it has.
    fn flush_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }
}

pub(super) struct Kernel;

impl Disk for Kernel {}
