//! Files in the plugin's folder that outlive a run of the plugin, until the next boot.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use spared_file::replace_unflushed;
use spared_records::boot;

/// A file. Its first line is the id of the boot: after another boot the kernel's tunnels are gone.
#[derive(Debug)]
pub struct StateFile {
    file: Option<PathBuf>,
    boot: Vec<u8>,
    /// Consequence of a file that cannot be written.
    risk: &'static str,
}

impl StateFile {
    pub fn new(folder: Option<&Path>, name: &str, risk: &'static str) -> Self {
        let boot = boot::id();
        Self {
            file: folder.map(|folder| folder.join(name)),
            boot: if boot.is_empty() {
                Vec::new()
            } else {
                [boot.as_bytes(), b"\n"].concat()
            },
            risk,
        }
    }

    /// Returns the files for ended tunnels, for tunnels that the IKE daemon is still to establish, and for the time
    /// since which the nodes may differ.
    pub fn all(folder: Option<&Path>) -> [Self; 3] {
        const ENDED: &str = "tunnels that ended may come back";
        const UNADOPTED: &str = "replicated tunnels may end with their keys";
        const APART: &str = "sequence numbers of tunnels may be used twice";
        let files = [("ended", ENDED), ("unadopted", UNADOPTED), ("apart", APART)];
        files.map(|(name, risk)| Self::new(folder, name, risk))
    }

    /// Returns the contents; empty if there is no file, or one of another boot.
    pub fn read(&self) -> Vec<u8> {
        let Some(file) = self.file.as_ref().filter(|_| !self.boot.is_empty()) else {
            return Vec::new();
        };
        match fs::read(file) {
            Ok(bytes) => bytes
                .strip_prefix(&self.boot[..])
                .map(<[u8]>::to_vec)
                .unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                log::warn!("{}: {error}", file.display());
                Vec::new()
            }
        }
    }

    /// Replaces the file at once. It need not be flushed to the disk, as it is only valid until the next boot.
    pub fn write(&self, bytes: &[u8]) {
        let Some(file) = &self.file else {
            return;
        };
        let done = if bytes.is_empty() {
            remove(file)
        } else {
            replace_unflushed(file, &[&self.boot, bytes].concat())
        };
        if let Err(error) = done {
            log::warn!(
                "{}: {error}; {} if this plugin is restarted",
                file.display(),
                self.risk
            );
        }
    }
}

fn remove(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_boot_left_is_nothing() {
        let folder = std::env::temp_dir().join(format!("spared-ended-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let [state_file, other, _] = StateFile::all(Some(&folder));
        assert_eq!(state_file.read(), b"");
        state_file.write(b"some");
        let [again, ..] = StateFile::all(Some(&folder));
        assert_eq!((again.read(), other.read()), (b"some".to_vec(), Vec::new()));
        let file = folder.join("ended");
        fs::write(&file, "another\nsome").unwrap();
        assert_eq!(state_file.read(), b"");
        for _ in 0..2 {
            state_file.write(b"");
            assert!(!file.exists());
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
