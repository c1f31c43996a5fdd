//! Trees that are switched by one symbolic link: readers see the old tree or the new one, never a mixture.
//!
//! The path is a link to one of two folders next to it, its sides. A change fills the other side and switches the link
//! by a rename. The previous side stays until the next change, for programs that still use it.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, Stat, Timespec, Timestamps, chownat, fchown, fstat,
    futimens, mkdirat, openat, readlinkat, renameat, statat, symlinkat, syncfs, unlinkat,
};
use spared_tree::config::Tree;
use spared_tree::{Manifest, RootFolder, Scanner, xattrs};

use crate::put::{Extent, NotPut, Put, Step, set_mode};

const SIDES: [&str; 2] = ["a", "b"];
const DEPTH_MAX: usize = 64;

/// State of such a tree.
pub struct Sides<'t> {
    tree: &'t Tree,
    /// Path of the link.
    path: &'t str,
    /// Side that the link leads to, 0 or 1; None: there is no link yet.
    present: Option<usize>,
}

impl<'t> Sides<'t> {
    /// # Errors
    /// The path is not such a link, in a sentence.
    pub fn of(root: &RootFolder, tree: &'t Tree) -> Result<Self, String> {
        let path = tree.paths.first().map_or("", String::as_str);
        let (first, name) = (side(path, 0), path.rsplit('/').next().unwrap_or_default());
        let first_name = first.rsplit('/').next().unwrap_or_default();
        let help = format!(
            "{path}: must be a symbolic link for `switch = \"link\"`: run `mv {path} {first} && ln -s {first_name} {path}`"
        );
        let shown = |error: io::Error| format!("{path}: {error}");
        let present = match root.stat(path).map_err(shown)? {
            None => None,
            Some(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink => {
                let place = root.place(path).map_err(shown)?;
                let target = readlinkat(&place.folder, place.name, Vec::new());
                let target = target.map_err(|errno| shown(errno.into()))?;
                let is_it = |at: &usize| target.to_bytes() == side_name(name, *at).as_bytes();
                Some((0..SIDES.len()).find(is_it).ok_or(help)?)
            }
            Some(_) => return Err(help),
        };
        Ok(Self {
            tree,
            path,
            present,
        })
    }

    /// Opens the place that the link leads to.
    ///
    /// # Errors
    /// The kernel's error.
    pub fn present(&self, root: &RootFolder) -> io::Result<RootFolder> {
        root.moved(self.path, &side(self.path, self.present.unwrap_or(0)))
    }

    /// Fills the other side from the manifest, and switches the link.
    fn put(&self, all: &Put<'_>, scanner: &mut Scanner, new: &Manifest) -> Result<usize, String> {
        let (root, step) = (all.root, all.step);
        let shown = |error: io::Error| format!("{}: {error}", self.path);
        let now = self.present(root).map_err(shown)?;
        let mut scan = || -> Result<Manifest, String> {
            let scanned = scanner.scan(&now, self.tree, &false.into());
            let is = scanned.map_err(|fault| fault.to_string())?;
            if let Some(before) = &all.before {
                before.is(self.tree, &is, scanner)?;
            }
            Ok(is)
        };
        let changes = spared_tree::compare(&scan()?, new).len();
        if changes == 0 {
            return Ok(0);
        }
        let other = 1 - self.present.unwrap_or(1);
        let place = root
            .moved(self.path, &side(self.path, other))
            .map_err(shown)?;
        step("the other side");
        remove(&place, self.path).map_err(shown)?;
        let put = Put {
            root: &place,
            store: all.store,
            tree: self.tree,
            before: None,
            own: all.own,
            movable: BTreeSet::new(),
            step,
            extent: Cell::default(),
        };
        // the tree's scanner knows the files of the present side
        let put = put.run(&mut Scanner::default(), new);
        put.map_err(|failed| failed.why)?;
        if self.present.is_some() {
            step("excluded");
            copy_excluded(&now, &place, self.tree, self.path, 0).map_err(shown)?;
            // the other side takes a while to fill
            scan()?;
        }
        self.turn(root, other, step, &all.extent).map_err(shown)?;
        Ok(changes)
    }

    fn turn(
        &self,
        root: &RootFolder,
        to: usize,
        step: Step<'_>,
        extent: &Cell<Extent>,
    ) -> io::Result<()> {
        let place = root.place(self.path)?;
        syncfs(&place.folder)?;
        let (new, target) = (format!(".{}.spared", place.name), side_name(place.name, to));
        let _ = unlinkat(&place.folder, &new, AtFlags::empty());
        step("link");
        symlinkat(target, &place.folder, &new)?;
        step("turn");
        renameat(&place.folder, &new, &place.folder, place.name)?;
        extent.set(Extent::Files);
        Ok(syncfs(&place.folder)?)
    }
}

/// Makes a tree that is switched by a link equal to `new`; returns the number of changes.
///
/// # Errors
/// A sentence; the link leads to the old side, or to the whole new tree.
pub fn put(put: &Put<'_>, scanner: &mut Scanner, new: &Manifest) -> Result<usize, NotPut> {
    let sides = Sides::of(put.root, put.tree);
    let done = sides.and_then(|it| it.put(put, scanner, new));
    done.map_err(|why| {
        let extent = put.extent.get();
        NotPut { why, extent }
    })
}

/// Name of a side, which no file of a tree can have.
fn side_name(name: &str, at: usize) -> String {
    let side = SIDES.get(at).copied().unwrap_or_default();
    format!(".{name}.{side}.spared")
}

fn side(path: &str, at: usize) -> String {
    let (folder, name) = path.rsplit_once('/').unwrap_or_default();
    format!("{folder}/{}", side_name(name, at))
}

/// Removes a folder with everything in it, without following links.
fn remove(root: &RootFolder, path: &str) -> io::Result<()> {
    let place = root.place(path)?;
    match place.stat()? {
        None => Ok(()),
        Some(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
            empty(&root.folder(path)?, 0)?;
            Ok(unlinkat(&place.folder, place.name, AtFlags::REMOVEDIR)?)
        }
        Some(_) => Ok(unlinkat(&place.folder, place.name, AtFlags::empty())?),
    }
}

fn empty(folder: &OwnedFd, depth: usize) -> io::Result<()> {
    if depth > DEPTH_MAX {
        return Err(io::Error::other(format!(
            "is deeper than {DEPTH_MAX} folders"
        )));
    }
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let stat = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        if is_folder {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            empty(&openat(folder, name, flags, Mode::empty())?, depth + 1)?;
        }
        let flags = if is_folder {
            AtFlags::REMOVEDIR
        } else {
            AtFlags::empty()
        };
        unlinkat(folder, name, flags)?;
    }
    Ok(())
}

/// Copies excluded files, which each node keeps, from one side to the other.
fn copy_excluded(
    from: &RootFolder,
    to: &RootFolder,
    tree: &Tree,
    path: &str,
    depth: usize,
) -> io::Result<()> {
    let (Ok(folder), true) = (from.folder(path), depth <= DEPTH_MAX) else {
        return Ok(());
    };
    for entry in Dir::read_from(&folder)? {
        let entry = entry?;
        let shown = entry.file_name().to_string_lossy();
        let below = format!("{path}/{shown}");
        if matches!(shown.as_ref(), "." | "..") {
            continue;
        }
        let Ok(name) = entry.file_name().to_str() else {
            return Err(io::Error::other(format!(
                "{below:?}: is excluded, but its name is not UTF-8: rename it, as it could not be copied"
            )));
        };
        let stat = statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if tree.excludes(&below) {
            copy(from, to, &below, kind)?;
        }
        // a folder that is new on the other side has no files of this node
        if kind == FileType::Directory && to.folder(&below).is_ok() {
            copy_excluded(from, to, tree, &below, depth + 1)?;
        }
    }
    Ok(())
}

fn copy(from: &RootFolder, to: &RootFolder, path: &str, kind: FileType) -> io::Result<()> {
    let fault = |error: io::Error| io::Error::other(format!("{path}: {error}"));
    let place = to.place(path).map_err(fault)?;
    let copied = || -> io::Result<()> {
        match kind {
            FileType::Directory => {
                let folder = from.folder(path)?;
                let stat = fstat(&folder)?;
                mkdirat(&place.folder, place.name, Mode::RWXU)?;
                let made = to.folder(path)?;
                copy_access(&folder, &made, &stat)
            }
            FileType::RegularFile => {
                let mut file = from.file(path)?;
                let stat = fstat(&file)?;
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
                let mode = Mode::RUSR | Mode::WUSR;
                let mut new: File = openat(&place.folder, place.name, flags, mode)?.into();
                io::copy(&mut file, &mut new)?;
                new.flush()?;
                copy_access(&file, &new, &stat)?;
                Ok(futimens(&new, &times(&stat))?)
            }
            FileType::Symlink => {
                let old = from.place(path)?;
                let stat = statat(&old.folder, old.name, AtFlags::SYMLINK_NOFOLLOW)?;
                let target = readlinkat(&old.folder, old.name, Vec::new())?;
                symlinkat(target.as_c_str(), &place.folder, place.name)?;
                let flags = AtFlags::SYMLINK_NOFOLLOW;
                let (uid, gid) = (Some(uid(&stat)), Some(gid(&stat)));
                Ok(chownat(&place.folder, place.name, uid, gid, flags)?)
            }
            _ => Err(io::Error::other(
                "is excluded, but is not a file, folder or link: only those can be copied",
            )),
        }
    };
    copied().map_err(fault)
}

/// Copies owner, attributes and mode to a new file or folder.
fn copy_access(from: impl AsFd, to: impl AsFd, stat: &Stat) -> io::Result<()> {
    fchown(to.as_fd(), Some(uid(stat)), Some(gid(stat)))?;
    let xattrs = xattrs(from.as_fd())?;
    // as for files of the tree: the mask of an access list is part of the mode
    set_mode(to.as_fd(), stat.st_mode & 0o7777, &xattrs)
}

fn times(stat: &Stat) -> Timestamps {
    Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    }
}

fn time<N: TryInto<u32>>(tv_sec: i64, nanoseconds: N) -> Timespec {
    let tv_nsec = nanoseconds.try_into().unwrap_or(0).into();
    Timespec { tv_sec, tv_nsec }
}

fn uid(stat: &rustix::fs::Stat) -> rustix::fs::Uid {
    rustix::fs::Uid::from_raw(stat.st_uid)
}

fn gid(stat: &rustix::fs::Stat) -> rustix::fs::Gid {
    rustix::fs::Gid::from_raw(stat.st_gid)
}
