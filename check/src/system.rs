//! Reads the facts: files of /proc and /run below a root that tests may replace.

use std::fs;
use std::path::{Path, PathBuf};

/// Host, or a folder that looks like one.
#[derive(Clone, Debug)]
pub struct System {
    root: PathBuf,
}

impl System {
    /// This host, in the caller's network namespace.
    pub fn here() -> Self {
        Self { root: "/".into() }
    }

    #[cfg(test)]
    pub fn below(root: &Path) -> Self {
        Self { root: root.into() }
    }

    /// Text of a file without white space around it.
    pub fn read(&self, path: &str) -> Option<String> {
        let text = fs::read_to_string(self.path(path)).ok()?;
        Some(text.trim().to_owned())
    }

    /// Value of a kernel setting, named with slashes as in "net/ipv4/ip_forward".
    pub fn setting(&self, name: &str) -> Option<i64> {
        self.read(&format!("proc/sys/{name}"))?.parse().ok()
    }

    /// Returns true if a file exists on a read-only file system.
    pub fn is_read_only(&self, path: &str) -> bool {
        let opened = fs::OpenOptions::new().write(true).open(self.path(path));
        opened.is_err_and(|error| error.kind() == std::io::ErrorKind::ReadOnlyFilesystem)
    }

    /// Returns true if /proc/net/dev lists the interface. Unlike /sys, that file is about the network namespace.
    pub fn has_interface(&self, name: &str) -> bool {
        self.interfaces().iter().any(|found| found == name)
    }

    /// Names of all interfaces.
    pub fn interfaces(&self) -> Vec<String> {
        let table = self.read("proc/net/dev").unwrap_or_default();
        let names = table.lines().filter_map(|line| line.split_once(':'));
        names.map(|(name, _)| name.trim().to_owned()).collect()
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// Entries of a folder that can be read.
    pub fn entries(&self, path: &str) -> Vec<PathBuf> {
        let Ok(folder) = fs::read_dir(self.path(path)) else {
            return Vec::new();
        };
        folder
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect()
    }

    /// Target of a symbolic link.
    pub fn link(path: &Path) -> Option<String> {
        Some(fs::read_link(path).ok()?.to_string_lossy().into_owned())
    }
}
