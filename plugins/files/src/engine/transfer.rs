//! Transfer of one tree to this node: its manifest, the contents that are missing here, and the root half's work.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use spared_tree::config::Tree;
use spared_tree::{Change, Hash, MANIFEST_MAX, Manifest, compare, validate};

use super::show::Shown;
use crate::wire::How;

/// Maximum number of contents that are requested at a time.
const WINDOW: usize = 16;

/// Purpose of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Comparison, for a command here.
    Diff,
    /// Comparison with the contents that differ, for a command here.
    Show,
    /// Copy to this node, for a command here.
    Pull(How),
    /// Offer of the peer with this ticket, of a tree with this digest.
    Offer {
        ticket: u64,
        how: How,
        digest: Option<Hash>,
    },
}

impl Purpose {
    /// True if only a list comes of it, for the command that waits.
    pub fn is_list(self) -> bool {
        match self {
            Self::Diff | Self::Show => true,
            Self::Pull(how) | Self::Offer { how, .. } => how.is_dry,
        }
    }
}

/// Stage of a transfer.
#[derive(Debug)]
pub enum Stage {
    Manifest(Vec<u8>),
    Contents(Contents),
    /// Request to the root half with this ticket.
    Install(u64),
}

#[derive(Debug)]
pub struct Contents {
    pub manifest: Arc<Manifest>,
    missing: VecDeque<(Hash, u64)>,
    /// Requested contents, in order, and the bytes of the first one that have arrived.
    asked: VecDeque<(Hash, u64)>,
    got: u64,
}

#[derive(Debug)]
pub struct Transfer {
    pub tree: String,
    pub ticket: u64,
    pub purpose: Purpose,
    pub stage: Stage,
    pub began_ns: u64,
    /// Time of the last message that made progress.
    pub moved_ns: u64,
    pub files: (usize, usize),
    pub bytes: (u64, u64),
    /// Digest of the tree here when it was found replaceable: a later edit must not be replaced.
    pub expected: Option<Hash>,
    /// Manifest that is being put in place.
    pub installed: Option<Arc<Manifest>>,
    /// Differences that are shown.
    pub shown: Option<Shown>,
}

/// Piece of a content, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    pub hash: Hash,
    pub bytes: Vec<u8>,
    pub is_last: bool,
}

impl Transfer {
    pub fn new(now_ns: u64, ticket: u64, tree: &str, purpose: Purpose) -> Self {
        Self {
            tree: tree.to_owned(),
            ticket,
            purpose,
            stage: Stage::Manifest(Vec::new()),
            began_ns: now_ns,
            moved_ns: now_ns,
            files: (0, 0),
            bytes: (0, 0),
            expected: None,
            installed: None,
            shown: None,
        }
    }

    pub fn how(&self) -> How {
        match self.purpose {
            Purpose::Diff | Purpose::Show => How::default(),
            Purpose::Pull(how) | Purpose::Offer { how, .. } => how,
        }
    }

    /// True if this manifest may be put in place: nobody looks at a tree that is offered automatically, so that it must
    /// be the one that has rested.
    pub fn is_offered(&self, new: &Manifest) -> bool {
        match self.purpose {
            Purpose::Offer {
                how,
                digest: Some(digest),
                ..
            } => !how.is_automatic || digest == new.digest(),
            _ => true,
        }
    }

    /// Takes a piece of the manifest; returns the manifest once it is complete.
    ///
    /// # Errors
    /// A sentence with the reason why it may not be put in place here.
    pub fn take_manifest(
        &mut self,
        tree: &Tree,
        bytes: &[u8],
        is_last: bool,
    ) -> Result<Option<Manifest>, String> {
        let Stage::Manifest(all) = &mut self.stage else {
            return Err("a list of files that nobody asked for".to_owned());
        };
        if all.len().saturating_add(bytes.len()) > MANIFEST_MAX {
            return Err(format!("a list of files of more than {MANIFEST_MAX} bytes"));
        }
        all.extend_from_slice(bytes);
        if !is_last {
            return Ok(None);
        }
        let manifest = Manifest::decode(all)?;
        validate(&manifest, tree).map_err(|refused| refused.to_string())?;
        Ok(Some(manifest))
    }

    /// Begins to fetch the contents that are missing here.
    pub fn fetch(&mut self, own: &Manifest, manifest: Manifest) {
        self.expected = Some(own.digest());
        let here = own.contents();
        let missing = manifest.contents().into_iter();
        let missing = missing.filter(|(hash, _)| !here.contains_key(hash));
        self.fetch_these(missing.collect(), manifest);
    }

    /// Begins to fetch the contents that are shown.
    pub fn fetch_shown(&mut self, shown: Shown, manifest: Manifest) {
        let contents: BTreeMap<Hash, u64> = shown.contents().collect();
        self.shown = Some(shown);
        self.fetch_these(contents.into_iter().collect(), manifest);
    }

    fn fetch_these(&mut self, missing: VecDeque<(Hash, u64)>, manifest: Manifest) {
        let bytes = missing.iter().map(|(_, size)| size);
        self.bytes.1 = bytes.fold(0, |sum, size| sum.saturating_add(*size));
        self.files.1 = missing.len();
        self.stage = Stage::Contents(Contents {
            manifest: Arc::new(manifest),
            missing,
            asked: VecDeque::new(),
            got: 0,
        });
    }

    /// Next content to request.
    pub fn poll_fetch(&mut self) -> Option<Hash> {
        let Stage::Contents(contents) = &mut self.stage else {
            return None;
        };
        if contents.asked.len() >= WINDOW {
            return None;
        }
        let next = contents.missing.pop_front()?;
        contents.asked.push_back(next);
        Some(next.0)
    }

    /// Takes a piece of the content that was requested first.
    ///
    /// # Errors
    /// The piece does not match what was announced.
    pub fn take_content(&mut self, bytes: Vec<u8>, is_last: bool) -> Result<Piece, String> {
        let Stage::Contents(contents) = &mut self.stage else {
            return Err("a content that nobody asked for".to_owned());
        };
        let Some((hash, size)) = contents.asked.front().copied() else {
            return Err("a content that nobody asked for".to_owned());
        };
        contents.got = contents.got.saturating_add(bytes.len() as u64);
        self.bytes.0 = self.bytes.0.saturating_add(bytes.len() as u64);
        if contents.got > size || (is_last && contents.got != size) {
            return Err("a file changed while it was sent: try again".to_owned());
        }
        if is_last {
            contents.got = 0;
            contents.asked.pop_front();
            self.files.0 = self.files.0.saturating_add(1);
        }
        Ok(Piece {
            hash,
            bytes,
            is_last,
        })
    }

    /// Manifest, once all contents have arrived.
    pub fn complete(&self) -> Option<Arc<Manifest>> {
        match &self.stage {
            Stage::Contents(it) if it.missing.is_empty() && it.asked.is_empty() => {
                Some(Arc::clone(&it.manifest))
            }
            _ => None,
        }
    }

    /// True if only the root half is still working.
    pub fn is_installing(&self) -> bool {
        self.install().is_some()
    }

    /// Ticket of the request to the root half.
    pub fn install(&self) -> Option<u64> {
        match self.stage {
            Stage::Install(ticket) => Some(ticket),
            _ => None,
        }
    }
}

/// Lines about the changes, one for each; the rest is counted.
pub fn lines(changes: &[Change]) -> Vec<String> {
    const LINES_MAX: usize = 200;
    let line = |it: &Change| format!("{}: {}", it.path, it.what);
    let mut lines: Vec<String> = changes.iter().take(LINES_MAX).map(line).collect();
    if let Some(rest) = changes.len().checked_sub(LINES_MAX).filter(|it| *it > 0) {
        lines.push(format!("and {rest} more"));
    }
    lines
}

/// Changes that would turn the tree here into the peer's.
pub fn changes(own: &Manifest, new: &Manifest) -> Vec<Change> {
    compare(own, new)
}
