//! States of files, to notice changes.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Folders of units that administrators and packages write.
const UNIT_FOLDERS: [&str; 4] = [
    "etc/systemd/system",
    "run/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
];

/// Number that changes when a file is written, replaced or deleted. A name that is not a path is the name of a unit.
pub(super) fn stamp(root: &Path, files: &[String]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for file in files {
        match file.strip_prefix('/') {
            Some(path) => hash_file(&root.join(path), &mut hasher),
            None => unit_paths(root, file).for_each(|path| hash_file(&path, &mut hasher)),
        }
    }
    hasher.finish()
}

fn unit_paths(root: &Path, unit: &str) -> impl Iterator<Item = PathBuf> {
    let name = if unit.contains('.') {
        unit.to_owned()
    } else {
        format!("{unit}.service")
    };
    let folders = UNIT_FOLDERS.map(|folder| root.join(folder));
    folders
        .into_iter()
        .flat_map(move |folder| [folder.join(&name), folder.join(format!("{name}.d"))])
}

fn hash_file(path: &Path, hasher: &mut DefaultHasher) {
    let about = fs::metadata(path).ok();
    let about = about.map(|it| (it.dev(), it.ino(), it.size(), it.mtime(), it.mtime_nsec()));
    about.hash(hasher);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_written_replaced_or_deleted_has_another_stamp() {
        let root = std::env::temp_dir().join(format!("spared-stamp-{}", std::process::id()));
        fs::create_dir_all(root.join("etc/systemd/system")).unwrap();
        let files = ["/etc/kea.conf".to_owned(), "kea".to_owned()];
        let mut known = vec![stamp(&root, &files)];
        let mut changed = |what: &str| {
            let stamp = stamp(&root, &files);
            assert!(!known.contains(&stamp), "{what}");
            known.push(stamp);
        };
        let conf = root.join("etc/kea.conf");
        fs::write(&conf, "a").unwrap();
        changed("made");
        fs::write(&conf, "ab").unwrap();
        changed("written");
        fs::write(root.join("other"), "ab").unwrap();
        fs::rename(root.join("other"), &conf).unwrap();
        changed("replaced");
        fs::write(root.join("etc/systemd/system/kea.service"), "").unwrap();
        changed("its unit was made");
        fs::remove_file(&conf).unwrap();
        changed("deleted");
        assert_eq!(stamp(&root, &files), stamp(&root, &files));
        fs::remove_dir_all(&root).unwrap();
    }
}
