//! Replaces a file's content atomically, so that no reader ever sees a part of it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use spared_file::{Access, replace};

/// Maximum size in bytes: files that follow a role are configuration, and a larger one is a mistake.
const SIZE_MAX: u64 = 16 * 1024 * 1024;

/// # Errors
/// The reason as a sentence; then nothing has changed.
pub(super) fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let shown = |path: &Path| {
        let path = path.display().to_string();
        move |error: io::Error| format!("{path}: {error}")
    };
    let source = File::open(from).map_err(shown(from))?;
    let about = source.metadata().map_err(shown(from))?;
    if !about.is_file() || about.len() > SIZE_MAX {
        return Err(format!(
            "{}: is not a file of at most 16 MiB",
            from.display()
        ));
    }
    let mut content = Vec::new();
    let mut source = source.take(SIZE_MAX);
    source.read_to_end(&mut content).map_err(shown(from))?;
    if is_same(to, &content, &about) {
        return Ok(());
    }
    let access = Access::Given {
        uid: about.uid(),
        gid: about.gid(),
        mode: about.mode(),
    };
    replace(to, &content, access, || Ok(()))
}

/// Reasons why files cannot be used, by the names of items.
pub fn source_faults(items: &[(String, Vec<PathBuf>)]) -> Vec<(String, Option<String>)> {
    let fault = |(name, files): &(String, Vec<PathBuf>)| {
        let mut faults = files.iter().filter_map(|it| check_usable(it).err());
        (name.clone(), faults.next())
    };
    items.iter().map(fault).collect()
}

fn check_usable(from: &Path) -> Result<(), String> {
    let about = File::open(from).and_then(|file| file.metadata());
    match about {
        Ok(about) if about.is_file() => Ok(()),
        Ok(_) => Err(format!("{}: is not a file", from.display())),
        Err(error) => Err(format!("{}: {error}", from.display())),
    }
}

/// Commands that do the same outside of this process's confinement: run in order, each must succeed.
pub(super) fn commands(from: &Path, to: &Path) -> [Vec<String>; 4] {
    let folder = to.parent().unwrap_or(to).display().to_string();
    let (from, new, to) = (
        from.display().to_string(),
        temporary_path(to).display().to_string(),
        to.display().to_string(),
    );
    let words = |words: &[&str]| words.iter().map(|it| (*it).to_owned()).collect();
    [
        // neither through a link that others created there, nor into a folder
        words(&["/bin/cp", "-pT", "--remove-destination", "--", &from, &new]),
        words(&["/bin/sync", "--", &new]),
        words(&["/bin/mv", "-fT", "--", &new, &to]),
        words(&["/bin/sync", "--", &folder]),
    ]
}

fn temporary_path(to: &Path) -> PathBuf {
    let mut name = to.as_os_str().to_owned();
    name.push(".spared-new");
    name.into()
}

fn is_same(to: &Path, content: &[u8], about: &fs::Metadata) -> bool {
    // a link is replaced, because it leads to a file that others write
    let Ok(there) = fs::symlink_metadata(to) else {
        return false;
    };
    there.is_file()
        && there.mode() == about.mode()
        && (there.uid(), there.gid()) == (about.uid(), about.gid())
        && there.len() == about.len()
        && fs::read(to).is_ok_and(|now| now == content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_cannot_be_used_are_named() {
        let folder = std::env::temp_dir().join(format!("spared-sources-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (there, gone) = (folder.join("there"), folder.join("gone"));
        fs::write(&there, "").unwrap();
        let of = |files: &[&Path]| {
            let files = files.iter().map(|it| it.to_path_buf()).collect();
            source_faults(&[("file.x".to_owned(), files)]).remove(0).1
        };
        assert_eq!(of(&[&there]), None);
        let missing = of(&[&there, &gone]);
        assert!(missing.is_some_and(|it| it.contains("gone: No such file")));
        assert!(of(&[&folder]).is_some_and(|it| it.ends_with("is not a file")));
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn programs_copy_neither_through_links_nor_into_folders() {
        let folder = std::env::temp_dir().join(format!("spared-copy-{}", std::process::id()));
        fs::create_dir_all(folder.join("taken")).unwrap();
        let (from, to) = (folder.join("from"), folder.join("to"));
        fs::write(&from, "new").unwrap();
        fs::write(folder.join("others"), "old").unwrap();
        std::os::unix::fs::symlink("others", temporary_path(&to)).unwrap();
        let run = |to: &Path| {
            let mut all = commands(&from, to).into_iter();
            all.all(|argv| {
                let status = std::process::Command::new(&argv[0])
                    .args(&argv[1..])
                    .stderr(std::process::Stdio::null())
                    .status();
                status.unwrap().success()
            })
        };
        assert!(run(&to));
        // each of the two is flushed, so that a power cut leaves the old content or the new
        let programs = commands(&from, &to).map(|argv| argv[0].clone());
        assert_eq!(programs, ["/bin/cp", "/bin/sync", "/bin/mv", "/bin/sync"]);
        let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
        assert_eq!((read("to"), read("others")), ("new".into(), "old".into()));
        assert!(!run(&folder.join("taken")));
        assert_eq!(fs::read_dir(folder.join("taken")).unwrap().count(), 0);
        fs::remove_dir_all(&folder).unwrap();
    }
}
