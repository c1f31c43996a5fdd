//! Files for an import: those that were named, and what they include.

use std::fs;
use std::path::{Component, Path, PathBuf};

use globset::GlobBuilder;
use spared_import::{BYTES_MAX, Files};

/// Maximum number of files that one pattern names.
const MATCHES_MAX: usize = 1000;

/// Reads files. Root reads none outside of the folders of the files that were named, also by a link.
pub struct Disk {
    folders: Option<Vec<PathBuf>>,
}

impl Disk {
    pub fn new(named: &[&Path]) -> Self {
        let is_root = rustix::process::geteuid().is_root();
        let folder = |it: &&Path| Some(it.canonicalize().ok()?.parent()?.to_owned());
        let folders = named.iter().filter_map(folder).collect();
        Self {
            folders: is_root.then_some(folders),
        }
    }
}

impl Files for Disk {
    fn read(&self, path: &Path) -> Result<String, String> {
        let real = path.canonicalize().map_err(|error| error.to_string())?;
        if let Some(folders) = &self.folders {
            if !folders.iter().any(|it| real.starts_with(it)) {
                let folder = folders
                    .first()
                    .map(|it| it.display().to_string())
                    .unwrap_or_default();
                return Err(format!("it is outside of {folder}, where root reads alone"));
            }
        }
        let known = fs::metadata(&real).map_err(|error| error.to_string())?;
        if !known.is_file() {
            return Err("it is no regular file".to_owned());
        }
        if known.len() > BYTES_MAX as u64 {
            return Err(format!("{} bytes, allowed are {BYTES_MAX}", known.len()));
        }
        let bytes = fs::read(&real).map_err(|error| error.to_string())?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn matching(&self, pattern: &Path) -> Result<Vec<PathBuf>, String> {
        let mut found = vec![PathBuf::new()];
        for part in pattern.components() {
            let text = part.as_os_str().to_string_lossy();
            let has_wildcards = text.contains(['*', '?', '[', '{']);
            if matches!(part, Component::Normal(_)) && has_wildcards {
                let glob = GlobBuilder::new(&text)
                    .build()
                    .map_err(|error| error.to_string())?;
                let glob = glob.compile_matcher();
                found = found
                    .iter()
                    .flat_map(|it| entries(it, |name| glob.is_match(name)))
                    .collect();
                found.sort();
                if found.len() > MATCHES_MAX {
                    return Err(format!("more than {MATCHES_MAX} files"));
                }
            } else {
                for path in &mut found {
                    path.push(part);
                }
            }
        }
        found.retain(|it| it.is_file());
        Ok(found)
    }
}

/// Entries of a folder whose names fit, without hidden ones.
fn entries(folder: &Path, fits: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let here = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let entries = fs::read_dir(here).into_iter().flatten().flatten();
    let names = entries.filter_map(|it| it.file_name().into_string().ok());
    let names = names.filter(|it| !it.starts_with('.') && fits(it));
    names.map(|it| folder.join(it)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn includes_are_found_by_patterns_and_root_leaves_no_folder() {
        let folder = std::env::temp_dir().join(format!("sparectl-import-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("in/a")).expect("a folder");
        fs::create_dir_all(folder.join("out")).expect("a folder");
        for name in [
            "in/keepalived.conf",
            "in/a/1.conf",
            "in/a/2.conf",
            "in/a/.3.conf",
            "in/a/4.txt",
            "out/secret",
        ] {
            fs::write(folder.join(name), name).expect("written");
        }
        std::os::unix::fs::symlink(folder.join("out/secret"), folder.join("in/link"))
            .expect("a link");
        let main = folder.join("in/keepalived.conf");
        let mut disk = Disk::new(&[&main]);
        let names = |pattern: &str| -> Vec<String> {
            let found = disk.matching(&folder.join(pattern)).expect("a pattern");
            found
                .iter()
                .map(|it| {
                    it.strip_prefix(&folder)
                        .expect("below")
                        .display()
                        .to_string()
                })
                .collect()
        };
        assert_eq!(names("in/*/*.conf"), ["in/a/1.conf", "in/a/2.conf"]);
        assert_eq!(names("in/a/{2,4}.*"), ["in/a/2.conf", "in/a/4.txt"]);
        assert_eq!(names("in/a"), [""; 0]);
        disk.folders = Some(vec![folder.join("in").canonicalize().expect("there")]);
        assert_eq!(
            disk.read(&folder.join("in/a/1.conf")).as_deref(),
            Ok("in/a/1.conf")
        );
        for outside in ["out/secret", "in/link", "in/a/../../out/secret"] {
            let why = disk.read(&folder.join(outside)).expect_err("outside");
            assert!(why.contains("where root reads alone"), "{why}");
        }
        disk.folders = None;
        assert_eq!(
            disk.read(&folder.join("in/link")).as_deref(),
            Ok("out/secret")
        );
        fs::remove_dir_all(&folder).expect("removed");
    }
}
