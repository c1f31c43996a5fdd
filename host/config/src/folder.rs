//! Folder with a configuration, for tests.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::Setup;
use super::on_disk::Texts;

/// Folder with files, removed at the end.
pub struct Folder(pub PathBuf);

impl Folder {
    /// Creates a folder with a spared.toml and a plugin's file.
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("spared-{name}-{}", std::process::id()));
        let folder = Self(path);
        fs::create_dir_all(folder.0.join("plugins")).expect("our own folder");
        folder.write("spared.toml", "node.name = \"r1\"\n");
        folder.write("plugins/sets.toml", "weight = 1 # of nothing\n");
        folder
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).expect("our own folder");
    }

    pub fn mode(&self, name: &str, mode: u32) {
        let path = self.0.join(name);
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("our own file");
    }

    pub fn remove(&self, name: &str) {
        fs::remove_file(self.0.join(name)).expect("our own file");
    }

    /// Path of the folder's spared.toml.
    pub fn path(&self) -> PathBuf {
        self.0.join("spared.toml")
    }

    pub fn texts(&self) -> Texts {
        Setup::read(&self.path()).expect("no fault").texts()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
