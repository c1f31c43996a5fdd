//! Operations whose order and flushes decide what a power cut leaves of a file.
//!
//! It is a trait, so that a test can record the operations (`power_cut.rs`). All other code calls the one
//! implementation, [`Kernel`], directly.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::Path;

pub(super) trait Disk {
    /// Creates a file that only this process's user may read. The folder may belong to another user, who could have put
    /// a link there: links are not followed.
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
        // after the owner, because a change of owner clears set-user-id
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

    /// Flushes the names in a folder.
    fn flush_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }
}

pub(super) struct Kernel;

impl Disk for Kernel {}
