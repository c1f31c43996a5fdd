//! Reads the manifest of a tree from the disk.
//!
//! A file is opened again only if its size, its times or its inode changed: a `stat` of each name shows that a tree is
//! unchanged. A file that changes while it is read is read again. A file that keeps changing is a fault; half of a
//! content is never used.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, Dir, FileType, Stat, fgetxattr, flistxattr, fstat, readlinkat, statat};

use crate::acl;
use crate::config::Tree;
use crate::own::{self, Line, MARKED_MAX, Own, Split};
use crate::validate::{BYTES_MAX, FILES_MAX, XATTRS_MAX, is_replicated_xattr, is_temporary_name};
use crate::{Access, Accounts, Entry, Hash, Hasher, Kind, Manifest, RootFolder};

const TRIES: usize = 3;
const DEPTH_MAX: usize = 64;
const XATTR_MAX: usize = 64 << 10;
/// Resolution of file times on file systems with nanoseconds, and on others.
const TICK: Duration = Duration::from_millis(20);
const TICK_COARSE: Duration = Duration::from_secs(2);

/// Reason why a tree cannot be read.
#[derive(Debug)]
pub struct Fault {
    pub path: String,
    pub why: String,
}

/// Scanner that reads trees, and remembers the files that it has read.
#[derive(Debug, Default)]
pub struct Scanner {
    accounts: Accounts,
    known: HashMap<String, Known>,
    written: HashMap<String, Written>,
    /// Folders that contain an excluded file, with its name, as of the last scan.
    holding: BTreeMap<String, String>,
}

/// File whose content was hashed when it was written: device, inode, size and time of the content.
#[derive(Debug)]
struct Written {
    print: (u64, u64, u64, (i64, u64)),
    hash: Hash,
}

/// File that was read.
#[derive(Debug)]
struct Known {
    print: Print,
    entry: Entry,
    own: Vec<Line>,
}

/// Values that change with the content of a file: device, inode, size, times of content and of inode.
type Print = (u64, u64, u64, (i64, u64), (i64, u64));

struct Walk<'w> {
    scanner: &'w mut Scanner,
    root: &'w RootFolder,
    tree: &'w Tree,
    stop: &'w AtomicBool,
    entries: Vec<Entry>,
    files: usize,
    bytes: u64,
}

impl Scanner {
    /// # Errors
    /// The first file that cannot be read, or `stop` was set.
    pub fn scan(
        &mut self,
        root: &RootFolder,
        tree: &Tree,
        stop: &AtomicBool,
    ) -> Result<Manifest, Fault> {
        self.accounts.forget();
        self.holding.retain(|path, _| tree.top_of(path).is_none());
        let mut walk = Walk {
            scanner: self,
            root,
            tree,
            stop,
            entries: Vec::new(),
            files: 0,
            bytes: 0,
        };
        let walked = tree.paths.iter().try_for_each(|top| walk.top(top));
        let (mut entries, files) = (walk.entries, walk.files);
        // inode numbers are used again
        self.written.clear();
        walked?;
        entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        let manifest = Manifest { entries };
        // more files are known than exist: some were removed
        if self.known.len() > files {
            let is_of_it = |path: &str| tree.top_of(path).is_some();
            self.known
                .retain(|path, _| !is_of_it(path) || manifest.find(path).is_some());
        }
        Ok(manifest)
    }

    /// Notes the hash of a file that was just written for this path. Only the next scan uses it, instead of reading the
    /// file, if nobody has changed the file since.
    ///
    /// # Errors
    /// The kernel's error.
    pub fn wrote(&mut self, path: &str, file: &File, hash: Hash) -> io::Result<()> {
        let (device, inode, size, modified, _) = print(&fstat(file)?);
        let print = (device, inode, size, modified);
        self.written
            .insert(path.to_owned(), Written { print, hash });
        Ok(())
    }

    /// Lines of this node in the files of a tree, as of the last scan.
    pub fn own(&self, tree: &Tree) -> Own {
        let known = self.known.iter().filter(|(_, it)| !it.own.is_empty());
        let of_tree = known.filter(|(path, _)| tree.top_of(path).is_some());
        let lines = of_tree.map(|(path, it)| (path.clone(), it.own.clone()));
        lines.collect()
    }

    /// Folders of a tree that cannot be removed because they contain an excluded file, and the file's name.
    pub fn holding(&self, tree: &Tree) -> Vec<(String, String)> {
        let of_tree = self
            .holding
            .iter()
            .filter(|(path, _)| tree.top_of(path).is_some());
        of_tree
            .map(|(path, name)| (path.clone(), name.clone()))
            .collect()
    }

    /// True if a file had lines of this node at the last scan.
    pub fn has_own(&self, path: &str) -> bool {
        self.known.get(path).is_some_and(|it| !it.own.is_empty())
    }
}

impl Walk<'_> {
    fn top(&mut self, path: &str) -> Result<(), Fault> {
        let kernel = |error: io::Error| Fault {
            path: path.to_owned(),
            why: error_text(&error),
        };
        match self.root.stat(path).map_err(kernel)? {
            Some(stat) => self.visit(path, &stat, 0),
            None => Ok(()),
        }
    }

    fn visit(&mut self, path: &str, stat: &Stat, depth: usize) -> Result<(), Fault> {
        let fault = |why: String| Fault {
            path: path.to_owned(),
            why,
        };
        let kernel = |error: io::Error| fault(error_text(&error));
        if self.stop.load(Ordering::Relaxed) {
            return Err(fault("stopped".to_owned()));
        }
        if self.entries.len() >= FILES_MAX {
            return Err(fault(format!("is one of more than {FILES_MAX} files")));
        }
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => self.folder(path, depth),
            FileType::RegularFile => match self.as_known(path, stat).map_err(kernel)? {
                Some(entry) => self.take(entry),
                None => self.file(path),
            },
            FileType::Symlink => self.link(path, stat).map_err(kernel),
            _ => Err(fault(
                "is not a file, folder or link: exclude it from the tree".to_owned(),
            )),
        }
    }

    fn folder(&mut self, path: &str, depth: usize) -> Result<(), Fault> {
        let fault = |why: String| Fault {
            path: path.to_owned(),
            why,
        };
        let kernel = |error: io::Error| fault(error_text(&error));
        if depth > DEPTH_MAX {
            return Err(fault(format!("is deeper than {DEPTH_MAX} folders")));
        }
        let opened = self.root.folder(path).and_then(|folder| {
            let names = Dir::read_from(&folder)?;
            Ok((folder, names))
        });
        let Some((folder, names)) = if_there(opened).map_err(kernel)? else {
            return Ok(());
        };
        let stat = fstat(&folder).map_err(|it| kernel(it.into()))?;
        let access = self.access(folder.as_fd(), &stat).map_err(kernel)?;
        self.entries.push(Entry {
            path: path.to_owned(),
            kind: Kind::Folder,
            access,
            modified: (0, 0),
        });
        for name in names {
            let name = match name {
                // the folder was removed since it was opened: the next scan does not find it
                Err(rustix::io::Errno::NOENT) => return Ok(()),
                name => name.map_err(|it| kernel(it.into()))?,
            };
            // a pattern can match the other characters of a name that is not UTF-8
            let shown = name.file_name().to_string_lossy();
            let below = format!("{path}/{shown}");
            if matches!(shown.as_ref(), "." | "..") || is_temporary_name(&shown) {
                continue;
            }
            if self.tree.excludes(&below) {
                let holding = &mut self.scanner.holding;
                holding
                    .entry(path.to_owned())
                    .or_insert_with(|| shown.into_owned());
                continue;
            }
            let Ok(name) = name.file_name().to_str() else {
                let why = format!(
                    "has a name in it that is not UTF-8, {shown:?}: rename it, or exclude it with ? or * for each \u{fffd}"
                );
                return Err(fault(why));
            };
            match statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => self.visit(&below, &stat, depth + 1)?,
                Err(rustix::io::Errno::NOENT) => {}
                Err(errno) => return Err(kernel(errno.into())),
            }
        }
        Ok(())
    }

    /// Returns the remembered entry of a file that has not changed since it was read.
    fn as_known(&mut self, path: &str, stat: &Stat) -> io::Result<Option<Entry>> {
        let scanner = &mut *self.scanner;
        let known = scanner.known.get(path);
        let Some(known) = known.filter(|it| it.print == print(stat)) else {
            return Ok(None);
        };
        let mut entry = known.entry.clone();
        // the account may have another name by now
        entry.access.owner = scanner.accounts.user(stat.st_uid)?;
        entry.access.group = scanner.accounts.group(stat.st_gid)?;
        if entry
            .access
            .xattrs
            .iter()
            .any(|(name, _)| acl::is_list(name))
        {
            let Some(file) = if_there(self.root.file(path))? else {
                return Ok(None);
            };
            entry.access.xattrs = acl::by_name(xattrs(file.as_fd())?, &mut scanner.accounts)?;
        }
        Ok(Some(entry))
    }

    fn file(&mut self, path: &str) -> Result<(), Fault> {
        let kernel = |error: io::Error| Fault {
            path: path.to_owned(),
            why: error_text(&error),
        };
        for _ in 0..TRIES {
            let Some(file) = if_there(self.root.file(path)).map_err(kernel)? else {
                return Ok(());
            };
            if let Some(entry) = self.read(path, &file).map_err(kernel)? {
                return self.take(entry);
            }
        }
        Err(kernel(io::Error::other("changes while it is read")))
    }

    fn take(&mut self, entry: Entry) -> Result<(), Fault> {
        let size = match entry.kind {
            Kind::File { size, .. } => size,
            _ => 0,
        };
        self.bytes = self.bytes.saturating_add(size);
        if self.bytes > BYTES_MAX {
            return Err(Fault {
                path: entry.path,
                why: format!("makes the tree larger than {BYTES_MAX} bytes"),
            });
        }
        self.files = self.files.saturating_add(1);
        self.entries.push(entry);
        Ok(())
    }

    /// Reads a file; None if it changed meanwhile.
    fn read(&mut self, path: &str, file: &File) -> io::Result<Option<Entry>> {
        let stat = fstat(file)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Ok(None);
        }
        let print = print(&stat);
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let changed = (stat.st_ctime, nanoseconds(stat.st_ctime_nsec));
        let has_rested = now.is_ok_and(|now| has_rested(changed, now));
        let access = self.access(file.as_fd(), &stat)?;
        let (device, inode, size, modified, _) = print;
        let written = self.scanner.written.remove(path);
        let written = written.filter(|it| it.print == (device, inode, size, modified));
        let (size, hash, own) = match written {
            Some(it) => (size, it.hash, Vec::new()),
            None => content(file, size, self.stop)?,
        };
        if self::print(&fstat(file)?) != print {
            return Ok(None);
        }
        let entry = Entry {
            path: path.to_owned(),
            kind: Kind::File { size, hash },
            access,
            modified: (stat.st_mtime, nanoseconds(stat.st_mtime_nsec)),
        };
        let known = Known {
            // within the resolution of its times the file can change again without changing them
            print: if has_rested { print } else { Print::default() },
            entry: entry.clone(),
            own,
        };
        self.scanner.known.insert(path.to_owned(), known);
        Ok(Some(entry))
    }

    fn link(&mut self, path: &str, stat: &Stat) -> io::Result<()> {
        let target = self.root.place(path).and_then(|place| {
            let target = readlinkat(&place.folder, place.name, Vec::new());
            Ok(target?)
        });
        let Some(target) = if_there(target)? else {
            return Ok(());
        };
        let not_utf8 = |_| io::Error::other("is a link to a name that is not UTF-8");
        let target = target.into_string().map_err(not_utf8)?;
        // a link has neither mode nor attributes
        let access = Access {
            mode: 0o777,
            owner: self.scanner.accounts.user(stat.st_uid)?,
            group: self.scanner.accounts.group(stat.st_gid)?,
            xattrs: Vec::new(),
        };
        self.entries.push(Entry {
            path: path.to_owned(),
            kind: Kind::Link { target },
            access,
            modified: (0, 0),
        });
        Ok(())
    }

    fn access(&mut self, fd: BorrowedFd<'_>, stat: &Stat) -> io::Result<Access> {
        Ok(Access {
            mode: stat.st_mode & 0o7777,
            owner: self.scanner.accounts.user(stat.st_uid)?,
            group: self.scanner.accounts.group(stat.st_gid)?,
            xattrs: acl::by_name(xattrs(fd)?, &mut self.scanner.accounts)?,
        })
    }
}

/// Result of an attempt to open a file, folder or link; None if it was removed since its name was read.
fn if_there<T>(opened: io::Result<T>) -> io::Result<Option<T>> {
    match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => opened.map(Some),
    }
}

fn print(stat: &Stat) -> Print {
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    let modified = (stat.st_mtime, u64::from(nanoseconds(stat.st_mtime_nsec)));
    let changed = (stat.st_ctime, u64::from(nanoseconds(stat.st_ctime_nsec)));
    (stat.st_dev, stat.st_ino, size, modified, changed)
}

/// True if a change from now on would change the times of a file.
fn has_rested(changed: (i64, u32), now: Duration) -> bool {
    let (seconds, nanoseconds) = changed;
    let tick = match nanoseconds {
        0 => TICK_COARSE,
        _ => TICK,
    };
    let changed = Duration::new(u64::try_from(seconds).unwrap_or(0), nanoseconds);
    changed.saturating_add(tick) < now
}

fn nanoseconds<N: TryInto<u32>>(number: N) -> u32 {
    number.try_into().unwrap_or(0)
}

/// Size and hash of the part that both nodes have of a file, and the lines of this node.
fn content(file: &File, size: u64, stop: &AtomicBool) -> io::Result<(u64, Hash, Vec<Line>)> {
    if size > MARKED_MAX {
        return Ok((size, hash_of(file, stop)?, Vec::new()));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0).saturating_add(1));
    file.take(MARKED_MAX + 1).read_to_end(&mut bytes)?;
    let (bytes, own) = match own::split(&bytes).map_err(io::Error::other)? {
        Some(Split { both, own }) => (both, own),
        None => (bytes, Vec::new()),
    };
    Ok((bytes.len() as u64, Hash::of(&bytes), own))
}

fn hash_of(mut file: &File, stop: &AtomicBool) -> io::Result<Hash> {
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; 128 << 10];
    loop {
        let length = file.read(&mut buffer)?;
        if length == 0 {
            return Ok(hasher.end());
        }
        hasher.add(buffer.get(..length).unwrap_or_default());
        if stop.load(Ordering::Relaxed) {
            return Err(io::Error::other("stopped"));
        }
    }
}

/// Attributes of a file or folder that are part of a tree.
///
/// # Errors
/// The kernel's error, or too many attributes.
pub fn xattrs(fd: BorrowedFd<'_>) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut names = Vec::with_capacity(XATTR_MAX);
    match flistxattr(fd, rustix::buffer::spare_capacity(&mut names)) {
        Ok(_) => {}
        Err(rustix::io::Errno::OPNOTSUPP) => return Ok(Vec::new()),
        Err(errno) => return Err(errno.into()),
    }
    let mut found = Vec::new();
    for name in names.split(|byte| *byte == 0) {
        let Some(name) = std::str::from_utf8(name)
            .ok()
            .filter(|it| is_replicated_xattr(it))
        else {
            continue;
        };
        let mut value = Vec::with_capacity(XATTR_MAX);
        match fgetxattr(fd, name, rustix::buffer::spare_capacity(&mut value)) {
            Ok(_) => found.push((name.to_owned(), value)),
            Err(rustix::io::Errno::NODATA) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    if found.len() > XATTRS_MAX {
        let count = found.len();
        return Err(io::Error::other(format!(
            "has {count} attributes, allowed {XATTRS_MAX}"
        )));
    }
    found.sort();
    Ok(found)
}

fn error_text(error: &io::Error) -> String {
    const ELOOP: i32 = 40;
    match error.raw_os_error() {
        Some(ELOOP) => "is, or is below, a symbolic link: name the real path".to_owned(),
        _ => error.to_string(),
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.why)
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_changed_within_the_tick_of_its_clock_is_read_again() {
        let now = Duration::new(1_000, 500_000_000);
        for (changed, expected) in [
            ((1_000, 499_000_000), false),
            ((1_000, 400_000_000), true),
            // whole seconds, as on FAT
            ((999, 0), false),
            ((998, 0), true),
            // a clock that was set back
            ((2_000, 1), false),
        ] {
            assert_eq!(has_rested(changed, now), expected, "{changed:?}");
        }
    }
}
