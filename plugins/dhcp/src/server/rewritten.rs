//! Lease file that is truncated and rewritten at each commit: dnsmasq's.
//!
//! While it is written it lacks leases. So present leases count at once, and missing ones only after the file was left
//! alone for a while, or when no process has it open for writing. A full disk, or a truncation by somebody else, leaves
//! it empty for longer: that all leases have gone is reported as a new reading, which the engine ignores while leases
//! are in use.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::codec::{Format, Found, Reader};
use crate::lease::{Change, Clock, Key, Lease, Set};

use super::clock::clock;
use super::echo::is_same;
use super::opened::{Opened, id_of};
use super::tail::{FileChanges, LEASES_MAX, Look, apply_bounded};
use super::{End, Unread};

const QUIET: Duration = Duration::from_millis(100);
/// Quiet time for a file that looks incomplete: disks can delay a writer.
const QUIET_TORN: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct Rewritten {
    format: Format,
    path: PathBuf,
    end: End,
    opened: Option<Opened>,
    /// The server has it open, and its name leads to another file.
    has_unnamed_file: bool,
    /// Reported contents; None before the first report.
    known: Option<Set>,
    /// Length in bytes when it was last complete.
    length: u64,
}

impl Rewritten {
    pub fn new(format: Format, path: &Path, end: End) -> Self {
        Self {
            format,
            path: path.to_owned(),
            end,
            opened: None,
            has_unnamed_file: false,
            known: None,
            length: 0,
        }
    }

    pub fn look(&mut self, look: Look) -> Result<FileChanges, String> {
        let looked = self.try_look(look);
        if looked.is_err() {
            self.opened = None;
            self.has_unnamed_file = false;
            self.known = None;
        }
        looked.map_err(|error| format!("{}: {error}", self.path.display()))
    }

    pub fn wrote(&mut self, bytes: &[u8]) -> Result<(), String> {
        let opened = Opened::open(&self.path);
        let opened = opened.map_err(|error| format!("{}: {error}", self.path.display()))?;
        let found = Reader::new(self.format).feed(bytes, clock());
        self.known = Some(collect(found).0);
        self.length = bytes.len() as u64;
        self.opened = Some(opened);
        self.has_unnamed_file = false;
        Ok(())
    }

    pub fn file(&self) -> Option<&Arc<File>> {
        self.opened.as_ref().map(|opened| &opened.file)
    }

    pub fn has_unnamed_file(&self) -> bool {
        self.has_unnamed_file
    }

    pub fn known(&self) -> Option<&Set> {
        self.known.as_ref()
    }

    /// Opens the file with the name, unless the server continues in the one that is open.
    fn find(&mut self) -> io::Result<()> {
        let id = id_of(&self.path)?;
        let opened = self.opened.as_ref();
        let opened = opened.filter(|opened| id != Some(opened.id));
        self.has_unnamed_file = opened.is_some_and(Opened::is_written);
        let is_there = opened.is_none() && self.opened.is_some();
        if !self.has_unnamed_file && !is_there {
            self.opened = Some(Opened::open(&self.path)?);
            self.known = None;
            self.length = 0;
        }
        Ok(())
    }

    fn try_look(&mut self, look: Look) -> io::Result<FileChanges> {
        self.find()?;
        let Some(opened) = &mut self.opened else {
            return Ok(FileChanges::default());
        };
        let length = opened.file.metadata()?.len();
        let is_making = length < self.length / 2 || !ends_a_line(&opened.file, length)?;
        let may_wait = look.writer && !look.quiet;
        if is_making && may_wait {
            return Ok(FileChanges {
                again: Some(QUIET_TORN),
                ..FileChanges::default()
            });
        }
        opened.rewind();
        let mut reader = Reader::new(self.format);
        let mut found = Found::default();
        let clock = clock_of(&opened.file)?;
        opened.read(&self.end, |piece| {
            merge(&mut found, reader.feed(piece, clock))
        })?;
        if reader.unread() > 0 {
            found.skipped = found.skipped.saturating_add(1);
            found
                .why
                .get_or_insert_with(|| "it ends within a line".to_owned());
        } else {
            self.length = opened.at;
        }
        let is_certain = !may_wait;
        Ok(match &mut self.known {
            None if !is_certain => FileChanges {
                again: Some(QUIET),
                ..FileChanges::default()
            },
            None => {
                let count = found.skipped;
                let (set, broken) = collect(found);
                self.known = Some(set.clone());
                let why = broken.clone();
                FileChanges {
                    whole: Some((set, broken)),
                    unread: Some(Unread { count, why }),
                    ..FileChanges::default()
                }
            }
            Some(known) => compare(known, found, is_certain),
        })
    }
}

/// Returns differences from `known`, and adds them to it.
fn compare(known: &mut Set, found: Found, is_certain: bool) -> FileChanges {
    let count = found.skipped;
    let is_complete = count == 0;
    let (set, why) = collect(found);
    let now_ns = clock().monotonic_ns;
    let mut news = FileChanges {
        identity: set
            .identity
            .filter(|new| known.identity.as_ref() != Some(new)),
        unread: is_certain.then_some(Unread { count, why }),
        ..FileChanges::default()
    };
    if !is_complete && !is_certain {
        news.again = Some(QUIET);
    }
    let missing = known
        .leases
        .keys()
        .filter(|key| !set.leases.contains_key(key));
    let missing: Vec<Key> = missing.copied().collect();
    if !missing.is_empty() && !is_certain {
        news.again = Some(QUIET);
    } else if is_complete && set.leases.is_empty() && has_living(known, now_ns) {
        known.leases.clear();
        known.identity = news.identity.take().or(known.identity.take());
        return FileChanges {
            whole: Some((known.clone(), None)),
            ..news
        };
    } else if is_complete {
        let gone = missing.into_iter().map(|key| Change::Gone {
            key,
            committed_ns: now_ns,
        });
        news.changes.extend(gone);
    }
    let put = set
        .leases
        .into_values()
        .filter(|lease| is_new(&known.leases, lease));
    // the file does not contain the time, but it was a moment ago
    news.changes.extend(put.map(|lease| {
        Change::Put(Lease {
            committed_ns: now_ns,
            ..lease
        })
    }));
    for change in &news.changes {
        apply_bounded(known, change.clone());
    }
    known.identity = news.identity.clone().or(known.identity.take());
    news
}

fn has_living(known: &Set, now_ns: i64) -> bool {
    let mut leases = known.leases.values();
    leases.any(|lease| lease.expires_ns.is_none_or(|ends_ns| ends_ns > now_ns))
}

fn is_new(known: &BTreeMap<Key, Lease>, lease: &Lease) -> bool {
    known.get(&lease.key).is_none_or(|before| {
        !is_same(before, lease) || before.hostname != lease.hostname || before.extra != lease.extra
    })
}

/// Returns both clocks at the time when the file was last written: it does not contain the times of its leases.
fn clock_of(file: &File) -> io::Result<Clock> {
    let now = clock();
    let written = file.metadata()?.modified()?;
    let written = written.duration_since(SystemTime::UNIX_EPOCH);
    let unix_ns = written.map_or(0, |since| {
        i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
    });
    let age_ns = now.unix_ns.saturating_sub(unix_ns).max(0);
    Ok(Clock {
        monotonic_ns: now.monotonic_ns.saturating_sub(age_ns),
        // even if that is in the future: then this node's clock is wrong
        unix_ns,
    })
}

fn merge(found: &mut Found, more: Found) {
    found.changes.extend(more.changes);
    found.identity = more.identity.or(found.identity.take());
    found.skipped = found.skipped.saturating_add(more.skipped);
    found.why = found.why.take().or(more.why);
}

fn collect(found: Found) -> (Set, Option<String>) {
    let mut set = Set {
        identity: found.identity,
        ..Set::default()
    };
    let mut broken = found.why;
    for change in found.changes {
        if !apply_bounded(&mut set, change) {
            broken.get_or_insert_with(|| format!("there are more than {LEASES_MAX} leases"));
        }
    }
    (set, broken)
}

fn ends_a_line(file: &File, length: u64) -> io::Result<bool> {
    let Some(last) = length.checked_sub(1) else {
        return Ok(true);
    };
    let mut byte = [0];
    // it has become shorter meanwhile: a write is in progress
    Ok(file.read_at(&mut byte, last)? == 1 && byte == *b"\n")
}
