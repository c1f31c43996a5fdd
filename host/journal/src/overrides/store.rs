//! Reads and writes the file of the overrides. It is replaced atomically and flushed, and only its
//! owner can read it.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Now, Overrides};
use crate::state_file::{self, BackgroundWriter};

const NAME: &str = "overrides.json";
/// Longest time that the loop waits for a write. A slower write still happens, unless the host is
/// killed first.
const PATIENCE: Duration = Duration::from_millis(50);

/// File of the overrides.
#[derive(Debug)]
pub struct Store {
    writer: BackgroundWriter,
    boot: String,
}

impl Store {
    /// Makes a store in a folder. `boot` is the kernel's id of this boot; empty if unknown.
    pub fn new(folder: PathBuf, boot: String) -> Self {
        let writer = BackgroundWriter::new(folder.join(NAME));
        Self { writer, boot }
    }

    /// Reads the overrides of earlier runs. An invalid file is logged and ignored: then nothing is
    /// overridden.
    pub fn read(&self, now: Now) -> Overrides {
        let path = self.writer.path();
        let text = match state_file::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Overrides::default(),
            Err(error) => return refuse(path, &error.to_string()),
        };
        Overrides::from_text(&text, now, &self.boot).unwrap_or_else(|why| refuse(path, &why))
    }

    /// # Errors
    /// The system refused the write, and the previous file is still there. A slow disk is not an
    /// error.
    pub fn write(&mut self, overrides: &Overrides) -> Result<(), String> {
        self.writer.write(overrides.to_text(&self.boot));
        self.writer.flush(PATIENCE)
    }

    /// Returns the reason why the latest overrides are not on the disk.
    pub fn fault(&self) -> Option<String> {
        self.writer.fault()
    }
}

fn refuse(path: &Path, why: &str) -> Overrides {
    log::warn!(
        "{}: {why}: ignored, so no override is in force",
        path.display()
    );
    Overrides::default()
}
