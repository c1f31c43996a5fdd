//! Keeps the mark of a node that is paired but not armed: an empty file in the folder of the daemon's state.
//!
//! Its presence alone counts, so that a crash while it is written or removed leaves one of two states. Whoever pairs the
//! node writes it before the files of the configuration.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use spared_message::control::UNARMED_MARK;

/// Mark of a node that is not armed.
#[derive(Debug)]
pub struct UnarmedMark {
    path: PathBuf,
    is_set: bool,
}

impl UnarmedMark {
    /// Reads the mark in a folder.
    pub fn new(folder: &Path) -> Self {
        let mut mark = Self {
            path: folder.join(UNARMED_MARK),
            is_set: false,
        };
        mark.read();
        mark
    }

    /// Reads the mark again. Returns true if it was set or removed meanwhile.
    pub fn read(&mut self) -> bool {
        // a folder that cannot be searched keeps no node from serving
        let is_set = fs::symlink_metadata(&self.path).is_ok();
        std::mem::replace(&mut self.is_set, is_set) != is_set
    }

    /// Returns true if the mark was there when it was read.
    pub fn is_set(&self) -> bool {
        self.is_set
    }

    /// Removes the mark durably. Returns false if there was none.
    ///
    /// # Errors
    /// A sentence that names the file. The mark is then still set.
    pub fn remove(&mut self) -> Result<bool, String> {
        if !self.is_set {
            return self.remove_unread();
        }
        spared_file::remove(&[&self.path])?;
        self.is_set = false;
        Ok(true)
    }

    // Removes a mark that came after it was last read. This node may be active and must not wait for a disk, so the
    // folder is not flushed.
    fn remove_unread(&self) -> Result<bool, String> {
        match fs::remove_file(&self.path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(format!("cannot remove {}: {error}", self.path.display())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let name = format!("spared-unarmed-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn the_presence_of_the_file_alone_counts_until_it_is_removed() {
        let folder = folder("presence");
        let mut mark = UnarmedMark::new(&folder);
        assert!(!mark.is_set() && !mark.read());
        for content in ["", "anything", "\0\0\0"] {
            fs::write(folder.join(UNARMED_MARK), content).unwrap();
            assert!(!mark.is_set(), "not read yet");
            assert!(mark.read() && mark.is_set() && !mark.read());
            assert!(UnarmedMark::new(&folder).is_set(), "after a restart");
            assert_eq!(mark.remove(), Ok(true));
            assert!(!mark.is_set() && !UnarmedMark::new(&folder).is_set());
            assert_eq!(mark.remove(), Ok(false));
        }
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_mark_that_was_not_read_is_removed_too() {
        let folder = folder("unread");
        let mut mark = UnarmedMark::new(&folder);
        fs::write(folder.join(UNARMED_MARK), "").unwrap();
        assert_eq!(mark.remove(), Ok(true));
        assert!(!UnarmedMark::new(&folder).is_set());
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_mark_that_cannot_be_removed_stays_and_is_named() {
        let folder = folder("stays");
        // a folder of that name cannot be removed as a file
        fs::create_dir_all(folder.join(UNARMED_MARK)).unwrap();
        let mut mark = UnarmedMark::new(&folder);
        let why = mark.remove().unwrap_err();
        assert!(
            why.starts_with("cannot remove ") && why.contains("unarmed: "),
            "{why}"
        );
        assert!(mark.is_set());
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_folder_that_is_missing_has_no_mark() {
        let mut mark = UnarmedMark::new(Path::new("/nonexistent/spared"));
        assert!(!mark.is_set());
        assert_eq!(mark.remove(), Ok(false));
    }
}
