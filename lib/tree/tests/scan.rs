//! Scans of trees on a real disk: included files, excluded files, and files that cannot be read.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use spared_config_reader::Config;
use spared_tree::config::{Tree, read};
use spared_tree::{Hash, Kind, Manifest, RootFolder, Scanner, What, compare, validate};

struct Folder(std::path::PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("spared-tree-{test}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("etc/fw/sub")).unwrap();
        Self(path)
    }

    fn write(&self, path: &str, content: &str) {
        fs::write(self.0.join(path), content).unwrap();
    }

    fn scan(&self, scanner: &mut Scanner) -> Result<Manifest, String> {
        let root = RootFolder::new(&self.0).unwrap();
        let scanned = scanner.scan(&root, &tree(), &AtomicBool::new(false));
        scanned.map_err(|it| it.to_string())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn tree() -> Tree {
    let text = "[[tree]]\nname = \"fw\"\npaths = [\"/etc/fw\", \"/etc/fw.conf\"]\nexclude = [\"*.local\"]\n";
    let config = Config::parse(text, "r1", &[]).unwrap();
    read(&config).unwrap().trees[0].clone()
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn files_folders_and_links_are_read_with_their_access() {
    let folder = Folder::new("read");
    folder.write("etc/fw.conf", "include");
    folder.write("etc/fw/a", "content");
    folder.write("etc/fw/x.local", "own");
    folder.write("etc/fw/.a.spared", "being prepared");
    folder.write("etc/other", "other");
    symlink("../other", folder.0.join("etc/fw/sub/link")).unwrap();
    set_mode(&folder.0.join("etc/fw/a"), 0o600);
    let manifest = folder.scan(&mut Scanner::default()).unwrap();
    let paths: Vec<&str> = manifest.entries.iter().map(|it| it.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "/etc/fw",
            "/etc/fw.conf",
            "/etc/fw/a",
            "/etc/fw/sub",
            "/etc/fw/sub/link"
        ]
    );
    let link = &manifest.find("/etc/fw/sub/link").unwrap().kind;
    assert!(matches!(link, Kind::Link { target } if target == "../other"));
    assert_eq!(manifest.find("/etc/fw/a").unwrap().access.mode, 0o600);
    assert_eq!((manifest.files(), manifest.bytes()), (3, 14));
    // a manifest that was read here may be put in place on the peer
    validate(&manifest, &tree()).unwrap();
    assert_eq!(Manifest::decode(&manifest.encode()), Ok(manifest));
}

#[test]
fn every_kind_of_change_is_found_and_a_touch_is_none() {
    let folder = Folder::new("changes");
    for name in ["a", "b", "c", "d"] {
        folder.write(&format!("etc/fw/{name}"), name);
    }
    let mut scanner = Scanner::default();
    let old = folder.scan(&mut scanner).unwrap();
    folder.write("etc/fw/a", "A");
    folder.write("etc/fw/b", "b");
    set_mode(&folder.0.join("etc/fw/c"), 0o600);
    fs::remove_file(folder.0.join("etc/fw/d")).unwrap();
    fs::create_dir(folder.0.join("etc/fw/d")).unwrap();
    fs::remove_dir(folder.0.join("etc/fw/sub")).unwrap();
    folder.write("etc/fw.conf", "");
    let new = folder.scan(&mut scanner).unwrap();
    let changes = compare(&old, &new);
    let found: Vec<_> = changes
        .iter()
        .map(|it| (it.path.as_str(), it.what))
        .collect();
    assert_eq!(
        found,
        [
            ("/etc/fw.conf", What::Added),
            ("/etc/fw/a", What::Content),
            ("/etc/fw/c", What::Access),
            ("/etc/fw/d", What::Kind),
            ("/etc/fw/sub", What::Removed),
        ]
    );
    assert_eq!(compare(&new, &new), []);
    assert_ne!(old.digest(), new.digest());
    // same second and same size: the kernel's ctime shows the change
    assert_eq!(
        folder.scan(&mut Scanner::default()).unwrap().digest(),
        new.digest()
    );
}

#[test]
fn what_cannot_follow_is_a_fault_and_never_left_out() {
    let folder = Folder::new("faults");
    let pipe = folder.0.join("etc/fw/pipe");
    let mode = rustix::fs::Mode::RUSR;
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, mode).unwrap();
    let why = folder.scan(&mut Scanner::default()).unwrap_err();
    assert!(
        why.starts_with("/etc/fw/pipe: is not a file, folder or link"),
        "{why}"
    );
    fs::rename(&pipe, folder.0.join("etc/fw/pipe.local")).unwrap();
    folder.scan(&mut Scanner::default()).unwrap();
    // a path of the tree that has become a link
    fs::rename(folder.0.join("etc/fw"), folder.0.join("etc/real")).unwrap();
    fs::write(folder.0.join("etc/real/a"), "").unwrap();
    symlink("real", folder.0.join("etc/fw")).unwrap();
    let manifest = folder.scan(&mut Scanner::default()).unwrap();
    assert_eq!(manifest.entries.len(), 1, "the link alone: {manifest:?}");
    fs::rename(folder.0.join("etc"), folder.0.join("elsewhere")).unwrap();
    symlink("elsewhere", folder.0.join("etc")).unwrap();
    let why = folder.scan(&mut Scanner::default()).unwrap_err();
    assert!(why.contains("symbolic link: name the real path"), "{why}");
}

#[test]
fn a_name_that_is_not_utf8_is_a_fault_unless_it_is_excluded() {
    let folder = Folder::new("not-utf8");
    let of = |name: &[u8]| folder.0.join("etc/fw").join(OsStr::from_bytes(name));
    fs::write(of(b"caf\xe9"), "").unwrap();
    let why = folder.scan(&mut Scanner::default()).unwrap_err();
    let expected =
        "/etc/fw: has a name in it that is not UTF-8, \"caf\u{fffd}\": rename it, or exclude it";
    assert!(why.starts_with(expected), "{why}");
    fs::rename(of(b"caf\xe9"), of(b"caf\xe9.local")).unwrap();
    let mut scanner = Scanner::default();
    let manifest = folder.scan(&mut scanner).unwrap();
    assert_eq!(manifest.entries.len(), 2, "{manifest:?}");
    // and its folder cannot be removed
    let name = "caf\u{fffd}.local".to_owned();
    assert_eq!(scanner.holding(&tree()), [("/etc/fw".to_owned(), name)]);
}

#[test]
fn a_folder_or_a_link_that_vanishes_meanwhile_is_no_fault() {
    let folder = Folder::new("vanishes");
    let below = folder.0.join("etc/fw/sub/below");
    let link = folder.0.join("etc/fw/sub/link");
    let is_read = AtomicBool::new(false);
    let faults: Vec<String> = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_read.load(Ordering::Relaxed) {
                symlink("nowhere", &link).unwrap();
                fs::create_dir(&below).unwrap();
                fs::remove_file(&link).unwrap();
                fs::remove_dir(&below).unwrap();
            }
        });
        let scanner = &mut Scanner::default();
        let scans = (0..2_000).filter_map(|_| folder.scan(scanner).err());
        let faults = scans.collect();
        is_read.store(true, Ordering::Relaxed);
        faults
    });
    assert_eq!(faults, [""; 0]);
}

#[test]
fn a_file_that_rests_is_not_opened_again() {
    let folder = Folder::new("rests");
    folder.write("etc/fw/a", "content");
    let path = folder.0.join("etc/fw/a");
    let age = |it: &Path| fs::metadata(it).unwrap().accessed().unwrap();
    // a file system updates the access time if the last access was before the last change
    let past = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1);
    let mut scanner = Scanner::default();
    std::thread::sleep(std::time::Duration::from_millis(50));
    let first = folder.scan(&mut scanner).unwrap();
    let times = fs::FileTimes::new().set_accessed(past);
    fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_times(times)
        .unwrap();
    std::thread::sleep(std::time::Duration::from_millis(50));
    // the inode changed: this scan opens the file, and the next one does not
    folder.scan(&mut scanner).unwrap();
    if age(&path) == past {
        eprintln!("skipped: this file system does not count accesses");
        return;
    }
    let times = age(&path);
    std::thread::sleep(std::time::Duration::from_millis(50));
    assert_eq!(folder.scan(&mut scanner).unwrap().digest(), first.digest());
    assert_eq!(age(&path), times);
}

#[test]
fn lines_of_a_node_are_no_part_of_what_both_have() {
    let folder = Folder::new("own");
    let mut scanner = Scanner::default();
    let mut digest = |own: &str| {
        folder.write("etc/fw/a", &format!("a\n# spared: own b\n{own}\nc\n"));
        folder.scan(&mut scanner).unwrap().digest()
    };
    assert_eq!(digest("1"), digest("of another length"));
    folder.write("etc/fw/a", "# spared: own b");
    let why = folder.scan(&mut scanner).unwrap_err();
    assert!(
        why.starts_with("/etc/fw/a: has no line after the mark"),
        "{why}"
    );
}

#[test]
fn a_file_that_was_written_is_not_read_at_the_next_look_unless_somebody_changed_it() {
    let folder = Folder::new("written");
    let path = folder.0.join("etc/fw/a");
    // a hash that no reading would give
    let claimed = Hash::of(b"claimed");
    let write = |scanner: &mut Scanner| {
        folder.write("etc/fw/a", "content");
        let file = File::open(&path).unwrap();
        scanner.wrote("/etc/fw/a", &file, claimed).unwrap();
    };
    let hash = |scanner: &mut Scanner| {
        let manifest = folder.scan(scanner).unwrap();
        match manifest.find("/etc/fw/a").unwrap().kind {
            Kind::File { hash, .. } => hash,
            _ => panic!("no file"),
        }
    };
    let scanner = &mut Scanner::default();
    write(scanner);
    assert_eq!(hash(scanner), claimed);
    write(scanner);
    folder.write("etc/fw/a", "another");
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(1);
    let file = File::options().write(true).open(&path).unwrap();
    file.set_modified(later).unwrap();
    assert_eq!(hash(scanner), Hash::of(b"another"));
    // a scan that does not reach the file, and an inode that is used again
    write(scanner);
    let away = folder.0.join("away");
    fs::rename(&path, &away).unwrap();
    folder.scan(scanner).unwrap();
    fs::rename(&away, &path).unwrap();
    assert_eq!(hash(scanner), Hash::of(b"content"));
}

#[test]
fn a_file_that_changes_while_it_is_read_is_a_fault_until_it_rests() {
    const SIZE: usize = 16 << 20;
    let folder = Folder::new("growing");
    folder.write("etc/fw/large", &"x".repeat(SIZE));
    let path = folder.0.join("etc/fw/large");
    let is_read = AtomicBool::new(false);
    let scanner = &mut Scanner::default();
    let why = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut file = File::options().append(true).open(&path).unwrap();
            while !is_read.load(Ordering::Relaxed) {
                file.write_all(b"y").unwrap();
                std::thread::sleep(Duration::from_micros(50));
            }
        });
        // a thread that is not scheduled meanwhile appends nothing
        let why = (0..100).find_map(|_| folder.scan(scanner).err());
        is_read.store(true, Ordering::Relaxed);
        why
    });
    assert_eq!(
        why.as_deref(),
        Some("/etc/fw/large: changes while it is read")
    );
    let manifest = folder.scan(scanner).unwrap();
    let content = fs::read(&path).unwrap();
    let (size, hash) = (content.len() as u64, Hash::of(&content));
    assert!(content.len() > SIZE);
    let found = &manifest.find("/etc/fw/large").unwrap().kind;
    assert_eq!(*found, Kind::File { size, hash });
}

#[test]
fn a_folder_with_something_excluded_in_it_is_known() {
    let folder = Folder::new("holding");
    let mut scanner = Scanner::default();
    folder.scan(&mut scanner).unwrap();
    assert!(scanner.holding(&tree()).is_empty());
    folder.write("etc/fw/sub/x.local", "own");
    folder.write("etc/fw/sub/y.local", "own");
    folder.scan(&mut scanner).unwrap();
    let holding = scanner.holding(&tree());
    assert!(
        matches!(&holding[..], [(path, name)] if path == "/etc/fw/sub" && name.ends_with(".local")),
        "{holding:?}"
    );
    fs::remove_dir_all(folder.0.join("etc/fw/sub")).unwrap();
    folder.scan(&mut scanner).unwrap();
    assert!(scanner.holding(&tree()).is_empty());
}
