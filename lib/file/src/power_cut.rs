//! A power cut after each operation: the possible states of the disk, and what a reader finds.
//!
//! The test records the operations on a real file system, and then runs them on a model that keeps only what POSIX
//! promises. Content and access of a file are durable once the file is flushed; before, its content may be empty, cut
//! off or zeros. A name is durable once its folder is flushed; before, each change of a name may have reached the disk
//! or not, independently of the others, and a rename is two changes.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::disk_operations::{Disk, Kernel};
use super::{Access, remove_on, replace_on};

type Name = String;
/// Number of a file, independent of its names.
type Node = usize;
/// Content and mode.
type Found = (Vec<u8>, u32);
type Disks = BTreeSet<BTreeMap<Name, Found>>;

#[derive(Clone, Debug, PartialEq)]
enum Op {
    Create(Node, Name),
    Write(Node, Vec<u8>),
    SetAccess(Node, u32),
    Flush(Node),
    Rename(Name, Name),
    Remove(Name),
    FlushFolder,
}

/// The kernel's disk, which also records the operations.
#[derive(Default)]
struct Recorder {
    ops: RefCell<Vec<Op>>,
    /// Inode of each file that was created.
    inodes: RefCell<Vec<u64>>,
}

impl Recorder {
    // Number of the file with this inode; the last one, because the kernel may use an inode number again.
    fn node(&self, file: &File) -> io::Result<Node> {
        let inode = file.metadata()?.ino();
        let at = self.inodes.borrow().iter().rposition(|it| *it == inode);
        at.ok_or_else(|| io::Error::other("not created here"))
    }

    fn add(&self, op: Op) {
        self.ops.borrow_mut().push(op);
    }
}

impl Disk for Recorder {
    fn create(&self, path: &Path) -> io::Result<File> {
        let file = Kernel.create(path)?;
        self.inodes.borrow_mut().push(file.metadata()?.ino());
        self.add(Op::Create(self.node(&file)?, name(path)));
        Ok(file)
    }

    fn write(&self, file: &File, content: &[u8]) -> io::Result<()> {
        self.add(Op::Write(self.node(file)?, content.to_vec()));
        Kernel.write(file, content)
    }

    fn set_access(&self, file: &File, uid: u32, gid: u32, mode: u32) -> io::Result<()> {
        self.add(Op::SetAccess(self.node(file)?, mode & 0o7777));
        Kernel.set_access(file, uid, gid, mode)
    }

    fn flush(&self, file: &File) -> io::Result<()> {
        self.add(Op::Flush(self.node(file)?));
        Kernel.flush(file)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Kernel.rename(from, to)?;
        self.add(Op::Rename(name(from), name(to)));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        Kernel.remove(path)?;
        self.add(Op::Remove(name(path)));
        Ok(())
    }

    fn flush_folder(&self, folder: &Path) -> io::Result<()> {
        self.add(Op::FlushFolder);
        Kernel.flush_folder(folder)
    }
}

fn name(path: &Path) -> Name {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

/// Model of one folder.
#[derive(Clone, Default)]
struct Model {
    durable: BTreeMap<Name, Inode>,
    /// Changes of names since the folder was flushed, in order.
    pending: Vec<(Name, Option<Node>)>,
    /// Names as a process sees them.
    seen: BTreeMap<Name, Inode>,
    files: Vec<Contents>,
}

#[derive(Clone)]
enum Inode {
    /// File that existed at the start, flushed before.
    Before(Found),
    New(Node),
}

#[derive(Clone)]
struct Contents {
    content: Vec<u8>,
    mode: u32,
    /// Possible contents of the file after a cut.
    contents: BTreeSet<Vec<u8>>,
    modes: BTreeSet<u32>,
}

impl Model {
    fn new(start: &BTreeMap<Name, Found>) -> Self {
        let names = start.iter();
        let durable: BTreeMap<Name, Inode> = names
            .map(|(name, found)| (name.clone(), Inode::Before(found.clone())))
            .collect();
        Self {
            seen: durable.clone(),
            durable,
            ..Self::default()
        }
    }

    fn run(&mut self, op: &Op) {
        match op {
            Op::Create(node, name) => {
                assert_eq!(*node, self.files.len());
                self.files.push(Contents::new());
                self.set(name, Some(Inode::New(*node)));
            }
            Op::Write(node, content) => self.files[*node].write(content),
            Op::SetAccess(node, mode) => self.files[*node].set_mode(*mode),
            Op::Flush(node) => self.files[*node].flush(),
            Op::Rename(from, to) => {
                let inode = self.seen[from].clone();
                self.set(to, Some(inode));
                self.set(from, None);
            }
            Op::Remove(name) => self.set(name, None),
            Op::FlushFolder => {
                self.durable = self.seen.clone();
                self.pending.clear();
            }
        }
    }

    fn set(&mut self, name: &str, inode: Option<Inode>) {
        let node = match &inode {
            Some(Inode::New(node)) => Some(*node),
            Some(Inode::Before(_)) => panic!("a file from the start is never renamed"),
            None => None,
        };
        self.pending.push((name.to_owned(), node));
        match inode {
            Some(inode) => self.seen.insert(name.to_owned(), inode),
            None => self.seen.remove(name),
        };
    }

    /// Possible states of the disk if the power is cut now.
    fn cut(&self) -> Disks {
        let mut disks = Disks::new();
        for chosen in 0_u32..1 << self.pending.len() {
            let mut names = self.durable.clone();
            for (at, (name, node)) in self.pending.iter().enumerate() {
                match node {
                    _ if chosen >> at & 1 == 0 => {}
                    Some(node) => drop(names.insert(name.clone(), Inode::New(*node))),
                    None => drop(names.remove(name)),
                }
            }
            disks.extend(self.fill(&names));
        }
        disks
    }

    /// Combines these names with each content that their files may have; a file has one content under all its names.
    fn fill(&self, names: &BTreeMap<Name, Inode>) -> Disks {
        let mut disks: Vec<BTreeMap<Node, Found>> = vec![BTreeMap::new()];
        for inode in names.values() {
            let Inode::New(node) = inode else { continue };
            let found = self.files[*node].found();
            let with = |disk: &BTreeMap<Node, Found>| {
                let mut with = Vec::new();
                for found in &found {
                    let mut disk = disk.clone();
                    disk.entry(*node).or_insert_with(|| found.clone());
                    with.push(disk);
                }
                with
            };
            disks = disks.iter().flat_map(with).collect();
        }
        let named = |disk: BTreeMap<Node, Found>| {
            let found = |(name, inode): (&Name, &Inode)| match inode {
                Inode::Before(found) => (name.clone(), found.clone()),
                Inode::New(node) => (name.clone(), disk[node].clone()),
            };
            names.iter().map(found).collect()
        };
        disks.into_iter().map(named).collect()
    }
}

impl Contents {
    fn new() -> Self {
        let mut new = Self {
            content: Vec::new(),
            mode: 0o600,
            contents: BTreeSet::new(),
            modes: BTreeSet::new(),
        };
        new.flush();
        new
    }

    fn write(&mut self, content: &[u8]) {
        self.content.extend_from_slice(content);
        let (whole, half) = (&self.content, self.content.len() / 2);
        let mut holes = whole.clone();
        holes[half..].fill(0);
        let torn = [whole[..half].to_vec(), vec![0; whole.len()], holes];
        self.contents.extend(torn);
        self.contents.insert(whole.clone());
    }

    fn set_mode(&mut self, mode: u32) {
        self.mode = mode;
        self.modes.insert(mode);
    }

    fn flush(&mut self) {
        self.contents = BTreeSet::from([self.content.clone()]);
        self.modes = BTreeSet::from([self.mode]);
    }

    fn found(&self) -> Vec<Found> {
        let with = |content: &Vec<u8>| {
            let content = content.clone();
            self.modes
                .iter()
                .map(move |mode| (content.clone(), *mode))
                .collect::<Vec<_>>()
        };
        self.contents.iter().flat_map(with).collect()
    }
}

/// Folder with files, for recording, and for reading after a cut.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str, files: &BTreeMap<Name, Found>) -> Self {
        let name = format!("spared-cut-{test}-{}", std::process::id());
        let folder = Self(std::env::temp_dir().join(name));
        let _ = fs::remove_dir_all(&folder.0);
        fs::create_dir_all(&folder.0).unwrap();
        for (name, (content, mode)) in files {
            fs::write(folder.0.join(name), content).unwrap();
            let mode = fs::Permissions::from_mode(*mode);
            fs::set_permissions(folder.0.join(name), mode).unwrap();
        }
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn names(&self) -> Vec<Name> {
        let entries = fs::read_dir(&self.0).unwrap();
        let mut names: Vec<_> = entries.map(|entry| name(&entry.unwrap().path())).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const FILE: &str = "state";
const LEFT: &str = ".state.spared";
const OLD: &[u8] = b"the old content";
const NEW: &[u8] = b"new content, longer than the old one";

fn always() -> Result<(), String> {
    Ok(())
}

/// File before and after its replacement, with all operations of the replacement.
struct Case {
    start: BTreeMap<Name, Found>,
    ops: Vec<Op>,
    /// Requested mode.
    mode: u32,
}

impl Case {
    fn record(test: &str, access: Access, has_old: bool, has_left: bool) -> Self {
        let mut start = BTreeMap::new();
        if has_old {
            start.insert(FILE.to_owned(), (OLD.to_vec(), 0o640));
        }
        if has_left {
            start.insert(LEFT.to_owned(), (b"half of so".to_vec(), 0o600));
        }
        let folder = Folder::new(test, &start);
        let recorder = Recorder::default();
        replace_on(&recorder, &folder.path(FILE), NEW, access, always).unwrap();
        let mode = fs::metadata(folder.path(FILE)).unwrap().mode() & 0o7777;
        let ops = recorder.ops.into_inner();
        Self { start, ops, mode }
    }

    /// Number of possible disks, or a cut after which a reader finds a wrong content.
    fn judge(&self) -> Result<usize, String> {
        let old = self.start.get(FILE).cloned();
        let new = Some((NEW.to_vec(), self.mode));
        let mut model = Model::new(&self.start);
        let mut cuts = 0;
        for done in 0..=self.ops.len() {
            if let Some(op) = done.checked_sub(1).and_then(|at| self.ops.get(at)) {
                model.run(op);
            }
            for disk in model.cut() {
                let found = disk.get(FILE).cloned();
                let is_all_done = done == self.ops.len();
                if found != new && (is_all_done || found != old) {
                    return Err(format!("after {done} of {:?}: {found:?}", self.ops));
                }
                cuts += 1;
            }
        }
        Ok(cuts)
    }

    /// Possible states of the disk after a cut at any step.
    fn disks(&self) -> Disks {
        let mut model = Model::new(&self.start);
        let mut disks = model.cut();
        for op in &self.ops {
            model.run(op);
            disks.extend(model.cut());
        }
        disks
    }

    fn at(&self, is_it: impl Fn(&Op) -> bool) -> usize {
        self.ops.iter().position(is_it).unwrap()
    }
}

/// Cases of every kind of access, with and without a previous file, and with files left by a killed process.
fn cases(test: &str) -> Vec<Case> {
    let own = fs::metadata("/proc/self").unwrap();
    let (uid, gid) = (own.uid(), own.gid());
    let mode = 0o755;
    let mut cases = Vec::new();
    for access in [
        Access::Private,
        Access::AsBefore,
        Access::Given { uid, gid, mode },
    ] {
        for (has_old, has_left) in [(true, false), (true, true), (false, false), (false, true)] {
            cases.push(Case::record(test, access, has_old, has_left));
        }
    }
    cases
}

#[test]
fn a_power_cut_at_any_step_leaves_the_old_content_or_the_new() {
    let cuts: Result<Vec<usize>, String> = cases("steps").iter().map(Case::judge).collect();
    let cuts = cuts.unwrap_or_else(|why| panic!("{why}"));
    // the model covers the real operations: each step, with and without its effect
    assert!(cuts.iter().all(|cuts| *cuts > 10), "{cuts:?}");
}

#[test]
fn whatever_a_power_cut_left_the_next_run_replaces_the_file_and_leaves_nothing_over() {
    for case in cases("next") {
        for disk in case.disks() {
            let folder = Folder::new("found", &disk);
            let path = folder.path(FILE);
            replace_on(&Kernel, &path, b"later", Access::Private, always).unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"later", "{disk:?}");
            assert_eq!(folder.names(), [FILE], "{disk:?}");
        }
    }
}

/// Checks that the model detects a missing step of `replace`, or another order of its steps.
#[test]
fn each_flush_is_needed_and_so_is_their_order() {
    for mut case in cases("needed") {
        let ops = case.ops.clone();
        let flush = case.at(|op| matches!(op, Op::Flush(_)));
        let folder = case.at(|op| *op == Op::FlushFolder);
        let rename = case.at(|op| matches!(op, Op::Rename(..)));
        let write = case.at(|op| matches!(op, Op::Write(..)));
        for without in [flush, folder] {
            case.ops.remove(without);
            case.judge().expect_err("a flush is missing");
            case.ops.clone_from(&ops);
        }
        for (one, other) in [(flush, rename), (rename, folder), (write, flush)] {
            case.ops.swap(one, other);
            case.judge().expect_err("another order");
            case.ops.clone_from(&ops);
        }
        assert!(case.judge().is_ok());
    }
}

#[test]
fn a_refused_replacement_leaves_the_old_content_whenever_the_power_is_cut() {
    let start = BTreeMap::from([(FILE.to_owned(), (OLD.to_vec(), 0o600))]);
    let folder = Folder::new("refused", &start);
    let recorder = Recorder::default();
    let refuse = || Err("the server runs".to_owned());
    let path = folder.path(FILE);
    assert!(replace_on(&recorder, &path, NEW, Access::Private, refuse).is_err());
    let mut model = Model::new(&start);
    for op in recorder.ops.into_inner() {
        model.run(&op);
        assert!(model.cut().iter().all(|disk| disk[FILE].0 == OLD), "{op:?}");
    }
}

/// Lease file of a Kea server, with files in the same folder that hold older leases: none of them is removed before the
/// new file is durable, and all are gone in the end.
#[test]
fn what_is_removed_after_a_replacement_goes_after_it_and_for_good() {
    const BESIDE: [&str; 2] = ["state.1", "state.2"];
    let file = |name: &str| (name.to_owned(), (OLD.to_vec(), 0o600));
    let start: BTreeMap<Name, Found> = [FILE, BESIDE[0], BESIDE[1]].map(file).into();
    let folder = Folder::new("removed", &start);
    let recorder = Recorder::default();
    let paths = BESIDE.map(|name| folder.path(name));
    replace_on(&recorder, &folder.path(FILE), NEW, Access::Private, always).unwrap();
    remove_on(&recorder, &paths).unwrap();
    // a second time: no file exists, and the folder is flushed nevertheless
    remove_on(&recorder, &paths).unwrap();
    let ops = recorder.ops.into_inner();
    assert_eq!(ops[ops.len() - 2..], [Op::FlushFolder, Op::FlushFolder]);
    let mut model = Model::new(&start);
    for op in &ops {
        model.run(op);
        for disk in model.cut() {
            let all = BESIDE.iter().all(|name| disk.contains_key(*name));
            assert!(all || disk[FILE].0 == NEW, "{op:?}: {disk:?}");
        }
    }
    let last: Vec<_> = model.cut().into_iter().collect();
    assert_eq!(last.len(), 1);
    assert_eq!(last[0].keys().collect::<Vec<_>>(), [FILE]);
}
