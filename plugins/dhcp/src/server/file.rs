//! Files of a server that have to go, and room for those that come.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{StatVfsMountFlags, statvfs};
use spared_sdk::file::sync_folder;

/// Whether a file of so many bytes could be written into a folder, as far as its file system says
/// without being written to.
pub fn probe(folder: &Path, bytes: u64) -> Result<(), String> {
    let is = statvfs(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    if is.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Err(format!("{} is read-only", folder.display()));
    }
    let free = is.f_bavail.saturating_mul(is.f_frsize);
    // some file systems count neither
    if is.f_blocks > 0 && free < bytes {
        let (folder, free, needed) = (folder.display(), free >> 10, bytes.div_ceil(1024));
        return Err(format!(
            "{folder} has {free} kB free, and {needed} kB are needed"
        ));
    }
    if is.f_files > 0 && is.f_favail == 0 {
        return Err(format!("{} has no inode free", folder.display()));
    }
    Ok(())
}

/// Files that may be missing, gone for good.
pub fn remove(paths: &[PathBuf]) -> Result<(), String> {
    for path in paths {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(format!("{} cannot be removed: {error}", path.display()));
            }
            _ => {}
        }
    }
    match paths.first().and_then(|path| path.parent()) {
        Some(folder) => {
            sync_folder(folder).map_err(|error| format!("{}: {error}", folder.display()))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::scratch::Folder;

    #[test]
    fn a_folder_without_room_is_told_from_one_with() {
        let folder = Folder::new("room");
        assert_eq!(probe(&folder.path(""), 4096), Ok(()));
        let refused = probe(&folder.path(""), u64::MAX).unwrap_err();
        assert!(refused.contains("kB free"), "{refused}");
        // the kernel's own, which nobody can write to
        assert!(probe(&folder.path("none"), 1).is_err());
    }

    #[test]
    fn removing_tolerates_what_is_not_there() {
        let folder = Folder::new("remove");
        fs::write(folder.path("a.2"), b"").unwrap();
        remove(&[folder.path("a.1"), folder.path("a.2")]).unwrap();
        assert!(!folder.path("a.2").exists());
        fs::create_dir(folder.path("a.2")).unwrap();
        assert!(remove(&[folder.path("a.2")]).is_err());
    }
}
