//! Files that take the place of another at once and for good, whatever crashes.
//!
//! Own code and no crate: `tempfile` names what it writes at random, so that what a crash leaves
//! behind would stay for ever. The rest of it is a page of std.

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// Owner and mode of a new file. Until its content is complete nobody but this process's user may
/// read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Mode 0600, for this process's user.
    Private,
    /// Those of the file that was there, which must be a regular one; of a first one the owner of its
    /// folder, and mode 0644.
    AsBefore,
    /// These.
    Given {
        /// User that owns it.
        uid: u32,
        /// Group that owns it.
        gid: u32,
        /// Permissions, with the bits for set-user-id and the like.
        mode: u32,
    },
}

/// Replaces a file by one with this content: a new file beside it is written and flushed to disk, takes
/// its name, and the folder is flushed as well. So at any time, also after a power cut, the name leads
/// to all of the old content or all of the new.
///
/// The disk may take its time: `may` is asked when only the renaming is left. A link under the name
/// is replaced, never followed.
///
/// # Errors
/// A sentence that names the file, or that of `may`. If the file has not been replaced, it is
/// untouched and nothing is left beside it.
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

/// Flushes to disk which names a folder has.
///
/// # Errors
/// The kernel's.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// The folder, and the new file in it: always the same name, so that the next run removes it.
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
    // the folder may be somebody else's, who might have put a link there: never followed
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
        // after the owner, whose change takes set-user-id away
        file.set_permissions(Permissions::from_mode(mode & 0o7777))?;
    }
    file.sync_all()
}

/// User, group and mode; None: as it is created.
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
