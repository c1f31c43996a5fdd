//! Replaces files atomically and durably.
//!
//! Written here because `tempfile` gives the new file a random name, so that a file left behind by a
//! crash would stay for ever.

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// Owner and mode of a new file. Until its content is complete only this process's user may read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Mode 0600, for this process's user.
    Private,
    /// Those of the old file, which must be a regular one; without an old file the owner of the
    /// folder, and mode 0644.
    AsBefore,
    /// The given ones.
    Given {
        /// User that owns it.
        uid: u32,
        /// Group that owns it.
        gid: u32,
        /// Permissions, with the bits for set-user-id and the like.
        mode: u32,
    },
}

/// Replaces a file by one with this content: writes a new file beside it, flushes it to disk, renames
/// it and flushes the folder. At any time, also after a power cut, the name leads to the complete old
/// content or the complete new one.
///
/// The disk may be slow: `may` is called when only the renaming is left, and can refuse it. A symbolic
/// link under the name is replaced, never followed.
///
/// # Errors
/// A sentence that names the file, or the error of `may`. If the file was not replaced it is
/// unchanged, and nothing is left beside it.
pub fn replace(
    path: &Path,
    content: &[u8],
    access: Access,
    may: impl FnOnce() -> Result<(), String>,
) -> Result<(), String> {
    let fault = |error: io::Error| format!("{} cannot be written: {error}", path.display());
    let (folder, new) = beside(path).ok_or_else(|| fault(ErrorKind::IsADirectory.into()))?;
    // left by a process that was killed
    let _ = fs::remove_file(&new);
    let written = write(path, folder, &new, content, access).map_err(fault);
    let renamed = written.and_then(|()| may()).and_then(|()| {
        fs::rename(&new, path).map_err(fault)?;
        sync_folder(folder).map_err(fault)
    });
    renamed.inspect_err(|_| drop(fs::remove_file(&new)))
}

/// Flushes the entries of a folder to disk.
///
/// # Errors
/// The kernel's.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// The folder and the new file in it. Its name is always the same, so that the next run removes it.
fn beside(path: &Path) -> Option<(&Path, PathBuf)> {
    let folder = match path.parent()? {
        here if here.as_os_str().is_empty() => Path::new("."),
        folder => folder,
    };
    let mut name = OsString::from(".");
    name.push(path.file_name()?);
    name.push(".spared");
    Some((folder, folder.join(name)))
}

fn write(path: &Path, folder: &Path, new: &Path, content: &[u8], access: Access) -> io::Result<()> {
    let access = resolved(path, folder, access)?;
    // the folder may belong to somebody else, who could have put a link there: create_new follows none
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(new)?;
    file.write_all(content)?;
    if let Some((uid, gid, mode)) = access {
        let is = file.metadata()?;
        if (is.uid(), is.gid()) != (uid, gid) {
            fchown(&file, Some(uid), Some(gid))?;
        }
        // after the owner, as changing that clears set-user-id
        file.set_permissions(Permissions::from_mode(mode & 0o7777))?;
    }
    file.sync_all()
}

/// User, group and mode; None: as the file is created.
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
