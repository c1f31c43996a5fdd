//! A file takes the place of another at once and for good, whatever crashes.

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// What was there keeps its owner and mode; a new file is its folder's owner's, who is the server
/// wherever that writes as somebody else than root. A disk may take its time: `may` is asked when
/// only the renaming is left.
///
/// # Errors
/// A sentence; the file that was there is untouched then.
pub fn replace(
    path: &Path,
    bytes: &[u8],
    may: impl FnOnce() -> Result<(), String>,
) -> Result<(), String> {
    let fault = |error: io::Error| format!("{} cannot be written: {error}", path.display());
    let (folder, temporary) =
        beside(path).ok_or_else(|| fault(io::ErrorKind::IsADirectory.into()))?;
    // of a run that crashed
    let _ = fs::remove_file(&temporary);
    let written = write(path, folder, &temporary, bytes).map_err(fault);
    let renamed = written.and_then(|()| may()).and_then(|()| {
        fs::rename(&temporary, path).map_err(fault)?;
        sync_folder(folder).map_err(fault)
    });
    renamed.inspect_err(|_| drop(fs::remove_file(&temporary)))
}

/// Files that may be missing, gone for good.
pub fn remove(paths: &[PathBuf]) -> Result<(), String> {
    for path in paths {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(format!("{} cannot be removed: {error}", path.display()));
            }
            _ => {}
        }
    }
    match paths.first().and_then(|path| path.parent()) {
        Some(folder) => {
            sync_folder(folder).map_err(|error| format!("{}: {error}", folder.display()))
        }
        None => Ok(()),
    }
}

fn beside(path: &Path) -> Option<(&Path, PathBuf)> {
    let folder = path.parent()?;
    let mut name = OsString::from(".");
    name.push(path.file_name()?);
    name.push(".spared");
    Some((folder, folder.join(name)))
}

fn write(path: &Path, folder: &Path, temporary: &Path, bytes: &[u8]) -> io::Result<()> {
    let (uid, gid, mode) = match fs::symlink_metadata(path) {
        Ok(before) if before.is_file() => (before.uid(), before.gid(), before.mode() & 0o777),
        Ok(_) => return Err(io::Error::other("it is not a regular file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let folder = fs::metadata(folder)?;
            (folder.uid(), folder.gid(), 0o644)
        }
        Err(error) => return Err(error),
    };
    // the folder may be a server's, which might have put a link there: never followed
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(temporary)?;
    file.write_all(bytes)?;
    let is = file.metadata()?;
    if (is.uid(), is.gid()) != (uid, gid) {
        fchown(&file, Some(uid), Some(gid))?;
    }
    file.set_permissions(Permissions::from_mode(mode))?;
    file.sync_all()
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::scratch::Folder;
    use std::os::unix::fs::symlink;

    #[test]
    fn owner_and_mode_stay_and_nothing_is_left_over() {
        let folder = Folder::new("replace");
        let path = folder.path("leases");
        fs::write(&path, b"before").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let is_root = rustix::process::geteuid().is_root();
        let owner = if is_root {
            12345
        } else {
            fs::metadata(&path).unwrap().uid()
        };
        std::os::unix::fs::chown(&path, Some(owner), None).unwrap();
        fs::write(folder.path(".leases.spared"), b"of a crash").unwrap();
        replace(&path, b"after", || Ok(())).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"after");
        let is = fs::metadata(&path).unwrap();
        assert_eq!((is.uid(), is.mode() & 0o7777), (owner, 0o640));
        assert_eq!(fs::read_dir(folder.path("")).unwrap().count(), 1);
    }

    #[test]
    fn a_new_file_belongs_to_the_owner_of_its_folder() {
        let folder = Folder::new("new");
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(folder.path(""), Some(12345), Some(54321)).unwrap();
        }
        let path = folder.path("leases");
        replace(&path, b"first", || Ok(())).unwrap();
        let (file, of) = (
            fs::metadata(&path).unwrap(),
            fs::metadata(folder.path("")).unwrap(),
        );
        assert_eq!(
            (file.uid(), file.gid(), file.mode() & 0o7777),
            (of.uid(), of.gid(), 0o644)
        );
    }

    #[test]
    fn what_speaks_against_it_is_asked_when_the_new_file_is_on_disk() {
        let folder = Folder::new("asked");
        let path = folder.path("leases");
        fs::write(&path, b"before").unwrap();
        let refused = replace(&path, b"after", || {
            assert_eq!(fs::read(folder.path(".leases.spared")).unwrap(), b"after");
            Err("the server runs".to_owned())
        });
        assert_eq!(refused, Err("the server runs".to_owned()));
        assert_eq!(fs::read(&path).unwrap(), b"before");
        assert_eq!(fs::read_dir(folder.path("")).unwrap().count(), 1);
    }

    #[test]
    fn links_are_never_followed() {
        let folder = Folder::new("links");
        let (victim, path) = (folder.path("victim"), folder.path("leases"));
        fs::write(&victim, b"precious").unwrap();
        symlink(&victim, folder.path(".leases.spared")).unwrap();
        replace(&path, b"leases", || Ok(())).unwrap();
        fs::remove_file(&path).unwrap();
        symlink(&victim, &path).unwrap();
        let refused = replace(&path, b"leases", || Ok(())).unwrap_err();
        assert!(refused.contains("not a regular file"), "{refused}");
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
    }

    #[test]
    fn removing_tolerates_what_is_not_there() {
        let folder = Folder::new("remove");
        fs::write(folder.path("a.2"), b"").unwrap();
        remove(&[folder.path("a.1"), folder.path("a.2")]).unwrap();
        assert!(!folder.path("a.2").exists());
        fs::create_dir(folder.path("a.2")).unwrap();
        assert!(remove(&[folder.path("a.2")]).is_err());
    }
}
