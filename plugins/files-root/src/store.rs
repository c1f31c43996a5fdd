//! The store of this half: contents by their hash, states of each tree, and the journal of a change.
//!
//! Root owns all of it. Staged files of the other half are copied here, and their hashes are computed on the way,
//! before they are used.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, flistxattr, renameat, syncfs};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use spared_file::{Access, remove, replace};
use spared_tree::config::Tree;
use spared_tree::local::StateInfo;
use spared_tree::own::{Line, MARKED_MAX, Own, join};
use spared_tree::{Hash, Hasher, Kind, Manifest, Scope};

use crate::clock::Now;

const JOURNAL: &str = "journal";
const UNCONFIRMED: &str = "unconfirmed";
const CONTENTS: &str = "contents";
const STATES: &str = "states";
/// Number of files up to which each is flushed alone. For more, the whole file system is flushed, with the data of
/// others.
pub const FLUSHED_EACH: usize = 16;

pub struct Store {
    folder: PathBuf,
}

/// Earlier state of a tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    pub number: u64,
    pub kept_s: u64,
    /// Reason why it was replaced.
    pub why: String,
    pub manifest: Manifest,
    /// Lines that belonged to this node: no content contains them.
    pub own: Own,
    /// Paths and patterns of the tree then: the state concerns nothing else. None: kept by an earlier version.
    pub scope: Option<Scope>,
}

impl State {
    /// Decodes a state. One of an earlier version ends before its scope.
    fn decode(mut bytes: Vec<u8>) -> postcard::Result<Self> {
        postcard::from_bytes(&bytes).or_else(|_| {
            bytes.push(0);
            postcard::from_bytes(&bytes)
        })
    }

    /// Returns the part of a tree that this state concerns, and the manifest of that part.
    ///
    /// # Errors
    /// A sentence with the reason.
    pub fn of(&self, tree: &Tree) -> Result<(Tree, Manifest), String> {
        let part = match &self.scope {
            None => tree.clone(),
            Some(scope) => tree.within(scope)?,
        };
        let mut manifest = self.manifest.clone();
        manifest.entries.retain(|it| !part.excludes(&it.path));
        Ok((part, manifest))
    }

    /// True if the state concerns the whole tree, and nothing else.
    pub fn is_of(&self, tree: &Tree) -> bool {
        let scope = self.scope.as_ref();
        scope.is_none_or(|it| *it == Scope::from(tree))
    }
}

/// Change that has begun, with the state to restore if it is interrupted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journal {
    pub tree: String,
    pub state: u64,
}

/// Change that is reverted unless somebody confirms it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unconfirmed {
    pub tree: String,
    pub state: u64,
    /// Deadline in seconds since 1970, because the machine may restart meanwhile.
    pub until_s: u64,
    /// Seconds from the change to the deadline: a clock that was set back does not extend them.
    pub span_s: u32,
}

impl Unconfirmed {
    /// Creates an entry for a failed revert that waits for another one: nobody can confirm it any more.
    pub fn set_aside(journal: Journal) -> Self {
        Self {
            tree: journal.tree,
            state: journal.state,
            until_s: 0,
            span_s: 0,
        }
    }

    /// True if the journal reverts this change.
    pub fn is(&self, journal: &Journal) -> bool {
        self.tree == journal.tree && self.state == journal.state
    }

    /// True for a failed revert: a change that waits for a confirmation has a span above 0.
    pub fn is_set_aside(&self) -> bool {
        self.span_s == 0
    }

    pub fn left_s(&self, now_s: u64) -> u32 {
        let left_s = self.until_s.saturating_sub(now_s);
        let left_s = u32::try_from(left_s).unwrap_or(u32::MAX);
        left_s.min(self.span_s)
    }
}

impl Store {
    /// # Errors
    /// A sentence with the reason.
    pub fn open(folder: &Path) -> Result<Self, String> {
        for name in [CONTENTS, STATES] {
            make_folder(&folder.join(name))?;
        }
        let folder = folder.to_owned();
        Ok(Self { folder })
    }

    /// Path of the folder for the check of a new state.
    pub fn view(&self) -> PathBuf {
        self.folder.join("view")
    }

    /// # Errors
    /// A sentence with the reason.
    pub fn content(&self, hash: Hash) -> Result<File, String> {
        let path = self.content_path(hash);
        File::open(&path).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Content joined with the lines of this node; None: the content has no marks.
    ///
    /// # Errors
    /// A sentence with the reason.
    pub fn with_own(&self, hash: Hash, own: &[Line]) -> Result<Option<Vec<u8>>, String> {
        let mut content = self.content(hash)?;
        let size = content.metadata().map_or(u64::MAX, |it| it.len());
        if size > MARKED_MAX {
            return Ok(None);
        }
        let mut both = Vec::new();
        let read = content.read_to_end(&mut both);
        read.map_err(|error| format!("content {hash}: {error}"))?;
        join(&both, own)
    }

    /// Content as text, joined with the lines of this node.
    ///
    /// # Errors
    /// A sentence with the reason.
    pub fn text(&self, hash: Hash, own: Option<&Vec<Line>>) -> Result<String, String> {
        let own = own.map_or(&[][..], Vec::as_slice);
        let shown = |error: io::Error| format!("content {hash}: {error}");
        let mut bytes = Vec::new();
        match self.with_own(hash, own)? {
            Some(joined) => bytes = joined,
            None => {
                let read = self.content(hash)?.read_to_end(&mut bytes);
                read.map_err(shown)?;
            }
        }
        String::from_utf8(bytes).map_err(|_| format!("content {hash} is no text"))
    }

    /// Copies a content into the store, unless it is there; true if it was copied.
    ///
    /// # Errors
    /// A sentence with the reason; for example that the content has another hash.
    pub fn store_content<R: Read>(
        &self,
        hash: Hash,
        size: u64,
        open: impl FnOnce() -> io::Result<R>,
    ) -> Result<bool, String> {
        let path = self.content_path(hash);
        if fs::metadata(&path).is_ok_and(|it| it.len() == size) {
            return Ok(false);
        }
        let part = path.with_extension("part");
        let copied = open().and_then(|from| copy(from, &part, size));
        let copied = copied.and_then(|found| {
            if found == hash {
                fs::rename(&part, &path)
            } else {
                Err(io::Error::other("is not what was announced"))
            }
        });
        copied.map(|()| true).map_err(|error| {
            let _ = fs::remove_file(&part);
            format!("content {hash}: {error}")
        })
    }

    /// Contents among `taken` that one file of a new state needs, and no kept state.
    pub fn movable(&self, taken: &BTreeSet<Hash>, new: &Manifest) -> BTreeSet<Hash> {
        let hashes = new.entries.iter().filter_map(|it| match it.kind {
            Kind::File { hash, .. } => Some(hash),
            _ => None,
        });
        let (mut once, mut again) = (BTreeSet::new(), BTreeSet::new());
        for hash in hashes.filter(|it| taken.contains(it)) {
            if !once.insert(hash) {
                again.insert(hash);
            }
        }
        if !once.is_empty() {
            let needed = self.needed();
            once.retain(|it| !again.contains(it) && !needed.contains(&it.name()));
        }
        once
    }

    /// Moves a content to the place of a new file. None if only a copy is possible: on another file system, or with a
    /// security label, which a file gets from the folder in which it is created.
    ///
    /// # Errors
    /// The kernel's error.
    pub fn move_out(&self, hash: Hash, folder: &OwnedFd, name: &str) -> io::Result<Option<File>> {
        let path = self.content_path(hash);
        // opened before it is moved, because others may put another file under its new name
        let content = File::options().write(true).open(&path)?;
        let mut labels = [0_u8; 1];
        match flistxattr(&content, &mut labels) {
            Ok(0) | Err(Errno::OPNOTSUPP) => {}
            _ => return Ok(None),
        }
        match renameat(CWD, &path, folder, name) {
            Ok(()) => Ok(Some(content)),
            Err(Errno::XDEV) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Keeps a state of a tree whose contents are all in the store.
    ///
    /// # Errors
    /// A sentence with the reason.
    pub fn keep(
        &self,
        tree: &Tree,
        why: &str,
        manifest: Manifest,
        own: Own,
    ) -> Result<State, String> {
        let folder = self.folder.join(STATES).join(&tree.name);
        make_folder(&folder)?;
        let last = self.numbers(&tree.name).last().copied().unwrap_or(0);
        let state = State {
            number: last.saturating_add(1),
            kept_s: Now::read().wall_s,
            why: why.to_owned(),
            manifest,
            own,
            scope: Some(tree.into()),
        };
        let bytes = postcard::to_stdvec(&state).map_err(|error| error.to_string())?;
        self.flush(&state.manifest)?;
        let path = folder.join(state.number.to_string());
        replace(&path, &bytes, Access::Private, || Ok(()))?;
        Ok(state)
    }

    /// # Errors
    /// There is no such state, or it cannot be read.
    pub fn state(&self, tree: &str, number: u64) -> Result<State, String> {
        let path = self.folder.join(STATES).join(tree);
        let path = path.join(number.to_string());
        let bytes = fs::read(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                format!("tree \"{tree}\" has no state {number}: see `sparectl files log {tree}`")
            }
            _ => format!("{}: {error}", path.display()),
        })?;
        State::decode(bytes).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// The state of a tree that was kept last.
    pub fn newest(&self, tree: &str) -> Option<State> {
        self.state(tree, *self.numbers(tree).last()?).ok()
    }

    /// States of a tree, oldest first.
    pub fn states(&self, tree: &str, present: Option<Hash>) -> Vec<StateInfo> {
        let numbers = self.numbers(tree).into_iter();
        let states = numbers.filter_map(|number| self.state(tree, number).ok());
        let info = |state: State| StateInfo {
            number: state.number,
            kept_s: state.kept_s,
            digest: state.manifest.digest(),
            files: state.manifest.files() as u64,
            is_present: Some(state.manifest.digest()) == present,
            why: state.why,
        };
        states.map(info).collect()
    }

    /// Deletes the states of a tree except the newest ones and those that a deadline needs, and contents that no state
    /// has.
    pub fn prune(&self, tree: &str, keep: usize) {
        let numbers = self.numbers(tree);
        let old = numbers.len().saturating_sub(keep);
        let unconfirmed = self.unconfirmed().unwrap_or_default();
        let waits = |number| {
            unconfirmed
                .iter()
                .any(|it| it.tree == tree && it.state == number)
        };
        for number in numbers.into_iter().take(old).filter(|it| !waits(*it)) {
            let path = self.folder.join(STATES).join(tree);
            let _ = fs::remove_file(path.join(number.to_string()));
        }
        let needed = self.needed();
        for name in names(&self.folder.join(CONTENTS)) {
            if !needed.contains(&name) {
                let _ = fs::remove_file(self.folder.join(CONTENTS).join(name));
            }
        }
    }

    /// # Errors
    /// A sentence with the reason.
    pub fn journal(&self) -> Result<Option<Journal>, String> {
        let path = self.folder.join(JOURNAL);
        match fs::read(&path) {
            Ok(bytes) => match postcard::from_bytes(&bytes) {
                Ok(journal) => Ok(Some(journal)),
                Err(error) => Err(format!("{}: {error}", path.display())),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("{}: {error}", path.display())),
        }
    }

    /// # Errors
    /// A sentence with the reason; then nothing may change.
    pub fn begin(&self, journal: &Journal) -> Result<(), String> {
        let bytes = postcard::to_stdvec(journal).map_err(|error| error.to_string())?;
        let path = self.folder.join(JOURNAL);
        replace(&path, &bytes, Access::Private, || Ok(()))
    }

    /// # Errors
    /// A sentence with the reason.
    pub fn end(&self) -> Result<(), String> {
        remove(&[self.folder.join(JOURNAL)])
    }

    /// Changes that wait for a confirmation, and failed reverts that wait for a retry.
    ///
    /// # Errors
    /// A sentence with the reason.
    pub fn unconfirmed(&self) -> Result<Vec<Unconfirmed>, String> {
        let path = self.folder.join(UNCONFIRMED);
        match fs::read(&path) {
            Ok(bytes) => {
                postcard::from_bytes(&bytes).map_err(|error| format!("{}: {error}", path.display()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(format!("{}: {error}", path.display())),
        }
    }

    /// # Errors
    /// A sentence with the reason.
    pub fn set_unconfirmed(&self, all: &[Unconfirmed]) -> Result<(), String> {
        let path = self.folder.join(UNCONFIRMED);
        if all.is_empty() {
            return remove(&[path]);
        }
        let bytes = postcard::to_stdvec(all).map_err(|error| error.to_string())?;
        replace(&path, &bytes, Access::Private, || Ok(()))
    }

    /// Flushes the contents that a state needs, and all folders above them and above the state.
    fn flush(&self, promised: &Manifest) -> Result<(), String> {
        let contents = promised.contents();
        let own = [CONTENTS, STATES].map(|it| self.folder.join(it));
        let folders = own.iter().map(PathBuf::as_path);
        let folders = folders.chain(self.folder.ancestors().take(2));
        let flushed = || -> io::Result<()> {
            if contents.len() > FLUSHED_EACH {
                return Ok(syncfs(File::open(&self.folder)?)?);
            }
            for hash in contents.keys() {
                File::open(self.content_path(*hash))?.sync_all()?;
            }
            folders
                .into_iter()
                .try_for_each(|it| File::open(it)?.sync_all())
        };
        flushed().map_err(|error| format!("{}: {error}", self.folder.display()))
    }

    fn content_path(&self, hash: Hash) -> PathBuf {
        self.folder.join(CONTENTS).join(hash.name())
    }

    fn numbers(&self, tree: &str) -> Vec<u64> {
        let names = names(&self.folder.join(STATES).join(tree));
        let numbers = names.iter().filter_map(|name| name.parse().ok());
        let mut numbers: Vec<u64> = numbers.collect();
        numbers.sort_unstable();
        numbers
    }

    fn needed(&self) -> BTreeSet<String> {
        let mut needed = BTreeSet::new();
        for tree in names(&self.folder.join(STATES)) {
            for number in self.numbers(&tree) {
                let Ok(state) = self.state(&tree, number) else {
                    continue;
                };
                let hashes = state
                    .manifest
                    .entries
                    .iter()
                    .filter_map(|it| match it.kind {
                        Kind::File { hash, .. } => Some(hash.name()),
                        _ => None,
                    });
                needed.extend(hashes);
            }
        }
        needed
    }
}

/// Number of bytes that are copied at a time.
const COPIED: usize = 128 << 10;

/// Copies up to `size` bytes; returns their hash.
fn copy(mut from: impl Read, to: &Path, size: u64) -> io::Result<Hash> {
    let mut options = File::options();
    let options = options.write(true).create(true).truncate(true).mode(0o600);
    let mut to = options.open(to)?;
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; usize::try_from(size).map_or(COPIED, |it| it.clamp(1, COPIED))];
    let mut left = size;
    loop {
        let length = from.read(&mut buffer)?;
        let bytes = buffer.get(..length).unwrap_or_default();
        if bytes.is_empty() {
            return Ok(hasher.end());
        }
        left = left
            .checked_sub(length as u64)
            .ok_or_else(|| io::Error::other("is longer than announced"))?;
        hasher.add(bytes);
        to.write_all(bytes)?;
    }
}

fn make_folder(path: &Path) -> Result<(), String> {
    let mut builder = fs::DirBuilder::new();
    let made = builder.recursive(true).mode(0o700).create(path);
    made.map_err(|error| format!("{}: {error}", path.display()))
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|it| it.file_name().into_string().ok());
    names.collect()
}
