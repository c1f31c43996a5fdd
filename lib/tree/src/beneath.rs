//! Opens files below a folder, never through a link: neither one that was there nor one that somebody puts
//! there meanwhile leads anywhere else.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, open, openat, statat, unlinkat};
use rustix::io::Errno;

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
    /// The folder cannot be opened, or is a link: others own some of the folders around.
    pub fn new(root: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let root = open(root, flags, Mode::empty())?;
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
        self.open(path, OFlags::RDONLY | OFlags::NONBLOCK)
            .map(File::from)
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

    /// Removes a file or a link right below the folder.
    ///
    /// # Errors
    /// The kernel's.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        match name.contains('/') {
            true => Err(io::ErrorKind::InvalidInput.into()),
            false => Ok(unlinkat(&self.root, name, AtFlags::empty())?),
        }
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

    // Name by name, as openat2 would do at once: a unit with RestrictSUIDSGID= has no openat2, whose flags no filter of
    // system calls can see.
    fn open(&self, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
        let path = self.real(path);
        let mut names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
        if names.iter().any(|name| matches!(*name, "." | "..")) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let last = names.pop().unwrap_or(".");
        let mut folder = self.root.try_clone()?;
        for name in names {
            folder = open_name(folder.as_fd(), name, OFlags::PATH | OFlags::DIRECTORY)?;
        }
        Ok(open_name(folder.as_fd(), last, flags)?)
    }
}

/// Opens what has that name in a folder; a link is ELOOP.
fn open_name(folder: BorrowedFd<'_>, name: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = openat(folder, name, flags, Mode::empty());
    opened.map_err(|errno| match errno {
        // of a link, where a folder was asked for
        Errno::NOTDIR if is_link(folder, name) => Errno::LOOP,
        errno => errno,
    })
}

fn is_link(folder: BorrowedFd<'_>, name: &str) -> bool {
    let stat = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW);
    stat.is_ok_and(|it| FileType::from_raw_mode(it.st_mode) == FileType::Symlink)
}

impl Place<'_> {
    /// What is there, a link itself; None: nothing.
    ///
    /// # Errors
    /// The kernel's.
    pub fn stat(&self) -> io::Result<Option<Stat>> {
        match statat(&self.folder, self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }
}
