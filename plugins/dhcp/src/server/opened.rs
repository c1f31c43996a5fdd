//! A lease file that is open for reading.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::End;
use super::occupied::has_writer;

/// Limit of a file in bytes; no server with as many leases as this plugin supports writes more.
pub const SIZE_MAX: u64 = 256 << 20;
const PIECE: usize = 256 << 10;
/// Number of bytes before the reading position that are checked again, to detect that it is still
/// the file that was read.
const MARK: usize = 64;

/// Identity of the file, independent of its name.
pub type Id = (u64, u64);

/// State of a lease file, which every write changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub inode: u64,
    pub size: u64,
    /// Time of the last write, since 1970.
    pub written_ns: i64,
}

impl Stamp {
    /// Returns the stamp of the file that has this name now; None if it cannot be read.
    pub fn of(path: &Path) -> Option<Self> {
        let is = fs::symlink_metadata(path).ok()?;
        let written_ns = is.mtime().saturating_mul(1_000_000_000);
        Some(Self {
            inode: is.ino(),
            size: is.size(),
            written_ns: written_ns.saturating_add(is.mtime_nsec()),
        })
    }
}

#[derive(Debug)]
pub struct Opened {
    pub file: Arc<File>,
    pub id: Id,
    /// Offset up to which everything was read.
    pub at: u64,
    mark: Vec<u8>,
}

impl Opened {
    pub fn open(path: &Path) -> io::Result<Self> {
        // without waiting for the writer of a pipe
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = rustix::fs::open(path, flags, Mode::empty());
        let file = File::from(opened.map_err(|error| match error {
            // the kernel's text would be "too many levels"
            Errno::LOOP => io::Error::other("it is a symbolic link, which is not followed"),
            error => error.into(),
        })?);
        let is = file.metadata()?;
        if !is.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        Ok(Self {
            file: Arc::new(file),
            id: id(&is),
            at: 0,
            mark: Vec::new(),
        })
    }

    /// Reads appended data in pieces, up to the end of the file at that time.
    pub fn read(&mut self, end: &End, mut each: impl FnMut(&[u8])) -> io::Result<()> {
        let mut piece = Vec::new();
        loop {
            if end.is_said() {
                return Err(io::Error::other("it ends"));
            }
            let length = self.file.metadata()?.len();
            if length > SIZE_MAX {
                return Err(too_large());
            }
            let left = length.saturating_sub(self.at);
            // one byte more detects the end
            let size =
                usize::try_from(left).map_or(PIECE, |left| PIECE.min(left.saturating_add(1)));
            piece.resize(size, 0);
            let count = match self.file.read_at(&mut piece, self.at) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let read = piece.get(..count).unwrap_or_default();
            self.at = self.at.saturating_add(read.len() as u64);
            self.remember(read);
            each(read);
        }
    }

    /// Returns true if the data that was read is still there: the file was not truncated or
    /// rewritten.
    pub fn is_intact(&self) -> io::Result<bool> {
        let mut mark = vec![0; self.mark.len()];
        let from = self.at.saturating_sub(mark.len() as u64);
        match self.file.read_exact_at(&mut mark, from) {
            Ok(()) => Ok(mark == self.mark),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Counts `bytes`, with which the file begins, as read.
    pub fn skip(&mut self, bytes: &[u8]) {
        self.at = bytes.len() as u64;
        self.remember(bytes);
    }

    /// Returns true if a process has it open for writing; false if the file system cannot show
    /// that.
    pub fn is_written(&self) -> bool {
        has_writer(&self.file).unwrap_or(false)
    }

    pub fn rewind(&mut self) {
        self.at = 0;
        self.mark.clear();
    }

    fn remember(&mut self, read: &[u8]) {
        let tail = read.get(read.len().saturating_sub(MARK)..).unwrap_or(read);
        self.mark.extend_from_slice(tail);
        let surplus = self.mark.len().saturating_sub(MARK);
        self.mark.drain(..surplus);
    }
}

/// Returns the identity of the file that has this name now.
pub fn id_of(path: &Path) -> io::Result<Option<Id>> {
    match fs::symlink_metadata(path) {
        Ok(is) => Ok(Some(id(&is))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

pub fn too_large() -> io::Error {
    io::Error::other(format!("it is larger than {} MB", SIZE_MAX >> 20))
}

fn id(is: &Metadata) -> Id {
    (is.dev(), is.ino())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::scratch::Folder;
    use std::io::Write;

    fn rest(opened: &mut Opened) -> Vec<u8> {
        let mut found = Vec::new();
        let end = End::new().unwrap();
        opened
            .read(&end, |piece| found.extend_from_slice(piece))
            .unwrap();
        found
    }

    #[test]
    fn reading_goes_on_where_it_ended() {
        let folder = Folder::new("opened");
        let path = folder.path("leases");
        let long = vec![b'x'; PIECE * 2 + 17];
        fs::write(&path, &long).unwrap();
        let mut opened = Opened::open(&path).unwrap();
        assert_eq!(rest(&mut opened), long);
        assert_eq!(rest(&mut opened), b"");
        let mut writer = File::options().append(true).open(&path).unwrap();
        writer.write_all(b"more").unwrap();
        assert!(opened.is_intact().unwrap());
        assert_eq!(rest(&mut opened), b"more");
        assert!(opened.is_intact().unwrap());
    }

    #[test]
    fn a_file_that_was_cut_off_or_overwritten_is_not_intact() {
        let folder = Folder::new("intact");
        let path = folder.path("leases");
        fs::write(&path, b"one two").unwrap();
        let mut opened = Opened::open(&path).unwrap();
        rest(&mut opened);
        fs::write(&path, b"one").unwrap();
        assert!(!opened.is_intact().unwrap());
        fs::write(&path, b"one two three").unwrap();
        assert!(opened.is_intact().unwrap());
        fs::write(&path, b"four five six").unwrap();
        assert!(!opened.is_intact().unwrap());
    }

    #[test]
    fn what_is_no_file_is_not_opened() {
        let folder = Folder::new("kinds");
        assert!(Opened::open(&folder.path("")).is_err());
        std::os::unix::fs::symlink("/etc/passwd", folder.path("link")).unwrap();
        let refused = Opened::open(&folder.path("link")).unwrap_err();
        assert!(refused.to_string().contains("symbolic link,"), "{refused}");
        rustix::fs::mkfifoat(rustix::fs::CWD, folder.path("pipe"), rustix::fs::Mode::RWXU).unwrap();
        assert!(Opened::open(&folder.path("pipe")).is_err());
    }

    #[test]
    fn a_file_beyond_all_measure_is_refused() {
        let folder = Folder::new("large");
        let path = folder.path("leases");
        File::create(&path)
            .unwrap()
            .set_len(SIZE_MAX + 2 * PIECE as u64)
            .unwrap();
        let end = End::new().unwrap();
        let refused = Opened::open(&path).unwrap().read(&end, |_| {}).unwrap_err();
        assert!(refused.to_string().contains("256 MB"));
    }
}
