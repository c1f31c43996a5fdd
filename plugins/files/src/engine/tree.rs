//! State of one tree: here, on the peer, and when both last had the same.

use std::sync::Arc;

use spared_tree::config::{Sync, Tree};
use spared_tree::{Change, Hash, Manifest, What, compare};

use super::auto_copy::AutoCopy;
use crate::wire::{NAMES_MAX, TreeState};

/// Manifest and its digest, which is computed once: each scan uses it several times.
#[derive(Clone, Debug)]
pub struct Digested {
    pub manifest: Arc<Manifest>,
    digest: Hash,
}

pub struct TreeInfo {
    pub settings: Tree,
    /// Manifest as last read; None: not read yet.
    pub own: Option<Result<Digested, String>>,
    /// Time until which the tree should be read, or read again; None: that time is over.
    pub own_due_ns: Option<u64>,
    /// Manifest that both nodes last had.
    pub base: Option<Digested>,
    /// State that the peer reported; None while it is not connected.
    pub peer: Option<TreeState>,
    /// Time of the last change of `own`.
    pub changed_ns: Option<u64>,
    pub scan: Scan,
    pub auto_copy: AutoCopy,
    /// Seconds after which the change here is reverted unless it is confirmed.
    pub own_waits_s: Option<u32>,
    /// Manifest of the peer that was put in place here, and is reverted unless it is confirmed.
    pub unconfirmed: Option<Digested>,
    /// Manifest of this node that the peer has put in place, and reverts unless it is confirmed.
    pub unconfirmed_on_peer: Option<Digested>,
    /// Folders here that cannot be removed because they contain an excluded file, and the file's name.
    pub holding: Vec<(String, String)>,
}

/// Scan of a tree.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scan {
    pub due_ns: u64,
    /// Ticket of the scan in progress.
    pub ticket: Option<u64>,
    /// Seconds until the change is reverted, which arrive before the result of the scan.
    pub waits_s: Option<u32>,
    /// True if a change has begun since the last result: the peer is told the next one instead.
    pub is_outdated: bool,
    /// True if the peer was told that the tree is not read.
    pub is_told_unread: bool,
}

impl Digested {
    pub fn new(manifest: Arc<Manifest>) -> Self {
        let digest = manifest.digest();
        Self { manifest, digest }
    }

    pub fn is(&self, digest: Hash) -> bool {
        self.digest == digest
    }
}

impl TreeInfo {
    pub fn new(settings: Tree, base: Option<Manifest>) -> Self {
        Self {
            settings,
            own: None,
            own_due_ns: None,
            base: base.map(Arc::new).map(Digested::new),
            peer: None,
            changed_ns: None,
            scan: Scan::default(),
            auto_copy: AutoCopy::default(),
            own_waits_s: None,
            unconfirmed: None,
            unconfirmed_on_peer: None,
            holding: Vec::new(),
        }
    }

    pub fn name(&self) -> &str {
        &self.settings.name
    }

    pub fn manifest(&self) -> Option<&Arc<Manifest>> {
        self.own().map(|it| &it.manifest)
    }

    pub fn digest(&self) -> Option<Hash> {
        self.own().map(|it| it.digest)
    }

    pub fn own(&self) -> Option<&Digested> {
        self.own.as_ref()?.as_ref().ok()
    }

    /// Takes the state that the peer reported; true if the peer has just reverted a change from here.
    pub fn handle_peer(&mut self, state: TreeState) -> bool {
        let own = self.digest();
        let waits = state.waits_s.is_some();
        let went_back = match state.digest {
            Ok(digest) => self.auto_copy.handle_peer(digest, waits, own),
            Err(_) => false,
        };
        self.peer = Some(state);
        went_back
    }

    /// Changes since the tree was read before, in a tree that is copied automatically.
    pub fn moved(&self, own: &Result<Digested, String>) -> Vec<Change> {
        match (self.own(), own) {
            (Some(was), Ok(is)) if self.settings.sync != Sync::Ask && was.digest != is.digest => {
                compare(&was.manifest, &is.manifest)
            }
            _ => Vec::new(),
        }
    }

    /// Takes the result of a scan; true if it differs from the last one.
    pub fn set_own(&mut self, now_ns: u64, own: Result<Digested, String>) -> bool {
        let is_same = match (&self.own, &own) {
            (Some(Ok(was)), Ok(is)) => was.digest == is.digest,
            (Some(Err(was)), Err(is)) => was == is,
            _ => false,
        };
        if !is_same && self.own.is_some() {
            self.changed_ns = Some(now_ns);
        }
        self.own = Some(own);
        !is_same
    }

    /// Notes a manifest that both nodes have, or had at the same time: true if that is new.
    pub fn set_base(&mut self, both: Digested) -> bool {
        if self.digest() == Some(both.digest) {
            self.auto_copy.handle_wanted();
        }
        let is_new = self.base_digest() != Some(both.digest);
        if is_new {
            self.base = Some(both);
        }
        is_new
    }

    /// Takes the manifest of a change here that was confirmed: both nodes have had it, whatever the peer has now.
    pub fn take_confirmed(&mut self) -> Option<Digested> {
        let own = self.digest().filter(|_| self.own_waits_s.is_none())?;
        self.unconfirmed.take().filter(|it| it.is(own))
    }

    /// Takes the manifest of a change on the peer that was confirmed, though this node may have other files by now.
    pub fn take_confirmed_on_peer(&mut self) -> Option<Digested> {
        let peer = self.peer.as_ref().filter(|it| it.waits_s.is_none())?;
        let theirs = *peer.digest.as_ref().ok()?;
        self.unconfirmed_on_peer.take().filter(|it| it.is(theirs))
    }

    /// Reason why these changes cannot be made here.
    pub fn hindrance(&self, changes: &[Change]) -> Option<String> {
        let goes = |it: &&Change| matches!(it.what, What::Removed | What::Kind);
        changes.iter().filter(goes).find_map(|change| {
            let path = &change.path;
            let (_, name) = self.holding.iter().find(|(folder, _)| folder == path)?;
            Some(format!(
                "{path} cannot be removed: it holds {name}, which is excluded"
            ))
        })
    }

    /// Seconds after which the change is reverted, on either node, unless it is confirmed.
    pub fn waits_s(&self) -> Option<u32> {
        let theirs = self.peer.as_ref().and_then(|it| it.waits_s);
        self.own_waits_s.or(theirs)
    }

    pub fn base_digest(&self) -> Option<Hash> {
        self.base.as_ref().map(|it| it.digest)
    }

    /// Differences from the state that both nodes last had; None if they never were equal.
    pub fn changes(&self) -> Option<Vec<Change>> {
        let (own, base) = (self.manifest()?, self.base.as_ref()?);
        Some(compare(&base.manifest, own))
    }

    /// State for the peer; `unread` is the reason if the tree has not been read for too long. A scan of before a change
    /// in progress counts as none: the peer would take it for the end of the change.
    pub fn state(&self, unread: &str) -> Option<TreeState> {
        let digest = match self.own.as_ref()? {
            _ if self.own_due_ns.is_none() => Err(unread.to_owned()),
            _ if self.scan.is_outdated => Err("a change is being put in place".to_owned()),
            Ok(own) => Ok(own.digest),
            Err(why) => Err(why.clone()),
        };
        let changes = self.changes();
        let names = changes.iter().flatten().take(NAMES_MAX);
        Some(TreeState {
            tree: self.settings.name.clone(),
            scope: self.settings.scope(),
            digest,
            base: self.base_digest(),
            names: names.map(|it| it.path.clone()).collect(),
            waits_s: self.own_waits_s,
            changes: changes.map(|it| u32::try_from(it.len()).unwrap_or(u32::MAX)),
        })
    }
}
