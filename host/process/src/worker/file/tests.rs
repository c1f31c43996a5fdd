use std::os::unix::fs::{PermissionsExt, symlink};

use rustix::fs::CWD;

use super::*;

/// Folder that is removed at the end of the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("spared-file-{}-{name}", std::process::id()));
        fs::create_dir(&path).unwrap();
        mode(&path, 0o755);
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, "x").unwrap();
        mode(&path, 0o644);
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_file_of_ours_in_directories_of_ours_opens() {
    let scratch = Scratch::new("plain");
    scratch.file("vrrp.so");
    open_plugin(&scratch.0, "vrrp").unwrap();
}

#[test]
fn a_file_that_others_may_write_is_refused_with_the_remedy() {
    let scratch = Scratch::new("modes");
    let path = scratch.file("a.so");
    mode(&path, 0o664);
    let shown = path.display();
    assert_eq!(
        open_checked(&path).unwrap_err(),
        format!("{shown}: is writable by its group: chmod g-w {shown}")
    );
    mode(&path, 0o646);
    assert_eq!(
        open_checked(&path).unwrap_err(),
        format!("{shown}: is writable by everybody: chmod o-w {shown}")
    );
    mode(&path, 0o666);
    assert_eq!(
        open_checked(&path).unwrap_err(),
        format!("{shown}: is writable by its group and everybody: chmod go-w {shown}")
    );
}

#[test]
fn a_directory_that_others_may_write_is_refused_even_when_sticky() {
    let scratch = Scratch::new("dir");
    let path = scratch.file("a.so");
    mode(&scratch.0, 0o1777);
    let why = open_checked(&path).unwrap_err();
    assert!(
        why.starts_with(&format!("{}: is writable by", scratch.0.display())),
        "{why}"
    );
}

#[test]
fn a_link_in_place_of_the_file_is_refused() {
    let scratch = Scratch::new("link");
    let path = scratch.file("a.so");
    let link = scratch.0.join("b.so");
    symlink(&path, &link).unwrap();
    let why = open_checked(&link).unwrap_err();
    assert!(why.contains("is a symbolic link"), "{why}");
}

#[test]
fn a_fifo_in_place_of_the_file_is_refused_at_once() {
    let scratch = Scratch::new("fifo");
    let path = scratch.0.join("a.so");
    rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    assert!(
        open_checked(&path)
            .unwrap_err()
            .ends_with("is not a regular file")
    );
}

#[test]
fn a_file_of_another_user_is_refused() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can give a file away");
        return;
    }
    let scratch = Scratch::new("owner");
    let path = scratch.file("a.so");
    if std::os::unix::fs::chown(&path, Some(12345), None).is_err() {
        eprintln!("skipped: user 12345 is not mapped here");
        return;
    }
    let why = open_checked(&path).unwrap_err();
    assert!(why.contains("belongs to user 12345"), "{why}");
}

#[test]
fn a_file_that_is_missing_says_so() {
    let scratch = Scratch::new("none");
    let why = open_plugin(&scratch.0, "dhcp").unwrap_err();
    assert!(
        why.starts_with("no plugin of this name is installed (") && why.contains("/dhcp.so)"),
        "{why}"
    );
}
