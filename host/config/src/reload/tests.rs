//! Tests reloads of real files with a host that starts nothing.

mod changes;
mod confirm;
mod steps;

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::Setup;

/// Folder with `spared.toml` and files of plugins.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("spared-reload-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(path.join("plugins")).expect("a temporary folder");
        Self(path)
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.0.join(file), text).expect("our own folder");
    }

    fn read(&self) -> Setup {
        let path = self.0.join("spared.toml");
        Setup::read(&path).unwrap_or_else(|faults| panic!("{faults:?}"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
