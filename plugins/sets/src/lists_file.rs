//! Names of the sets that are filled by lists, in a file of the plugin's folder. A worker that starts while its peer is
//! away, or has been restarted as well, must not merge two lists.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use spared_file::replace_unflushed;

const NAME: &str = "lists";

/// The file, with a name in each line.
#[derive(Debug)]
pub struct ListsFile(Option<PathBuf>);

impl ListsFile {
    pub fn in_folder(folder: Option<PathBuf>) -> Self {
        Self(folder.map(|folder| folder.join(NAME)))
    }

    /// Reads the names; none if there is no file.
    pub fn read(&self) -> BTreeSet<String> {
        let Some(path) = &self.0 else {
            return BTreeSet::new();
        };
        match fs::read_to_string(path) {
            Ok(text) => text.lines().map(str::to_owned).collect(),
            Err(error) => {
                if error.kind() != ErrorKind::NotFound {
                    log::warn!("{}: {error}", path.display());
                }
                BTreeSet::new()
            }
        }
    }

    /// Replaces the names. The file is not flushed to the disk, for which changes of sets would have to wait; what a power
    /// cut damages is learned again from the next list.
    pub fn write(&self, names: &BTreeSet<String>) {
        let Some(path) = &self.0 else {
            return;
        };
        let lines: String = names.iter().map(|name| format!("{name}\n")).collect();
        if let Err(error) = replace_unflushed(path, lines.as_bytes()) {
            log::warn!(
                "{}: {error}; two lists may be merged if this plugin is restarted on both nodes",
                path.display()
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_outlive_a_worker() {
        let folder = std::env::temp_dir().join(format!("spared-lists-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let names = BTreeSet::from(["inet filter bans".to_owned()]);
        ListsFile::in_folder(Some(folder.clone())).write(&names);
        assert_eq!(ListsFile::in_folder(Some(folder.clone())).read(), names);
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(ListsFile::in_folder(Some(folder)).read(), BTreeSet::new());
    }
}
