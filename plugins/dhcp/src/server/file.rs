//! Files of a server that have to go.

use std::fs;
use std::io;
use std::path::PathBuf;

use spared_sdk::file::sync_folder;

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
    fn removing_tolerates_what_is_not_there() {
        let folder = Folder::new("remove");
        fs::write(folder.path("a.2"), b"").unwrap();
        remove(&[folder.path("a.1"), folder.path("a.2")]).unwrap();
        assert!(!folder.path("a.2").exists());
        fs::create_dir(folder.path("a.2")).unwrap();
        assert!(remove(&[folder.path("a.2")]).is_err());
    }
}
