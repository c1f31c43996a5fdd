//! Lease file to which each commit is appended: Kea's and dhcpd's.
//!
//! Kea's cleaning moves the file to `.1` and continues in a new one, while a separate program creates `.2` from `.1`
//! and the earlier `.2`; dhcpd writes all leases into a new file and renames that.
//!
//! The file that the server has open is read, whatever its name leads to. A truncated file is read further, and deletes
//! no leases.

use std::fs::File;
use std::io;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::SECOND;
use crate::codec::{Format, Found, Reader};
use crate::lease::{Change, Lease, Set, signed};

use super::clock::clock;
use super::opened::{Id, Opened, id_of};
use super::tail::{FileChanges, LEASES_MAX, Look, apply_bounded, kea_companion};
use super::{End, Unread};

/// Longest time without a file: Kea needs less between moving it away and creating a new one.
const ABSENT_MAX: Duration = Duration::from_millis(500);
const TRIES: usize = 5;
/// Step by which the clock of a running node may be set back.
const AHEAD_NS: i64 = signed(60 * SECOND);

#[derive(Debug)]
pub struct Journal {
    format: Format,
    path: PathBuf,
    end: End,
    current: Option<(Opened, Reader)>,
    /// The server has it open, and its name leads to another file.
    has_unnamed_file: bool,
    unread: Unread,
    absent_since: Option<Instant>,
}

impl Journal {
    pub fn new(format: Format, path: &Path, end: End) -> Self {
        Self {
            format,
            path: path.to_owned(),
            end,
            current: None,
            has_unnamed_file: false,
            unread: Unread::default(),
            absent_since: None,
        }
    }

    pub fn look(&mut self, mut look: Look) -> Result<FileChanges, String> {
        // the file with the name is then no continuation
        look.replaced |= mem::take(&mut self.has_unnamed_file);
        let looked = match self.current.take() {
            None => self.whole(),
            Some((opened, reader)) => self.more(look, opened, reader),
        };
        let mut news = looked.map_err(|error| format!("{}: {error}", self.path.display()))?;
        news.unread = Some(self.unread.clone());
        Ok(news)
    }

    pub fn wrote(&mut self, bytes: &[u8]) -> Result<(), String> {
        let opened = Opened::open(&self.path);
        let mut opened = opened.map_err(|error| format!("{}: {error}", self.path.display()))?;
        let mut reader = Reader::new(self.format);
        reader.feed(bytes, clock());
        opened.skip(bytes);
        self.current = Some((opened, reader));
        self.has_unnamed_file = false;
        self.unread = Unread::default();
        self.absent_since = None;
        Ok(())
    }

    pub fn file(&self) -> Option<&Arc<File>> {
        self.current.as_ref().map(|(opened, _)| &opened.file)
    }

    pub fn has_unnamed_file(&self) -> bool {
        self.has_unnamed_file
    }

    /// Reads data appended since the last look.
    fn more(
        &mut self,
        look: Look,
        mut opened: Opened,
        mut reader: Reader,
    ) -> io::Result<FileChanges> {
        let id = id_of(&self.path)?;
        let has_name = id == Some(opened.id);
        let is_intact = opened.is_intact()?;
        self.has_unnamed_file = !has_name && self.is_served(&opened);
        if !is_intact && (self.has_unnamed_file || has_name && opened.is_written()) {
            return self.cut(opened, reader);
        }
        if !is_intact {
            return self.whole();
        }
        let mut news = FileChanges::default();
        self.append(&mut opened, &mut reader, &mut news)?;
        match id {
            _ if has_name || self.has_unnamed_file => {
                self.absent_since = None;
                self.current = Some((opened, reader));
                Ok(news)
            }
            Some(_) if look.replaced || !self.is_kea() => self.whole(),
            None if look.replaced || !self.is_kea() => Err(io::ErrorKind::NotFound.into()),
            _ => self.cleaned(opened, reader, news),
        }
    }

    /// Returns true if its server writes to it, and not Kea's cleaning, which opens what it reads for writing.
    fn is_served(&self, opened: &Opened) -> bool {
        let is_cleaned = || {
            let named = |suffix| id_of(&kea_companion(&self.path, suffix)).ok().flatten();
            named(".pid").is_some() && [".1", ".2"].map(named).contains(&Some(opened.id))
        };
        opened.is_written() && !(self.is_kea() && is_cleaned())
    }

    /// Handles a file that was truncated or overwritten while its server continues in it. The server knows its leases,
    /// so missing ones were not released.
    fn cut(&mut self, mut opened: Opened, mut reader: Reader) -> io::Result<FileChanges> {
        opened.rewind();
        reader.handle_cut();
        let mut all = All::default();
        opened.read(&self.end, |piece| {
            all.take(&self.path, reader.feed(piece, clock()))
        })?;
        all.note(|| "its file was truncated while its server runs".to_owned());
        self.current = Some((opened, reader));
        Ok(self.told(all))
    }

    /// Handles Kea's cleaning: Kea moved the file away, and has created a new one or is about to.
    fn cleaned(
        &mut self,
        mut opened: Opened,
        mut reader: Reader,
        mut news: FileChanges,
    ) -> io::Result<FileChanges> {
        // to the end, as it was the server's file until it was moved
        self.append(&mut opened, &mut reader, &mut news)?;
        match Opened::open(&self.path) {
            Ok(new) => {
                (opened, reader) = (new, Reader::new(self.format));
                self.append(&mut opened, &mut reader, &mut news)?;
                self.absent_since = None;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let since = *self.absent_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= ABSENT_MAX {
                    self.absent_since = None;
                    return Err(error);
                }
                news.again = Some(ABSENT_MAX);
            }
            Err(error) => return Err(error),
        }
        self.current = Some((opened, reader));
        Ok(news)
    }

    fn append(
        &mut self,
        opened: &mut Opened,
        reader: &mut Reader,
        news: &mut FileChanges,
    ) -> io::Result<()> {
        let (path, unread) = (&self.path, &mut self.unread);
        opened.read(&self.end, |piece| {
            let found = reader.feed(piece, clock());
            unread.note(path, &found);
            news.changes.extend(found.changes);
            news.identity = found.identity.or(news.identity.take());
        })
    }

    fn whole(&mut self) -> io::Result<FileChanges> {
        for _ in 0..TRIES {
            let before = self.ids()?;
            match self.read_all() {
                // Kea's cleaning intervened
                Err(error) if self.is_kea() && error.kind() == io::ErrorKind::NotFound => {
                    if id_of(&self.path)?.is_none() {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
                Ok((all, current)) => {
                    if self.ids()? == before {
                        self.absent_since = None;
                        self.current = Some(current);
                        return Ok(self.told(all));
                    }
                }
            }
        }
        Err(io::Error::other("files change faster than they are read"))
    }

    fn told(&mut self, all: All) -> FileChanges {
        self.unread = all.unread;
        FileChanges {
            whole: Some((all.set, all.broken)),
            ..FileChanges::default()
        }
    }

    fn read_all(&self) -> io::Result<(All, (Opened, Reader))> {
        let mut all = All::default();
        for path in self.older()? {
            let (_, reader) = self.read_file(&path, &mut all)?;
            all.note_torn(&path, &reader);
        }
        let (opened, reader) = self.read_file(&self.path, &mut all)?;
        // a server that writes is in the middle of an entry; the rest follows
        if reader.unread() > 0 && !opened.is_written() {
            all.note_torn(&self.path, &reader);
        }
        Ok((all, (opened, reader)))
    }

    fn read_file(&self, path: &Path, all: &mut All) -> io::Result<(Opened, Reader)> {
        let mut opened = Opened::open(path)?;
        let mut reader = Reader::new(self.format);
        opened.read(&self.end, |piece| {
            all.take(path, reader.feed(piece, clock()))
        })?;
        Ok((opened, reader))
    }

    /// Returns Kea's files from before its last cleaning, in the order of its commits.
    fn older(&self) -> io::Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        if self.is_kea() {
            // the result of the cleaning, which has all of the other two
            let completed = kea_companion(&self.path, ".completed");
            if id_of(&completed)?.is_some() {
                return Ok(vec![completed]);
            }
            for suffix in [".2", ".1"] {
                let path = kea_companion(&self.path, suffix);
                if id_of(&path)?.is_some() {
                    paths.push(path);
                }
            }
        }
        Ok(paths)
    }

    fn ids(&self) -> io::Result<[Option<Id>; 4]> {
        let mut ids = [id_of(&self.path)?, None, None, None];
        if self.is_kea() {
            for (id, suffix) in ids.iter_mut().skip(1).zip([".completed", ".2", ".1"]) {
                *id = id_of(&kea_companion(&self.path, suffix))?;
            }
        }
        Ok(ids)
    }

    fn is_kea(&self) -> bool {
        matches!(self.format, Format::Kea4 | Format::Kea6)
    }
}

/// Limits the commit time. No server grants a lease in the future: such a commit was made with another clock than the
/// one with which this node has just booted. Its time is unknown, but the lease does not last longer than its duration,
/// and any later grant of the address is newer.
fn bounded(mut lease: Lease, now_ns: i64) -> Lease {
    let valid_ns = signed(u64::from(lease.valid_s) * SECOND);
    if lease.committed_ns > now_ns.saturating_add(AHEAD_NS) {
        lease.committed_ns = now_ns.saturating_sub(valid_ns);
        let ends_ns = now_ns.saturating_add(valid_ns);
        lease.expires_ns = lease.expires_ns.map(|known_ns| known_ns.min(ends_ns));
    }
    lease
}

#[derive(Default)]
struct All {
    set: Set,
    broken: Option<String>,
    unread: Unread,
}

impl All {
    fn take(&mut self, path: &Path, found: Found) {
        self.unread.note(path, &found);
        if let Some(why) = found.why {
            self.note(|| format!("{}: {why}", path.display()));
        }
        self.set.identity = found.identity.or(self.set.identity.take());
        for change in found.changes {
            self.apply(change);
        }
    }

    fn apply(&mut self, change: Change) {
        let change = match change {
            Change::Put(lease) => Change::Put(bounded(lease, clock().monotonic_ns)),
            gone @ Change::Gone { .. } => gone,
        };
        if !apply_bounded(&mut self.set, change) {
            self.note(|| format!("there are more than {LEASES_MAX} leases"));
        }
    }

    fn note_torn(&mut self, path: &Path, reader: &Reader) {
        if reader.unread() > 0 {
            self.note(|| format!("{}: it ends within an entry", path.display()));
        }
    }

    fn note(&mut self, why: impl FnOnce() -> String) {
        self.broken.get_or_insert_with(why);
    }
}
