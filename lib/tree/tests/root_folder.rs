// SPDX-License-Identifier: MIT OR Apache-2.0
//! Opens files below a folder, and checks that no link leads out of it.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use spared_tree::RootFolder;

const ELOOP: Option<i32> = Some(40);

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("inside/deep")).unwrap();
        fs::create_dir_all(folder.join("outside")).unwrap();
        fs::write(folder.join("inside/deep/file"), "inside").unwrap();
        fs::write(folder.join("outside/file"), "outside").unwrap();
        symlink("../outside", folder.join("inside/folder")).unwrap();
        symlink("../outside/file", folder.join("inside/link")).unwrap();
        Self(folder)
    }

    fn inside(&self) -> RootFolder {
        RootFolder::new(&self.0.join("inside")).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn number<T>(result: io::Result<T>) -> Option<i32> {
    result.err().unwrap().raw_os_error()
}

#[test]
fn what_is_below_is_opened() {
    let folder = Folder::new("root-folder-opened");
    let inside = folder.inside();
    let mut text = String::new();
    let mut file = inside.file("/deep//file").unwrap();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "inside");
    for path in ["", "/", "/deep", "deep/"] {
        inside.folder(path).unwrap();
    }
    assert_eq!(
        inside.file("/deep/none").err().unwrap().kind(),
        io::ErrorKind::NotFound
    );
    let kind = inside.folder("/deep/file").err().unwrap().kind();
    assert_eq!(kind, io::ErrorKind::NotADirectory);
}

#[test]
fn a_link_is_not_followed_wherever_it_is() {
    let folder = Folder::new("root-folder-links");
    let inside = folder.inside();
    assert_eq!(number(inside.file("/link")), ELOOP);
    assert_eq!(number(inside.file("/folder/file")), ELOOP);
    assert_eq!(number(inside.folder("/folder")), ELOOP);
    assert_eq!(number(inside.place("/folder/new")), ELOOP);
    assert!(inside.stat("/link").unwrap().is_some(), "the link itself");
}

#[test]
fn no_path_leads_upwards() {
    let folder = Folder::new("root-folder-upwards");
    let inside = folder.inside();
    for path in [
        "../outside/file",
        "/deep/../../outside/file",
        "/./deep/file",
    ] {
        let kind = inside.file(path).err().unwrap().kind();
        assert_eq!(kind, io::ErrorKind::InvalidInput, "{path}");
    }
}

#[test]
fn only_a_name_in_the_folder_itself_is_removed_and_never_what_a_link_leads_to() {
    let folder = Folder::new("removed");
    let inside = folder.inside();
    inside.remove("link").unwrap();
    for name in ["deep/file", "../outside/file", "folder/file", "/deep/file"] {
        inside.remove(name).unwrap_err();
    }
    assert!(!folder.0.join("inside/link").exists());
    assert!(folder.0.join("inside/deep/file").exists());
    assert!(folder.0.join("outside/file").exists());
}
