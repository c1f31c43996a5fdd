//! Relation between the two nodes' trees: which of them has changed since both had the same.

use spared_tree::{Hash, Manifest};

use super::tree::TreeInfo;

/// Relation between the two nodes' trees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Relation {
    /// The tree was not read here, or not for too long.
    Unread,
    /// The peer has not reported its state.
    Untold,
    /// The tree cannot be read here.
    Fault(String),
    /// The tree cannot be read on the peer.
    PeerFault(String),
    /// The nodes have different configurations of the tree.
    ConfigDiffers,
    Same,
    /// Changed here since both were equal.
    Ours,
    /// Changed on the peer.
    Theirs,
    /// Changed on both, or never equal.
    Conflict,
}

impl TreeInfo {
    pub fn relation(&self) -> Relation {
        let own = match &self.own {
            None => return Relation::Unread,
            Some(_) if self.own_due_ns.is_none() => return Relation::Unread,
            Some(Err(why)) => return Relation::Fault(why.clone()),
            Some(Ok(own)) => own,
        };
        let Some(peer) = &self.peer else {
            return Relation::Untold;
        };
        if peer.scope != self.settings.scope() {
            return Relation::ConfigDiffers;
        }
        let theirs = match &peer.digest {
            Err(why) => return Relation::PeerFault(why.clone()),
            Ok(digest) => *digest,
        };
        if own.is(theirs) {
            return Relation::Same;
        }
        if let Some(base) = self.common() {
            return match theirs {
                _ if own.is(base) => Relation::Theirs,
                theirs if theirs == base => Relation::Ours,
                _ => Relation::Conflict,
            };
        }
        // a new node has no files that could be lost
        let is_empty = theirs == Manifest::default().digest();
        match (&self.base, peer.base) {
            (None, _) if own.manifest.entries.is_empty() => Relation::Theirs,
            (_, None) if is_empty => Relation::Ours,
            _ => Relation::Conflict,
        }
    }

    /// True if the peer also had the present state, so that it may be replaced.
    pub fn is_replaceable(&self) -> bool {
        match (self.own(), &self.base) {
            (Some(own), Some(_)) => self.common().is_some_and(|it| own.is(it)),
            (Some(own), None) => own.manifest.entries.is_empty(),
            (None, _) => false,
        }
    }

    /// Digest that both nodes last had. None if the nodes do not agree on it: one of them was cut off while they were
    /// equal, and did not notice.
    pub fn common(&self) -> Option<Hash> {
        let theirs = self.peer.as_ref()?.base?;
        self.base_digest().filter(|own| *own == theirs)
    }
}
