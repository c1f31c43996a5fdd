//! Replaces files atomically and durably. [`starter`] names files that several programs know.
//!
//! This is own code because `tempfile` gives the new file a random name, so that a file left by a crash would stay
//! forever.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod disk_operations;
#[cfg(test)]
mod power_cut;
pub mod starter;

use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use disk_operations::{Disk, Kernel};

/// Owner and mode of a new file. Until its content is complete, only this process's user may read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Mode 0600, for this process's user.
    Private,
    /// Owner and mode of the old file, which must be a regular one; without an old file the owner of the folder, and
    /// mode 0644.
    AsBefore,
    /// The given owner and mode.
    Given {
        /// User id of the owner.
        uid: u32,
        /// Group id of the owner.
        gid: u32,
        /// Permissions, with the bits set-user-id, set-group-id and sticky.
        mode: u32,
    },
}

/// Replaces a file by one with this content: writes a new file in the same folder, flushes it to disk,
/// renames it and flushes the folder. At any time, also after a power cut, the name leads to the complete old
/// content or the complete new one.
///
/// The disk may be slow: `may` is called just before the rename, and can refuse it. A symbolic link under the
/// name is replaced, never followed.
///
/// # Errors
/// A sentence that names the file, or the error of `may`. If the file was not replaced it is
/// unchanged, and no temporary file is left.
pub fn replace(
    path: &Path,
    content: &[u8],
    access: Access,
    may: impl FnOnce() -> Result<(), String>,
) -> Result<(), String> {
    replace_on(&Kernel, path, content, access, may)
}

/// Replaces a private file atomically, without a flush: for what a process leaves to the next one, and for which
/// nothing may wait for a disk. After a power cut the file may be empty or absent.
///
/// # Errors
/// The error of the kernel; the old file is unchanged then.
pub fn replace_unflushed(path: &Path, content: &[u8]) -> io::Result<()> {
    let (_, new) = beside(path).ok_or(ErrorKind::IsADirectory)?;
    let mut options = fs::OpenOptions::new();
    // a file left by a process that was killed has the same mode
    let open = options.write(true).create(true).truncate(true).mode(0o600);
    let written = open.open(&new).and_then(|mut it| it.write_all(content));
    written
        .and_then(|()| fs::rename(&new, path))
        .inspect_err(|_| drop(fs::remove_file(&new)))
}

/// Removes files of one folder durably; missing files are not an error. Afterwards no power cut brings any of
/// them back, not even one that was already missing: the process that removed it may have been killed before
/// it flushed the folder.
///
/// # Errors
/// A sentence that names the file, or the folder. Files before it in `paths` are gone.
pub fn remove<P: AsRef<Path>>(paths: &[P]) -> Result<(), String> {
    remove_on(&Kernel, paths)
}

fn replace_on(
    disk: &impl Disk,
    path: &Path,
    content: &[u8],
    access: Access,
    may: impl FnOnce() -> Result<(), String>,
) -> Result<(), String> {
    let fault = |error: io::Error| format!("cannot write {}: {error}", path.display());
    let (folder, new) = beside(path).ok_or_else(|| fault(ErrorKind::IsADirectory.into()))?;
    // left by a process that was killed
    let _ = disk.remove(&new);
    let written = resolved(path, folder, access)
        .and_then(|access| write(disk, &new, content, access))
        .map_err(fault);
    let renamed = written.and_then(|()| may()).and_then(|()| {
        disk.rename(&new, path).map_err(fault)?;
        disk.flush_folder(folder).map_err(fault)
    });
    renamed.inspect_err(|_| drop(disk.remove(&new)))
}

fn remove_on<P: AsRef<Path>>(disk: &impl Disk, paths: &[P]) -> Result<(), String> {
    for path in paths.iter().map(AsRef::as_ref) {
        match disk.remove(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(format!("cannot remove {}: {error}", path.display()));
            }
            _ => {}
        }
    }
    let Some(path) = paths.first().map(AsRef::as_ref) else {
        return Ok(());
    };
    let folder = folder_of(path).unwrap_or(path);
    disk.flush_folder(folder)
        .map_err(|error| format!("{}: {error}", folder.display()))
}

/// Folder, and the path of the temporary file in it. The name is always the same, so that the next run removes it.
fn beside(path: &Path) -> Option<(&Path, PathBuf)> {
    let folder = folder_of(path)?;
    let mut name = OsString::from(".");
    name.push(path.file_name()?);
    name.push(".spared");
    Some((folder, folder.join(name)))
}

fn folder_of(path: &Path) -> Option<&Path> {
    match path.parent()? {
        here if here.as_os_str().is_empty() => Some(Path::new(".")),
        folder => Some(folder),
    }
}

fn write(
    disk: &impl Disk,
    new: &Path,
    content: &[u8],
    access: Option<(u32, u32, u32)>,
) -> io::Result<()> {
    let file = disk.create(new)?;
    disk.write(&file, content)?;
    if let Some((uid, gid, mode)) = access {
        disk.set_access(&file, uid, gid, mode)?;
    }
    disk.flush(&file)
}

/// User, group and mode; None: the file keeps those it was created with.
fn resolved(path: &Path, folder: &Path, access: Access) -> io::Result<Option<(u32, u32, u32)>> {
    let before = match access {
        Access::Private => return Ok(None),
        Access::Given { uid, gid, mode } => return Ok(Some((uid, gid, mode))),
        Access::AsBefore => fs::symlink_metadata(path),
    };
    match before {
        Ok(is) if is.is_file() => Ok(Some((is.uid(), is.gid(), is.mode() & 0o777))),
        Ok(_) => Err(io::Error::other("it is not a regular file")),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let folder = fs::metadata(folder)?;
            Ok(Some((folder.uid(), folder.gid(), 0o644)))
        }
        Err(error) => Err(error),
    }
}
