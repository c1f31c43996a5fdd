//! Where the facts come from: files of /proc and /run under a root that tests may replace.

use std::fs;
use std::path::{Path, PathBuf};

/// The host, or a folder that looks like one.
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

    /// A file's text without the white space around it.
    pub fn read(&self, path: &str) -> Option<String> {
        let text = fs::read_to_string(self.path(path)).ok()?;
        Some(text.trim().to_owned())
    }

    /// A kernel setting by its name with slashes, "net/ipv4/ip_forward".
    pub fn setting(&self, name: &str) -> Option<i64> {
        self.read(&format!("proc/sys/{name}"))?.parse().ok()
    }

    /// Like /proc/net/dev: it follows the network namespace, which /sys does not.
    pub fn has_interface(&self, name: &str) -> bool {
        let table = self.read("proc/net/dev").unwrap_or_default();
        table
            .lines()
            .filter_map(|line| line.split_once(':'))
            .any(|(found, _)| found.trim() == name)
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// The entries of a folder, those that cannot be read left out.
    pub fn entries(&self, path: &str) -> Vec<PathBuf> {
        let Ok(folder) = fs::read_dir(self.path(path)) else {
            return Vec::new();
        };
        folder
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect()
    }

    /// Where a symbolic link of a process leads.
    pub fn link(path: &Path) -> Option<String> {
        Some(fs::read_link(path).ok()?.to_string_lossy().into_owned())
    }
}
