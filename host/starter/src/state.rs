//! Folders in which plugins keep their state, each with all that is in it its plugin's alone.
//!
//! A plugin gets another account if the administrator makes one of its name, or lets it be root no more. What it kept
//! goes with it: its files are readable by nobody else.

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

/// Files and folders that are given at most: the host waits for the answer.
const ENTRIES_MAX: u32 = 10_000;
/// Folders in folders that are gone through: each takes descriptors.
const DEPTH_MAX: u32 = 16;

const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Owners of the folders, by name.
pub(crate) fn owners(state: Option<&Path>) -> BTreeMap<String, u32> {
    let entries = state.and_then(|it| it.read_dir().ok());
    let owned = entries.into_iter().flatten().flatten().filter_map(|entry| {
        let about = entry.metadata().ok().filter(|it| it.is_dir())?;
        Some((entry.file_name().to_str()?.to_owned(), about.uid()))
    });
    owned.collect()
}

/// What plugins keep, and what of the peer's files waits there, is nobody else's. A link in its place is not followed.
pub(crate) fn make_folder(path: &Path, (uid, gid): Account) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let folder = open(path, FOLDER, Mode::empty())?;
    let about = fstat(&folder)?;
    let (to_uid, to_gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    if about.st_uid != uid {
        let mut gift = Gift {
            from: about.st_uid,
            to: (to_uid, to_gid),
            device: about.st_dev,
            left: ENTRIES_MAX,
        };
        if let Err(error) = gift.give_below(&folder, 0) {
            let shown = path.display();
            eprintln!(
                "spared starter: {shown}: cannot make user {uid} the owner of all files: {error}"
            );
        }
    }
    // Last: if this process ends before, the next one goes on.
    fchown(&folder, Some(to_uid), Some(to_gid))?;
    fchmod(&folder, Mode::RWXU)?;
    Ok(())
}

/// Files of one account that become another's. The account before may still have processes, which move and link what
/// they can: so each file is looked at and given by one descriptor, and nothing is given that may be elsewhere as well.
struct Gift {
    from: u32,
    to: (Uid, Gid),
    device: u64,
    /// Entries that it may still look at.
    left: u32,
}

impl Gift {
    fn give_below(&mut self, folder: &OwnedFd, depth: u32) -> io::Result<()> {
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
            self.give(folder, name, depth)?;
        }
        Ok(())
    }

    fn give(&mut self, folder: &OwnedFd, name: &CStr, depth: u32) -> io::Result<()> {
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
                self.give_below(&below, depth + 1)?;
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
