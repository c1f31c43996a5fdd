//! For a plugin that sends messages of its own, with tables beside them or without any: who the peer
//! is, which role an answer belongs to, and what becomes of its garbage.

use std::collections::BTreeSet;

use crate::Now;
use crate::session::{Replica, peer_speaks};
use crate::store::Store;
use crate::wire::Malformed;

impl<S: Store> Replica<S> {
    /// Serial of this node's role: a message of the owner's that names it answers that role. None
    /// while garbage of the peer waits to be asked for again: no answer counts until then.
    pub fn serial(&self) -> Option<u32> {
        self.again.due.is_none().then_some(self.serial)
    }

    /// The peer's role: its serial, to be named in an answer, and the groups that are active there.
    /// None before the peer has told it, and of a peer that speaks another version.
    pub fn peer_role(&self) -> Option<(u32, &BTreeSet<String>)> {
        let peer = self.peer.as_ref().filter(|_| peer_speaks(&self.peer))?;
        Some((peer.serial, peer.active.as_ref()?))
    }

    /// Run and key of the peer's node, as in its [`Config`](crate::Config).
    pub fn peer_key(&self) -> Option<[u64; 2]> {
        self.peer.as_ref().map(|peer| [peer.run, peer.node])
    }

    /// Whether this node's key is the greater one: it decides where the roles do not.
    pub fn is_greater(&self) -> bool {
        let own = (self.config.node, self.config.run);
        let peer = self.peer.as_ref();
        peer.is_some_and(|peer| own > (peer.node, peer.run))
    }

    /// A new serial though no role has changed: what the peer answers to the last one does not
    /// count any more.
    pub fn renew(&mut self) {
        if self.up {
            self.bump();
        }
    }

    /// A message of the owner's own makes no sense. It is as one of the replica's: counted, told once,
    /// and the peer is asked again.
    pub fn reject(&mut self, now: Now, why: Malformed) {
        self.drop_garbage(now, why);
    }

    /// Something that the peer told is not here: it is asked for all of it, by AGAIN.
    pub fn ask_again(&mut self) {
        if self.up {
            self.again_due = true;
            self.bump();
        }
    }

    /// Whether the peer has asked for all of it since the last call. The tables follow by themselves;
    /// what the owner told in messages of its own is to be told anew.
    pub fn take_asked_again(&mut self) -> bool {
        std::mem::take(&mut self.asked_again)
    }
}
