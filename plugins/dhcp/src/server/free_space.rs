//! Checks free space for a server's files.

use std::path::Path;

use rustix::fs::{StatVfsMountFlags, statvfs};

/// Checks if a file of this size could be written into a folder, by the information of its file
/// system, without a write.
pub fn probe(folder: &Path, bytes: u64) -> Result<(), String> {
    let is = statvfs(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    if is.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Err(format!("{} is read-only", folder.display()));
    }
    let free = is.f_bavail.saturating_mul(is.f_frsize);
    // some file systems report neither number
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
        // a folder of the kernel, in which no file can be created
        assert!(probe(&folder.path("none"), 1).is_err());
    }
}
