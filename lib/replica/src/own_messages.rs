//! Support for a plugin that sends messages of its own, with or without tables: identity of the peer, the role to which
//! an answer belongs, and handling of garbage.

use std::collections::BTreeSet;

use crate::session::{Replica, has_same_version};
use crate::store::Store;
use crate::wire::Malformed;

impl<S: Store> Replica<S> {
    /// Serial of this node's role: a message of the owner that names it answers that role. None from garbage of the
    /// peer until a repeat is requested: no answer counts until then.
    pub fn serial(&self) -> Option<u32> {
        self.garbage.retry_ns().is_none().then_some(self.serial)
    }

    /// The peer's role: its serial, for answers, and its active groups. None before the peer has sent it, and for a
    /// peer of another version.
    pub fn peer_role(&self) -> Option<(u32, &BTreeSet<String>)> {
        let peer = self
            .peer
            .as_ref()
            .filter(|_| has_same_version(&self.peer))?;
        Some((peer.serial, peer.active.as_ref()?))
    }

    /// Run and key of the peer's node, as in its [`Config`](crate::Config).
    pub fn peer_key(&self) -> Option<[u64; 2]> {
        self.peer.as_ref().map(|peer| [peer.run, peer.node])
    }

    /// True if this node's key is the greater one: it decides if the roles do not.
    pub fn has_greater_key(&self) -> bool {
        let own = (self.config.node, self.config.run);
        let peer = self.peer.as_ref();
        peer.is_some_and(|peer| own > (peer.node, peer.run))
    }

    /// Takes a new serial without a role change: answers to the last one no longer count.
    pub fn renew_serial(&mut self) {
        if self.channel.is_up {
            self.new_serial();
        }
    }

    /// Reports an invalid message of the owner's own. The replica handles it like one of its own messages: it is
    /// counted, logged once, and requested again.
    pub fn reject(&mut self, now_ns: u64, why: Malformed) {
        self.drop_garbage(now_ns, why);
    }

    /// Requests everything from the peer again, with AGAIN, after a loss here.
    pub fn request_repeat(&mut self) {
        if self.channel.is_up {
            self.garbage.set_again_due(true);
            self.new_serial();
        }
    }

    /// True if the peer has requested everything since the last call. Tables need no action; the owner must repeat its
    /// own messages.
    pub fn take_repeat_request(&mut self) -> bool {
        self.garbage.take_repeat_request()
    }
}
