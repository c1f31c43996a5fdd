//! Reads a lease file while it is being written.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::codec::Format;
use crate::lease::{Change, Set};

use super::journal::Journal;
use super::rewritten::Rewritten;
use super::{End, Unread};

/// Limit of leases of one server.
pub const LEASES_MAX: usize = 262_144;

/// Reason and time of a look.
#[derive(Clone, Copy, Debug, Default)]
pub struct Look {
    /// Another file took the place of the one that is read, or is about to, other than by Kea's
    /// cleaning.
    pub replaced: bool,
    /// A process has it open for writing.
    pub writer: bool,
    /// The file was not written since [`News::again`] was returned, for that time.
    pub quiet: bool,
}

/// Result of a look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileChanges {
    /// All leases, and the reason why some may be missing; there are no changes then.
    pub whole: Option<(Set, Option<String>)>,
    pub changes: Vec<Change>,
    pub identity: Option<Vec<u8>>,
    /// Unreadable part of the file; None if unknown.
    pub unread: Option<Unread>,
    /// Time without a write after which to look again.
    pub again: Option<Duration>,
}

#[derive(Debug)]
pub struct Tail {
    way: Way,
    /// Last file that could be read. If the file system does not tell which process writes, its
    /// server may still have it when it cannot be opened any more.
    last_readable: Option<Arc<File>>,
}

#[derive(Debug)]
enum Way {
    Journal(Journal),
    Rewritten(Rewritten),
}

impl Tail {
    pub fn new(format: Format, path: &Path, end: End) -> Self {
        let way = if format.is_journal() {
            Way::Journal(Journal::new(format, path, end))
        } else {
            Way::Rewritten(Rewritten::new(format, path, end))
        };
        Self {
            way,
            last_readable: None,
        }
    }

    /// # Errors
    /// Text: it does not exist, or cannot be read. The next successful look returns everything.
    pub fn look(&mut self, look: Look) -> Result<FileChanges, String> {
        let looked = match &mut self.way {
            Way::Journal(journal) => journal.look(look),
            Way::Rewritten(rewritten) => rewritten.look(look),
        };
        self.hold();
        looked
    }

    /// Takes note that this plugin wrote the file, so that its contents are no changes.
    pub fn wrote(&mut self, bytes: &[u8]) -> Result<(), String> {
        let opened = match &mut self.way {
            Way::Journal(journal) => journal.wrote(bytes),
            Way::Rewritten(rewritten) => rewritten.wrote(bytes),
        };
        self.hold();
        opened
    }

    /// Returns the file that is read, or was last read.
    pub fn file(&self) -> Option<&File> {
        self.last_readable.as_deref()
    }

    /// Returns the file, if its server continues in it while its name belongs to another file.
    pub fn unnamed_file(&self) -> Option<&File> {
        let has_unnamed_file = match &self.way {
            Way::Journal(journal) => journal.has_unnamed_file(),
            Way::Rewritten(rewritten) => rewritten.has_unnamed_file(),
        };
        self.file().filter(|_| has_unnamed_file)
    }

    /// Returns the file's contents, if they are kept.
    pub fn known(&self) -> Option<&Set> {
        match &self.way {
            Way::Journal(_) => None,
            Way::Rewritten(rewritten) => rewritten.known(),
        }
    }

    fn hold(&mut self) {
        let file = match &self.way {
            Way::Journal(journal) => journal.file(),
            Way::Rewritten(rewritten) => rewritten.file(),
        };
        self.last_readable = file.cloned().or(self.last_readable.take());
    }
}

/// Applies a change. Returns false if the set has reached its limit.
pub fn apply_bounded(set: &mut Set, change: Change) -> bool {
    let fits = set.leases.len() < LEASES_MAX || set.leases.contains_key(&change.key());
    if fits || matches!(change, Change::Gone { .. }) {
        set.apply(change);
    }
    fits
}

/// Returns the path of a file that Kea's cleaning uses next to the lease file.
pub fn kea_companion(leases: &Path, suffix: &str) -> PathBuf {
    let mut name = leases.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
