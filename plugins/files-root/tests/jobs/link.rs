//! Trees that are switched by one link.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{XattrFlags, getxattr, setxattr};
use rustix::io::Errno;
use spared_sdk::config::Config;
use spared_tree::local::Request;
use spared_tree::{Hash, Kind, Manifest, RootFolder, Scanner, config};

use crate::cut::{cutting, ended};
use crate::node::Node;
use crate::whole::access_list;

static GO_ON: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

fn toml(folder: &Path, keys: &str) -> String {
    let path = folder.join("etc/app");
    format!("[[tree]]\nname = \"fw\"\npaths = [{path:?}]\nexclude = [\"*.local\"]\n{keys}\n")
}

/// Node whose tree is a link to a folder with these files.
pub fn node(test: &str, files: &[(&str, &str)]) -> Node {
    let node = Node::new(test, "");
    let text = toml(&node.folder, "switch = \"link\"");
    fs::write(node.folder.join("files.toml"), text).unwrap();
    write(&side(&node, "a"), files);
    symlink(".app.a.spared", link(&node)).unwrap();
    node
}

fn side(node: &Node, name: &str) -> PathBuf {
    node.folder.join(format!("etc/.app.{name}.spared"))
}

fn link(node: &Node) -> PathBuf {
    node.folder.join("etc/app")
}

fn write(folder: &Path, files: &[(&str, &str)]) {
    for (name, content) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

/// Files that a reader finds.
fn read(node: &Node) -> Vec<(String, String)> {
    let mut files = Vec::new();
    for name in ["a", "b", "c/d", "own.local"] {
        if let Ok(content) = fs::read_to_string(link(node).join(name)) {
            files.push((name.to_owned(), content));
        }
    }
    files
}

/// Stages these files, and returns the request to put them in place.
pub fn stage(node: &Node, files: &[(&str, &str)]) -> Request {
    let other = node.folder.join("other");
    let _ = fs::remove_dir_all(&other);
    write(&other.join("etc/app"), files);
    let mut manifest = scan(&other, "");
    let prefix = other.display().to_string();
    for entry in &mut manifest.entries {
        if let Kind::File { hash, .. } = entry.kind {
            let to = node.folder.join("stage").join(hash.name());
            fs::copy(&entry.path, to).unwrap();
        }
        entry.path = entry
            .path
            .replace(&prefix, &node.folder.display().to_string());
    }
    let expected = if link(node).exists() {
        let present = node.folder.join("present/etc/app");
        let _ = fs::remove_dir_all(&present);
        fs::create_dir_all(present.parent().unwrap()).unwrap();
        let real = fs::canonicalize(link(node)).unwrap();
        let copied = std::process::Command::new("cp")
            .arg("-a")
            .args([&real, &present])
            .status();
        assert!(copied.unwrap().success());
        let mut manifest = scan(&node.folder.join("present"), "");
        for entry in &mut manifest.entries {
            entry.path = entry.path.replace("/present/", "/");
        }
        manifest.digest()
    } else {
        Manifest::default().digest()
    };
    match node.stage_manifest(&manifest) {
        Request::Install { manifest, .. } => Request::Install {
            ticket: 7,
            tree: "fw".to_owned(),
            manifest,
            expected,
            origin: "r2".to_owned(),
            confirm_s: 0,
            only_check: false,
            insists: false,
        },
        other => panic!("{other:?}"),
    }
}

fn scan(folder: &Path, keys: &str) -> Manifest {
    let config = Config::parse(&toml(folder, keys), "r1", &[]).unwrap();
    let settings = config::read(&config).unwrap();
    let root = RootFolder::new(Path::new("/")).unwrap();
    let scanned = Scanner::default().scan(&root, &settings.trees[0], &GO_ON);
    scanned.unwrap()
}

fn owned(files: &[(&str, &str)]) -> Vec<(String, String)> {
    let own = |(name, content): &(&str, &str)| ((*name).to_owned(), (*content).to_owned());
    files.iter().map(own).collect()
}

pub const OLD: [(&str, &str); 4] = [
    ("a", "old"),
    ("b", "old"),
    ("c/d", "old"),
    ("own.local", "stays"),
];
pub const THEIRS: [(&str, &str); 3] = [("a", "new"), ("b", "new"), ("c/d", "new")];
const NEW: [(&str, &str); 4] = [
    ("a", "new"),
    ("b", "new"),
    ("c/d", "new"),
    ("own.local", "stays"),
];

#[test]
fn readers_see_the_old_tree_or_the_new_one_at_every_step() {
    let node = node("link", &OLD);
    let request = stage(&node, &THEIRS);
    let seen = RefCell::new(Vec::new());
    node.run_with(&|_| seen.borrow_mut().push(read(&node)), &request)
        .unwrap();
    assert!(seen.borrow().len() > 8);
    for files in seen.borrow().iter() {
        assert!(*files == owned(&OLD) || *files == owned(&NEW), "{files:?}");
    }
    assert_eq!(read(&node), owned(&NEW));
    assert_eq!(
        fs::read_link(link(&node)).unwrap(),
        Path::new(".app.b.spared")
    );
    // the previous side stays until the next change
    assert_eq!(
        fs::read_to_string(side(&node, "a").join("a")).unwrap(),
        "old"
    );
    let back = Request::Back {
        ticket: 7,
        tree: "fw".to_owned(),
        state: 1,
        insists: false,
    };
    node.run(&back).unwrap();
    assert_eq!(read(&node), owned(&OLD));
    assert_eq!(
        fs::read_link(link(&node)).unwrap(),
        Path::new(".app.a.spared")
    );
}

#[test]
fn an_edit_while_the_other_side_is_filled_stays() {
    for at in ["journal", "the other side", "excluded"] {
        let node = node("link-edit", &OLD);
        let request = stage(&node, &THEIRS);
        let edit = |step: &str| {
            if step == at {
                fs::write(link(&node).join("b"), "by hand").unwrap();
            }
        };
        let why = node.run_with(&edit, &request).unwrap_err();
        assert_eq!(why, "tree \"fw\" has changed on this node meanwhile");
        let mut expected = OLD;
        expected[1].1 = "by hand";
        assert_eq!(read(&node), owned(&expected), "{at}");
        assert!(node.jobs(&|_| ()).recover().is_none());
    }
}

#[test]
fn what_is_excluded_and_cannot_be_copied_is_not_left_behind() {
    let node = node("link-name", &OLD);
    let name = OsStr::from_bytes(b"caf\xe9.local");
    fs::write(link(&node).join(name), "stays").unwrap();
    let why = node.run(&stage(&node, &THEIRS)).unwrap_err();
    assert!(why.contains("its name is not UTF-8: rename it"), "{why}");
    assert_eq!(read(&node), owned(&OLD));
    assert!(node.jobs(&|_| ()).recover().is_none());
}

#[test]
fn what_is_excluded_keeps_access_list_attributes_and_times_on_the_other_side() {
    let node = node("link-access", &OLD);
    let own = side(&node, "a").join("own.local");
    let folder = side(&node, "a").join("d.local");
    fs::create_dir(&folder).unwrap();
    let list = ("system.posix_acl_access", access_list());
    let word = ("user.origin", b"here".to_vec());
    for path in [&own, &folder] {
        for (name, value) in [&list, &word] {
            match setxattr(path, *name, value, XattrFlags::empty()) {
                Err(Errno::OPNOTSUPP) => {
                    eprintln!("skipped: this file system has no attributes");
                    return;
                }
                set => set.unwrap(),
            }
        }
    }
    let mode = |path: &Path| fs::metadata(path).unwrap().mode();
    assert_eq!(mode(&own) & 0o777, 0o640, "the mask stands for the group");
    let time = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 5);
    fs::File::options()
        .write(true)
        .open(&own)
        .unwrap()
        .set_modified(time)
        .unwrap();
    node.run(&stage(&node, &THEIRS)).unwrap();
    for (old, name) in [(&own, "own.local"), (&folder, "d.local")] {
        let new = side(&node, "b").join(name);
        assert_eq!(mode(&new), mode(old));
        for (attribute, value) in [&list, &word] {
            let mut is = vec![0; 1024];
            let length = getxattr(&new, *attribute, is.as_mut_slice()).unwrap();
            assert_eq!(is[..length], value[..], "{name}: {attribute}");
        }
    }
    let new = fs::metadata(side(&node, "b").join("own.local")).unwrap();
    assert_eq!(new.modified().unwrap(), time);
}

#[test]
fn a_crash_at_any_step_leaves_the_old_tree_or_the_new_one_by_its_link() {
    for at in 0.. {
        let node = node("link-cut", &OLD);
        let request = stage(&node, &THEIRS);
        let step = cutting(at);
        let is_done = ended(|| drop(node.run_with(&step, &request)));
        let is = read(&node);
        assert!(is == owned(&OLD) || is == owned(&NEW), "cut {at}: {is:?}");
        node.jobs(&|_| ()).recover();
        let is = read(&node);
        assert!(
            is == owned(&OLD) || is_done && is == owned(&NEW),
            "cut {at}: {is:?}"
        );
        if is_done {
            break;
        }
        // and the next change succeeds
        node.run(&stage(&node, &THEIRS)).unwrap();
        assert_eq!(read(&node), owned(&NEW));
    }
}

#[test]
fn a_new_node_gets_the_link_and_a_plain_folder_is_refused() {
    let node = node("link-new", &OLD);
    fs::remove_file(link(&node)).unwrap();
    fs::remove_dir_all(side(&node, "a")).unwrap();
    node.run(&stage(&node, &THEIRS)).unwrap();
    assert_eq!(read(&node), owned(&THEIRS));
    fs::remove_file(link(&node)).unwrap();
    write(&link(&node), &OLD);
    let why = node.run(&stage(&node, &THEIRS)).unwrap_err();
    let path = link(&node).display().to_string();
    assert!(
        why.contains(&format!("mv {path} ")) && why.contains("ln -s .app.a.spared"),
        "{why}"
    );
    fs::remove_dir_all(link(&node)).unwrap();
    // a link to another place is not followed
    symlink("/etc", link(&node)).unwrap();
    let mut request = stage(&node, &THEIRS);
    if let Request::Install { expected, .. } = &mut request {
        *expected = Hash([0; 32]);
    }
    let why = node.run(&request).unwrap_err();
    assert!(why.contains("must be a symbolic link"), "{why}");
}
