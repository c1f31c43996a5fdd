//! Makes a tree equal to a manifest.
//!
//! All new files are first written next to their places, under temporary names, and flushed. Then all are renamed, then
//! superfluous files are removed: readers see a mixture only between the renames. The same function reverts, from any
//! state that an interrupted change left.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::AtomicBool;

use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags, chownat,
    fchmod, fchown, flistxattr, fremovexattr, fsetxattr, fstat, fsync, futimens, mkdirat, openat,
    renameat, symlinkat, syncfs, unlinkat,
};
use rustix::io::Errno;
use spared_tree::config::Tree;
use spared_tree::own::Own;
use spared_tree::{
    Access, Accounts, Change, Entry, Hash, Kind, Manifest, Place, RootFolder, Scanner, What, acl,
    compare, is_replicated_xattr, is_temporary_name,
};

use crate::store::{FLUSHED_EACH, Store};

/// Function called before each step with its name; tests end there.
pub type Step<'s> = &'s dyn Fn(&str);

/// Tree as it was when its change was decided: a later edit must not be replaced.
#[derive(Clone, Copy)]
pub struct Before<'b> {
    pub digest: Hash,
    /// Lines that belong to this node, which are no part of the digest.
    pub own: &'b Own,
}

/// Extent to which a tree has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Extent {
    /// The tree is as before.
    #[default]
    Nothing,
    /// New folders are there, which no program uses yet.
    Folders,
    /// Files were replaced or removed.
    Files,
}

/// Put that has failed.
#[derive(Debug)]
pub struct NotPut {
    pub why: String,
    pub extent: Extent,
}

pub struct Put<'p> {
    pub root: &'p RootFolder,
    pub store: &'p Store,
    pub tree: &'p Tree,
    /// Tree as it has to be before; None: any state is replaced.
    pub before: Option<Before<'p>>,
    /// Lines that belong to this node.
    pub own: &'p Own,
    /// Contents that are moved to their place instead of copied.
    pub movable: BTreeSet<Hash>,
    pub step: Step<'p>,
    pub extent: Cell<Extent>,
}

impl Before<'_> {
    /// # Errors
    /// The tree has changed since, in a sentence.
    pub fn is(&self, tree: &Tree, now: &Manifest, scanner: &Scanner) -> Result<(), String> {
        if now.digest() == self.digest && scanner.own(tree) == *self.own {
            return Ok(());
        }
        let name = &tree.name;
        Err(format!(
            "tree \"{name}\" has changed on this node meanwhile"
        ))
    }
}

impl Put<'_> {
    /// Makes the tree equal to `new`; returns the number of changes.
    ///
    /// # Errors
    /// A sentence; the tree may be in any state between the two.
    pub fn run(&self, scanner: &mut Scanner, new: &Manifest) -> Result<usize, NotPut> {
        self.replace(scanner, new).map_err(|why| {
            let extent = self.extent.get();
            if extent == Extent::Nothing {
                self.sweep();
            }
            NotPut { why, extent }
        })
    }

    fn replace(&self, scanner: &mut Scanner, new: &Manifest) -> Result<usize, String> {
        self.sweep();
        let now = self.scan(scanner)?;
        if let Some(before) = &self.before {
            before.is(self.tree, &now, scanner)?;
        }
        let changes = compare(&now, new);
        let placed: Vec<&Entry> = self.entries(&changes, new);
        let removed = removed(&changes, &now);
        self.clear(&changes, &now)?;
        for entry in placed.iter().filter(|it| it.kind == Kind::Folder) {
            self.make_folder(entry)?;
        }
        let rest = || placed.iter().filter(|it| it.kind != Kind::Folder);
        let is_few = changes.len() <= FLUSHED_EACH;
        for entry in rest() {
            self.prepare(scanner, entry, is_few)
                .map_err(at(&entry.path))?;
        }
        self.flush(&changes)?;
        for entry in rest() {
            self.swap(entry).map_err(at(&entry.path))?;
        }
        for entry in removed {
            self.remove(&entry.path, entry.kind == Kind::Folder)
                .map_err(at(&entry.path))?;
        }
        self.set_folders(&changes, new)?;
        self.flush(&changes)?;
        let is = self.scan(scanner)?.digest();
        if is == new.digest() {
            Ok(changes.len())
        } else {
            Err(format!(
                "tree \"{}\" was changed by others meanwhile",
                self.tree.name
            ))
        }
    }

    /// Checks, before anything changes, that all accounts exist here, by the names that the next scan finds: owners, and
    /// those in access lists.
    ///
    /// # Errors
    /// The account that is missing, and the first file that needs it.
    pub fn accounts_exist(manifest: &Manifest) -> Result<(), String> {
        let mut accounts = Accounts::default();
        let (mut users, mut groups) = (BTreeSet::new(), BTreeSet::new());
        for entry in &manifest.entries {
            let access = &entry.access;
            let (of_users, of_groups) = acl::accounts(&access.xattrs);
            let missing = |why: String| format!("{}: {why}", entry.path);
            for name in [access.owner.as_str()].into_iter().chain(of_users) {
                // each account is looked up once
                if users.insert(name) {
                    accounts.check_user(name).map_err(missing)?;
                }
            }
            for name in [access.group.as_str()].into_iter().chain(of_groups) {
                if groups.insert(name) {
                    accounts.check_group(name).map_err(missing)?;
                }
            }
        }
        Ok(())
    }

    /// Removes temporary files of an interrupted change.
    fn sweep(&self) {
        for top in &self.tree.paths {
            if let Ok(place) = self.root.place(top) {
                let _ = unlinkat(&place.folder, ours(place.name), AtFlags::empty());
            }
            if let Ok(folder) = self.root.folder(top) {
                sweep(&folder, 0);
            }
        }
    }

    fn scan(&self, scanner: &mut Scanner) -> Result<Manifest, String> {
        let scanned = scanner.scan(self.root, self.tree, &AtomicBool::new(false));
        scanned.map_err(|fault| fault.to_string())
    }

    fn entries<'m>(&self, changes: &[Change], new: &'m Manifest) -> Vec<&'m Entry> {
        let is_placed = |it: &&Change| it.what != What::Removed;
        let placed = changes.iter().filter(is_placed);
        placed.filter_map(|it| new.find(&it.path)).collect()
    }

    /// Makes room where a folder becomes a file, or vice versa.
    fn clear(&self, changes: &[Change], now: &Manifest) -> Result<(), String> {
        let other_kind = changes.iter().filter(|it| it.what == What::Kind);
        for change in other_kind {
            let is_it = |it: &&Entry| it.path == change.path || is_below(&it.path, &change.path);
            for entry in now.entries.iter().rev().filter(is_it) {
                self.remove(&entry.path, entry.kind == Kind::Folder)
                    .map_err(at(&entry.path))?;
            }
        }
        Ok(())
    }

    fn make_folder(&self, entry: &Entry) -> Result<(), String> {
        let made = || -> io::Result<()> {
            let place = self.root.place(&entry.path)?;
            (self.step)("folder");
            if self.extent.get() == Extent::Nothing {
                self.extent.set(Extent::Folders);
            }
            match mkdirat(&place.folder, place.name, Mode::RWXU) {
                Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
                Err(errno) => Err(errno.into()),
            }
        };
        made().map_err(at(&entry.path))
    }

    /// Writes a file under its temporary name, and flushes it if there are few.
    fn prepare(&self, scanner: &mut Scanner, entry: &Entry, is_flushed: bool) -> io::Result<()> {
        let place = self.root.place(&entry.path)?;
        let name = ours(place.name);
        (self.step)("prepare");
        match &entry.kind {
            Kind::Folder => Ok(()),
            Kind::Link { target } => {
                symlinkat(target, &place.folder, &name)?;
                (self.step)("link made");
                give_link(&place.folder, &name, &entry.access)
            }
            Kind::File { hash, .. } => {
                let (file, is_moved) = self.make_file(&place, &name, &entry.path, *hash)?;
                set_access(file.as_fd(), &entry.access)?;
                let (tv_sec, nanoseconds) = entry.modified;
                let tv_nsec = nanoseconds.into();
                let modified = Timespec { tv_sec, tv_nsec };
                let times = Timestamps {
                    last_access: modified,
                    last_modification: modified,
                };
                futimens(&file, &times)?;
                // hashed when it was stored, in a place where only root can change it
                if is_moved && is_roots(&entry.access) {
                    scanner.wrote(&entry.path, &file, *hash)?;
                }
                if is_flushed { file.sync_all() } else { Ok(()) }
            }
        }
    }

    /// Creates a file with a content; true if the content was moved there.
    fn make_file(
        &self,
        place: &Place<'_>,
        name: &str,
        path: &str,
        hash: Hash,
    ) -> io::Result<(File, bool)> {
        let own = self.own.get(path).map_or(&[][..], Vec::as_slice);
        let joined = self.store.with_own(hash, own).map_err(io::Error::other)?;
        let may_move = joined.is_none() && self.movable.contains(&hash);
        let moved = if may_move {
            self.store.move_out(hash, &place.folder, name)?
        } else {
            None
        };
        if let Some(file) = moved {
            (self.step)("moved");
            return Ok((file, true));
        }
        let flags = OFlags::CREATE | OFlags::EXCL;
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | flags;
        let mode = Mode::RUSR | Mode::WUSR;
        let mut file: File = openat(&place.folder, name, flags, mode)?.into();
        match joined {
            Some(bytes) => file.write_all(&bytes)?,
            None => self.copy(hash, &mut file)?,
        }
        Ok((file, false))
    }

    fn copy(&self, hash: Hash, to: &mut File) -> io::Result<()> {
        let mut content = self.store.content(hash).map_err(io::Error::other)?;
        io::copy(&mut content, to).map(drop)
    }

    fn swap(&self, entry: &Entry) -> io::Result<()> {
        let place = self.root.place(&entry.path)?;
        (self.step)("rename");
        let (from, to) = (ours(place.name), place.name);
        renameat(&place.folder, &from, &place.folder, to)?;
        self.extent.set(Extent::Files);
        Ok(())
    }

    fn remove(&self, path: &str, is_folder: bool) -> io::Result<()> {
        let Place { folder, name } = self.root.place(path)?;
        (self.step)("remove");
        let flags = if is_folder {
            AtFlags::REMOVEDIR
        } else {
            AtFlags::empty()
        };
        match unlinkat(&folder, name, flags) {
            Ok(()) => {
                self.extent.set(Extent::Files);
                Ok(())
            }
            Err(rustix::io::Errno::NOENT) => Ok(()),
            // the other half refuses folders that it knows: something was excluded or created since the last scan
            Err(rustix::io::Errno::NOTEMPTY) => Err(io::Error::other(
                "cannot be removed: it holds excluded files of this node",
            )),
            Err(errno) => Err(errno.into()),
        }
    }

    fn set_folders(&self, changes: &[Change], new: &Manifest) -> Result<(), String> {
        let entries = self.entries(changes, new);
        for entry in entries.iter().filter(|it| it.kind == Kind::Folder) {
            (self.step)("folder's access");
            self.extent.set(Extent::Files);
            let folder = self.root.folder(&entry.path);
            folder
                .and_then(|folder| set_access(folder.as_fd(), &entry.access))
                .map_err(at(&entry.path))?;
        }
        Ok(())
    }

    /// Flushes the folders of few changes, or the file systems of the tree.
    fn flush(&self, changes: &[Change]) -> Result<(), String> {
        (self.step)("flush");
        if changes.len() <= FLUSHED_EACH {
            let folders = changes.iter().map(|it| it.path.as_str());
            return folders
                .into_iter()
                .try_for_each(|it| self.flush_folders(it).map_err(at(it)));
        }
        let mut flushed = BTreeSet::new();
        for top in &self.tree.paths {
            let Ok(place) = self.root.place(top) else {
                continue;
            };
            let folder = self.root.folder(top).unwrap_or(place.folder);
            flush_once(&folder, &mut flushed).map_err(at(top))?;
        }
        Ok(())
    }

    /// Flushes the folder that contains a path, and the path itself if it is a folder.
    fn flush_folders(&self, path: &str) -> io::Result<()> {
        let place = match self.root.place(path) {
            Err(error) => match Errno::from_io_error(&error) {
                // the folder was removed, or is a file or a link now, which is flushed as a change of its own
                Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
                _ => return Err(error),
            },
            Ok(place) => place,
        };
        fsync(&place.folder)?;
        let stat = place.stat()?;
        if stat.is_some_and(|it| FileType::from_raw_mode(it.st_mode) == FileType::Directory) {
            Ok(fsync(self.root.folder(path)?)?)
        } else {
            Ok(())
        }
    }
}

fn flush_once(folder: &OwnedFd, flushed: &mut BTreeSet<u64>) -> io::Result<()> {
    if flushed.insert(fstat(folder)?.st_dev) {
        Ok(syncfs(folder)?)
    } else {
        Ok(())
    }
}

/// Entries to remove, files before their folder; without those that make room for another kind.
fn removed<'m>(changes: &[Change], now: &'m Manifest) -> Vec<&'m Entry> {
    let other_kind = |path: &str| {
        let mut kinds = changes.iter().filter(|it| it.what == What::Kind);
        kinds.any(|it| is_below(path, &it.path))
    };
    let removed = changes.iter().rev().filter(|it| it.what == What::Removed);
    let removed = removed.filter(|it| !other_kind(&it.path));
    removed.filter_map(|it| now.find(&it.path)).collect()
}

fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder)
        .is_some_and(|rest| rest.starts_with('/'))
}

fn sweep(folder: &OwnedFd, depth: usize) {
    const DEPTH_MAX: usize = 64;
    let Ok(names) = Dir::read_from(folder) else {
        return;
    };
    for entry in names.flatten() {
        let Ok(name) = entry.file_name().to_str() else {
            continue;
        };
        if is_temporary_name(name) {
            let _ = unlinkat(folder, name, AtFlags::empty());
        } else if entry.file_type() == FileType::Directory
            && !matches!(name, "." | "..")
            && depth < DEPTH_MAX
        {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            if let Ok(below) = openat(folder, name, flags, Mode::empty()) {
                sweep(&below, depth + 1);
            }
        }
    }
}

/// Temporary name under which the successor of a file is prepared. The name of a file may be as long as a name can be.
fn ours(name: &str) -> String {
    const NAME_MAX: usize = 255;
    let ours = format!(".{name}.spared");
    if ours.len() <= NAME_MAX {
        return ours;
    }
    format!(".{}.spared", Hash::of(name.as_bytes()).name())
}

fn owner(access: &Access) -> io::Result<(Uid, Gid)> {
    let uid = Accounts::uid(&access.owner).map_err(io::Error::other)?;
    let gid = Accounts::gid(&access.group).map_err(io::Error::other)?;
    Ok((Uid::from_raw(uid), Gid::from_raw(gid)))
}

/// Gives a new link to its owner. Others may have put a file of root under its name, which keeps its owner.
fn give_link(folder: &OwnedFd, name: &str, access: &Access) -> io::Result<()> {
    let (uid, gid) = owner(access)?;
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let link = openat(folder, name, flags, Mode::empty())?;
    match FileType::from_raw_mode(fstat(&link)?.st_mode) {
        FileType::Symlink => {
            let flags = AtFlags::EMPTY_PATH;
            Ok(chownat(&link, "", Some(uid), Some(gid), flags)?)
        }
        _ => Err(io::Error::other("was changed by others meanwhile")),
    }
}

/// True if only root may write a file. Others could reset its time after a change.
fn is_roots(access: &Access) -> bool {
    access.owner == "root" && access.mode & 0o022 == 0 && access.xattrs.is_empty()
}

fn set_access(fd: BorrowedFd<'_>, access: &Access) -> io::Result<()> {
    let (uid, gid) = owner(access)?;
    let is = fstat(fd)?;
    if (is.st_uid, is.st_gid) != (uid.as_raw(), gid.as_raw()) {
        fchown(fd, Some(uid), Some(gid))?;
    }
    let xattrs = acl::by_number(&access.xattrs).map_err(io::Error::other)?;
    set_mode(fd, access.mode, &xattrs)
}

/// Sets mode and attributes: after the owner, because a change of owner clears bits; the mode before the access list,
/// whose mask is part of the mode.
pub fn set_mode(fd: BorrowedFd<'_>, mode: u32, xattrs: &[(String, Vec<u8>)]) -> io::Result<()> {
    remove_xattrs(fd, xattrs)?;
    fchmod(fd, Mode::from_raw_mode(mode))?;
    for (name, value) in xattrs {
        fsetxattr(fd, name.as_str(), value, XattrFlags::empty())?;
    }
    Ok(())
}

/// Removes attributes that are not wanted: a folder's default access list creates some.
fn remove_xattrs(fd: BorrowedFd<'_>, wanted: &[(String, Vec<u8>)]) -> io::Result<()> {
    const NAMES_MAX: usize = 64 << 10;
    let mut names = Vec::with_capacity(NAMES_MAX);
    match flistxattr(fd, rustix::buffer::spare_capacity(&mut names)) {
        Ok(_) => {}
        Err(rustix::io::Errno::OPNOTSUPP) => return Ok(()),
        Err(errno) => return Err(errno.into()),
    }
    let names = names.split(|byte| *byte == 0);
    let names = names.filter_map(|it| std::str::from_utf8(it).ok());
    for name in names.filter(|it| is_replicated_xattr(it)) {
        if !wanted.iter().any(|(it, _)| it == name) {
            fremovexattr(fd, name)?;
        }
    }
    Ok(())
}

fn at(path: &str) -> impl FnOnce(io::Error) -> String {
    move |error| format!("{path}: {error}")
}
