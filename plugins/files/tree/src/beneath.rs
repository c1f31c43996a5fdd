//! Opens files below a folder, never through a link: neither one that was there nor one that somebody puts
//! there meanwhile leads anywhere else.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, Stat, openat2};

/// A folder below which all paths are; `/` but for tests.
#[derive(Debug)]
pub struct Beneath {
    root: OwnedFd,
    /// A path, and where it really is.
    moved: Option<(String, String)>,
}

/// A name in an open folder.
#[derive(Debug)]
pub struct Place<'p> {
    pub folder: OwnedFd,
    pub name: &'p str,
}

impl Beneath {
    /// # Errors
    /// The folder cannot be opened.
    pub fn new(root: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = openat2(CWD, root, flags, Mode::empty(), ResolveFlags::empty())?;
        let moved = None;
        Ok(Self { root, moved })
    }

    /// # Errors
    /// The kernel's.
    pub fn try_clone(&self) -> io::Result<Self> {
        let (root, moved) = (self.root.try_clone()?, self.moved.clone());
        Ok(Self { root, moved })
    }

    /// The same, with one path and what is below it at another place.
    ///
    /// # Errors
    /// The kernel's.
    pub fn moved(&self, path: &str, place: &str) -> io::Result<Self> {
        let moved = Some((path.to_owned(), place.to_owned()));
        let root = self.root.try_clone()?;
        Ok(Self { root, moved })
    }

    /// A folder, for reading.
    ///
    /// # Errors
    /// The kernel's; a link anywhere on the way is ELOOP.
    pub fn folder(&self, path: &str) -> io::Result<OwnedFd> {
        self.open(path, OFlags::RDONLY | OFlags::DIRECTORY)
    }

    /// A file, for reading. A pipe or a device does not block; [`Stat`] tells what it is.
    ///
    /// # Errors
    /// The kernel's; a link anywhere on the way is ELOOP.
    pub fn file(&self, path: &str) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        self.open(path, flags).map(File::from)
    }

    /// The folder that a path is in, and its name there.
    ///
    /// # Errors
    /// The kernel's; a link anywhere on the way is ELOOP.
    pub fn place<'p>(&'p self, path: &'p str) -> io::Result<Place<'p>> {
        let moved = self.moved.as_ref().filter(|(from, _)| from == path);
        let path = moved.map_or(path, |(_, to)| to);
        let (folder, name) = path
            .rsplit_once('/')
            .filter(|(_, name)| !matches!(*name, "" | "." | ".."))
            .ok_or(io::ErrorKind::InvalidInput)?;
        let folder = self.folder(folder)?;
        Ok(Place { folder, name })
    }

    /// What is there; None: nothing.
    ///
    /// # Errors
    /// The kernel's, but for a path that does not exist.
    pub fn stat(&self, path: &str) -> io::Result<Option<Stat>> {
        let place = match self.place(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            place => place?,
        };
        place.stat()
    }

    fn real<'p>(&self, path: &'p str) -> Cow<'p, str> {
        let Some((from, to)) = &self.moved else {
            return path.into();
        };
        match path.strip_prefix(from.as_str()) {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("{to}{rest}").into(),
            _ => path.into(),
        }
    }

    fn open(&self, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
        const WITHIN: ResolveFlags = ResolveFlags::BENEATH
            .union(ResolveFlags::NO_SYMLINKS)
            .union(ResolveFlags::NO_MAGICLINKS);
        let path = self.real(path);
        let below = match path.trim_start_matches('/') {
            "" => ".",
            below => below,
        };
        let flags = flags | OFlags::CLOEXEC;
        Ok(openat2(&self.root, below, flags, Mode::empty(), WITHIN)?)
    }
}

impl Place<'_> {
    /// What is there, a link itself; None: nothing.
    ///
    /// # Errors
    /// The kernel's.
    pub fn stat(&self) -> io::Result<Option<Stat>> {
        let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
        match rustix::fs::statat(self.folder.as_fd(), self.name, flags) {
            Ok(stat) => Ok(Some(stat)),
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }
}
