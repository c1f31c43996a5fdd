//! Files are replaced atomically, with the requested access, and never partially.

#![allow(clippy::unwrap_used)]

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use spared_file::{Access, remove, replace};

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("spared-file-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(&self.0).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn always() -> Result<(), String> {
    Ok(())
}

/// Returns another account if this process may give files away.
fn other_uid(path: &Path) -> u32 {
    let own = fs::metadata(path).unwrap().uid();
    match own {
        0 => 12345,
        own => own,
    }
}

fn access_of(path: &Path) -> (u32, u32) {
    let is = fs::symlink_metadata(path).unwrap();
    assert!(is.is_file());
    (is.uid(), is.mode() & 0o7777)
}

#[test]
fn owner_and_mode_stay_and_nothing_is_left_over() {
    let folder = Folder::new("stay");
    let path = folder.path("leases");
    fs::write(&path, b"before").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    let owner = other_uid(&path);
    std::os::unix::fs::chown(&path, Some(owner), None).unwrap();
    fs::write(folder.path(".leases.spared"), b"of a crash").unwrap();
    replace(&path, b"after", Access::AsBefore, always).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"after");
    assert_eq!(access_of(&path), (owner, 0o640));
    assert_eq!(folder.names(), ["leases"]);
}

#[test]
fn a_first_file_belongs_to_the_owner_of_its_folder() {
    let folder = Folder::new("first");
    let owner = other_uid(&folder.0);
    std::os::unix::fs::chown(&folder.0, Some(owner), None).unwrap();
    let path = folder.path("leases");
    replace(&path, b"first", Access::AsBefore, always).unwrap();
    assert_eq!(access_of(&path), (owner, 0o644));
}

#[test]
fn access_can_be_private_or_given() {
    let folder = Folder::new("access");
    let path = folder.path("file");
    fs::write(&path, b"before").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
    let (own, _) = access_of(&path);
    replace(&path, b"secret", Access::Private, always).unwrap();
    assert_eq!(access_of(&path), (own, 0o600));
    let (uid, gid) = (other_uid(&path), fs::metadata(&path).unwrap().gid());
    let mode = 0o4755;
    replace(&path, b"program", Access::Given { uid, gid, mode }, always).unwrap();
    assert_eq!(access_of(&path), (uid, mode));
}

#[test]
fn what_speaks_against_it_is_asked_when_only_the_renaming_is_left() {
    let folder = Folder::new("asked");
    let path = folder.path("leases");
    fs::write(&path, b"before").unwrap();
    let refused = replace(&path, b"after", Access::AsBefore, || {
        assert_eq!(fs::read(folder.path(".leases.spared")).unwrap(), b"after");
        assert_eq!(fs::read(&path).unwrap(), b"before");
        Err("the server runs".to_owned())
    });
    assert_eq!(refused, Err("the server runs".to_owned()));
    assert_eq!(fs::read(&path).unwrap(), b"before");
    assert_eq!(folder.names(), ["leases"]);
}

#[test]
fn links_are_never_followed() {
    let folder = Folder::new("links");
    let (victim, path) = (folder.path("victim"), folder.path("leases"));
    fs::write(&victim, b"precious").unwrap();
    symlink(&victim, folder.path(".leases.spared")).unwrap();
    replace(&path, b"leases", Access::AsBefore, always).unwrap();
    fs::remove_file(&path).unwrap();
    symlink(&victim, &path).unwrap();
    let refused = replace(&path, b"leases", Access::AsBefore, always).unwrap_err();
    assert!(refused.contains("not a regular file"), "{refused}");
    replace(&path, b"leases", Access::Private, always).unwrap();
    assert_eq!(access_of(&path).1, 0o600);
    assert_eq!(fs::read(&victim).unwrap(), b"precious");
}

#[test]
fn an_error_names_the_file() {
    let folder = Folder::new("error");
    let path = folder.path("missing/file");
    let why = replace(&path, b"", Access::Private, always).unwrap_err();
    assert!(
        why.starts_with(&format!("cannot write {}: ", path.display())),
        "{why}"
    );
    let path = folder.path("folder");
    fs::create_dir(&path).unwrap();
    let why = replace(&path, b"", Access::Private, always).unwrap_err();
    assert!(
        why.starts_with(&format!("cannot write {}: ", path.display())),
        "{why}"
    );
    assert_eq!(folder.names(), ["folder"]);
}

#[test]
fn removing_tolerates_what_is_not_there() {
    let folder = Folder::new("remove");
    fs::write(folder.path("a.2"), b"").unwrap();
    remove(&[folder.path("a.1"), folder.path("a.2")]).unwrap();
    assert!(folder.names().is_empty());
    fs::create_dir(folder.path("a.2")).unwrap();
    let why = remove(&[folder.path("a.2")]).unwrap_err();
    assert!(why.contains("a.2: "), "{why}");
    remove(&[folder.path("none/a")]).unwrap_err();
}

/// Runs in a mount namespace of its own, in which a small disk can be mounted.
#[test]
fn a_full_disk_leaves_the_old_file() {
    const INSIDE: &str = "SPARED_TEST_SMALL_DISK";
    if std::env::var_os(INSIDE).is_none() {
        let folder = Folder::new("full");
        let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
        let as_user: &[&str] = &["--user", "--map-root-user"];
        let again = Command::new("unshare")
            .args(if is_root { &[] } else { as_user })
            .arg("--mount")
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "a_full_disk_leaves_the_old_file"])
            .env(INSIDE, &folder.0)
            .status();
        assert!(again.unwrap().success());
        return;
    }
    let folder = Folder(std::env::var_os(INSIDE).unwrap().into());
    let mount = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"])
        .arg(&folder.0)
        .status();
    assert!(mount.unwrap().success());
    let path = folder.path("leases");
    let before = vec![b'a'; 16 * 1024];
    replace(&path, &before, Access::Private, always).unwrap();
    let why = replace(&path, &[b'b'; 100 * 1024], Access::AsBefore, always).unwrap_err();
    assert!(why.contains("No space left"), "{why}");
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(folder.names(), ["leases"]);
    std::mem::forget(folder);
}
