//! The differences of two manifests.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Entry, Kind, Manifest};

/// Kind of difference of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    Added,
    Removed,
    /// A file became a folder or a link, or vice versa.
    Kind,
    /// Another content, or another target of a link.
    Content,
    /// Another owner, mode or attribute, with the same content.
    Access,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    pub path: String,
    pub what: What,
}

/// Changes that turn `old` into `new`, sorted by path.
pub fn compare(old: &Manifest, new: &Manifest) -> Vec<Change> {
    let mut changes = Vec::new();
    let (mut old, mut new) = (old.entries.iter().peekable(), new.entries.iter().peekable());
    loop {
        let change = match (old.peek(), new.peek()) {
            (None, None) => return changes,
            (Some(was), Some(is)) if was.path == is.path => {
                let what = difference(was, is);
                let change = what.map(|what| change(is, what));
                old.next();
                new.next();
                change
            }
            (Some(was), Some(is)) if was.path > is.path => {
                let change = change(is, What::Added);
                new.next();
                Some(change)
            }
            (None, Some(is)) => {
                let change = change(is, What::Added);
                new.next();
                Some(change)
            }
            (Some(was), _) => {
                let change = change(was, What::Removed);
                old.next();
                Some(change)
            }
        };
        changes.extend(change);
    }
}

fn change(entry: &Entry, what: What) -> Change {
    Change {
        path: entry.path.clone(),
        what,
    }
}

fn difference(old: &Entry, new: &Entry) -> Option<What> {
    match (&old.kind, &new.kind) {
        (Kind::Folder, Kind::Folder) => {}
        (Kind::File { .. }, Kind::File { .. }) | (Kind::Link { .. }, Kind::Link { .. }) => {
            if old.kind != new.kind {
                return Some(What::Content);
            }
        }
        _ => return Some(What::Kind),
    }
    (old.access != new.access).then_some(What::Access)
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Kind => "of another kind",
            Self::Content => "changed",
            Self::Access => "owner, mode or attributes",
        })
    }
}
