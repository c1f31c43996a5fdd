//! Contents of a lease file while it is being written.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::codec::Format;
use crate::lease::{Change, Set};

use super::journal::Journal;
use super::rewritten::Rewritten;
use super::{End, Unread};

/// Of one server.
pub const LEASES_MAX: usize = 262_144;

/// Reason and time of a look.
#[derive(Clone, Copy, Debug, Default)]
pub struct Look {
    /// A file took the place of the one that is read, or is about to, and not as Kea does it.
    pub replaced: bool,
    /// Somebody has it open for writing.
    pub writer: bool,
    /// It was not written since [`News::again`] was said, and for that long.
    pub quiet: bool,
}

/// Result of a look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileChanges {
    /// Everything, and why it may not be all; then there are no changes.
    pub whole: Option<(Set, Option<String>)>,
    pub changes: Vec<Change>,
    pub identity: Option<Vec<u8>>,
    /// Unreadable part of the file; None: not known.
    pub unread: Option<Unread>,
    /// Look again after so long without a write.
    pub again: Option<Duration>,
}

#[derive(Debug)]
pub struct Tail {
    way: Way,
    /// The last that could be read: where the file system does not say who writes, its server may
    /// still have it when nobody else can.
    held: Option<Arc<File>>,
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
        Self { way, held: None }
    }

    /// # Errors
    /// A sentence: it is not there, or cannot be read. The next look that can brings everything.
    pub fn look(&mut self, look: Look) -> Result<FileChanges, String> {
        let looked = match &mut self.way {
            Way::Journal(journal) => journal.look(look),
            Way::Rewritten(rewritten) => rewritten.look(look),
        };
        self.hold();
        looked
    }

    /// This plugin wrote the file: none of it is news.
    pub fn wrote(&mut self, bytes: &[u8]) -> Result<(), String> {
        let opened = match &mut self.way {
            Way::Journal(journal) => journal.wrote(bytes),
            Way::Rewritten(rewritten) => rewritten.wrote(bytes),
        };
        self.hold();
        opened
    }

    /// The file that is read, or was at last.
    pub fn file(&self) -> Option<&File> {
        self.held.as_deref()
    }

    /// The file, if its server continues in it while its name belongs to another file.
    pub fn astray(&self) -> Option<&File> {
        let is_astray = match &self.way {
            Way::Journal(journal) => journal.is_astray(),
            Way::Rewritten(rewritten) => rewritten.is_astray(),
        };
        self.file().filter(|_| is_astray)
    }

    /// Its contents, if kept.
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
        self.held = file.cloned().or(self.held.take());
    }
}

/// False where it holds as many as it may.
pub fn apply_bounded(set: &mut Set, change: Change) -> bool {
    let fits = set.leases.len() < LEASES_MAX || set.leases.contains_key(&change.key());
    if fits || matches!(change, Change::Gone { .. }) {
        set.apply(change);
    }
    fits
}

/// Kea's cleaning works on files beside the one of leases.
pub fn kea_companion(leases: &Path, suffix: &str) -> PathBuf {
    let mut name = leases.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
