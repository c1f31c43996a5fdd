//! State folders of plugins. All contents of a folder belong to its plugin alone.
//!
//! A plugin's account changes if the administrator creates one of its name, or no longer lets it be root. Then its
//! files get the new owner, because nobody else may read them.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::fs::DirBuilder;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, Uid};
use rustix::fs::{chownat, fchmod, fchown, fstat, open, openat};
use rustix::io::Errno;
use spared_process::account::Account;

/// Maximum number of files and folders that get a new owner, because the host waits for the answer.
const ENTRIES_MAX: u32 = 10_000;
/// Maximum depth of folders, because each level takes a descriptor.
const DEPTH_MAX: u32 = 16;

const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Owners of the folders, by name of the folder.
pub(crate) fn owners(state: Option<&Path>) -> BTreeMap<String, u32> {
    let entries = state.and_then(|it| it.read_dir().ok());
    let owned = entries.into_iter().flatten().flatten().filter_map(|entry| {
        let about = entry.metadata().ok().filter(|it| it.is_dir())?;
        Some((entry.file_name().to_str()?.to_owned(), about.uid()))
    });
    owned.collect()
}

/// Creates a plugin's state folder, which nobody else may read. It contains state, and files of the peer that wait. If
/// a symbolic link is in its place, it is not followed.
pub(crate) fn make_folder(path: &Path, (uid, gid): Account) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let folder = open(path, FOLDER, Mode::empty())?;
    let about = fstat(&folder)?;
    let (to_uid, to_gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    if about.st_uid != uid {
        let mut change = OwnershipChange {
            from: about.st_uid,
            to: (to_uid, to_gid),
            device: about.st_dev,
            left: ENTRIES_MAX,
        };
        if let Err(error) = change.change_owners_below(&folder, 0) {
            let shown = path.display();
            eprintln!(
                "spared starter: {shown}: cannot make user {uid} the owner of all files: {error}"
            );
        }
    }
    // The folder itself is last: if this process ends before, the next one continues.
    fchown(&folder, Some(to_uid), Some(to_gid))?;
    fchmod(&folder, Mode::RWXU)?;
    Ok(())
}

/// Change of the owner of files. The old owner may still have processes, which can move and link files. So each file is
/// checked and given by one descriptor, and no file is given that may have another name elsewhere.
struct OwnershipChange {
    from: u32,
    to: (Uid, Gid),
    device: u64,
    /// Maximum number of further entries.
    left: u32,
}

impl OwnershipChange {
    fn change_owners_below(&mut self, folder: &OwnedFd, depth: u32) -> io::Result<()> {
        for entry in Dir::read_from(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            if [c".", c".."].contains(&name) {
                continue;
            }
            if self.left == 0 {
                return Err(io::Error::other(format!("more than {ENTRIES_MAX} files")));
            }
            self.left -= 1;
            self.change_owner(folder, name, depth)?;
        }
        Ok(())
    }

    fn change_owner(&mut self, folder: &OwnedFd, name: &CStr, depth: u32) -> io::Result<()> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let entry = match openat(folder, name, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(()),
            opened => opened?,
        };
        let about = fstat(&entry)?;
        if about.st_uid != self.from || about.st_dev != self.device {
            return Ok(());
        }
        match FileType::from_raw_mode(about.st_mode) {
            FileType::RegularFile if about.st_nlink == 1 => {}
            FileType::Directory if depth < DEPTH_MAX => {
                let below = openat(&entry, c".", FOLDER, Mode::empty())?;
                self.change_owners_below(&below, depth + 1)?;
            }
            _ => return Ok(()),
        }
        let (uid, gid) = self.to;
        Ok(chownat(
            &entry,
            c"",
            Some(uid),
            Some(gid),
            AtFlags::EMPTY_PATH,
        )?)
    }
}
