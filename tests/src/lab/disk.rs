// SPDX-License-Identifier: MIT OR Apache-2.0
//! A small file system of its own for a folder.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;

/// A file system that is mounted until the value is dropped.
pub struct Disk(PathBuf);

impl Disk {
    /// Mounts an empty one of this size over a folder, whose files are hidden meanwhile.
    pub fn over(folder: &Path, size: &str) -> Result<Self> {
        Self::mount(folder, &format!("size={size},mode=711"))
    }

    /// Mounts one in the place of a folder, with its files.
    pub fn in_place_of(folder: &Path) -> Result<Self> {
        let before = PathBuf::from(format!("{}.before", folder.display()));
        fs::rename(folder, &before)?;
        fs::create_dir(folder)?;
        let disk = Self::mount(folder, "size=1m,mode=750")?;
        for entry in fs::read_dir(&before)? {
            let entry = entry?;
            fs::copy(entry.path(), folder.join(entry.file_name()))?;
        }
        Ok(disk)
    }

    fn mount(folder: &Path, options: &str) -> Result<Self> {
        let disk = Self(folder.to_owned());
        run("mount", &["-t", "tmpfs", "-o", options, "tmpfs"], folder)?;
        Ok(disk)
    }

    /// Fills the file system.
    pub fn fill(&self) -> Result<()> {
        let full = File::create(self.0.join("full"))?;
        while std::io::Write::write(&mut &full, &[0; 4096]).is_ok() {}
        Ok(())
    }

    pub fn empty(&self) -> Result<()> {
        Ok(fs::remove_file(self.0.join("full"))?)
    }

    /// Remounts it as "ro" or "rw".
    pub fn remount(&self, mode: &str) -> Result<()> {
        run("mount", &["-o", &format!("remount,{mode}")], &self.0)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = run("umount", &["-l"], &self.0);
    }
}

/// Unmounts everything below a folder, left by a run that a signal ended.
pub(super) fn unmount_below(folder: &Path) {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    for point in points.filter(|point| Path::new(point).starts_with(folder)) {
        let _ = run("umount", &["-l"], Path::new(point));
    }
}

fn run(program: &str, words: &[&str], path: &Path) -> Result<()> {
    let status = Command::new(program).args(words).arg(path).status()?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{program} {}: {status}", words.join(" ")).into())
    }
}
