//! Record that is carried over to the next worker of this boot, in a file of the plugin's folder.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use spared_file::replace_unflushed;
use spared_records::boot;

/// File whose first line identifies the boot.
#[derive(Debug)]
pub struct CarryOverFile {
    file: Option<PathBuf>,
    boot: String,
}

impl CarryOverFile {
    pub fn in_folder(folder: Option<&Path>) -> Self {
        Self {
            file: folder.map(|folder| folder.join("done")),
            boot: boot::id(),
        }
    }

    /// Reads the record; empty if there is no file, or one of another boot.
    pub fn read(&self) -> String {
        let Some(file) = &self.file else {
            return String::new();
        };
        match fs::read_to_string(file) {
            Ok(text) => match text.split_once('\n') {
                Some((boot, rest)) if boot == self.boot && !boot.is_empty() => rest.to_owned(),
                _ => String::new(),
            },
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => {
                log::warn!("{}: {error}", file.display());
                String::new()
            }
        }
    }

    /// Writes the record atomically. Without it a restarted worker would only do some work again. It is not flushed to
    /// the disk, because another boot ignores it, and a role would have to wait for the disk.
    pub fn write(&self, text: &str) {
        let Some(file) = &self.file else {
            return;
        };
        let text = format!("{}\n{text}", self.boot);
        if let Err(error) = replace_unflushed(file, text.as_bytes()) {
            log::warn!("{}: {error}", file.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_boot_did_is_forgotten() {
        let folder = std::env::temp_dir().join(format!("spared-carry-over-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let file = CarryOverFile::in_folder(Some(&folder));
        assert_eq!(file.read(), "");
        file.write("a\tb\n");
        assert_eq!(file.read(), "a\tb\n");
        fs::write(folder.join("done"), "another\na\tb\n").unwrap();
        assert_eq!(file.read(), "");
        fs::remove_dir_all(&folder).unwrap();
    }
}
