//! What a lease file says, as it is being written.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::format::Format;
use crate::lease::{Change, Set};

use super::End;
use super::journal::Journal;
use super::occupied::has_writer;
use super::rewritten::Rewritten;

/// Of one server.
pub const LEASES_MAX: usize = 262_144;

/// Why and when it is looked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Look {
    /// A file took the place of the one that is read, and not as Kea does it.
    pub replaced: bool,
    /// Somebody has it open for writing.
    pub writer: bool,
    /// It was not written since [`News::again`] was said, and for that long.
    pub quiet: bool,
}

/// What a look brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileChanges {
    /// Everything, and why it may not be all; then there are no changes.
    pub whole: Option<(Set, Option<String>)>,
    pub changes: Vec<Change>,
    pub identity: Option<Vec<u8>>,
    /// Something was passed over.
    pub why: Option<String>,
    /// Look again after so long without a write.
    pub again: Option<Duration>,
}

impl FileChanges {
    /// The server goes on in a file that has no name: what it knows is not what was read.
    pub fn doubt(&mut self) {
        if let Some((_, broken)) = &mut self.whole {
            broken.get_or_insert_with(|| {
                "it was replaced while its server runs: restart it".to_owned()
            });
        }
    }
}

#[derive(Debug)]
pub struct Tail {
    way: Way,
    /// The last that could be read: its server may still have it when nobody else can.
    held: Option<Arc<File>>,
    /// Its server went on with that when another file took its name.
    former: Option<Arc<File>>,
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
            held: None,
            former: None,
        }
    }

    /// # Errors
    /// A sentence: it is not there, or cannot be read. The next look that can brings everything.
    pub fn look(&mut self, look: Look) -> Result<FileChanges, String> {
        let looked = match &mut self.way {
            Way::Journal(journal) => journal.look(look),
            Way::Rewritten(rewritten) => rewritten.look(look),
        };
        self.hold();
        let mut news = looked?;
        if self.former.is_some() {
            news.doubt();
        }
        Ok(news)
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

    /// The file that is read, or was at last, and what its server may still have.
    pub fn files(&self) -> impl Iterator<Item = &File> {
        let files = [&self.held, &self.former];
        files.into_iter().filter_map(|file| file.as_deref())
    }

    /// What it says, where that is kept.
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
        let before = file.cloned().and_then(|file| self.held.replace(file));
        let former = before.into_iter().chain(self.former.take());
        self.former = former
            .filter(|file| has_writer(file).unwrap_or(false))
            .find(|file| self.held.as_ref().is_none_or(|held| !is_one(file, held)));
    }
}

fn is_one(one: &File, other: &File) -> bool {
    let id = |file: &File| Some((file.metadata().ok()?.dev(), file.metadata().ok()?.ino()));
    id(one) == id(other)
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
