// SPDX-License-Identifier: MIT OR Apache-2.0
//! Kept releases: their programs and plugins, unpacked from tests/versions.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;
use crate::lab::build_dir;

/// A kept release.
#[derive(Clone, Debug)]
pub struct Release {
    /// Version, such as "0.1.0".
    pub name: String,
    /// Folder of its programs, as cargo builds them.
    pub folder: PathBuf,
}

/// Returns the kept releases, oldest first. `SPARED_OLDER` names the folder of one build instead.
pub fn releases() -> Result<Vec<Release>> {
    if let Some(folder) = std::env::var_os("SPARED_OLDER") {
        let name = "SPARED_OLDER".to_owned();
        let folder = folder.into();
        return Ok(vec![Release { name, folder }]);
    }
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("versions");
    let mut found = Vec::new();
    for entry in fs::read_dir(&kept)?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(name) = name.strip_suffix(".tar.xz") {
            found.push(unpacked(name, &entry.path())?);
        }
    }
    found.sort_by_key(|it| numbers(&it.name));
    Ok(found)
}

fn numbers(name: &str) -> Vec<u32> {
    name.split('.').filter_map(|it| it.parse().ok()).collect()
}

// Unpacks an archive beside this build's programs, once: workers run as other users, and must be able to enter the folder.
fn unpacked(name: &str, archive: &Path) -> Result<Release> {
    let around = build_dir()?.join("versions");
    let size = fs::metadata(archive)?.len();
    let folder = around.join(format!("{name}-{size}"));
    if !folder.exists() {
        let new = around.join(format!(".{name}-{}", std::process::id()));
        fs::create_dir_all(&new)?;
        let mut tar = Command::new("tar");
        tar.args(["--extract", "--xz", "--no-same-owner", "--file"])
            .arg(archive);
        let told = tar.arg("--directory").arg(&new).status()?;
        if !told.success() {
            return Err(format!("{}: {told}", archive.display()).into());
        }
        // another test may have been faster
        let _ = fs::rename(&new, &folder);
        let _ = fs::remove_dir_all(&new);
    }
    let name = name.to_owned();
    Ok(Release { name, folder })
}
