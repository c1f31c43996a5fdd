//! Looks at the identity of files, in a thread, as a disk may hang.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread;

/// Stack size of the thread in bytes. Only the used part is locked in memory.
const STACK: usize = 256 * 1024;

/// Device and inode.
pub type Id = (u64, u64);

/// Looks by path.
pub type Looks = BTreeMap<String, Look>;

/// Result of a look at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    Absent,
    /// Something that this process cannot see, or that is no file.
    Unknown,
    Folder(Id),
    /// File, and the folders around it, behind all symbolic links.
    File(Id, Vec<Id>),
}

impl Look {
    /// Looks at a path.
    pub(super) fn at(path: &Path) -> Self {
        let found = match fs::metadata(path) {
            Ok(found) => found,
            Err(error) => {
                let is_absent =
                    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory);
                return if is_absent {
                    Self::Absent
                } else {
                    Self::Unknown
                };
            }
        };
        if found.is_dir() {
            return Self::Folder(id(&found));
        }
        if !found.is_file() {
            return Self::Unknown;
        }
        let Ok(real) = fs::canonicalize(path) else {
            return Self::Unknown; // it has just gone
        };
        let folders = real.ancestors().skip(1);
        let folders = folders.filter_map(|it| fs::metadata(it).ok());
        Self::File(id(&found), folders.map(|it| id(&it)).collect())
    }

    /// Returns true if a rule for what was found has no effect on the file that is there now.
    pub(super) fn is_replaced_by(&self, now: &Self) -> bool {
        match (self, now) {
            (Self::Unknown, _) | (_, Self::Absent | Self::Unknown | Self::Folder(_)) => false,
            (Self::File(before, _), Self::File(now, _)) => before != now,
            (Self::Absent | Self::Folder(_), Self::File(..)) => true,
        }
    }

    pub(super) fn folder(&self) -> Option<Id> {
        match self {
            Self::Folder(id) => Some(*id),
            _ => None,
        }
    }

    pub(super) fn folders(&self) -> &[Id] {
        match self {
            Self::File(_, folders) => folders,
            _ => &[],
        }
    }
}

fn id(found: &Metadata) -> Id {
    (found.dev(), found.ino())
}

/// Thread that looks at paths.
#[derive(Debug)]
pub struct Looker {
    wanted: SyncSender<BTreeSet<String>>,
    found: Receiver<Looks>,
    /// True if a request is not answered yet.
    is_asked: bool,
}

impl Looker {
    /// Starts the thread.
    ///
    /// # Errors
    /// The kernel has no room for a thread.
    pub fn start() -> std::io::Result<Self> {
        let (wanted, requests) = sync_channel::<BTreeSet<String>>(1);
        let (answers, found) = sync_channel(1);
        let work = move || {
            while let Ok(paths) = requests.recv() {
                let looks = paths.into_iter().map(|path| {
                    let look = Look::at(Path::new(&path));
                    (path, look)
                });
                if answers.send(looks.collect()).is_err() {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("looks".to_owned());
        thread.stack_size(STACK).spawn(work)?;
        Ok(Self {
            wanted,
            found,
            is_asked: false,
        })
    }

    /// Asks for a look at each path, unless the last request is not answered yet.
    pub fn ask(&mut self, paths: BTreeSet<String>) {
        if !self.is_asked && !paths.is_empty() {
            self.is_asked = self.wanted.try_send(paths).is_ok();
        }
    }

    /// Returns the answer to the last request, once.
    pub fn take(&mut self) -> Option<Looks> {
        match self.found.try_recv() {
            Ok(looks) => {
                self.is_asked = false;
                Some(looks)
            }
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => None,
        }
    }
}
